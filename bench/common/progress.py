"""Progress of long loops: silent, until a command says where it is shown."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Tracker = Callable[[Iterable[Any], str], Iterable[Any]]


def _silent(items: Iterable[Any], description: str) -> Iterable[Any]:
    return items


def _unheard(text: str) -> None:
    """Drop a message."""


_tracker: Tracker = _silent
_announce: Callable[[str], None] = _unheard


def show(tracker: Tracker, announcer: Callable[[str], None]) -> None:
    """Set what ``track`` and ``announce`` call, for this process."""
    global _tracker, _announce
    _tracker, _announce = tracker, announcer


def track(items: Iterable[Any], description: str) -> Iterator[Any]:
    """Yield the items of a loop that takes long, and show how far it is."""
    yield from _tracker(items, description)


def announce(text: str) -> None:
    """Tell the user what takes long, in one sentence."""
    _announce(text)
