"""Data set: its samples and labels, the facts known about them, and the source that loads it.

Samples are images, or vectors in the place of images.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.text import printable, shortlist
from bench.datasets.features import Features, VectorStatistics, statistics_of
from bench.datasets.file_account import Account
from bench.datasets.images.files import ImageFiles
from bench.errors import InputError

#: Label of an image whose true class is unknown.
UNKNOWN = -1

#: True class of an image that belongs to none of the classes, as in open-set noise.
OUTSIDE = -2

#: Name of noisy labels that came with the images and have no other name.
FOUND = "found"

#: Mean and standard deviation of ImageNet's pixels, used for photographs that stay in files.
_PHOTOGRAPHS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

Images = np.ndarray | ImageFiles


@dataclass(frozen=True)
class Dataset:
    """Images and labels of one data set.

    Images in memory are uint8 (N, channels, height, width). Labels are int64 (N,). A set of vectors
    has float32 (N, D) instead of images.
    """

    name: str
    train_images: Images
    train_labels: np.ndarray  # true classes, UNKNOWN where they are not known
    test_images: Images
    test_labels: np.ndarray
    classes: tuple[str, ...]
    flips: Mapping[int, int] | None = None  # asymmetric noise: class -> class it is mistaken for
    # noisy labels that come with the images: name -> (N,)
    found: Mapping[str, np.ndarray] = field(default_factory=dict)
    superclasses: np.ndarray | None = None  # (C,) coarse class of each class
    # further test sets, evaluated beside the main one
    extra_tests: Mapping[str, tuple[Images, np.ndarray]] = field(default_factory=dict)
    train_names: np.ndarray | None = None  # (N,) file names, to tell a user which labels are wrong
    noisy_test: bool = False  # the true classes of the test images are unknown, too
    donors: np.ndarray | None = None  # images of none of the classes, for open-set noise
    account: Account | None = None  # files of a folder, used and passed over; not hashed
    all_names: np.ndarray | None = None  # (M,) all file names, in the set's own order
    train_then_test: bool = False  # the set's own order is training images, then test images
    # arrays computed from the images, by name, each kept here by the function that computes it
    derived: dict[str, np.ndarray] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    subset_of: int | None = None  # number of training images before ``subset``
    copies: tuple[str, ...] | None = None  # sentences on exact copies; None if not searched for
    features: Features | None = None  # of a frozen network; not part of the data's identity
    # files of the images that were read from files: "train", "donors" or name of a test set -> (N,)
    files: Mapping[str, ImageFiles] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def on_vectors(self) -> bool:
        """True if the samples are vectors, which have no pixels."""
        return len(self.train_images.shape) == 2

    @property
    def unit(self) -> str:
        """Word for a sample in messages: "vector" or "image"."""
        return "vector" if self.on_vectors else "image"

    @property
    def channels(self) -> int:
        """Number of channels of an image, or of elements of a vector."""
        return self.train_images.shape[1]

    @property
    def side(self) -> int:
        """Width of an image in pixels; 1 for vectors."""
        return 1 if self.on_vectors else self.train_images.shape[-1]

    @property
    def knows_truth(self) -> bool:
        """True if the true class of every training image is known."""
        return bool((self.train_labels != UNKNOWN).all())

    @property
    def delivered_labels(self) -> np.ndarray:
        """Training labels as delivered: the first noisy ones, else the true ones."""
        return next(iter(self.found.values()), self.train_labels)

    @property
    def best_labels(self) -> np.ndarray:
        """True training labels where all are known, else the labels as delivered."""
        return self.train_labels if self.knows_truth else self.delivered_labels

    @property
    def tests(self) -> dict[str, tuple[Images, np.ndarray]]:
        """All test sets by name; the main one is called "test"."""
        return {"test": (self.test_images, self.test_labels), **self.extra_tests}

    @property
    def untested(self) -> str | None:
        """Sentence about the classes without a test image, if there are any."""
        tested = len(set(self.test_labels.tolist()) - {UNKNOWN, OUTSIDE})
        consequence = f"accuracy and worst-class accuracy stand on the other {tested}"
        return self._lacking("test", consequence, self.test_labels)

    @property
    def untrained(self) -> str | None:
        """Sentence about the classes without a training image, if there are any.

        Noise still gives labels to such classes.
        """
        labels = [self.train_labels, *(() if self.knows_truth else self.found.values())]
        return self._lacking("training", "no method can learn such a class", *labels)

    def _lacking(self, part: str, consequence: str, *labels: np.ndarray) -> str | None:
        occurring = set(np.concatenate(labels).tolist())
        absent = [printable(n) for k, n in enumerate(self.classes) if k not in occurring]
        verb = "has" if len(absent) == 1 else "have"
        count = f"{len(absent)} of {self.num_classes} classes {verb} no {part} {self.unit}"
        return f"{count} ({shortlist(absent)}): {consequence}" if absent else None

    @property
    def remarks(self) -> list[str]:
        """Lines that a user should see before a run: files passed over, and missing classes."""
        lines = []
        if self.account:
            lines += [f"{printable(self.name)}: {self.account.summary}", *self.account.notes]
            if self.subset_of is not None:  # without this line, the counts of files do not add up
                lines.append(
                    f"--subset takes {len(self.train_labels):,} of {self.subset_of:,} training "
                    f"{self.unit}s"
                )
        return lines + [sentence for sentence in (self.untrained, self.untested) if sentence]

    @cached_property
    def content_hash(self) -> str:
        """Short hash of all pixels or vectors and labels, by which a record names its data.

        For images in files it covers names and sizes, because reading all files would take as long
        as an epoch. It covers classes and flips, too: network outputs and noise depend on them.
        """
        flips = sorted((int(source), int(target)) for source, target in (self.flips or {}).items())
        digest = hashlib.sha256(repr((self.num_classes, flips)).encode())
        arrays: list[Any] = [self.train_images, self.train_labels]
        arrays += [self.test_images, self.test_labels]
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
        """Mean and standard deviation (C,) of the training pixels as values in [0, 1].

        For images in files they are those of ImageNet.
        """
        if isinstance(self.train_images, ImageFiles):
            return _PHOTOGRAPHS
        channels = self.train_images.swapaxes(0, 1)
        counts = np.stack([np.bincount(values.ravel(), minlength=256) for values in channels])
        share, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
        mean = share @ values
        return mean, np.sqrt((share * (values - mean[:, None]) ** 2).sum(1)).clip(1e-3)

    @cached_property
    def vector_statistics(self) -> VectorStatistics:
        """Mean, standard deviation and norm of the training vectors."""
        assert isinstance(self.train_images, np.ndarray) and self.on_vectors
        return statistics_of(self.train_images)

    def select(self, positions: np.ndarray | slice, images: Images) -> "Dataset":
        """Return the data set with these training images alone, and their labels and names.

        It has no features: their statistics are of all training images.
        """
        files = {
            name: part[positions] if name == "train" else part for name, part in self.files.items()
        }
        return replace(
            self,
            train_images=images,
            train_labels=self.train_labels[positions],
            train_names=None if self.train_names is None else self.train_names[positions],
            found={name: labels[positions] for name, labels in self.found.items()},
            features=None,
            files=files,
        )

    def subset(self, size: int) -> "Dataset":
        """Return a stratified part of the training images, always the same one.

        The test images stay whole.

        Raises:
            InputError: if the part has fewer than 2 images, or more than there are.
        """
        if not 1 < size <= len(self.train_labels):
            raise InputError(
                f"--subset is {size}, but {self.name} has {len(self.train_labels)} training "
                f"{self.unit}s: give a number from 2 to that"
            )
        chosen = np.sort(stratified_choice(self.best_labels, size, np.random.default_rng(0)))
        subset = self.select(chosen, self.train_images[chosen])
        return replace(subset, subset_of=len(self.train_labels), copies=None)


def stratified_choice(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``size`` positions in which every class has its share, to within one sample."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, shuffled within
    # Every (N / size)-th sample of that list, from a random start, holds each class in proportion.
    positions = ((np.arange(size) + rng.random()) * len(labels) / size).astype(int)
    return order[positions]


#: Loader: folder of the files, side of the images in pixels or None for the usual one -> data set.
Loader = Callable[[Path, int | None], Dataset]


@dataclass(frozen=True)
class Source:
    """Data set with a name: how to load it, its size, licence, citation and where to get it."""

    summary: str  # one line
    load: Loader
    size: str = ""  # such as "50,000 + 10,000 images, 32x32, colour"
    classes: str = ""
    licence: str = ""
    citation: str = ""
    url: str = ""
    access: str = ""  # how to get it
    content: str = ""  # content hash of the published set, whole
    images: int = 0  # training images of the published set
    downloads: bool = False  # ``load`` fetches missing files
