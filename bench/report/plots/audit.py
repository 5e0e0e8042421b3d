"""Figures of an audit of labels: estimated transition matrix, and calibration."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from bench.report.plots.noise import matrix_figure
from bench.report.plots.style import COLUMN, style


def audit_figures(
    transition: np.ndarray,
    classes: tuple[str, ...],
    reliability: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> dict[str, tuple[Figure, str]]:
    """Return figures and captions by name.

    Args:
        transition: estimated matrix (C, C), rows are true classes.
        reliability: mean probability, true share of wrong labels and size of each bin.
    """
    figures = {
        "transition": (
            matrix_figure(transition, classes, "Estimated transition matrix"),
            "Estimated transition matrix: labels given to the samples of each true class.",
        )
    }
    if reliability:
        figures["calibration"] = (
            calibration_figure(*reliability),
            "Calibration: share of labels that are wrong, by that probability.",
        )
    return figures


def calibration_figure(confidence: np.ndarray, share: np.ndarray, counts: np.ndarray) -> Figure:
    """Return the reliability diagram of a probability, with the number of samples of each bin."""
    filled = counts > 0
    with style():
        figure = Figure(figsize=(COLUMN, 1.1 * COLUMN), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        axes.plot([0, 100], [0, 100], color="0.6", linewidth=0.8, linestyle=(0, (4, 2)))
        axes.plot(
            100 * confidence[filled],
            100 * share[filled],
            color="#0072B2",
            marker="o",
            clip_on=False,
        )
        axes.set_ylabel("Labels that are wrong (%)")
        axes.set_ylim(0, 100)
        axes.grid()
        edges = np.linspace(0, 100, len(counts) + 1)
        below.bar(edges[:-1], counts, np.diff(edges), align="edge", color="0.75", linewidth=0)
        below.set_yscale("symlog", linthresh=1)
        below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        below.set_ylabel("Samples")
        below.set_xlabel("Probability of being wrong (%)")
        below.set_xlim(0, 100)
    return figure
