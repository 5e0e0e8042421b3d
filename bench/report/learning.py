"""Corrected labels and separated features of final networks: a check of what methods claim."""

from typing import Any

import numpy as np
import pandas as pd

from bench.planning.registry import REFERENCE
from bench.planning.selection import final
from bench.report.columns import FEATURES, PAIRED
from bench.report.statistics import paired_differences
from bench.report.tables import Table, entries
from bench.report.wording import NONE, decimal, percent, rate_title

#: Figures of the features, in which a method is compared with the reference.
_NAMES = dict(zip(FEATURES, ("silhouette", "knn"), strict=True))
_CURVE = "label_correction_accuracy_curve"
_ENDS = ["", "_low", "_high"]
_RIGHT = [f"targets_right_{when}" for when in ("first", "half", "last")]
COLUMNS = ["seeds", "labels_right", *_RIGHT, *(f"targets_gain{end}" for end in _ENDS)]
COLUMNS += [
    column for name in _NAMES.values() for column in (name, *(f"{name}_gain{end}" for end in _ENDS))
]

#: Rule whose rows are of final networks: no epoch is picked.
RULE = "last"


def learning(chosen: pd.DataFrame) -> pd.DataFrame:
    """Return a row per cell and method that corrects targets or recorded its features.

    ``labels_right`` is the share of training labels that are right as given (in records of earlier
    versions, of training and validation labels); ``targets_right_*``
    the share of samples whose target is highest at the true class, in the first epoch, half way and
    over the final tenth, of methods that correct labels; ``targets_gain`` the last minus
    ``labels_right``, and ``silhouette_gain``, ``knn_gain`` the paired differences to the reference,
    with the ends of their 95 % t intervals. Failed trials have none of it.

    Args:
        chosen: from ``choice.chosen_rows``.
    """
    rows = chosen[(chosen["rule"] == RULE) & chosen["succeeded"]]
    lines: list[dict[str, Any]] = []
    gains: dict[str, list[np.ndarray]] = {name: [] for name in ("targets", *_NAMES.values())}
    for _, in_cell in rows.groupby("cell", sort=False):
        features = {
            name: in_cell.pivot(index=PAIRED, columns="method", values=key)
            for key, name in _NAMES.items()
        }
        for method, trials in in_cell.groupby("method", sort=False):
            right = 1 - trials["training_noise_rate"].to_numpy(dtype=float)
            targets = np.array([_targets_right(curve) for curve in trials[_CURVE]])
            line = trials.iloc[0].to_dict() | {"seeds": len(trials), "labels_right": right.mean()}
            line |= {name: at.mean() for name, at in zip(_RIGHT, targets.T, strict=True)}
            gains["targets"].append(targets[:, -1] - right)
            for name, values in features.items():
                line[name] = values[method].mean()
                compared = REFERENCE in values and method != REFERENCE
                gain = values[method] - values[REFERENCE] if compared else pd.Series(dtype=float)
                gains[name].append(gain.to_numpy())
            lines.append(line)
    table = pd.DataFrame(lines, columns=list(dict.fromkeys([*rows.columns, *COLUMNS])))
    for name, differences in gains.items():
        known = [values[np.isfinite(values)] for values in differences]
        table[[f"{name}_gain{end}" for end in _ENDS]] = paired_differences(known)[:, :3]
    known_rows = table[[_RIGHT[-1], *_NAMES.values()]].notna().any(axis=1)
    return table[known_rows].reset_index(drop=True)


def _targets_right(curve: np.ndarray) -> tuple[float, float, float]:
    """Return the figure of the first epoch, half way, and over the final tenth."""
    return curve[0], curve[len(curve) // 2], curve[final(len(curve))].mean()


def learning_table(table: pd.DataFrame) -> Table:
    """Return the table of one group of cells, from the rows of ``learning``."""
    lines = []
    for _, row in table.sort_values("noise_rate", kind="stable").iterrows():
        right = list(row[_RIGHT])
        steps = " → ".join(map(percent, right)) if not any(map(pd.isna, right)) else NONE
        line = entries(rate_title(row["noise_rate"]), row["method"], steps)
        line += entries(_gain(row, "targets", 100, 1))
        line += entries(decimal(row["silhouette"], 3), _gain(row, "silhouette", 1, 3))
        line += entries(percent(row["knn"]), _gain(row, "knn", 100, 1))
        lines.append(line)
    difference = f"Difference to {REFERENCE}"
    columns = ["Noise rate", "Method", "Targets right (%): first epoch, half way, end"]
    columns += ["Gain over the labels as given", "Silhouette", difference]
    columns += ["Neighbours' vote (%)", difference]
    caption = "Labels corrected, and features separated, of the final networks (rule last)"
    return Table(caption, columns, lines)


def _gain(row: pd.Series, name: str, scale: int, digits: int) -> str:
    mean, low, high = (scale * row[f"{name}_gain{end}"] for end in _ENDS)
    if pd.isna(mean):
        return NONE
    interval = "" if pd.isna(low) else f" ± {(high - low) / 2:.{digits}f}"
    return f"{mean:+.{digits}f}{interval}".replace("-", "−")
