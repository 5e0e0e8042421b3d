"""Rules that pick an epoch, and a configuration, from records: pure functions of arrays.

Every rule gives two figures: the test accuracy that it selects, and the score by which it compares
configurations. Only ``oracle`` lets test accuracy decide anything; it is there to be set beside
published numbers, which mostly do. ``clean-val:n`` reads the right labels of n validation images,
or of all whose truth is known: a privilege, and called one. ``label-wave`` picks an epoch without
any label; records of earlier versions lack its curve.
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

#: Rule that stops where the predictions of training samples change least.
LABEL_WAVE = "label-wave"
#: Epochs whose changes it averages. The authors recommend 3 [second-hand]: Yuan et al., 2024.
WINDOW = 3
#: Epochs that have to pass without a lower mean. The authors give no value. [inferred] After as
#: many epochs as the window holds, a mean shares no epoch with that of the minimum.
PATIENCE = WINDOW

#: Scores and means this close are equal: sums of the same numbers in another order differ by less.
DECIMALS = 12


@dataclass(frozen=True)
class Curves:
    """Figures of one trial over its epochs, (E,) each, or of N trials, (N, E), with E >= 1.

    Single epochs may be NaN, but of validation and test accuracy not all of them. Accuracies are
    fractions.
    """

    validation: np.ndarray  # accuracy on noisy validation labels
    clean: np.ndarray  # accuracy on the true labels of validation images; clean-val alone reads it
    changes: np.ndarray  # changed predictions of training samples; label-wave alone reads them
    test: np.ndarray  # test accuracy

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of all curves."""
        return [curve.shape for curve in (self.validation, self.clean, self.changes, self.test)]


@dataclass(frozen=True)
class Choice:
    """Epochs that a rule picks, and their figures: (N,) arrays for N trials, numbers for one.

    Accuracies are fractions.
    """

    test_accuracy: np.ndarray
    score: np.ndarray  # compares configurations of one method
    epoch: np.ndarray  # position in the record; NaN stands for the mean over the final epochs

    def of(self, curves: np.ndarray) -> np.ndarray:
        """Return other figures over epochs, (..., E), at the epochs chosen."""
        return _at(curves, self.epoch)


def final(epochs: int) -> slice:
    """Return the slice of the last tenth of the epochs, one at least."""
    return slice(-max(1, epochs // 10), None)


def last(curves: Curves) -> Choice:
    """Choose means over the final tenth of the epochs.

    Configurations are still compared on noisy validation labels.
    """
    return _choice(curves, np.full(curves.test.shape[:-1], np.nan), curves.validation)


def label_wave(curves: Curves) -> Choice:
    """Choose the epoch where the predictions of training samples first change least.

    Label Wave (Yuan et al., ICLR 2024, arXiv 2502.07551) stops at the first minimum of the mean
    number of changed predictions over the last epochs, before wrong labels are memorised. The
    minimum is the first epoch whose mean over ``WINDOW`` epochs is below that of the epoch before,
    and not above those of the ``PATIENCE`` epochs after it. [inferred] The first whole window is
    none, as no mean is before it. Where there is no minimum, training would not have stopped: the
    choice is that of ``last``. Configurations are still compared on noisy validation labels.

    [source] The authors (GitHub tmllab/2024_ICLR_LabelWave, commit cf3e9eb, which logs the changes
    alone) count all training samples, by predictions in training mode, each in its own step, at a
    constant learning rate. [inferred] Here it is up to 2,000 samples, predicted as test images are
    at the end of each epoch, at any learning rate.
    """
    *trials, epochs = curves.changes.shape
    # Means over whole windows; no epoch follows the last one, and none is before the first.
    means = np.full([*trials, epochs + PATIENCE], np.nan)
    if epochs >= WINDOW:
        windows = np.lib.stride_tricks.sliding_window_view(curves.changes, WINDOW, axis=-1)
        means[..., WINDOW - 1 : epochs] = windows.mean(-1)
    minimal = np.zeros(curves.changes.shape, dtype=bool)
    minimal[..., 1:] = means[..., 1:epochs] < means[..., : epochs - 1]
    for later in range(1, PATIENCE + 1):
        minimal &= means[..., :epochs] <= means[..., later : epochs + later]
    epoch = np.where(minimal.any(-1), minimal.argmax(-1), np.nan)
    return _choice(curves, epoch, curves.validation)


def noisy_val(curves: Curves) -> Choice:
    """Choose the earliest epoch of best accuracy on the noisy validation labels."""
    return _best(curves, curves.validation)


def clean_val(curves: Curves) -> Choice:
    """Choose the earliest epoch of best accuracy on the true labels of validation images."""
    return _best(curves, curves.clean)


def oracle(curves: Curves) -> Choice:
    """Choose the earliest epoch of best test accuracy, for comparison only."""
    return _best(curves, curves.test)


def _best(curves: Curves, scores: np.ndarray) -> Choice:
    return _choice(curves, np.where(np.isnan(scores), -np.inf, scores).argmax(-1), scores)


def _choice(curves: Curves, epoch: np.ndarray, scores: np.ndarray) -> Choice:
    return Choice(_at(curves.test, epoch), _at(scores, epoch), epoch)


def _at(curves: np.ndarray, epoch: np.ndarray) -> np.ndarray:
    """Return the values (...) of curves (..., E) at epochs (...), see ``Choice.epoch``."""
    several = np.isnan(epoch)
    places = np.where(several, 0, epoch).astype(int)[..., None]
    values = np.take_along_axis(curves, places, -1)[..., 0]
    return np.where(several, curves[..., final(curves.shape[-1])].mean(-1), values)


#: All rules, the default first: the order of tables. A rule that is added here is in every table
#: and on the page; ``check_goal`` names those that a search may maximise.
RULES: dict[str, Callable[[Curves], Choice]] = {
    DEFAULT_RULE: noisy_val,
    "last": last,
    LABEL_WAVE: label_wave,
    CLEAN_VAL: clean_val,
    ORACLE: oracle,
}


def rule_names(clean_images: str = ALL) -> list[str]:
    """Return the rules as tables call them, in their order."""
    return [f"{rule}:{clean_images}" if rule == CLEAN_VAL else rule for rule in RULES]


def rule_order(rule: str) -> int:
    """Return the place of a rule in tables."""
    return list(RULES).index(rule.partition(":")[0])


def select(rule: str, curves: Curves) -> Choice:
    """Apply the rule to the figures of trials over their epochs.

    Raises:
        ValueError: where the curves differ in length or are empty.
    """
    first, *others = curves.shapes
    if any(shape != first for shape in others) or not first[-1]:
        raise ValueError(f"a rule needs equally long curves, not {curves.shapes}")
    return RULES[rule.partition(":")[0]](curves)


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
