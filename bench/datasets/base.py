"""What a data set is: images and labels, in memory or in files, and what is known about them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.common.text import printable
from bench.datasets.account import Account, shortlist
from bench.datasets.files import ImageFiles
from bench.errors import InputError

#: Label of an image whose true class nobody knows.
UNKNOWN = -1

#: True class of an image that is of none of the classes, as open-set noise makes them.
OUTSIDE = -2

#: Name of the noisy labels that images came with, where they have no other.
FOUND = "found"

#: Mean and standard deviation of ImageNet's pixels, which the field uses for photographs too many
#: to count.
_PHOTOGRAPHS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

Images = np.ndarray | ImageFiles


@dataclass(frozen=True)
class Dataset:
    """Images and labels. In memory, images are uint8 (N, channels, height, width)."""

    name: str
    train_images: Images
    train_labels: np.ndarray  # int64 (N,): the true classes; UNKNOWN where nobody knows them
    test_images: Images
    test_labels: np.ndarray
    classes: tuple[str, ...]
    # asymmetric noise: which class each affected class is mistaken for
    flips: Mapping[int, int] | None = None
    # noisy labels that come with the images: name -> (N,)
    found: Mapping[str, np.ndarray] = field(default_factory=dict)
    superclasses: np.ndarray | None = None  # (C,) coarse class of each class
    # evaluated beside the test set
    extra_tests: Mapping[str, tuple[Images, np.ndarray]] = field(default_factory=dict)
    # (N,) file names, for a user who wants to know which labels are wrong
    train_names: np.ndarray | None = None
    noisy_test: bool = False  # nobody knows the test images' true classes either
    donors: np.ndarray | None = None  # images of none of the classes, for open-set noise
    # files of a folder, used and passed over; no part of the content
    account: Account | None = None
    # (M,) file names of all images, training and test, in the order of the set itself
    all_names: np.ndarray | None = None
    # the order of the set itself is its training images, then its test images
    train_then_test: bool = False
    # arrays that follow from the images, by name, kept with them; whoever computes them fills it
    derived: dict[str, np.ndarray] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    subset_of: int | None = None  # number of training images of which these are a stratified part
    # sentences on exact copies among files; None where nobody has looked
    copies: tuple[str, ...] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def channels(self) -> int:
        return self.train_images.shape[1]

    @property
    def side(self) -> int:
        """Width of an image in pixels."""
        return self.train_images.shape[-1]

    @property
    def knows_truth(self) -> bool:
        """Whether every training image's true class is known."""
        return bool((self.train_labels != UNKNOWN).all())

    @property
    def untested(self) -> str | None:
        """Sentence about the classes without a test image, if there are any."""
        others = len(set(self.test_labels.tolist()) - {UNKNOWN, OUTSIDE})
        return self._lacking(
            "test",
            f"accuracy and worst-class accuracy stand on the other {others}",
            self.test_labels,
        )

    @property
    def untrained(self) -> str | None:
        """Sentence about the classes without a training image, if there are any; noise still gives
        labels to these.
        """
        labels = [self.train_labels, *(() if self.knows_truth else self.found.values())]
        return self._lacking("training", "no method can learn such a class", *labels)

    def _lacking(self, part: str, consequence: str, *labels: np.ndarray) -> str | None:
        occurring = set(np.concatenate(labels).tolist())
        absent = [
            printable(name) for number, name in enumerate(self.classes) if number not in occurring
        ]
        verb = "has" if len(absent) == 1 else "have"
        count = f"{len(absent)} of {self.num_classes} classes {verb} no {part} image"
        return f"{count} ({shortlist(absent)}): {consequence}" if absent else None

    @property
    def remarks(self) -> list[str]:
        """Lines that a user should see before a run: files used and passed over, and what is
        unusual.
        """
        account = (
            [f"{printable(self.name)}: {self.account.summary}", *self.account.notes]
            if self.account
            else []
        )
        if account and self.subset_of is not None:  # or the counts of files would not add up
            account.append(
                f"--subset takes {len(self.train_labels):,} of {self.subset_of:,} training images"
            )
        return account + [sentence for sentence in (self.untrained, self.untested) if sentence]

    @cached_property
    def content_hash(self) -> str:
        """Short hash of every pixel and label, so that a record says exactly which data it was made
        with.

        Of images in files it takes names and sizes, since reading them all would take as long as
        training on them.
        """
        # Classes and flips too: the network's outputs and the noise depend on them.
        flips = sorted((int(one), int(other)) for one, other in (self.flips or {}).items())
        digest = hashlib.sha256(repr((self.num_classes, flips)).encode())
        arrays: list[Any] = [
            self.train_images,
            self.train_labels,
            self.test_images,
            self.test_labels,
        ]
        for name, labels in sorted(self.found.items()):
            digest.update(name.encode())
            arrays.append(labels)
        for name, (images, labels) in sorted(self.extra_tests.items()):
            digest.update(name.encode())
            arrays += [images, labels]
        if self.donors is not None:
            arrays.append(self.donors)
        for array in arrays:
            if isinstance(array, ImageFiles):
                digest.update(array.fingerprint.encode())
            else:
                digest.update(repr((array.shape, array.dtype.str)).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    @cached_property
    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (C,) of the training pixels as values in [0, 1]; ImageNet's
        for images in files.
        """
        if isinstance(self.train_images, ImageFiles):
            return _PHOTOGRAPHS
        counts = np.stack(
            [
                np.bincount(self.train_images[:, c].ravel(), minlength=256)
                for c in range(self.channels)
            ]
        )
        share, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
        mean = share @ values
        return mean, np.sqrt((share * (values - mean[:, None]) ** 2).sum(1)).clip(1e-3)

    def subset(self, size: int) -> "Dataset":
        """A stratified part of the training images, always the same; the test images stay whole."""
        if not 1 < size <= len(self.train_labels):
            raise InputError(
                f"--subset is {size}, but {self.name} has {len(self.train_labels)} training "
                "images: give a number from 2 to that"
            )
        strata = (
            self.train_labels
            if self.knows_truth or not self.found
            else next(iter(self.found.values()))
        )
        chosen = np.sort(stratified_choice(strata, size, np.random.default_rng(0)))
        return replace(
            self,
            train_images=self.train_images[chosen],
            train_labels=self.train_labels[chosen],
            train_names=None if self.train_names is None else self.train_names[chosen],
            found={name: labels[chosen] for name, labels in self.found.items()},
            subset_of=len(self.train_labels),
            copies=None,
        )


def stratified_choice(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """``size`` random positions in which every class has its share, to within one sample."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, shuffled within
    # Every (N / size)-th sample of that list, from a random start, holds each class in proportion.
    positions = ((np.arange(size) + rng.random()) * len(labels) / size).astype(int)
    return order[positions]


@dataclass(frozen=True)
class Source:
    """A data set that can be asked for by name, and what a user has to know about it."""

    summary: str  # one line
    # (folder of its files, side of the images or None for the usual one)
    load: Callable[[Path, int | None], Dataset]
    size: str = ""  # such as "50,000 + 10,000 images, 32x32, colour"
    classes: str = ""
    licence: str = ""
    citation: str = ""
    url: str = ""
    access: str = ""  # how to get it
    content: str = ""  # content hash of the published set, whole
    images: int = 0  # training images of the published set
    downloads: bool = False  # whether ``load`` fetches what is missing


def from_arrays(
    name: str,
    train_images: ArrayLike,
    train_labels: ArrayLike,
    test_images: ArrayLike,
    test_labels: ArrayLike,
    classes: tuple[str, ...] | None = None,
    flips: Mapping[int, int] | None = None,
    found: Mapping[str, ArrayLike] | None = None,
) -> Dataset:
    """A data set from uint8 images (N, H, W), (N, H, W, C) or (N, C, H, W) and integer labels,
    checked.

    ``found`` are noisy labels of the training images; where there are some, true labels may be
    UNKNOWN (-1). Images of other types are refused, not scaled: only their owner knows what black
    and white are. Without names, every class from 0 to the highest label has training images; named
    classes may have none, and ``Dataset.remarks`` says so.
    """
    pairs = []
    for part, given in (
        ("training", (train_images, train_labels)),
        ("test", (test_images, test_labels)),
    ):
        images, labels = map(np.asarray, given)
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise InputError(
                f"the {part} images of {name} are {images.dtype} of shape {images.shape}: "
                f"give uint8 of shape (N, H, W), (N, H, W, C) or (N, C, H, W)"
                f"{'' if images.dtype == np.uint8 else _BYTES.get(images.dtype.kind, '')}"
            )
        if not len(images):
            raise InputError(f"{name} has no {part} images: give at least one of each class")
        shape = images.shape
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[1] not in (1, 3):
            images = images.transpose(0, 3, 1, 2)
        if images.shape[1] not in (1, 3) or min(images.shape[2:]) < 4:
            raise InputError(
                f"the {part} images of {name} have shape {shape}: give 1 or 3 channels, 4 pixels a "
                "side"
            )
        pairs.append((np.ascontiguousarray(images), _labels(name, part, labels, len(images))))
    (train, train_classes), (test, test_classes) = pairs
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"training and test images of {name} differ in shape: make them the same size"
        )
    noisy = {
        key: _labels(name, f"noisy ({key})", np.asarray(given), len(train))
        for key, given in (found or {}).items()
    }
    truth = train_classes[train_classes != UNKNOWN] if noisy else train_classes
    parts = {
        "training": truth,
        "test": test_classes,
        **{f"noisy ({key})": labels for key, labels in noisy.items()},
    }
    names = _classes(name, parts, classes)
    training = [truth] if len(truth) == len(train) else [truth, *noisy.values()]
    absent = sorted(set(range(len(names))) - set(np.concatenate(training).tolist()))
    if absent and classes is None:
        listed = shortlist(names[label] for label in absent)
        raise InputError(
            f"no training image of {name} is of the class {listed}, which has labels elsewhere: "
            "give it training images, count classes from 0 without gaps, or name all of them"
        )
    return Dataset(name, train, train_classes, test, test_classes, names, flips, noisy)


#: What to do about images of another type, by NumPy's kind of type.
_BYTES = {
    "f": ", such as (images * 255).round().astype('uint8') for values from 0 to 1",
    "u": ", such as (images >> 8).astype('uint8') for values of 16 bits",
    "i": ", such as images.astype('uint8') for values from 0 to 255",
    "b": ", such as images * np.uint8(255)",
}

#: What to do about labels of another type, by NumPy's kind of type.
_INTEGERS = {
    "f": ": labels.astype(int), if none is missing or a fraction",
    "b": ": labels.astype(int)",
    "U": ": classes, labels = np.unique(labels, return_inverse=True)",
    "S": ": classes, labels = np.unique(labels, return_inverse=True)",
}


def _labels(name: str, part: str, labels: np.ndarray, images: int) -> np.ndarray:
    """Labels as int64 (N,); InputError unless there is one integer for each image."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != images or not images:
        hint = _INTEGERS.get(labels.dtype.kind, "")
        if labels.ndim == 2 and len(labels) == images:
            hint = (
                ": labels[:, 0]"
                if labels.shape[1] == 1
                else ": labels.argmax(1), where each row marks a class"
            )
        raise InputError(
            f"{name} has {part} labels of shape {labels.shape} and type {labels.dtype} "
            f"for {images} images: give one integer for each image{hint}"
        )
    if int(labels.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{name} has {part} labels up to {labels.max()}: count classes from 0")
    return labels.astype(np.int64)


def _classes(
    name: str, parts: Mapping[str, np.ndarray], classes: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Names of the classes, numbers where none are given; InputError unless they go with all
    labels.
    """
    parts = {part: labels for part, labels in parts.items() if len(labels)}
    lowest = min(parts, key=lambda part: parts[part].min())
    highest = max(parts, key=lambda part: parts[part].max())
    first, last = int(parts[lowest].min()), int(parts[highest].max())
    if classes is None and first >= 0:
        occurring = np.unique(np.concatenate(list(parts.values())))
        if len(occurring) <= last:
            gap = next(
                number for number, label in enumerate([*occurring.tolist(), -1]) if number != label
            )
            raise InputError(
                f"{name} has labels up to {last}, but only {len(occurring)} different ones: count "
                f"classes from 0 without gaps, or name all of them (no image has the label {gap})"
            )
        classes = tuple(map(str, range(last + 1)))
    number = 0 if classes is None else len(classes)
    if first < 0 or last >= number or number < 2:
        wrong = lowest if first < 0 else highest
        raise InputError(
            f"{name} has labels from {first} to {last} for {number or last + 1} classes (see its "
            f"{wrong} labels): count classes from 0, at least two"
        )
    assert classes is not None
    if not all(title.strip() for title in classes):
        raise InputError(f"{name} has a class without a name: give each class one")
    if len(set(classes)) < number:
        twice = next(title for title in classes if classes.count(title) > 1)
        raise InputError(
            f"{name} names the class {twice!r} twice: give each class a name of its own"
        )
    return classes
