"""Effect of the selection rule: accuracy lost to the oracle, and agreement between the rules."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.planning.selection import DECIMALS, DEFAULT_RULE, ORACLE, rule_order

#: A cell is flagged below this correlation of noisy validation and test accuracy: selecting by the
#: first is not selecting by the second.
AGREEMENT = 0.5
#: Fewest epochs, or configurations, of a correlation.
ENOUGH = 5

#: Correlations of noisy validation with test accuracy, and whether one is low.
CORRELATIONS = ["over_epochs", "over_configurations", "flagged"]


def rules_of(table: pd.DataFrame) -> list[str]:
    """Return the rules of a table, in their order."""
    return sorted(table["rule"].unique(), key=rule_order)


def rankable(table: pd.DataFrame) -> list[str]:
    """Return the table's rules by which one may rank: all but the oracle."""
    return [rule for rule in rules_of(table) if rule != ORACLE]


def regrets(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return the rows but the oracle's with the ``oracle`` accuracy and the ``regret``.

    The regret is the accuracy that following the rule has lost. It is missing where the oracle's
    mean is over other seeds, as few trials know clean validation labels.

    Args:
        leaderboard: from ``leaderboard.leaderboard``.
    """
    oracle = leaderboard[leaderboard["rule"] == ORACLE].set_index(["cell", "method"])
    table = leaderboard[leaderboard["rule"] != ORACLE].copy()
    oracle = oracle.reindex(pd.MultiIndex.from_frame(table[["cell", "method"]]))
    table["oracle"] = oracle["mean"].to_numpy()
    same = table["drawn"].to_numpy() == oracle["drawn"].to_numpy()
    table["regret"] = (table["oracle"] - table["mean"]).where(same).round(DECIMALS)
    return table


def agreement(
    rows: pd.DataFrame, leaderboard: pd.DataFrame, configurations: pd.DataFrame
) -> pd.DataFrame:
    """Return a row per cell: agreement of the rules, and of validation and test accuracy.

    ``tau_A_B`` is Kendall's tau-b between the orders of methods by rules A and B; ``best_A`` the
    methods that A puts first; ``over_epochs`` the median over trials of Spearman's correlation of
    noisy validation with test accuracy, ``over_configurations`` that of score and accuracy over all
    configurations of all methods; ``flagged`` where one is below AGREEMENT.

    Args:
        rows, leaderboard, configurations: those of a ``Board``, or their rows that compete.
    """
    trials = rows[(rows["rule"] == DEFAULT_RULE) & rows["succeeded"]]
    correlations = pd.Series(_epoch_correlations(trials), trials.index)
    over_epochs = correlations.groupby(trials["cell"]).median()
    scored = configurations[configurations["rule"] == DEFAULT_RULE].dropna(subset=["score", "mean"])
    rules = rules_of(leaderboard)
    lines = []
    for cell, in_cell in leaderboard.groupby("cell", sort=False):
        means = in_cell.pivot(index="method", columns="rule", values="mean").reindex(columns=rules)
        line: dict[str, Any] = {"cell": cell, "methods": len(means)}
        for first, second in pairs_of_rules(rules):
            tau = kendall_tau(means[first].to_numpy(), means[second].to_numpy())
            line[f"tau_{first}_{second}"] = tau
        for rule in rules:
            best = means.index[means[rule] == means[rule].max()]
            line[f"best_{rule}"] = ", ".join(sorted(best))
        tried = scored[scored["cell"] == cell]
        line["over_epochs"] = over_epochs.get(cell, np.nan)
        [line["over_configurations"]] = _spearman(
            tried["score"].to_numpy()[None], tried["mean"].to_numpy()[None]
        )
        line["flagged"] = any(line[name] < AGREEMENT for name in CORRELATIONS[:2])
        lines.append(line)
    names = ["cell", "methods", *(f"tau_{a}_{b}" for a, b in pairs_of_rules(rules))]
    names += [*(f"best_{rule}" for rule in rules), *CORRELATIONS]
    cells = leaderboard.drop_duplicates("cell").drop(columns="methods", errors="ignore")
    return cells.merge(pd.DataFrame(lines, columns=names), on="cell", how="left")


def pairs_of_rules(rules: Sequence[str]) -> list[tuple[str, str]]:
    """Return all pairs, in the order of the rules."""
    return list(combinations(rules, 2))


def kendall_tau(first: np.ndarray, second: np.ndarray) -> float:
    """Return Kendall's tau-b of two rankings (M,).

    It is NaN below two methods, or where one ranking is all ties.
    """
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 2:
        return np.nan
    return float(stats.kendalltau(first[known], second[known]).statistic)


def _epoch_correlations(trials: pd.DataFrame) -> np.ndarray:
    """Return the correlation of validation and test accuracy over epochs, (N,) for N trials."""
    correlations = np.full(len(trials), np.nan)
    lengths = trials["test_curve"].map(len).to_numpy()
    for length in sorted(set(lengths)):
        places = np.flatnonzero(lengths == length)
        validation, test = (
            np.stack(list(trials[name].iloc[places])) for name in ("noisy_val_curve", "test_curve")
        )
        correlations[places] = _spearman(validation, test)
    return correlations


def _spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each row, (N, E) and (N, E) -> (N,).

    It is NaN below ``ENOUGH`` values, or without spread. All rows are ranked at once, since there
    are thousands; scipy's function takes them one by one.
    """
    whole = np.isfinite(first).all(1) & np.isfinite(second).all(1)
    correlations = np.full(len(first), np.nan)
    if first.shape[1] >= ENOUGH and whole.any():
        ranks = [stats.rankdata(values[whole], axis=1) for values in (first, second)]
        a, b = (rank - rank.mean(1, keepdims=True) for rank in ranks)
        size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
        undefined = np.full(len(a), np.nan)
        correlations[whole] = np.divide((a * b).sum(1), size, out=undefined, where=size > 0)
    return correlations
