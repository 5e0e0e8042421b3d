"""Tables of the study of audits."""

import numpy as np
import pytest

from bench.audit.study import interval, study_report


def row(seed: int, audit: float, cleanlab: float) -> dict:
    def scores(value: float) -> dict[str, float]:
        return {"auc": value, "average_precision": value, "precision": value}

    return {
        "dataset": "digits",
        "noise": "symmetric:0.2",
        "samples": 100,
        "seed": seed,
        "scores": {
            "audit": scores(audit),
            "cleanlab a": scores(cleanlab),
            "cleanlab b": scores(cleanlab - 0.1),
        },
        "rate": [0.1, 0.15, 0.2],
        "true_rate": 0.19 if seed else 0.21,
        "calibration_error": 0.05,
        "accuracies": {"given": 0.5, "true": 0.6},
    }


def test_the_audit_is_paired_with_the_best_score_of_cleanlab():
    text = study_report([row(0, 0.9, 0.8), row(1, 0.92, 0.84)])
    assert "audit less cleanlab a +0.090" in text
    assert "inside: 1 of 2" in text
    assert "given 50.0, true 60.0" in text


def test_a_single_seed_has_no_interval():
    text = study_report([row(0, 0.9, 0.8)])
    assert "1 seed\n" in text and "audit less cleanlab a +0.100.\n" in text


def test_the_interval_is_students():
    low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)
