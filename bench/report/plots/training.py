"""Figures over epochs: test accuracy, and learning from wrong labels."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.planning.registry import REFERENCE
from bench.report.plots.placement import apart, lead, name_points
from bench.report.plots.style import (
    COLUMN,
    PAGE,
    Look,
    Panels,
    entries_of,
    epoch_axis,
    legend,
    legend_height,
    methods_of,
    noise_title,
)

CURVES_CAPTION = (
    "Test accuracy while training: mean over seeds; of the reference and of each panel's best "
    "method also the range from the worst to the best seed. A grey method that ends well below or "
    "above all with a colour is named. Markers: mean test accuracy at the epochs that noisy "
    "validation accuracy selects, drawn at the median of these epochs, and so not always on the "
    "curve; those that would hide each other stand apart, and a thin line leads to a dot at their "
    "true place. Failed trials are left out."
)
LEARNING_CAPTION = (
    "Learning from wrong labels, mean over seeds. Memorised: training samples with a wrong, and "
    "with a correct, label that the network predicts as labelled. Labels corrected: training "
    "samples whose corrected target is highest at the true class; the dotted line is the share of "
    "noisy labels that are right. Wrong labels found: area under the ROC curve of the clean "
    "probabilities. Only methods that have such targets or probabilities are in the lower rows. A "
    "grey method that ends well below or above all with a colour is named."
)


def curves_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Draw test accuracy over epochs, a panel per noise rate.

    Args:
        trials: one group's rows of trials that did not fail, under one rule.
    """
    methods = methods_of(trials, drawn)
    panels = Panels(trials, 1.9, entries_of(methods, drawn), share="all")
    selected = []
    for axes, at_rate in panels.each():
        markers: dict[str, tuple[float, float]] = {}
        means: dict[str, np.ndarray] = {}
        best = at_rate.groupby("method")["test_accuracy"].mean().idxmax()
        # The reference is drawn last, on top of methods that gain nothing.
        for method in reversed(methods):
            rows = at_rate[at_rate["method"] == method]
            if len(rows):
                band = method in (REFERENCE, best)
                place, means[method] = _curve(axes, rows, drawn[method], band=band)
                markers |= {method: place} if drawn[method].coloured else {}
        axes.grid(axis="y")
        selected.append((axes, markers, means))
    longest = max(map(len, trials["test_curve"]))
    for axes, markers, means in selected:
        epoch_axis(axes, longest)
        x, y = np.array(list(markers.values())).reshape(-1, 2).T
        for method, true, place, height in zip(
            markers, x, apart(axes, x, y, 0 * y, panels.panel), y, strict=True
        ):
            lead(axes, true, place, height, drawn[method].color)
            axes.plot(place, height, zorder=5, **drawn[method].artist())
        _name_outliers(axes, means, drawn, panels.panel)
    panels.label("Epoch", "Test accuracy (%)")
    legend(panels.figure, methods, drawn, panels.width)
    return panels.figure


def _curve(
    axes: Axes, trials: pd.DataFrame, look: Look, band: bool
) -> tuple[tuple[float, float], np.ndarray]:
    """Draw the mean of a method's trials, and the range over seeds as a ``band``.

    Returns:
        The median selected epoch with the mean accuracy of the tables, and the mean curve (E,).
    """
    curves = list(trials["test_curve"])
    # Trials that a scheduler stopped are shorter. A mean beyond the shortest would jump where a
    # trial drops out.
    length = min(map(len, curves))
    accuracy = 100 * np.stack([curve[:length] for curve in curves])
    epochs, mean = np.arange(1, length + 1), accuracy.mean(0)
    if band:
        axes.fill_between(
            epochs, accuracy.min(0), accuracy.max(0), color=look.color, alpha=0.15, linewidth=0
        )
    axes.plot(
        epochs, mean, color=look.color, linestyle=look.line, linewidth=1.0 if look.coloured else 0.6
    )
    return (1 + trials["epoch"].median(), 100 * trials["test_accuracy"].mean()), mean


#: Distance beyond all coloured lines, as a share of the axis, from which a grey line is named.
_OUTLYING = 0.04


def _name_outliers(
    axes: Axes,
    means: Mapping[str, np.ndarray],
    drawn: Mapping[str, Look],
    panel: tuple[float, float],
) -> None:
    """Name the lowest and the highest grey line where they end beyond all coloured ones.

    Args:
        means: lines of methods, (E,) from epoch 1.
        panel: as in ``name_points``.
    """
    ends = {method: mean[-1] for method, mean in means.items() if np.isfinite(mean[-1])}
    coloured = [end for method, end in ends.items() if drawn[method].coloured]
    grey = sorted(
        (method for method in ends if not drawn[method].coloured), key=lambda method: ends[method]
    )
    if not (coloured and grey):
        return
    beyond = _OUTLYING * abs(np.subtract(*axes.get_ylim()))
    names = [method for method in grey[:1] if ends[method] < min(coloured) - beyond]
    names += [method for method in grey[-1:] if ends[method] > max(coloured) + beyond]
    if names:
        lines = np.concatenate(
            [np.column_stack([np.arange(1, len(mean) + 1), mean]) for mean in means.values()]
        )
        at = np.array([(len(means[name]), ends[name]) for name in names])
        name_points(axes, names, at, lines[np.isfinite(lines[:, 1])], panel)


_LEARNING = {
    "memorised_wrong": "Wrong labels\nmemorised (%)",
    "memorised_clean": "Correct labels\nmemorised (%)",
    "label_correction_accuracy": "Labels corrected (%)",
    "detection_auc": "Wrong labels\nfound (AUC, %)",
}


def learning_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure | None:
    """Draw figures of learning from wrong labels: a column per noise rate, a line per figure.

    Returns None without true labels, or without noise.
    """
    kinds = [
        key
        for key in _LEARNING
        if any(np.isfinite(curve).any() for curve in trials[f"{key}_curve"])
    ]
    trials = trials[
        [
            any(np.isfinite(row[f"{key}_curve"]).any() for key in kinds)
            for _, row in trials.iterrows()
        ]
    ]
    trials = trials[trials["realised_noise_rate"] > 0]
    if trials.empty:
        return None
    longest = max(map(len, trials["test_curve"]))
    methods = methods_of(trials, drawn)
    rates = sorted(set(trials["noise_rate"]))
    width = {1: COLUMN, 2: 5.2}.get(len(rates), PAGE)
    height = 0.35 + 1.2 * len(kinds) + legend_height(entries_of(methods, drawn), width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(kinds), len(rates), squeeze=False, sharex=True, sharey="row")
    panels: list[tuple[Axes, dict[str, np.ndarray]]] = []
    for (i, key), (j, rate) in product(enumerate(kinds), enumerate(rates)):
        axes, here = grid[i, j], trials[trials["noise_rate"] == rate]
        means = _learning_lines(axes, here, f"{key}_curve", methods, drawn)
        if key == "label_correction_accuracy":
            axes.axhline(
                100 * (1 - here["training_noise_rate"].mean()),
                color="0.4",
                linestyle=":",
                linewidth=0.9,
            )
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        epoch_axis(axes, longest)
        axes.margins(y=0.2)  # for a name below the lowest line
        panels.append((axes, means))
        if i == 0:
            axes.set_title(noise_title(rate, trials))
        if i == len(kinds) - 1:
            axes.set_xlabel("Epoch")
        if j == 0:
            axes.set_ylabel(_LEARNING[key])
    for axes, means in panels:  # limits are those of the row
        _name_outliers(axes, means, drawn, (width / len(rates) - 0.4, 1))
    figure.align_ylabels(grid[:, 0])
    legend(figure, methods, drawn, width)
    return figure


def _learning_lines(
    axes: Axes,
    trials: pd.DataFrame,
    column: str,
    methods: Sequence[str],
    drawn: Mapping[str, Look],
) -> dict[str, np.ndarray]:
    """Draw the mean curve of each method that has one, and return these curves in percent."""
    means = {}
    for method in reversed(methods):
        curves = list(trials.loc[trials["method"] == method, column])
        if not any(np.isfinite(curve).any() for curve in curves):
            continue
        mean = 100 * np.stack([curve[: min(map(len, curves))] for curve in curves]).mean(0)
        means[method], look = mean, drawn[method]
        epochs, width = np.arange(1, len(mean) + 1), 1.0 if look.coloured else 0.6
        axes.plot(epochs, mean, color=look.color, linestyle=look.line, linewidth=width)
        if look.coloured:
            axes.plot(len(mean), mean[-1], clip_on=False, zorder=5, **look.artist())
    return means
