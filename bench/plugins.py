"""What installed packages offer, by entry points."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from bench.errors import InputError

T = TypeVar("T")


def offered(group: str, what: str, taken: Callable[[str], bool]) -> dict[str, EntryPoint]:
    """Entry points of the group by their names; ``what`` they are, in the plural, and which names are ``taken`` by our own.

    Raises:
        InputError: where one has a name that is taken.
    """
    found = {}
    for point in entry_points(group=group):
        if taken(point.name):
            raise InputError(f"two {what} are called {point.name!r}, one here and one in {point.value}: rename either")
        found[point.name] = point
    return found


def load(point: EntryPoint, kind: type[T], what: str) -> T:
    """What the entry point names.

    Raises:
        InputError: where it cannot be imported, or is no ``kind``.
    """
    try:
        value = point.load()
    except Exception as error:  # anything that somebody's file may do
        raise InputError(f"{point.value} cannot be imported: {type(error).__name__}: {error}: mend its file") from error
    if not isinstance(value, kind):
        raise InputError(f"the entry point {point.name!r} names {point.value}, which is no {what}: name a {kind.__name__}")
    return value
