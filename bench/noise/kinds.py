"""Kinds of noise of this package: the table ``KINDS``, and the functions that its rows name.

A new kind is one row of the table. Its draw goes to ``flips`` if it depends on labels alone, and to
``pixels`` if it depends on images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from bench.datasets import UNKNOWN, Dataset, ImageFiles, check_dataset
from bench.errors import InputError
from bench.noise import flips, pixels
from bench.noise.classifier import posterior_of
from bench.noise.files import read_file
from bench.noise.matching import labels_for, match
from bench.noise.matrices import read_matrix

#: Draw of noisy labels: (data set, rate, generator, sampling, argument) -> labels (N,).
Corruption = Callable[[Dataset, float, Generator, str, str], np.ndarray]


def _accept(dataset: Dataset | None, kind: str, argument: str) -> None:
    """Accept every data set."""


@dataclass(frozen=True)
class NoiseKind:
    """Named way to corrupt labels."""

    summary: str  # one line
    corrupt: Corruption
    citation: str = ""
    takes_rate: bool = True
    #: Name of the argument after the kind's name and a colon, for people: "FILE", "DATASET".
    argument: str = ""
    needs_truth: bool = True  # True where it starts from the true labels
    #: True where exact sampling rounds the number of wrong labels class by class, not in total.
    by_class: bool = False
    #: (data set, rate, argument) -> intended share of wrong labels; None where it is not known.
    meant: Callable[[Dataset, float, str], float] | None = None
    #: (data set, or None before it is loaded; kind; argument): raises InputError where they do not
    #: go together.
    check: Callable[[Dataset | None, str, str], None] = _accept
    #: Argument -> files that the noise depends on; a trial's specification holds the hash of their
    #: content. The default is the argument where that is a "FILE", and no file otherwise.
    files: Callable[[str], Sequence[Path | str]] | None = None


# ----------------------------------------------------------------------------
# draws


def _by_labels(flip: Callable[..., np.ndarray]) -> Corruption:
    def corrupt(data: Dataset, rate: float, rng: Generator, sampling: str, _: str) -> np.ndarray:
        return flip(data.train_labels, data.num_classes, rate, rng, sampling)

    return corrupt


def _keep(data: Dataset, rate: float, rng: Generator, sampling: str, _: str) -> np.ndarray:
    return data.train_labels.copy()


def _asymmetric(data: Dataset, rate: float, rng: Generator, sampling: str, _: str) -> np.ndarray:
    return flips.asymmetric(data.train_labels, data.flips or {}, rate, rng, sampling)


def _instance(normalised: bool) -> Corruption:
    def corrupt(data: Dataset, rate: float, rng: Generator, sampling: str, _: str) -> np.ndarray:
        images, labels = np.asarray(data.train_images), data.train_labels
        # 0 and 1 / 255 leave the bytes as they are.
        raw = np.zeros(data.channels), np.full(data.channels, 1 / 255)
        statistics = data.pixel_statistics if normalised else raw
        return pixels.instance(labels, data.num_classes, rate, rng, sampling, images, statistics)

    return corrupt


def _margin_diminishing(degree: int) -> Corruption:
    def corrupt(data: Dataset, rate: float, rng: Generator, sampling: str, _: str) -> np.ndarray:
        posterior = posterior_of(data)
        return pixels.margin_diminishing(data.train_labels, degree, rate, rng, sampling, posterior)

    return corrupt


def _matrix(data: Dataset, rate: float, rng: Generator, sampling: str, path: str) -> np.ndarray:
    return flips.by_matrix(data.train_labels, read_matrix(path), rng, sampling)


def _labels(data: Dataset, rate: float, rng: Generator, sampling: str, path: str) -> np.ndarray:
    return labels_for(data, path)


# ----------------------------------------------------------------------------
# intended share of wrong labels


def _the_rate(dataset: Dataset, rate: float, argument: str) -> float:
    return rate


def _of_other_classes(dataset: Dataset, rate: float, argument: str) -> float:
    return rate * (1 - 1 / dataset.num_classes)


def _of_affected_classes(dataset: Dataset, rate: float, argument: str) -> float:
    return rate * float(np.isin(dataset.train_labels, [*(dataset.flips or {})]).mean())


def _off_diagonal(dataset: Dataset, rate: float, path: str) -> float:
    return 1 - float(read_matrix(path).diagonal()[dataset.train_labels].mean())


# ----------------------------------------------------------------------------
# checks


def _has_flips(dataset: Dataset | None, kind: str, argument: str) -> None:
    if dataset is not None and not dataset.flips:
        raise InputError(
            f"{dataset.name} does not say which classes are mistaken for which: use pairflip, not "
            f"{kind}"
        )


def _has_blocks(dataset: Dataset | None, kind: str, argument: str) -> None:
    if dataset is not None and dataset.num_classes % flips.BLOCK:
        raise InputError(
            f"{kind} noise shifts labels within blocks of {flips.BLOCK}, into which the "
            f"{dataset.num_classes} classes of {dataset.name} do not divide: use pairflip"
        )


def _has_pixels(dataset: Dataset | None, kind: str, argument: str) -> None:
    if dataset is not None and dataset.on_vectors:
        raise InputError(
            f"{kind} noise needs images, but {dataset.name} holds vectors: use noise of labels "
            "alone, such as symmetric or pairflip"
        )
    if dataset is not None and isinstance(dataset.train_images, ImageFiles):
        raise InputError(
            f"{kind} noise looks at all images at once, and those of {dataset.name} stay in their "
            "files: use noise of labels alone, such as symmetric"
        )


def _has_samples(dataset: Dataset | None, kind: str, argument: str) -> None:
    _has_pixels(dataset, kind, argument)
    if dataset is None:
        return
    # Two images of a class are in different folds: each fold's classifier then sees two classes.
    labels = dataset.train_labels
    if (np.bincount(labels[labels != UNKNOWN]) > 1).sum() < 2:
        raise InputError(
            f"{kind} noise fits a classifier, for which the {len(labels)} training images of "
            f"{dataset.name} are too few: give at least two images of two classes"
        )


def _is_matrix(dataset: Dataset | None, kind: str, path: str) -> None:
    classes = len(read_matrix(path))
    if dataset is not None and classes != dataset.num_classes:
        raise InputError(
            f"the matrix in {path!r} is for {classes} classes, but {dataset.name} has "
            f"{dataset.num_classes}: give a row and a column for each"
        )


def _are_labels(dataset: Dataset | None, kind: str, path: str) -> None:
    content = read_file(path)
    if dataset is not None:
        match(content, dataset)


def _is_other_dataset(dataset: Dataset | None, kind: str, name: str) -> None:
    check_dataset(name)
    _has_pixels(dataset, kind, name)
    if dataset is not None and dataset.name == name:
        raise InputError(
            f"{kind} takes images of {name}'s own classes: name another data set, as openset:mnist"
        )


# ----------------------------------------------------------------------------
# table

_XIA = (
    "Xia et al. (NeurIPS 2020), Part-dependent label noise: towards instance-dependent label noise"
)


def _pmd(degree: int, summary: str) -> NoiseKind:
    source = (
        "Zhang et al. (ICLR 2021), Learning with feature-dependent label noise: a progressive "
        f"approach, type {'I' * degree}"
    )
    draw = _margin_diminishing(degree)
    return NoiseKind(summary, draw, source, check=_has_samples, meant=_the_rate)


KINDS = {
    "clean": NoiseKind("no noise; takes no rate", _keep),
    "symmetric": NoiseKind(
        "to any other class, all equally likely",
        _by_labels(flips.symmetric),
        "Han et al. (2018)",
        meant=_the_rate,
    ),
    "symmetric-inclusive": NoiseKind(
        "to any class, the true one too (DivideMix's convention)",
        _by_labels(flips.symmetric_inclusive),
        "Li, Socher & Hoi (ICLR 2020), DivideMix",
        meant=_of_other_classes,
    ),
    "asymmetric": NoiseKind(
        "to a class it is easily mistaken for; rate per affected class",
        _asymmetric,
        "Patrini et al. (2017)",
        by_class=True,
        check=_has_flips,
        meant=_of_affected_classes,
    ),
    "asymmetric-block": NoiseKind(
        "to the next id within its block of five (legacy CIFAR-100 code)",
        _by_labels(flips.asymmetric_block),
        "as in the code of Zhang et al. (ICLR 2021)",
        by_class=True,
        check=_has_blocks,
        meant=_the_rate,
    ),
    "pairflip": NoiseKind(
        "to the next class", _by_labels(flips.pairflip), "Han et al. (2018)", meant=_the_rate
    ),
    "instance": NoiseKind(
        "to a class that the image's pixels draw (part-dependent)",
        _instance(normalised=True),
        _XIA,
        check=_has_pixels,
        meant=_the_rate,
    ),
    "instance-raw": NoiseKind(
        "the same with pixels from 0 to 255, as in the authors' code: most of a class to one other",
        _instance(normalised=False),
        _XIA,
        check=_has_pixels,
        meant=_the_rate,
    ),
    "pmd-1": _pmd(1, "to the runner-up of a classifier, more often where it is close; type I"),
    "pmd-2": _pmd(2, "the same, type II"),
    "pmd-3": _pmd(3, "the same, type III"),
    "matrix": NoiseKind(
        "by any transition matrix, from .npy, .csv or .txt; takes no rate",
        _matrix,
        takes_rate=False,
        argument="FILE",
        by_class=True,
        check=_is_matrix,
        meant=_off_diagonal,
    ),
    "labels": NoiseKind(
        "noisy labels from .json (DivideMix's), .npy, .pt, .csv or .txt; takes no rate",
        _labels,
        takes_rate=False,
        argument="FILE",
        needs_truth=False,
        check=_are_labels,
    ),
    "openset": NoiseKind(
        "labels stay, and images are replaced by those of another data set",
        _keep,
        "Wang et al. (CVPR 2018), Iterative learning with open-set noisy labels",
        argument="DATASET",
        check=_is_other_dataset,
        meant=_the_rate,
    ),
}
