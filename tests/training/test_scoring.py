"""Scores, against numbers worked out by hand and those of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from method_specs import FITTING
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from bench import ops
from bench.datasets import FOUND, from_arrays
from bench.planning.spec import Plan, expand_hparams
from bench.records.schema import Epoch, present
from bench.training import scoring
from bench.training.trial import run_trial


def test_memorisation_by_hand():
    clean = np.array([0, 0, 1, 1, 2, 2])
    noisy = np.array([0, 0, 1, 2, 0, 1])  # the last three are wrong
    predicted = np.array([0, 1, 1, 2, 2, 0])
    memorised_clean, memorised_wrong, recovered_wrong = 2 / 3, 1 / 3, 1 / 3
    assert scoring.memorisation(predicted, noisy, clean) == pytest.approx(
        (memorised_clean, memorised_wrong, recovered_wrong)
    )


def test_without_wrong_labels_there_is_nothing_to_memorise():
    labels = np.array([0, 1])
    assert scoring.memorisation(labels, labels, labels) == (1.0, None, None)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
@settings(max_examples=60, deadline=None)
def test_detection_is_scikit_learns(pairs):
    probability = np.array([value / 5 for value, _ in pairs])
    wrong = np.array([flag for _, flag in pairs])
    auc, precision, recall = scoring.detection(probability, wrong)
    if wrong.all() or not wrong.any():
        assert auc is None
    else:
        assert auc == pytest.approx(roc_auc_score(wrong, -probability))
    flagged = probability < 0.5
    if flagged.any():
        assert precision == pytest.approx(precision_score(wrong, flagged, zero_division=0))
    else:
        assert precision is None
    if wrong.any():
        assert recall == pytest.approx(recall_score(wrong, flagged))


def test_scores_that_are_no_numbers_have_no_auc():
    assert scoring.auc(np.array([np.nan, 1.0]), np.array([True, False])) is None


def test_label_correction_by_hand():
    targets = np.array([[0.6, 0.4], [0.1, 0.9], [0.5, 0.5]])
    assert scoring.correction(targets, np.array([0, 0, 0])) == pytest.approx(2 / 3)


def test_calibration_error_by_hand():
    # Two at confidence 0.9, one of them right; two at 0.6, both right: (|1.8 - 1| + |1.2 - 2|) / 4.
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]])
    assert scoring.calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0.4)
    certain = np.eye(3)[[0, 1, 2]]
    assert scoring.calibration_error(certain, np.array([0, 1, 2])) == 0


def test_the_worst_class_by_hand():
    labels = np.array([0, 0, 0, 2, 2])  # nobody is of class 1
    assert scoring.worst_class_accuracy(np.array([0, 1, 0, 2, 2]), labels) == pytest.approx(2 / 3)
    assert scoring.worst_class_accuracy(np.array([2, 2, 2, 2, 2]), labels) == 0


def test_reliability_is_what_the_calibration_error_sums_up():
    probabilities = np.array([[0.9, 0.1], [0.95, 0.05], [0.3, 0.7], [1.0, 0.0]])
    found = scoring.reliability(probabilities, np.array([0, 1, 1, 0]))
    bins = {
        place: (n, found["confidence"][place], found["accuracy"][place])
        for place, n in enumerate(found["count"])
        if n
    }
    assert bins == {10: (1, 0.7, 1.0), 13: (1, 0.9, 1.0), 14: (2, pytest.approx(0.975), 0.5)}
    assert found["accuracy"][0] is None, "an empty bin"
    error = sum(n * abs(confidence - accuracy) for n, confidence, accuracy in bins.values()) / 4
    assert scoring.calibration_error(probabilities, np.array([0, 1, 1, 0])) == pytest.approx(error)


def test_separation_of_two_heaps_and_of_none():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    heaps = rng.normal(size=(60, 3)) + 100 * labels[:, None]
    silhouette, accuracy = scoring.separation(heaps, labels)
    assert silhouette > 0.95 and accuracy == 1
    silhouette, accuracy = scoring.separation(rng.normal(size=(60, 3)), labels)
    assert abs(silhouette) < 0.1 and accuracy < 0.8
    assert scoring.separation(heaps, np.zeros(60, int)) == (None, None)
    assert scoring.separation(np.full((60, 3), np.nan), labels) == (None, None)
    assert scoring.separation(heaps[:3], labels[:3])[1] is not None, "fewer than ten neighbours"


def run(data, kind: str, rate: float | None, method: str = "softmix") -> list[dict]:
    plan = Plan(noise_kind=kind, overrides=(("epochs", 3), ("batch_size", 16)))
    [spec] = plan.specs(data, expand_hparams([method], {}, {}), [rate], [0])
    epochs: list[dict] = []
    outcome = run_trial(spec, data, report=lambda new, _: epochs.extend(map(Epoch.to_json, new)))
    assert outcome.status == "finished", outcome
    return epochs


def test_the_record_holds_them_every_epoch(tiny_dataset):
    epochs = run(tiny_dataset, "symmetric", 0.4)
    for epoch in epochs:
        for key in (
            "memorised_clean",
            "memorised_wrong",
            "recovered_wrong",
            "detection_recall",
            "calibration_error",
            "label_correction_accuracy",
        ):
            assert 0 <= epoch[key] <= 1
        assert 0 <= epoch["worst_class_accuracy"] <= epoch["test_accuracy"]
    assert epochs[0]["label_correction_accuracy"] == pytest.approx(32 / 54, abs=0.08), (
        "at first the targets are the noisy labels"
    )


def test_the_record_holds_a_methods_figures(tiny_dataset):
    first, second, _ = run(tiny_dataset, "symmetric", 0.4, "co_teaching")
    assert first["method_figures"] == {"forget_rate": 0.0}, "nothing is forgotten at first"
    assert 0 < second["method_figures"]["forget_rate"] < 1
    assert "method_figures" not in run(tiny_dataset, "symmetric", 0.4)[0]


def test_the_methods_that_fit_a_mixture():
    known = {
        "co_teaching",
        "co_teaching_plus",
        "divide_mix",
        "jocor",
        "m_correction",
        "selc",
        "softmix",
    }
    assert known <= set(FITTING)


@pytest.mark.parametrize("name", FITTING)
def test_the_record_says_what_every_mixture_came_to(name, tiny_dataset, monkeypatch):
    fits = []

    def counting(fit):
        return lambda *args, **kwargs: fits.append(fit) or fit(*args, **kwargs)

    monkeypatch.setattr(ops.mixtures, "fit_gaussians", counting(ops.fit_gaussians))
    monkeypatch.setattr(ops.mixtures, "fit_betas", counting(ops.fit_betas))
    [spec] = Plan(overrides=(("epochs", 3),)).specs(
        tiny_dataset, expand_hparams([name], {}, {}), [0.4], [0]
    )
    recorded: list[int] = []

    def report(epochs, restart):
        for epoch in epochs:
            mixtures = present(epoch.mixtures, [])
            assert set(mixtures) <= {
                "two modes",
                "one mode",
                "one component",
                "equal losses",
                "not finite",
            }
            assert len(
                [state for state in mixtures if state not in ("equal losses", "not finite")]
            ) == len(fits)
            fits.clear()
            recorded.append(len(mixtures))

    assert run_trial(spec, tiny_dataset, report=report).status == "finished"
    assert sum(recorded) > 0, "it fits none"
    assert name == "selc" or recorded[0] == 0, "warm-up"
    assert name != "divide_mix" or recorded[1:] == [2, 2], "one a network"


def test_the_record_of_the_final_network(tiny_dataset):
    plan = Plan(overrides=(("epochs", 2), ("batch_size", 16)))
    [spec] = plan.specs(tiny_dataset, expand_hparams(["forward"], {}, {}), [0.4], [0])
    outcome = run_trial(spec, tiny_dataset, keep={"features"})
    reliability, estimate = (
        outcome.reliability,
        np.array(outcome.estimated_transition_matrix),
    )
    assert sum(reliability["count"]) == 20 and len(reliability["accuracy"]) == scoring.BINS
    assert estimate.shape == (4, 4)
    np.testing.assert_allclose(estimate.sum(1), 1, atol=1e-5)
    samples = outcome.samples
    assert len(samples["features"]) == len(samples["feature_positions"]) == 54, (
        "all training samples, which are few"
    )
    assert set(samples["feature_positions"]) == set(samples["train_positions"])
    np.testing.assert_array_equal(
        samples["feature_truth"], tiny_dataset.train_labels[samples["feature_positions"]]
    )
    assert "features" not in run_trial(spec, tiny_dataset).samples, "on request only"


def test_what_nobody_knows_is_not_scored(tiny_dataset):
    images, labels = tiny_dataset.train_images, tiny_dataset.train_labels
    noisy = (labels + (np.arange(60) % 3 == 0)) % 4
    test = tiny_dataset.test_images, tiny_dataset.test_labels
    unknown = from_arrays("own", images, np.full(60, -1), *test, found={FOUND: noisy})
    for epoch in run(unknown, FOUND, None):
        assert not any(
            key.startswith(("memorised", "recovered", "detection", "label_correction"))
            for key in epoch
        )
        assert 0 <= epoch["calibration_error"] <= 1, "the test labels are known"
    partly = from_arrays(
        "own", images, np.where(np.arange(60) < 20, labels, -1), *test, found={FOUND: noisy}
    )
    assert 0 <= run(partly, FOUND, None)[-1]["memorised_wrong"] <= 1, "on those that are known"
