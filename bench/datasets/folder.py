"""A folder of one's own images: ``folder:DIR``.

Either a folder a class, or a file ``labels.csv`` with the columns path, label and, where known, clean_label and split
("train" or "test"). Labels are noise as found, unless clean labels are given.
"""

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets.base import FOUND, UNKNOWN, Dataset, Source, stratified_choice
from bench.datasets.files import ImageFiles
from bench.errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
LABELS = "labels.csv"
TEST_SHARE = 0.2

#: Images of one size, up to this many pixels a side, stay as they are; others are brought to ``USUAL_SIDE``.
LARGEST, USUAL_SIDE = 96, 64


@dataclass(frozen=True)
class _Entry:
    path: str
    label: str
    clean: str | None
    split: str | None


def load(folder: Path, side: int | None = None) -> Dataset:
    """The images below ``folder``, in the order of their file names.

    Without a test split a fifth is held out, always the same. Test labels are the clean ones where all of these are known.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}: give folder: the path of one with images")
    entries = _from_csv(folder / LABELS) if (folder / LABELS).exists() else _from_folders(folder)
    classes = _classes(entry.label for entry in entries) if entries else ()
    names = {entry.clean for entry in entries if entry.clean is not None} - set(classes)
    if names:
        raise InputError(f"{LABELS} has clean labels that no image is labelled with ({', '.join(sorted(names))}): check them")
    if len(classes) < 2:
        raise InputError(
            f"{str(folder)!r} has images of {len(classes)} classes: put them in at least two folders, one a class, "
            f"or list them in {LABELS} with the columns path,label"
        )
    number = {name: position for position, name in enumerate(classes)}
    paths = np.array([entry.path for entry in entries])
    found = np.array([number[entry.label] for entry in entries])
    clean = np.array([UNKNOWN if entry.clean is None else number[entry.clean] for entry in entries])
    in_test = np.array([entry.split == "test" for entry in entries])
    knows_test = bool(in_test.any())  # whoever set images apart for testing trusts their labels
    if not knows_test:
        if len(entries) < 2 * len(classes):
            raise InputError(f"{str(folder)!r} has {len(entries)} images of {len(classes)} classes: too few to test on a part")
        size = max(1, round(TEST_SHARE * len(entries)))
        in_test[stratified_choice(found, size, np.random.default_rng(0))] = True
    if in_test.all():
        raise InputError(f"all images of {str(folder)!r} are for testing: name some for training")
    absent = sorted(set(found[in_test]) - set(found[~in_test]))
    if absent:
        raise InputError(
            f"no image is left for training of the class {', '.join(classes[label] for label in absent)}: "
            f"give it at least two images, or leave it out"
        )
    cleaned = bool((clean[in_test] != UNKNOWN).all())
    side = side or _usual_side(folder, paths)
    return Dataset(
        f"folder:{folder}",
        ImageFiles(str(folder), paths[~in_test], side),
        clean[~in_test],
        ImageFiles(str(folder), paths[in_test], side),
        (clean if cleaned else found)[in_test],
        classes,
        found={FOUND: found[~in_test]},
        noisy_test=not (knows_test or cleaned),
        all_names=paths,
    )


def _classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Names in order: of numbers by value, else of the alphabet."""
    distinct = set(labels)
    return tuple(sorted(distinct, key=int) if all(name.isdigit() for name in distinct) else sorted(distinct))


def _from_folders(folder: Path) -> list[_Entry]:
    """Folders of classes, below ``train`` and ``test`` where there are these two."""
    parts: Mapping[str | None, Path] = {None: folder}
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        parts = {"train": folder / "train", "test": folder / "test"}
    entries = [
        _Entry(path.relative_to(folder).as_posix(), owner.name, None, split)
        for split, part in parts.items()
        for owner in sorted(part.iterdir())
        if owner.is_dir() and not owner.name.startswith(".")
        for path in sorted(owner.rglob("*"))
        if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith(".")
    ]
    # By the file's own name first: images exported with their numbers keep their order, whatever their class.
    return sorted(entries, key=lambda entry: (Path(entry.path).name, entry.path))


def _from_csv(path: Path) -> list[_Entry]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{str(path)!r} cannot be read as CSV ({error}): save it as UTF-8") from error
    if len(columns) == 1 and ";" in columns[0]:
        raise InputError(f"the columns of {str(path)!r} are separated by semicolons: save it with commas")
    if missing := {"path", "label"} - set(columns):
        raise InputError(f"{str(path)!r} has no column {' and '.join(sorted(missing))}: its first line names path,label")
    entries = []
    for number, row in enumerate(rows, 2):
        name, label, clean, split = ((row.get(key) or "").strip() for key in ("path", "label", "clean_label", "split"))
        where = f"line {number} of {str(path)!r}"
        if not name or not label:
            raise InputError(f"{where} lacks a path or a label: fill it in, or delete the line")
        if split not in ("", "train", "test"):
            raise InputError(f"{where} has the split {split!r}: write train or test")
        if not (path.parent / name).is_file():
            raise InputError(f"{where} names {name!r}, which is not there: paths start from the folder of {LABELS}")
        entries.append(_Entry(os.path.normpath(name), label, clean or None, split or None))
    if len({entry.path for entry in entries}) < len(entries):
        raise InputError(f"{str(path)!r} names an image twice: give each one line")
    return entries


def _usual_side(folder: Path, paths: np.ndarray) -> int:
    """The side of the images if a sample of them has one and the same small square size."""
    from PIL import Image

    sizes = set()
    for name in paths[:: max(1, len(paths) // 100)]:
        try:
            with Image.open(folder / str(name)) as image:
                sizes.add(image.size)
        except (OSError, ValueError, SyntaxError):
            continue  # a broken one; named when it is decoded
    width, height = next(iter(sizes), (0, 1))
    return width if len(sizes) == 1 and width == height and 8 <= width <= LARGEST else USUAL_SIDE


SOURCE = Source(
    "images of one's own: a folder a class, or a labels.csv of path,label[,clean_label][,split]",
    load,
    size="any; brought to one size",
    access="your own; without true labels the noise is as found; images are 64 pixels wide, or --image-size",
)
