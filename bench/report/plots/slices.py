"""Slices and contours of the two most important hyper-parameters of each search."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from bench.report.plots.searches import lifted
from bench.report.plots.style import PAGE, noise_title
from bench.report.searches.importance import FANOVA
from bench.report.searches.trials import is_numeric, short_names

SLICES_CAPTION = (
    "{}. Noisy validation accuracy of each configuration that the search tried, against its two "
    "hyper-parameters of highest importance (fANOVA, mean over noise rates); darker points were "
    "drawn later. Below, both together: colours show noisy validation accuracy, interpolated "
    "between configurations where both are numbers of many values. Star: the pick. Accuracies far "
    "below the others stand at the edge. All other hyper-parameters vary, too."
)

#: Values of a number span at least this ratio where its axis is logarithmic.
_WIDE = 20
#: Fewest distinct values of either hyper-parameter between which a contour interpolates.
_MANY = 8


def important(importance: pd.DataFrame) -> list[str]:
    """Return the two hyper-parameters of highest importance of one search, or the only one.

    Args:
        importance: rows of ``Board.importance`` of one method and group.
    """
    rows = importance[importance["evaluator"] == FANOVA]
    means = rows[rows["cells"] == 1].groupby("hyper_parameter", sort=False)["importance"].mean()
    return list(means.sort_values(ascending=False, kind="stable").index[:2])


def slices_figure(trials: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw slices, and a contour of two hyper-parameters: a column of panels per noise rate.

    Args:
        trials: rows of ``Board.search_trials`` of one method and group.
        names: one hyper-parameter or two, "part.name".
    """
    rates = sorted(trials["noise_rate"].unique())
    lines = len(names) + (len(names) > 1)
    width = min(PAGE, 0.8 + 2.1 * len(rates) + 0.5)
    figure = Figure(figsize=(width, 0.4 + 1.65 * lines), layout="constrained")
    grid = figure.subplots(lines, len(rates), squeeze=False)
    short = short_names(sorted({name for values in trials["settings"] for name in values}))
    scales = [_Scale([values.get(name) for values in trials["settings"]]) for name in names]
    for rate, column in zip(rates, grid.T, strict=True):
        tried = trials[(trials["noise_rate"] == rate) & trials["value"].notna()]
        column[0].set_title(noise_title(rate, trials))
        places = [
            scale.places(values.get(name) for values in tried["settings"])
            for name, scale in zip(names, scales, strict=True)
        ]
        accuracy = lifted(100 * tried["value"].to_numpy(dtype=float))
        picked = (tried["place"] == 0).to_numpy()
        for axes, scale, place, name in zip(column, scales, places, names, strict=False):
            axes.scatter(
                place, accuracy, c=tried["draw"], cmap="Blues", vmin=-len(tried) / 2, s=11, lw=0
            )
            _star(axes, place[picked], accuracy[picked])
            scale.mark(axes.xaxis)
            axes.set_xlabel(short[name])
            axes.grid(axis="y")
        if len(names) > 1:
            _contour(figure, column[-1], places, accuracy)
            _star(column[-1], places[0][picked], places[1][picked])
            scales[0].mark(column[-1].xaxis)
            scales[1].mark(column[-1].yaxis)
            column[-1].set_xlabel(short[names[0]])
    for axes in grid[: len(names), 0]:
        axes.set_ylabel("Noisy validation (%)")
    if len(names) > 1:
        grid[-1, 0].set_ylabel(short[names[1]])
    return figure


def _star(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    edge: dict[str, Any] = {"markeredgecolor": "black", "markeredgewidth": 0.5}
    axes.plot(x, y, linestyle="none", marker="*", color="#D55E00", markersize=9, **edge)


def _contour(
    figure: Figure, axes: Axes, places: Sequence[np.ndarray], accuracy: np.ndarray
) -> None:
    """Draw accuracy over two hyper-parameters; configurations of equal values are averaged."""
    table = pd.DataFrame({"x": places[0], "y": places[1], "accuracy": accuracy})
    table = table.groupby(["x", "y"], as_index=False)["accuracy"].mean()
    norm = Normalize(accuracy.min(), max(accuracy.max(), accuracy.min() + 1e-9))
    if min(table["x"].nunique(), table["y"].nunique()) >= _MANY:
        # Triangles are found on equal scales.
        unit = table[["x", "y"]].apply(lambda values: (values - values.min()) / np.ptp(values))
        try:
            triangles = Triangulation(unit["x"], unit["y"]).triangles
        except RuntimeError:  # all on one line
            triangles = np.empty((0, 3), dtype=int)
        if len(triangles) and np.ptp(table["accuracy"]) > 0:
            mesh = Triangulation(table["x"], table["y"], triangles)
            axes.tricontourf(mesh, table["accuracy"], levels=12, cmap="viridis", norm=norm)
    points = axes.scatter(
        table["x"],
        table["y"],
        c=table["accuracy"],
        cmap="viridis",
        norm=norm,
        s=9 if axes.collections else 26,
        edgecolors="white",
        linewidths=0.4,
    )
    bar = figure.colorbar(points, ax=axes, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=6.5)


class _Scale:
    """Positions of a hyper-parameter's values along an axis: numbers, their logarithms, or ranks.

    A record knows no ranges, so the values decide: positive numbers that span more than a factor of
    ``_WIDE`` are drawn by their logarithms, and texts and truth values at equal distances.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.numeric = is_numeric(values)
        self.texts: list[str] = []
        if self.numeric:
            low, high = min(values), max(values)
            self.logarithmic = low > 0 and high / low > _WIDE
        else:
            self.logarithmic = False
            self.texts = sorted({_text(value) for value in values})

    def places(self, values: Iterable[Any]) -> np.ndarray:
        """Return positions of values, (N,)."""
        if not self.numeric:
            return np.array([self.texts.index(_text(value)) for value in values], dtype=float)
        numbers = np.array(list(values), dtype=float)
        return np.log10(numbers) if self.logarithmic else numbers

    def mark(self, axis: Any) -> None:
        """Set the ticks of an axis."""
        if self.texts:
            axis.set_ticks(range(len(self.texts)), self.texts)
            axis.set_view_interval(-0.5, len(self.texts) - 0.5, ignore=True)
        elif self.logarithmic:
            low, high = axis.get_view_interval()
            ticks = [
                power + np.log10(digit)
                for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)
                for digit in ((1, 3) if high - low < 2 else (1,))
            ]
            ticks = [tick for tick in ticks if low <= tick <= high]
            axis.set_ticks(ticks, [f"{10**tick:g}" for tick in ticks])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
