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
    truth: np.ndarray  # (N,) UNKNOWN where nobody knows it, OUTSIDE for an image of no class
    replacements: Replacements | None = None  # images that open-set noise replaces

    @classmethod
    def of(cls, spec: TrialSpec, dataset: Dataset) -> "Labels":
        """Draw the noise, then the split.

        The split is stratified on the noisy labels: in practice the clean ones are unknown.
        """
        drawing = (spec.noise_kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling)
        noisy = noise.corrupt(dataset, *drawing)
        size = max(1, round(spec.validation_share * len(noisy)))
        rng = np.random.default_rng([spec.split_seed, 1])
        validation = np.sort(stratified_choice(noisy, size, rng))
        truth = dataset.train_labels
        if replacements := draw_replacements(dataset, *drawing):
            truth = truth.copy()
            truth[replacements[0]] = OUTSIDE
        train = np.setdiff1d(np.arange(len(noisy)), validation)
        return cls(noisy, train, validation, truth, replacements)

    @property
    def validation_truth(self) -> np.ndarray:
        """True classes (V,) of the validation images, negative where they have none."""
        return self.truth[self.validation]


def draw_replacements(
    dataset: Dataset, kind: str, rate: float | None, seed: int, sampling: str
) -> Replacements | None:
    """Return the images that open-set noise replaces, and their donors; None for other noise."""
    if not kind.startswith(noise.OPENSET) or not rate:
        return None
    assert dataset.donors is not None
    images, donors = len(dataset.train_labels), len(dataset.donors)
    return noise.openset(images, donors, rate, noise.generator(seed), sampling)
