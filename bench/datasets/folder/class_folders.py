"""Images in class folders, perhaps below folders for training, validation and testing."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.common.text import printable, shortlist
from bench.datasets.folder.contents import (
    NO_CLASS,
    NO_USE,
    UNUSED_VALIDATION,
    Contents,
    Entry,
    PassedOver,
)
from bench.datasets.folder.file_walk import order, walk
from bench.datasets.folder.labels_csv import LABELS
from bench.datasets.folder.names import class_name, split_of, split_within
from bench.errors import InputError


def read_class_folders(folder: Path) -> Contents:
    """Return the images in the class folders below ``folder``, in the order of their file names.

    InputError is raised if the names of the folders can be understood in two ways.
    """
    files, folders = walk(str(folder))
    passed = PassedOver()
    images = [file.name for file in files if passed.is_usable(folder, file)]
    splits = {top: split for top in _tops(images) if (split := split_of(top))}
    depth = 2 if splits else 1
    _check_layout(folder, images, splits, depth)
    parts = set(splits.values())
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
            entries.append(Entry(name, class_name(above[depth - 1]), None, part))
    notes = _notes_on_splits(splits) + _notes_on_folders(folders, images, splits, depth)
    if deeper := [entry.path for entry in entries if entry.path.count("/") > depth]:
        notes.append(
            f"images in folders within class folders, which belong to the class: {len(deeper):,} "
            f"(as {printable(deeper[0])})"
        )
    # The file's own name comes first: images exported with their numbers keep that order in all
    # classes.
    entries.sort(key=lambda entry: (order(os.path.basename(entry.path)), order(entry.path)))
    return Contents(entries, passed.account(len(files), notes))


def _tops(images: Iterable[str]) -> list[str]:
    """Return the names of the uppermost folders that hold images, in order."""
    return sorted({name.split("/")[0] for name in images if "/" in name}, key=order)


def _shown(names: Iterable[str]) -> str:
    return shortlist(map(printable, names))


def _check_layout(
    folder: Path, images: Sequence[str], splits: Mapping[str, str], depth: int
) -> None:
    """Raise InputError where the layout can be understood in two ways."""
    root = repr(printable(str(folder)))
    if splits:
        _check_splits(root, folder, images, splits)
        _refuse_folders_between(root, folder, images, depth)
    else:
        _refuse_names_like_splits(root, images)
        _refuse_folders_between(root, folder, images, depth)
        _refuse_splits_below_classes(root, images)


def _check_splits(
    root: str, folder: Path, images: Sequence[str], splits: Mapping[str, str]
) -> None:
    """Refuse folders named as splits, name -> train, val or test, that may be classes."""
    named = _shown(splits)
    if others := [top for top in _tops(images) if top not in splits]:
        raise InputError(
            f"{root} has folders named as splits ({named}) beside others with images "
            f"({_shown(others)}): put all images below the splits, or, if these are classes, list "
            f"the images in {LABELS} with the columns path,label"
        )
    deep = {name.split("/")[0] for name in images if name.count("/") > 1}
    if flat := [top for top in splits if top not in deep]:
        raise InputError(
            f"{root} has a folder named as a split that holds images but no class folders "
            f"({_shown(flat)}): sort its images into a folder a class or move it away, or, if it "
            f"is a class, list the images in {LABELS} with the columns path,label"
        )
    for split, count in Counter(splits.values()).items():
        if count > 1:
            same = _shown(top for top, part in splits.items() if part == split)
            raise InputError(
                f"{root} has several folders of one split ({same}): merge them, or move one away"
            )
    if "train" not in splits.values():
        raise InputError(
            f"{root} has {named}, but no images in a folder train: name the training folder train, "
            f"or give one folder alone, as folder:{printable(str(folder / next(iter(splits))))}"
        )


def _refuse_names_like_splits(root: str, images: Sequence[str]) -> None:
    """Refuse names that differ in the word for a split alone: train_images and test_images."""
    alike: dict[str, dict[str, str]] = defaultdict(dict)
    for top in _tops(images):
        if within := split_within(top):
            split, others = within
            alike[others][split] = top
    for tops in alike.values():
        if "train" in tops and len(tops) > 1:
            raise InputError(
                f"{root} has folders named much like splits ({_shown(tops.values())}): name them "
                "train, val and test, with class folders in them, or, if they are classes, list "
                f"the images in {LABELS} with the columns path,label"
            )


def _refuse_folders_between(root: str, folder: Path, images: Sequence[str], depth: int) -> None:
    """Refuse images below one class folder, in folders that are probably the classes."""
    parts = [name.split("/") for name in images if name.count("/") >= depth]
    owners = {names[depth - 1] for names in parts}
    inner = sorted({names[depth] for names in parts if len(names) > depth + 1}, key=order)
    if len(owners) == 1 and len(inner) > 1:
        [owner] = owners
        give = f", or give folder:{printable(str(folder / owner))}" if depth == 1 else ""
        raise InputError(
            f"{root} has one class folder, {printable(owner)}, with folders in it "
            f"({_shown(inner)}): move these up by one level{give}"
        )


def _refuse_splits_below_classes(root: str, images: Sequence[str]) -> None:
    """Refuse splits within classes, which would be mixed."""
    below = defaultdict(set)
    for name in images:
        top, *rest = name.split("/")
        if len(rest) > 1 and (split := split_of(rest[0])):
            below[top].add(split)
    for top, parts in below.items():
        if "train" in parts and len(parts) > 1:
            raise InputError(
                f"the splits of {root} lie within its classes (in {printable(top)}): put the "
                f"classes below the folders of splits, as train/{printable(top)}"
            )


def _notes_on_splits(splits: Mapping[str, str]) -> list[str]:
    """Return a sentence about a missing test folder, or about unused validation images."""
    parts = set(splits.values())
    if "val" in parts and "test" not in parts:
        [name] = [top for top, split in splits.items() if split == "val"]
        return [f"there is no test folder: {printable(name)} is what methods are tested on"]
    if "val" in parts:
        return [UNUSED_VALIDATION]
    if parts == {"train"}:
        return ["there is no test folder: a fifth of the training images is held out for testing"]
    return []


def _notes_on_folders(
    folders: Iterable[str], images: Iterable[str], splits: Mapping[str, str], depth: int
) -> list[str]:
    """Return sentences about class folders without images, and about those that are merged."""
    filled = {tuple(name.split("/")[:depth]) for name in images if name.count("/") >= depth}
    spellings: dict[str, set[str]] = defaultdict(set)
    for *_, owner in filled:
        spellings[class_name(owner)].add(owner)
    notes = []
    if merged := [label for label, names in sorted(spellings.items()) if len(names) > 1]:
        notes.append(
            "folders that differ only in the Unicode form of their names are one class: "
            f"{shortlist(merged)}"
        )

    def is_empty(name: str) -> bool:
        part = tuple(name.split("/"))
        is_class = len(part) == depth or (len(part) == 1 and split_of(part[0]))
        return bool(is_class) and part not in filled and name not in splits

    if empty := [name for name in folders if is_empty(name)]:
        notes.append(f"folders without an image that is used: {_shown(empty)}")
    return notes
