"""What seeds, cells and rules say, and with what certainty. Pure functions of arrays and of the
tables of ``leaderboard``.

Tests are scipy's; what is here says which to ask, of which pairs. A pair is two trials of one cell
with equal seeds and the same noisy labels, by their hash, and so the same split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.planning.selection import DECIMALS, DEFAULT_RULE, ORACLE, rule_order
from bench.report.columns import DRAWS, PAIRED, SEEDS

CONFIDENCE = 0.95
#: Chance to find a difference that is there, by which seeds are counted.
POWER = 0.8
#: More seeds than that are not worth naming.
MOST_SEEDS = 1000
RESAMPLES = 2000

#: What a method may cost, in multiples of the reference; a tenth more still counts, as seconds are
#: never the same twice.
SLACK = 1.1

#: Below this correlation of noisy validation and test accuracy, a cell is flagged: choosing by the
#: one is not choosing by the other.
AGREEMENT = 0.5
#: Epochs, or configurations, from which a correlation is worth naming.
ENOUGH = 5


def rules_of(table: pd.DataFrame) -> list[str]:
    """The rules of a table, in their order."""
    return sorted(table["rule"].unique(), key=rule_order)


def rankable(table: pd.DataFrame) -> list[str]:
    """The table's rules by which one may rank: all but the oracle."""
    return [rule for rule in rules_of(table) if rule != ORACLE]


def half_width(standard_error: pd.Series, seeds: pd.Series) -> pd.Series:
    """Half the 95 % t interval of a mean over ``seeds``; missing where there is one seed."""
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, (seeds - 1).where(seeds > 1))
    return (standard_error * quantile).round(DECIMALS)


def paired_difference(differences: np.ndarray) -> tuple[float, float, float, float, int]:
    """Mean of the differences (S,), the ends of its 95 % t interval, the p value of the paired t
    test, and S.

    One pair has no interval and no p value: NaN. Nor have differences that are all equal, which a
    few seeds on some hundred images are by chance; where they are all 0, p is 1.
    """
    mean, low, high, p_value, count = paired_differences([differences])[0]
    return float(mean), float(low), float(high), float(p_value), int(count)


def paired_differences(pairs: Sequence[np.ndarray]) -> np.ndarray:
    """``paired_difference`` of each of N arrays, whatever their lengths, at once: (N, 5). Of no
    pair all is NaN but S.
    """
    found = np.full((len(pairs), 5), np.nan)
    lengths = np.array([len(own) for own in pairs], dtype=int)
    found[:, 4] = lengths
    for length in sorted({*lengths} - {0}):
        places = np.flatnonzero(lengths == length)
        differences = np.round(np.stack([pairs[int(place)] for place in places]), DECIMALS)
        mean = differences.mean(1)
        found[places, 0] = mean
        if length < 2:
            continue
        equal = np.ptp(differences, axis=1) == 0  # the t statistic divides by their spread
        found[places[equal & (mean == 0)], 3] = 1
        spread = ~equal & np.isfinite(mean)
        if spread.any():
            test = stats.ttest_1samp(differences[spread], 0.0, axis=1)
            interval = test.confidence_interval(CONFIDENCE)
            found[places[spread], 1:4] = np.column_stack([interval.low, interval.high, test.pvalue])
    return found


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's p values (N,) of a family of tests; a test without a p value (NaN) is none of the
    family.
    """
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(p_values[order] * factors, 1))
    return adjusted


def bootstrap(values: np.ndarray) -> np.ndarray:
    """Ends of the 95 % percentile bootstrap interval of each row's mean: (N, S) -> (N, 2); NaN
    where S is 1.

    Of three seeds there are ten different resamples: the interval is then too narrow, and the t
    interval is the one to trust.
    """
    if values.shape[1] < 2:
        return np.full((len(values), 2), np.nan)
    found = stats.bootstrap(
        (values,),
        np.mean,
        axis=1,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.column_stack([found.low, found.high]).round(DECIMALS)


def seeds_needed(pairs: Sequence[np.ndarray]) -> np.ndarray:
    """How many pairs a t test needs to find differences of this mean and spread with a chance of 80
    %.

    Args:
        pairs: N arrays of paired differences.

    Returns:
        (N,): NaN where the differences say nothing (one pair, a mean of 0, or no spread), infinite
        above a thousand.
    """
    found = np.full(len(pairs), np.nan)
    rounded = [np.round(own, DECIMALS) for own in pairs]
    tellable = [
        place
        for place, own in enumerate(rounded)
        if len({*own}) > 1 and np.isfinite(own).all() and own.mean() != 0
    ]
    if not tellable:
        return found
    effects = np.array(
        [abs(rounded[place].mean()) / rounded[place].std(ddof=1) for place in tellable]
    )
    # The normal approximation is out by a few; the exact power decides among those around it.
    normal = (stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)) ** 2 / effects**2
    counts = np.maximum(2, np.floor(normal)[:, None] - 3 + np.arange(12))
    power = _power(np.minimum(effects, 20)[:, None], counts)
    first = counts[np.arange(len(counts)), (power >= POWER).argmax(1)]
    found[tellable] = np.where(first > MOST_SEEDS, np.inf, first)
    return found


def _power(effect: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Of the two-sided paired t test, at a difference of ``effect`` standard deviations."""
    critical, shift = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1), effect * np.sqrt(count)
    with np.errstate(all="ignore"):  # the other tail underflows
        tail = np.nan_to_num(stats.nct.cdf(-critical, count - 1, shift))
        return stats.nct.sf(critical, count - 1, shift) + tail


def tiers(accuracies: np.ndarray) -> np.ndarray:
    """Tiers that the data can tell apart: 1 for the best, (M,).

    The first method heads tier 1, which goes down to the last method that is not worse than the
    head with Holm's correction; the next one heads the next tier. A method of wide spread so keeps
    those above it in its tier: the data cannot say that all of them are better. Two methods of one
    tier are not equal; nothing here says which is better. A method that no test compares with the
    head (fewer than two common seeds, or equal differences) has no tier: NaN.

    Args:
        accuracies: of each method on each seed, (M, S), the best mean first; NaN where a method
            lacks a seed.
    """
    tier = np.full(len(accuracies), np.nan)
    left, number = np.arange(len(accuracies)), 0
    while len(left):
        number += 1
        head, rest = left[0], left[1:]
        p_values = holm(
            paired_differences([_known(own) for own in accuracies[head] - accuracies[rest]])[:, 3]
        )
        rest, p_values = rest[np.isfinite(p_values)], p_values[np.isfinite(p_values)]
        alike = np.flatnonzero(p_values >= 1 - CONFIDENCE)
        end = alike[-1] + 1 if len(alike) else 0
        tier[[head, *rest[:end]]] = number
        left = rest[end:]
    return tier


#: Columns of statistics.csv beside those that name the cell.
STATISTICS = [
    *(
        "rule",
        "method",
        "rank",
        "tier",
        "mean",
        "t_low",
        "t_high",
        "bootstrap_low",
        "bootstrap_high",
        "seeds",
        "best",
    ),
    *(
        "diff_to_best",
        "diff_low",
        "diff_high",
        "p_value",
        "p_holm",
        "next",
        "diff_to_next",
        "seeds_to_separate",
    ),
]


def cell_statistics(rows: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """A row per cell, rule but the oracle, and method, the best mean first.

    Differences are paired, to the ``best`` mean of the cell and to the ``next`` method below;
    ``p_holm`` is corrected for the number of methods compared with the best. Of the best itself
    both are missing.

    Args:
        rows: the trials' rows of the chosen configurations, from ``leaderboard.chosen_rows``.
        board: from ``leaderboard.leaderboard``.
    """
    by_seed = {
        key: own.pivot(index=PAIRED, columns="method", values="test_accuracy")
        for key, own in rows.groupby(["cell", "rule"])
    }
    found = []
    for key, ranked in board[board["rule"] != ORACLE].groupby(["cell", "rule"], sort=False):
        ranked = ranked.sort_values(["rank", "method"], kind="stable")
        found.append(_cell(ranked, by_seed[key][list(ranked["method"])].to_numpy(dtype=float).T))
    if not found:
        return board.head(0).reindex(columns=list(dict.fromkeys([*board.columns, *STATISTICS])))
    return pd.concat(found).reset_index(drop=True)


def _cell(ranked: pd.DataFrame, accuracies: np.ndarray) -> pd.DataFrame:
    """The statistics of one cell and rule; ``accuracies`` (M, S) are NaN where a method lacks a
    seed.
    """
    methods = list(ranked["method"])
    table = ranked.copy()
    table["t_low"], table["t_high"] = table["mean"] - table["ci95"], table["mean"] + table["ci95"]
    table[["bootstrap_low", "bootstrap_high"]] = _bootstraps(accuracies)
    table["best"] = methods[0]
    # The best beside itself is no comparison.
    to_best = paired_differences(
        [np.array([]), *(_known(own - accuracies[0]) for own in accuracies[1:])]
    )
    table[["diff_to_best", "diff_low", "diff_high", "p_value"]] = to_best[:, :4]
    table["p_holm"] = holm(table["p_value"].to_numpy())
    table["tier"] = tiers(accuracies)
    neighbours = [_known(difference) for difference in accuracies[:-1] - accuracies[1:]]
    table["next"] = [*methods[1:], None]
    table["diff_to_next"] = [*paired_differences(neighbours)[:, 0], np.nan]
    table["seeds_to_separate"] = [*seeds_needed(neighbours), np.nan]
    return table


def _bootstraps(accuracies: np.ndarray) -> np.ndarray:
    found = np.full((len(accuracies), 2), np.nan)
    known = np.isfinite(accuracies)
    for count in sorted({*known.sum(1)} - {0}):
        places = np.flatnonzero(known.sum(1) == count)
        found[places] = bootstrap(accuracies[places][known[places]].reshape(-1, count))
    return found


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


@dataclass(frozen=True)
class AverageRanks:
    """Mean ranks over cells, and how far apart they have to be (Nemenyi's critical difference;
    Demšar, 2006).
    """

    ranks: pd.Series  # by method, the best first
    cells: int
    critical_difference: float
    p_value: float  # of Friedman's test: that all methods are equal
    left_out: tuple[str, ...]  # methods that lack a cell

    def cliques(self) -> list[tuple[int, int]]:
        """First and last place of each largest run of methods within one critical difference; runs
        of one are left out.
        """
        values = self.ranks.to_numpy()
        runs: list[tuple[int, int]] = []
        for first, value in enumerate(values):
            last = int(np.flatnonzero(values <= value + self.critical_difference)[-1])
            if last > first and (not runs or last > runs[-1][1]):
                runs.append((first, last))
        return runs


def average_ranks(board: pd.DataFrame, rule: str = DEFAULT_RULE) -> AverageRanks | None:
    """Ranks over all cells of the board, of the methods that are in every cell; None below three
    methods or two cells.

    Cells are the blocks, with their mean over seeds: seeds of one cell are no independent data
    sets.
    """
    means = board[board["rule"] == rule].pivot(index="method", columns="cell", values="mean")
    whole = means.dropna()
    methods, cells = whole.shape
    if methods < 3 or cells < 2:
        return None
    ranks = whole.rank(ascending=False).mean(axis=1)
    order = ranks.reset_index().sort_values([0, "method"])["method"]
    quantile = stats.studentized_range.ppf(CONFIDENCE, methods, np.inf) / np.sqrt(2)
    difference = float(quantile * np.sqrt(methods * (methods + 1) / (6 * cells)))
    with np.errstate(invalid="ignore"):  # all tied everywhere
        p_value = float(stats.friedmanchisquare(*whole.to_numpy()).pvalue)
    return AverageRanks(
        ranks[order], cells, difference, p_value, tuple(sorted(set(means.index) - set(whole.index)))
    )


def variance_split(rows: pd.DataFrame) -> pd.DataFrame:
    """How far accuracy scatters over some draws while the others are held, where a sweep varied
    them apart.

    A row per cell, method, configuration and draw, under the default rule: the ``sd`` of accuracy
    within trials that differ in that seed alone, pooled (interactions with the other draws
    included), the number of ``groups`` of such trials and of ``trials`` in them. Where one seed is
    held and the other two change together, the draw is of these two: "split and training". Empty
    where all three change together.

    Args:
        rows: from ``leaderboard.load_rows``.
    """
    rows = rows[(rows["rule"] == DEFAULT_RULE) & rows["succeeded"]]
    keys = ["cell", "method", "hparams"]
    found = []
    for varied in [*combinations(SEEDS, 1), *combinations(SEEDS, 2)]:
        grouped = rows.groupby([*keys, *(seed for seed in SEEDS if seed not in varied)], sort=False)
        spread = grouped["test_accuracy"].agg(["var", "size"])
        # Of two seeds that do not change together each has a row of its own.
        together = grouped[list(varied)].nunique().eq(spread["size"], axis=0).all(axis=1)
        spread = spread[together & (spread["size"] > 1)].reset_index()
        if len(spread):
            spread["squares"], spread["freedom"] = (
                spread["var"] * (spread["size"] - 1),
                spread["size"] - 1,
            )
            pooled = spread.groupby(keys, sort=False)[["squares", "freedom", "size"]].sum()
            pooled["groups"] = spread.groupby(keys, sort=False).size()
            pooled["sd"] = np.sqrt(pooled["squares"] / pooled["freedom"]).round(DECIMALS)
            draw = " and ".join(DRAWS[seed] for seed in varied)
            found.append(
                pooled.rename(columns={"size": "trials"})[["sd", "groups", "trials"]]
                .assign(draw=draw)
                .reset_index()
            )
    if not found:
        return pd.DataFrame(columns=[*keys, "draw", "sd", "groups", "trials"])
    return pd.concat(found, ignore_index=True)


def regrets(board: pd.DataFrame) -> pd.DataFrame:
    """The board's rows but the oracle's, with the ``oracle`` accuracy and the ``regret``: what
    following the rule has lost.

    Where the oracle's mean is over other seeds, as few trials know right labels of validation
    images, there is no regret.
    """
    oracle = board[board["rule"] == ORACLE].set_index(["cell", "method"])[["mean", "drawn"]]
    table = board[board["rule"] != ORACLE].copy()
    oracle = oracle.reindex(pd.MultiIndex.from_frame(table[["cell", "method"]]))
    table["oracle"] = oracle["mean"].to_numpy()
    same = table["drawn"].to_numpy() == oracle["drawn"].to_numpy()
    table["regret"] = (table["oracle"] - table["mean"]).where(same).round(DECIMALS)
    return table


def agreement(rows: pd.DataFrame, board: pd.DataFrame, tried: pd.DataFrame) -> pd.DataFrame:
    """A row per cell: what another rule would make of its ranking, and whether noisy validation and
    test accuracy agree.

    ``tau_A_B`` is Kendall's tau-b between the orders of methods by rules A and B; ``best_A`` the
    methods that A puts first; ``over_epochs`` the median over trials of Spearman's correlation of
    noisy validation with test accuracy, ``over_configurations`` that of score and accuracy over all
    configurations of all methods; ``flagged`` where one is below AGREEMENT.

    Args:
        rows: from ``leaderboard.load_rows``.
        board, tried: from ``leaderboard.leaderboard`` and ``leaderboard.configurations``.
    """
    trials = rows[(rows["rule"] == DEFAULT_RULE) & rows["succeeded"]]
    over_epochs = (
        pd.Series(_epoch_correlations(trials), trials.index).groupby(trials["cell"]).median()
    )
    scored = tried[tried["rule"] == DEFAULT_RULE].dropna(subset=["score", "mean"])
    rules = rules_of(board)
    found = []
    for cell, here in board.groupby("cell", sort=False):
        means = here.pivot(index="method", columns="rule", values="mean").reindex(columns=rules)
        facts: dict[str, Any] = {"cell": cell, "methods": len(means)}
        for one, other in pairs_of_rules(rules):
            facts[f"tau_{one}_{other}"] = kendall_tau(
                means[one].to_numpy(), means[other].to_numpy()
            )
        for rule in rules:
            best = means.index[means[rule] == means[rule].max()]
            facts[f"best_{rule}"] = ", ".join(sorted(best))
        own = scored[scored["cell"] == cell]
        facts["over_epochs"] = over_epochs.get(cell, np.nan)
        facts["over_configurations"] = _spearman(
            own["score"].to_numpy()[None], own["mean"].to_numpy()[None]
        )[0]
        facts["flagged"] = bool(
            min(facts["over_epochs"], facts["over_configurations"], key=_or_infinite) < AGREEMENT
        )
        found.append(facts)
    about = [name for name in board.columns if name not in ("cell", "methods")]
    names = [
        "cell",
        "methods",
        *(f"tau_{one}_{other}" for one, other in pairs_of_rules(rules)),
        *(f"best_{rule}" for rule in rules),
    ]
    table = pd.DataFrame(found, columns=[*names, "over_epochs", "over_configurations", "flagged"])
    return board.drop_duplicates("cell")[["cell", *about]].merge(table, on="cell", how="left")


def pairs_of_rules(rules: Sequence[str]) -> list[tuple[str, str]]:
    """All pairs, in the order of the rules."""
    return [(one, other) for place, one in enumerate(rules) for other in rules[place + 1 :]]


def kendall_tau(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b of two rankings (M,); NaN below two methods, or where one ranks nobody."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 2:
        return np.nan
    return float(stats.kendalltau(one[known], other[known]).statistic)


def _or_infinite(value: float) -> float:
    return np.inf if np.isnan(value) else value


def _epoch_correlations(trials: pd.DataFrame) -> np.ndarray:
    found = np.full(len(trials), np.nan)
    lengths = trials["test_curve"].map(len).to_numpy()
    for length in sorted(set(lengths)):
        places = np.flatnonzero(lengths == length)
        validation, test = (
            np.stack(list(trials[name].iloc[places])) for name in ("noisy_val_curve", "test_curve")
        )
        found[places] = _spearman(validation, test)
    return found


def _spearman(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row, (N, E) and (N, E) -> (N,); NaN below five values, or
    without spread.

    For thousands of rows at once: scipy's takes them one by one.
    """
    whole = np.isfinite(one).all(1) & np.isfinite(other).all(1)
    found = np.full(len(one), np.nan)
    if one.shape[1] >= ENOUGH and whole.any():
        ranks = [stats.rankdata(values[whole], axis=1) for values in (one, other)]
        a, b = (rank - rank.mean(1, keepdims=True) for rank in ranks)
        size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
        found[whole] = np.divide((a * b).sum(1), size, out=np.full(len(a), np.nan), where=size > 0)
    return found


def within_budget(cost: pd.Series, budget: float) -> pd.Series:
    """Whether costs, in multiples of the reference's, keep to this one; unknown ones (NaN) do not."""
    return cost <= SLACK * budget


def pareto_front(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Whether nothing cheaper, or as cheap, is as accurate: (N,) bool; what is unknown (NaN) is not
    on the front.
    """
    known = np.isfinite(cost) & np.isfinite(accuracy)
    on = known.copy()
    for place in np.flatnonzero(known):
        better = (cost <= cost[place]) & (accuracy >= accuracy[place]) & known
        strictly = (cost < cost[place]) | (accuracy > accuracy[place])
        on[place] = not (better & strictly).any()
    return on
