"""Vectors of a data set's images, written to a file that ``npz:FILE`` reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.common.files import writing_output
from bench.datasets.dataset import FOUND, Dataset
from bench.datasets.npz import ABOUT, CLASSES, FLIPS, NAMES, NOISY, NOISY_TEST


def write_vectors(path: Path, dataset: Dataset, notes: Sequence[str]) -> None:
    """Write the features of a data set's images as float32, with its labels and classes.

    Further test sets and augmented views are left out.

    Args:
        dataset: a data set of images with ``features``.
        notes: lines on the origin of the features, for people.

    Raises:
        InputError: if the file cannot be written.
    """
    features = dataset.features
    assert features is not None
    parts = (
        features.train[:, 0].astype(np.float32),
        dataset.train_labels,
        features.tests["test"].astype(np.float32),
        dataset.test_labels,
    )
    arrays = dict(zip(NAMES["features"], parts, strict=True))
    arrays |= {_array_name(kind): labels for kind, labels in dataset.found.items()}
    arrays |= {CLASSES: np.array(dataset.classes), ABOUT: np.array(notes)}
    if dataset.flips:
        arrays[FLIPS] = np.array(sorted(dataset.flips.items()))
    if dataset.noisy_test:
        arrays[NOISY_TEST] = np.array(True)
    with writing_output(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _array_name(kind: str) -> str:
    """Return the name of the array of noisy labels of a kind, such as "found" or "human-worst"."""
    return NOISY if kind == FOUND else f"{NOISY}_{kind.removeprefix('human-')}"
