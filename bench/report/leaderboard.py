"""Leaderboard: a row per cell, method and rule, with its rank, cost and difference to a reference.

A *cell* holds all that makes trials comparable; a *group* is a cell without its noise rate: one
printed table. Ranks, ties, budgets and marks are computed here and nowhere else.
"""

import numpy as np
import pandas as pd

from bench.errors import InputError, unknown
from bench.planning.registry import REFERENCE, display
from bench.planning.selection import ORACLE
from bench.report.choice import chosen_rows, configurations
from bench.report.columns import BUDGET_RANKS, COST, DIFFERENCE, GAIN, PAIRED
from bench.report.metrics import ACCURACY, RANKED, Metric
from bench.report.rows import in_order
from bench.report.statistics import paired_differences, within_budget
from bench.report.tracks import PRIVILEGED
from bench.report.wording import BETTER, LOST_SEEDS, WORSE

#: Value of ``reference`` for no comparison.
NO_REFERENCE = "none"
_KEYS = ["cell", "rule", "method"]


def leaderboard(
    rows: pd.DataFrame, reference: str = REFERENCE, metric: Metric = ACCURACY
) -> pd.DataFrame:
    """Rank the configurations that the rules pick: a row per cell, method and rule.

    Ranks are competition ranks within a cell and rule: ties share the better one. Rows of the
    oracle have no rank, and rows that do not compete (``bench.report.tracks``) have neither rank
    nor significance. Differences are paired over seeds with equal labels that method and reference
    share. They are missing where the reference is, and where fewer than two seeds are common.

    Columns beside those of ``configurations``:
        place: 1 for the best printed mean of a cell and rule, 2 for the second, else 0.
        rank_3x: rank among rows that cost up to 3 times as much as ``ce``; missing above that, and
            where ``ce`` is.
        budget: the smallest such multiple.
        significantly_better: the 95 % interval of the difference lies above 0, or below where less
            of the metric is better.
        gain: paired difference of a wrapper to the method that it wraps.
        mark: marks that tables show behind the mean.

    Args:
        rows: from ``rows.rows_of``.
        reference: method to compare with, its privileged row where it has no other; "none" for no
            comparison.
        metric: figure to rank by and to compare. Epochs and configurations are selected by
            accuracy in any case.

    Raises:
        InputError: where no record is of ``reference``, unless it is the default one, or none has
            the metric.
    """
    reference = reference_label(reference, rows)
    _check(rows, reference, metric)
    table = configurations(rows, metric)
    table = table[table["chosen"]].reset_index(drop=True)
    # Means of one column may be over different seeds, or labels.
    drawn = table.groupby(["cell", "rule"])["drawn"]
    table["unequal_seeds"] = drawn.transform("nunique") > 1
    table = _with_ranks(table, metric)
    table["reference"] = _of_method(table, reference, "method")
    chosen = chosen_rows(rows, table)
    table = table.join(_differences(chosen, reference, metric), on=_KEYS)
    table["paired_seeds"] = table["paired_seeds"].astype("Int64")
    gains = _differences(chosen, chosen["wraps"], metric)[DIFFERENCE[:3]]
    table = table.join(gains.set_axis(GAIN, axis=1), on=_KEYS)
    return in_order(_with_marks(table, metric), ["rank", "method"])


def reference_label(reference: str, rows: pd.DataFrame) -> str:
    """Return the label of the reference's row: of its privileged one where it has no other."""
    label, methods = display(reference), set(rows["method"].unique())
    return label + PRIVILEGED if label not in methods and label + PRIVILEGED in methods else label


def _check(rows: pd.DataFrame, reference: str, metric: Metric) -> None:
    methods = set(rows["method"].unique())
    if reference not in {*methods, REFERENCE, NO_REFERENCE}:
        raise unknown("method in these records", reference, methods)
    if metric != ACCURACY and rows[metric.name].isna().all():
        recorded = [name for name in RANKED if rows[name].notna().any()]
        raise InputError(f"no record says {metric.name}: rank by {' or '.join(recorded)}")


def places(values: pd.Series, metric: Metric) -> list[int]:
    """Return 1 for the best of these fractions, 2 for the second, else 0; equal prints are ties."""
    printed = [None if pd.isna(value) else round(100 * value, 1) for value in values]
    order = sorted({value for value in printed if value is not None}, reverse=metric.more_is_better)
    return [1 + order.index(value) if value in order[:2] else 0 for value in printed]


def _with_ranks(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Add ranks, places, relative cost, and ranks within budgets."""
    competes = table["competes"].astype(bool)
    table = table.assign(rank=_ranks(table, competes, metric), place=0, budget=np.nan)
    for _, means in table[competes].groupby(["cell", "rule"])["mean"]:
        table.loc[means.index, "place"] = places(means, metric)
    table[COST] = table["cost_seconds"] / _of_method(table, REFERENCE, "cost_seconds")
    for budget, name in reversed(BUDGET_RANKS.items()):
        within = within_budget(table[COST], budget)
        table["budget"] = table["budget"].mask(within, budget)
        table[name] = _ranks(table, competes & within, metric)
    return table


def _ranks(table: pd.DataFrame, among: pd.Series, metric: Metric) -> pd.Series:
    """Return competition ranks of the rows ``among`` within a cell and rule, but the oracle's."""
    contenders = table["mean"].where(among).groupby([table["cell"], table["rule"]])
    ranks = contenders.rank(method="min", ascending=not metric.more_is_better)
    return ranks.astype("Int64").where(table["rule"] != ORACLE)


def _with_marks(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Add significance, and the marks that tables show; the oracle's rows are no evidence."""
    known = table["diff_ci_low"].notna() & table["competes"]
    higher, lower = table["diff_ci_low"] > 0, table["diff_ci_high"] < 0
    better, worse = (higher, lower) if metric.more_is_better else (lower, higher)
    mark = pd.Series("", table.index).mask(worse & known, WORSE).mask(better & known, BETTER)
    mark = mark.mask(table["rule"] == ORACLE, "")
    return table.assign(
        significantly_better=better.astype("boolean").where(known),
        significantly_worse=worse.astype("boolean").where(known),
        mark=mark.mask(table["lost"] > 0, mark + LOST_SEEDS),
    )


def _of_method(table: pd.DataFrame, method: str, column: str) -> pd.Series:
    """Return a figure of the method's row of the same cell and rule, for every row."""
    values = table[table["method"] == method].set_index(["cell", "rule"])[column]
    values = values.reindex(pd.MultiIndex.from_frame(table[["cell", "rule"]]))
    return pd.Series(values.to_numpy(), table.index)


def _differences(rows: pd.DataFrame, baseline: str | pd.Series, metric: Metric) -> pd.DataFrame:
    """Return paired differences to each row's ``baseline``, indexed by cell, rule and method."""
    seeds = ["cell", "rule", *PAIRED]
    rows = rows.assign(baseline=baseline)[rows[metric.name].notna()]
    others = rows[[*seeds, "method", metric.name]].rename(columns={"method": "baseline"})
    pairs = rows[rows["method"] != rows["baseline"]].merge(
        others, on=[*seeds, "baseline"], suffixes=("", "_of_baseline")
    )
    pairs["difference"] = pairs[metric.name] - pairs[f"{metric.name}_of_baseline"]
    groups = {key: group.to_numpy() for key, group in pairs.groupby(_KEYS)["difference"]}
    empty = pd.MultiIndex.from_arrays([[], [], []], names=_KEYS)
    index = pd.MultiIndex.from_tuples(groups, names=_KEYS) if groups else empty
    return pd.DataFrame(paired_differences(list(groups.values())), index, DIFFERENCE, dtype=float)


def methods_in_order(ranked: pd.DataFrame) -> list[str]:
    """Return the methods of a table by average rank.

    Methods that lack a noise rate come after the others, as their average says less, and those
    without a rank come last.
    """
    by_method = ranked.groupby("method")
    summary = pd.DataFrame(
        {"missing": -by_method.size(), "rank": by_method["rank"].mean().astype(float)}
    )
    summary["unranked"] = summary["rank"].isna()
    order = summary.reset_index().sort_values(["unranked", "missing", "rank", "method"])
    return list(order["method"])
