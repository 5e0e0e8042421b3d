"""Samples of a data set as an audit counts them: training part, then test part."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.audit.audit import TEST, TRAIN
from bench.common.files import to_json
from bench.datasets import Dataset, ImageFiles


@dataclass(frozen=True)
class Samples:
    """Names and labels as delivered of all samples of a data set."""

    classes: tuple[str, ...]
    names: tuple[str, ...]  # path below the folder; "train:12", "test:3" where there are no files
    split: np.ndarray  # str (N,), TRAIN or TEST
    index: np.ndarray  # int (N,), position of the sample in that part of the data set
    given: np.ndarray  # int (N,), label as delivered

    @cached_property
    def data_hash(self) -> str:
        """Short hash of classes, names and labels: decisions hold for these alone."""
        content = [self.classes, self.names, self.split.tolist(), self.given.tolist()]
        return hashlib.sha256(to_json(content)).hexdigest()[:16]


def samples_of(dataset: Dataset) -> Samples:
    """Return the samples of a data set, both parts with the labels as delivered."""
    labels = {TRAIN: dataset.delivered_labels, TEST: dataset.test_labels}
    names = [name for part in labels for name in _names(dataset, part, len(labels[part]))]
    return Samples(
        dataset.classes,
        tuple(names),
        np.concatenate([np.full(len(part), name) for name, part in labels.items()]),
        np.concatenate([np.arange(len(part)) for part in labels.values()]),
        np.concatenate(list(labels.values())),
    )


def files_of(dataset: Dataset, part: str) -> ImageFiles | None:
    """Return the files of the images of one part; None if it has none."""
    images = dataset.train_images if part == TRAIN else dataset.test_images
    return images if isinstance(images, ImageFiles) else dataset.files.get(part)


def _names(dataset: Dataset, part: str, count: int) -> list[str]:
    files = files_of(dataset, part)
    if files is not None:
        return [str(name) for name in files.names]
    return [f"{part}:{position}" for position in range(count)]
