"""Records of two trials that have the same figures in every epoch."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from bench.common.text import shortlist
from bench.records.schema import Noise, present
from bench.records.verdict import Fault
from bench.verification.records import Record

_SEEDS = ("noise_seed", "split_seed", "train_seed")


def copy_faults(records: Sequence[Record]) -> Iterator[Fault]:
    """Yield the trials with the figures of another trial, whose split or noisy labels differ.

    A change of the training seed alone counts where the loss changes from epoch to epoch: methods
    without training, such as a vote of neighbours, give equal figures honestly.
    """
    for first, *others in _equal(records):
        for other in others:
            if "imported" in other.raw:  # their losses, splits and labels are not on record
                continue
            drawn = first.raw["split_seed"] != other.raw["split_seed"] or _labels(first) != _labels(
                other
            )
            trained = len({epoch.train_loss for epoch in first.epochs}) > 1
            if drawn or (trained and first.raw["train_seed"] != other.raw["train_seed"]):
                text = f"all figures are those of {first.name}, which has other seeds"
                yield Fault("duplicate", text, other.name)


def equal_pairs(records: Sequence[Record]) -> list[str]:
    """Return remarks on trials with equal figures that may be honest; none without any.

    Settings without effect give such pairs, of equal seeds. What would tell copies of imported
    curves, which have no losses, is not on record.
    """
    settings, imported = list[str](), list[str]()
    for first, *others in _equal(records):
        for other in others:
            pair = f"{first.name} and {other.name}"
            if "imported" in other.raw:
                imported.append(pair)
            elif all(first.raw[seed] == other.raw[seed] for seed in _SEEDS):
                settings.append(pair)
    remarks = []
    if settings:
        remarks.append(
            "settings of trials with equal figures in all epochs, which may be without effect "
            f"({shortlist(settings, 3)}): run one of them again with --sample"
        )
    if imported:
        remarks.append(
            "imported curves that are equal in all epochs, which may be copies "
            f"({shortlist(imported, 3)}): compare them with their source"
        )
    return remarks


def _labels(record: Record) -> str | None:
    return present(present(record.done.noise, Noise()).label_hash)


def _equal(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield the groups of records with equal figures in more than one epoch."""
    groups: dict[Any, list[Record]] = defaultdict(list)
    for record in records:
        if len(record.epochs) > 1:
            figures = tuple(
                (present(e.train_loss), e.test_accuracy, e.noisy_val_accuracy, e.val_predictions)
                for e in record.epochs
            )
            groups[figures].append(record)
    yield from (group for group in groups.values() if len(group) > 1)
