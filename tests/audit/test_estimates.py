"""Estimates of an audit, on numbers that can be computed by hand."""

import numpy as np
import pytest

from bench.audit.estimates import SLACK, WIDEST, confused_pairs, estimate, rates_of
from bench.audit.trials import MARGIN, PROBE, Judgements


def judgements(margins, targets, transition=None):
    targets = np.array(targets, float)
    matrix = np.eye(targets.shape[1]) if transition is None else np.array(transition)
    return {
        MARGIN: Judgements(np.array(margins, float), None, None),
        PROBE: Judgements(targets.max(1), targets, matrix),
    }


def test_both_scores_order_the_samples_and_the_probability_is_that_of_the_other_classes():
    given = np.array([0, 0, 1])
    targets = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]
    judged = judgements([0.9, 0.1, 0.5], targets)
    judged[PROBE] = Judgements(np.array([0.9, 0.2, 0.6]), np.array(targets), np.eye(2))
    result = estimate(judged, given)
    assert result.rank.tolist() == [3, 1, 2]
    odds = np.log(result.p_wrong / (1 - result.p_wrong)) - np.log([1 / 9, 4, 2 / 3])
    assert odds == pytest.approx(np.full(3, odds[0]))  # all of them are shifted alike
    assert result.p_wrong.mean() == pytest.approx(result.rate[1])
    assert result.probabilities.sum(1) == pytest.approx(np.ones(3))
    assert result.order[:, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize("each, first", [(49, "margin"), (50, "forward")])
def test_few_samples_a_class_are_ordered_by_both_scores_alike(each, first):
    given = np.repeat([0, 1], each)
    margins, right = np.full(2 * each, 0.9), np.full(2 * each, 0.9)
    margins[:2], right[:2] = [0.1, 0.5], [0.5, 0.3]  # the margin's suspect, and the forward score's
    targets = np.where(given[:, None] == [0, 1], right[:, None], 1 - right[:, None])
    judged = judgements(margins, targets) | {PROBE: Judgements(right, targets, np.eye(2))}
    worst = int(np.argmin(estimate(judged, given).rank))
    assert ["margin", "forward"][worst] == first


def test_the_range_lies_between_mean_probability_and_confident_joint():
    # of 50 + 50 samples, 20 % of each class are labelled as the other
    given = np.repeat([0, 1], 50)
    overall, classes = rates_of(np.full(100, 0.15), given, np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert overall == pytest.approx((0.15 - SLACK, 0.175, 0.2 + SLACK))
    assert classes == pytest.approx(np.array([overall, overall]))


def test_a_wide_range_is_cut_on_both_sides():
    given = np.repeat([0, 1], 50)
    (low, middle, high), _ = rates_of(np.full(100, 0.1), given, np.array([[0.6, 0.4], [0.4, 0.6]]))
    assert high - low == pytest.approx(WIDEST)
    assert middle == pytest.approx(0.25)


def test_the_range_of_few_samples_is_not_cut_and_holds_their_sampling_error():
    given, transition = np.repeat([0, 1], 20), np.array([[0.6, 0.4], [0.4, 0.6]])
    (low, _, high), _ = rates_of(np.full(40, 0.1), given, transition)
    assert (low, high) == (pytest.approx(0.25 - 0.165), pytest.approx(0.25 + 0.165))
    (low, middle, high), classes = rates_of(np.full(40, 0.4), given, transition)
    assert (middle, high - low) == (pytest.approx(0.4), pytest.approx(2 * 1.96 * 0.0775, abs=1e-3))
    assert classes[0, 2] - classes[0, 0] == pytest.approx(2 * 1.96 * 0.1095, abs=1e-3)


def test_pairs_are_ordered_by_the_number_of_wrong_labels_that_is_expected():
    given = np.array([0, 0, 1, 2])
    probabilities = np.array([[0.2, 0.8, 0.0], [0.3, 0.7, 0.0], [0, 0.4, 0.6], [0, 0, 1.0]])
    assert confused_pairs(given, probabilities) == ((0, 1, pytest.approx(1.5)), (1, 2, 0.6))
