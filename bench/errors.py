"""Errors that a user can mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A wrong name, value or file. The message is one sentence that names the fix; commands exit with status 2."""


def one_line(error: BaseException) -> str:
    """Type and text of an error in one line; the type alone where there is no text, or none to be had."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # somebody's own class of errors
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not among the ``known`` ones, with suggestions."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(known) or 'none'}"
    return InputError(f"there is no {what} {name!r}: {hint}")
