"""Figures of a leaderboard: PNG and SVG, at the width of a paper's column or page, readable in grey.

A method has the same colour, marker and line style in all figures of a report. Equal records give equal SVG files.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.records import write_atomically
from bench.registry import REFERENCE
from bench.selection import DEFAULT_RULE
from bench.statistics import ORACLE, AverageRanks, average_ranks, kendall_tau, pareto_front, rankable, regrets
from bench.tables import group_title, methods_in_order, rate_title
from bench.tracks import APART

FORMATS = ("png", "svg")
DPI = 200

#: Widths of a column and of a page, in inches.
COLUMN, PAGE = 3.4, 7.0

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.4,
    "svg.hashsalt": "bench",
}

# Okabe and Ito's palette for all kinds of colour vision, without its yellow, which is lost on white. Black is the reference's.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))

#: Distance between the markers of two methods at one noise rate, and what axes leave for labels: inches.
_SIDE_BY_SIDE, _MARGIN = 0.09, 0.55
#: Distance that keeps markers and intervals legible: points.
_GAP = 6.5
#: With more methods than that their intervals would cover the points of a cost figure.
_WITH_INTERVALS = 12

_BARS: dict[str, Any] = {"elinewidth": 0.8, "capsize": 1.6, "capthick": 0.8}


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    color: str
    marker: str
    line: Any
    size: float = 5.2  # in points

    def artist(self, line: bool = True) -> dict[str, Any]:
        """Arguments of matplotlib for a line with markers, or for markers only."""
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.3}
        linestyle = self.line if line else "none"
        return {"color": self.color, "marker": self.marker, "markersize": self.size, "linestyle": linestyle, **edge}


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look for each method: the reference in black, the others in the order of their names."""
    others = [method for method in sorted(set(methods)) if method != REFERENCE]
    found = {REFERENCE: Look("black", "*", (0, (2, 1.2)), 8)} if REFERENCE in methods else {}
    for number, method in enumerate(others):
        # The numbers of colours, markers and lines share no divisor: their combination does not repeat for long.
        look = (sequence[number % len(sequence)] for sequence in (_COLORS, _MARKERS, _LINES))
        found[method] = Look(*look)
    return found


@contextmanager
def style() -> Iterator[None]:
    """Context in which these figures are made and saved: the same whatever a user's own settings say."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def figures(rows: pd.DataFrame, board: pd.DataFrame, tried: pd.DataFrame) -> dict[str, tuple[Figure, str]]:
    """All figures of a report with their captions, by name.

    Args:
        rows: the trials' rows of the chosen configurations, from ``leaderboard.chosen_rows``.
        board: from ``leaderboard.leaderboard``.
        tried: from ``leaderboard.configurations``.
    """
    shown = board[~board["track"].isin(APART)]
    lost = regrets(shown)
    alike = {cell: own for cell, own in shown.groupby("cell", sort=False)}
    rows, board, tried = (table[table["rule"] == DEFAULT_RULE] for table in (rows, board, tried))
    plain_rows, plain_board, tried = (table[~table["track"].isin(APART)] for table in (rows, board, tried))
    drawn = looks(list(plain_board["method"]))
    found: dict[str, tuple[Figure, str]] = {}
    names: set[str] = set()
    with style():
        if ranks := average_ranks(plain_board):
            found["all-ranks"] = ranks_figure(ranks, drawn), RANKS_CAPTION.format(ranks.cells, ranks.critical_difference)
        for group, everything in board.groupby("group", sort=False):
            name, title = _name(everything.iloc[0], names), group_title(everything)
            ranked = plain_board[plain_board["group"] == group]
            trials = plain_rows[(plain_rows["group"] == group) & ~plain_rows["failed"]]
            if len(ranked):
                found[f"{name}-accuracy"] = accuracy_figure(ranked, drawn), f"{title}. {ACCURACY_CAPTION}"
            if len(trials):
                found[f"{name}-curves"] = curves_figure(trials, drawn), f"{title}. {CURVES_CAPTION}"
                if learning := learning_figure(trials, drawn):
                    found[f"{name}-learning"] = learning, f"{title}. {LEARNING_CAPTION}"
                if features := features_figure(trials, drawn):
                    found[f"{name}-features"] = features, f"{title}. {FEATURES_CAPTION}"
            if ranked["cost_seconds"].notna().any():
                found[f"{name}-cost"] = cost_figure(ranked, drawn), f"{title}. {COST_CAPTION}"
            found[f"{name}-rules"] = rules_figure(lost[lost["group"] == group], alike), f"{title}. {RULES_CAPTION}"
            if gains := gains_figure(ranked, drawn):
                found[f"{name}-gains"] = gains, f"{title}. {GAINS_CAPTION}"
            asked = tried[(tried["group"] == group) & tried["track"].isin(["default", "given"])]
            for method, configs in asked.groupby("method"):
                if sweep := sweep_figure(configs):
                    found[f"{name}-sweep-{_slug(str(method))}"] = sweep, f"{title}, {method}. {SWEEP_CAPTION}"
            for (method, search), losses in transfer_losses(rows[rows["group"] == group]).items():
                caption = f"{title}, {method} ({search}). {TRANSFER_CAPTION}"
                found[f"{name}-transfer-{_slug(f'{method} {search}')}"] = transfer_figure(losses, everything), caption
            if (everything["track"] == "misspecified").any():
                found[f"{name}-misspecified"] = misspecified_figure(everything), f"{title}. {MISSPECIFIED_CAPTION}"
    return found


def write_plots(rows: pd.DataFrame, board: pd.DataFrame, tried: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Write all figures in all formats below ``folder``; returns their captions by name. Arguments as in ``figures``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = figures(rows, board, tried)
    for name, (figure, _) in made.items():
        for kind in FORMATS:
            write_atomically(folder / f"{name}.{kind}", render(figure, kind))
    return {name: caption for name, (_, caption) in made.items()}


def render(figure: Figure, kind: str) -> bytes:
    """The figure as "png" or "svg"."""
    buffer = io.BytesIO()
    with style():
        # Without these a file says when, and by which version, it was made.
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _name(first: pd.Series, taken: set[str]) -> str:
    base = _slug(f"{first['dataset']}-{first['noise_kind']}")
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name


_SELECTED = "mean and 95 % interval over seeds, epoch and configuration selected by noisy validation accuracy."
ACCURACY_CAPTION = f"Test accuracy by noise rate: {_SELECTED} Rates too close for all methods are drawn at equal distances."
COST_CAPTION = (
    f"Test accuracy against seconds of training on the device, pretraining included: {_SELECTED} Grey steps: the Pareto "
    "front, than which nothing cheaper is as accurate. Intervals are left out where there are many methods. Points that would "
    "hide each other stand apart, and a thin line leads to their true place."
)
RANKS_CAPTION = (
    "Average rank over {} cells, by noisy validation accuracy. Bars join methods that cannot be told apart: their ranks "
    "differ by no more than Nemenyi's critical difference at 5 %, {:.1f}."
)
RULES_CAPTION = (
    "Points of test accuracy lost to the oracle by following each rule, methods in the order of the leaderboard. Below each "
    "rule Kendall's τ between its ranking and the oracle's."
)
CURVES_CAPTION = (
    "Test accuracy while training: mean over seeds, and the range from the worst to the best seed. Markers: median epoch that "
    "noisy validation accuracy selects; those that would hide each other stand apart, and a thin line leads to their true "
    "place. Failed trials are left out."
)
GAINS_CAPTION = (
    "What wrapping adds to the test accuracy of the method that is wrapped: mean and 95 % interval of the difference, paired "
    "over seeds, epoch and configuration of either selected by noisy validation accuracy."
)
LEARNING_CAPTION = (
    "Learning from wrong labels, mean over seeds. Memorised: mislabelled training samples that the network predicts as "
    "labelled. Labels corrected: training samples whose corrected target is highest at the true class; the dotted line is the "
    "share of noisy labels that are right. Wrong labels found: area under the ROC curve of the clean probabilities. Only "
    "methods that have such targets or probabilities are in the lower rows."
)
FEATURES_CAPTION = (
    "How far apart the final network's features of the test images lie by true class: mean silhouette, and accuracy of the "
    "vote of ten neighbours; mean over seeds."
)
SWEEP_CAPTION = (
    "Test accuracy (%) of its configurations at the epoch that noisy validation accuracy selects, mean over seeds; colours "
    "show the distance to the panel's best, in points. Framed: the configuration of best noisy validation accuracy, which is "
    "the one reported."
)

TRANSFER_CAPTION = (
    "What it costs to use, at one noise rate, the configuration that was tuned at another: difference in test accuracy, in "
    "points, to the one tuned there, mean over paired seeds; epochs selected by noisy validation accuracy."
)
MISSPECIFIED_CAPTION = (
    "Test accuracy of methods that read the noise rate, by how wrong it is: the true rate times a factor. Mean and 95 % "
    "interval over seeds, epoch selected by noisy validation accuracy."
)


def accuracy_figure(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Accuracy against noise rate, a line a method; of one rate only, a row a method.

    Args:
        ranked: one group's rows of the leaderboard, under one rule.
        drawn: from ``looks``.
    """
    if ranked["noise_rate"].nunique() == 1:
        return _accuracy_rows(ranked, drawn)
    methods = _methods(ranked, drawn)
    rates = sorted(set(ranked["noise_rate"]))
    # Side by side, so that markers and intervals do not hide each other.
    group = _SIDE_BY_SIDE * len(methods)
    width = COLUMN if 1.5 * group * len(rates) < COLUMN - _MARGIN else PAGE
    room = (width - _MARGIN) / 1.1 - group  # in inches, from the first rate to the last one
    places = room * (np.array(rates) - rates[0]) / (rates[-1] - rates[0])
    if np.diff(places).min() < 1.5 * group:  # not to scale, where a point could seem to belong to the next rate
        places = np.linspace(0, room, len(rates))
    step = min(_SIDE_BY_SIDE, 0.7 * np.diff(places).min() / len(methods))
    figure = Figure(figsize=(width, 2.4 + _legend_height(methods, width)), layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(methods):
        own = ranked[ranked["method"] == method].sort_values("noise_rate")
        x = places[[rates.index(rate) for rate in own["noise_rate"]]] + (number - (len(methods) - 1) / 2) * step
        axes.errorbar(x, 100 * own["mean"], yerr=_interval(own["ci95"]), **drawn[method].artist(), **_BARS)
    axes.set_xticks(places, [f"{100 * rate:g}" for rate in rates])
    axes.set_xlabel(_rate_label(ranked))
    axes.set_ylabel("Test accuracy (%)")
    _limit_accuracy(axes)
    axes.grid(axis="y")
    _legend(figure, methods, drawn, width)
    return figure


def _accuracy_rows(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    ordered = ranked.sort_values(["mean", "method"])
    figure = Figure(figsize=(COLUMN, 0.75 + 0.22 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    for place, (_, row) in enumerate(ordered.iterrows()):
        look = drawn[row["method"]].artist(line=False)
        axes.errorbar(100 * row["mean"], place, xerr=_interval(row["ci95"]), **look, **_BARS)
    axes.set_yticks(range(len(ordered)), list(ordered["method"]))
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_xlabel(f"Test accuracy (%) at {_noise_title(ordered['noise_rate'].iloc[0], ordered)}")
    axes.grid(axis="x")
    return figure


def curves_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Test accuracy over epochs, a panel for each noise rate.

    Args:
        trials: one group's rows of trials that did not fail, under one rule.
    """
    methods = _methods(trials, drawn)
    panels = _Panels(trials, 1.9, methods, share="all")
    selected = []
    for axes, at_rate in panels.each():
        markers = {}
        for method in reversed(methods):  # the reference on top: others hug it where they gain nothing
            own = at_rate[at_rate["method"] == method]
            if len(own):
                markers[method] = _curve(axes, own, drawn[method])
        axes.grid(axis="y")
        selected.append((axes, markers))
    longest = max(map(len, trials["test_curve"]))
    for axes, markers in selected:
        axes.set_xlim(1 - 0.03 * longest, longest * 1.03)
        ticks = MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]).tick_values(1, longest)
        axes.set_xticks([1, *(tick for tick in ticks if 0.1 * longest < tick <= longest)])
        x, y = np.array(list(markers.values())).T
        for method, true, place, height in zip(markers, x, _apart(axes, x, y, 0 * y, panels.panel), y, strict=True):
            axes.plot([true, place], [height, height], color=drawn[method].color, linewidth=0.5)
            axes.plot(place, height, zorder=5, **drawn[method].artist())
    panels.label("Epoch", "Test accuracy (%)")
    _legend(panels.figure, methods, drawn, panels.width)
    return panels.figure


def _curve(axes: Axes, own: pd.DataFrame, look: Look) -> tuple[float, float]:
    """Draw one method's curves; returns the point at the selected epoch."""
    curves = list(own["test_curve"])
    # Trials that a scheduler stopped are shorter: beyond the shortest, a mean would jump where a trial drops out.
    length = min(map(len, curves))
    accuracy = 100 * np.stack([curve[:length] for curve in curves])
    epochs, mean = np.arange(1, length + 1), accuracy.mean(0)
    selected = min(int(own["epoch"].median()), length - 1)
    axes.fill_between(epochs, accuracy.min(0), accuracy.max(0), color=look.color, alpha=0.15, linewidth=0)
    axes.plot(epochs, mean, color=look.color, linestyle=look.line, linewidth=1.0)
    return epochs[selected], mean[selected]


_LEARNING = {
    "memorised_wrong": "Memorised (%)",
    "label_correction_accuracy": "Labels corrected (%)",
    "detection_auc": "Wrong labels\nfound (AUC, %)",
}


def learning_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure | None:
    """What networks and targets make of wrong labels over epochs: a column for each noise rate, a line for each figure.

    None where no record says anything of it: no truth, or no noise.
    """
    kinds = [key for key in _LEARNING if any(np.isfinite(curve).any() for curve in trials[f"{key}_curve"])]
    trials = trials[[any(np.isfinite(row[f"{key}_curve"]).any() for key in kinds) for _, row in trials.iterrows()]]
    trials = trials[trials["realised_noise_rate"] > 0]
    if trials.empty:
        return None
    methods = _methods(trials, drawn)
    rates = sorted(set(trials["noise_rate"]))
    width = {1: COLUMN, 2: 5.2}.get(len(rates), PAGE)
    height = 0.35 + 1.35 * len(kinds) + _legend_height(methods, width)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(kinds), len(rates), squeeze=False, sharex=True, sharey="row")
    for (i, key), (j, rate) in product(enumerate(kinds), enumerate(rates)):
        axes, here = grid[i, j], trials[trials["noise_rate"] == rate]
        for method in reversed(methods):
            curves = list(here.loc[here["method"] == method, f"{key}_curve"])
            if curves and any(np.isfinite(curve).any() for curve in curves):
                mean = 100 * np.stack([curve[: min(map(len, curves))] for curve in curves]).mean(0)
                axes.plot(np.arange(1, len(mean) + 1), mean, color=drawn[method].color, linestyle=drawn[method].line, lw=1.0)
                axes.plot(len(mean), mean[-1], clip_on=False, zorder=5, **drawn[method].artist())
        if key == "label_correction_accuracy":
            axes.axhline(100 * (1 - here["realised_noise_rate"].mean()), color="0.4", linestyle=":", linewidth=0.9)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if i == 0:
            axes.set_title(_noise_title(rate, trials))
        if i == len(kinds) - 1:
            axes.set_xlabel("Epoch")
        if j == 0:
            axes.set_ylabel(_LEARNING[key])
    figure.align_ylabels(grid[:, 0])
    _legend(figure, methods, drawn, width)
    return figure


def features_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure | None:
    """Separation of the classes in feature space, a panel for each noise rate; None where no record says it."""
    known = trials[trials["feature_silhouette"].notna() & trials["feature_knn_accuracy"].notna()]
    if known.empty:
        return None
    methods = _methods(known, drawn)
    panels = _Panels(known, 1.9, methods, share="all")
    for axes, at_rate in panels.each():
        means = at_rate.groupby("method")[["feature_knn_accuracy", "feature_silhouette"]].mean()
        for method in reversed(methods):
            if method in means.index:
                across, up = means.loc[method]
                axes.plot(100 * across, up, **drawn[method].artist(line=False))
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.grid()
    panels.label("Neighbours' vote, accuracy (%)", "Silhouette")
    _legend(panels.figure, methods, drawn, panels.width, lines=False)
    return panels.figure


def gains_figure(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure | None:
    """Difference of each wrapped method to the method alone, a panel a noise rate; None where all wrap the reference."""
    known = ranked[ranked["gain"].notna()]
    if set(known["wraps"]) <= {REFERENCE}:
        return None
    methods = sorted(set(known["method"]), key=lambda method: (-known.loc[known["method"] == method, "gain"].mean(), method))
    panels = _Panels(known, 0.4 + 0.17 * len(methods), share="x")
    for axes, at_rate in panels.each():
        for place, method in enumerate(reversed(methods)):
            for _, row in at_rate[at_rate["method"] == method].iterrows():
                interval = _interval([[row["gain"] - row["gain_ci_low"]], [row["gain_ci_high"] - row["gain"]]])
                axes.errorbar(100 * row["gain"], place, xerr=interval, **drawn[method].artist(line=False), **_BARS)
        axes.axvline(0, color="0.4", linewidth=0.6)
        axes.set_yticks(range(len(methods)), reversed(methods))
        axes.set_ylim(-0.6, len(methods) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.grid(axis="x")
    for number, axes in enumerate(panels.grid.flat):
        if number % panels.columns:
            axes.tick_params(labelleft=False)
    panels.label("Points gained", "")
    return panels.figure


def _apart(axes: Axes, x: np.ndarray, y: np.ndarray, interval: np.ndarray, panel: tuple[float, float]) -> np.ndarray:
    """The places ``x``, moved sideways by a few points where markers or intervals would hide each other.

    Args:
        x, y, interval: markers and half-lengths of their error bars, in the units of the axes, whose limits and scale are set.
        panel: width and height of the axes in inches, roughly.
    """
    to_points = axes.transAxes.inverted()
    size = 72 * np.array(panel)

    def points(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return to_points.transform(axes.transData.transform(np.column_stack([x, y]))) * size

    across = points(x, y)[:, 0]
    margin = _GAP / 2
    low = points(x, y - np.nan_to_num(interval))[:, 1] - margin
    high = points(x, y + np.nan_to_num(interval))[:, 1] + margin
    order = np.argsort(across, kind="stable")
    moved = across.copy()
    for _ in range(200):
        touched = False
        for a, b in combinations(order, 2):
            lack = _GAP - (moved[b] - moved[a])
            if low[a] < high[b] and low[b] < high[a] and lack > 0.01:
                moved[a], moved[b], touched = moved[a] - lack / 2, moved[b] + lack / 2, True
        if not touched:
            break
        moved = moved.clip(_GAP / 2, size[0] - _GAP / 2)
    there = axes.transAxes.transform(np.column_stack([moved, np.zeros_like(moved)]) / size)
    return axes.transData.inverted().transform(there)[:, 0]


def cost_figure(ranked: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure:
    """Accuracy against cost, a panel for each noise rate; arguments as in ``accuracy_figure``."""
    known = ranked[ranked["cost_seconds"].notna() & ranked["mean"].notna()]
    methods = _methods(known, drawn)
    panels = _Panels(known, 1.9, methods, share="x")
    low, high = known["cost_seconds"].min(), known["cost_seconds"].max()
    for axes, at_rate in panels.each():
        mean, interval = (100 * at_rate[name].to_numpy(dtype=float) for name in ("mean", "ci95"))
        interval = interval if len(methods) <= _WITH_INTERVALS else np.full(len(mean), np.nan)
        reach = np.nan_to_num(interval)
        margin = max(1.0, 0.05 * np.ptp([mean - reach, mean + reach]))
        axes.set_ylim((mean - reach).min() - margin, (mean + reach).max() + margin)
        _limit_cost(axes, low, high)
        _limit_accuracy(axes)
        places = _apart(axes, at_rate["cost_seconds"].to_numpy(), mean, interval, panels.panel)
        for place, (_, row) in zip(places, at_rate.iterrows(), strict=True):
            look = drawn[row["method"]].artist(line=False)
            axes.plot([row["cost_seconds"], place], [100 * row["mean"]] * 2, color=look["color"], linewidth=0.5)
            shown = row["ci95"] if len(methods) <= _WITH_INTERVALS else np.nan
            axes.errorbar(place, 100 * row["mean"], yerr=_interval(shown), **look, **_BARS)
        axes.grid()
        front = at_rate[pareto_front(at_rate["cost_seconds"].to_numpy(), at_rate["mean"].to_numpy())].sort_values(
            "cost_seconds"
        )
        axes.step(
            [*front["cost_seconds"], axes.get_xlim()[1]],
            [*(100 * front["mean"]), 100 * front["mean"].iloc[-1]],
            where="post",
            color="0.6",
            linewidth=0.8,
            zorder=0,
        )
    panels.label("Training time (s)", "Test accuracy (%)")
    _legend(panels.figure, methods, drawn, panels.width, lines=False)
    return panels.figure


def _limit_cost(axes: Axes, low: float, high: float) -> None:
    if low > 0 and high / low > 5:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.5, high * 1.5)
        decades = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 1)
        steps = (1, 3) if high / low > 50 else (1, 2, 5)
        axes.xaxis.set_major_locator(FixedLocator([decade * step for decade in decades for step in steps]))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.15 * high if high > 0 else 1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def rules_figure(lost: pd.DataFrame, cells: Mapping[str, pd.DataFrame]) -> Figure:
    """Heat map of regrets: a row a method, a panel for each noise rate, a column for each rule.

    Args:
        lost: one group's rows from ``statistics.regrets``.
        cells: the leaderboard's rows by cell, under all rules.
    """
    methods = methods_in_order(lost[lost["rule"] == DEFAULT_RULE])
    rates, rules = sorted(set(lost["noise_rate"])), rankable()
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
        own = lost[lost["noise_rate"] == rate]
        table = own.pivot(index="method", columns="rule", values="regret").reindex(index=methods, columns=rules)
        values = 100 * table.to_numpy(dtype=float)
        means = cells[own["cell"].iloc[0]].pivot(index="method", columns="rule", values="mean")
        axes.imshow(values, cmap="cividis_r", aspect="auto", vmin=0, vmax=span)
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "white" if value > 0.55 * span else "black"
                axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=7, color=color)
        taus = [kendall_tau(means[rule].to_numpy(), means[ORACLE].to_numpy()) for rule in rules]
        labels = [rule if np.isnan(tau) else f"{rule}\nτ {tau:.2f}" for rule, tau in zip(rules, taus, strict=True)]
        axes.set_xticks(range(len(rules)), labels)
        axes.set_yticks(range(len(methods)), methods if number % across == 0 else [""] * len(methods))
        axes.set_title(rate_title(rate))
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    if len(methods) > 10:  # the numbers of a short figure need no scale
        colors = ScalarMappable(Normalize(0, span), "cividis_r")
        bar = figure.colorbar(colors, ax=grid, fraction=0.03, pad=0.015, label="Points lost to the oracle")
        bar.ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        bar.outline.set_visible(False)
    return figure


def ranks_figure(ranks: AverageRanks, drawn: Mapping[str, Look]) -> Figure:
    """Average ranks, a row a method, with bars that join those within one critical difference."""
    methods, values, cliques = list(ranks.ranks.index), ranks.ranks.to_numpy(), ranks.cliques()
    figure = Figure(figsize=(COLUMN, 0.8 + 0.16 * len(methods)), layout="constrained")
    axes = figure.subplots()
    for place, (method, value) in enumerate(zip(methods, values, strict=True)):
        axes.plot([1, value], [place, place], color="0.88", linewidth=0.8, zorder=0)
        axes.plot(value, place, **drawn[method].artist(line=False))
    step = 0.04 * len(methods)
    for number, (first, last) in enumerate(cliques):
        x = len(methods) + step * (number + 0.5)
        axes.plot([x, x], [first - 0.25, last + 0.25], color="black", linewidth=2, solid_capstyle="butt")
    axes.set_xlim(0.5, len(methods) + step * (len(cliques) + 0.5))
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_yticks(range(len(methods)), methods)
    axes.tick_params(axis="y", length=0)
    ticks = MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]).tick_values(1, len(methods))
    axes.set_xticks([1, *(tick for tick in ticks if 1 < tick <= len(methods))])
    axes.set_xlabel("Average rank")
    axes.grid(axis="x")
    return figure


_CELLS, _FRAME, _FRAMED = "test accuracy (%)", "best noisy validation accuracy", "#D55E00"


def sweep_figure(configs: pd.DataFrame) -> Figure | None:
    """Heat maps over the settings that were swept, a panel for each noise rate; None where none was.

    Settings that always change together are one axis. Of more than two axes those two are shown of which most
    combinations were run, and of the others the values of best score.

    Args:
        configs: one method's rows of the configurations of one group, under one rule.
    """
    axes_of_sweep = swept(configs)
    if not axes_of_sweep:
        return None
    table = configs.assign(**{key: [json.loads(text)[key] for text in configs["hparams"]] for key in axes_of_sweep.values()})
    names = sorted(axes_of_sweep, key=lambda name: (-table[axes_of_sweep[name]].nunique(), name))  # the longer one across
    pairs = list(combinations(names, 2))
    if pairs:  # the two of which most combinations were run
        names = list(max(pairs, key=lambda pair: len(table[[axes_of_sweep[name] for name in pair]].drop_duplicates())))
    x_name, y_name = names[0], names[1] if len(names) > 1 else None
    x, y = axes_of_sweep[x_name], axes_of_sweep[y_name] if y_name else None
    columns = _ordered(table[x])
    lines = _ordered(table[y]) if y else [None]
    panels = _Panels(table, 0.6 + 0.25 * len(lines), [_CELLS, _FRAME])
    maps = [_map(at_rate, (y, lines), (x, columns)) for _, at_rate in panels.each()]
    span = max(1.0, *(np.nanmax(values) - np.nanmin(values) for values, _ in maps))
    for (axes, _), (values, chosen) in zip(panels.each(), maps, strict=True):
        image = _heat_map(axes, values, chosen, span)
        axes.set_xticks(range(len(columns)), [_text(value) for value in columns])
        axes.set_yticks(range(len(lines)), [_text(value) for value in lines] if y else [""])
    panels.label(_axis_label(x_name), _axis_label(y_name) if y_name else "")
    frame = Rectangle((0, 0), 1, 1, fill=False, edgecolor=_FRAMED, linewidth=1.4)
    number = Line2D([], [], linestyle="none", marker="$98.7$", markersize=14, color="black", markeredgewidth=0.2)
    panels.figure.legend(
        handles=[number, frame],
        labels=[_CELLS, _FRAME],
        loc="outside lower center",
        ncols=_legend_columns([_FRAME] * 2, panels.width),
    )
    if y:  # a single line of numbers needs no scale
        bar = panels.figure.colorbar(image, ax=panels.grid, fraction=0.03, pad=0.015, label="Points to best")
        bar.ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        bar.outline.set_visible(False)
    return panels.figure


def swept(configs: pd.DataFrame) -> dict[str, str]:
    """Settings that differ between configurations: label of the axis -> one of the settings that it stands for."""
    settings = [json.loads(text) for text in dict.fromkeys(configs["hparams"])]
    found: dict[tuple[str, ...], list[str]] = {}
    for key in settings[0]:
        values = tuple(json.dumps(setting.get(key)) for setting in settings)
        if len(set(values)) > 1:
            found.setdefault(values, []).append(key)
    labels = {}
    for keys in found.values():
        short = {key.rpartition(".")[2] for key in keys}
        label = short.pop() if len(short) == 1 else " = ".join(keys)
        labels[keys[0] if label in labels else label] = keys[0]
    return labels


def _map(
    at_rate: pd.DataFrame, rows: tuple[str | None, list[Any]], columns: tuple[str, list[Any]]
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Accuracies in percent (rows, columns), each of the configuration of best score there; position of the chosen one."""
    (y, lines), (x, across) = rows, columns
    values = np.full((len(lines), len(across)), np.nan)
    chosen = None
    for (i, line), (j, value) in product(enumerate(lines), enumerate(across)):
        here = at_rate[(at_rate[x] == value) & (at_rate[y] == line if y else True)]
        if len(here):
            best = here.sort_values(["chosen", "score"], ascending=False, kind="stable").iloc[0]
            values[i, j] = 100 * best["mean"]
            chosen = (i, j) if best["chosen"] else chosen
    return values, chosen


def _heat_map(axes: Axes, values: np.ndarray, chosen: tuple[int, int] | None, span: float) -> AxesImage:
    """Colours say how far a cell is from the panel's best, on a scale of ``span`` points that all panels share."""
    below = values - np.nanmax(values)
    image = axes.imshow(below, cmap="cividis", aspect="auto", vmin=-span, vmax=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "black" if below[i, j] > -0.45 * span else "white"
            axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=7, color=color)
    if chosen:
        i, j = chosen
        axes.add_patch(Rectangle((j - 0.46, i - 0.44), 0.92, 0.88, fill=False, edgecolor=_FRAMED, linewidth=1.4))
    return image


def transfer_losses(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Differences in test accuracy, in points, of what was tuned at a rate (rows) where it was used (columns).

    Args:
        rows: one group's rows of trials, under one rule.

    Returns:
        A table for each method and search that transfers.
    """
    found = {}
    for (method, search), own in rows[rows["track"] == "transfer"].groupby(["name", "search"]):
        seeds = ["noise_rate", "noise_seed", "split_seed", "train_seed"]
        there = own.loc[own["tuned_at"] == own["noise_rate"], [*seeds, "test_accuracy"]]
        pairs = own.merge(there, on=seeds, suffixes=("", "_tuned_there"))
        pairs["loss"] = 100 * (pairs["test_accuracy"] - pairs["test_accuracy_tuned_there"])
        found[str(method), str(search)] = pairs.pivot_table("loss", "tuned_at", "noise_rate")
    return found


def transfer_figure(losses: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """A matrix of ``transfer_losses``; ``table`` says of which noise."""
    size = len(losses)
    figure = Figure(figsize=(COLUMN, 0.9 + 0.3 * size), layout="constrained")
    axes = figure.subplots()
    span = max(1.0, float(np.nanmax(np.abs(losses.to_numpy()))))
    image = axes.imshow(losses, cmap="PuOr", aspect="auto", vmin=-span, vmax=span)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(losses.to_numpy()):
        color = "white" if abs(value) > 0.65 * span else "black"
        text = "0" if i == j else f"{value:+.1f}".replace("-", "−")
        axes.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(size), [rate_title(rate) for rate in losses.columns])
    axes.set_yticks(range(size), [rate_title(rate) for rate in losses.index])
    kind = table["noise_kind"].iloc[0]
    axes.set_xlabel(f"Used at {kind} noise")
    axes.set_ylabel("Tuned at")
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03, label="Points")
    bar.ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], symmetric=True))
    bar.outline.set_visible(False)
    return figure


def misspecified_figure(board: pd.DataFrame) -> Figure:
    """Accuracy against the factor on the noise rate that methods are told, a panel for each rate.

    Args:
        board: one group's rows of the leaderboard, under one rule.
    """
    wrong = board[board["track"] == "misspecified"]
    right = board[board["track"].isin(["default", "given"]) & board["name"].isin(wrong["name"])]
    table = pd.concat([right, wrong])
    table = table[table["hparams"].isin(wrong["hparams"])]
    drawn = looks(list(table["name"]))
    panels = _Panels(table, 1.9, list(drawn), share="all")
    factors = sorted(set(table["told"]))
    step = 0.1 * np.diff(factors).min() if len(factors) > 1 else 0.0
    for axes, at_rate in panels.each():
        for number, (method, look) in enumerate(drawn.items()):
            own = at_rate[at_rate["name"] == method].sort_values("told")
            x = own["told"] + (number - (len(drawn) - 1) / 2) * step  # side by side
            axes.errorbar(x, 100 * own["mean"], yerr=_interval(own["ci95"]), **look.artist(), **_BARS)
        axes.set_xticks(factors, [f"{factor:g}" for factor in factors])
        axes.grid(axis="y")
    for axes, _ in panels.each():
        _limit_accuracy(axes)
    panels.label("Told rate / true rate", "Test accuracy (%)")
    _legend(panels.figure, list(drawn), drawn, panels.width)
    return panels.figure


class _Panels:
    """A grid of axes, one for each noise rate, titled with it."""

    def __init__(self, table: pd.DataFrame, height: float, legend: Sequence[str] = (), share: str | None = None) -> None:
        """``height`` is that of one panel in inches; ``legend`` are the labels that the figure leaves room for below."""
        self.table = table
        self.rates = sorted(set(table["noise_rate"]))
        count = len(self.rates)
        self.columns = count if count <= 4 else 3 if count % 3 == 0 or count == 5 else 4  # no panel alone in its line
        self.width = {1: COLUMN, 2: 5.2}.get(self.columns, PAGE)
        lines = -(-count // self.columns)
        room = 0.35 + (_legend_height(legend, self.width) if legend else 0)
        #: Width and height of one panel's axes in inches, roughly.
        self.panel = (self.width - _MARGIN) / self.columns - 0.25, height - 0.3
        self.figure = Figure(figsize=(self.width, lines * height + room), layout="constrained")
        self.grid = self.figure.subplots(
            lines, self.columns, squeeze=False, sharex=share in ("all", "x"), sharey=share == "all"
        )
        for axes in self.grid.flat[len(self.rates) :]:
            axes.set_visible(False)

    def each(self) -> Iterator[tuple[Axes, pd.DataFrame]]:
        for axes, rate in zip(self.grid.flat, self.rates, strict=False):
            axes.set_title(_noise_title(rate, self.table))
            yield axes, self.table[self.table["noise_rate"] == rate]

    def label(self, x: str, y: str) -> None:
        for number, axes in enumerate(self.grid.flat[: len(self.rates)]):
            if number % self.columns == 0:
                axes.set_ylabel(y)
            if number + self.columns >= len(self.rates):  # nothing below
                axes.set_xlabel(x)
                axes.tick_params(labelbottom=True)


def _methods(table: pd.DataFrame, drawn: Mapping[str, Look]) -> list[str]:
    present = set(table["method"])
    return [method for method in drawn if method in present]


def _legend_columns(methods: Sequence[str], width: float) -> int:
    """As many as fit: an entry takes its handle and about 0.065 inches a character."""
    entry = 0.5 + 0.065 * max(map(len, methods))
    return max(1, min(len(methods), int(width / entry)))


def _legend_height(methods: Sequence[str], width: float) -> float:
    return 0.1 + 0.16 * -(-len(methods) // _legend_columns(methods, width))


def _legend(figure: Figure, methods: Sequence[str], drawn: Mapping[str, Look], width: float, lines: bool = True) -> None:
    handles = [Line2D([], [], label=method, **drawn[method].artist(lines)) for method in methods]
    figure.legend(handles=handles, loc="outside lower center", ncols=_legend_columns(methods, width))


def _limit_accuracy(axes: Axes) -> None:
    """Round ticks, and no room for intervals beyond what can be."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _interval(half_width: Any) -> Any:
    """Length of error bars in percent; NaN, of one seed, draws none."""
    return 100 * np.asarray(half_width, dtype=float)


def _noise_title(rate: float, table: pd.DataFrame) -> str:
    kind = table["noise_kind"].iloc[0]
    return f"{kind} noise" if rate < 0 else f"{rate_title(rate)} {kind} noise"


def _rate_label(table: pd.DataFrame) -> str:
    kind = str(table["noise_kind"].iloc[0])
    return f"{kind[0].upper()}{kind[1:]} noise rate (%)"


def _axis_label(name: str) -> str:
    words = name.replace("_", " ")
    return words if len(words) == 1 or "." in words else words[0].upper() + words[1:]


def _ordered(values: pd.Series) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    numbers = all(isinstance(value, int | float) for value in distinct)
    return sorted(distinct) if numbers else sorted(distinct, key=str)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
