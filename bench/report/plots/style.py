"""What all figures share: one look a method, widths of a paper's column and page, panels by noise
rate, legends.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from bench.planning.registry import REFERENCE
from bench.report.wording import rate_title

FORMATS = ("png", "svg")
DPI = 200

#: Widths of a column and of a page, in inches.
COLUMN, PAGE = 3.3, 7.0

#: With more methods than CROWD, the OWN best ones and the reference have a look of their own, and
#: the others are grey.
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


# Okabe and Ito's palette for all kinds of colour vision, without its yellow, which is lost on
# white. Black is the reference's.
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

#: Distance between the markers of two methods at one noise rate, and what axes leave for labels:
#: inches.
SIDE_BY_SIDE, MARGIN = 0.09, 0.55
#: Distance that keeps markers and intervals legible: points.
_GAP = 6.5
_NAME_SIZE = 6.5

SELECTED = "mean and 95 % interval over seeds, epoch and configuration selected by noisy validation accuracy."


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    color: str
    marker: str
    line: Any
    size: float = 5.2  # in points
    own: bool = True  # or one grey for many

    def artist(self, line: bool = True) -> dict[str, Any]:
        """Arguments of matplotlib for a line with markers, or for markers only."""
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
        """The same for a marker in a row that names the method."""
        return self.artist(line=False) | ({} if self.own else {"color": "0.35", "markersize": 4})


def looks(methods: Iterable[str], best: Sequence[str] = ()) -> dict[str, Look]:
    """A look for each method: the reference in black, the others in the order of their names.

    Of more than CROWD methods only the first of ``best`` and the reference have one of their own.
    """
    methods = sorted(set(methods))
    crowd = len(methods) > CROWD
    others = [method for method in (best if crowd else methods) if method != REFERENCE]
    others = others[:OWN] if crowd else others
    found = {REFERENCE: Look("black", "*", (0, (2, 1.2)), 8)} if REFERENCE in methods else {}
    for number, method in enumerate(others):
        # The numbers of colours, markers and lines share no divisor: their combination does not
        # repeat for long.
        look = (sequence[number % len(sequence)] for sequence in (_COLORS, _MARKERS, _LINES))
        found[method] = Look(*look)
    return found | {
        method: Look("0.7", "o", "-", 2.8, own=False) for method in methods if method not in found
    }


@contextmanager
def style() -> Iterator[None]:
    """Context in which these figures are made and saved: the same whatever a user's own settings
    say.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def render(figure: Figure, kind: str) -> bytes:
    """The figure as "png" or "svg"."""
    buffer = io.BytesIO()
    with style(), warnings.catch_warnings(record=True) as caught:
        # Without these a file says when, and by which version, it was made.
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    _pass_on(caught)
    return buffer.getvalue()


def _pass_on(caught: Sequence[warnings.WarningMessage]) -> None:
    """Warn of all that was caught; of characters without a glyph once, and not once for each."""
    lacking = [one for one in caught if re.match("Glyph .* missing from", str(one.message))]
    for one in caught:
        if one not in lacking:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if lacking:
        warnings.warn(
            "the font of figures lacks characters of some names, and shows boxes in their place",
            stacklevel=3,
        )


class Panels:
    """A grid of axes, one for each noise rate, titled with it."""

    def __init__(
        self,
        table: pd.DataFrame,
        height: float,
        legend: Sequence[str] = (),
        share: str | None = None,
    ) -> None:
        """``height`` is that of one panel in inches; ``legend`` are the labels that the figure
        leaves room for below.
        """
        self.table = table
        self.rates = sorted(set(table["noise_rate"]))
        count = len(self.rates)
        # no panel alone in its line
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
        for axes, rate in zip(self.grid.flat, self.rates, strict=False):
            axes.set_title(noise_title(rate, self.table))
            yield axes, self.table[self.table["noise_rate"] == rate]

    def label(self, x: str, y: str) -> None:
        for number, axes in enumerate(self.grid.flat[: len(self.rates)]):
            if number % self.columns == 0:
                axes.set_ylabel(y)
            if number + self.columns >= len(self.rates):  # nothing below
                axes.set_xlabel(x)
                axes.tick_params(labelbottom=True)

    def rows(self, names: Sequence[str]) -> None:
        """A row for each name in every panel, the first on top."""
        for number, axes in enumerate(self.grid.flat):
            axes.set_yticks(range(len(names)), reversed(names))
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.tick_params(axis="y", length=0, labelleft=number % self.columns == 0)
            axes.xaxis.set_major_locator(
                MaxNLocator(5 if self.columns < 3 else 4, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3)
            )
            axes.grid(axis="x")


def methods_of(table: pd.DataFrame, drawn: Mapping[str, Look]) -> list[str]:
    """The methods of a table in the order of their looks, those of the crowd last."""
    present = set(table["method"])
    return [method for method in drawn if method in present]


def entries_of(methods: Sequence[str], drawn: Mapping[str, Look]) -> list[str]:
    """The labels of a legend: methods, and how many are grey."""
    own = [method for method in methods if drawn[method].own]
    return own + [f"{len(methods) - len(own)} others"] * (len(own) < len(methods))


def legend_columns(labels: Sequence[str], width: float) -> int:
    """So many that lines are few, and equally long: an entry takes its handle and about 0.065
    inches a character.
    """
    entry = 0.5 + 0.065 * max(map(len, labels))
    lines = -(-len(labels) // max(1, int(width / entry)))
    return -(-len(labels) // lines)


def legend_height(labels: Sequence[str], width: float) -> float:
    """In inches."""
    return 0.1 + 0.16 * -(-len(labels) // legend_columns(labels, width))


def legend(
    figure: Figure,
    methods: Sequence[str],
    drawn: Mapping[str, Look],
    width: float,
    lines: bool = True,
) -> None:
    """Name the methods below everything else."""
    labels = entries_of(methods, drawn)
    handles = [
        Line2D([], [], label=label, **drawn[method].artist(lines))
        for label, method in zip(labels, methods, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(labels, width))


def name_points(
    axes: Axes, names: Sequence[str], at: np.ndarray, avoid: np.ndarray, panel: tuple[float, float]
) -> None:
    """Write names beside their points ``at`` (N, 2), each on the side where it covers the fewest
    points and other names.

    Args:
        avoid: the places (M, 2) of all markers; both in the units of the axes, whose limits and
            scale are set.
        panel: width and height of the axes in inches, roughly.
    """
    size = 72 * np.array(panel)

    def points(xy: np.ndarray) -> np.ndarray:
        return axes.transAxes.inverted().transform(axes.transData.transform(xy)) * size

    markers, taken = points(avoid), np.zeros((0, 4))
    for name, place in zip(names, points(at), strict=True):
        extent = np.array([0.6 * len(name), 1.2]) * _NAME_SIZE
        covered = [_covered(*_box(place, extent, side), markers, taken, size) for side in _SIDES]
        side = _SIDES[int(np.argmin(covered))]  # the first of equals
        low, high = _box(place, extent, side)
        taken = np.vstack([taken, np.concatenate([low, high])])
        across, up, distance = side
        axes.annotate(
            name,
            place / size,
            (across * distance, up * distance),
            xycoords="axes fraction",
            textcoords="offset points",
            ha={-1: "right", 0: "center", 1: "left"}[across],
            va={-1: "top", 0: "center", 1: "bottom"}[up],
            fontsize=_NAME_SIZE,
            color="0.25",
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
            arrowprops={
                "arrowstyle": "-",
                "color": "0.6",
                "linewidth": 0.4,
                "shrinkA": 0,
                "shrinkB": 1,
            }
            if distance > 5
            else None,
            zorder=6,
        )


#: Where a name may stand: left or right, below or above, at so many points.
_SIDES = [
    (x, y, distance)
    for distance in (3, 10, 18)
    for x, y in ((-1, 1), (1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0))
]


def _box(
    place: np.ndarray, extent: np.ndarray, side: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner of a text on this side of a place."""
    direction, distance = np.array(side[:2]), side[2]
    low = place + direction * distance + extent * (direction - 1) / 2
    return low, low + extent


def _covered(
    low: np.ndarray, high: np.ndarray, markers: np.ndarray, taken: np.ndarray, size: np.ndarray
) -> float:
    """How much a text from ``low`` to ``high`` would hide, or stand outside of axes of this
    ``size``, in points.
    """
    hidden = ((markers > low - 2) & (markers < high + 2)).all(1).sum()
    names_under = ((taken[:, :2] < high) & (taken[:, 2:] > low)).all(1).sum()
    outside = (np.maximum(-low - 4, 0) + np.maximum(high - size - 4, 0)).sum()  # a little is well
    return float(hidden + 3 * names_under + outside)


def epoch_axis(axes: Axes, longest: int) -> None:
    """Limits and ticks of an axis of epochs, which count from 1."""
    axes.set_xlim(1 - 0.03 * longest, longest * 1.03)
    ticks = MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]).tick_values(1, longest)
    axes.set_xticks([1, *(tick for tick in ticks if max(1, 0.1 * longest) < tick <= longest)])


def limit_accuracy(axes: Axes) -> None:
    """Round ticks, and no room for intervals beyond what can be."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def interval_of(half_width: Any) -> Any:
    """Length of error bars in percent; NaN, of one seed, draws none."""
    return 100 * np.asarray(half_width, dtype=float)


def noise_title(rate: float, table: pd.DataFrame) -> str:
    kind = table["noise_kind"].iloc[0]
    return f"{kind} noise" if rate < 0 else f"{rate_title(rate)} {kind} noise"


def rate_label(table: pd.DataFrame) -> str:
    kind = str(table["noise_kind"].iloc[0])
    return f"{kind[0].upper()}{kind[1:]} noise rate (%)"


def lead(axes: Axes, true: float, place: float, height: float, color: str) -> None:
    """From a marker that stands apart, a thin line to a dot where it belongs, which no marker
    hides.
    """
    if np.isclose(place, true):
        return
    axes.plot([true, place], [height, height], color=color, linewidth=0.5)
    axes.scatter(true, height, 5, color, edgecolors="white", linewidths=0.5, zorder=6)


def apart(
    axes: Axes, x: np.ndarray, y: np.ndarray, interval: np.ndarray, panel: tuple[float, float]
) -> np.ndarray:
    """The places ``x``, moved sideways by a few points where markers or intervals would hide each
    other.

    Args:
        x, y, interval: markers and half-lengths of their error bars, in the units of the axes,
            whose limits and scale are set.
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
