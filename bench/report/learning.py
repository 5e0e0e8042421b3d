"""What becomes of wrong labels in targets, and of classes in features: whether a method's own
claims hold, cell by cell.
"""

from typing import Any

import numpy as np
import pandas as pd

from bench.planning.registry import REFERENCE
from bench.planning.selection import final
from bench.report.columns import PAIRED
from bench.report.statistics import paired_differences

#: Figures of the final network's features, of which a method is compared with the reference.
_FEATURES = {"feature_silhouette": "silhouette", "feature_knn_accuracy": "knn"}
_CURVE = "label_correction_accuracy_curve"
WHEN = ["first", "half", "last"]
ENDS = ["", "_low", "_high"]
LEARNING_COLUMNS = ["seeds", "labels_right", *(f"targets_right_{when}" for when in WHEN)]
LEARNING_COLUMNS += [f"targets_gain{end}" for end in ENDS]
LEARNING_COLUMNS += [
    column
    for name in _FEATURES.values()
    for column in (name, *(f"{name}_gain{end}" for end in ENDS))
]

#: Whose trained networks are looked at: nobody picks an epoch.
RULE = "last"


def learning(chosen: pd.DataFrame) -> pd.DataFrame:
    """A row per cell and method: how right its targets are over epochs, and how separated its
    features.

    ``labels_right`` is the share of training labels that are right as given; ``targets_right_*``
    the share of samples whose target is highest at the true class, in the first epoch, half way and
    over the final tenth, of methods that correct labels; ``targets_gain`` the last minus
    ``labels_right``, and ``silhouette_gain``, ``knn_gain`` the paired differences to the reference,
    with the ends of their 95 % t intervals. Failed trials have none of it.

    Args:
        chosen: from ``leaderboard.chosen_rows``.
    """
    rows = chosen[(chosen["rule"] == RULE) & chosen["succeeded"]]
    found: list[dict[str, Any]] = []
    gains: dict[str, list[np.ndarray]] = {name: [] for name in ("targets", *_FEATURES.values())}
    for _, in_cell in rows.groupby("cell", sort=False):
        features = {
            name: in_cell.pivot(index=PAIRED, columns="method", values=key)
            for key, name in _FEATURES.items()
        }
        for method, own in in_cell.groupby("method", sort=False):
            right = 1 - own["realised_noise_rate"].to_numpy(dtype=float)
            targets = {when: np.array([_at(curve, when) for curve in own[_CURVE]]) for when in WHEN}
            row = own.iloc[0].to_dict() | {"seeds": len(own), "labels_right": right.mean()}
            row |= {f"targets_right_{when}": values.mean() for when, values in targets.items()}
            gains["targets"].append(targets["last"] - right)
            for name, values in features.items():
                row[name] = values[method].mean()
                compared = REFERENCE in values and method != REFERENCE
                gains[name].append(
                    (values[method] - values[REFERENCE]).to_numpy() if compared else np.array([])
                )
            found.append(row)
    table = pd.DataFrame(found, columns=list(dict.fromkeys([*rows.columns, *LEARNING_COLUMNS])))
    for name, differences in gains.items():
        known = [own[np.isfinite(own)] for own in differences]
        table[[f"{name}_gain{end}" for end in ENDS]] = paired_differences(known)[:, :3]
    return table[
        table[["targets_right_last", *_FEATURES.values()]].notna().any(axis=1)
    ].reset_index(drop=True)


def _at(curve: np.ndarray, when: str) -> float:
    if when == "first":
        return float(curve[0])
    if when == "half":
        return float(curve[len(curve) // 2])
    return float(curve[final(len(curve))].mean())
