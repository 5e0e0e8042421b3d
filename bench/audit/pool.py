"""Pool of an audit: all samples of a data set, training and test part together, with features."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.audit.audit import TEST, TRAIN
from bench.datasets import FOUND, UNKNOWN, Dataset, ImageFiles, stratified_choice
from bench.errors import InputError

#: Samples of the pool that its trials are evaluated on; nothing reads these figures.
EVALUATED = 500


@dataclass(frozen=True)
class Pool:
    """Samples of an audit, the training part first."""

    dataset: str  # name of the data set
    classes: tuple[str, ...]
    names: tuple[str, ...]  # path below the folder, or "train:12"
    split: np.ndarray  # str (N,)
    index: np.ndarray  # int (N,), position in that part
    given: np.ndarray  # int64 (N,), labels to audit
    truth: np.ndarray  # int64 (N,), UNKNOWN where it is not known; no trial sees it
    inputs: np.ndarray  # that trials learn from: float32 (N, D), or uint8 (N, C, H, W)

    def __len__(self) -> int:
        return len(self.given)

    @cached_property
    def data_hash(self) -> str:
        """Hash of the names and labels, by which decisions are tied to their data."""
        content = repr((self.classes, self.names, self.given.tolist()))
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:16]

    def training_set(self) -> Dataset:
        """Return the data set of the audit's trials: all samples are training samples.

        The test set that a data set has to have is a part of them.
        """
        size = min(len(self), EVALUATED)
        tested = np.sort(stratified_choice(self.given, size, np.random.default_rng(0)))
        return Dataset(
            f"audit of {self.dataset}",
            self.inputs,
            np.full(len(self), UNKNOWN),
            self.inputs[tested],
            self.given[tested],
            self.classes,
            found={FOUND: self.given},
            noisy_test=True,
        )


def pool_of(dataset: Dataset, labels: np.ndarray, features: bool) -> Pool:
    """Return the pool of a data set, in memory.

    Args:
        labels: labels (N,) of the training part to audit.
        features: True to learn from vectors: the data set's features, its own vectors, or pixels.

    Raises:
        InputError: where there are too few samples or classes to judge labels.
    """
    tested = np.flatnonzero(dataset.test_labels >= 0)  # a test image may belong to no class
    truth = np.concatenate(
        [
            dataset.train_labels,
            np.full(len(tested), UNKNOWN) if dataset.noisy_test else dataset.test_labels[tested],
        ]
    )
    given = np.concatenate([labels, dataset.test_labels[tested]])
    if len(given) < 20 or len(np.unique(given)) < 2:
        raise InputError(
            f"{dataset.name} has {len(given)} samples of {len(np.unique(given))} classes: an audit "
            "needs at least 20 samples and 2 classes"
        )
    return Pool(
        dataset=dataset.name,
        classes=dataset.classes,
        names=_names(dataset, tested),
        split=np.array([TRAIN] * len(labels) + [TEST] * len(tested)),
        index=np.concatenate([np.arange(len(labels)), tested]),
        given=given,
        truth=truth,
        inputs=_features(dataset, tested) if features else _images(dataset, tested),
    )


def _images(dataset: Dataset, tested: np.ndarray) -> np.ndarray:
    """Return the images, training part first."""
    train, test = dataset.train_images, dataset.test_images
    if isinstance(train, ImageFiles) or isinstance(test, ImageFiles):
        raise InputError(
            f"the images of {dataset.name} do not fit into memory: give a smaller --image-size, or "
            "a frozen network as --backbone"
        )
    return np.concatenate([train, test[tested]])


def _features(dataset: Dataset, tested: np.ndarray) -> np.ndarray:
    """Return features (N, D): of a frozen network, or vectors, or else pixels."""
    if features := dataset.features:
        parts = features.train.mean(1, dtype=np.float32), features.tests["test"][tested]
        return np.concatenate(parts, dtype=np.float32)
    images = _images(dataset, tested)
    return images if dataset.on_vectors else images.reshape(len(images), -1).astype("f4") / 255


def _names(dataset: Dataset, tested: np.ndarray) -> tuple[str, ...]:
    train, test = dataset.files.get("train"), dataset.files.get("test")
    if dataset.train_names is not None:
        names = [str(name) for name in dataset.train_names]
    elif train is not None:
        names = [str(name) for name in train.names]
    else:
        names = [f"{TRAIN}:{i}" for i in range(len(dataset.train_labels))]
    if test is not None:
        return (*names, *(str(name) for name in test.names[tested]))
    return (*names, *(f"{TEST}:{i}" for i in tested.tolist()))
