"""Figures of searches: expected best, importance, tunability, and picks beside the best."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bench.report.metrics import ACCURACY
from bench.report.plots.style import (
    BARS,
    COLUMN,
    PAGE,
    Look,
    Panels,
    legend,
    legend_columns,
    legend_height,
    limit_accuracy,
    looks,
    methods_of,
    noise_title,
)
from bench.report.searches.budgets import shown_numbers
from bench.report.searches.importance import ALONE, EVALUATORS, UNKNOWN
from bench.report.searches.trials import short_names
from bench.report.wording import rate_title

BUDGETS_CAPTION = (
    "Expected test accuracy of the configuration that noisy validation picks among n: the first "
    "one and n − 1 of the others, mean over all orders of the configurations tried, with the 95 % "
    "bootstrap interval over configurations. Thin dashed lines: the search in its own order. Above "
    "by the number of configurations, below by seconds of training, both on logarithmic scales."
)
IMPORTANCE_CAPTION = (
    "Importance of hyper-parameters in searches, as shares of 100 %, with 95 % bootstrap intervals "
    "over configurations. Dotted: an equal share for all. Where the interval contains it, the "
    "marker is hollow: importance cannot be told. Black: mean over noise rates."
)
TUNABILITY_CAPTION = (
    "Tunability: test accuracy that the tuned configuration gains over the first one, which is "
    "that of the defaults; mean and 95 % interval of the difference, paired over the leaderboard's "
    "seeds, epochs selected by noisy validation accuracy."
)
PICKS_CAPTION = (
    "All configurations of the searches, by what the search compared and by test accuracy at the "
    "epoch of best noisy validation accuracy. Large, with a black edge: the pick of a search; "
    "ringed: its best configuration by test accuracy, which nobody can know. Those far below the "
    "others stand at the edge."
)

#: Colours of noise rates, from the lowest to the highest, and their markers.
_RATES = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#5D3A9B")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def lifted(accuracy: np.ndarray) -> np.ndarray:
    """Return accuracies in percent, (N,), with outliers lifted to an edge below the others.

    The edge is three times the distance between the quartiles, and 1 point at least, below the
    lower one.
    """
    low, high = np.nanpercentile(accuracy, [25, 75])
    return np.maximum(accuracy, low - max(3 * (high - low), 1))


def looks_of(labels: Sequence[str], drawn: Mapping[str, Look]) -> Mapping[str, Look]:
    """Return the looks of searches: those of the other figures, where all of them have a colour."""
    if all(label in drawn and drawn[label].coloured for label in labels):
        return {label: look for label, look in drawn.items() if label in set(labels)}
    return looks(labels)


def budgets_figure(budgets: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Draw expected test accuracy against the search budget, a column of panels per noise rate.

    Args:
        budgets: one group's rows of ``Board.budgets``.
        drawn: from ``looks_of``.
    """
    rates = sorted(budgets["noise_rate"].unique())
    methods = methods_of(budgets, drawn)
    width = COLUMN + 0.6 if len(rates) == 1 else PAGE
    height = 4.2 + legend_height(methods, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(2, len(rates), squeeze=False, sharey="col", sharex="row")
    for rate, column in zip(rates, grid.T, strict=True):
        at_rate = budgets[budgets["noise_rate"] == rate]
        column[0].set_title(noise_title(rate, budgets))
        for axes, x in zip(column, ("configurations", "seconds"), strict=True):
            for method in methods:
                rows = at_rate[at_rate["method"] == method].sort_values("configurations")
                if len(rows):
                    _budget_line(axes, rows, x, drawn[method])
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.grid(axis="y")
        _limit_to_lines(column[0], at_rate)
        limit_accuracy(column[0])
        column[0].xaxis.set_major_locator(
            FixedLocator(shown_numbers(int(at_rate["configurations"].max())))
        )
        column[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        column[1].xaxis.set_major_locator(_seconds_locator(budgets["seconds"]))
        column[1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        column[0].set_xlabel("Configurations")
        column[1].set_xlabel("Seconds of training")
    for axes in grid[:, 0]:
        axes.set_ylabel("Expected test accuracy (%)")
    legend(figure, methods, drawn, width)
    return figure


def _seconds_locator(seconds: pd.Series) -> LogLocator:
    """Return ticks at powers of ten, or closer ones where fewer than two lie in the range."""
    low, high = np.log10(seconds.min()), np.log10(seconds.max())
    return LogLocator(subs=(1, 2, 5) if np.floor(high) - np.ceil(low) < 1 else (1,))


def _budget_line(axes: Axes, rows: pd.DataFrame, x: str, look: Look) -> None:
    shown = rows["configurations"].isin(shown_numbers(int(rows["configurations"].max())))
    artist = look.artist() | {"markevery": np.flatnonzero(shown).tolist()}
    axes.plot(rows[x], 100 * rows["test"], **artist)
    low, high = 100 * rows["test_low"], 100 * rows["test_high"]
    axes.fill_between(rows[x], low, high, color=look.color, alpha=0.13, linewidth=0)
    own_order: dict[str, Any] = {"color": look.color, "linewidth": 0.6, "linestyle": (0, (2, 1.5))}
    axes.step(rows[x], 100 * rows["test_so_far"], where="post", **own_order)


def _limit_to_lines(axes: Axes, rows: pd.DataFrame) -> None:
    """Show all of the intervals, whatever matplotlib's margins do to filled areas."""
    columns = ["test", "test_low", "test_high", "test_so_far"]
    low, high = 100 * rows[columns].min().min(), 100 * rows[columns].max().max()
    room = 0.05 * max(high - low, 1)
    axes.set_ylim(low - room, high + room)


def importance_figure(importance: pd.DataFrame) -> Figure:
    """Draw importance: a line of panels per search, a column per evaluator.

    Args:
        importance: one group's rows of ``Board.importance``.
    """
    shown = importance[importance["verdict"] != ALONE]
    methods = list(shown["method"].drop_duplicates())
    rates = sorted(shown["noise_rate"].dropna().unique())
    names = {method: _names(shown[shown["method"] == method]) for method in methods}
    heights = [0.35 + 0.14 * len(names[method]) * min(5, 1 + len(rates)) for method in methods]
    labels = [*map(rate_title, rates), "mean"]
    figure = Figure(
        figsize=(PAGE, sum(heights) + 0.5 + legend_height(labels, PAGE)), layout="constrained"
    )
    grid = figure.subplots(
        len(methods), len(EVALUATORS), squeeze=False, sharex=True, height_ratios=heights
    )
    for method, line in zip(methods, grid, strict=True):
        for evaluator, axes in zip(EVALUATORS, line, strict=True):
            rows = shown[(shown["method"] == method) & (shown["evaluator"] == evaluator)]
            _importances(axes, rows, names[method], rates)
        short = short_names(names[method])
        line[0].set_yticks(range(len(short)), [*reversed(short.values())])
        line[1].set_yticks(range(len(short)), [""] * len(short))
        line[0].set_title(method, loc="left", fontweight="bold")
    for evaluator, top, bottom in zip(EVALUATORS, grid[0], grid[-1], strict=True):
        top.set_title(evaluator, loc="right")
        bottom.set_xlabel("Importance (%)")
    handles = [
        Line2D([], [], linestyle="none", marker=_MARKERS[n % 7], color=_RATES[n % 7], label=label)
        for n, label in enumerate(labels[:-1])
    ]
    handles.append(Line2D([], [], linestyle="none", marker="d", color="black", label=labels[-1]))
    figure.legend(
        handles=handles if len(rates) > 1 else handles[:1],
        loc="outside lower center",
        ncols=legend_columns(labels, PAGE),
    )
    return figure


def _names(rows: pd.DataFrame) -> list[str]:
    """Return hyper-parameters of a search, the most important first."""
    means = rows.groupby("hyper_parameter", sort=False)["importance"].mean()
    return list(means.sort_values(ascending=False, kind="stable").index)


def _importances(
    axes: Axes, rows: pd.DataFrame, names: Sequence[str], rates: Sequence[float]
) -> None:
    count = len(rates) + (len(rates) > 1)
    for row in rows.to_dict("records"):
        over_all = row["cells"] > 1
        number = len(rates) if over_all else rates.index(row["noise_rate"])
        color = "black" if over_all else _RATES[number % len(_RATES)]
        marker = "d" if over_all else _MARKERS[number % len(_MARKERS)]
        place = len(names) - 1 - names.index(row["hyper_parameter"])
        y = place + 0.7 * ((count - 1) / 2 - number) / max(1, count)
        axes.plot(
            [100 * row["low"], 100 * row["high"]], [y, y], color=color, linewidth=0.9, zorder=2
        )
        face = "white" if row["verdict"] == UNKNOWN else color
        point: dict[str, Any] = {
            "color": color,
            "markerfacecolor": face,
            "markeredgewidth": 0.9,
            "markersize": 4,
        }
        axes.plot([100 * row["importance"]], [y], linestyle="none", marker=marker, **point)
    for edge in np.arange(len(names) - 1) + 0.5:
        axes.axhline(edge, color="0.9", linewidth=0.5)
    axes.axvline(100 / len(names), color="0.5", linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=1)
    axes.set_ylim(-0.5, len(names) - 0.5)
    axes.set_xlim(-2, 102)
    axes.tick_params(axis="y", length=0)


def tunability_figure(tunability: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Draw gains of tuned configurations, a panel per noise rate and a row per search.

    Args:
        tunability: one group's rows of ``Board.tunability``, of single cells.
        drawn: from ``looks_of``.
    """
    gains = tunability.groupby("method")["gain"].mean().sort_values(ascending=False, kind="stable")
    methods = list(gains.index)
    panels = Panels(tunability, 0.5 + 0.2 * len(methods), share="x")
    panels.rows(methods)
    for axes, at_rate in panels.each():
        axes.axvline(0, color="0.5", linewidth=0.7)
        for row in at_rate.to_dict("records"):
            place = len(methods) - 1 - methods.index(row["method"])
            gain = 100 * row["gain"]
            reach = [[gain - 100 * row["gain_low"]], [100 * row["gain_high"] - gain]]
            axes.errorbar(gain, place, xerr=reach, **drawn[row["method"]].in_row(), **BARS)
    panels.label("Gain in test accuracy (points)", "")
    return panels.figure


def picks_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Draw all configurations by the search's value and by test accuracy, a panel per noise rate.

    Args:
        trials: one group's rows of ``Board.search_trials``.
        drawn: from ``looks_of``.
    """
    methods = methods_of(trials, drawn)
    panels = Panels(trials, 2.1, methods)
    for axes, at_rate in panels.each():
        shown = at_rate.assign(
            x=lifted(100 * at_rate["value"].to_numpy(dtype=float)),
            y=lifted(100 * at_rate[ACCURACY.name].to_numpy(dtype=float)),
        )
        for method in methods:
            tried = shown[shown["method"] == method]
            if tried.empty:
                continue
            x, y = tried["x"], tried["y"]
            look = drawn[method].artist(line=False)
            axes.plot(x, y, **look | {"markersize": 3, "alpha": 0.55})
            picked, best = (tried["place"] == 0).to_numpy(), int(np.argmax(y.to_numpy()))
            edge: dict[str, Any] = {"markeredgecolor": "black", "markeredgewidth": 0.9, "zorder": 4}
            axes.plot(x[picked], y[picked], **look | edge | {"markersize": 7})
            ring: dict[str, Any] = {
                "marker": "o",
                "markerfacecolor": "none",
                "markersize": 8,
                "zorder": 3,
            }
            axes.plot(x.iloc[best], y.iloc[best], markeredgecolor=drawn[method].color, **ring)
        axes.grid()
    goals = set(trials["goal"])
    what = "Noisy validation" if goals == {"noisy-val"} else "Accuracy that the search compared"
    panels.label(f"{what} (%)", "Test accuracy (%)")
    legend(panels.figure, methods, drawn, panels.width, lines=False)
    return panels.figure
