"""Corruption of a data set's labels by a noise specification."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets import Dataset, load_dataset, with_donors
from bench.errors import InputError
from bench.noise.classifier import posterior_of
from bench.noise.flips import openset
from bench.noise.matching import check_labels
from bench.noise.registry import blame, comes_with_data, find_kind, origin
from bench.noise.spec import OPENSET, NoiseSpec, generator


def prepare(dataset: Dataset, kind: str, data_dir: Path | str = "data") -> Dataset:
    """Return the data set with everything that the noise needs beside it, loaded once per sweep.

    Open-set noise needs donors, and margin-diminishing noise class probabilities.
    """
    if dataset.all_names is not None and not kind.startswith("labels:"):
        # No other kind reads these names, and each worker would load them.
        dataset = replace(dataset, all_names=None)
    if comes_with_data(kind):
        return dataset
    noise, argument = find_kind(kind)
    if kind.startswith(OPENSET):
        noise.check(dataset, kind, argument)
        below = Path(os.path.expanduser(data_dir)) / argument
        return with_donors(dataset, load_dataset(argument, below if below.is_dir() else data_dir))
    if kind.startswith("pmd-") and dataset.knows_truth:
        noise.check(dataset, kind, argument)
        posterior_of(dataset)
    return dataset


def corrupt(dataset: Dataset, spec: NoiseSpec) -> np.ndarray:
    """Return noisy labels (N,) int64 of the training images, the same for equal arguments.

    Open-set noise returns the clean labels: it replaces images, see ``replaced_images``.

    Raises:
        InputError: where the kind's file, or another package's kind, gives no such labels.
    """
    if comes_with_data(spec.kind):
        return dataset.found[spec.kind].copy()
    noise, argument = find_kind(spec.kind)
    if not spec.rate and noise.takes_rate:
        return dataset.train_labels.astype(np.int64)
    rng = generator(spec.seed)
    with blame(spec.kind, "corrupt"), _read_only(dataset):
        noisy = np.asarray(noise.corrupt(dataset, spec.rate or 0.0, rng, spec.sampling, argument))
        if noisy.ndim != 1 or noisy.dtype.kind not in "iu":
            raise InputError(
                f"corrupt returns {noisy.dtype} of shape {noisy.shape}: return one integer for "
                "each image"
            )
        # Another package's kind may return anything, and a file may have changed.
        check_labels(noisy, dataset, spec.kind)
    return noisy.astype(np.int64)


@contextlib.contextmanager
def _read_only(dataset: Dataset) -> Iterator[None]:
    """Context in which labels and images cannot be written to: a kind could change the truth."""
    arrays = [
        array
        for array in (dataset.train_labels, dataset.train_images)
        if isinstance(array, np.ndarray)
    ]
    before = [array.flags.writeable for array in arrays]
    try:
        for array in arrays:
            array.flags.writeable = False
        yield
    finally:
        for array, writeable in zip(arrays, before, strict=True):
            # A memory map from Ray's store reports that it is writeable, and is not.
            with contextlib.suppress(ValueError):
                array.flags.writeable = writeable


def replaced_images(dataset: Dataset, spec: NoiseSpec) -> tuple[np.ndarray, np.ndarray] | None:
    """Return positions (R,) of the images that open-set noise replaces, and indices of the donors.

    None for other noise. Before ``prepare`` has loaded donors, only the positions are valid.
    """
    if not spec.replaces_images:
        return None
    images = len(dataset.train_labels)
    donors = images if dataset.donors is None else len(dataset.donors)
    return openset(images, donors, spec.rate or 0.0, generator(spec.seed), spec.sampling)


def rehearse(dataset: Dataset, spec: NoiseSpec) -> None:
    """Draw noise of another package's kind, so that its mistakes are found before a sweep runs.

    Raises:
        InputError: where it fails, or one seed does not always give the same labels.
    """
    place = origin(spec.kind)
    if place is None:
        return
    first, second = corrupt(dataset, spec), corrupt(dataset, spec)
    if not np.array_equal(first, second):
        raise InputError(
            f"{place}: corrupt draws other labels each time: use the generator that it is given "
            "alone"
        )
