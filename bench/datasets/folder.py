"""A folder of one's own images: ``folder:DIR``.

Either a folder a class, perhaps below folders for training, validation and testing, or a file
``labels.csv`` with the columns path, label and, where known, clean_label and split. Labels are
noise as found, unless clean labels are given. Every file below the folder is accounted for.
"""

import os
import re
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np

from bench.common.text import printable
from bench.datasets.account import Account, shortlist
from bench.datasets.base import FOUND, UNKNOWN, Dataset, Source, stratified_choice
from bench.datasets.files import ImageFiles
from bench.datasets.formats import UNOPENABLE, objection
from bench.datasets.labels import LABELS, Row, class_name, read_labels, split_of, split_within
from bench.datasets.walk import File, order, walk
from bench.errors import InputError

TEST_SHARE = 0.2

#: Images of one size, up to this many pixels a side, stay as they are; others become
#: ``USUAL_SIDE``.
LARGEST, USUAL_SIDE = 96, 64

#: Reasons to pass over an image.
NO_CLASS = "outside any class folder"
NO_USE = "validation images, not used"
NOT_LISTED = f"not listed in {LABELS}"
LIST = "the list of labels itself"

_UNUSED = "validation images have no use beside test images: a noisy validation set is split off the training images"


@dataclass(frozen=True)
class _Entry:
    path: str
    label: str
    clean: str | None
    split: str | None
    line: int = 0  # of labels.csv


@dataclass(frozen=True)
class _Contents:
    """Images of a folder with their labels, and what is said about the other files."""

    entries: Sequence[_Entry]
    account: Account


def load(folder: Path, side: int | None = None) -> Dataset:
    """Return the images below ``folder``, in the order of their file names or of ``labels.csv``.

    Without a test split a fifth is held out, always the same. Test labels are the clean ones where
    all of these are known.
    """
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {str(folder)!r}: give folder: the path of one with images"
        )
    listing = _listing(folder)
    contents = _from_csv(folder, listing) if listing else _from_folders(folder)
    entries, account = contents.entries, contents.account
    classes = _classes(entry.label for entry in entries)
    _check_clean(entries, classes)
    if len(classes) < 2:
        raise InputError(
            f"{str(folder)!r} has images of {'one' if classes else 'no'} class: put them in at "
            f"least two folders, one a class, or list them in {LABELS} with the columns "
            f"path,label; it has {account.summary}"
        )
    number = {name: position for position, name in enumerate(classes)}
    paths = np.array([entry.path for entry in entries])
    found = np.array([number[entry.label] for entry in entries])
    clean = np.array([UNKNOWN if entry.clean is None else number[entry.clean] for entry in entries])
    in_test = np.array([entry.split == "test" for entry in entries])
    knows_test = bool(in_test.any())  # whoever set images apart for testing trusts their labels
    if not knows_test:
        if len(entries) < 2 * len(classes):
            raise InputError(
                f"{str(folder)!r} has {len(entries)} images of {len(classes)} classes: too few to "
                "test on a part"
            )
        in_test = _held_out(found, len(classes))
    if in_test.all():
        raise InputError(f"all images of {str(folder)!r} are for testing: name some for training")
    _check_training_classes(classes, found, in_test, knows_test)
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
        account=replace(account, notes=(*account.notes, *_alike(classes))),
    )


def _listing(folder: Path) -> Path | None:
    """Return the path of labels.csv; another case of its name will do if there is one such file."""
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


def _held_out(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return which images (N,) are held out: a stratified fifth.

    Each class of two images or more has at least one of them, and a class of one image none.
    """
    in_test = np.zeros(len(labels), bool)
    size = max(1, round(TEST_SHARE * len(labels)))
    in_test[stratified_choice(labels, size, np.random.default_rng(0))] = True
    counts, tested = (
        np.bincount(labels, minlength=classes),
        np.bincount(labels[in_test], minlength=classes),
    )
    in_test[counts[labels] == 1] = False
    for label in np.flatnonzero((counts > 1) & (tested == 0)):
        in_test[np.flatnonzero(labels == label)[-1]] = True
    return in_test


def _check_clean(entries: Iterable[_Entry], classes: Sequence[str]) -> None:
    """Raise InputError where a clean label is no class."""
    by_form = {_form(name): name for name in classes}
    known = {None, *classes}
    for entry in entries:
        if entry.clean in known:
            continue
        same = by_form.get(_form(str(entry.clean)))
        fix = (
            f"spell it {same!r} as in the column label"
            if same
            else "correct it, or leave it empty if it is not known"
        )
        raise InputError(
            f"line {entry.line} of {LABELS} has the clean label {entry.clean!r}, which no image "
            f"has as its label: {fix}"
        )


def _check_training_classes(
    classes: Sequence[str], labels: np.ndarray, in_test: np.ndarray, given: bool
) -> None:
    """Raise InputError unless each class has an image to train on."""
    trained = set(labels[~in_test].tolist())
    if not (absent := sorted(set(labels.tolist()) - trained)):
        return
    by_form = {_form(classes[label]): classes[label] for label in sorted(trained)}
    for name in (classes[label] for label in absent):
        if other := by_form.get(_form(name)):
            raise InputError(
                f"the test class {name!r} is {other!r} in training: spell it the same in both"
            )
    raise InputError(
        "no image is left for training of the class "
        f"{shortlist(classes[label] for label in absent)}: give it "
        f"{'training images' if given else 'at least two images'}, or leave it out"
    )


def _classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Names in order: of numbers by value, else of the alphabet."""
    distinct = sorted(set(labels))
    # pandas writes 10.0 where numbers are missing. Decimal takes any digits that \d does, and more
    # than int() does.
    if not all(re.fullmatch(r"[+-]?\d+(\.\d+)?", name) for name in distinct):
        return tuple(distinct)
    return tuple(sorted(distinct, key=Decimal))


def _digits(number: str) -> str:
    """A decimal number's digits, of any alphabet, without leading zeros; int() takes no more than
    4,300.
    """
    return "".join(str(unicodedata.decimal(digit)) for digit in number).lstrip("0")


def _form(name: str) -> str:
    """Return the name without case, spaces, invisible characters, leading zeros and styles of
    letters.
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    # as ``printable`` writes them
    plain = re.sub(r"\\u(200[b-f]|202[a-e]|206[0-9a-f]|feff)|\\xad", "", plain)
    plain = "".join(c for c in plain if not c.isspace() and unicodedata.category(c) != "Cf")
    whole, _, fraction = plain.partition(".")  # pandas writes 1 as 1.0 where others are missing
    return (
        f"{_digits(whole)} as a number" if whole.isdecimal() and not fraction.strip("0") else plain
    )


def _alike(classes: Sequence[str]) -> list[str]:
    """Sentences about classes that are probably one."""
    groups = defaultdict(list)
    for name in classes:
        groups[_form(name)].append(name)
    return [
        f"the classes {shortlist(map(repr, names))} are spelt alike, and are taken for "
        f"{len(names)} classes: if they are one, spell them the same"
        for names in groups.values()
        if len(names) > 1
    ]


# ------------------------------------------------------------------------------------- class
# folders


def _from_folders(folder: Path) -> _Contents:
    """Images in folders of classes, which may lie below folders of splits."""
    files, folders = walk(str(folder))
    passed: dict[str, list[str]] = defaultdict(list)
    images = [file.name for file in files if _usable(folder, file, passed)]
    splits = {top: split for top in _tops(images) if (split := split_of(top))}
    depth, notes = (2 if splits else 1), []
    if splits:
        _check_splits(folder, images, splits)
        _refuse_folders_between(folder, images, depth)
    else:
        _refuse_names_like_splits(folder, images)
        _refuse_folders_between(folder, images, depth)
        _refuse_splits_below_classes(folder, images)
    parts = set(splits.values())
    if "val" in parts and "test" not in parts:
        [name] = [top for top, split in splits.items() if split == "val"]
        notes.append(f"there is no test folder: {printable(name)} is what methods are tested on")
    elif "val" in parts:
        notes.append(_UNUSED)
    elif parts == {"train"}:
        notes.append(
            "there is no test folder: a fifth of the training images is held out for testing"
        )
    entries = []
    for name in images:
        *above, _ = name.split("/")
        split = splits.get(above[0]) if above else None
        if len(above) < depth:
            passed[NO_CLASS].append(name)
        elif split == "val" and "test" in parts:
            passed[NO_USE].append(name)
        else:
            part = "test" if split == "val" else split
            entries.append(_Entry(name, class_name(above[depth - 1]), None, part))
    notes += _said_of_folders(folders, images, splits, depth)
    if deeper := [entry.path for entry in entries if entry.path.count("/") > depth]:
        notes.append(
            f"images in folders within class folders, which belong to the class: {len(deeper):,} "
            f"(as {printable(deeper[0])})"
        )
    # By the file's own name first: images exported with their numbers keep that order in all
    # classes.
    entries.sort(key=lambda entry: (order(os.path.basename(entry.path)), order(entry.path)))
    return _Contents(entries, _account(len(files), passed, notes))


def _usable(folder: Path, file: File, passed: Mapping[str, list[str]]) -> bool:
    """Return whether the file is an image to use; add it to ``passed`` if not."""
    if reason := file.reason or objection(os.path.join(folder, file.name)):
        passed[reason].append(file.name)
    return reason is None


def _account(files: int, passed: Mapping[str, list[str]], notes: Iterable[str]) -> Account:
    return Account(
        files,
        {reason: tuple(sorted(names)) for reason, names in passed.items()},
        notes=tuple(notes),
    )


def _tops(images: Iterable[str]) -> list[str]:
    """Names of the uppermost folders that hold images, in order."""
    return sorted({name.split("/")[0] for name in images if "/" in name}, key=order)


def _check_splits(folder: Path, images: Sequence[str], splits: Mapping[str, str]) -> None:
    """Raise InputError where the folders ``splits``, name -> train, val or test, may be classes."""
    root = repr(printable(str(folder)))
    named = shortlist(map(printable, splits))
    if others := [top for top in _tops(images) if top not in splits]:
        raise InputError(
            f"{root} has folders named as splits ({named}) beside others with images "
            f"({shortlist(map(printable, others))}): put all images below the splits, or, if these "
            f"are classes, list the images in {LABELS} with the columns path,label"
        )
    deep = {name.split("/")[0] for name in images if name.count("/") > 1}
    if flat := [top for top in splits if top not in deep]:
        raise InputError(
            f"{root} has a folder named as a split that holds images but no class folders "
            f"({shortlist(map(printable, flat))}): sort its images into a folder a class or move "
            f"it away, or, if it is a class, list the images in {LABELS} with the columns "
            "path,label"
        )
    for split, count in Counter(splits.values()).items():
        if count > 1:
            same = shortlist(printable(top) for top, role in splits.items() if role == split)
            raise InputError(
                f"{root} has several folders of one split ({same}): merge them, or move one away"
            )
    if "train" not in splits.values():
        raise InputError(
            f"{root} has {named}, but no images in a folder train: name the training folder train, "
            f"or give one folder alone, as folder:{printable(str(folder / next(iter(splits))))}"
        )


def _refuse_names_like_splits(folder: Path, images: Sequence[str]) -> None:
    """Raise InputError where names differ in the word for a split alone, as train_images and
    test_images.
    """
    alike: dict[str, dict[str, str]] = defaultdict(dict)
    for top in _tops(images):
        if within := split_within(top):
            split, others = within
            alike[others][split] = top
    for tops in alike.values():
        if "train" in tops and len(tops) > 1:
            raise InputError(
                f"{printable(str(folder))!r} has folders named much like splits "
                f"({shortlist(map(printable, tops.values()))}): name them train, val and test, "
                f"with class folders in them, or, if they are classes, list the images in {LABELS} "
                "with the columns path,label"
            )


def _refuse_folders_between(folder: Path, images: Sequence[str], depth: int) -> None:
    """Raise InputError where all images lie below one class folder, in folders that are probably
    the classes.
    """
    parts = [name.split("/") for name in images if name.count("/") >= depth]
    owners = {names[depth - 1] for names in parts}
    inner = sorted({names[depth] for names in parts if len(names) > depth + 1}, key=order)
    if len(owners) == 1 and len(inner) > 1:
        [owner] = owners
        give = f", or give folder:{printable(str(folder / owner))}" if depth == 1 else ""
        raise InputError(
            f"{printable(str(folder))!r} has one class folder, {printable(owner)}, with folders in "
            f"it ({shortlist(map(printable, inner))}): move these up by one level{give}"
        )


def _refuse_splits_below_classes(folder: Path, images: Sequence[str]) -> None:
    """Raise InputError where splits lie within classes, which would be mixed."""
    below = defaultdict(set)
    for name in images:
        top, *rest = name.split("/")
        if len(rest) > 1 and (split := split_of(rest[0])):
            below[top].add(split)
    for top, parts in below.items():
        if "train" in parts and len(parts) > 1:
            raise InputError(
                f"the splits of {printable(str(folder))!r} lie within its classes (in "
                f"{printable(top)}): put the classes below the folders of splits, as "
                f"train/{printable(top)}"
            )


def _said_of_folders(
    folders: Iterable[str], images: Iterable[str], splits: Mapping[str, str], depth: int
) -> list[str]:
    """Sentences about class folders without images, and about those that are merged."""
    filled = {tuple(name.split("/")[:depth]) for name in images if name.count("/") >= depth}
    spelt: dict[str, set[str]] = defaultdict(set)
    for *_, owner in filled:
        spelt[class_name(owner)].add(owner)
    merged = [label for label, names in sorted(spelt.items()) if len(names) > 1]
    parts = (tuple(name.split("/")) for name in folders)
    empty = [
        "/".join(part)
        for part in parts
        if part not in filled
        and (len(part) == depth or (len(part) == 1 and split_of(part[0])))
        and "/".join(part) not in splits
    ]
    notes = []
    if merged:
        notes.append(
            "folders that differ only in the Unicode form of their names are one class: "
            f"{shortlist(merged)}"
        )
    if empty:
        notes.append(f"folders without an image that is used: {shortlist(map(printable, empty))}")
    return notes


# --------------------------------------------------------------------------------------- labels.csv


def _from_csv(folder: Path, path: Path) -> _Contents:
    """Images that labels.csv lists, in its order."""
    if not path.is_file():
        raise InputError(f"{str(path)!r} is no file that can be read: mend or remove it")
    rows, notes = read_labels(path)
    files, _ = walk(str(folder))
    listed = _locate(folder, path, rows, files)
    passed: dict[str, list[str]] = defaultdict(list)
    here = {file.place: file.name for file in files if file.reason is None}
    # a place can also be reached by a hidden path
    here = {file.place: file.name for file in files} | here
    used = {here[place] for place in listed if place in here}
    for file in files:
        if file.name == path.name:
            passed[LIST].append(file.name)
        elif file.name not in used and _usable(folder, file, passed):
            passed[NOT_LISTED].append(file.name)
    outside = sum(place not in here for place in listed)
    if outside:
        notes.append(f"images that {LABELS} lists outside the folder, counted too: {outside:,}")
    parts = {row.split for row in rows}
    if "val" in parts and "test" not in parts:
        notes.append(
            f"{LABELS} has no test images: its validation images are what methods are tested on"
        )
    elif "val" in parts:
        notes.append(_UNUSED)
    tops = {name.split("/")[0] for name in listed.values() if "/" in name}
    if parts == {None} and (named := sorted(top for top in tops if split_of(top))):
        notes.append(
            f"{LABELS} gives no split, so that the folders' names "
            f"({shortlist(map(printable, named))}) have no meaning: a fifth of all images is held "
            "out for testing"
        )
    entries = []
    for row, (place, name) in zip(rows, listed.items(), strict=True):
        if not os.access(place, os.R_OK):
            passed[UNOPENABLE].append(name)
        elif row.split == "val" and "test" in parts:
            passed[NO_USE].append(name)
        else:
            split = "test" if row.split == "val" else row.split
            entries.append(_Entry(name, row.label, row.clean, split, row.line))
    return _Contents(entries, _account(len(files) + outside, passed, notes))


def _locate(folder: Path, path: Path, rows: Iterable[Row], files: Iterable[File]) -> dict[str, str]:
    """Find the file of each row: its place -> its name from the folder, in the order of the rows.

    Raises:
        InputError: where one is not there, or is listed twice.
    """
    by_form = defaultdict(list)
    for file in files:
        by_form[unicodedata.normalize("NFC", file.name)].append(file.name)
    finder = _Finder(str(folder), by_form)
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


class _Finder:
    """Finds files by the paths that people write."""

    def __init__(self, folder: str, by_form: Mapping[str, Sequence[str]]) -> None:
        self.folder = folder
        self.root = os.path.realpath(folder)
        self.by_form = by_form  # normal form of a name -> names of files below the folder
        self._real = cache(os.path.realpath)

    def name(self, written: str) -> str | None:
        """Return the file's path from the folder, or its absolute path where it lies elsewhere."""
        slashes = written.strip().replace("\\", "/")
        for spelling in dict.fromkeys((written, written.strip(), slashes)):
            if os.path.isfile(os.path.join(self.folder, spelling)):
                return self._normal(spelling)
        same = self.by_form.get(unicodedata.normalize("NFC", os.path.normpath(slashes)), ())
        return (
            same[0]
            if len(same) == 1 and os.path.isfile(os.path.join(self.folder, same[0]))
            else None
        )

    def place(self, name: str) -> str:
        """Return the real path of the folder that holds the file, with the file's own name."""
        above, own = os.path.split(os.path.join(self.folder, name))
        return os.path.join(self._real(above), own)

    def _normal(self, name: str) -> str:
        """The shortest spelling of a path that leads to the same file."""
        place = self.place(name)
        if os.path.isabs(name):
            below = place.startswith(os.path.join(self.root, ""))
            return os.path.relpath(place, self.root) if below else os.path.normpath(name)
        normal = os.path.normpath(name)
        return normal if self.place(normal) == place else name  # a link before ".." leads elsewhere


def _usual_side(folder: Path, paths: np.ndarray) -> int:
    """Side of the images if a sample of them has one and the same small square size."""
    from PIL import Image

    sizes = set()
    for name in paths[:: max(1, len(paths) // 100)]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(folder / str(name)) as image:
                    sizes.add(image.size)
        except Exception:  # Pillow raises errors of any type on damaged files; decoding names these
            continue
    width, height = next(iter(sizes), (0, 1))
    return width if len(sizes) == 1 and width == height and 8 <= width <= LARGEST else USUAL_SIDE


SOURCE = Source(
    "images of one's own: a folder a class, or a labels.csv of path,label[,clean_label][,split]",
    load,
    size="any; brought to one size",
    access="your own; without true labels the noise is as found; images are 64 pixels wide, or --image-size",
)
