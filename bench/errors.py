"""Errors that a user can mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A wrong name, value or file. The message is one sentence that names the fix; commands exit with status 2."""


class Unavailable(InputError):
    """Data, a file or a plugin that this machine lacks: no fault of the method's."""


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not among the ``known`` ones, with suggestions."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(known) or 'none'}"
    return InputError(f"there is no {what} {name!r}: {hint}")
