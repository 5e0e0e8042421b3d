"""Photographs from the web, as the lists of their authors name them.

Nothing is downloaded, and images stay in their files. The true classes of most training images are
unknown.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.datasets.dataset import FOUND, UNKNOWN, Dataset
from bench.datasets.images.files import ImageFiles
from bench.errors import InputError

#: Images with their labels (N,).
Part = tuple[ImageFiles, np.ndarray]

#: Number of images, beside the first and the last, that have to be there.
_SAMPLE = 16


def find_root(data_dir: Path, marker: str, *folders: str) -> Path:
    """Return the folder that holds ``marker``: ``data_dir`` or one of the usual names within it."""
    for folder in (data_dir, *(data_dir / name for name in folders)):
        if (folder / marker).exists():
            return folder
    raise InputError(
        f"{str(data_dir)!r} holds no {marker}, nor does {' or '.join(folders)} within it: name the "
        "folder of the set with --data-dir"
    )


def read_lines(path: Path, header: str | None = None) -> list[str]:
    """Return the lines of a list, without blank ones and the one that begins with ``header``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(
            f"{str(path)!r} cannot be read ({reason}): fetch it again, and name its folder with "
            "--data-dir"
        ) from error
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise InputError(f"{str(path)!r} is empty: fetch it again")
    return lines if header is None else [line for line in lines if not line.startswith(header)]


def read_names(path: Path, header: str | None = None) -> list[str]:
    """Return the lines of a list of names, each of which occurs once."""
    names = read_lines(path, header)
    check_distinct(names, path)
    return names


def check_distinct(names: Sequence[str], path: Path) -> None:
    """Raise InputError if a name of the list occurs twice."""
    earlier: set[str] = set()
    for name in names:
        if name in earlier:
            raise InputError(f"{str(path)!r} lists {name!r} twice: fetch it again")
        earlier.add(name)


def read_labels(path: Path, num_classes: int) -> dict[str, int]:
    """Return the class of each image in a list whose lines are "NAME CLASS"."""
    labels = []
    for line in read_lines(path):
        name, _, label = line.replace("\t", " ").rpartition(" ")
        if not name or not re.fullmatch("[0-9]+", label):
            raise InputError(
                f"{str(path)!r} has a line {line!r}: each names an image and the number of its "
                "class"
            )
        if int(label) >= num_classes:
            raise InputError(
                f"{str(path)!r} gives {name!r} class {label}, but {num_classes} classes are "
                "counted from 0: fetch it again"
            )
        labels.append((name.strip(), int(label)))
    check_distinct([name for name, _ in labels], path)
    return dict(labels)


def part(root: Path, names: Sequence[str], labels: Iterable[int], side: int, source: Path) -> Part:
    """Return the images that the list ``source`` names, with labels; check that a sample exists."""
    if not names:
        raise InputError(f"{str(source)!r} names no image of this set: fetch it again")
    last = len(names) - 1
    sample = np.random.default_rng(0).integers(0, last, _SAMPLE, endpoint=True)
    for position in sorted({0, last, *sample.tolist()}):
        if not (root / names[position]).is_file():
            raise InputError(
                f"{str(root / names[position])!r} is missing, one of {len(names):,} images that "
                f"{str(source)!r} names: unpack the set's images there, or mend --data-dir"
            )
    return ImageFiles(str(root), np.array(names), side), np.array([*labels], np.int64)


def existing_layout(root: Path, *layouts: list[str]) -> list[str]:
    """Return the names of the layout whose first image is there, else those of the first layout."""
    return next((names for names in layouts if names and (root / names[0]).is_file()), layouts[0])


def dataset(
    name: str,
    train: Part,
    test: Part,
    classes: Sequence[str],
    truth: np.ndarray | None = None,
    extra_tests: Mapping[str, Part] | None = None,
) -> Dataset:
    """Return the data set of these images, whose training labels are noisy.

    ``truth`` are the true classes of the training images, if any are known. InputError says so if
    training and test images overlap.
    """
    train_images, noisy = train
    test_images, test_labels = test
    extra_tests = dict(extra_tests or {})
    for part in (test_images, *(part for part, _ in extra_tests.values())):
        common = set(train_images.names.tolist()) & set(part.names.tolist())
        if train_images.root == part.root and common:
            raise InputError(
                f"{name} tests on {len(common):,} of the images that it trains on, such as "
                f"{min(common)!r}: fetch its lists again"
            )
    return Dataset(
        name,
        train_images,
        np.full(len(noisy), UNKNOWN) if truth is None else truth,
        test_images,
        test_labels,
        tuple(classes),
        found={FOUND: noisy},
        extra_tests=extra_tests,
    )
