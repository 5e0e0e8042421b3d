"""Errors that a user can mend."""

import difflib
from collections.abc import Iterable

#: Longest wrong name that a message repeats whole.
_NAME_LENGTH = 200


class InputError(ValueError):
    """A wrong name, value or file: the message is one sentence that names the fix.

    Commands exit with status 2.
    """


class Unavailable(InputError):
    """Data, a file or a plugin that this machine lacks: the method is not at fault."""


def one_line(error: BaseException) -> str:
    """Return type and text of an error in one line; the type alone where it has no text."""
    text = " ".join(_text(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def reason_of(error: BaseException) -> str:
    """Return the text of an error in one line, or its type."""
    return " ".join(_text(error).split()) or type(error).__name__


def last_line(error: BaseException) -> str:
    """Return the last line of an error's text, or its type.

    A traceback that was kept as text names the original error there.
    """
    return _text(error).split("\n")[-1] or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type."""
    return _text(error).split("\n")[0] or type(error).__name__


def _text(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # an error class of a plugin or library may fail to print
        return ""


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not among the ``known`` ones, with suggestions."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    choices = f"choose from {', '.join(known)}" if known else "there are none"
    hint = f"did you mean {' or '.join(close)}?" if close else choices
    shown = name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}..."
    return InputError(f"there is no {what} {shown!r}: {hint}")
