"""Samples of a data set as an audit counts them: training part, then test part."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.audit.audit import TEST, TRAIN
from bench.common.text import encodable, printable
from bench.datasets import Dataset, ImageFiles
from bench.errors import InputError


@dataclass(frozen=True)
class Samples:
    """Names and labels as delivered of all samples of a data set."""

    classes: tuple[str, ...]
    names: tuple[str, ...]  # path below ``root_of``; "train:12", "test:3" where there are no files
    split: np.ndarray  # str (N,), TRAIN or TEST
    index: np.ndarray  # int (N,), position of the sample in that part of the data set
    given: np.ndarray  # int (N,), label as delivered

    @cached_property
    def data_hash(self) -> str:
        """Short hash of classes, names and labels: decisions hold for these alone."""
        content = repr((self.classes, self.names, self.given.tolist()))
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:16]


def samples_of(dataset: Dataset) -> Samples:
    """Return the samples of a data set, both parts with the labels as delivered.

    Test images of none of the classes are left out.

    Raises:
        InputError: if two samples have one name, as files write it.
    """
    train, test = dataset.delivered_labels, dataset.test_labels
    tested = np.flatnonzero(test >= 0)
    index = {TRAIN: np.arange(len(train)), TEST: tested}
    names = [name for part, positions in index.items() for name in _names(dataset, part, positions)]
    written = Counter(map(encodable, names))
    if twice := [name for name, count in written.items() if count > 1]:
        raise InputError(
            f"{dataset.name} has two samples of the name {printable(twice[0])}: give each sample "
            "another name"
        )
    return Samples(
        dataset.classes,
        tuple(names),
        np.concatenate([np.full(len(positions), part) for part, positions in index.items()]),
        np.concatenate(list(index.values())),
        np.concatenate([train, test[tested]]),
    )


def numbered(dataset: Dataset, whole: Dataset) -> Dataset:
    """Return a data set whose nameless samples are numbered as in the set that it is a part of."""
    if dataset.subset_of is None or dataset.train_names is not None:
        return dataset
    names = np.array([f"{TRAIN}:{position}" for position in range(dataset.subset_of)])
    part = replace(whole, train_names=names).subset(len(dataset.train_labels))
    return replace(dataset, train_names=part.train_names)


def files_of(dataset: Dataset, part: str) -> ImageFiles | None:
    """Return the files of the images of one part; None if it has none."""
    images = dataset.train_images if part == TRAIN else dataset.test_images
    return images if isinstance(images, ImageFiles) else dataset.files.get(part)


def has_split(dataset: Dataset) -> bool:
    """Return False where the test part is drawn from a folder without one, as any reader does."""
    return not (dataset.noisy_test and files_of(dataset, TRAIN) is not None)


def trained_on(dataset: Dataset, samples: Samples) -> np.ndarray:
    """Return the mask (N,) of samples to train on: all but the test part, if that is the user's.

    Only these may be left out unseen, since the others are what methods are scored on.
    """
    return (samples.split == TRAIN) | (not has_split(dataset))


def own_order(dataset: Dataset, names: Sequence[str]) -> Sequence[int]:
    """Return the positions of the samples of these names in the data set's own order."""
    positions = {name: position for position, name in enumerate(names)}
    if dataset.all_names is None:
        return list(positions.values())
    return [positions[str(name)] for name in dataset.all_names if str(name) in positions]


def root_of(dataset: Dataset) -> str | None:
    """Return the folder that all names start from; None unless all samples are in files."""
    parts = [files_of(dataset, part) for part in (TRAIN, TEST)]
    roots = [files.root for files in parts if files is not None]
    if len(roots) < len(parts):
        return None
    return roots[0] if len(set(roots)) == 1 else os.path.commonpath(map(os.path.abspath, roots))


def _names(dataset: Dataset, part: str, positions: np.ndarray) -> list[str]:
    files, root = files_of(dataset, part), root_of(dataset)
    names = dataset.train_names if part == TRAIN and dataset.train_names is not None else None
    if names is None and files is not None:
        names = files.names
    if names is None:
        return [f"{part}:{position}" for position in positions.tolist()]
    if files is None or root is None or files.root == root:
        return [str(name) for name in names[positions]]
    below = os.path.relpath(os.path.abspath(files.root), root)
    return [os.path.join(below, str(name)) for name in names[positions]]
