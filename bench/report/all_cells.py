"""Accuracy of every method in every cell, in one table, and whether the cells agree."""

from collections.abc import Mapping
from itertools import combinations_with_replacement, product
from statistics import fmean
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.planning.selection import DEFAULT_RULE
from bench.report.agreement import kendall_tau
from bench.report.cells import key_of
from bench.report.columns import SEEDS
from bench.report.leaderboard import places
from bench.report.metrics import ACCURACY
from bench.report.statistics import AverageRanks
from bench.report.tables import Entry, Table, entries, mean_entry, rows_by
from bench.report.wording import NONE, decimal, rate_title

#: Number of cells above which the table has no room for them.
MOST = 8

_RANK = "Average rank"

#: Parts of a group's key in which named cells may differ.
_NAMED = ("dataset", "data_hash", "noise_kind", "noise_hash")

#: Accuracies of the methods (M,) by seeds.
Orders = Mapping[Any, np.ndarray]


def all_cells_table(leaderboard: pd.DataFrame, ranks: AverageRanks) -> Table:
    """Return the methods of all cells, the best on average first.

    It has a column for each cell, unless there are many, or cells differ in more than data set and
    noise.

    Args:
        leaderboard: rows of the competing methods, under any rules.
        ranks: their average ranks.
    """
    rows = leaderboard[leaderboard["rule"] == DEFAULT_RULE]
    names = cell_names(rows)
    rows = rows[rows["method"].isin(ranks.ranks.index)]
    rows = rows.assign(place=rows.groupby("cell")["mean"].transform(places, ACCURACY))
    by_place = rows_by(rows, "method", "cell")
    lines = []
    for method, rank in ranks.ranks.items():
        means = [mean_entry(by_place[method, cell], placed=True) for cell in names]
        lines.append([Entry(str(method)), *means, Entry(f"{rank:.2f}")])
    caption = "Test accuracy (%), epoch and configuration selected by noisy validation accuracy"
    return Table(caption if names else _RANK, ["Method", *names.values(), _RANK], lines)


def cells_agreement_table(chosen: pd.DataFrame, ranks: AverageRanks) -> Table | None:
    """Return Kendall's tau between the orders of the methods in each two cells.

    An entry is the mean over pairs of different seeds, one of each cell, so that the diagonal is
    what a cell agrees with itself. Only seeds that all methods have count. With one seed in all,
    orders of this seed are compared, and the diagonal is empty. None where ``all_cells_table`` has
    no column for each cell.

    Args:
        chosen: trials of the competing methods that the leaderboard summarises, under any rules.
        ranks: average ranks of the methods to compare.
    """
    trials = chosen[(chosen["rule"] == DEFAULT_RULE) & chosen["method"].isin(ranks.ranks.index)]
    names = cell_names(trials)
    if not names:
        return None
    table = trials.pivot(index=["cell", *SEEDS], columns="method", values=ACCURACY.name)
    accuracies = table.dropna()  # seeds that all methods have
    orders = {
        cell: {seeds: row.to_numpy() for seeds, row in rows.droplevel("cell").iterrows()}
        for cell, rows in accuracies.groupby("cell")
    }
    taus = {
        frozenset(pair): _mean_tau(
            *(orders.get(cell, {}) for cell in pair), same_cell=pair[0] == pair[1]
        )
        for pair in combinations_with_replacement(names, 2)
    }
    lines = []
    for first, name in names.items():
        line = (taus[frozenset({first, second})] for second in names)
        lines.append(entries(name, *(NONE if np.isnan(tau) else decimal(tau, 2) for tau in line)))
    caption = "Agreement of the cells: Kendall's τ between their orders of the methods"
    return Table(caption, ["Cell", *names.values()], lines)


def _mean_tau(first: Orders, second: Orders, *, same_cell: bool) -> float:
    """Return the mean over pairs of different seeds, of equal ones where there are no others.

    Pairs with a seed on which all methods tie have no tau, and do not count.
    """
    pairs = list(product(first, second))
    different = [(one, other) for one, other in pairs if one != other]
    compared = different if different or same_cell else pairs
    taus = [kendall_tau(first[one], second[other]) for one, other in compared]
    taus = [tau for tau in taus if not np.isnan(tau)]
    return fmean(taus) if taus else np.nan


def _settings(group: str) -> str:
    """Return what a group's key says beside data and noise, as a text."""
    parts = msgspec.json.decode(group)
    return key_of({name: value for name, value in parts.items() if name not in _NAMED})


def cell_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return names of all cells by what differs among them: data set, and noise with its rate.

    Empty where there are more than MOST, or where cells of a data set differ in other things.
    """
    cells = rows.drop_duplicates("cell")
    if (cells["group"].map(_settings).groupby(cells["dataset"]).nunique() > 1).any():
        return {}
    datasets = cells["dataset"].nunique() > 1
    names = [
        f"{f'{row.dataset}, ' * datasets}{row.noise_kind} {rate_title(row.noise_rate)}"
        for row in cells.itertuples()
    ]
    told_apart = len(names) <= MOST and len({*names}) == len(names)
    return dict(zip(cells["cell"], names, strict=True)) if told_apart else {}
