"""Figures of accuracy: of one group by noise rate, and of all cells side by side."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE
from matplotlib.ticker import MaxNLocator

from bench.planning.registry import REFERENCE
from bench.report.all_cells import cell_names
from bench.report.leaderboard import methods_in_order
from bench.report.plots.style import (
    BARS,
    COLUMN,
    CROWD,
    MARGIN,
    PAGE,
    SELECTED,
    SIDE_BY_SIDE,
    Look,
    Panels,
    interval_of,
    legend,
    legend_height,
    limit_accuracy,
    methods_of,
    rate_label,
)
from bench.report.statistics import AverageRanks

ACCURACY_CAPTION = (
    f"Test accuracy by noise rate: {SELECTED} Rates too close for all methods are drawn at equal "
    "distances."
)
_RANGES = (
    "Panels have ranges of their own; an arrowhead is where an interval, which knows no bounds, "
    "goes on beyond 0 or 100 %."
)
ROWS_CAPTION = f"Test accuracy: {SELECTED} {_RANGES}"
_ALL_CELLS = f"Test accuracy in all cells, the best on average on top: {SELECTED} {_RANGES}"
_LINE = f" The vertical line is {REFERENCE}."


def accuracy_figure(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Draw accuracy against noise rate: a line per method.

    For one rate, or for many methods, draw a row per method.

    Args:
        ranked: one group's rows of the leaderboard, under one rule.
        drawn: from ``looks``.
    """
    if _in_rows(ranked):
        return _accuracy_rows(ranked, drawn)
    methods = methods_of(ranked, drawn)
    rates = sorted(set(ranked["noise_rate"]))
    # Methods stand side by side, so that markers and intervals do not hide each other.
    group = SIDE_BY_SIDE * len(methods)
    width = COLUMN if 1.5 * group * len(rates) < COLUMN - MARGIN else PAGE
    room = (width - MARGIN) / 1.1 - group  # in inches, from the first rate to the last one
    places = room * (np.array(rates) - rates[0]) / (rates[-1] - rates[0])
    # Distances are equal where a point could seem to belong to the next rate.
    if np.diff(places).min() < 1.5 * group:
        places = np.linspace(0, room, len(rates))
    step = min(SIDE_BY_SIDE, 0.7 * np.diff(places).min() / len(methods))
    figure = Figure(figsize=(width, 2.4 + legend_height(methods, width)), layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(methods):
        rows = ranked[ranked["method"] == method].sort_values("noise_rate")
        x = (
            places[[rates.index(rate) for rate in rows["noise_rate"]]]
            + (number - (len(methods) - 1) / 2) * step
        )
        axes.errorbar(
            x, 100 * rows["mean"], yerr=interval_of(rows["ci95"]), **drawn[method].artist(), **BARS
        )
    axes.set_xticks(places, [f"{100 * rate:g}" for rate in rates])
    axes.set_xlabel(rate_label(ranked))
    axes.set_ylabel("Test accuracy (%)")
    limit_accuracy(axes)
    axes.grid(axis="y")
    legend(figure, methods, drawn, width)
    return figure


def accuracy_caption(ranked: pd.DataFrame) -> str:
    """Return the caption of ``accuracy_figure`` for the same rows."""
    return ROWS_CAPTION if _in_rows(ranked) else ACCURACY_CAPTION


def _in_rows(ranked: pd.DataFrame) -> bool:
    return bool(ranked["noise_rate"].nunique() == 1 or ranked["method"].nunique() > CROWD)


def _accuracy_rows(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    methods = methods_in_order(ranked)
    panels = Panels(ranked, 0.4 + 0.17 * len(methods))
    panels.rows(methods)
    for axes, at_rate in panels.each():
        _draw_rows(axes, at_rate, methods, drawn)
    panels.label("Test accuracy (%)", "")
    return panels.figure


def all_cells_caption(ranks: AverageRanks) -> str:
    """Return the caption of ``all_cells_figure``."""
    return _ALL_CELLS + _LINE * (REFERENCE in ranks.ranks.index)


def all_cells_figure(
    ranked: pd.DataFrame, ranks: AverageRanks, drawn: Mapping[str, Look]
) -> Figure | None:
    """Draw a panel for each cell and a row for each method, the best on average on top.

    A line leads down from the reference. None where the cells are too many, or have no names.

    Args:
        ranked: competing rows of the leaderboard, under one rule.
        ranks: their average ranks.
        drawn: from ``looks``.
    """
    names = cell_names(ranked)
    if not names:
        return None
    methods = list(ranks.ranks.index)
    characters = int((PAGE - 1.2) / len(names) / 0.065)  # of a line as wide as a panel
    titles = [
        fill(name.replace(" %", "\N{NO-BREAK SPACE}%"), characters, max_lines=4, placeholder=" …")
        for name in names.values()
    ]
    lines = max(title.count("\n") for title in titles)
    height = 0.7 + 0.14 * lines + 0.17 * len(methods)
    figure = Figure(figsize=(PAGE, height), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True)
    for axes, cell, title in zip(panels, names, titles, strict=True):
        in_cell = ranked[(ranked["cell"] == cell) & ranked["method"].isin(methods)]
        _draw_rows(axes, in_cell, methods, drawn)
        for mean in in_cell.loc[in_cell["method"] == REFERENCE, "mean"]:
            axes.axvline(100 * mean, color="0.4", linewidth=0.6, zorder=0)
        axes.set_title(title)
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], min_n_ticks=2))
        axes.tick_params(axis="y", length=0)
        axes.grid()
    panels[0].set_yticks(range(len(methods)), reversed(methods))
    panels[0].set_ylim(-0.6, len(methods) - 0.4)
    figure.supxlabel("Test accuracy (%)", fontsize=8)
    return figure


def _draw_rows(
    axes: Axes, rows: pd.DataFrame, methods: Sequence[str], drawn: Mapping[str, Look]
) -> None:
    """Draw accuracies of one cell, each in the row of its method, the first method on top."""
    for _, row in rows.iterrows():
        place = len(methods) - 1 - methods.index(row["method"])
        look = drawn[row["method"]].in_row()
        mean, reach = 100 * row["mean"], interval_of(row["ci95"])
        shown = [[min(reach, mean)], [min(reach, max(0, 100 - mean))]]  # NaN stays NaN
        axes.errorbar(mean, place, xerr=shown, clip_on=False, **look, **BARS)
        for end, arrow, beyond in (
            (0, CARETLEFTBASE, reach > mean),
            (100, CARETRIGHTBASE, reach > 100 - mean),
        ):
            if beyond:
                axes.plot(
                    end,
                    place,
                    marker=arrow,
                    markersize=4,
                    color=look["color"],
                    clip_on=False,
                    linestyle="none",
                )
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, 0), min(high, 100))
