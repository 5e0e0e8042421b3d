"""Figures of an audit."""

import numpy as np

from bench.report.plots.audit import audit_figures


def test_bins_without_samples_are_left_out():
    confidence, share = np.array([0.1, np.nan, 0.9]), np.array([0.2, np.nan, 0.8])
    figures = audit_figures(np.eye(2), ("cat", "dog"), (confidence, share, np.array([5, 0, 4])))
    assert set(figures) == {"transition", "calibration"}
    axes = figures["calibration"][0].axes[0]
    assert axes.lines[1].get_xydata().tolist() == [[10, 20], [90, 80]]


def test_without_the_truth_there_is_no_calibration():
    assert set(audit_figures(np.eye(2), ("cat", "dog"))) == {"transition"}
