"""Data set in a folder of the user's own images: ``folder:DIR``.

The images lie in class folders, perhaps below folders for training, validation and testing, or
are listed in a file ``labels.csv`` with the columns path, label and, where known, clean_label and
split. Labels are noise as found, unless clean labels are given. Every file below the folder is
accounted for.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.common.text import shortlist
from bench.datasets.dataset import FOUND, UNKNOWN, Dataset, Source, stratified_choice
from bench.datasets.folder.class_folders import read_class_folders
from bench.datasets.folder.contents import Entry
from bench.datasets.folder.labels_csv import LABELS
from bench.datasets.folder.listed_images import read_listed_images
from bench.datasets.folder.names import notes_on_similar, ordered_classes, plain_form
from bench.datasets.images.files import ImageFiles
from bench.errors import InputError

TEST_SHARE = 0.2

#: Square images of one size, up to this many pixels a side, stay as they are; others become
#: ``USUAL_SIDE``.
LARGEST, USUAL_SIDE = 96, 64


def load(folder: Path, side: int | None = None) -> Dataset:
    """Return the images below ``folder``, in the order of their file names or of ``labels.csv``.

    ``folder`` may be a list of another name, such as reviewed.csv, instead of its folder.
    Without a test split a fifth is held out, always the same. Test labels are the clean ones if all
    of these are known.

    Raises:
        InputError: if the folder cannot be read, or its images cannot be trained and tested on.
    """
    listing = folder if folder.suffix.lower() == ".csv" and folder.is_file() else None
    folder = folder.parent if listing else folder
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {str(folder)!r}: give folder: the path of one with images"
        )
    listing = listing or _listing(folder)
    contents = read_listed_images(folder, listing) if listing else read_class_folders(folder)
    entries, account = contents.entries, contents.account
    classes = ordered_classes(entry.label for entry in entries)
    _check_clean(entries, classes, listing.name if listing else LABELS)
    if len(classes) < 2:
        raise InputError(
            f"{str(folder)!r} has images of {'one' if classes else 'no'} class: put them in at "
            f"least two folders, one a class, or list them in {LABELS} with the columns "
            f"path,label; it has {account.summary}"
        )
    number = {name: position for position, name in enumerate(classes)}
    paths = np.array([entry.path for entry in entries])
    labels = np.array([number[entry.label] for entry in entries])
    clean = np.array([UNKNOWN if entry.clean is None else number[entry.clean] for entry in entries])
    in_test = np.array([entry.split == "test" for entry in entries])
    has_split = bool(in_test.any())
    if not has_split:
        in_test = _held_out(folder, labels, len(classes))
    if in_test.all():
        raise InputError(f"all images of {str(folder)!r} are for testing: name some for training")
    _check_training_classes(classes, labels, in_test, has_split)
    knows_test = bool((clean[in_test] != UNKNOWN).all())
    side = side or _usual_side(folder, paths)
    return Dataset(
        f"folder:{folder}",
        ImageFiles(str(folder), paths[~in_test], side),
        clean[~in_test],
        ImageFiles(str(folder), paths[in_test], side),
        (clean if knows_test else labels)[in_test],
        classes,
        found={FOUND: labels[~in_test]},
        # Labels of a test split that the user made are taken as true.
        noisy_test=not (has_split or knows_test),
        all_names=paths,
        account=replace(account, notes=(*account.notes, *notes_on_similar(classes))),
    )


def _listing(folder: Path) -> Path | None:
    """Return the path of labels.csv; another case of its name counts if there is one such file."""
    try:
        names = [name for name in os.listdir(folder) if name.lower() == LABELS]
    except OSError as error:
        raise InputError(
            f"the folder {str(folder)!r} cannot be opened ({error.strerror}): check its permissions"
        ) from error
    name = LABELS if LABELS in names else names[0] if len(names) == 1 else None
    if len(names) > 1 and name is None:
        raise InputError(
            f"{str(folder)!r} holds {' and '.join(sorted(names))}: keep one, as {LABELS}"
        )
    return folder / name if name else None


def _held_out(folder: Path, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the mask (N,) of the held-out images: a stratified fifth.

    Each class of two images or more has at least one of them, and a class of one image none.
    """
    if len(labels) < 2 * classes:
        raise InputError(
            f"{str(folder)!r} has {len(labels)} images of {classes} classes: too few to test on a "
            "part"
        )
    in_test = np.zeros(len(labels), bool)
    size = max(1, round(TEST_SHARE * len(labels)))
    in_test[stratified_choice(labels, size, np.random.default_rng(0))] = True
    counts = np.bincount(labels, minlength=classes)
    tested = np.bincount(labels[in_test], minlength=classes)
    in_test[counts[labels] == 1] = False
    for label in np.flatnonzero((counts > 1) & (tested == 0)):
        in_test[np.flatnonzero(labels == label)[-1]] = True
    return in_test


def _check_clean(entries: Iterable[Entry], classes: Sequence[str], listing: str) -> None:
    """Raise InputError if a clean label is no class."""
    by_form = {plain_form(name): name for name in classes}
    known = {None, *classes}
    for entry in entries:
        if entry.clean in known:
            continue
        similar = by_form.get(plain_form(str(entry.clean)))
        fix = "correct it, or leave it empty if it is not known"
        if similar:
            fix = f"spell it {similar!r} as in the column label"
        raise InputError(
            f"line {entry.line} of {listing} has the clean label {entry.clean!r}, which no image "
            f"has as its label: {fix}"
        )


def _check_training_classes(
    classes: Sequence[str], labels: np.ndarray, in_test: np.ndarray, has_split: bool
) -> None:
    """Raise InputError unless each class has an image to train on."""
    trained = set(labels[~in_test].tolist())
    absent = [classes[label] for label in sorted(set(labels.tolist()) - trained)]
    by_form = {plain_form(classes[label]): classes[label] for label in sorted(trained)}
    for name in absent:
        if other := by_form.get(plain_form(name)):
            raise InputError(
                f"the test class {name!r} is {other!r} in training: spell it the same in both"
            )
    if absent:
        raise InputError(
            f"no image is left for training of the class {shortlist(absent)}: give it "
            f"{'training images' if has_split else 'at least two images'}, or leave it out"
        )


def _usual_side(folder: Path, paths: np.ndarray) -> int:
    """Return the side of the images if a sample of them has one and the same small square size."""
    from PIL import Image

    sizes = set()
    for name in paths[:: max(1, len(paths) // 100)]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(folder / str(name)) as image:
                    sizes.add(image.size)
        except Exception:  # of any type, on damaged files; decoding names these
            continue
    width, height = next(iter(sizes), (0, 1))
    return width if len(sizes) == 1 and width == height and 8 <= width <= LARGEST else USUAL_SIDE


SOURCE = Source(
    "images of one's own: a folder a class, or a labels.csv of path,label[,clean_label][,split]",
    load,
    size="any; brought to one size",
    access="your own; without true labels the noise is as found; images are 64 pixels wide, or "
    "--image-size",
)
