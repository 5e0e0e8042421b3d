"""Text that somebody else wrote, such as the names of files and classes, made fit to be shown or stored."""

import unicodedata

#: Joiners, without which words of some scripts are spelt wrongly; they are invisible, as any text has them.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Return the text on one line: whatever has no glyph is shown as Python writes it, such as ``\n`` or ``\x1b``.

    Those are control characters, line ends included, marks that turn the direction of writing, and lone surrogates, which
    stand for the bytes of a file name that is no UTF-8. What this returns can be encoded as UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in _JOINERS else ascii(character)[1:-1] for character in text
    )


def encodable(text: str) -> str:
    r"""Return the text with lone surrogates as ``\udce9``, so that UTF-8, and with it JSON, can hold it."""
    return text.encode("utf-8", "backslashreplace").decode()


def same_spelling(text: str) -> str:
    """Return the text with composed accents: macOS and Linux may write one name in two ways."""
    return unicodedata.normalize("NFC", text)
