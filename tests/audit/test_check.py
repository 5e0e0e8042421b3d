"""Comparison of an audit with the truth."""

import numpy as np
import pytest

from bench.audit.check import BINS, Check, calibration, check_lines, detection


def test_detection_of_a_known_order():
    wrong = np.array([True, False, True, False])
    result = detection(np.array([0.9, 0.8, 0.7, 0.1]), wrong)
    assert result.auc == pytest.approx(3 / 4)
    assert result.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert result.precision == pytest.approx(1 / 2)


def test_without_a_wrong_label_there_is_nothing_to_detect():
    assert np.isnan(detection(np.arange(3.0), np.zeros(3, bool)).auc)


def test_calibration_error_is_the_mean_distance_weighted_by_size():
    probability = np.array([0.05] * 10 + [0.95] * 10)
    wrong = np.array([True] + [False] * 9 + [True] * 5 + [False] * 5)
    error, confidence, share, counts = calibration(probability, wrong)
    assert error == pytest.approx(0.5 * 0.05 + 0.5 * 0.45)
    assert confidence[[0, 9]] == pytest.approx([0.05, 0.95])
    assert share[[0, 9]] == pytest.approx([0.1, 0.5])
    assert counts.sum() == 20


def test_figures_without_a_wrong_label_are_dashes():
    nothing = np.full(BINS, np.nan)
    scores = {"audit": detection(np.arange(3.0), np.zeros(3, bool))}
    check = Check(scores, 0.0, (0.0, 0.01, 0.02), 0.01, nothing, nothing, nothing, 0.0)
    assert "| audit | – | – | – | – |" in check_lines(check)
