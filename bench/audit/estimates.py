"""Estimates from the judgements of trials: order, probability, transition matrix, noise rate."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, nnls
from scipy.special import expit, logit

from bench.audit.trials import MARGIN, PROBE, Judgements

#: Amount by which the range of the rate goes beyond both estimates.
SLACK = 0.015

#: Weight of the forward score in the order. Less was worse on asymmetric noise, and the margin
#: helps where few labels are wrong.
WEIGHT = 0.75

#: The same where classes have fewer than ``SMALL`` samples: heads that each miss a fold are weak
#: there, and on human labels the margin was the better order.
WEIGHT_SMALL = 0.5

#: Least probability of which log-odds are taken.
LEAST = 1e-6

#: Widest range of the rate that is printed, where classes have at least ``SMALL`` samples.
WIDEST = 0.12

#: Number of samples of a class below which its estimates are rough.
SMALL = 50

#: Names of the columns of both scores.
NAMES = {MARGIN: "margin", PROBE: "forward"}


@dataclass(frozen=True)
class Estimates:
    """Estimates for all samples of a pool."""

    scores: Mapping[str, np.ndarray]  # name -> (N,), high where a label is suspicious
    rank: np.ndarray  # (N,), 1 is the most suspicious label
    p_wrong: np.ndarray  # (N,)
    order: np.ndarray  # (N, C), classes, the most probable first
    probabilities: np.ndarray  # (N, C)
    transition: np.ndarray  # (C, C)
    rate: tuple[float, float, float]  # low, estimate, high
    rate_per_class: np.ndarray  # (C, 3)


def estimate(judgements: Mapping[str, Judgements], given: np.ndarray) -> Estimates:
    """Return the estimates.

    Args:
        judgements: of the methods, both scores' among them.
        given: labels (N,).
    """
    probe = judgements[PROBE]
    assert probe.targets is not None and probe.transition is not None
    scores = {NAMES.get(name, name): 1 - judged.clean for name, judged in judgements.items()}
    weight = WEIGHT_SMALL if is_small(np.bincount(given)) else WEIGHT
    combined = _combined(scores["margin"], scores["forward"], weight)
    rows = np.arange(len(given))
    p_wrong = 1 - probe.targets[rows, given]
    rates = rates_of(p_wrong, given, probe.transition)
    p_wrong = shifted(p_wrong, rates[0][1])
    others = probe.targets.copy()
    others[rows, given] = 0
    probabilities = others * (p_wrong / others.sum(1).clip(1e-12))[:, None]
    probabilities[rows, given] = 1 - p_wrong
    place = np.lexsort([-p_wrong, -combined])
    rank = np.empty(len(given), int)
    rank[place] = np.arange(1, len(given) + 1)
    classes = np.argsort(-probabilities, 1, kind="stable")
    return Estimates(
        scores=scores,
        rank=rank,
        p_wrong=p_wrong,
        order=classes,
        probabilities=probabilities,
        transition=probe.transition,
        rate=rates[0],
        rate_per_class=rates[1],
    )


def is_small(sizes: np.ndarray) -> bool:
    """Return True if classes of these sizes (C,) have fewer than ``SMALL`` samples in the mean."""
    return bool(sizes.sum() < SMALL * np.count_nonzero(sizes))


def _combined(margin: np.ndarray, forward: np.ndarray, weight: float) -> np.ndarray:
    """Return the score (N,) of the order: a weighted mean of log-odds, brought to one spread.

    Args:
        weight: that of the forward score.
    """
    odds, margins = (
        logit(score.clip(LEAST, 1 - LEAST).astype(float)) for score in (forward, margin)
    )
    spread = odds.std() / max(margins.std(), 1e-12)
    return weight * odds + (1 - weight) * spread * margins


def shifted(probability: np.ndarray, mean: float) -> np.ndarray:
    """Return probabilities (N,) whose log-odds are all shifted so that they have this mean.

    Their calibration error on CIFAR-10N is lower than that of the probabilities themselves, whose
    mean is too low where many labels are wrong.
    """
    odds = logit(probability.clip(LEAST, 1 - LEAST))
    mean = min(max(mean, 1e-4), 1 - 1e-4)
    shift = brentq(lambda value: expit(odds + value).mean() - mean, -30, 30)
    return expit(odds + shift)


def rates_of(
    p_wrong: np.ndarray, given: np.ndarray, transition: np.ndarray
) -> tuple[tuple[float, float, float], np.ndarray]:
    """Return the share of wrong labels, of all and of each class: low, estimate, high.

    The mean probability is too low in most cases, and the confident joint, from which the matrix
    comes, too high. The estimate lies in the middle of both.
    """
    classes = len(transition)
    sizes = np.bincount(given, minlength=classes)
    low = np.bincount(given, p_wrong, minlength=classes) / np.maximum(sizes, 1)
    # Share of wrong labels among those of a class, by Bayes' rule with the classes' shares that
    # the probabilities imply.
    true_sizes = _true_sizes(sizes, transition)
    right = true_sizes * transition.diagonal()
    high = 1 - right / np.maximum(true_sizes @ transition, 1e-12)
    total = float(sizes.sum())
    mean = float(p_wrong.mean())
    overall = _range(mean, float(high @ sizes) / total, total, is_small(sizes))
    return overall, np.array(
        [
            _range(first, second, size, size < SMALL)
            for first, second, size in zip(low, high, sizes.tolist(), strict=True)
        ]
    )


def _true_sizes(sizes: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Return the number (C,) of samples of each true class that explains the labels best."""
    true, _ = nnls(transition.T, sizes.astype(float))
    return true


def _range(first: float, second: float, count: float, small: bool) -> tuple[float, float, float]:
    """Return low end, estimate and high end of a range.

    It is cut to the greatest width. Where classes are small, it is at least as wide as the 95 %
    interval of a share among ``count`` samples instead.
    """
    low, high = sorted((first, second))
    low, high = max(0.0, low - SLACK), min(1.0, high + SLACK)
    middle = (low + high) / 2
    half = (high - low) / 2
    if small:
        half = max(half, 1.96 * float(np.sqrt(middle * (1 - middle) / max(count, 1))))
    else:
        half = min(half, WIDEST / 2)
    return max(0.0, middle - half), middle, min(1.0, middle + half)


def confused_pairs(
    given: np.ndarray, probabilities: np.ndarray, limit: int = 20
) -> tuple[tuple[int, int, float], ...]:
    """Return (given, suggested class, expected wrong labels), the most confused pairs first."""
    classes = probabilities.shape[1]
    expected = np.zeros((classes, classes))
    np.add.at(expected, given, probabilities)
    np.fill_diagonal(expected, 0)
    order = np.argsort(-expected, axis=None, kind="stable")[:limit]
    rows = [divmod(int(cell), classes) for cell in order]
    return tuple((i, j, float(expected[i, j])) for i, j in rows if expected[i, j] >= 0.5)
