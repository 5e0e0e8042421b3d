"""Rules that pick an epoch, and a configuration, from records: pure functions of arrays.

Every rule gives two figures: the test accuracy that it selects, and the score by which it compares
configurations. Only ``oracle`` lets test accuracy decide anything; it is there to be set beside
published numbers, which mostly do. ``clean-val:n`` reads the right labels of n validation images,
or of all whose truth is known: a privilege, and called one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.errors import InputError, unknown

#: Seed of the choice of validation images whose clean labels are read.
CLEAN_LABELS = 4000

#: Rule by which leaderboards rank.
DEFAULT_RULE = "noisy-val"

#: Rule that knows the true labels of some validation images, as "clean-val:50", or in reports of
#: all: "clean-val:all".
CLEAN_VAL = "clean-val"
ALL = "all"
ORACLE = "oracle"

#: Scores and means this close are equal: sums of the same numbers in another order differ by less.
DECIMALS = 12


@dataclass(frozen=True)
class Choice:
    """Epochs that a rule picks, and their figures: (N,) arrays for N trials, numbers for one.

    Accuracies are fractions.
    """

    test_accuracy: np.ndarray
    score: np.ndarray  # compares configurations of one method
    epoch: np.ndarray | None  # position in the record; None where the rule picks no single epoch

    def of(self, curves: np.ndarray) -> np.ndarray:
        """Return other figures over epochs, (..., E), at the epochs chosen."""
        return (
            curves[..., final(curves.shape[-1])].mean(-1)
            if self.epoch is None
            else _at(curves, self.epoch)
        )


def final(epochs: int) -> slice:
    """Return the slice of the last tenth of the epochs, one at least."""
    return slice(-max(1, epochs // 10), None)


def last(validation: np.ndarray, clean: np.ndarray, test: np.ndarray) -> Choice:
    """Choose means over the final tenth of the epochs.

    Configurations are still compared on noisy validation labels.
    """
    at = final(test.shape[-1])
    return Choice(test[..., at].mean(-1), validation[..., at].mean(-1), None)


def noisy_val(validation: np.ndarray, clean: np.ndarray, test: np.ndarray) -> Choice:
    """Choose the earliest epoch of best accuracy on the noisy validation labels."""
    epoch = np.where(np.isnan(validation), -np.inf, validation).argmax(-1)
    return Choice(_at(test, epoch), _at(validation, epoch), epoch)


def clean_val(validation: np.ndarray, clean: np.ndarray, test: np.ndarray) -> Choice:
    """Choose the earliest epoch of best accuracy on the true labels of validation images."""
    return noisy_val(clean, clean, test)


def oracle(validation: np.ndarray, clean: np.ndarray, test: np.ndarray) -> Choice:
    """Choose the earliest epoch of best test accuracy, for comparison only."""
    return noisy_val(test, clean, test)


def _at(curves: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    return np.take_along_axis(curves, epochs[..., None], -1)[..., 0]


#: All rules, the default first: the order of tables. A rule that is added here is in every table
#: and on the page; ``check_goal`` names those that a search may maximise.
RULES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Choice]] = {
    DEFAULT_RULE: noisy_val,
    "last": last,
    CLEAN_VAL: clean_val,
    ORACLE: oracle,
}


def rule_names(clean_images: str = ALL) -> list[str]:
    """Return the rules as tables call them, in their order."""
    return [f"{rule}:{clean_images}" if rule == CLEAN_VAL else rule for rule in RULES]


def rule_order(rule: str) -> int:
    """Return the place of a rule in tables."""
    return list(RULES).index(rule.partition(":")[0])


def select(rule: str, validation: np.ndarray, clean: np.ndarray, test: np.ndarray) -> Choice:
    """Apply the rule to accuracies over epochs, on noisy and clean validation and on test labels.

    Args:
        validation, clean, test: curves of one trial, (E,), or of N trials, (N, E), with E >= 1.
            Single epochs may be NaN, not all of them; only clean-val reads ``clean``.

    Raises:
        ValueError: where the curves differ in length or are empty.
    """
    if not validation.shape == clean.shape == test.shape or not test.shape[-1]:
        raise ValueError(
            f"a rule needs equally long curves, not {validation.shape}, {clean.shape} and "
            f"{test.shape}"
        )
    return RULES[rule.partition(":")[0]](validation, clean, test)


def check_clean_images(text: str) -> str:
    """Check how many right labels of validation images ``clean-val`` reads: "all", or a number.

    Raises:
        InputError: where it is neither.
    """
    if text != ALL and not (text.isdecimal() and int(text) > 0):
        raise InputError(
            f"--clean-val {text} is no number of validation images: write {ALL}, or 50"
        )
    return text


def check_goal(goal: str) -> int:
    """Check the name of a rule by which a search picks its configuration.

    Returns:
        The number of clean-labelled validation images that it needs.

    Raises:
        InputError: where there is no such rule.
    """
    name, _, images = goal.partition(":")
    if name == CLEAN_VAL and images.isdecimal() and int(images) > 0:
        return int(images)
    if name == CLEAN_VAL:
        raise InputError(
            f"--tune-for {goal} does not say how many images have clean labels: write "
            f"{CLEAN_VAL}:50"
        )
    if goal not in (DEFAULT_RULE, ORACLE):
        raise unknown("rule to tune for", goal, [DEFAULT_RULE, f"{CLEAN_VAL}:n", ORACLE])
    return 0


def best_configuration(scores: np.ndarray, seeds: np.ndarray, is_default: np.ndarray) -> int:
    """Return the position of the configuration to report.

    Those with the most seeds come first, so that a lucky seed of a sweep under way does not win;
    among them the best mean score; on a tie the method's defaults, then the first.

    Args:
        scores: mean score over seeds, (N,); NaN where there is none.
        seeds: number of trials that are over, failed ones included, (N,).
        is_default: whether a configuration is the method's defaults, (N,).
    """
    scores = np.where(np.isnan(scores), -np.inf, np.round(scores, DECIMALS))
    # lexsort takes the last key first, and is stable.
    return int(np.lexsort((~np.asarray(is_default, dtype=bool), -scores, -np.asarray(seeds)))[0])


def clean_validation(
    predicted: np.ndarray, truth: np.ndarray, images: int | None = None
) -> float | None:
    """Return the accuracy on validation images whose true class is known.

    Args:
        predicted: classes (V,).
        truth: true classes (V,), negative where unknown.
        images: number of images to count, always the same ones; by default all.

    Returns:
        None where fewer are known.
    """
    known = np.random.default_rng(CLEAN_LABELS).permutation(np.flatnonzero(truth >= 0))[:images]
    if len(known) < (images or 1):
        return None
    return float((predicted[known] == truth[known]).mean())
