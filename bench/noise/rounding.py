"""Noise that is not what its name says: rounded to nothing, or far from the rate that was asked
for.
"""

from bench.datasets import Dataset
from bench.noise.flips import openset
from bench.noise.measures import realised_rate
from bench.noise.registry import OPENSET, comes_with_data, corrupt, find_kind, generator

#: Part of the meant share by which the realised one may differ. Beyond it the noise is nearer to
#: none, or to twice as much.
TOLERANCE = 0.5


def rounding_note(
    dataset: Dataset, kind: str, rate: float | None, seed: int, sampling: str
) -> str | None:
    """Say that noise changes no label, or far fewer or more than it should; None where it does what
    it is asked for.

    Exact counts are rounded, which on few images, or at low rates, may leave nothing.
    """
    if kind == "clean" or rate == 0 or not dataset.knows_truth:
        return None
    realised = _realised(dataset, kind, rate, seed, sampling)
    images = f"{len(dataset.train_labels):,} training images of {dataset.name} in {dataset.num_classes} classes"
    meant = _meant(dataset, kind, rate)
    if meant is None:  # noise of files, people and other packages
        return (
            None
            if realised
            else f"{kind} noise makes no label wrong: all labels of the {images} are the true ones"
        )
    if abs(realised - meant) <= TOLERANCE * meant:
        return None
    counts = (
        "counts are rounded class by class"
        if find_kind(kind)[0].by_class
        else "the count is rounded"
    )
    why = counts if sampling == "exact" else "each label has its own coin flip"
    other = "" if sampling == "independent" else ", or --noise-sampling independent"
    what = "images are replaced" if kind.startswith(OPENSET) else "labels are wrong"
    at_rate = "" if rate is None else f" at the rate {rate:g}"
    return (
        f"{kind} noise{at_rate} means that {100 * meant:.3g} % of the {what}, but on the {images} "
        f"it is {100 * realised:.3g} %, since {why}: take a higher rate, more images{other}"
    )


def _realised(dataset: Dataset, kind: str, rate: float | None, seed: int, sampling: str) -> float:
    images = len(dataset.train_labels)
    if kind.startswith(OPENSET):
        positions, _ = openset(images, images, rate or 0.0, generator(seed), sampling)
        return len(positions) / images
    return realised_rate(dataset.train_labels, corrupt(dataset, kind, rate, seed, sampling)) or 0.0


def _meant(dataset: Dataset, kind: str, rate: float | None) -> float | None:
    if comes_with_data(kind):
        return None
    noise, argument = find_kind(kind)
    return noise.meant(dataset, rate or 0.0, argument) if noise.meant else None
