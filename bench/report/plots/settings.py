"""Figures of settings: varied in a sweep, tuned at another noise rate, or a wrong noise rate."""

import json
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path as MarkerPath
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator

from bench.report.plots.style import (
    BARS,
    COLUMN,
    Panels,
    entries_of,
    interval_of,
    legend,
    legend_columns,
    limit_accuracy,
    looks,
)
from bench.report.wording import rate_title

SWEEP_CAPTION = (
    "Test accuracy (%) of its configurations at the epoch that noisy validation accuracy selects, "
    "mean over seeds; colours show the distance to the panel's best, in points. Framed, where it "
    "is in the map: the configuration of best noisy validation accuracy, which is the one "
    "reported.{}"
)
TRANSFER_CAPTION = (
    "What it costs to use, at one noise rate, the configuration that was tuned at another: "
    "difference in test accuracy, in points, to the one tuned there, mean over paired seeds; "
    "epochs selected by noisy validation accuracy."
)
MISSPECIFIED_CAPTION = (
    "Test accuracy of methods that read the noise rate, by how wrong it is: the true rate times a "
    "factor. Mean and 95 % interval over seeds, epoch selected by noisy validation accuracy."
)


_CELLS, _FRAME, _FRAMED = "test accuracy (%)", "best noisy validation accuracy", "#D55E00"


def sweep_figures(configs: pd.DataFrame) -> dict[tuple[str, ...], tuple[Figure, str]]:
    """Draw a heat map for each pair of crossed settings, and a line for each that varied alone.

    Two settings are crossed where four combinations of two values each were run with all else
    equal. If several values of the other settings allow that, those with most combinations are
    drawn, and among equals those of the best score. Settings that always change together are one.

    Args:
        configs: one method's rows of the configurations of one group, under one rule.

    Returns:
        Figure and addition to its caption, by the settings' names, the one with more values first.
    """
    axes_of_sweep = swept(configs)
    table = configs.assign(
        **{
            key: [_scalar(json.loads(text).get(key)) for text in configs["hparams"]]
            for key in axes_of_sweep.values()
        }
    )
    # The setting with more values is drawn across.
    names = sorted(axes_of_sweep, key=lambda name: (-table[axes_of_sweep[name]].nunique(), name))
    result: dict[tuple[str, ...], tuple[Figure, str]] = {}
    for shown in [*combinations(names, 2), *((name,) for name in names)]:
        if len(shown) == 1 and any(shown[0] in pair for pair in result):
            continue
        others = {name: key for name, key in axes_of_sweep.items() if name not in shown}
        where = _where(table, [axes_of_sweep[name] for name in shown], list(others.values()))
        if where is not None:
            fixed = ", ".join(f"{name} {_text(where[key].iloc[0])}" for name, key in others.items())
            figure = _sweep_figure(where, {name: axes_of_sweep[name] for name in shown})
            caption = f" The other settings that were varied: {fixed}." if fixed else ""
            result[shown] = figure, caption
    return result


def _scalar(value: Any) -> Any:
    """Return a setting, as a text where it is a list, such as those of later versions."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _where(table: pd.DataFrame, shown: list[str], others: list[str]) -> pd.DataFrame | None:
    """Return rows with equal ``others`` in which the settings ``shown`` were crossed.

    A single setting has to vary instead.
    """
    rests = [json.dumps([json.loads(text).get(key) for key in others]) for text in table["hparams"]]
    best: tuple[tuple[int, float], pd.DataFrame] | None = None
    for _, rows in table.groupby(rests, sort=False):
        run = rows.drop_duplicates(shown).assign(run=1)
        if len(shown) == 1:
            enough = len(run) > 1
        else:
            ran = run.pivot(index=shown[0], columns=shown[1], values="run").fillna(0).to_numpy()
            common = ran @ ran.T  # columns that two lines share
            enough = bool((common[~np.eye(len(common), dtype=bool)] > 1).any())
        merit = len(run), float(rows["score"].max())
        if enough and (best is None or merit > best[0]):
            best = merit, rows
    return best and best[1]


def _sweep_figure(table: pd.DataFrame, axes_of_sweep: dict[str, str]) -> Figure:
    (x_name, x), *more = axes_of_sweep.items()
    y_name, y = more[0] if more else (None, None)
    columns = _ordered(table[x])
    lines = _ordered(table[y]) if y else [None]
    panels = Panels(table, 0.6 + 0.25 * len(lines), [_CELLS, _FRAME])
    maps = [_map(at_rate, (y, lines), (x, columns)) for _, at_rate in panels.each()]
    span = max(1.0, *(np.nanmax(values) - np.nanmin(values) for values, _ in maps))
    for (axes, _), (values, chosen) in zip(panels.each(), maps, strict=True):
        image = _heat_map(axes, values, chosen, span)
        axes.set_xticks(range(len(columns)), [_text(value) for value in columns])
        axes.set_yticks(range(len(lines)), [_text(value) for value in lines] if y else [""])
    panels.label(_axis_label(x_name), _axis_label(y_name) if y_name else "")
    handles: list[Line2D | Rectangle] = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=_as_marker("98.7"),
            markersize=14,
            color="black",
            markeredgewidth=0,
        )
    ]
    if any(chosen for _, chosen in maps):
        handles.append(Rectangle((0, 0), 1, 1, fill=False, edgecolor=_FRAMED, linewidth=1.4))
    panels.figure.legend(
        handles=handles,
        labels=[_CELLS, _FRAME][: len(handles)],
        loc="outside lower center",
        ncols=legend_columns([_FRAME] * 2, panels.width),
    )
    if y:  # a single line of numbers needs no scale
        bar = panels.figure.colorbar(
            image, ax=panels.grid, fraction=0.03, pad=0.015, label="Points to best"
        )
        bar.ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        bar.outline.set_visible(False)
    return panels.figure


def _as_marker(text: str) -> MarkerPath:
    drawn = TextPath((0, 0), text)
    return MarkerPath(drawn.vertices - drawn.get_extents().get_points().mean(0), drawn.codes)


def swept(configs: pd.DataFrame) -> dict[str, str]:
    """Return the settings that differ between configurations, by the label of their axis."""
    settings = [json.loads(text) for text in dict.fromkeys(configs["hparams"])]
    by_values: dict[tuple[str, ...], list[str]] = {}
    # Configurations of several versions may have different settings.
    for key in dict.fromkeys(key for setting in settings for key in setting):
        values = tuple(json.dumps(setting.get(key)) for setting in settings)
        if len(set(values)) > 1:
            by_values.setdefault(values, []).append(key)
    labels = {}
    for keys in by_values.values():
        short = {key.rpartition(".")[2] for key in keys}
        label = short.pop() if len(short) == 1 else " = ".join(keys)
        labels[keys[0] if label in labels else label] = keys[0]
    return labels


def _map(
    at_rate: pd.DataFrame, rows: tuple[str | None, list[Any]], columns: tuple[str, list[Any]]
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Return accuracies in percent (rows, columns), and the position of the chosen one."""
    (y, lines), (x, across) = rows, columns
    values = np.full((len(lines), len(across)), np.nan)
    chosen = None
    for (i, line), (j, value) in product(enumerate(lines), enumerate(across)):
        here = at_rate[(at_rate[x] == value) & (at_rate[y] == line if y else True)]
        if len(here):
            values[i, j] = 100 * here["mean"].iloc[0]
            chosen = (i, j) if here["chosen"].any() else chosen
    return values, chosen


def _heat_map(
    axes: Axes, values: np.ndarray, chosen: tuple[int, int] | None, span: float
) -> AxesImage:
    """Draw cells in colours of their distance to the panel's best, up to ``span`` points."""
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
        axes.add_patch(
            Rectangle(
                (j - 0.46, i - 0.44), 0.92, 0.88, fill=False, edgecolor=_FRAMED, linewidth=1.4
            )
        )
    return image


def transfer_losses(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Return losses of test accuracy, in points: tuned at a rate (rows), used at another (columns).

    Args:
        rows: one group's rows of trials, under one rule.

    Returns:
        A table for each method and search that transfers.
    """
    losses = {}
    for (method, search), trials in rows[rows["track"] == "transfer"].groupby(["name", "search"]):
        seeds = ["noise_rate", "noise_seed", "split_seed", "train_seed"]
        there = trials.loc[trials["tuned_at"] == trials["noise_rate"], [*seeds, "test_accuracy"]]
        pairs = trials.merge(there, on=seeds, suffixes=("", "_tuned_there"))
        pairs["loss"] = 100 * (pairs["test_accuracy"] - pairs["test_accuracy_tuned_there"])
        losses[str(method), str(search)] = pairs.pivot_table("loss", "tuned_at", "noise_rate")
    return losses


def transfer_figure(losses: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draw a matrix of ``transfer_losses``; ``table`` holds the kind of noise."""
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
    """Draw accuracy against the factor on the told noise rate, a panel per true rate.

    Args:
        board: one group's rows of the leaderboard, under one rule.
    """
    wrong = board[board["track"] == "misspecified"]
    right = board[board["track"].isin(["default", "given"]) & board["name"].isin(wrong["name"])]
    table = pd.concat([right, wrong])
    table = table[table["hparams"].isin(wrong["hparams"])]
    drawn = looks(list(table["name"]))
    panels = Panels(table, 1.9, entries_of(list(drawn), drawn), share="all")
    factors = sorted(set(table["told"]))
    step = 0.1 * np.diff(factors).min() if len(factors) > 1 else 0.0
    for axes, at_rate in panels.each():
        for number, (method, look) in enumerate(drawn.items()):
            rows = at_rate[at_rate["name"] == method].sort_values("told")
            x = rows["told"] + (number - (len(drawn) - 1) / 2) * step  # side by side
            interval = interval_of(rows["ci95"])
            axes.errorbar(x, 100 * rows["mean"], yerr=interval, **look.artist(), **BARS)
        axes.set_xticks(factors, [f"{factor:g}" for factor in factors])
        axes.grid(axis="y")
    for axes, _ in panels.each():
        limit_accuracy(axes)
    panels.label("Told rate / true rate", "Test accuracy (%)")
    legend(panels.figure, list(drawn), drawn, panels.width)
    return panels.figure


def _axis_label(name: str) -> str:
    words = name.replace("_", " ")
    return words if len(words) == 1 or "." in words else words[0].upper() + words[1:]


def _ordered(values: pd.Series) -> list[Any]:
    distinct = list(dict.fromkeys(values))
    numbers = all(isinstance(value, int | float) for value in distinct)
    return sorted(distinct) if numbers else sorted(distinct, key=str)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
