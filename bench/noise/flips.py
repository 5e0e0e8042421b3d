"""Noise that depends on labels alone: pure functions of clean labels (N,) int64.

All but ``by_matrix`` take a rate; all take a random generator and a sampling of ``SAMPLINGS``, and
return new labels (N,).
"""

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

#: Classes in a block of ``asymmetric_block``: CIFAR-100 has five in a superclass.
BLOCK = 5


def symmetric(
    labels: np.ndarray, num_classes: int, rate: float, rng: Generator, sampling: str
) -> np.ndarray:
    """Change each chosen label to another class, all equally likely; the rate is the noise rate.

    The "symmetric" of Co-teaching (Han et al., 2018), and the "uniform" of PLC (Zhang et al.,
    2021).
    """
    chosen = choose(np.arange(len(labels)), rate, rng, sampling)
    noisy = labels.copy()
    noisy[chosen] = (labels[chosen] + rng.integers(1, num_classes, len(chosen))) % num_classes
    return noisy


def symmetric_inclusive(
    labels: np.ndarray, num_classes: int, rate: float, rng: Generator, sampling: str
) -> np.ndarray:
    """Draw each chosen label from all classes, the true one too.

    At 10 classes, a rate of 50 % makes 45 % of the labels wrong. DivideMix ("sym"), ELR and MixNN
    call this "symmetric".
    """
    chosen = choose(np.arange(len(labels)), rate, rng, sampling)
    noisy = labels.copy()
    noisy[chosen] = rng.integers(0, num_classes, len(chosen))
    return noisy


def pairflip(
    labels: np.ndarray, num_classes: int, rate: float, rng: Generator, sampling: str
) -> np.ndarray:
    """Change each chosen label to the next class, the last to the first (Han et al., 2018)."""
    chosen = choose(np.arange(len(labels)), rate, rng, sampling)
    noisy = labels.copy()
    noisy[chosen] = (labels[chosen] + 1) % num_classes
    return noisy


def asymmetric(
    labels: np.ndarray, flips: Mapping[int, int], rate: float, rng: Generator, sampling: str
) -> np.ndarray:
    """Change the share ``rate`` of each class in ``flips`` to the class it is mistaken for.

    The rate is per affected class, as in Patrini et al. (2017): on CIFAR-10, 40 % here is 20 % of
    all labels. DivideMix's "asym" flips the same classes, but counts its exact share over all
    labels, not class by class.
    """
    noisy = labels.copy()
    for source, target in sorted(flips.items()):
        noisy[choose(np.flatnonzero(labels == source), rate, rng, sampling)] = target
    return noisy


def asymmetric_block(
    labels: np.ndarray, num_classes: int, rate: float, rng: Generator, sampling: str
) -> np.ndarray:
    """Change the share ``rate`` of each class to the next id in its block of five.

    The flips are 0->1, ..., 4->0, 5->6 and so on. Older code (PLC's, Zhang et al., 2021, among it)
    runs this on CIFAR-100 as "asymmetric", meaning superclasses. But CIFAR's fine ids are
    alphabetical: 6 of the 100 flips stay in the superclass.
    """
    return asymmetric(labels, block_flips(num_classes), rate, rng, sampling)


def block_flips(num_classes: int) -> dict[int, int]:
    """Return the next class in its block for each class; the number is a multiple of five."""
    return {label: label - label % BLOCK + (label + 1) % BLOCK for label in range(num_classes)}


def by_matrix(
    labels: np.ndarray, transitions: np.ndarray, rng: Generator, sampling: str
) -> np.ndarray:
    """Draw labels of class c from row c of a row-stochastic matrix (C, C).

    In exact sampling, the counts of a class are its row times its size, rounded by
    ``largest_remainder``; only the samples that get each label are drawn.
    """
    noisy = labels.copy()
    for label, row in enumerate(transitions):
        members = np.flatnonzero(labels == label)
        if sampling == "exact":
            counts = largest_remainder(row, len(members))
            noisy[rng.permutation(members)] = np.repeat(np.arange(len(row)), counts)
        else:
            # Without the last step: a sum of rounded numbers may stay below 1, and below a draw.
            steps = np.cumsum(row)[:-1]
            noisy[members] = np.searchsorted(steps, rng.random(len(members)), side="right")
    return noisy


def largest_remainder(shares: np.ndarray, count: int) -> np.ndarray:
    """Return whole numbers (C,) that add up to ``count``, each within 1 of its exact share.

    Of equal remainders, the lower class is rounded up first.
    """
    # Rounding comes first: 0.3 * 10 is 3, whatever the last bit says.
    exact = np.round(shares / shares.sum() * count, 9)
    whole = np.floor(exact).astype(np.int64)
    missing = count - whole.sum()
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole


def openset(
    count: int, donors: int, rate: float, rng: Generator, sampling: str
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the images that open-set noise replaces (Wang et al., 2018); their labels stay.

    Args:
        count: number of images.
        donors: number of images to replace them with, which belong to none of the classes.

    Returns:
        Ascending positions (R,) among the images and indices (R,) of their donors. No donor is
        drawn again before all have been drawn.
    """
    positions = np.sort(choose(np.arange(count), rate, rng, sampling))
    rounds = [rng.permutation(donors) for _ in range(-(-len(positions) // donors))]
    return positions, np.concatenate([*rounds, np.empty(0, np.int64)])[: len(positions)]


def choose(candidates: np.ndarray, rate: float, rng: Generator, sampling: str) -> np.ndarray:
    """Draw the candidates to corrupt: an exact share, or each independently."""
    if sampling == "exact":
        return rng.permutation(candidates)[: round(rate * len(candidates))]
    return candidates[rng.random(len(candidates)) < rate]
