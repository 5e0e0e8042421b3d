"""Selection rules against numbers worked out by hand."""

import numpy as np
import pytest

from bench.planning import selection
from bench.planning.selection import (
    DEFAULT_RULE,
    Choice,
    Curves,
    best_configuration,
    rule_names,
    rule_order,
)


def curve(*values: float) -> np.ndarray:
    return np.array(values)


def select(
    rule: str,
    validation: np.ndarray,
    test: np.ndarray,
    clean: np.ndarray | None = None,
    changes: np.ndarray | None = None,
) -> Choice:
    unknown = np.full(validation.shape, np.nan)
    curves = Curves(
        validation=validation,
        clean=unknown if clean is None else clean,
        changes=unknown if changes is None else changes,
        test=test,
    )
    return selection.select(rule, curves)


def test_noisy_validation_is_the_default_and_comes_first():
    assert DEFAULT_RULE == "noisy-val"
    assert rule_names() == ["noisy-val", "last", "label-wave", "clean-val:all", "oracle"]
    assert rule_names("50")[3] == "clean-val:50"
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
    assert np.isnan(choice.epoch)


def test_last_compares_configurations_by_noisy_validation():
    choice = select("last", curve(0.9, 0.3), curve(0.1, 0.8))
    assert (choice.test_accuracy, choice.score) == (0.8, 0.3)


def test_oracle_takes_the_best_test_epoch_and_scores_by_it():
    choice = select("oracle", curve(0.9, 0.1, 0.2), curve(0.3, 0.8, 0.8))
    assert (choice.epoch, choice.test_accuracy, choice.score) == (1, 0.8, 0.8)


def test_clean_val_takes_the_best_epoch_on_right_labels_and_scores_by_them():
    choice = select(
        "clean-val:50", curve(0.9, 0.1, 0.2), curve(0.1, 0.7, 0.8), clean=curve(0.3, 0.6, 0.6)
    )
    assert (choice.epoch, choice.test_accuracy, choice.score) == (1, 0.7, 0.6)


def label_wave(*changes: float) -> float:
    """Return the epoch that label-wave picks; NaN for the final tenth."""
    epochs = np.arange(len(changes)) / 100
    choice = select("label-wave", epochs / 2, epochs, changes=curve(*changes))
    if np.isfinite(choice.epoch):
        assert choice.test_accuracy == 2 * choice.score == choice.epoch / 100
    else:
        last = select("last", epochs / 2, epochs)
        assert (choice.test_accuracy, choice.score) == (last.test_accuracy, last.score)
    return float(choice.epoch)


def test_label_wave_by_hand(monkeypatch):
    """Means over two epochs are 75, 45, 37.5 and 52.5: the fourth count ends the lowest."""
    monkeypatch.setattr(selection, "WINDOW", 2)
    monkeypatch.setattr(selection, "PATIENCE", 1)
    assert label_wave(np.nan, 90, 60, 30, 45, 60) == 4


@pytest.mark.parametrize(
    ("changes", "epoch"),
    [
        # Means over three epochs: 40, 30, 20, 30, 40, 50.
        ([np.nan, 50, 40, 30, 20, 10, 60, 50, 40, 60], 5),
        ([np.nan, 50, 40, 30, 20, 10, 60, 50, 40], 5),  # the third epoch after it is the last
        ([np.nan, 50, 40, 30, 20, 10, 60, 50], np.nan),  # training ends before patience does
        # 40, 30, 20, 27, 22, 19, 32 ...: two epochs above 20, and then one below it.
        ([np.nan, 50, 40, 30, 20, 10, 51, 6, 0, 90, 90, 90, 90], 8),
        # The first minimum, though a later one is lower.
        ([np.nan, 50, 40, 30, 20, 10, 60, 60, 60, 3, 3, 3, 60, 60, 60], 5),
        ([np.nan, 60, 50, 40, 30, 20, 10, 5, 1], np.nan),  # it falls to the end
        ([np.nan, 10, 20, 30, 40, 50, 60, 70], np.nan),  # lowest at its first epoch
        ([np.nan, 0, 0, 0, 0, 0, 0, 0], np.nan),  # predictions never change
        ([np.nan, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0], 6),  # nor after this epoch
        ([np.nan, 50, 40], np.nan),
        ([np.nan], np.nan),
    ],
)
def test_label_wave_takes_the_first_minimum_of_the_mean_changes(changes, epoch):
    assert label_wave(*changes) == pytest.approx(epoch, nan_ok=True)


def test_label_wave_judges_each_trial_by_itself():
    changes = np.array([[np.nan, 5, 4, 3, 2, 1, 6, 5, 4], [np.nan, 8, 7, 6, 5, 4, 3, 2, 1]])
    test = np.arange(18).reshape(2, 9) / 20
    choice = select("label-wave", test, test, changes=changes)
    assert choice.epoch.tolist() == pytest.approx([5, np.nan], nan_ok=True)
    assert choice.test_accuracy.tolist() == [5 / 20, 17 / 20]
    assert choice.of(10 * test).tolist() == [50 / 20, 170 / 20]


def test_label_wave_never_looks_at_accuracy():
    changes = curve(np.nan, 50, 40, 30, 20, 10, 60, 50, 40)
    rising, falling = np.arange(9) / 10, np.arange(9)[::-1] / 10
    for validation, test in ((rising, falling), (falling, rising)):
        assert select("label-wave", validation, test, changes=changes).epoch == 5


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
