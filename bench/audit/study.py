"""Tables of a study of audits: scores, paired differences, calibration, rates, accuracies."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

Row = Mapping[str, Any]


def study_report(rows: Sequence[Row]) -> str:
    """Return the tables of all settings as Markdown.

    Args:
        rows: content of check.json, one for each setting and seed.
    """
    settings: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        settings.setdefault((row["dataset"], row["noise"], row["samples"]), []).append(row)
    parts = []
    for (dataset, noise, samples), group in sorted(settings.items()):
        seeds = "1 seed" if len(group) == 1 else f"{len(group)} seeds"
        parts += [f"## {dataset}, {noise}, {samples:,} samples, {seeds}", ""]
        parts += [*_scores(group), "", *_facts(group), ""]
    return "\n".join(parts)


def _scores(group: Sequence[Row]) -> list[str]:
    names = list(group[0]["scores"])
    best = {
        figure: max(
            (name for name in names if name.startswith("cleanlab")),
            key=lambda name: _mean(group, name, figure),
        )
        for figure in ("auc", "average_precision")
    }
    lines = ["| Score | AUC | AP | Precision |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {_mean(group, name, 'auc'):.3f} | "
        f"{_mean(group, name, 'average_precision'):.3f} | {_mean(group, name, 'precision'):.3f} |"
        for name in names
    ]
    for figure, title in (("auc", "AUC"), ("average_precision", "AP")):
        differences = _values(group, "audit", figure) - _values(group, best[figure], figure)
        line = f"{title}: audit less {best[figure]} {differences.mean():+.3f}"
        if len(group) > 1:
            low, high = interval(differences)
            line += f" ({low:+.3f} to {high:+.3f}, 95 %, paired)"
        lines += ["", f"{line}."]
    return lines


def _facts(group: Sequence[Row]) -> list[str]:
    inside = [row["rate"][0] <= row["true_rate"] <= row["rate"][2] for row in group]
    ranges = ", ".join(
        f"{100 * row['rate'][0]:.1f} to {100 * row['rate'][2]:.1f} ({100 * row['true_rate']:.1f})"
        for row in group
    )
    accuracies = {
        name: np.mean([row["accuracies"][name] for row in group]) for name in group[0]["accuracies"]
    }
    listed = ", ".join(f"{name} {100 * value:.1f}" for name, value in accuracies.items())
    errors = ", ".join(f"{row['calibration_error']:.3f}" for row in group)
    return [
        f"- calibration error: {errors}",
        f"- estimated share of wrong labels in % (true): {ranges}; inside: {sum(inside)} of "
        f"{len(group)}",
        f"- test accuracy of a linear head in %, by its labels: {listed}",
    ]


def _values(group: Sequence[Row], name: str, figure: str) -> np.ndarray:
    values = [row["scores"][name][figure] for row in group]
    return np.array([np.nan if value is None else value for value in values])


def _mean(group: Sequence[Row], name: str, figure: str) -> float:
    return float(_values(group, name, figure).mean())


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean of two or more values, by Student's t."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)
