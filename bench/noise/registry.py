"""The kinds of noise by name: what each is, what it goes together with, and how a data set's labels
are corrupted.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np

from bench.common import plugins
from bench.datasets import (
    FOUND,
    UNKNOWN,
    Dataset,
    ImageFiles,
    check_dataset,
    load_dataset,
    with_donors,
)
from bench.errors import InputError, unknown
from bench.noise import flips, pixels
from bench.noise.files import file_hash, read_file, read_matrix
from bench.noise.matching import check_labels, labels_for, match

SAMPLINGS = ("exact", "independent")

#: Random stream of the noise. A spawned one: default_rng([0, 0]) would be default_rng(0), which
#: chooses subsets and test sets.
STREAM = 1

#: How the names of open-set noise begin.
OPENSET = "openset:"

#: (data set, rate, generator, sampling, argument) -> noisy labels (N,).
Corruption = Callable[[Dataset, float, np.random.Generator, str, str], np.ndarray]


def _accept(dataset: Dataset | None, kind: str, argument: str) -> None:
    """Every data set will do."""


@dataclass(frozen=True)
class NoiseKind:
    """A named way of corrupting labels."""

    summary: str  # one line
    corrupt: Corruption
    citation: str = ""
    takes_rate: bool = True
    argument: str = ""  # what is written after the kind's name and a colon, for people: "FILE"
    needs_truth: bool = True  # whether it starts from the true labels
    # whether exact sampling rounds the number of wrong labels class by class, and not in total
    by_class: bool = False
    #: (data set, rate, argument) -> share of wrong labels that is meant; None where nobody can say.
    meant: Callable[[Dataset, float, str], float] | None = None
    #: (data set or None where it is not loaded yet, kind, argument); raises InputError where they
    #: do not go together.
    check: Callable[[Dataset | None, str, str], None] = _accept
    #: Takes the argument; returns the files that the noise depends on, whose content is part of a
    #: trial's specification. By default the argument's where that is a "FILE", and else none.
    files: Callable[[str], Sequence[Path | str]] | None = None


# --------------------------------------------------------------------------------------------------------
# corruptions


def _by_labels(corruption: Callable[..., np.ndarray]) -> Corruption:
    def corrupt(
        dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
    ) -> np.ndarray:
        return corruption(dataset.train_labels, dataset.num_classes, rate, rng, sampling)

    return corrupt


def _keep(
    dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
) -> np.ndarray:
    return dataset.train_labels.copy()


def _asymmetric(
    dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
) -> np.ndarray:
    return flips.asymmetric(dataset.train_labels, dataset.flips or {}, rate, rng, sampling)


def _instance(
    dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
) -> np.ndarray:
    images = np.asarray(dataset.train_images)
    return pixels.instance(
        dataset.train_labels,
        dataset.num_classes,
        rate,
        rng,
        sampling,
        images,
        dataset.pixel_statistics,
    )


def _instance_raw(
    dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
) -> np.ndarray:
    images = np.asarray(dataset.train_images)
    bytes_as_they_are = np.zeros(dataset.channels), np.full(dataset.channels, 1 / 255)
    return pixels.instance(
        dataset.train_labels, dataset.num_classes, rate, rng, sampling, images, bytes_as_they_are
    )


def _margin_diminishing(degree: int) -> Corruption:
    def corrupt(
        dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
    ) -> np.ndarray:
        return pixels.margin_diminishing(
            dataset.train_labels, degree, rate, rng, sampling, pixels.posterior_of(dataset)
        )

    return corrupt


def _matrix(
    dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
) -> np.ndarray:
    return flips.by_matrix(dataset.train_labels, read_matrix(argument), rng, sampling)


def _labels(
    dataset: Dataset, rate: float, rng: np.random.Generator, sampling: str, argument: str
) -> np.ndarray:
    return labels_for(dataset, argument)


# ------------------------------------------------------------------------------------------- meant
# share of wrong labels


def _the_rate(dataset: Dataset, rate: float, argument: str) -> float:
    return rate


def _of_other_classes(dataset: Dataset, rate: float, argument: str) -> float:
    return rate * (1 - 1 / dataset.num_classes)


def _of_affected_classes(dataset: Dataset, rate: float, argument: str) -> float:
    return rate * float(np.isin(dataset.train_labels, [*(dataset.flips or {})]).mean())


def _off_diagonal(dataset: Dataset, rate: float, argument: str) -> float:
    return 1 - float(read_matrix(argument).diagonal()[dataset.train_labels].mean())


# -------------------------------------------------------------------------------------------------------------
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
    if dataset is not None and isinstance(dataset.train_images, ImageFiles):
        raise InputError(
            f"{kind} noise looks at all images at once, and those of {dataset.name} stay in their "
            "files: use noise of labels alone, such as symmetric"
        )


def _has_samples(dataset: Dataset | None, kind: str, argument: str) -> None:
    _has_pixels(dataset, kind, argument)
    # Two images of a class are in different parts: then no part's classifier sees one class only.
    if (
        dataset is not None
        and (np.bincount(dataset.train_labels[dataset.train_labels != UNKNOWN]) > 1).sum() < 2
    ):
        raise InputError(
            f"{kind} noise fits a classifier, for which the {len(dataset.train_labels)} training "
            f"images of {dataset.name} are too few: give at least two images of two classes"
        )


def _is_matrix(dataset: Dataset | None, kind: str, argument: str) -> None:
    classes = len(read_matrix(argument))
    if dataset is not None and classes != dataset.num_classes:
        raise InputError(
            f"the matrix in {argument!r} is for {classes} classes, but {dataset.name} has "
            f"{dataset.num_classes}: give a row and a column for each"
        )


def _are_labels(dataset: Dataset | None, kind: str, argument: str) -> None:
    content = read_file(argument)
    if dataset is not None:
        match(content, dataset)


def _is_other_dataset(dataset: Dataset | None, kind: str, argument: str) -> None:
    check_dataset(argument)
    _has_pixels(dataset, kind, argument)
    if dataset is not None and dataset.name == argument:
        raise InputError(
            f"{kind} takes images of {argument}'s own classes: name another data set, as "
            "openset:mnist"
        )


# -----------------------------------------------------------------------------------------------------------
# registry

_PMD = "Zhang et al. (ICLR 2021), Learning with feature-dependent label noise: a progressive approach, type"
_XIA = (
    "Xia et al. (NeurIPS 2020), Part-dependent label noise: towards instance-dependent label noise"
)

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
        check=_has_flips,
        by_class=True,
        meant=_of_affected_classes,
    ),
    "asymmetric-block": NoiseKind(
        "to the next id within its block of five (legacy CIFAR-100 code)",
        _by_labels(flips.asymmetric_block),
        "as in the code of Zhang et al. (ICLR 2021)",
        check=_has_blocks,
        by_class=True,
        meant=_the_rate,
    ),
    "pairflip": NoiseKind(
        "to the next class", _by_labels(flips.pairflip), "Han et al. (2018)", meant=_the_rate
    ),
    "instance": NoiseKind(
        "to a class that the image's pixels draw (part-dependent)",
        _instance,
        _XIA,
        check=_has_pixels,
        meant=_the_rate,
    ),
    "instance-raw": NoiseKind(
        "the same with pixels from 0 to 255, as in the authors' code: most of a class to one other",
        _instance_raw,
        _XIA,
        check=_has_pixels,
        meant=_the_rate,
    ),
    "pmd-1": NoiseKind(
        "to the runner-up of a classifier, more often where it is close; type I",
        _margin_diminishing(1),
        f"{_PMD} I",
        check=_has_samples,
        meant=_the_rate,
    ),
    "pmd-2": NoiseKind(
        "the same, type II",
        _margin_diminishing(2),
        f"{_PMD} II",
        check=_has_samples,
        meant=_the_rate,
    ),
    "pmd-3": NoiseKind(
        "the same, type III",
        _margin_diminishing(3),
        f"{_PMD} III",
        check=_has_samples,
        meant=_the_rate,
    ),
    "matrix": NoiseKind(
        "by any transition matrix, from .npy, .csv or .txt; takes no rate",
        _matrix,
        takes_rate=False,
        argument="FILE",
        check=_is_matrix,
        by_class=True,
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


@cache
def _packaged() -> dict[str, list[EntryPoint]]:
    """Kinds of installed packages: entry points of the group ``bench.noise``, each of which names a
    ``NoiseKind``.
    """
    return plugins.offered("bench.noise")


def _load(name: str) -> NoiseKind:
    if name not in _packaged():
        return KINDS[name]
    point = plugins.only(
        _packaged()[name], "kinds of noise", name in KINDS or comes_with_data(name)
    )
    kind = plugins.load(point, NoiseKind, "noise kind")
    for field, types in (
        ("summary", str),
        ("argument", str),
        ("takes_rate", bool),
        ("needs_truth", bool),
    ):
        if not isinstance(value := getattr(kind, field), types):
            raise InputError(
                f"{point.value}: {field} is {value!r}: give a value of the type {types.__name__}"
            )
    for field in ("corrupt", "check", "files"):
        if not callable(value := getattr(kind, field)) and (field, value) != ("files", None):
            raise InputError(f"{point.value}: {field} is {value!r}: give a function")
    return kind


@contextlib.contextmanager
def _blame(kind: str, doing: str) -> Iterator[None]:
    """Context in which what another package's kind raises becomes one sentence with its name."""
    name = kind.partition(":")[0]
    with (
        plugins.blame(_packaged()[name][0].value, doing)
        if name in _packaged()
        else contextlib.nullcontext()
    ):
        yield


def listing() -> dict[str, str]:
    """Every kind as it is written, those of other packages too, and its summary."""
    rows = {}
    for name in dict.fromkeys((*KINDS, *_packaged())):
        try:
            kind = _load(name)
            rows[f"{name}:{kind.argument}" if kind.argument else name] = kind.summary
        except InputError as error:  # one broken package does not hide the others
            rows[name] = f"[broken: {error}]"
    with_data = {
        FOUND: "as the images came with them; takes no rate",
        "human-NAME": "people's, where the data set has them",
    }
    return rows | with_data


def find_kind(kind: str) -> tuple[NoiseKind, str]:
    """The kind of that name, and the argument after its colon, if it takes one.

    Raises:
        InputError: where there is none.
    """
    name, colon, argument = kind.partition(":")
    if name not in KINDS and name not in _packaged():
        raise unknown("noise kind", name, [*listing()])
    found = _load(name)
    what = found.argument
    if what and not argument:
        raise InputError(
            f"{kind} names no {'file' if what == 'FILE' else 'data set'}: write {name}:{what}"
        )
    if colon and not what:
        raise InputError(f"{name} noise takes nothing after a colon: write {name} alone")
    return found, argument


def fingerprint(kind: str) -> str | None:
    """Short hash of the content of the files that the kind reads; None where it reads none."""
    if comes_with_data(kind):
        return None
    noise, argument = find_kind(kind)
    if noise.files is None:
        paths: Sequence[Path | str] = [argument] if noise.argument == "FILE" else []
    else:
        with _blame(kind, "files"):
            paths = noise.files(argument)
            if isinstance(paths, str | Path) or not all(
                isinstance(path, str | Path) for path in paths
            ):
                raise InputError(f"files returns {paths!r}: return a list of paths")
    return file_hash([Path(path) for path in paths]) if paths else None


def comes_with_data(kind: str) -> bool:
    """Whether the kind names noisy labels that a data set brings along: "found", "human-worst"."""
    return kind == FOUND or kind.startswith("human-")


def default_noise(dataset: Dataset) -> str:
    """The kind of noise where none is asked for: the labels the images came with, or symmetric
    noise on true ones.
    """
    return next(iter(dataset.found), "symmetric")


def takes_rate(kind: str) -> bool:
    """Whether the kind is drawn at a rate that one can choose."""
    return kind != "clean" and not comes_with_data(kind) and find_kind(kind)[0].takes_rate


def check_noise(kind: str, rate: float | None, dataset: Dataset | None = None) -> None:
    """Raise InputError where this kind, rate and data set do not go together. Without a data set,
    what can be said is.
    """
    check_rate(kind, rate, dataset)
    if not comes_with_data(kind):
        noise, argument = find_kind(kind)
        with _blame(kind, "check"):
            noise.check(dataset, kind, argument)


def check_rate(kind: str, rate: float | None, dataset: Dataset | None = None) -> None:
    """As ``check_noise``, but without the kind's own check, which may read a file."""
    if comes_with_data(kind):
        if dataset is not None and kind not in dataset.found:
            known = [*dataset.found, *(KINDS if dataset.knows_truth else [])]
            raise InputError(
                f"{dataset.name} does not come with {kind} labels: choose from {', '.join(known)}"
            )
        if rate is not None:
            raise InputError(
                f"{kind} labels are as they are, and take no noise rate: leave out --noise"
            )
        return
    noise, _ = find_kind(kind)
    if not noise.takes_rate and rate is not None:
        raise InputError(
            f"{kind} says itself how many labels are wrong, and takes no noise rate: leave out "
            "--noise"
        )
    if rate is not None and not 0 <= rate < 1:
        raise InputError(
            f"the noise rate is {rate:g}: give a rate from 0 up to, but not including, 1"
        )
    if kind == "clean" and rate:
        raise InputError(
            f"clean labels take no noise rate, but --noise has {rate:g}: use --noise 0"
        )
    if takes_rate(kind) and rate is None:
        raise InputError(f"{kind} noise needs a rate: give one with --noise")
    if dataset is not None and noise.needs_truth and not dataset.knows_truth:
        raise InputError(
            f"nobody knows the true labels of {dataset.name}, which {kind} noise starts from: use "
            f"--noise-kind {FOUND}"
        )


def prepare(dataset: Dataset, kind: str, data_dir: Path | str = "data") -> Dataset:
    """The data set with all that the noise needs beside it, made or loaded once and not once a
    trial.
    """
    if dataset.all_names is not None and not kind.startswith("labels:"):
        # which nothing else asks for, and each worker would load
        dataset = replace(dataset, all_names=None)
    if comes_with_data(kind):
        return dataset
    noise, argument = find_kind(kind)
    if noise is KINDS["openset"]:
        noise.check(dataset, kind, argument)
        below = Path(os.path.expanduser(data_dir)) / argument
        return with_donors(dataset, load_dataset(argument, below if below.is_dir() else data_dir))
    if kind.startswith("pmd-") and dataset.knows_truth:
        noise.check(dataset, kind, argument)
        pixels.posterior_of(dataset)
    return dataset


def generator(seed: int) -> np.random.Generator:
    """The noise's random generator: apart from every other that is made from the same seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAM,)))


def corrupt(
    dataset: Dataset, kind: str, rate: float | None, seed: int, sampling: str = "exact"
) -> np.ndarray:
    """Noisy labels (N,) int64 of a data set's training images; a pure function of its arguments,
    and of the kind's file.

    Labels of open-set noise are the clean ones: what it changes is images, by ``openset``.

    Args:
        sampling: "exact" (rounded count) or "independent" (a coin flip a label).
    """
    if comes_with_data(kind):
        return dataset.found[kind].copy()
    noise, argument = find_kind(kind)
    if not rate and noise.takes_rate:
        return dataset.train_labels.astype(np.int64)
    rng = generator(seed)
    with _blame(kind, "corrupt"), _read_only(dataset):
        noisy = np.asarray(noise.corrupt(dataset, rate or 0.0, rng, sampling, argument))
        if noisy.ndim != 1 or noisy.dtype.kind not in "iu":
            raise InputError(
                f"corrupt returns {noisy.dtype} of shape {noisy.shape}: return one integer for "
                "each image"
            )
        # another package's kind may return anything, and a file may have changed
        check_labels(noisy, dataset, kind)
    return noisy.astype(np.int64)


@contextlib.contextmanager
def _read_only(dataset: Dataset) -> Iterator[None]:
    """Context in which nobody writes into the data set's labels and images: noise that did would
    change the truth.
    """
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
            # a memory map from Ray's store says it can be written to, and cannot
            with contextlib.suppress(ValueError):
                array.flags.writeable = writeable


def rehearse(dataset: Dataset, kind: str, rate: float | None, seed: int, sampling: str) -> None:
    """Draw the noise of another package's kind, so that its mistakes are found before anything
    runs.

    Raises:
        InputError: where it fails, or one seed does not always give the same labels.
    """
    name = kind.partition(":")[0]
    if name not in _packaged():
        return
    first, second = (corrupt(dataset, kind, rate, seed, sampling) for _ in range(2))
    if not np.array_equal(first, second):
        raise InputError(
            f"{_packaged()[name][0].value}: corrupt draws other labels each time: use the "
            "generator that it is given alone"
        )
