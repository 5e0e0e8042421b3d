"""Configurations of searches as the page shows them, in parallel coordinates."""

import json
import math
from typing import Any

import pandas as pd

from bench.report.board import Board
from bench.report.metrics import ACCURACY
from bench.report.searches.importance import ALONE, FANOVA, UNKNOWN
from bench.report.searches.trials import SEARCH_KEY, is_numeric, short_names, varied
from bench.report.wording import group_title, rate_title


def searches_data(board: Board) -> list[dict[str, Any]]:
    """Return an entry per search: its title, axes and lines, as searches.js reads them.

    Axes are its hyper-parameters, the most important first, then accuracy on noisy validation
    labels, or what else the search compared, and test accuracy. Accuracies are in percent.
    """
    if not len(board.search_trials):
        return []
    groups = board.search_trials["group"].nunique()
    entries = []
    for (cell, method), tried in board.search_trials.groupby(SEARCH_KEY, sort=False):
        title = f"{method}, {rate_title(tried['noise_rate'].iloc[0])}"
        importance = board.importance
        shares = importance[
            (importance["cell"] == cell)
            & (importance["method"] == method)
            & (importance["evaluator"] == FANOVA)
        ]
        compared = "Noisy validation (%)"
        if (goal := tried["goal"].iloc[0]) != "noisy-val":
            compared = f"{goal} (%)"
        entries.append(
            {
                "title": f"{title} ({group_title(tried)})" if groups > 1 else title,
                "axes": [
                    *_axes(tried, shares),
                    _accuracy(compared, tried["value"]),
                    _accuracy("Test accuracy (%)", tried[ACCURACY.name]),
                ],
                "labels": [text or "defaults" for text in tried["config"]],
                "picked": int((tried["place"] == 0).to_numpy().argmax()),
                "places": tried["place"].tolist(),
            }
        )
    return entries


def _axes(tried: pd.DataFrame, shares: pd.DataFrame) -> list[dict[str, Any]]:
    known = list(shares["hyper_parameter"])
    names = sorted(varied(tried), key=lambda name: known.index(name) if name in known else 99)
    short = short_names(names)
    notes = {row["hyper_parameter"]: _note(row) for row in shares.to_dict("records")}
    axes = []
    for name in names:
        values = [settings.get(name) for settings in tried["settings"]]
        if not is_numeric(values):
            values = [value if isinstance(value, str) else json.dumps(value) for value in values]
        axes.append({"name": short[name], "note": notes.get(name, ""), "values": values})
    return axes


def _note(row: dict[str, Any]) -> str:
    if row["verdict"] == ALONE or math.isnan(row["importance"]):
        return ""
    if row["verdict"] == UNKNOWN:
        return f"importance {UNKNOWN}"
    return f"importance {100 * row['importance']:.0f} %"


def _accuracy(name: str, values: pd.Series) -> dict[str, Any]:
    figures = [
        None if math.isnan(value) else round(100 * value, 2) for value in values.astype(float)
    ]
    return {"name": name, "note": "", "values": figures}
