"""Data of one trial: labels and pixels, with the training samples in a random order."""

import hashlib

import numpy as np

from bench.datasets import UNKNOWN, Dataset
from bench.planning.labels import Labels
from bench.planning.spec import TrialSpec
from bench.training import scoring
from bench.training.pixels import Inputs, pixels_for, replaced
from bench.training.seeds import hidden_seed, shuffled

#: Seed of the choices of training samples that are predicted after each epoch.
PROBE_SEED = 3000


class TrialData:
    """Labels and pixels of one trial.

    A method sees its training samples numbered at random, because the order of a data set often
    follows the true classes. Records keep the order of the data set.
    """

    def __init__(self, spec: TrialSpec, dataset: Dataset, labels: Labels) -> None:
        self.dataset, self.labels = dataset, labels
        order = shuffled(len(labels.train), hidden_seed("positions", spec.train_seed, dataset))
        self.positions = labels.train[order]  # (N,) in the data set, by the method's numbers
        self.numbers = np.argsort(order)  # (N,) of the training samples, in the data set's order
        self.noisy = labels.noisy[self.positions]  # (N,) by the method's numbers
        inputs = Inputs.of(dataset, spec)
        samples = replaced(inputs, labels.replacements)
        self.pixels = pixels_for(dataset, spec, samples, self.positions)
        self.validation = pixels_for(dataset, spec, samples, labels.validation)
        self.tests = {
            name: (pixels_for(dataset, spec, inputs.tests[name]), classes)
            for name, (_, classes) in dataset.tests.items()
        }
        # Training samples, in the data set's order, whose truth is known.
        self.known = np.flatnonzero(labels.truth[labels.train] != UNKNOWN)
        self.probes, self.compared = predicted_samples(labels)

    @property
    def numbering(self) -> str:
        """Hash of the samples' numbers and of all labels.

        A plugin's noise may have changed since a checkpoint: no other hash covers its code.
        """
        content = self.positions.tobytes() + self.labels.noisy.tobytes()
        return hashlib.sha256(content).hexdigest()[:16]


def predicted_samples(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Draw the training samples that are predicted after each epoch, in the data set's order.

    Returns:
        Positions (P,) of those that scores judge, whose truth is known; positions (S,) of those
        whose predictions are compared from epoch to epoch, drawn without regard to the truth. Both
        are the same where all of it is known.
    """

    def drawn(positions: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(PROBE_SEED)
        return np.sort(rng.permutation(positions)[: scoring.PROBES])

    known = np.flatnonzero(labels.truth[labels.train] != UNKNOWN)
    return drawn(known), drawn(np.arange(len(labels.train)))
