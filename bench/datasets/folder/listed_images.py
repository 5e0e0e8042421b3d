"""Images that labels.csv lists, wherever they lie."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from bench.common.text import printable, same_spelling, shortlist
from bench.datasets.folder.contents import (
    LIST,
    NO_USE,
    NOT_LISTED,
    UNUSED_VALIDATION,
    Contents,
    Entry,
    PassedOver,
)
from bench.datasets.folder.file_walk import File, walk
from bench.datasets.folder.image_formats import UNOPENABLE
from bench.datasets.folder.labels_csv import LABELS, Row, read_labels
from bench.datasets.folder.names import split_of
from bench.errors import InputError


def read_listed_images(folder: Path, path: Path) -> Contents:
    """Return the images that the file of labels at ``path`` lists, in its order."""
    if not path.is_file():
        raise InputError(f"{str(path)!r} is no file that can be read: mend or remove it")
    rows, notes = read_labels(path)
    files, _ = walk(str(folder))
    listed = _locate(folder, path, rows, files)
    passed = PassedOver()
    # A place can be reached by several paths: one that is not passed over wins.
    names = {file.place: file.name for file in files}
    names |= {file.place: file.name for file in files if file.reason is None}
    used = {names[place] for place in listed if place in names}
    for file in files:
        if file.name == path.name:
            passed[LIST].append(file.name)
        elif file.name not in used and passed.is_usable(folder, file):
            passed[NOT_LISTED].append(file.name)
    outside = sum(place not in names for place in listed)
    if outside:
        notes.append(f"images that {LABELS} lists outside the folder, counted too: {outside:,}")
    parts = {row.split for row in rows}
    notes += _notes_on_splits(parts, listed.values())
    entries = []
    for row, (place, name) in zip(rows, listed.items(), strict=True):
        if not os.access(place, os.R_OK):
            passed[UNOPENABLE].append(name)
        elif row.split == "val" and "test" in parts:
            passed[NO_USE].append(name)
        else:
            split = "test" if row.split == "val" else row.split
            entries.append(Entry(name, row.label, row.clean, split, row.line))
    return Contents(entries, passed.account(len(files) + outside, notes))


def _notes_on_splits(parts: set[str | None], names: Iterable[str]) -> list[str]:
    """Return sentences about the use of validation images, and about folders named as splits."""
    if "val" in parts:
        tested = (
            f"{LABELS} has no test images: its validation images are what methods are tested on"
        )
        return [UNUSED_VALIDATION if "test" in parts else tested]
    tops = {name.split("/")[0] for name in names if "/" in name}
    if parts == {None} and (named := sorted(top for top in tops if split_of(top))):
        return [
            f"{LABELS} gives no split, so that the folders' names "
            f"({shortlist(map(printable, named))}) have no meaning: a fifth of all images is held "
            "out for testing"
        ]
    return []


def _locate(folder: Path, path: Path, rows: Iterable[Row], files: Iterable[File]) -> dict[str, str]:
    """Return the file of each row: its place -> its name from the folder, in the rows' order."""
    by_spelling = defaultdict(list)
    for file in files:
        by_spelling[_spelling(file.name)].append(file.name)
    finder = _Finder(str(folder), by_spelling)
    located: dict[str, str] = {}
    lines: dict[str, int] = {}
    absent = []
    for row in rows:
        name = finder.name(row.path)
        if name is None:
            absent.append(row)
            continue
        target = os.path.realpath(os.path.join(folder, name))
        if target in lines:
            raise InputError(
                f"lines {lines[target]} and {row.line} of {str(path)!r} name an image twice "
                f"({printable(name)}): give each image one line"
            )
        lines[target] = row.line
        located[finder.place(name)] = name
    if absent:
        others = len(absent) - 1
        more = f" (nor are those of {others:,} other line{'s' * (others > 1)})" if others else ""
        raise InputError(
            f"line {absent[0].line} of {str(path)!r} names {absent[0].path!r}, which is not "
            f"there{more}: paths start from the folder of {LABELS}"
        )
    return located


def _spelling(name: str) -> str:
    """Return a name in one normal form, with escapes as ``python -m bench.data images`` has."""
    return same_spelling(printable(name))


class _Finder:
    """Finds files by the paths that people write."""

    def __init__(self, folder: str, by_spelling: Mapping[str, Sequence[str]]) -> None:
        self.folder = folder
        self.root = os.path.realpath(folder)
        self.by_spelling = by_spelling  # spelling of a name -> names of files below the folder
        self._real = cache(os.path.realpath)

    def name(self, written: str) -> str | None:
        """Return the file's path from the folder, or its absolute path if it lies elsewhere."""
        slashes = written.strip().replace("\\", "/")
        for spelling in dict.fromkeys((written, written.strip(), slashes)):
            if self._is_file(spelling):
                return self._normal(spelling)
        for spelling in (os.path.normpath(slashes), written):
            same = self.by_spelling.get(_spelling(spelling), ())
            if len(same) == 1 and self._is_file(same[0]):
                return same[0]
        return None

    def _is_file(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self.folder, name))

    def place(self, name: str) -> str:
        """Return the real path of the folder that holds the file, with the file's own name."""
        above, base = os.path.split(os.path.join(self.folder, name))
        return os.path.join(self._real(above), base)

    def _normal(self, name: str) -> str:
        """Return the shortest spelling of a path that leads to the same file."""
        place = self.place(name)
        if os.path.isabs(name):
            below = place.startswith(os.path.join(self.root, ""))
            return os.path.relpath(place, self.root) if below else os.path.normpath(name)
        normal = os.path.normpath(name)
        return normal if self.place(normal) == place else name  # a link before ".." leads elsewhere
