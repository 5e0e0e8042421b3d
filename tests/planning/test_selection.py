"""Selection rules against numbers worked out by hand."""

import numpy as np
import pytest

from bench.planning import selection
from bench.planning.selection import (
    DEFAULT_RULE,
    Choice,
    best_configuration,
    rule_names,
    rule_order,
)


def curve(*values: float) -> np.ndarray:
    return np.array(values)


def select(rule: str, validation: np.ndarray, test: np.ndarray) -> Choice:
    """By a rule that reads no right labels of validation images."""
    return selection.select(rule, validation, np.full(len(validation), np.nan), test)


def test_noisy_validation_is_the_default_and_comes_first():
    assert DEFAULT_RULE == "noisy-val"
    assert rule_names() == ["noisy-val", "last", "clean-val:all", "oracle"]
    assert rule_names("50")[2] == "clean-val:50"
    assert sorted(["oracle", "clean-val:50", "noisy-val"], key=rule_order) == [
        "noisy-val",
        "clean-val:50",
        "oracle",
    ]


def test_noisy_val_takes_the_test_accuracy_at_the_best_validation_epoch():
    choice = select("noisy-val", curve(0.2, 0.5, 0.4), curve(0.9, 0.6, 0.7))
    assert (choice.epoch, choice.test_accuracy, choice.score) == (1, 0.6, 0.5)


def test_a_tie_on_validation_goes_to_the_earliest_epoch():
    choice = select("noisy-val", curve(0.1, 0.5, 0.5, 0.5), curve(0.1, 0.2, 0.3, 0.4))
    assert (choice.epoch, choice.test_accuracy) == (1, 0.2)


def test_noisy_val_never_looks_at_test_accuracy():
    validation = curve(0.3, 0.6, 0.1)
    for test in (curve(0.0, 0.5, 1.0), curve(1.0, 0.0, 0.5)):
        choice = select("noisy-val", validation, test)
        assert (choice.epoch, choice.score, choice.test_accuracy) == (1, 0.6, test[1])


@pytest.mark.parametrize(
    ("epochs", "averaged"),
    [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (25, 2), (30, 3), (100, 10)],
)
def test_last_is_the_mean_of_the_final_tenth(epochs, averaged):
    test = np.arange(epochs) / 100
    validation = test / 2
    choice = select("last", validation, test)
    expected = sum(range(epochs - averaged, epochs)) / averaged / 100
    assert choice.test_accuracy == pytest.approx(expected)
    assert choice.score == pytest.approx(expected / 2)
    assert choice.epoch is None


def test_last_compares_configurations_by_noisy_validation():
    choice = select("last", curve(0.9, 0.3), curve(0.1, 0.8))
    assert (choice.test_accuracy, choice.score) == (0.8, 0.3)


def test_oracle_takes_the_best_test_epoch_and_scores_by_it():
    choice = select("oracle", curve(0.9, 0.1, 0.2), curve(0.3, 0.8, 0.8))
    assert (choice.epoch, choice.test_accuracy, choice.score) == (1, 0.8, 0.8)


def test_clean_val_takes_the_best_epoch_on_right_labels_and_scores_by_them():
    choice = selection.select(
        "clean-val:50", curve(0.9, 0.1, 0.2), curve(0.3, 0.6, 0.6), curve(0.1, 0.7, 0.8)
    )
    assert (choice.epoch, choice.test_accuracy, choice.score) == (1, 0.7, 0.6)


def test_an_undefined_epoch_is_not_chosen():
    assert select("noisy-val", curve(np.nan, 0.2, 0.1), curve(0.1, 0.7, 0.9)).epoch == 1


@pytest.mark.parametrize(
    ("validation", "test"), [(curve(), curve()), (curve(0.1), curve(0.1, 0.2))]
)
def test_curves_that_do_not_match_are_refused(validation, test):
    with pytest.raises(ValueError, match="equally long"):
        select("noisy-val", validation, test)


@pytest.mark.parametrize(
    ("scores", "seeds", "default", "best"),
    [
        ([0.4, 0.6, 0.5], [3, 3, 3], [True, False, False], 1),
        ([0.9, 0.5, 0.6], [1, 3, 3], [False, False, False], 2),  # a lucky seed does not win
        ([0.6, 0.6, 0.6], [3, 3, 3], [False, False, True], 2),  # a tie goes to the defaults
        ([0.6, 0.6, 0.5], [3, 3, 3], [False, False, True], 0),  # else to the first
        ([0.1 + 0.2, 0.3], [2, 2], [False, True], 1),  # equal but for rounding
        ([np.nan, 0.1], [3, 3], [True, False], 1),
    ],
)
def test_best_configuration(scores, seeds, default, best):
    assert best_configuration(np.array(scores), np.array(seeds), np.array(default)) == best
