"""Noisy labels and splits, drawn again from specifications, beside those of the records."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from msgspec import UNSET

from bench import noise
from bench.datasets import UNKNOWN, Dataset
from bench.errors import InputError
from bench.planning.labels import Labels
from bench.planning.selection import clean_validation
from bench.planning.spec import TrialSpec
from bench.records.packing import unpack_numbers
from bench.records.schema import Noise, number, present
from bench.records.verdict import Fault
from bench.verification.figures import epochs_text
from bench.verification.records import Record

#: Seeds that are tried to name the origin of labels, beside those of the archive.
_TRIED = range(10)
#: Largest difference of an accuracy, or a rate, that is the same figure.
_ROUNDING = 1e-6


class Redrawn:
    """Labels of the trials of one data set, each drawn once."""

    def __init__(self, dataset: Dataset, records: Sequence[Record]) -> None:
        """Take the data set, and the records whose seeds are tried beside others."""
        self.dataset = dataset
        self.seeds = sorted({record.raw["noise_seed"] for record in records} | {*_TRIED})
        self._drawn: dict[tuple[Any, ...], Labels] = {}

    def of(self, spec: TrialSpec) -> Labels:
        """Return the labels of a specification.

        Raises:
            InputError: where this machine lacks the file of its noise, or has another.
        """
        key = (spec.noise_spec, spec.split_seed, spec.validation_share)
        if key not in self._drawn:
            noise.check_files(spec.noise_spec)
            self._drawn[key] = Labels.of(spec, self.dataset)
        return self._drawn[key]


def label_faults(record: Record, spec: TrialSpec, redrawn: Redrawn) -> Iterator[Fault]:
    """Yield the contradictions between a record and the labels of its specification.

    Raises:
        InputError: as ``Redrawn.of``.
    """
    if redrawn.dataset.content_hash != spec.data_hash:
        yield Fault(
            "data",
            f"the data set {spec.dataset} has the hash {redrawn.dataset.content_hash}, and the "
            f"specification names {spec.data_hash}",
            record.name,
        )
        return
    labels = redrawn.of(spec)
    fault = _hash_fault(record, spec, labels, redrawn) or _validation_fault(
        record, spec, labels, redrawn
    )
    if fault:
        yield fault


def _hash_fault(record: Record, spec: TrialSpec, labels: Labels, redrawn: Redrawn) -> Fault | None:
    """Return the fault of a hash, rate or transition matrix that is not that of the labels."""
    facts = present(record.done.noise, Noise())
    recorded, drawn = present(facts.label_hash), noise.label_hash(labels.noisy)
    if recorded is not None and recorded != drawn:
        for name, other in _candidates(spec, redrawn):
            if recorded == noise.label_hash(other.noisy):
                return _foreign(record, name)
        text = f"the labels have the hash {recorded}, and those of the specification {drawn}"
        return Fault("labels", text, record.name)
    if (labels.truth == UNKNOWN).any():
        return None
    rate = float((labels.noisy != labels.truth).mean())
    matrix = noise.transition_matrix(labels.truth, labels.noisy, redrawn.dataset.num_classes)
    same_rate = present(facts.realised_rate) is None or (
        abs(number(facts.realised_rate) - rate) < _ROUNDING
    )
    stated = present(facts.transition_matrix)
    same_matrix = stated is None or (
        [len(row) for row in stated] == [len(row) for row in matrix]
        and np.allclose(stated, matrix, atol=_ROUNDING)
    )
    if same_rate and same_matrix:
        return None
    what = "transition matrix" if same_rate else f"rate of wrong labels ({facts.realised_rate})"
    return Fault("labels", f"the {what} of done.json is not that of the labels", record.name)


def _validation_fault(
    record: Record, spec: TrialSpec, labels: Labels, redrawn: Redrawn
) -> Fault | None:
    """Return the fault of validation accuracies that do not follow from the predictions."""
    wrong = _wrong_epochs(record, labels)
    if not len(wrong):
        return None
    if 2 * len(wrong) > len(record.epochs):
        for name, other in _candidates(spec, redrawn):
            if not len(_wrong_epochs(record, other)):
                return _foreign(record, name)
    text = (
        "the accuracies on the held-out set do not follow from val_predictions and the labels in "
        f"{epochs_text(wrong)}"
    )
    return Fault("accuracy", text, record.name)


def _wrong_epochs(record: Record, labels: Labels) -> np.ndarray:
    """Return the epochs whose accuracies on the held-out set are not those of the predictions."""
    wrong = []
    for place, epoch in enumerate(record.epochs):
        if epoch.val_predictions is UNSET:
            continue
        guesses = unpack_numbers(epoch.val_predictions)
        if len(guesses) != len(labels.validation):
            wrong.append(place)
            continue
        noisy = float((guesses == labels.noisy[labels.validation]).mean())
        clean = clean_validation(guesses, labels.validation_truth)
        pairs = ((noisy, epoch.noisy_val_accuracy), (clean, epoch.clean_val_accuracy))
        if any(_differ(figure, present(recorded)) for figure, recorded in pairs):
            wrong.append(place)
    return np.array(wrong, dtype=int)


def _differ(figure: float | None, recorded: float | None) -> bool:
    return figure is not None and recorded is not None and abs(figure - recorded) > _ROUNDING


def _candidates(spec: TrialSpec, redrawn: Redrawn) -> Iterator[tuple[str, Labels]]:
    """Yield labels that a record may have in place of its own: true ones, and of other seeds."""
    if spec.noise_rate:
        yield "", redrawn.of(replace(spec, noise_rate=0.0))
    for seed in redrawn.seeds:
        for split in dict.fromkeys((spec.split_seed, seed)):
            if (seed, split) != (spec.noise_seed, spec.split_seed):
                try:
                    yield (
                        f"noise seed {seed}",
                        redrawn.of(replace(spec, noise_seed=seed, split_seed=split)),
                    )
                except InputError:  # a kind may refuse another seed
                    continue


def _foreign(record: Record, seed: str) -> Fault:
    if not seed:
        rate = record.raw["noise_rate"]
        text = f"the labels are the true ones, and the specification has {100 * rate:g} % noise"
        return Fault("clean-labels", text, record.name)
    text = f"the labels are those of {seed}, and the specification has {record.raw['noise_seed']}"
    return Fault("labels", text, record.name)
