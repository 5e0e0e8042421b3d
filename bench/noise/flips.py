"""Noise that looks at labels alone: pure functions of clean labels (N,), a rate or matrix, and a
random generator.
"""

from collections.abc import Mapping

import numpy as np

#: Number of fine labels in a block of ``asymmetric-block``: CIFAR-100 has five classes in a
#: superclass.
BLOCK = 5


def symmetric(
    labels: np.ndarray, num_classes: int, rate: float, rng: np.random.Generator, sampling: str
) -> np.ndarray:
    """Each chosen label becomes another class, all others equally likely. The rate is the true
    share of wrong labels.

    The "symmetric" of Co-teaching (Han et al., 2018), and the "uniform" of PLC (Zhang et al.,
    2021).
    """
    chosen = choose(np.arange(len(labels)), rate, rng, sampling)
    noisy = labels.copy()
    noisy[chosen] = (labels[chosen] + rng.integers(1, num_classes, len(chosen))) % num_classes
    return noisy


def symmetric_inclusive(
    labels: np.ndarray, num_classes: int, rate: float, rng: np.random.Generator, sampling: str
) -> np.ndarray:
    """Each chosen label is drawn from all classes, the true one too: at 10 classes, 50 % here is 45
    % wrong labels.

    This is what DivideMix ("sym"), ELR and MixNN call "symmetric".
    """
    chosen = choose(np.arange(len(labels)), rate, rng, sampling)
    noisy = labels.copy()
    noisy[chosen] = rng.integers(0, num_classes, len(chosen))
    return noisy


def pairflip(
    labels: np.ndarray, num_classes: int, rate: float, rng: np.random.Generator, sampling: str
) -> np.ndarray:
    """Each chosen label becomes the next class, the last one the first (Co-teaching, Han et al.,
    2018).
    """
    chosen = choose(np.arange(len(labels)), rate, rng, sampling)
    noisy = labels.copy()
    noisy[chosen] = (labels[chosen] + 1) % num_classes
    return noisy


def asymmetric(
    labels: np.ndarray,
    flips: Mapping[int, int],
    rate: float,
    rng: np.random.Generator,
    sampling: str,
) -> np.ndarray:
    """In each class of ``flips``, the share ``rate`` of the labels becomes the class it is mistaken
    for.

    The rate is per affected class, as in Patrini et al. (2017): on CIFAR-10, 40 % here is 20 % of
    all labels. DivideMix's "asym" flips the same classes, but counts its exact share over all
    labels, not class by class.
    """
    noisy = labels.copy()
    for source, target in sorted(flips.items()):
        noisy[choose(np.flatnonzero(labels == source), rate, rng, sampling)] = target
    return noisy


def asymmetric_block(
    labels: np.ndarray, num_classes: int, rate: float, rng: np.random.Generator, sampling: str
) -> np.ndarray:
    """In each class, the share ``rate`` becomes the next label id within its block of five: 0->1,
    ..., 4->0, 5->6.

    What older code (PLC's, Zhang et al., 2021, among it) runs on CIFAR-100 as "asymmetric", meaning
    superclasses. CIFAR's fine ids are alphabetical, though: 6 of the 100 flips stay in the
    superclass.
    """
    return asymmetric(labels, block_flips(num_classes), rate, rng, sampling)


def block_flips(num_classes: int) -> dict[int, int]:
    """Each class and the next one in its block; the number of classes is a multiple of five."""
    return {label: label - label % BLOCK + (label + 1) % BLOCK for label in range(num_classes)}


def by_matrix(
    labels: np.ndarray, transitions: np.ndarray, rng: np.random.Generator, sampling: str
) -> np.ndarray:
    """Labels of class c are drawn from row c of a row-stochastic matrix (C, C).

    In exact sampling each class's counts are the row times its size, rounded by largest remainder
    (of equal remainders, the lower class is served first); who gets which label is drawn.
    """
    noisy = labels.copy()
    for label, row in enumerate(transitions):
        members = np.flatnonzero(labels == label)
        if sampling == "exact":
            noisy[rng.permutation(members)] = np.repeat(
                np.arange(len(row)), largest_remainder(row, len(members))
            )
        else:
            # The last step of a sum of rounded numbers may fall short of 1, and no draw may fall
            # beyond it.
            noisy[members] = np.searchsorted(
                np.cumsum(row)[:-1], rng.random(len(members)), side="right"
            )
    return noisy


def largest_remainder(shares: np.ndarray, count: int) -> np.ndarray:
    """Whole numbers (C,) in these proportions, which add up to ``count``; each is within 1 of its
    exact value.
    """
    # Rounded first: 0.3 * 10 is 3, whatever the last bit says.
    exact = np.round(shares / shares.sum() * count, 9)
    whole = np.floor(exact).astype(np.int64)
    missing = count - whole.sum()
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole


def openset(
    count: int, donors: int, rate: float, rng: np.random.Generator, sampling: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``count`` images are replaced, and by which of ``donors`` images: positions (R,),
    ascending, and indices (R,).

    Open-set noise (Wang et al., 2018): the image changes to one of none of the classes, and its
    label stays. No donor is used again before all have been used.
    """
    positions = np.sort(choose(np.arange(count), rate, rng, sampling))
    rounds = [rng.permutation(donors) for _ in range(-(-len(positions) // donors))]
    return positions, np.concatenate([*rounds, np.empty(0, np.int64)])[: len(positions)]


def choose(
    candidates: np.ndarray, rate: float, rng: np.random.Generator, sampling: str
) -> np.ndarray:
    """The candidates that are corrupted: an exact share, or each by its own coin flip."""
    if sampling == "exact":
        return rng.permutation(candidates)[: round(rate * len(candidates))]
    return candidates[rng.random(len(candidates)) < rate]
