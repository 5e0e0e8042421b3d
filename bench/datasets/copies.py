"""Exact copies among the images of a data set: of training images among those for testing, and
within the training set.

Copies are counted and named, not removed: the protocol leaves data as they were given.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets.files import ImageFiles

if TYPE_CHECKING:
    from bench.datasets.base import Dataset

#: Pixels compared first: only images that agree in all of these are compared whole.
SAMPLE = 48


@dataclass(frozen=True)
class Part:
    """Images of one part of a data set, as far as they are compared."""

    images: np.ndarray  # uint8: pixels (N, C, H, W), or digests of files (N, 32)
    labels: np.ndarray  # (N,)
    names: Sequence[str] | np.ndarray | None = None  # of the files

    def name(self, position: int, kind: str) -> str:
        """The file of an image, or its number from 0."""
        return f"{kind} image {position}" if self.names is None else str(self.names[position])


def of_dataset(dataset: "Dataset") -> tuple[str, ...]:
    """Sentences on the exact copies in a data set, whether they were noticed when its files were
    read or not.
    """
    if dataset.copies is not None or isinstance(dataset.train_images, ImageFiles):
        return dataset.copies or ()
    labels = next(iter(dataset.found.values()), dataset.train_labels)
    tests = {"test": (dataset.test_images, dataset.test_labels), **dataset.extra_tests}
    in_memory = {
        name: Part(images, given)
        for name, (images, given) in tests.items()
        if isinstance(images, np.ndarray)
    }
    return describe(Part(dataset.train_images, labels), in_memory)


def describe(train: Part, tests: Mapping[str, Part]) -> tuple[str, ...]:
    """One sentence for each test set with copies of training images, and one for copies within the
    training set.

    Parts must all hold pixels, or all digests.
    """
    groups = _groups([train.images, *(test.images for test in tests.values())])
    originals = _members(groups[0])
    labels = {group: set(train.labels[members].tolist()) for group, members in originals.items()}
    sentences = []
    for (name, test), numbers in zip(tests.items(), groups[1:], strict=True):
        copies = {
            group: members for group, members in _members(numbers).items() if group in originals
        }
        if copies:
            group, members = next(iter(copies.items()))
            other = sum(
                label not in labels[g]
                for g, members in copies.items()
                for label in test.labels[members].tolist()
            )
            sentences.append(
                f"{_count(copies):,} of {len(test.images):,} {name} images are exact copies of "
                f"training images (as {test.name(members[0], name)} = "
                f"{train.name(originals[group][0], 'training')}){_others(other)}{_blank(test, copies)}"
            )
    copies = {group: members for group, members in originals.items() if len(members) > 1}
    if copies:
        first, second = next(iter(copies.values()))[:2]
        other = _count(
            {group: members for group, members in copies.items() if len(labels[group]) > 1}
        )
        sentences.append(
            f"{_count(copies):,} of {len(train.images):,} training images are exact copies of each "
            f"other (as {train.name(first, 'training')} = "
            f"{train.name(second, 'training')}){_others(other)}{_blank(train, copies)}"
        )
    return tuple(sentences)


def _members(groups: np.ndarray) -> dict[int, list[int]]:
    """Positions of the images of each group, in order."""
    members: dict[int, list[int]] = {}
    for position in np.flatnonzero(groups >= 0).tolist():
        members.setdefault(int(groups[position]), []).append(position)
    return members


def _count(copies: Mapping[int, Sequence[int]]) -> int:
    return sum(map(len, copies.values()))


def _others(number: int) -> str:
    return f", {number:,} of them with another label" if number else ""


def _blank(part: Part, copies: Mapping[int, Sequence[int]]) -> str:
    """Say how many copies are of one colour: these are perhaps no copies of one photograph."""
    number = 0
    for members in copies.values():
        image = part.images[members[0]]
        number += len(members) * (image.ndim == 3 and bool((image == image[:, :1, :1]).all()))
    return f"; {number:,} of them are blank" if number else ""


def _groups(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each part, the number of each image's group of equal images: (N,), -1 for an image
    without a copy.
    """
    flat = [part.reshape(len(part), -1) for part in parts]
    length = flat[0].shape[1]
    columns = np.sort(np.random.default_rng(0).permutation(length)[:SAMPLE])
    sample = np.concatenate([np.ascontiguousarray(part[:, columns]) for part in flat])
    _, group, count = np.unique(_rows(sample), return_inverse=True, return_counts=True)
    groups = np.full(len(sample), -1)
    candidates = np.flatnonzero(count[group.ravel()] > 1)
    starts = np.cumsum([0, *map(len, flat)])
    numbers: dict[bytes, list[int]] = {}
    for position in candidates.tolist():
        part = int(np.searchsorted(starts, position, "right")) - 1
        key = hashlib.blake2b(
            flat[part][position - starts[part]].tobytes(), digest_size=16
        ).digest()
        numbers.setdefault(key, []).append(position)
    for number, same in enumerate(same for same in numbers.values() if len(same) > 1):
        groups[same] = number
    return np.split(groups, starts[1:-1])


def _rows(array: np.ndarray) -> np.ndarray:
    """Each row as one value that can be sorted."""
    return np.ascontiguousarray(array).view(np.dtype((np.void, array.shape[1]))).ravel()
