"""Result of an audit: which labels of a data set are probably wrong, and what else is odd."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: Parts of a data set that are audited together, in the order of the samples.
TRAIN, TEST = "train", "test"

#: Issues of a sample beside its label.
BLANK = "blank"  # all pixels are nearly equal
DARK = "dark"  # nearly black
TINY = "tiny"  # shorter side below 16 pixels, in a set whose images are larger
DUPLICATE = "duplicate"  # another sample is the same, or nearly
CONFLICT = "conflict"  # such a sample has another label
LEAK = "leak"  # such a sample is in the other part of the data set
FEW = "few"  # its class has too few samples to judge


@dataclass(frozen=True)
class Audit:
    """Result of an audit. Arrays have an entry for each sample: training part, then test part.

    Labels are numbers of classes. Scores and probabilities are high where a label is suspicious.
    """

    dataset: str  # name of the data set, as --dataset takes it
    data_hash: str  # hash of the names and labels that were audited
    classes: tuple[str, ...]

    names: tuple[str, ...]  # path below the folder; "train:12", "test:3" where there are no files
    split: np.ndarray  # str (N,), TRAIN or TEST
    index: np.ndarray  # int (N,), position of the sample in that part of the data set
    given: np.ndarray  # int (N,), label as delivered

    suggested: np.ndarray  # int (N,), most probable class; it may be the given label
    second: np.ndarray  # int (N,)
    third: np.ndarray  # int (N,); -1 where there are two classes
    p_wrong: np.ndarray  # float (N,), probability that the given label is wrong
    p_suggested: np.ndarray  # float (N,), probability of the suggested class
    rank: np.ndarray  # int (N,), 1 is the most suspicious label
    flagged: np.ndarray  # bool (N,), labels that are more probably wrong than right
    agreement: np.ndarray  # float (N,), share of the scores that flag the sample

    nearest: np.ndarray  # int (N, K), most similar other samples, nearest first; K is 5 or fewer
    duplicate_group: np.ndarray  # int (N,), same number for (near) duplicates; -1 without any
    outlier: np.ndarray  # bool (N,), far from all other samples
    issues: tuple[tuple[str, ...], ...]  # (N,), words as above
    scores: Mapping[str, np.ndarray]  # name -> float (N,)

    transition: np.ndarray  # float (C, C), row: true class, column: given label; estimated
    rate: tuple[float, float, float]  # share of wrong labels: low, estimate, high
    rate_per_class: np.ndarray  # float (C, 3), low, estimate, high, among labels of the class
    pairs: tuple[tuple[int, int, float], ...]  # given, suggested class, expected wrong labels
    notes: tuple[str, ...]  # sentences: what the audit cannot know, classes not to be trusted
    has_split: bool = True  # False where the test part was drawn from a data set without parts

    @cached_property
    def parts(self) -> list[str]:
        """Parts (N,) of the data set as it was delivered; empty words where it has none."""
        return self.split.tolist() if self.has_split else [""] * len(self.split)

    @property
    def order(self) -> np.ndarray:
        """Positions (N,) of the samples, the most suspicious first."""
        return np.argsort(self.rank)
