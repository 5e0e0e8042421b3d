"""Data sets from arrays in memory, with every image, vector and label checked."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from bench.common.text import shortlist
from bench.datasets.dataset import UNKNOWN, Dataset
from bench.errors import InputError

#: Fix for images of another type, by NumPy's kind of type.
_TO_BYTES = {
    "f": ", such as (images * 255).round().astype('uint8') for values from 0 to 1",
    "u": ", such as (images >> 8).astype('uint8') for values of 16 bits",
    "i": ", such as images.astype('uint8') for values from 0 to 255",
    "b": ", such as images * np.uint8(255)",
}

#: Fix for labels of another type, by NumPy's kind of type.
_TO_INTEGERS = {
    "f": ": labels.astype(int), if none is missing or a fraction",
    "b": ": labels.astype(int)",
    "U": ": classes, labels = np.unique(labels, return_inverse=True)",
    "S": ": classes, labels = np.unique(labels, return_inverse=True)",
}


#: Fix for vectors of another type, by NumPy's kind of type.
_TO_FLOATS = {kind: ", such as features.astype('float32')" for kind in "iub"}


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
    """Return a data set of uint8 images (N, H, W), (N, H, W, C) or (N, C, H, W) and integer labels.

    Images of other types are refused, not scaled: only their owner knows the values of black and
    white. Without ``classes``, every class from 0 to the highest label has training images; named
    classes may have none, and ``Dataset.remarks`` says so.

    Args:
        found: noisy labels of the training images, name -> (N,); with them, true labels may be
            UNKNOWN (-1).

    Raises:
        InputError: if images, labels and classes do not fit together.
    """
    train = _images(name, "training", np.asarray(train_images))
    test = _images(name, "test", np.asarray(test_images))
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"training and test images of {name} differ in shape: make them the same size"
        )
    return _labelled(name, train, train_labels, test, test_labels, classes, flips, found)


def from_vectors(
    name: str,
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    classes: tuple[str, ...] | None = None,
    found: Mapping[str, ArrayLike] | None = None,
) -> Dataset:
    """Return a data set of vectors (N, D) of floats, kept as float32, and integer labels.

    Labels and classes are those of ``from_arrays``.

    Raises:
        InputError: if vectors, labels and classes do not fit together, or a value is not finite.
    """
    train = _vectors(name, "training", np.asarray(train_features))
    test = _vectors(name, "test", np.asarray(test_features))
    if train.shape[1] != test.shape[1]:
        raise InputError(
            f"the training vectors of {name} have {train.shape[1]} elements and the test vectors "
            f"{test.shape[1]}: compute both in the same way"
        )
    return _labelled(name, train, train_labels, test, test_labels, classes, None, found)


def _labelled(
    name: str,
    train: np.ndarray,
    train_labels: ArrayLike,
    test: np.ndarray,
    test_labels: ArrayLike,
    classes: tuple[str, ...] | None,
    flips: Mapping[int, int] | None,
    found: Mapping[str, ArrayLike] | None,
) -> Dataset:
    """Return the data set of checked samples; InputError unless labels and classes fit them."""
    truth = _labels(name, "training", train_labels, len(train))
    test_truth = _labels(name, "test", test_labels, len(test))
    noisy = {
        key: _labels(name, f"noisy ({key})", labels, len(train))
        for key, labels in (found or {}).items()
    }
    known = truth[truth != UNKNOWN] if noisy else truth
    parts = {"training": known, "test": test_truth}
    parts |= {f"noisy ({key})": labels for key, labels in noisy.items()}
    names = _classes(name, parts, classes)
    training = [known] if len(known) == len(train) else [known, *noisy.values()]
    absent = sorted(set(range(len(names))) - set(np.concatenate(training).tolist()))
    if absent and classes is None:
        listed = shortlist(names[label] for label in absent)
        raise InputError(
            f"no training sample of {name} is of the class {listed}, which has labels elsewhere: "
            "give it training samples, count classes from 0 without gaps, or name all of them"
        )
    return Dataset(name, train, truth, test, test_truth, names, flips, noisy)


def _images(name: str, part: str, images: np.ndarray) -> np.ndarray:
    """Return images as uint8 (N, C, H, W)."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        fix = "" if images.dtype == np.uint8 else _TO_BYTES.get(images.dtype.kind, "")
        if images.dtype.kind == "f" and images.ndim == 2:
            fix = ", or save vectors as train_features and test_features"
        raise InputError(
            f"the {part} images of {name} are {images.dtype} of shape {images.shape}: give uint8 "
            f"of shape (N, H, W), (N, H, W, C) or (N, C, H, W){fix}"
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
            f"the {part} images of {name} have shape {shape}: give 1 or 3 channels, 4 pixels a side"
        )
    return np.ascontiguousarray(images)


def _vectors(name: str, part: str, vectors: np.ndarray) -> np.ndarray:
    """Return vectors as float32 (N, D), all of them finite."""
    if vectors.dtype.kind != "f" or vectors.ndim != 2:
        fix = _TO_FLOATS.get(vectors.dtype.kind, "")
        if vectors.ndim != 2 and not fix:
            fix = ", such as features.reshape(len(features), -1)"
        raise InputError(
            f"the {part} vectors of {name} are {vectors.dtype} of shape {vectors.shape}: give "
            f"floats of shape (N, D){fix}"
        )
    if not len(vectors):
        raise InputError(f"{name} has no {part} vectors: give at least one of each class")
    if not vectors.shape[1]:
        raise InputError(
            f"the {part} vectors of {name} have shape {vectors.shape}: give each at least one "
            "element"
        )
    with np.errstate(over="ignore"):  # an overflow is infinite, and refused below
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    broken = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(broken):
        raise InputError(
            f"{len(broken):,} of {len(vectors):,} {part} vectors of {name} hold NaN or infinity as "
            f"float32, first in row {broken[0]}: replace these values, or leave the rows out"
        )
    return vectors


def _labels(name: str, part: str, values: ArrayLike, samples: int) -> np.ndarray:
    """Return labels as int64 (N,); InputError unless there is one integer for each sample."""
    labels = np.asarray(values)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != samples:
        hint = _TO_INTEGERS.get(labels.dtype.kind, "")
        if labels.ndim == 2 and len(labels) == samples:
            one_hot = ": labels.argmax(1), where each row marks a class"
            hint = ": labels[:, 0]" if labels.shape[1] == 1 else one_hot
        raise InputError(
            f"{name} has {part} labels of shape {labels.shape} and type {labels.dtype} for "
            f"{samples} samples: give one integer for each sample{hint}"
        )
    if int(labels.max()) > np.iinfo(np.int64).max:
        raise InputError(f"{name} has {part} labels up to {labels.max()}: count classes from 0")
    return labels.astype(np.int64)


def _classes(
    name: str, parts: Mapping[str, np.ndarray], classes: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Return the names of the classes, by default numbers; check them against all labels."""
    parts = {part: labels for part, labels in parts.items() if len(labels)}
    lowest = min(parts, key=lambda part: parts[part].min())
    highest = max(parts, key=lambda part: parts[part].max())
    first, last = int(parts[lowest].min()), int(parts[highest].max())
    if classes is None and first >= 0:
        labels = np.unique(np.concatenate(list(parts.values()))).tolist()
        if len(labels) <= last:
            gap = next(number for number, label in enumerate([*labels, -1]) if number != label)
            raise InputError(
                f"{name} has labels up to {last}, but only {len(labels)} different ones: count "
                f"classes from 0 without gaps, or name all of them (no sample has the label {gap})"
            )
        classes = tuple(map(str, range(last + 1)))
    number = 0 if classes is None else len(classes)
    if first < 0 or last >= number or number < 2:
        raise InputError(
            f"{name} has labels from {first} to {last} for {number or last + 1} classes (see its "
            f"{lowest if first < 0 else highest} labels): count classes from 0, at least two"
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
