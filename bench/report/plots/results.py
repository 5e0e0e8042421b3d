"""Figures of cost, average ranks, selection rules, and gains by wrapping."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.planning.registry import REFERENCE
from bench.planning.selection import DEFAULT_RULE, ORACLE
from bench.report.agreement import kendall_tau, rankable
from bench.report.leaderboard import methods_in_order
from bench.report.plots.placement import apart, lead, name_points
from bench.report.plots.style import (
    BARS,
    COLUMN,
    CROWD,
    PAGE,
    SELECTED,
    Look,
    Panels,
    entries_of,
    interval_of,
    legend,
    limit_accuracy,
    methods_of,
)
from bench.report.statistics import AverageRanks, pareto_front
from bench.report.wording import rate_title

COST_CAPTION = (
    f"Test accuracy against seconds of training on the device, pretraining included: {SELECTED} "
    "Grey steps: the Pareto front, than which nothing cheaper is as accurate; grey methods on it "
    "are named. Intervals are left out where there are many methods. Points that would hide each "
    "other stand apart, and a thin line leads to a dot at their true place."
)
RANKS_CAPTION = (
    "Average rank over {} cells, by noisy validation accuracy. Thick bars join methods that cannot "
    "be told apart: their ranks differ by no more than Nemenyi's critical difference at 5 %, "
    "{:.1f}, which is the length of the ruler on top (CD).{}"
)
RANKS_ALIKE = " Here one bar joins them all: no two methods can be told apart over so few cells."
RULES_CAPTION = (
    "Points of test accuracy lost to the oracle by following each rule, methods in the order of "
    "the leaderboard. Below each rule Kendall's τ between its ranking and the oracle's."
)
GAINS_CAPTION = (
    "What wrapping adds to the test accuracy of the method that is wrapped: mean and 95 % interval "
    "of the difference, paired over seeds, epoch and configuration of either selected by noisy "
    "validation accuracy."
)


def cost_figure(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Draw accuracy against cost, a panel per noise rate; arguments as in ``accuracy_figure``."""
    known = ranked[ranked["cost_seconds"].notna() & ranked["mean"].notna()]
    methods = methods_of(known, drawn)
    panels = Panels(known, 1.9, entries_of(methods, drawn), share="x")
    low, high = known["cost_seconds"].min(), known["cost_seconds"].max()
    crowded = len(methods) > CROWD  # their intervals would cover the points
    for axes, at_rate in panels.each():
        mean, interval = (100 * at_rate[name].to_numpy(dtype=float) for name in ("mean", "ci95"))
        interval = np.full(len(mean), np.nan) if crowded else interval
        reach = np.nan_to_num(interval)
        margin = max(1.0, 0.05 * np.ptp([mean - reach, mean + reach]))
        # names stand above their points
        axes.set_ylim((mean - reach).min() - margin, (mean + reach).max() + 2 * margin)
        _limit_cost(axes, low, high)
        limit_accuracy(axes)
        coloured = np.array([drawn[method].coloured for method in at_rate["method"]])
        places = at_rate["cost_seconds"].to_numpy(copy=True)
        places[coloured] = apart(
            axes, places[coloured], mean[coloured], interval[coloured], panels.panel
        )
        for place, reach, (_, row) in zip(places, interval, at_rate.iterrows(), strict=True):
            look = drawn[row["method"]]
            lead(axes, row["cost_seconds"], place, 100 * row["mean"], look.color)
            artist = look.artist(line=False) | {"zorder": 3 if look.coloured else 2}
            axes.errorbar(place, 100 * row["mean"], yerr=reach, **artist, **BARS)
        axes.grid()
        front = at_rate[
            pareto_front(at_rate["cost_seconds"].to_numpy(), at_rate["mean"].to_numpy())
        ].sort_values("cost_seconds")
        axes.step(
            [*front["cost_seconds"], axes.get_xlim()[1]],
            [*(100 * front["mean"]), 100 * front["mean"].iloc[-1]],
            where="post",
            color="0.6",
            linewidth=0.8,
            zorder=0,
        )
        grey = front[[not drawn[method].coloured for method in front["method"]]]
        name_points(
            axes,
            list(grey["method"]),
            np.column_stack([grey["cost_seconds"], 100 * grey["mean"]]),
            np.column_stack([places, mean]),
            panels.panel,
        )
    panels.label("Training time (s)", "Test accuracy (%)")
    legend(panels.figure, methods, drawn, panels.width, lines=False)
    return panels.figure


def _limit_cost(axes: Axes, low: float, high: float) -> None:
    if low > 0 and high / low > 5:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.5, high * 1.5)
        decades = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
        steps = (1, 3) if high / low > 50 else (1, 2, 5)
        axes.xaxis.set_major_locator(
            FixedLocator([decade * step for decade in decades for step in steps])
        )
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.15 * high if high > 0 else 1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def ranks_figure(ranks: AverageRanks, drawn: Mapping[str, Look]) -> Figure:
    """Draw a critical-difference diagram, as in Demšar (2006).

    Bars below an axis of ranks join methods within one difference. The axes' x are ranks, their y
    inches.
    """
    methods, values, cliques = list(ranks.ranks.index), ranks.ranks.to_numpy(), ranks.cliques()
    names = [f"{method} ({value:.1f})" for method, value in zip(methods, values, strict=True)]
    half = -(-len(methods) // 2)  # named on the left, the others on the right
    left, right = (0.2 + 0.063 * max(map(len, side)) for side in (names[:half], names[half:]))
    left = max(left, 0.9)  # the axis is named there too
    width = COLUMN if len(methods) <= CROWD and COLUMN - left - right > 1 else PAGE
    longest = max(len(methods) - 1, ranks.critical_difference)
    unit = longest / max(1.0, width - left - right)  # ranks in an inch
    # the axis below the upper edge, and distances of names and of bars
    axis, row, level = 0.62, 0.155, 0.06
    first_row = axis + 0.14 + level * len(cliques)
    figure = Figure(figsize=(width, first_row + row * half))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(1 - left * unit, 1 - left * unit + width * unit)
    axes.set_ylim(figure.get_figheight(), 0)

    _rank_axis(axes, len(methods), axis, unit)
    _difference_ruler(axes, ranks.critical_difference)
    for number, (first, last) in enumerate(cliques):
        y = axis + 0.08 + level * number
        ends = [values[first] - 0.03 * unit, values[last] + 0.03 * unit]
        axes.plot(ends, [y, y], color="black", linewidth=2, solid_capstyle="butt", zorder=3)
    for place, (method, name, value) in enumerate(zip(methods, names, values, strict=True)):
        best = place < half
        y = first_row + row * (place if best else len(methods) - 1 - place)
        x = 1 - 0.05 * unit if best else len(methods) + 0.05 * unit
        look = drawn[method].in_row()
        axes.plot(
            [value, value, x],
            [axis, y, y],
            color=look["color"] if drawn[method].coloured else "0.6",
            linewidth=0.7,
        )
        axes.plot(x, y, **look)
        away = -0.06 * unit if best else 0.06 * unit
        axes.text(x + away, y, name, ha="right" if best else "left", va="center", fontsize=7.5)
    return figure


def _rank_axis(axes: Axes, count: int, height: float, unit: float) -> None:
    """Draw the axis of ``count`` ranks, of which ``unit`` are an inch long."""
    axes.plot([1, count], [height, height], color="black", linewidth=0.8)
    labelled = MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]).tick_values(1, count)
    labelled = [1, *(tick for tick in labelled if 1 < tick <= count)]
    for tick in range(1, count + 1):
        length = 0.06 if tick in labelled else 0.03
        axes.plot([tick, tick], [height, height - length], color="black", linewidth=0.6)
        if tick in labelled:
            axes.text(tick, height - 0.08, str(tick), ha="center", va="bottom", fontsize=7.5)
    axes.text(1 - 0.1 * unit, height, "Average rank", ha="right", va="center")


def _difference_ruler(axes: Axes, difference: float) -> None:
    height, end = 0.24, 1 + difference
    axes.plot([1, end], [height, height], color="black", linewidth=0.8)
    for place in (1, end):
        axes.plot([place, place], [height - 0.04, height + 0.04], color="black", linewidth=0.8)
    middle, text = (1 + end) / 2, f"CD = {difference:.1f}"
    axes.text(middle, height - 0.04, text, ha="center", va="bottom", fontsize=7.5)


def rules_figure(lost: pd.DataFrame, cells: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw regrets as heat maps: a panel per noise rate, a row per method, a column per rule.

    Args:
        lost: one group's rows from ``statistics.regrets``.
        cells: the leaderboard's rows by cell, under all rules.
    """
    methods = methods_in_order(lost[lost["rule"] == DEFAULT_RULE])
    rates, rules = sorted(set(lost["noise_rate"])), rankable(lost)
    # A column takes 0.55 inch; more rates than fit on a page stand below each other.
    across = min(len(rates), max(1, int((PAGE - 1.6) / (0.55 * len(rules)))))
    lines = -(-len(rates) // across)
    width = min(PAGE, max(COLUMN, 1.6 + 0.55 * len(rules) * across))
    figure = Figure(figsize=(width, lines * (0.75 + 0.15 * len(methods))), layout="constrained")
    grid = figure.subplots(lines, across, squeeze=False)
    for axes in grid.flat[len(rates) :]:
        axes.set_visible(False)
    span = max(1.0, 100 * lost["regret"].max())
    for number, (axes, rate) in enumerate(zip(grid.flat, rates, strict=False)):
        at_rate = lost[lost["noise_rate"] == rate]
        _rules_panel(axes, at_rate, cells[at_rate["cell"].iloc[0]], methods, rules, span)
        axes.set_title(rate_title(rate))
        axes.set_yticks(
            range(len(methods)), methods if number % across == 0 else [""] * len(methods)
        )
    if len(methods) > 10:  # the numbers of a short figure need no scale
        colors = ScalarMappable(Normalize(0, span), "cividis_r")
        bar = figure.colorbar(
            colors, ax=grid, fraction=0.03, pad=0.015, label="Points lost to the oracle"
        )
        bar.ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        bar.outline.set_visible(False)
    return figure


def _rules_panel(
    axes: Axes,
    lost: pd.DataFrame,
    cell: pd.DataFrame,
    methods: Sequence[str],
    rules: Sequence[str],
    span: float,
) -> None:
    """Draw the regrets of one cell, and below each rule its agreement with the oracle.

    Args:
        lost: regrets of the cell.
        cell: rows of the leaderboard, by all rules.
        span: regret of the darkest colour, in points.
    """
    table = lost.pivot(index="method", columns="rule", values="regret")
    values = 100 * table.reindex(index=methods, columns=rules).to_numpy(dtype=float)
    axes.imshow(values, cmap="cividis_r", aspect="auto", vmin=0, vmax=span)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if value > 0.55 * span else "black"
            axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=7, color=color)
    means = cell.pivot(index="method", columns="rule", values="mean")
    means = means.reindex(columns=[*rules, ORACLE])
    labels = []
    for rule in rules:
        tau = kendall_tau(means[rule].to_numpy(), means[ORACLE].to_numpy())
        name = fill(rule.replace(":", " "), 9)  # a column's width
        labels.append(name if np.isnan(tau) else f"{name}\nτ {tau:.2f}")
    axes.set_xticks(range(len(rules)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def gains_figure(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure | None:
    """Draw the gain of each wrapped method over the method alone, a panel per noise rate.

    Returns None where all methods wrap the reference: these gains are in the leaderboard.
    """
    known = ranked[ranked["gain"].notna()]
    if set(known["wraps"]) <= {REFERENCE}:
        return None
    methods = sorted(
        set(known["method"]),
        key=lambda method: (-known.loc[known["method"] == method, "gain"].mean(), method),
    )
    panels = Panels(known, 0.4 + 0.17 * len(methods), share="x")
    panels.rows(methods)
    for axes, at_rate in panels.each():
        for place, method in enumerate(reversed(methods)):
            for _, row in at_rate[at_rate["method"] == method].iterrows():
                interval = interval_of(
                    [[row["gain"] - row["gain_ci_low"]], [row["gain_ci_high"] - row["gain"]]]
                )
                axes.errorbar(
                    100 * row["gain"], place, xerr=interval, **drawn[method].in_row(), **BARS
                )
        axes.axvline(0, color="0.4", linewidth=0.6)
    panels.label("Points gained", "")
    return panels.figure
