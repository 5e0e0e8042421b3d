"""Consistency of a record with itself: its epochs, their number, and their sums in done.json."""

import math
from collections.abc import Iterator

import numpy as np

from bench.errors import InputError
from bench.planning.searches import SEARCH, SearchKind
from bench.records.schema import (
    COMPLETED,
    DIVERGED,
    FINISHED,
    NOISY_VAL_ACCURACY,
    STOPPED,
    SUCCEEDED,
    TEST_ACCURACY,
    Figure,
    amount,
    present,
)
from bench.records.verdict import Fault
from bench.verification.records import Record

#: Largest distance of a share from a whole number of images, in images: rounding of the division.
_ROUNDING = 1e-6
#: Epochs up to which missing ones are named.
_MISSING = 10_000
#: Relative difference of sums that rounding explains.
_OF_SUM = 1e-9
#: Decimals of the accuracies of ``reliability``.
_RELIABILITY = 1e-5


def figure_faults(record: Record) -> Iterator[Fault]:
    """Yield the contradictions within one record."""
    for kind, text in (*_epoch_faults(record), *_accuracy_faults(record)):
        yield Fault(kind, text, record.name)


def _epoch_faults(record: Record) -> Iterator[tuple[str, str]]:
    epochs, done = record.epochs, record.done
    numbers = [epoch.epoch for epoch in epochs]
    if numbers != list(range(len(epochs))):
        last = max(numbers, default=0)
        missing = sorted(set(range(min(last, _MISSING) + 1)) - set(numbers))
        what = "lacks " + epochs_text(np.array(missing)) if missing else "has epochs out of order"
        yield "epochs", f"epochs.jsonl {what}"
    if done.status in COMPLETED and present(done.epochs) not in (None, len(epochs)):
        yield "epochs", f"done.json counts {done.epochs} epochs, and epochs.jsonl has {len(epochs)}"
    planned = record.raw["recipe"].get("epochs")
    if done.status == FINISHED and "imported" not in record.raw and planned != len(epochs):
        yield "epochs", f"the recipe has {planned} epochs, and epochs.jsonl {len(epochs)}"
    if done.status == STOPPED and not _has_scheduler(str(record.raw.get("stage", ""))):
        yield "epochs", "it was stopped early, as only trials of searches with a scheduler are"
    # The epoch in which a loss was not finite is in the sums, and not in epochs.jsonl.
    if done.status != DIVERGED and (different := list(_different_sums(record))):
        yield "epochs", f"the sums over epochs are not those of done.json ({', '.join(different)})"


def _has_scheduler(stage: str) -> bool:
    """Return whether a stage is that of a search whose scheduler ends trials early."""
    try:
        return stage.startswith(SEARCH) and SearchKind.of(stage).scheduler != "none"
    except InputError:
        return False


def _different_sums(record: Record) -> Iterator[str]:
    """Yield the keys of done.json that are not the sums over the epochs."""
    done, images = record.done, present(record.done.train_images)
    sums: dict[str, tuple[Figure, float]] = {
        "train_seconds": (done.train_seconds, 1.0),
        "eval_seconds": (done.eval_seconds, 1.0),
    }
    if images:
        sums["samples_trained"] = done.passes_trained, images
        sums["samples_inferred"] = done.passes_inferred, images
    for name, (total, unit) in sums.items():
        values = [getattr(epoch, name) for epoch in record.epochs]
        known = present(total) is not None and all(present(value) is not None for value in values)
        if known and not math.isclose(
            sum(map(amount, values)) / unit, amount(total), rel_tol=_OF_SUM, abs_tol=_OF_SUM
        ):
            yield name


def _accuracy_faults(record: Record) -> Iterator[tuple[str, str]]:
    done = record.done
    if done.status in SUCCEEDED:
        accuracies = np.array([epoch.figure(TEST_ACCURACY) for epoch in record.epochs])
        if len(places := np.flatnonzero(np.isnan(accuracies))):
            yield "accuracy", f"{TEST_ACCURACY} is missing in {epochs_text(places)}"
    for name, images in (
        (TEST_ACCURACY, present(done.test_images)),
        (NOISY_VAL_ACCURACY, present(done.validation_images)),
    ):
        counts = np.array([epoch.figure(name) for epoch in record.epochs]) * (images or 0)
        odd = np.flatnonzero(abs(counts - np.round(counts)) > _ROUNDING)  # NaN compares as False
        outside = np.flatnonzero((counts < 0) | (counts > (images or 0)))
        if len(places := np.union1d(odd, outside)):
            yield (
                "accuracy",
                f"{name} is no share of {images} images in {epochs_text(places)}",
            )
    reliability = present(done.reliability)
    if done.status == FINISHED and reliability is not None and record.epochs:
        last, share = record.epochs[-1].figure(TEST_ACCURACY), _share(reliability)
        if not abs(share - last) <= _RELIABILITY:  # NaN compares as False
            yield (
                "accuracy",
                f"test_accuracy of the last epoch is {last:.4f}, and {share:.4f} by the "
                "reliability of done.json",
            )


def _share(reliability: dict[str, list[float | None]]) -> float:
    """Return the share of right predictions over all bins; NaN where the bins are damaged."""
    counts, right = reliability.get("count", []), reliability.get("accuracy", [])
    if len(counts) != len(right) or None in counts or not sum(map(amount, counts)):
        return math.nan
    products = (amount(count) * amount(share) for count, share in zip(counts, right, strict=True))
    return sum(products) / sum(map(amount, counts))


def epochs_text(places: np.ndarray) -> str:
    """Return the numbers of epochs for people."""
    numbers = ", ".join(str(int(place)) for place in places[:5])
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return f"epoch{'s' * (len(places) > 1)} {numbers}{more}"
