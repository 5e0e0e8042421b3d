"""Labels of a trial, as its specification determines them: noisy labels, truth and split."""

from dataclasses import dataclass

import numpy as np

from bench import noise
from bench.datasets import OUTSIDE, Dataset, stratified_choice
from bench.planning.spec import TrialSpec

#: Positions of training images, and the positions of the donors that replace them.
Replacements = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Labels:
    """Noisy labels of all non-test images, and their split into training and validation.

    They are equal for all methods.
    """

    noisy: np.ndarray  # (N,)
    train: np.ndarray  # positions, ascending
    validation: np.ndarray  # positions, ascending
    truth: np.ndarray  # (N,) UNKNOWN where it is not known, OUTSIDE for an image of no class
    replacements: Replacements | None = None  # images that open-set noise replaces

    @classmethod
    def of(cls, spec: TrialSpec, dataset: Dataset) -> "Labels":
        """Draw the noise, then the split.

        The split is stratified on the noisy labels: in practice the clean ones are unknown.
        """
        noisy = noise.corrupt(dataset, spec.noise_spec)
        size = max(1, round(spec.validation_share * len(noisy)))
        rng = np.random.default_rng([spec.split_seed, 1])
        validation = np.sort(stratified_choice(noisy, size, rng))
        truth = dataset.train_labels
        if replacements := noise.replaced_images(dataset, spec.noise_spec):
            truth = truth.copy()
            truth[replacements[0]] = OUTSIDE
        train = np.setdiff1d(np.arange(len(noisy)), validation)
        return cls(noisy, train, validation, truth, replacements)

    @property
    def validation_truth(self) -> np.ndarray:
        """True classes (V,) of the validation images, negative where they have none."""
        return self.truth[self.validation]
