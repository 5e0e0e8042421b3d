"""Progress of long loops; silent, unless a command sets where it is shown."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Tracker = Callable[[Iterable[Any], str], Iterable[Any]]


def _silent(items: Iterable[Any], description: str) -> Iterable[Any]:
    return items


def _mute(text: str) -> None:
    """Drop a message."""


_tracker: Tracker = _silent
_announce: Callable[[str], None] = _mute


def show(tracker: Tracker, announcer: Callable[[str], None]) -> None:
    """Set the functions behind ``track`` and ``announce``, for this process."""
    global _tracker, _announce
    _tracker, _announce = tracker, announcer


def track(items: Iterable[Any], description: str) -> Iterator[Any]:
    """Yield the items of a long loop, and show how many are done."""
    yield from _tracker(items, description)


def announce(text: str) -> None:
    """Show one sentence about work that takes long."""
    _announce(text)
