"""Style of all figures: looks of methods, widths of a paper's column and page, panels, legends."""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from bench.planning.registry import REFERENCE
from bench.report.wording import rate_title

FORMATS = ("png", "svg")
DPI = 200

#: Widths of a column and of a page, in inches.
COLUMN, PAGE = 3.3, 7.0

#: With more methods than CROWD, only the OWN best ones and the reference have a colour. The others
#: are grey.
CROWD, OWN = 12, 7

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
    "text.parse_math": False,  # a method's name may hold two dollars
}


# Palette of Okabe and Ito for all kinds of colour vision, without its yellow, which is lost on
# white. The reference is black.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_LINES: tuple[Any, ...] = (
    "-",
    (0, (4, 1.5)),
    (0, (1, 1)),
    (0, (5, 1, 1, 1)),
    (0, (3, 1, 1, 1, 1, 1)),
)

BARS: dict[str, Any] = {"elinewidth": 0.8, "capsize": 1.6, "capthick": 0.8}

#: Distance between the markers of two methods at one noise rate, and margin of axes for labels, in
#: inches.
SIDE_BY_SIDE, MARGIN = 0.09, 0.55

SELECTED = (
    "mean and 95 % interval over seeds, epoch and configuration selected by noisy validation "
    "accuracy."
)


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of a method."""

    color: str
    marker: str
    line: Any
    size: float = 5.2  # in points
    coloured: bool = True  # False: the grey of many methods

    def artist(self, line: bool = True) -> dict[str, Any]:
        """Return arguments of matplotlib for a line with markers, or for markers alone."""
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.3}
        linestyle = self.line if line else "none"
        return {
            "color": self.color,
            "marker": self.marker,
            "markersize": self.size,
            "linestyle": linestyle,
            **edge,
        }

    def in_row(self) -> dict[str, Any]:
        """Return arguments for a marker in a row that names the method."""
        return self.artist(line=False) | (
            {} if self.coloured else {"color": "0.35", "markersize": 4}
        )


def looks(methods: Iterable[str], best: Sequence[str] = ()) -> dict[str, Look]:
    """Return a look for each method: black for the reference, colours by name for the others.

    Among more than CROWD methods, only the first of ``best`` and the reference have a colour.
    """
    methods = sorted(set(methods))
    crowd = len(methods) > CROWD
    others = [method for method in (best if crowd else methods) if method != REFERENCE]
    others = others[:OWN] if crowd else others
    result = {REFERENCE: Look("black", "*", (0, (2, 1.2)), 8)} if REFERENCE in methods else {}
    for number, method in enumerate(others):
        # Their combinations repeat late, because the numbers of colours, markers and lines share no
        # divisor.
        look = (sequence[number % len(sequence)] for sequence in (_COLORS, _MARKERS, _LINES))
        result[method] = Look(*look)
    grey = Look("0.7", "o", "-", 2.8, coloured=False)
    return result | {method: grey for method in methods if method not in result}


@contextmanager
def style() -> Iterator[None]:
    """Ignore a user's settings of matplotlib in this context, which makes and saves figures."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def render(figure: Figure, kind: str) -> bytes:
    """Return the figure as "png" or "svg"."""
    buffer = io.BytesIO()
    with style(), warnings.catch_warnings(record=True) as caught:
        # The defaults would write the date and the version of matplotlib into the file.
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    _pass_on(caught)
    return compact(buffer) if kind == "png" else buffer.getvalue()


def compact(png: io.BytesIO) -> bytes:
    """Return an opaque PNG in a palette of 256 colours, which takes a third of the bytes."""
    with Image.open(png) as image:
        colours = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    colours.save(buffer, "png", optimize=True, dpi=(DPI, DPI))
    return buffer.getvalue()


def _pass_on(caught: Sequence[warnings.WarningMessage]) -> None:
    """Repeat all warnings, and those of characters without a glyph as one."""
    lacking = [entry for entry in caught if re.match("Glyph .* missing from", str(entry.message))]
    for entry in caught:
        if entry not in lacking:
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
    if lacking:
        warnings.warn(
            "the font of figures lacks characters of some names, and shows boxes in their place",
            stacklevel=3,
        )


class Panels:
    """Grid of axes, one for each noise rate, titled with it."""

    def __init__(
        self,
        table: pd.DataFrame,
        height: float,
        legend: Sequence[str] = (),
        share: str | None = None,
    ) -> None:
        """Lay out the panels.

        Args:
            table: rows with a noise rate.
            height: height of a panel in inches.
            legend: labels that the figure leaves room for below.
            share: axes that panels share: "all", "x" or none.
        """
        self.table = table
        self.rates = sorted(set(table["noise_rate"]))
        count = len(self.rates)
        # No panel stands alone in its line.
        self.columns = count if count <= 4 else 3 if count % 3 == 0 or count == 5 else 4
        self.width = {1: COLUMN, 2: 5.2}.get(self.columns, PAGE)
        lines = -(-count // self.columns)
        room = 0.35 + (legend_height(legend, self.width) if legend else 0)
        #: Width and height of one panel's axes in inches, roughly.
        self.panel = (self.width - MARGIN) / self.columns - 0.25, height - 0.3
        self.figure = Figure(figsize=(self.width, lines * height + room), layout="constrained")
        self.grid = self.figure.subplots(
            lines, self.columns, squeeze=False, sharex=share in ("all", "x"), sharey=share == "all"
        )
        for axes in self.grid.flat[len(self.rates) :]:
            axes.set_visible(False)

    def each(self) -> Iterator[tuple[Axes, pd.DataFrame]]:
        """Yield the axes and the rows of each noise rate."""
        for axes, rate in zip(self.grid.flat, self.rates, strict=False):
            axes.set_title(noise_title(rate, self.table))
            yield axes, self.table[self.table["noise_rate"] == rate]

    def label(self, x: str, y: str) -> None:
        """Label the outer axes."""
        for number, axes in enumerate(self.grid.flat[: len(self.rates)]):
            if number % self.columns == 0:
                axes.set_ylabel(y)
            if number + self.columns >= len(self.rates):  # nothing below
                axes.set_xlabel(x)
                axes.tick_params(labelbottom=True)

    def rows(self, names: Sequence[str]) -> None:
        """Make a row for each name in every panel, the first on top."""
        for number, axes in enumerate(self.grid.flat):
            axes.set_yticks(range(len(names)), reversed(names))
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.tick_params(axis="y", length=0, labelleft=number % self.columns == 0)
            axes.xaxis.set_major_locator(
                MaxNLocator(5 if self.columns < 3 else 4, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3)
            )
            axes.grid(axis="x")


def methods_of(table: pd.DataFrame, drawn: Mapping[str, Look]) -> list[str]:
    """Return the methods of a table in the order of their looks, grey ones last."""
    present = set(table["method"])
    return [method for method in drawn if method in present]


def entries_of(methods: Sequence[str], drawn: Mapping[str, Look]) -> list[str]:
    """Return the labels of a legend: methods with a colour, and the number of grey ones."""
    coloured = [method for method in methods if drawn[method].coloured]
    return coloured + [f"{len(methods) - len(coloured)} others"] * (len(coloured) < len(methods))


def legend_columns(labels: Sequence[str], width: float) -> int:
    """Return a number of columns that makes lines few and equally long.

    An entry takes its handle and about 0.065 inches a character.
    """
    entry = 0.5 + 0.065 * max(map(len, labels))
    lines = -(-len(labels) // max(1, int(width / entry)))
    return -(-len(labels) // lines)


def legend_height(labels: Sequence[str], width: float) -> float:
    """Return the height of a legend in inches."""
    return 0.1 + 0.16 * -(-len(labels) // legend_columns(labels, width))


def legend(
    figure: Figure,
    methods: Sequence[str],
    drawn: Mapping[str, Look],
    width: float,
    lines: bool = True,
) -> None:
    """Draw the legend of methods below everything else."""
    labels = entries_of(methods, drawn)
    handles = [
        Line2D([], [], label=label, **drawn[method].artist(lines))
        for label, method in zip(labels, methods, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(labels, width))


def epoch_axis(axes: Axes, longest: int) -> None:
    """Set limits and ticks of an axis of epochs, which count from 1."""
    axes.set_xlim(1 - 0.03 * longest, longest * 1.03)
    ticks = MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]).tick_values(1, longest)
    axes.set_xticks([1, *(tick for tick in ticks if max(1, 0.1 * longest) < tick <= longest)])


def limit_accuracy(axes: Axes) -> None:
    """Set round ticks, and limits that leave no room below 0 or above 100 %."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def interval_of(half_width: Any) -> Any:
    """Return the length of error bars in percent; NaN (one seed) draws none."""
    return 100 * np.asarray(half_width, dtype=float)


def noise_title(rate: float, table: pd.DataFrame) -> str:
    kind = table["noise_kind"].iloc[0]
    return f"{kind} noise" if rate < 0 else f"{rate_title(rate)} {kind} noise"


def rate_label(table: pd.DataFrame) -> str:
    kind = str(table["noise_kind"].iloc[0])
    return f"{kind[0].upper()}{kind[1:]} noise rate (%)"
