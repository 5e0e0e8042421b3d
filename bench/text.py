"""Text that somebody else wrote, such as the names of files and classes, made fit to be shown or stored."""

import unicodedata

#: Joiners, without which words of some scripts are spelt wrongly; no other invisible character is left as it is.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Return the text on one line: whatever has no glyph is shown as Python writes it, such as ``\n`` or ``\x1b``.

    Those are control characters, line ends included, marks that turn the direction of writing, and lone surrogates, which
    stand for the bytes of a file name that is no UTF-8. What this returns can be encoded as UTF-8.
    """
    if text.isprintable():
        return text
    shown = (one if one.isprintable() or one in _JOINERS else ascii(one)[1:-1] for one in _decoded(text))
    return "".join(shown)


def encodable(text: str) -> str:
    r"""Return the text with lone surrogates as ``\udce9``, so that UTF-8, and with it JSON, can hold it."""
    return text if text.isascii() else _decoded(text).encode("utf-8", "backslashreplace").decode()


def same_spelling(text: str) -> str:
    """Return the text with composed accents: macOS and Linux may write one name in two ways."""
    return unicodedata.normalize("NFC", text)


def _decoded(text: str) -> str:
    """Return the text as it is where the locale is UTF-8: in others Python knows the bytes of a name alone."""
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:  # no UTF-8 in any locale
        return text
