"""Pool of an audit: all samples of a data set, training and test part together, to learn from."""

from dataclasses import dataclass, replace

import numpy as np

from bench.audit.samples import Samples, has_split, samples_of
from bench.datasets import FOUND, UNKNOWN, Dataset, ImageFiles, stratified_choice
from bench.errors import InputError
from bench.records.schema import AUDIT_OF

#: Samples of the pool that its trials are evaluated on; nothing reads these figures.
EVALUATED = 500

#: Fewest samples that an audit takes.
FEWEST = 50


@dataclass(frozen=True)
class Pool:
    """Samples of an audit, the training part first."""

    dataset: str  # name of the data set
    samples: Samples  # with the labels to audit
    truth: np.ndarray  # int64 (N,), UNKNOWN where it is not known; no trial sees it
    inputs: np.ndarray  # that trials learn from: float32 (N, D), or uint8 (N, C, H, W)
    has_split: bool = True  # False where the test part is drawn here, from a folder without one

    def __len__(self) -> int:
        return len(self.samples.given)

    @property
    def given(self) -> np.ndarray:
        """Labels (N,) to audit."""
        return self.samples.given

    @property
    def classes(self) -> tuple[str, ...]:
        return self.samples.classes

    @property
    def vectors(self) -> np.ndarray:
        """Inputs as vectors (N, D), float32."""
        return self.inputs.reshape(len(self), -1).astype(np.float32, copy=False)

    def training_set(self) -> Dataset:
        """Return the data set of the audit's trials: all samples are training samples.

        The test set that a data set has to have is a part of them.
        """
        size = min(len(self), EVALUATED)
        tested = np.sort(stratified_choice(self.given, size, np.random.default_rng(0)))
        return Dataset(
            f"{AUDIT_OF}{self.dataset}",
            self.inputs,
            np.full(len(self), UNKNOWN),
            self.inputs[tested],
            self.given[tested],
            self.classes,
            found={FOUND: self.given},
            noisy_test=True,
        )


def pool_of(dataset: Dataset, labels: np.ndarray, as_vectors: bool) -> Pool:
    """Return the pool of a data set.

    Args:
        labels: labels (N,) of the training part to audit.
        as_vectors: True to learn from the data set's features, its own vectors, or its pixels.

    Raises:
        InputError: where there are too few samples or classes to judge labels.
    """
    samples = samples_of(dataset)
    samples = replace(samples, given=np.concatenate([labels, dataset.test_labels]))
    unknown = np.full(len(dataset.test_labels), UNKNOWN)
    given, classes = samples.given, len(np.unique(samples.given))
    if unlabelled := int((given < 0).sum()):
        raise InputError(
            f"{unlabelled:,} samples of {dataset.name} have no label: give each a label, or leave "
            "them out"
        )
    if len(given) < FEWEST:
        raise InputError(
            f"{dataset.name} has {len(given)} samples: an audit needs at least {FEWEST}, add some"
        )
    if classes < 2:
        raise InputError(
            f"all labels of {dataset.name} are {samples.classes[given[0]]!r}: an audit needs "
            "samples of at least 2 classes"
        )
    return Pool(
        dataset=dataset.name,
        samples=samples,
        truth=np.concatenate(
            [dataset.train_labels, unknown if dataset.noisy_test else dataset.test_labels]
        ),
        inputs=_features(dataset) if as_vectors else _images(dataset),
        has_split=has_split(dataset),
    )


def _images(dataset: Dataset) -> np.ndarray:
    """Return the images, training part first."""
    train, test = dataset.train_images, dataset.test_images
    if isinstance(train, ImageFiles) or isinstance(test, ImageFiles):
        raise InputError(
            f"the images of {dataset.name} do not fit into memory: give a smaller --image-size, or "
            "a timm: or torchvision: network as --backbone"
        )
    return np.concatenate([train, test])


def _features(dataset: Dataset) -> np.ndarray:
    """Return features (N, D): of a frozen network, or vectors, or else pixels."""
    if features := dataset.features:
        parts = features.train.mean(1, dtype=np.float32), features.tests["test"]
        return np.concatenate(parts, dtype=np.float32)
    images = _images(dataset)
    if dataset.on_vectors:
        return images
    return images.reshape(len(images), -1).astype(np.float32) / 255
