"""Placement of names and markers in axes, so that none hides another."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

#: Distance that keeps markers and intervals legible, and size of names: points.
_GAP, _NAME_SIZE = 6.5, 6.5


def name_points(
    axes: Axes, names: Sequence[str], at: np.ndarray, avoid: np.ndarray, panel: tuple[float, float]
) -> None:
    """Write names beside their points ``at`` (N, 2), where they cover fewest points and names.

    Args:
        avoid: places (M, 2) of all markers. Both are in the units of the axes, whose limits and
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


#: Places of a name beside its point: left or right, below or above, and the distance in points.
_SIDES = [
    (x, y, distance)
    for distance in (3, 10, 18)
    for x, y in ((-1, 1), (1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0))
]


def _box(
    place: np.ndarray, extent: np.ndarray, side: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower left and upper right corner of a text on this side of a place."""
    direction, distance = np.array(side[:2]), side[2]
    low = place + direction * distance + extent * (direction - 1) / 2
    return low, low + extent


def _covered(
    low: np.ndarray, high: np.ndarray, markers: np.ndarray, taken: np.ndarray, size: np.ndarray
) -> float:
    """Return what a text from ``low`` to ``high`` hides, and how far it leaves the axes.

    Args:
        size: width and height of the axes, in points as all places.
    """
    hidden = ((markers > low - 2) & (markers < high + 2)).all(1).sum()
    names_under = ((taken[:, :2] < high) & (taken[:, 2:] > low)).all(1).sum()
    # Four points outside are allowed where no axis is.
    outside = (np.maximum(-low, 0) + np.maximum(high - size - 4, 0)).sum()
    return float(hidden + 3 * names_under + outside)


def lead(axes: Axes, true: float, place: float, height: float, color: str) -> None:
    """Draw a thin line from a marker that stands apart to a dot at its true place."""
    if np.isclose(place, true):
        return
    axes.plot([true, place], [height, height], color=color, linewidth=0.5)
    axes.scatter(true, height, 5, color, edgecolors="white", linewidths=0.5, zorder=6)


def apart(
    axes: Axes, x: np.ndarray, y: np.ndarray, interval: np.ndarray, panel: tuple[float, float]
) -> np.ndarray:
    """Return places ``x`` (N,), moved sideways where markers or intervals would hide each other.

    Args:
        x, y, interval: markers and half-lengths of their error bars, (N,) each, in the units of
            the axes, whose limits and scale are set.
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
