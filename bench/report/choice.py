"""Configurations of each method over their seeds, and the one that each rule picks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bench.planning.selection import DECIMALS, best_configuration
from bench.report.columns import FEATURES, GROUP, LEARNING, PAIRED, SECONDS
from bench.report.metrics import ACCURACY, RESOURCES, Metric
from bench.report.statistics import half_width

_ABOUT_CELL = [
    *GROUP,
    *"further network frozen pretraining start pretrained imported noise_rate group".split(),
    *("classes", "tested_classes", "noisy_test"),
]
_ABOUT_CONFIGURATION = (
    "wraps config is_default privileges epochs backbone recipe name track told tuned_at tried "
    "search competes"
).split()
_FIGURES = [ACCURACY.name, *LEARNING, *FEATURES, *RESOURCES, *SECONDS]
_FIGURES += ["realised_noise_rate", "training_noise_rate", "validation_images"]


def configurations(rows: pd.DataFrame, metric: Metric = ACCURACY) -> pd.DataFrame:
    """Summarise the rows of trials over seeds: a row per cell, method, configuration and rule.

    Args:
        rows: from ``rows.rows_of``; their order decides which of equal configurations is the first.

    Returns:
        ``mean`` of the metric over seeds with ``ci95``, the half-width of its t interval (missing
        for one seed), mean ``score``, number of ``seeds``, of ``failures`` among them and of
        ``lost`` seeds, mean costs, and whether the rule has ``chosen`` the configuration.
    """
    keys = ["cell", "method", "hparams", "rule"]
    grouped = rows.groupby(keys, sort=False)
    table = grouped[[*_ABOUT_CELL, *_ABOUT_CONFIGURATION]].first(skipna=False)
    values = grouped[metric.name]
    table["metric"] = metric.name
    table["mean"] = values.mean().round(DECIMALS)
    table["lost"] = grouped["lost"].sum()
    table["seeds"] = grouped.size() - table["lost"]
    table["ci95"] = half_width(values.sem(), values.count())
    table["score"] = grouped["score"].mean().round(DECIMALS)
    table["failures"] = grouped["failed"].sum()
    table["trained_encoder"] = grouped["trained_encoder"].any()
    table[_FIGURES] = grouped[_FIGURES].mean()
    table["epoch"] = grouped["epoch"].median()
    codes = rows[[*keys, "code"]].drop_duplicates()
    table["codes"] = codes.groupby(keys, sort=False)["code"].agg(tuple)
    drawn = pd.util.hash_pandas_object(rows[PAIRED], index=False).where(~rows["lost"], np.uint64(0))
    table["drawn"] = drawn.groupby([rows[key] for key in keys], sort=False).sum()
    table = table.reset_index()
    rivals = table.groupby(["cell", "method", "rule"], sort=False)
    table["configurations"] = rivals["mean"].transform("size")
    # A search has tried more configurations than the one that it picked.
    table["configurations"] = table[["configurations", "tried"]].max(axis=1)
    return table.assign(chosen=_chosen(table, rivals.indices.values()))


def _chosen(table: pd.DataFrame, rivals: Iterable[np.ndarray]) -> np.ndarray:
    """Return whether each row is the best one of its group of positions, (N,)."""
    chosen = np.zeros(len(table), dtype=bool)
    score, seeds, is_default = (table[name].to_numpy() for name in ("score", "seeds", "is_default"))
    for places in rivals:
        best = best_configuration(score[places], seeds[places], is_default[places])
        chosen[places[best]] = True
    return chosen


def chosen_rows(rows: pd.DataFrame, leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of trials that the rows of a leaderboard summarise."""
    keys = ["cell", "rule", "method", "hparams"]
    return rows.merge(leaderboard[keys], on=keys)
