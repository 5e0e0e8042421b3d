"""Code of other packages: entry points, and imports and calls whose errors are one sentence."""

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
def blame(place: str, call: str) -> Iterator[None]:
    """Context in which any exception of a plugin, SystemExit too, becomes one sentence.

    KeyboardInterrupt passes.

    Args:
        place: the plugin's file or entry point, with which the sentence begins.
        call: the call that runs in it, such as "space(draw)".
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except InputError as error:
        if str(error).startswith(f"{place}: "):  # a context within this one has added it
            raise
        raise InputError(f"{place}: {error}") from error
    except BaseException as error:
        raise InputError(f"{place}: {call} raised {one_line(error)}: mend it") from error


# ----------------------------------------------------------------------------------------------
# modules


def import_file(module_name: str) -> ModuleType:
    """Import a plugin's module; what it prints goes to the error stream, not to the output.

    Raises:
        InputError: where it cannot be imported.
    """
    place = module_name
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec = importlib.util.find_spec(module_name)  # imports the packages around it
            if spec is not None and spec.origin:
                place = display_path(spec.origin)
            return importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    except BaseException as error:  # a plugin's file may raise anything
        file = error.filename if isinstance(error, SyntaxError) else None
        where = f" in {file!r}" if file else ""
        raise InputError(
            f"{place} cannot be imported: {one_line(error)}{where}: {_advice(module_name, error)}"
        ) from error


def _advice(module_name: str, error: BaseException) -> str:
    """Return the advice about a module that cannot be imported."""
    package, _, name = module_name.rpartition(".")
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    known = package in sys.modules and absent and absent != name and "." not in absent
    if known and importlib.util.find_spec(f"{package}.{absent}"):
        return f"write from {package} import {absent}"
    return "mend its file"


def find_file(module_name: str) -> str:
    """Return the path of a module's source, without running it.

    Raises:
        InputError: where there is none.
    """
    with _importing(module_name):
        spec = importlib.util.find_spec(module_name)  # imports the packages around it
    if spec is None or not spec.origin:
        raise InputError(
            f"{module_name} cannot be imported: there is no such file: install it, or mend its "
            "entry point"
        )
    return spec.origin


@contextlib.contextmanager
def _importing(place: str) -> Iterator[None]:
    """Context in which an exception says that ``place`` cannot be imported."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's file may raise anything
        raise InputError(f"{place} cannot be imported: {one_line(error)}: mend its file") from error


def display_path(path: str | Path) -> str:
    """Return the path of a file for people: relative if it lies below the working directory."""
    try:
        return str(Path(path).relative_to(os.getcwd()))
    except (ValueError, OSError):  # OSError: the working directory was removed
        return str(path)


def file_of(module: ModuleType) -> str:
    """Return the file of a plugin's module, for people."""
    return display_path(module.__file__ or module.__name__)


# ----------------------------------------------------------------------------------------------
# entry points


def points_by_name(group: str) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a group by name.

    Several packages may offer the same name; ``single_point`` refuses such a name when it is used.
    """
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        same = points.setdefault(point.name, [])
        if all(point.value != other.value for other in same):
            same.append(point)
    return points


def single_point(points: Sequence[EntryPoint], items: str, taken: bool) -> EntryPoint:
    """Return the only entry point of a name.

    Args:
        points: all of that name, at least one.
        items: the things that entry points of the group name, in the plural.
        taken: whether this package has that name itself.

    Raises:
        InputError: where something else has the name too.
    """
    first, *others = points
    if taken or others:
        places = (
            f"one here and one in {first.value}"
            if taken
            else f"one in {first.value} and one in {others[0].value}"
        )
        raise InputError(f"two {items} are called {first.name!r}, {places}: rename either")
    return first


def load(point: EntryPoint, kind: type[T], item: str) -> T:
    """Return the object that an entry point names.

    Raises:
        InputError: where it cannot be imported, or is no ``kind``.
    """
    with _importing(point.value):
        value = point.load()
    if not isinstance(value, kind):
        raise InputError(
            f"the entry point {point.name!r} names {point.value}, which is no {item}: name a "
            f"{kind.__name__}"
        )
    return value
