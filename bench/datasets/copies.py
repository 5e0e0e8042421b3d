"""Exact copies in a data set: training images in a test set or in training again; so for vectors.

Copies are counted and named, not removed: the protocol leaves data as they were given.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets.dataset import Dataset
from bench.datasets.images.files import ImageFiles

#: Bytes compared first: only images that agree in all of these are compared whole.
SAMPLE = 48

#: Group of equal images -> their positions, in order.
Groups = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class Part:
    """Images of one part of a data set, in the form in which they are compared."""

    # pixels, uint8 (N, C, H, W); digests of files, uint8 (N, 32); or vectors, float32 (N, D)
    images: np.ndarray
    labels: np.ndarray  # (N,)
    names: Sequence[str] | np.ndarray | None = None  # of the files

    @property
    def unit(self) -> str:
        return "vector" if self.images.dtype.kind == "f" else "image"

    def name(self, position: int, kind: str) -> str:
        """Return the file of an image, or its number from 0."""
        return f"{kind} {self.unit} {position}" if self.names is None else str(self.names[position])


def of_dataset(dataset: Dataset) -> tuple[str, ...]:
    """Return sentences on exact copies; images in files were compared when they were read."""
    if dataset.copies is not None or isinstance(dataset.train_images, ImageFiles):
        return dataset.copies or ()
    tests = {
        name: Part(images, labels)
        for name, (images, labels) in dataset.tests.items()
        if isinstance(images, np.ndarray)
    }
    return describe(Part(dataset.train_images, dataset.delivered_labels), tests)


def describe(train: Part, tests: Mapping[str, Part]) -> tuple[str, ...]:
    """Return a sentence for each test set with copies of training images, and one for training.

    All parts hold pixels, or all digests, or all vectors.
    """
    train_groups, *test_groups = _groups([train.images, *(test.images for test in tests.values())])
    originals = _members(train_groups)
    labels = {group: set(train.labels[members].tolist()) for group, members in originals.items()}
    sentences = []
    for (name, test), numbers in zip(tests.items(), test_groups, strict=True):
        members = _members(numbers)
        copies = {group: members[group] for group in members if group in originals}
        if copies:
            group, [example, *_] = next(iter(copies.items()))
            relabelled = sum(
                label not in labels[group]
                for group, positions in copies.items()
                for label in test.labels[positions].tolist()
            )
            sentences.append(
                f"{_count(copies):,} of {len(test.images):,} {name} {test.unit}s are exact copies "
                f"of training {train.unit}s (as {test.name(example, name)} = "
                f"{train.name(originals[group][0], 'training')})"
                f"{_relabelled(relabelled)}{_blank(test, copies)}"
            )
    copies = {group: members for group, members in originals.items() if len(members) > 1}
    if copies:
        first, second = next(iter(copies.values()))[:2]
        relabelled = sum(len(copies[group]) for group in copies if len(labels[group]) > 1)
        sentences.append(
            f"{_count(copies):,} of {len(train.images):,} training {train.unit}s are exact copies "
            f"of each other (as {train.name(first, 'training')} = "
            f"{train.name(second, 'training')}){_relabelled(relabelled)}{_blank(train, copies)}"
        )
    return tuple(sentences)


def _members(groups: np.ndarray) -> dict[int, list[int]]:
    """Return the positions of the images of each group, in order."""
    members: dict[int, list[int]] = {}
    for position in np.flatnonzero(groups >= 0).tolist():
        members.setdefault(int(groups[position]), []).append(position)
    return members


def _count(copies: Groups) -> int:
    return sum(map(len, copies.values()))


def _relabelled(number: int) -> str:
    return f", {number:,} of them with another label" if number else ""


def _blank(part: Part, copies: Groups) -> str:
    """Count the copies of one colour: these are perhaps no copies of one photograph."""
    number = 0
    for members in copies.values():
        image = part.images[members[0]]
        number += len(members) * (image.ndim == 3 and bool((image == image[:, :1, :1]).all()))
    return f"; {number:,} of them are blank" if number else ""


def _groups(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return each part's groups (N,): equal images have one number, images without a copy -1."""
    flat = [np.ascontiguousarray(part).reshape(len(part), -1).view(np.uint8) for part in parts]
    length = flat[0].shape[1]
    columns = np.sort(np.random.default_rng(0).permutation(length)[:SAMPLE])
    sample = np.concatenate([np.ascontiguousarray(part[:, columns]) for part in flat])
    rows = sample.view(np.dtype((np.void, sample.shape[1]))).ravel()  # can be sorted
    _, group, count = np.unique(rows, return_inverse=True, return_counts=True)
    groups = np.full(len(sample), -1)
    starts = np.cumsum([0, *map(len, flat)])
    same: dict[bytes, list[int]] = {}
    for position in np.flatnonzero(count[group.ravel()] > 1).tolist():
        part = int(np.searchsorted(starts, position, "right")) - 1
        pixels = flat[part][position - starts[part]].tobytes()
        same.setdefault(hashlib.blake2b(pixels, digest_size=16).digest(), []).append(position)
    for number, positions in enumerate(group for group in same.values() if len(group) > 1):
        groups[positions] = number
    return np.split(groups, starts[1:-1])
