"""Certainty of differences between methods: intervals, paired tests, tiers, ranks and spread.

Tests are scipy's; the functions here choose which to run, on which pairs. A pair is two trials of
one cell with equal seeds and the same noisy labels, by their hash, and so the same split.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.planning.selection import DECIMALS, DEFAULT_RULE, ORACLE
from bench.report.columns import DRAWS, PAIRED, SEEDS
from bench.report.metrics import ACCURACY

CONFIDENCE = 0.95
#: Chance to find a true difference, for which the seeds that a test needs are counted.
POWER = 0.8
#: Largest number of seeds that tables name.
MOST_SEEDS = 1000
RESAMPLES = 2000

#: A cost keeps to a budget up to this factor, as seconds are never the same twice.
SLACK = 1.1


def half_width(standard_error: pd.Series, seeds: pd.Series) -> pd.Series:
    """Return half the 95 % t interval of means over ``seeds``; missing where there is one seed."""
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, (seeds - 1).where(seeds > 1))
    return (standard_error * quantile).round(DECIMALS)


def paired_differences(pairs: Iterable[np.ndarray]) -> np.ndarray:
    """Test N arrays of paired differences, whatever their lengths.

    Returns:
        (N, 5): mean, ends of its 95 % t interval, p value of the paired t test, and number of
        pairs. One pair has no interval and no p value: NaN. Nor have differences that are all
        equal, which a few seeds on some hundred images are by chance; where they are all 0, p is 1.
        Without a pair the mean is NaN too.
    """
    arrays = list(pairs)
    results = np.full((len(arrays), 5), np.nan)
    lengths = np.array([len(array) for array in arrays], dtype=int)
    results[:, 4] = lengths
    for length in sorted({*lengths} - {0}):
        places = np.flatnonzero(lengths == length)
        differences = np.round(np.stack([arrays[int(place)] for place in places]), DECIMALS)
        mean = differences.mean(1)
        results[places, 0] = mean
        if length < 2:
            continue
        equal = np.ptp(differences, axis=1) == 0  # the t statistic divides by their spread
        results[places[equal & (mean == 0)], 3] = 1
        spread = ~equal & np.isfinite(mean)
        if spread.any():
            test = stats.ttest_1samp(differences[spread], 0.0, axis=1)
            interval = test.confidence_interval(CONFIDENCE)
            tested = np.column_stack([interval.low, interval.high, test.pvalue])
            results[places[spread], 1:4] = tested
    return results


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return Holm's p values (N,) of a family of tests; NaN stays, and is outside the family."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(p_values[order] * factors, 1))
    return adjusted


def bootstrap(values: np.ndarray) -> np.ndarray:
    """Return ends of the 95 % percentile bootstrap interval of each row's mean: (N, S) -> (N, 2).

    They are NaN where S is 1. Three seeds have ten different resamples: the interval is then too
    narrow, and the t interval is the one to trust.
    """
    if values.shape[1] < 2:
        return np.full((len(values), 2), np.nan)
    interval = stats.bootstrap(
        (values,),
        np.mean,
        axis=1,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.column_stack([interval.low, interval.high]).round(DECIMALS)


def seeds_needed(pairs: Sequence[np.ndarray]) -> np.ndarray:
    """Return how many pairs a t test needs to find differences of this mean and spread.

    The chance to find them is to be ``POWER``.

    Args:
        pairs: N arrays of paired differences.

    Returns:
        (N,): NaN where the differences say nothing (one pair, a mean of 0, or no spread), infinite
        above ``MOST_SEEDS``.
    """
    needed = np.full(len(pairs), np.nan)
    places, effects = [], []
    for place, differences in enumerate(np.round(array, DECIMALS) for array in pairs):
        mean = differences.mean() if len({*differences}) > 1 else 0
        if np.isfinite(mean) and mean != 0:
            places.append(place)
            effects.append(abs(mean) / differences.std(ddof=1))
    if not places:
        return needed
    effect = np.array(effects)
    # The normal approximation is out by a few; the exact power decides among those around it.
    normal = (stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)) ** 2 / effect**2
    counts = np.maximum(2, np.floor(normal)[:, None] - 3 + np.arange(12))
    power = _power(np.minimum(effect, 20)[:, None], counts)
    first = counts[np.arange(len(counts)), (power >= POWER).argmax(1)]
    needed[places] = np.where(first > MOST_SEEDS, np.inf, first)
    return needed


def _power(effect: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the power of the two-sided paired t test, for an effect in standard deviations."""
    critical, shift = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1), effect * np.sqrt(count)
    with np.errstate(all="ignore"):  # the other tail underflows
        tail = np.nan_to_num(stats.nct.cdf(-critical, count - 1, shift))
        return stats.nct.sf(critical, count - 1, shift) + tail


def tiers(accuracies: np.ndarray) -> np.ndarray:
    """Return tiers that the data can tell apart: 1 for the best, (M,).

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
    remaining, number = np.arange(len(accuracies)), 0
    while len(remaining):
        number += 1
        head, rest = remaining[0], remaining[1:]
        differences = paired_differences(map(_known, accuracies[rest] - accuracies[head]))
        p_values = holm(differences[:, 3])
        tested = np.isfinite(p_values)
        rest, below = rest[tested], is_below(differences[tested, 0], p_values[tested])
        undecided = np.flatnonzero(~below)
        end = undecided[-1] + 1 if len(undecided) else 0
        tier[[head, *rest[:end]]] = number
        remaining = rest[end:]
    return tier


def is_below(differences: Any, p_values: Any) -> Any:
    """Return whether tests say that methods are worse than the best: arrays or columns, (M,).

    A method may be better on the seeds that both have, where the best mean is over other seeds.

    Args:
        differences: mean paired differences to the best.
        p_values: of two-sided tests, corrected.
    """
    return (p_values < 1 - CONFIDENCE) & (differences < 0)


#: Columns of statistics.csv beside those that name the cell.
STATISTICS = (
    "rule method rank tier mean t_low t_high bootstrap_low bootstrap_high seeds best diff_to_best "
    "diff_low diff_high p_value p_holm next diff_to_next seeds_to_separate"
).split()


def cell_statistics(chosen: pd.DataFrame, leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return a row per cell, rule but the oracle, and method, the best mean first.

    Differences are paired, to the ``best`` mean of the cell and to the ``next`` method below;
    ``p_holm`` is corrected for the number of methods compared with the best. Both differences are
    missing in the row of the best itself.

    Args:
        chosen, leaderboard: those of a ``Board``, or their rows that compete.
    """
    by_seed = {
        key: trials.pivot(index=PAIRED, columns="method", values=ACCURACY.name)
        for key, trials in chosen.groupby(["cell", "rule"])
    }
    ranking = leaderboard[leaderboard["rule"] != ORACLE]
    tables = []
    for key, ranked in ranking.groupby(["cell", "rule"], sort=False):
        ranked = ranked.sort_values(["rank", "method"], kind="stable")
        accuracies = by_seed[key][list(ranked["method"])].to_numpy(dtype=float).T
        tables.append(_with_tests(ranked, accuracies))
    if not tables:
        return ranking.reindex(columns=list(dict.fromkeys([*ranking.columns, *STATISTICS])))
    return pd.concat(tables).reset_index(drop=True)


def _with_tests(ranked: pd.DataFrame, accuracies: np.ndarray) -> pd.DataFrame:
    """Add the statistics of one cell and rule.

    Args:
        accuracies: (M, S), NaN where a method lacks a seed.
    """
    methods = list(ranked["method"])
    table = ranked.copy()
    table["t_low"], table["t_high"] = table["mean"] - table["ci95"], table["mean"] + table["ci95"]
    table[["bootstrap_low", "bootstrap_high"]] = _bootstraps(accuracies)
    table["best"] = methods[0]
    # The best is not compared with itself.
    to_best = [np.array([]), *map(_known, accuracies[1:] - accuracies[0])]
    tests = ["diff_to_best", "diff_low", "diff_high", "p_value"]
    table[tests] = paired_differences(to_best)[:, :4]
    table["p_holm"] = holm(table["p_value"].to_numpy())
    table["tier"] = tiers(accuracies)
    neighbours = list(map(_known, accuracies[:-1] - accuracies[1:]))
    table["next"] = [*methods[1:], None]
    table["diff_to_next"] = [*paired_differences(neighbours)[:, 0], np.nan]
    table["seeds_to_separate"] = [*seeds_needed(neighbours), np.nan]
    return table


def _bootstraps(accuracies: np.ndarray) -> np.ndarray:
    ends = np.full((len(accuracies), 2), np.nan)
    known = np.isfinite(accuracies)
    for count in sorted({*known.sum(1)} - {0}):
        places = np.flatnonzero(known.sum(1) == count)
        ends[places] = bootstrap(accuracies[places][known[places]].reshape(-1, count))
    return ends


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


@dataclass(frozen=True)
class AverageRanks:
    """Mean ranks over cells, with Nemenyi's critical difference (Demšar, 2006)."""

    ranks: pd.Series  # by method, the best first
    cells: int
    critical_difference: float
    p_value: float  # of Friedman's test: that all methods are equal
    left_out: tuple[str, ...]  # methods that lack a cell

    def cliques(self) -> list[tuple[int, int]]:
        """Return first and last place of each largest run within one critical difference.

        Runs of one method are left out.
        """
        values = self.ranks.to_numpy()
        runs: list[tuple[int, int]] = []
        for first, value in enumerate(values):
            last = int(np.flatnonzero(values <= value + self.critical_difference)[-1])
            if last > first and (not runs or last > runs[-1][1]):
                runs.append((first, last))
        return runs


def average_ranks(leaderboard: pd.DataFrame, rule: str = DEFAULT_RULE) -> AverageRanks | None:
    """Rank the methods that are in every cell; None below three methods or two cells.

    Cells are the blocks, with their mean over seeds: seeds of one cell are no independent data
    sets.
    """
    by_rule = leaderboard[leaderboard["rule"] == rule]
    means = by_rule.pivot(index="method", columns="cell", values="mean")
    complete = means.dropna()
    methods, cells = complete.shape
    if methods < 3 or cells < 2:
        return None
    ranks = complete.rank(ascending=False).mean(axis=1)
    order = ranks.reset_index().sort_values([0, "method"])["method"]
    quantile = stats.studentized_range.ppf(CONFIDENCE, methods, np.inf) / np.sqrt(2)
    difference = float(quantile * np.sqrt(methods * (methods + 1) / (6 * cells)))
    with np.errstate(invalid="ignore"):
        p_value = float(stats.friedmanchisquare(*complete.to_numpy()).pvalue)
    p_value = 1.0 if np.isnan(p_value) else p_value  # all methods tie in all cells
    left_out = tuple(sorted(set(means.index) - set(complete.index)))
    return AverageRanks(ranks[order], cells, difference, p_value, left_out)


def variance_split(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the scatter of accuracy over some draws while the others are held.

    A row per cell, method, configuration and draw, under the default rule: the ``sd`` of accuracy
    within trials that differ in that seed alone, pooled (interactions with the other draws
    included), the number of ``groups`` of such trials and of ``trials`` in them. Where one seed is
    held and the other two change together, the draw is of these two: "split and training". Empty
    where all three change together.

    Args:
        rows: from ``rows.rows_of``.
    """
    rows = rows[(rows["rule"] == DEFAULT_RULE) & rows["succeeded"]]
    keys = ["cell", "method", "hparams"]
    tables = [pd.DataFrame(columns=[*keys, "draw", "sd", "groups", "trials"])]
    for varied in [*combinations(SEEDS, 1), *combinations(SEEDS, 2)]:
        grouped = rows.groupby([*keys, *(seed for seed in SEEDS if seed not in varied)], sort=False)
        spread = grouped[ACCURACY.name].agg(["var", "size"])
        # Two seeds that do not change together have a row each instead.
        together = grouped[list(varied)].nunique().eq(spread["size"], axis=0).all(axis=1)
        spread = spread[together & (spread["size"] > 1)].reset_index()
        if spread.empty:
            continue
        spread["freedom"] = spread["size"] - 1
        spread["squares"] = spread["var"] * spread["freedom"]
        pooled = spread.groupby(keys, sort=False)[["squares", "freedom", "size"]].sum()
        pooled["groups"] = spread.groupby(keys, sort=False).size()
        pooled["sd"] = np.sqrt(pooled["squares"] / pooled["freedom"]).round(DECIMALS)
        pooled["draw"] = " and ".join(DRAWS[seed] for seed in varied)
        pooled = pooled.rename(columns={"size": "trials"}).reset_index()
        tables.append(pooled[[*keys, "sd", "groups", "trials", "draw"]])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def within_budget(cost: pd.Series, budget: float) -> pd.Series:
    """Return whether costs, as multiples of the reference's, keep to the budget; not where NaN."""
    return cost <= SLACK * budget


def pareto_front(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Return whether nothing cheaper, or as cheap, is as accurate: (N,) bool; not where NaN."""
    known = np.isfinite(cost) & np.isfinite(accuracy)
    front = known.copy()
    for place in np.flatnonzero(known):
        better = (cost <= cost[place]) & (accuracy >= accuracy[place]) & known
        strictly = (cost < cost[place]) | (accuracy > accuracy[place])
        front[place] = not (better & strictly).any()
    return front
