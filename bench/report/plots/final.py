"""Figures of the final network: calibration, transition matrices, and features."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_hex
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from bench.planning.registry import REFERENCE
from bench.records.trials import read_samples
from bench.report.columns import SEEDS
from bench.report.plots.placement import apart, lead
from bench.report.plots.style import (
    COLUMN,
    PAGE,
    Look,
    Panels,
    entries_of,
    legend,
    methods_of,
    noise_title,
)
from bench.report.wording import rate_title

#: Bins of confidence with fewer images are left out: their accuracy is chance.
FEW = 10
RELIABILITY_CAPTION = (
    "Reliability of the final network: share of the test images that it is right about, by how "
    f"sure it is, all seeds together; bins of fewer than {FEW} images are left out, and of many "
    "methods all but the best and the reference. Below the dotted line a method is too sure of "
    "itself."
)
TRANSITIONS_CAPTION = (
    "Transition matrices, mean over seeds: how often a class is labelled as each other, as "
    "realised and as methods estimate it, in colours by the square root of the share. Error: sum "
    "of absolute differences over the sum of the realised matrix."
)
EMBEDDING_CAPTION = (
    "t-SNE of the final network's features of {} training images, seed {}, coloured by true class "
    "(above) and by noisy label (below, where a cross is a wrong label). Numbers: the middle of "
    "each true class."
)
FEATURES_CAPTION = (
    "How far apart the final network's features of the test images lie by true class: mean "
    "silhouette, and accuracy of the vote of ten neighbours; mean over seeds. Points that would "
    "hide each other stand apart, and a thin line leads to a dot at their true place."
)

#: Methods and samples of an embedding: each takes about a second.
_EMBEDDED, _SAMPLES = 4, 500
_CLASSES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#5D3A9B",
    "#000000",
    "#999999",
    "#7A4B1E",
)


def reliability_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure | None:
    """Draw accuracy by confidence, a panel per noise rate; None without records of it.

    Args:
        trials: one group's rows of trials that did not fail, under one rule.
        drawn: from ``looks``.
    """
    known = trials[trials["reliability"].notna()]
    if known.empty:
        return None
    # Grey lines would cover those of methods with a colour.
    methods = [method for method in methods_of(known, drawn) if drawn[method].coloured]
    if not methods:
        return None
    panels = Panels(known, 1.9, methods, share="all")
    for axes, at_rate in panels.each():
        axes.plot([0, 100], [0, 100], color="0.4", linestyle=":", linewidth=0.9)
        for method in reversed(methods):
            count, confidence, accuracy = pooled(
                at_rate.loc[at_rate["method"] == method, "reliability"]
            )
            look, shown = drawn[method], count >= FEW
            artist = look.artist() | {"linewidth": 1.0, "markersize": 0.7 * look.size}
            axes.plot(100 * confidence[shown], 100 * accuracy[shown], **artist)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.grid()
    panels.label("Confidence (%)", "Test accuracy (%)")
    legend(panels.figure, methods, drawn, panels.width)
    return panels.figure


def pooled(
    reliability: Iterable[Mapping[str, Sequence[Any]]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count, mean confidence and accuracy (B,) of several trials; NaN in empty bins."""
    names = ("count", "confidence", "accuracy")
    tables = [np.array([bins[name] for name in names], dtype=float) for bins in reliability]
    count = sum((table[0] for table in tables), np.zeros(1))
    with np.errstate(invalid="ignore"):
        confidence, accuracy = (
            sum((table[0] * np.nan_to_num(table[place]) for table in tables), np.zeros(1)) / count
            for place in (1, 2)
        )
    return count, confidence, accuracy


_REALISED = "realised"


def transitions_figure(trials: pd.DataFrame) -> Figure | None:
    """Draw the realised transition matrix and all estimates of it, a line per noise rate.

    Returns None where no method estimates one.

    Args:
        trials: one group's rows of trials that did not fail, under one rule.
    """
    known = trials[trials["estimated_transition"].notna()]
    if known.empty:
        return None
    methods, rates = sorted(set(known["method"])), sorted(set(known["noise_rate"]))
    true = [
        rate for rate in rates if known.loc[known["noise_rate"] == rate, "transition"].notna().all()
    ]
    columns = [_REALISED] * bool(true) + methods
    width = COLUMN if len(columns) <= 3 else PAGE
    side = (width - 0.9) / len(columns)
    figure = Figure(figsize=(width, 0.4 + (side + 0.34) * len(rates)), layout="constrained")
    grid = figure.subplots(len(rates), len(columns), squeeze=False)
    norm = PowerNorm(0.5, 0, 1)  # matrices differ in small shares
    for (i, rate), (j, column) in product(enumerate(rates), enumerate(columns)):
        axes, here = grid[i, j], known[known["noise_rate"] == rate]
        rows = here if column == _REALISED else here[here["method"] == column]
        if rows.empty or (column == _REALISED and rate not in true):
            axes.set_visible(False)
            continue
        matrices, below = (
            _matrices(rows, "transition" if column == _REALISED else "estimated_transition"),
            rate_title(rate),
        )
        if column != _REALISED and rate in true:
            realised = _matrices(rows, "transition")
            errors = np.abs(matrices - realised).sum((1, 2)) / np.abs(realised).sum((1, 2))
            below = f"error {errors.mean():.2f}"
        image = axes.imshow(matrices.mean(0), cmap="Blues", norm=norm, interpolation="nearest")
        axes.spines[:].set(visible=True, color="0.6")
        axes.set_title(f"{column}\n{below}")
        axes.tick_params(length=0, labelleft=j == 0, labelbottom=i == len(rates) - 1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlabel("Noisy label" if i == len(rates) - 1 else "")
        axes.set_ylabel("True class" if j == 0 else "")
    bar = figure.colorbar(
        image, ax=grid, fraction=0.04, pad=0.02, shrink=0.8, ticks=[0, 0.1, 0.3, 0.6, 1]
    )
    bar.set_label("Share of the class\n(square-root scale)")
    bar.outline.set_visible(False)
    return figure


def _matrices(trials: pd.DataFrame, name: str) -> np.ndarray:
    return np.array(list(trials[name]))


def embedding_figures(
    trials: pd.DataFrame, order: Sequence[str]
) -> dict[float, tuple[Figure, str]]:
    """Draw a t-SNE of the features of the best methods and the reference, per noise rate.

    Noise rates without recorded features have no figure.

    Args:
        trials: one group's rows of trials that did not fail, under one rule.
        order: methods, the best first.

    Returns:
        Figure and caption by noise rate.
    """
    result = {}
    order = sorted(order, key=lambda method: method == REFERENCE, reverse=True)
    for rate, at_rate in trials.groupby("noise_rate"):
        first = (
            at_rate.sort_values(SEEDS, kind="stable").drop_duplicates("method").set_index("method")
        )
        embedded: dict[str, dict[str, np.ndarray]] = {}
        for method in (method for method in order if method in first.index):
            samples = read_samples(first.at[method, "folder"], _NEEDED)
            if samples and len(embedded) < _EMBEDDED:
                embedded[method] = samples
        if embedded:
            count = max(len(samples["features"][:_SAMPLES]) for samples in embedded.values())
            seed = first.loc[list(embedded), "train_seed"].iloc[0]
            figure = _embedding(embedded, noise_title(float(rate), trials))  # type: ignore[arg-type]
            result[float(rate)] = figure, EMBEDDING_CAPTION.format(count, seed)  # type: ignore[arg-type]
    return result


_NEEDED = ("features", "feature_positions", "feature_truth", "noisy_labels")


def _embedding(embedded: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    side = (PAGE - 0.3) / _EMBEDDED
    width = max(COLUMN, 0.3 + side * len(embedded))
    side = (width - 0.3) / len(embedded)
    figure = Figure(figsize=(width, 0.45 + 2 * side), layout="constrained")
    grid = figure.subplots(2, len(embedded), squeeze=False)
    for column, (method, samples) in zip(grid.T, embedded.items(), strict=True):
        places = embed(samples["features"][:_SAMPLES].astype(np.float32))
        truth = samples["feature_truth"][:_SAMPLES]
        noisy = samples["noisy_labels"][samples["feature_positions"][:_SAMPLES]]
        _scatter(column[0], places, truth, truth)
        _scatter(column[1], places, noisy, truth)
        column[0].set_title(method)
    grid[0, 0].set_ylabel("true class")
    grid[1, 0].set_ylabel("noisy label")
    figure.suptitle(title, fontsize=8)
    return figure


def _scatter(axes: Axes, places: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> None:
    classes = sorted({*labels[labels >= 0]} | {*truth[truth >= 0]})
    few = len(classes) <= len(_CLASSES)
    colors = (
        _CLASSES
        if few
        else [to_hex(color) for color in colormaps["cividis"](np.linspace(0, 1, len(classes)))]
    )
    for label in sorted({*labels}):
        color = "0.8" if label < 0 else colors[classes.index(label)]
        for selected, marker in (
            ((labels == label) & (labels == truth), "."),
            ((labels == label) & (labels != truth), "x"),
        ):
            size, width = (7, 0.0) if marker == "." else (6, 0.6)
            axes.scatter(
                places[selected, 0],
                places[selected, 1],
                s=size,
                color=color,
                marker=marker,
                linewidths=width,
            )
    for label in classes if few else []:
        if (truth == label).any():
            x, y = np.median(places[truth == label], axis=0)
            axes.text(
                x,
                y,
                str(label),
                ha="center",
                va="center",
                fontsize=7,
                fontweight="bold",
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="0.8")


def embed(features: np.ndarray) -> np.ndarray:
    """Return the t-SNE (van der Maaten & Hinton, 2008) of features, (N, D) to (N, 2)."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums over threads come in any order
        return TSNE(perplexity=min(30, (len(features) - 1) / 3), random_state=0).fit_transform(
            features
        )


def features_figure(trials: pd.DataFrame, drawn: Mapping[str, Look]) -> Figure | None:
    """Draw the separation of classes in feature space, a panel per noise rate.

    Returns None without records of it.
    """
    known = trials[trials["feature_silhouette"].notna() & trials["feature_knn_accuracy"].notna()]
    if known.empty:
        return None
    methods = methods_of(known, drawn)
    panels = Panels(known, 1.9, entries_of(methods, drawn), share="all")
    columns = ["feature_knn_accuracy", "feature_silhouette"]
    means = known.groupby(["noise_rate", "method"])[columns].mean() * [100, 1]
    low, high = means.min().to_numpy(), means.max().to_numpy()
    margin = np.maximum(0.06 * (high - low), [0.5, 0.005])
    for axes, at_rate in panels.each():
        axes.set(
            xlim=(low[0] - margin[0], high[0] + margin[0]),
            ylim=(low[1] - margin[1], high[1] + margin[1]),
        )
        here = means.loc[at_rate["noise_rate"].iloc[0]].reindex(methods[::-1]).dropna()
        true, up = here.to_numpy().T
        coloured, places = np.array([drawn[method].coloured for method in here.index]), true.copy()
        places[coloured] = apart(axes, true[coloured], up[coloured], 0 * up[coloured], panels.panel)
        for method, x, y, place in zip(here.index, true, up, places, strict=True):
            look = drawn[method]
            lead(axes, x, place, y, look.color)
            axes.plot(place, y, **look.artist(line=False) | {"zorder": 3 if look.coloured else 2})
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.grid()
    panels.label("Neighbours' vote, accuracy (%)", "Silhouette")
    legend(panels.figure, methods, drawn, panels.width, lines=False)
    return panels.figure
