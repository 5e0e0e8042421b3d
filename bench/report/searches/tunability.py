"""Tunability (Probst et al., 2019): gain of the tuned configuration over the first one.

Both ran on the leaderboard's seeds, which no search has seen, and are paired over them. The first
configuration is that of the method's defaults, with what the command line fixes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bench.planning.selection import DEFAULT_RULE
from bench.report.columns import PAIRED, SEEDS
from bench.report.metrics import ACCURACY
from bench.report.searches.trials import ABOUT, METHOD_KEY, parts
from bench.report.statistics import paired_differences

COLUMNS = "config first tuned gain gain_low gain_high p_value pairs search_seconds cells".split()


def tunability(rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per search, and one for the mean over the cells of a group.

    Args:
        rows: from ``rows.rows_of``, of the leaderboard's trials.
        trials: from ``trials.search_trials``.

    Returns:
        Test accuracy of the ``first`` and of the ``tuned`` configuration, each at the epoch of best
        noisy validation accuracy, mean over pairs; their difference ``gain`` with the ends of its
        95 % t interval; ``search_seconds`` of training that the search took; number of ``cells``
        that the row is over. Rows over several cells have no noise rate: their pairs are means over
        cells, seed by seed. Searches whose pick has no trial on the leaderboard's seeds are left
        out. Accuracies are fractions.
    """
    table: list[dict[str, Any]] = []
    by_rule = rows[(rows["rule"] == DEFAULT_RULE) & (rows["told"] == 1)]
    for search in parts(trials, METHOD_KEY):
        cells: list[tuple[Mapping[str, Any], pd.DataFrame]] = []
        for tried in parts(search):
            first = tried[tried["first"]].iloc[0]
            picked = tried[tried["place"] == 0].iloc[0]
            pairs = paired(by_rule, first, picked)
            if len(pairs):
                about = tried.iloc[0][ABOUT].to_dict() | {
                    "config": picked["config"],
                    "search_seconds": tried["seconds"].sum(),
                    "cells": 1,
                }
                cells.append((about, pairs))
        table += [_row(about, pairs) for about, pairs in cells]
        if len(cells) > 1:
            table += _over_cells(cells)
    return pd.DataFrame(table, columns=[*ABOUT, *COLUMNS])


def paired(rows: pd.DataFrame, first: pd.Series, second: pd.Series) -> pd.DataFrame:
    """Return test accuracies of two configurations of a cell, ``first`` and ``second``, by seed."""
    in_cell = rows[(rows["cell"] == first["cell"]) & (rows["name"] == first["name"])]
    columns = {}
    for name, configuration in (("first", first), ("second", second)):
        trials = in_cell[in_cell["hparams"] == configuration["hparams"]]
        # A trial stands once for each track that it is on.
        columns[name] = trials.drop_duplicates("id").set_index(PAIRED)[ACCURACY.name].astype(float)
    return pd.DataFrame(columns).dropna()


def _row(about: Mapping[str, Any], pairs: pd.DataFrame) -> dict[str, Any]:
    [(mean, low, high, p_value, count)] = paired_differences(
        [(pairs["second"] - pairs["first"]).to_numpy()]
    )
    return {
        **about,
        "first": pairs["first"].mean(),
        "tuned": pairs["second"].mean(),
        "gain": mean,
        "gain_low": low,
        "gain_high": high,
        "p_value": p_value,
        "pairs": int(count),
    }


def _over_cells(
    cells: list[tuple[Mapping[str, Any], pd.DataFrame]],
) -> Iterator[dict[str, Any]]:
    """Yield the row of the mean over cells, over the seeds that all of them have."""
    mean = mean_over_cells([pairs for _, pairs in cells])
    if len(mean):
        about = dict(cells[0][0]) | {
            "noise_rate": float("nan"),
            "cell": "",
            "config": "",
            "cells": len(cells),
            "search_seconds": sum(each["search_seconds"] for each, _ in cells),
        }
        yield _row(about, mean)


def mean_over_cells(cells: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the pairs averaged over cells, seed by seed; cells differ in labels, not in seeds."""
    by_seed = pd.concat(
        [pairs.reset_index().groupby(SEEDS)[["first", "second"]].mean() for pairs in cells]
    )
    grouped = by_seed.groupby(level=SEEDS)
    return grouped.mean()[grouped.size() == len(cells)]
