"""Text from outside, such as names of files and classes, made fit to be shown or stored."""

import unicodedata
from collections.abc import Iterable

#: Categories without a glyph: line ends, control characters, lone surrogates, direction marks.
_HIDDEN = ("Cc", "Cs", "Cf", "Zl", "Zp")

#: Marks that spell words of some scripts and hold emoji together.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Return the text on one line, with escapes such as ``\n`` or ``\x1b`` for hidden characters.

    A byte of a file name that is no UTF-8 becomes ``\xe9``. UTF-8 can encode the result.
    """
    if text.isprintable():
        return text
    return "".join(
        _escaped(character) if _is_hidden(character) else character for character in _decoded(text)
    )


def encodable(text: str) -> str:
    r"""Return the text with bytes that are no UTF-8 as ``\xe9``, so that UTF-8 can encode it."""
    if text.isascii():
        return text
    return "".join(
        _escaped(character) if unicodedata.category(character) == "Cs" else character
        for character in _decoded(text)
    )


def same_spelling(text: str) -> str:
    """Return the text with composed accents: macOS and Linux may write one name in two ways."""
    return unicodedata.normalize("NFC", text)


def shortlist(names: Iterable[str], limit: int = 5) -> str:
    """Return the first names in one line, and the number of the others."""
    names = list(names)
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _decoded(text: str) -> str:
    """Return the text of a file name whose bytes the locale could not decode, but UTF-8 can."""
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:  # no UTF-8 in any locale
        return text


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name, as os.fsdecode returns it
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]
