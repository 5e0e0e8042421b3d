"""Text that somebody else wrote, such as the names of files and classes, made fit to be shown or
stored.
"""

import unicodedata
from collections.abc import Iterable

#: Line ends, control characters, lone surrogates, and marks without a glyph, such as those that
#: turn writing around.
_HIDDEN = ("Cc", "Cs", "Cf", "Zl", "Zp")

#: Without these marks words of some scripts are spelt wrongly, and some emoji fall apart.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    r"""Return the text on one line: whatever has no glyph is shown as Python writes it, such as
    ``\n`` or ``\x1b``.

    A byte of a file name that is no UTF-8 becomes ``\xe9``. What this returns can be encoded as
    UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(one) if _is_hidden(one) else one for one in _decoded(text))


def encodable(text: str) -> str:
    r"""Return the text with bytes that are no UTF-8 as ``\xe9``, so that UTF-8, and with it JSON,
    can hold it.
    """
    if text.isascii():
        return text
    return "".join(
        _escaped(one) if unicodedata.category(one) == "Cs" else one for one in _decoded(text)
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
    """Return the text as it is where the locale is UTF-8: in others Python knows the bytes of a
    name alone.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:  # no UTF-8 in any locale
        return text


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name, as os.fsdecode gives it
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]
