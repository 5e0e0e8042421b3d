"""Labels of a file brought to the training images of a data set, by order or by path."""

import posixpath
import re
import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.common.text import printable, same_spelling
from bench.datasets import Dataset
from bench.datasets.folder.labels_csv import MISSING
from bench.errors import InputError, unknown
from bench.noise.files import NamedLabels, OrderedLabels, read_file

#: Line, path and label of an image that a file names.
_Row = tuple[int, str, str]


def labels_for(dataset: Dataset, path: Path | str) -> np.ndarray:
    """Return the labels (N,) int64 that a file has for the training images of the data set.

    Raises:
        InputError: where the file cannot be read, or is about other images or classes.
    """
    return match(read_file(path), dataset)


def match(content: OrderedLabels | NamedLabels, dataset: Dataset) -> np.ndarray:
    """Return the labels (N,) int64 of the training images of the data set, out of those of a file.

    Labels in order are those of the training images, or of all images: a folder's in the order of
    its names or its labels.csv, those of arrays with the training images first. Labels by path are
    class names, or else numbers from 0. Their paths are those of ``Dataset.train_names``, possibly
    all below one more folder, with slashes of either kind.
    """
    if isinstance(content, NamedLabels):
        return _by_path(content, dataset)
    labels = _by_order(content, dataset)
    _check_range(content, dataset)
    return labels


def check_labels(labels: np.ndarray, dataset: Dataset, kind: str) -> None:
    """Raise InputError unless the labels, made by a kind of noise, fit the training images."""
    if len(labels) != len(dataset.train_labels):
        raise InputError(
            f"there are {len(labels)} labels in {kind} for {len(dataset.train_labels)} training "
            f"{dataset.unit}s of {dataset.name}: it has to make one for each"
        )
    _check_range(OrderedLabels(kind, labels), dataset)


def _check_range(content: OrderedLabels, dataset: Dataset) -> None:
    labels, classes = content.labels, dataset.num_classes
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise InputError(
            f"the labels in {content.source} go from {labels.min()} to {labels.max()}, but "
            f"{dataset.name} has {classes} classes: count them from 0 (the first that is none of "
            f"them is {labels[wrong[0]]}, {content.where(wrong[0])})"
        )


# ----------------------------------------------------------------------------
# by order


def _by_order(content: OrderedLabels, dataset: Dataset) -> np.ndarray:
    labels, images = content.labels, len(dataset.train_labels)
    places, total = _places(dataset)
    if len(labels) == images:
        _warn_of_another_order(content, dataset, dataset.train_names, np.arange(images))
        return labels
    if places is not None and len(labels) == total:
        _warn_of_another_order(content, dataset, dataset.all_names, places)
        return labels[places]
    counts = (
        f"there are {len(labels)} labels in {content.source} for {images} training "
        f"{dataset.unit}s of {dataset.name}"
    )
    if dataset.subset_of == len(labels):
        raise InputError(
            f"{counts}: they are for all of its training {dataset.unit}s, leave out --subset"
        )
    both = (
        ""
        if places is None
        else f", or {total}, for all {dataset.unit}s with the test {dataset.unit}s"
    )
    raise InputError(f"{counts}: give one for each{both}; {_listing(dataset)} lists them in order")


def _places(dataset: Dataset) -> tuple[np.ndarray | None, int]:
    """Return the place of each training image among all images, (N,), and the number of all.

    The places are None where the order of all images is not known.
    """
    if dataset.all_names is not None and dataset.train_names is not None:
        place = {str(name): number for number, name in enumerate(dataset.all_names)}
        return np.array([place[str(name)] for name in dataset.train_names]), len(place)
    images = len(dataset.train_labels)
    if dataset.train_then_test and dataset.subset_of is None:
        return np.arange(images), images + len(dataset.test_labels)
    return None, 0


def _warn_of_another_order(
    content: OrderedLabels, dataset: Dataset, names: np.ndarray | None, places: np.ndarray
) -> None:
    """Warn where the labels fit far better in the order of class folders, as other tools list them.

    They do if at most a quarter as many of them differ from the labels that came with the images.

    Args:
        names: names (M,) of the labelled images, in the order of the set; None without names.
        places: place of each training image among them, (N,).
    """
    if names is None:
        return
    expected = dataset.best_labels
    order = sorted(range(len(names)), key=lambda place: str(names[place]).split("/"))
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    by_name = float((content.labels[places] != expected).mean())
    by_folder = float((content.labels[rank[places]] != expected).mean())
    if by_folder <= by_name / 4 and by_name > 0:
        warnings.warn(
            f"{100 * by_name:.0f} % of the labels in {content.source} differ from those of "
            f"{dataset.name}, and {100 * by_folder:.0f} % would if they were listed class folder "
            f"by class folder: they are taken in the order that {_listing(dataset)} lists; give "
            "them by path, as path,label, to be sure",
            stacklevel=2,
        )


def _listing(dataset: Dataset) -> str:
    return f"python -m bench.data images {shlex.quote(dataset.name)}"


# ----------------------------------------------------------------------------
# by path


def _by_path(content: NamedLabels, dataset: Dataset) -> np.ndarray:
    names = dataset.train_names
    if names is None:
        raise InputError(
            f"{content.source} names images by their paths, but those of {dataset.name} have none: "
            f"give a label a line in order; {_listing(dataset)} lists them"
        )
    rows, strangers = _rows_by_name(
        content, names if dataset.all_names is None else dataset.all_names
    )
    training = [rows.get(str(name)) for name in names]
    lacking = [str(name) for name, row in zip(names, training, strict=True) if row is None]
    others = ""
    if strangers:
        line, path, _ = strangers[0]
        lines = f"{len(strangers)} line{'s' * (len(strangers) != 1)}"
        others = f"{lines} of it name no image of {dataset.name}, such as line {line} ({path!r})"
    if lacking:
        raise InputError(
            f"{content.source} has no label for {len(lacking)} of {len(names)} training images of "
            f"{dataset.name}, such as {lacking[0]!r}{f', and {others}' if others else ''}: give "
            f"each a line; {_listing(dataset)} lists them"
        )
    if others:
        warnings.warn(
            f"{content.source} has more labels than there are images: {others}", stacklevel=2
        )
    return _class_numbers(content.source, [row for row in training if row is not None], dataset)


def _rows_by_name(content: NamedLabels, names: Iterable[str]) -> tuple[dict[str, _Row], list[_Row]]:
    """Return the row of each image that the file names, and the rows that name no image."""
    rows: dict[str, _Row] = {}
    strangers = []
    paths = _Spellings(map(str, names)).resolve([path for _, path, _ in content.rows])
    for row, name in zip(content.rows, paths, strict=True):
        if name is None:
            strangers.append(row)
        elif name in rows:
            raise InputError(
                f"lines {rows[name][0]} and {row[0]} of {content.source} name the same image "
                f"{name!r}: give each one line"
            )
        else:
            rows[name] = row
    return rows, strangers


class _Spellings:
    """Lookup of image names by the spellings that a file may have."""

    def __init__(self, names: Iterable[str]) -> None:
        exact = {name: name for name in names}
        self._tables = [exact, _unique(exact, printable), _unique(exact, same_spelling)]

    def resolve(self, paths: Sequence[str]) -> list[str | None]:
        """Return the name of the image of each path; None where there is none.

        Absolute paths are taken to lie in one folder. So are relative ones, if none of them is the
        name of an image.
        """
        names = [self._look_up(path) for path in paths]
        absolute = [_is_absolute(path) for path in paths]
        for kind in (True, False):
            alike = [number for number, is_absolute in enumerate(absolute) if is_absolute == kind]
            if kind or not any(names[number] is not None for number in alike):
                below = self._below_one_folder([paths[number] for number in alike])
                for number, name in zip(alike, below, strict=True):
                    names[number] = names[number] or name
        return names

    def _look_up(self, path: str) -> str | None:
        for spelling in (path, path.strip(), _plain(path)):
            keys = (spelling, spelling, same_spelling(spelling))
            for table, key in zip(self._tables, keys, strict=True):
                if key in table:
                    return table[key]
        return None

    def _below_one_folder(self, paths: Sequence[str]) -> list[str | None]:
        """Return the names below the folder that makes most of the paths names of images."""
        plain = [_plain(path) for path in paths]
        samples = {plain[0], plain[len(plain) // 2], plain[-1]} if plain else set()
        folders = {
            path[: slash.start() + 1] for path in samples for slash in re.finditer("/", path)
        }
        best: list[str | None] = [None] * len(plain)
        for folder in sorted(folders, key=lambda folder: (len(folder), folder)):
            names = [
                self._look_up(path[len(folder) :]) if path.startswith(folder) else None
                for path in plain
            ]
            if names.count(None) < best.count(None):
                best = names
        return best


def _unique(names: Iterable[str], spell: Callable[[str], str]) -> dict[str, str]:
    """Return names by their spelling, without spellings that two names share."""
    table: dict[str, str] = {}
    twice = set()
    for name in names:
        spelling = spell(name)
        twice.update({spelling} & table.keys())
        table[spelling] = name
    return {spelling: name for spelling, name in table.items() if spelling not in twice}


def _plain(path: str) -> str:
    """Return the path without detours, with slashes."""
    return posixpath.normpath(path.strip().replace("\\", "/"))


def _is_absolute(path: str) -> bool:
    return re.match(r"\s*([/\\]|[A-Za-z]:)", path) is not None


def _class_numbers(source: str, rows: Sequence[_Row], dataset: Dataset) -> np.ndarray:
    """Return the classes (N,) of these rows, whose labels are all names, or all numbers."""
    names: dict[str, int] = {}
    for number, name in enumerate(dataset.classes):
        for spelling in (name, name.strip(), same_spelling(name), printable(name)):
            names.setdefault(spelling, number)
    no_names = [row for row in rows if _class_of(row[2], names) is None]
    if not no_names:
        return np.array([_class_of(label, names) for _, _, label in rows], dtype=np.int64)
    no_numbers = [row for row in rows if not _is_number(row[2], dataset.num_classes)]
    if not no_numbers:
        return np.array([int(label) for _, _, label in rows], dtype=np.int64)
    missing = next((row for row in no_names if row[2] in ("", *MISSING)), None)
    line, _, label = missing or (no_names if len(no_names) <= len(no_numbers) else no_numbers)[0]
    where = f"line {line} of {source}"
    if missing:
        raise InputError(
            f"{where} has no label ({label!r}): fill it in, for each training image needs one"
        )
    if re.fullmatch(r"[-+]?[0-9]+([.,][0-9]*)?(e[-+]?[0-9]+)?", label):
        raise InputError(
            f"{where} has the label {label!r}, but {dataset.name} has {dataset.num_classes} "
            f"classes: write their names, or whole numbers from 0 to {dataset.num_classes - 1}"
        )
    raise InputError(
        f"{where} has a wrong label: {unknown(f'class of {dataset.name}', label, dataset.classes)}"
    )


def _class_of(label: str, names: Mapping[str, int]) -> int | None:
    return names.get(label, names.get(same_spelling(label)))


def _is_number(label: str, classes: int) -> bool:
    return re.fullmatch("[0-9]{1,9}", label) is not None and int(label) < classes
