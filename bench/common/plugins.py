"""Code of other people: found by its entry points, and imported and called so that a fault in it is
one sentence.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from bench.errors import InputError, one_line

T = TypeVar("T")


@contextlib.contextmanager
def blame(place: str, doing: str) -> Iterator[None]:
    """Context in which any exception of a plugin, SystemExit too, becomes one sentence; an
    interrupt passes.

    Args:
        place: the plugin's file or entry point, with which the sentence begins.
        doing: what raises, such as "space(draw)".
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except InputError as error:
        if str(error).startswith(f"{place}: "):  # said already, by a call within this one
            raise
        raise InputError(f"{place}: {error}") from error
    except BaseException as error:
        raise InputError(f"{place}: {doing} raised {one_line(error)}: mend it") from error


def import_file(module_name: str) -> ModuleType:
    """Import a plugin's module. What it prints goes to the error stream: a command's output is its
    own.

    Raises:
        InputError: where it cannot be imported.
    """
    place = module_name
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec = importlib.util.find_spec(module_name)  # imports the packages around it
            if spec is not None and spec.origin:
                place = shown(spec.origin)
            return importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    except BaseException as error:  # anything that somebody's file may do
        where = (
            f" in {error.filename!r}" if isinstance(error, SyntaxError) and error.filename else ""
        )
        raise InputError(
            f"{place} cannot be imported: {one_line(error)}{where}: {_mending(module_name, error)}"
        ) from error


def _mending(module_name: str, error: BaseException) -> str:
    """Return the advice about a module that cannot be imported."""
    package, _, name = module_name.rpartition(".")
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    known = package in sys.modules and absent and absent != name and "." not in absent
    if known and importlib.util.find_spec(f"{package}.{absent}"):
        return f"write from {package} import {absent}"
    return "mend its file"


def find_file(module_name: str) -> str:
    """Path of a module's source, without running it.

    Raises:
        InputError: where there is none.
    """
    try:
        spec = importlib.util.find_spec(module_name)  # imports the packages around it
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # anything that their files may do
        raise InputError(
            f"{module_name} cannot be imported: {one_line(error)}: mend its file"
        ) from error
    if spec is None or not spec.origin:
        raise InputError(
            f"{module_name} cannot be imported: there is no such file: install it, or mend its "
            "entry point"
        )
    return spec.origin


def shown(path: str | Path) -> str:
    """A file's path for people: relative to the working folder where it lies below that."""
    try:
        return str(Path(path).relative_to(os.getcwd()))
    except (ValueError, OSError):  # OSError: the working folder was removed
        return str(path)


def file_of(module: ModuleType) -> str:
    """The file of a plugin's module, for people."""
    return shown(module.__file__ or module.__name__)


def offered(group: str) -> dict[str, list[EntryPoint]]:
    """Entry points of the group by name. Several installed packages may offer the same name: see
    ``only``.
    """
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        same = points.setdefault(point.name, [])
        if all(point.value != other.value for other in same):
            same.append(point)
    return points


def only(points: Sequence[EntryPoint], what: str, taken: bool) -> EntryPoint:
    """The entry point of a name.

    Args:
        points: all of that name, at least one.
        what: what they name, in the plural.
        taken: whether this package has that name itself.

    Raises:
        InputError: where another one has the name too. Names that nobody asks for hide nothing.
    """
    first, *others = points
    if taken:
        raise InputError(
            f"two {what} are called {first.name!r}, one here and one in {first.value}: rename "
            "either"
        )
    if others:
        raise InputError(
            f"two {what} are called {first.name!r}, one in {first.value} and one in "
            f"{others[0].value}: rename either"
        )
    return first


def load(point: EntryPoint, kind: type[T], what: str) -> T:
    """What the entry point names.

    Raises:
        InputError: where it cannot be imported, or is no ``kind``.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            value = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # anything that somebody's file may do
        raise InputError(
            f"{point.value} cannot be imported: {one_line(error)}: mend its file"
        ) from error
    if not isinstance(value, kind):
        raise InputError(
            f"the entry point {point.name!r} names {point.value}, which is no {what}: name a "
            f"{kind.__name__}"
        )
    return value
