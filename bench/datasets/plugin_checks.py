"""Checks of data sets that other packages load: their arrays are checked nowhere else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import plugins
from bench.datasets.dataset import UNKNOWN, Dataset, Source
from bench.datasets.images.files import ImageFiles
from bench.errors import InputError


def load_checked(source: Source, folder: Path, image_size: int | None, name: str) -> Dataset:
    """Call another package's ``Source.load``; any fault of it is an InputError that names it."""
    load = source.load
    place = f"the data set {name} ({getattr(load, '__module__', type(load).__module__)})"
    with plugins.blame(place, "Source.load"):
        dataset = load(folder, image_size)
        check_arrays(dataset)
    return dataset


def check_arrays(dataset: object) -> None:
    """Raise InputError unless this is a data set whose arrays fit together."""
    if not isinstance(dataset, Dataset):
        raise InputError(
            f"Source.load returns a {type(dataset).__name__}: return a bench.datasets.Dataset, as "
            "from_arrays makes"
        )
    classes = dataset.classes
    names = isinstance(classes, tuple) and all(isinstance(name, str) for name in classes)
    if not names or len(classes) < 2:
        raise InputError(f"its classes are {classes!r}: give a tuple of at least two names")
    if not isinstance(dataset.found, Mapping) or not isinstance(dataset.extra_tests, Mapping):
        raise InputError("its found or extra_tests is no dictionary: give one, or leave it out")
    parts = {
        "training": (dataset.train_images, dataset.train_labels),
        "test": (dataset.test_images, dataset.test_labels),
        **{f"{name} test": pair for name, pair in dataset.extra_tests.items()},
    }
    for part, (images, labels) in parts.items():
        _check_images(part, images, dataset.train_images)
        _check_labels(part, labels, len(images), len(classes), part == "training")
    count = len(dataset.train_images)
    for name, labels in dataset.found.items():
        _check_labels(f"noisy ({name})", labels, count, len(classes), False)
    if (np.asarray(dataset.train_labels) == UNKNOWN).any() and not dataset.found:
        raise InputError(
            f"some of its training labels are unknown ({UNKNOWN}), and it has no noisy ones: give "
            "found"
        )
    if dataset.train_names is not None and len(dataset.train_names) != count:
        raise InputError(
            f"it has {len(dataset.train_names)} train_names for {count} images: give one for each"
        )
    _check_flips(dataset.flips, len(classes))


def _check_images(part: str, images: Any, train_images: Any) -> None:
    if not isinstance(images, np.ndarray | ImageFiles):
        raise InputError(
            f"its {part} images are a {type(images).__name__}: give a NumPy array of uint8"
        )
    shape = images.shape
    dtype = images.dtype if isinstance(images, np.ndarray) else np.dtype(np.uint8)
    if dtype != np.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or min(shape[2:]) < 4:
        raise InputError(
            f"its {part} images are {dtype} of shape {shape}: give uint8 of shape (N, channels, "
            "height, width), of 1 or 3 channels and at least 4 pixels a side"
        )
    if not len(images):
        raise InputError(f"it has no {part} images: give at least one of each class")
    if shape[1:] != train_images.shape[1:]:
        raise InputError(
            f"its {part} images have shape {shape}, the training images {train_images.shape}: make "
            "them the same size"
        )


def _check_labels(part: str, labels: Any, images: int, classes: int, may_be_unknown: bool) -> None:
    array = isinstance(labels, np.ndarray)
    if not array or labels.ndim != 1 or labels.dtype.kind not in "iu":
        kind = f"{labels.dtype} of shape {labels.shape}" if array else f"a {type(labels).__name__}"
        raise InputError(
            f"its {part} labels are {kind}: give a NumPy array with one integer for each image"
        )
    if len(labels) != images:
        raise InputError(
            f"it has {len(labels)} {part} labels for {images} images: give one for each"
        )
    lowest = UNKNOWN if may_be_unknown else 0
    if labels.min() < lowest or labels.max() >= classes:
        raise InputError(
            f"its {part} labels go from {labels.min()} to {labels.max()}, but it has {classes} "
            "classes: count them from 0"
        )


def _check_flips(flips: Any, classes: int) -> None:
    if flips is None:
        return
    if not isinstance(flips, Mapping) or not all(
        label in range(classes) for pair in flips.items() for label in pair
    ):
        raise InputError(
            f"its flips are {flips!r}: give a dictionary from classes to classes, counted from 0"
        )
