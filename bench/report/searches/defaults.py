"""Configurations that do well in all cells, as defaults for other sweeps.

Candidates are the configurations of a searched method that ran on the leaderboard's seeds in each
of its cells: the first one, those that a command line gives, and the picks of searches that
``--transfer`` ran at every noise rate. Their accuracy on noisy validation labels ranks them in each
cell, and the best mean rank is proposed. Test accuracy is shown as the outcome, and decides
nothing.
"""

from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.common.identity import SHARED
from bench.planning.selection import DECIMALS, DEFAULT_RULE
from bench.planning.tuned_defaults import Evidence, Proposal, TunedDefaults
from bench.report.columns import SEEDS
from bench.report.searches.tunability import mean_over_cells, paired
from bench.report.statistics import paired_differences
from bench.report.wording import rate_title

COLUMNS = (
    "method config is_first chosen mean_rank ranks score gain gain_low gain_high seeds cells "
    "hparams"
).split()


def tuned_defaults(rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per searched method and candidate, by mean rank.

    Only cells of the shared recipe count: a paper's recipe is a part of a configuration.

    Args:
        rows: from ``rows.rows_of``, of the leaderboard's trials.
        trials: from ``trials.search_trials``.

    Returns:
        ``ranks`` by noisy validation accuracy in each cell, as a tuple, 1 for the best, and
        ``mean_rank``; mean ``score``, which is that accuracy; ``gain`` in test accuracy over the
        first configuration, mean over cells, with the ends of its 95 % t interval over seeds;
        number of common ``seeds`` of a cell, at least; ``cells``, their names; whether it is
        ``chosen``. A method has rows where two of its cells have the same first configuration.
    """
    if not len(trials):
        return pd.DataFrame(columns=COLUMNS)
    plain = rows[(rows["rule"] == DEFAULT_RULE) & (rows["told"] == 1) & ~rows["lost"].astype(bool)]
    tables = [
        _of_method(plain[plain["name"] == name], tried)
        for name, tried in _shared(trials).groupby("name", sort=True)
    ]
    return pd.DataFrame([row for table in tables for row in table], columns=COLUMNS)


def why_none(trials: pd.DataFrame) -> str:
    """Return why no method has several candidates, as ``tuned_defaults`` gives none.

    Args:
        trials: from ``trials.search_trials``.
    """
    firsts = [
        tried[tried["first"]].drop_duplicates("cell")
        for _, tried in _shared(trials).groupby("name", sort=True)
    ]
    if not firsts:
        return "no search has the shared recipe"
    if all(len(cells) < 2 for cells in firsts):
        return "no method was searched in two cells"
    if all(len(cells) < 2 or cells["hparams"].nunique() > 1 for cells in firsts):
        return "the searches of a method began with other configurations in each cell"
    return "no configuration but the first ran in all cells"


def _shared(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of searches with the shared recipe."""
    return trials[[protocol.partition(", ")[0] == SHARED for protocol in trials["protocol"]]]


def _of_method(rows: pd.DataFrame, tried: pd.DataFrame) -> list[dict[str, Any]]:
    firsts = tried[tried["first"]].drop_duplicates("cell")
    if len(firsts) < 2 or firsts["hparams"].nunique() > 1:
        return []
    first = firsts.iloc[0]
    candidates = _candidates(rows, list(firsts["cell"]), first["hparams"])
    if first["hparams"] not in candidates:
        return []
    scores = pd.DataFrame(
        {cell: _scores(rows[rows["cell"] == cell], candidates) for cell in firsts["cell"]}
    )
    ranks = scores.round(DECIMALS).rank(ascending=False)
    order = pd.DataFrame(
        {
            "mean_rank": ranks.mean(axis=1).round(DECIMALS),
            "score": -scores.mean(axis=1),
            "other": ranks.index != first["hparams"],
        }
    )
    # On equal ranks the first configuration, which needs no tuning, then the higher score.
    order = order.sort_values(["mean_rank", "other", "score"], kind="stable")
    result = []
    for hparams in order.index:
        pairs = [paired(rows, at, pd.Series({"hparams": hparams})) for _, at in firsts.iterrows()]
        means = mean_over_cells(pairs)
        [(gain, low, high, _, _)] = paired_differences(
            [(means["second"] - means["first"]).to_numpy()]
        )
        result.append(
            {
                "method": first["name"],
                "config": rows.loc[rows["hparams"] == hparams, "config"].iloc[0],
                "is_first": hparams == first["hparams"],
                "chosen": hparams == order.index[0],
                "mean_rank": order.loc[hparams, "mean_rank"],
                "ranks": tuple(ranks.loc[hparams]),
                "score": scores.loc[hparams].mean(),
                "gain": gain,
                "gain_low": low,
                "gain_high": high,
                "seeds": min(len(each) for each in pairs),
                "cells": tuple(_cell_name(at) for _, at in firsts.iterrows()),
                "hparams": hparams,
            }
        )
    return result


def _candidates(rows: pd.DataFrame, cells: list[str], first: str) -> list[str]:
    """Return the settings that ran in all cells, on all seeds of the first configuration there.

    Those that read other facts about the noise than it does, or were tuned on true labels, are
    none.
    """
    common: set[str] | None = None
    for cell in cells:
        in_cell = rows[rows["cell"] == cell]
        base = in_cell[in_cell["hparams"] == first]
        seeds, privileges = _seeds(base), set(base["privileges"])
        complete = {
            str(hparams)
            for hparams, trials in in_cell[in_cell["privileges"].isin(privileges)].groupby(
                "hparams"
            )
            if seeds and seeds <= _seeds(trials)
        }
        common = complete if common is None else common & complete
    return sorted(common or ())


def _seeds(trials: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(trials[SEEDS].itertuples(index=False, name=None))


def _scores(rows: pd.DataFrame, candidates: list[str]) -> pd.Series:
    """Return mean noisy validation accuracy of candidates over the seeds that all of them have."""
    trials = rows[rows["hparams"].isin(candidates)].drop_duplicates("id")
    by_seed = trials.pivot_table("score", index=SEEDS, columns="hparams").dropna()
    return by_seed.mean().reindex(candidates)


def _cell_name(at: pd.Series) -> str:
    return f"{at['dataset']}, {at['noise_kind']} {rate_title(at['noise_rate'])}"


def proposal(table: pd.DataFrame) -> TunedDefaults | None:
    """Return the content of the file of proposed defaults; None where there is nothing to compare.

    Args:
        table: from ``tuned_defaults``.
    """
    methods = {}
    for method, candidates in table.groupby("method", sort=True):
        if len(candidates) < 2:
            continue
        [chosen], [first] = (
            candidates[candidates[name].astype(bool)].to_dict("records")
            for name in ("chosen", "is_first")
        )
        methods[str(method)] = Proposal(
            hparams=msgspec.json.decode(chosen["hparams"]),
            evidence=Evidence(
                candidates=len(candidates),
                cells=list(chosen["cells"]),
                seeds=int(chosen["seeds"]),
                mean_rank=chosen["mean_rank"],
                mean_rank_of_first=first["mean_rank"],
                **{name: _figure(chosen[name]) for name in ("gain", "gain_low", "gain_high")},
            ),
        )
    return TunedDefaults(methods=methods) if methods else None


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
