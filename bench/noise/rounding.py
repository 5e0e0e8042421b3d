"""Warning about noise that rounding, or a coin flip per label, moves far from its rate."""

from bench.datasets import Dataset
from bench.noise.corruption import corrupt, replaced_images
from bench.noise.measures import realised_rate
from bench.noise.registry import comes_with_data, find_kind
from bench.noise.spec import OPENSET, NoiseSpec

#: Largest relative difference between the realised and the intended share of wrong labels.
TOLERANCE = 0.5


def rounding_note(dataset: Dataset, spec: NoiseSpec) -> str | None:
    """Return a sentence if the noise changes no label, or far fewer or more than intended.

    Exact counts are rounded: on few images, or at low rates, the result may be 0.
    """
    if spec.kind == "clean" or spec.rate == 0 or not dataset.knows_truth:
        return None
    realised = _realised(dataset, spec)
    images = (
        f"{len(dataset.train_labels):,} training {dataset.unit}s of {dataset.name} in "
        f"{dataset.num_classes} classes"
    )
    kind, argument = (None, "") if comes_with_data(spec.kind) else find_kind(spec.kind)
    if kind is None or kind.meant is None:  # no intended share is known
        return (
            None
            if realised
            else f"{spec.kind} noise makes no label wrong: all labels of the {images} are the true "
            "ones"
        )
    intended = kind.meant(dataset, spec.rate or 0.0, argument)
    if abs(realised - intended) <= TOLERANCE * intended:
        return None
    why, other = "each label has its own coin flip", ""
    if spec.sampling == "exact":
        why = "counts are rounded class by class" if kind.by_class else "the count is rounded"
        other = ", or --noise-sampling independent"
    what = "images are replaced" if spec.kind.startswith(OPENSET) else "labels are wrong"
    at_rate = "" if spec.rate is None else f" at the rate {spec.rate:g}"
    return (
        f"{spec.kind} noise{at_rate} means that {100 * intended:.3g} % of the {what}, but on the "
        f"{images} it is {100 * realised:.3g} %, since {why}: take a higher rate, more "
        f"{dataset.unit}s{other}"
    )


def _realised(dataset: Dataset, spec: NoiseSpec) -> float:
    if drawn := replaced_images(dataset, spec):
        return len(drawn[0]) / len(dataset.train_labels)
    return realised_rate(dataset.train_labels, corrupt(dataset, spec)) or 0.0
