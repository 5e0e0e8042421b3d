"""Outcomes of trials: the facts of done.json, per-sample results and final weights."""

import io
from collections.abc import Sequence

import numpy as np
from msgspec import UNSET
from torch import Tensor

from bench import noise
from bench.datasets import OUTSIDE, UNKNOWN, Dataset
from bench.planning.code_hash import code_of
from bench.planning.labels import Labels
from bench.planning.method_checks import check_privileges
from bench.planning.spec import TrialSpec, method_for
from bench.records.packing import pack_numbers
from bench.records.schema import FAILED, SCHEMA, STOPPED, Done, Epoch, Noise, amount, present
from bench.training import scoring
from bench.training.build import this_build


class Outcome(Done, kw_only=True):
    """Facts of a trial that is over, and its arrays."""

    samples: dict[str, np.ndarray] = {}  # by name, for samples.npz
    weights: dict[str, Tensor] | None = None  # of all networks, where they are kept

    @classmethod
    def of(cls, spec: TrialSpec) -> "Outcome":
        """Return the outcome of a trial that has not succeeded yet."""
        return cls(schema=SCHEMA, status=FAILED, code=code_of(spec.method), build=this_build())

    def describe(self, spec: TrialSpec, dataset: Dataset, labels: Labels) -> None:
        """Fill in facts of the labels; those that need unknown true labels are None."""
        known = labels.truth != UNKNOWN
        wrong = int((labels.noisy != labels.truth)[known].sum())
        rate = training_rate = matrix = None
        # A known part of the labels gives no rate: often only right labels are verified.
        if known.all():
            rate = wrong / len(known)
            training_rate = float((labels.noisy != labels.truth)[labels.train].mean())
            matrix = noise.transition_matrix(labels.truth, labels.noisy, dataset.num_classes)
        self.classes = dataset.num_classes
        self.noise = Noise(
            nominal_rate=spec.noise_rate,
            realised_rate=rate,
            training_rate=training_rate,
            transition_matrix=None if matrix is None else matrix.round(6).tolist(),
            label_hash=noise.label_hash(labels.noisy),
            known_labels=int(known.sum()),
            wrong_of_known=wrong if known.any() else None,
            openset_images=int((labels.truth == OUTSIDE).sum()),
        )
        self.train_images = len(labels.train)
        self.compared_images = min(scoring.PROBES, len(labels.train))
        self.validation_images = len(labels.validation)
        # With it, reports compute the accuracy on any number of clean labels from predictions.
        truth = labels.validation_truth
        self.validation_truth = pack_numbers(truth) if (truth >= 0).any() else None
        self.test_images = len(dataset.test_labels)
        tested = len(np.unique(dataset.test_labels))
        if tested < dataset.num_classes:  # accuracies on the test set leave the others out
            self.tested_classes = tested
        self.noisy_test = dataset.noisy_test

    def add_totals(self, epochs: Sequence[Epoch], images: int) -> None:
        """Fill in seconds, and passes over the training images, of all these epochs."""

        def total(name: str) -> float:
            return sum(amount(getattr(epoch, name)) for epoch in epochs)

        self.train_seconds, self.eval_seconds = total("train_seconds"), total("eval_seconds")
        self.passes_trained = total("samples_trained") / images
        self.passes_inferred = total("samples_inferred") / images

    def done(self) -> Done:
        """Return the facts alone, for done.json."""
        return Done(**{name: getattr(self, name) for name in Done.__struct_fields__})

    def samples_bytes(self) -> bytes | None:
        """Return the per-sample results as a compressed NumPy archive."""
        if not self.samples:
            return None
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.samples)  # type: ignore[arg-type]  # no name is an argument of numpy's
        return buffer.getvalue()

    def weights_bytes(self) -> bytes | None:
        """Return the final weights as safetensors, which load without pickle."""
        if self.weights is None:
            return None
        from safetensors.torch import save

        return save(
            {name: value.detach().cpu().contiguous() for name, value in self.weights.items()}
        )


def failed_outcome(
    spec: TrialSpec, dataset: Dataset, status: str, error: str, seconds: float
) -> Outcome:
    """Return the outcome of a trial that was ended from outside after ``seconds`` of work."""
    outcome = _of_another_process(spec)
    outcome.describe(spec, dataset, Labels.of(spec, dataset))
    outcome.status, outcome.error, outcome.work_seconds = status, error, seconds
    return outcome


def stopped_outcome(
    spec: TrialSpec, dataset: Dataset, epochs: Sequence[Epoch], pretrain_seconds: float = 0.0
) -> Outcome:
    """Return the outcome of a trial that a scheduler stopped after these epochs."""
    labels = Labels.of(spec, dataset)
    outcome = _of_another_process(spec)
    outcome.describe(spec, dataset, labels)
    outcome.status = STOPPED
    privileges = present(epochs[0].privileges) if epochs else None
    if privileges is None:  # the trial never began, or an earlier version has recorded none
        parts = method_for(spec).parts()
        privileges = sorted({name for part in parts for name in check_privileges(part.privileges)})
    outcome.privileges = privileges
    outcome.add_totals(epochs, len(labels.train))
    outcome.epochs, outcome.pretrain_seconds = len(epochs), pretrain_seconds
    return outcome


def _of_another_process(spec: TrialSpec) -> Outcome:
    """Return the outcome of a trial that may have run on another machine than this process."""
    outcome = Outcome.of(spec)
    outcome.build = UNSET
    return outcome
