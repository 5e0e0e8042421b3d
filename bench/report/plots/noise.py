"""Heat map of a transition matrix, at the width of a paper's column."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.common.text import printable
from bench.report.plots.style import COLUMN, style

#: Largest number of classes at which cells have numbers and classes have names.
NAMED = 20


def matrix_figure(matrix: np.ndarray, classes: tuple[str, ...], title: str) -> Figure:
    """Return the heat map of a realised transition matrix (C, C), in percent of a true class.

    Colours have one hue from white to dark, so that a print in grey stays readable. Cells that are
    exactly 0 are empty.
    """
    count = len(classes)
    # Numbers have to fit into their cells, which shrink with the number of classes.
    size = 7.0 if count <= 8 else 5.6 if count <= 12 else 4.2
    with style():
        figure = Figure(figsize=(COLUMN, 0.86 * COLUMN), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(100 * matrix, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
        axes.set_title(printable(title))
        by_number = "" if count <= NAMED else " (number)"
        axes.set_xlabel(f"Noisy label{by_number}")
        axes.set_ylabel(f"True class{by_number}")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0)
        if count <= NAMED:
            _name_classes(axes, classes, size)
            _number_cells(axes, matrix, size)
        else:
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(5, integer=True))
        bar = figure.colorbar(
            image, ax=axes, fraction=0.045, pad=0.02, label="Share of the true class (%)"
        )
        bar.set_ticks([0, 25, 50, 75, 100])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2)
    return figure


def _name_classes(axes: Axes, classes: tuple[str, ...], size: float) -> None:
    names = map(printable, classes)
    short = [name if len(name) <= 14 else f"{name[:13]}…" for name in names]
    upright = max(map(len, short)) * len(short) <= 40
    places = range(len(short))
    axes.set_yticks(places, short, fontsize=min(size + 1, 7.5))
    axes.set_xticks(places, short, fontsize=min(size + 1, 7.5), rotation=0 if upright else 90)
    # Grey lines separate the cells: a row of pale ones would otherwise have no edges.
    axes.set_xticks(np.arange(len(short) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(short) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="0.88", linewidth=0.4)
    axes.tick_params(which="minor", length=0)


def _number_cells(axes: Axes, matrix: np.ndarray, size: float) -> None:
    for (row, column), share in np.ndenumerate(matrix):
        if share > 0:
            text = "<1" if share < 0.005 else f"{100 * share:.0f}"
            color = "white" if share > 0.55 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
