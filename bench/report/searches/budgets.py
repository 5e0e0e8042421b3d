"""Accuracy to expect of n configurations (Dodge et al., 2019, arXiv 1909.03004).

A search tries its first configuration, which is mostly the defaults, and then draws. The expected
best of n is over all orders of these draws: the first configuration, and n - 1 of the others drawn
without replacement. This is the exact U-statistic, which has no bias. Dodge et al. draw with
replacement, so that some configurations count twice: of N draws from N configurations only 63 %
contain the best one, while a search that has tried all N has it for certain (Tang et al., 2020,
arXiv 2004.13705).

Noisy validation accuracy, or another goal of the search, picks among the n; test accuracy of the
pick is the outcome, and decides nothing.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from bench.report.metrics import ACCURACY
from bench.report.searches.trials import ABOUT, parts
from bench.report.statistics import CONFIDENCE, RESAMPLES

#: Up to this many configurations, every number of them has a row.
DENSE = 64

COLUMNS = (
    "configurations seconds value value_low value_high test test_low test_high value_so_far "
    "test_so_far"
).split()


def budgets(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per search and number of configurations.

    Args:
        trials: from ``trials.search_trials``.

    Returns:
        Expected ``value`` of the best of n ``configurations``, and expected ``test`` accuracy of
        that one, each with the ends of its 95 % bootstrap interval over configurations; the same of
        the first n as they were drawn, ``value_so_far`` and ``test_so_far``; mean ``seconds`` of
        training of n configurations. Accuracies are fractions.
    """
    tables = [_of_search(tried) for tried in parts(trials)]
    return (
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*ABOUT, *COLUMNS])
    )


def _of_search(tried: pd.DataFrame) -> pd.DataFrame:
    tried = tried.sort_values("draw")
    counts = numbers_of(len(tried))
    is_first = tried["first"].to_numpy()
    place = tried["place"].to_numpy()
    table: dict[str, Any] = {
        **{name: tried[name].iloc[0] for name in ABOUT},
        "configurations": counts,
        "seconds": tried["seconds"].mean() * counts,
    }
    best_so_far = _best_so_far(place)
    for name, column in (("value", "value"), ("test", ACCURACY.name)):
        outcome = tried[column].to_numpy(dtype=float)
        drawn = ~is_first
        table[name] = expected_best(
            place[drawn], outcome[drawn], place[is_first][0], outcome[is_first][0], counts
        )
        table[f"{name}_low"], table[f"{name}_high"] = _interval(
            place[drawn], outcome[drawn], place[is_first][0], outcome[is_first][0], counts
        )
        table[f"{name}_so_far"] = outcome[best_so_far][counts - 1]
    return pd.DataFrame(table)


def numbers_of(configurations: int) -> np.ndarray:
    """Return the numbers of configurations of a search's rows, ascending, without gaps if few.

    Those that tables show, which searches of different sizes have in common, are among them.
    """
    if configurations <= DENSE:
        return np.arange(1, configurations + 1)
    spread = np.geomspace(1, configurations, DENSE).round().astype(int)
    return np.union1d(spread, shown_numbers(configurations))


def _best_so_far(place: np.ndarray) -> np.ndarray:
    """Return the position of the best of the first n in the order of draws, (N,)."""
    least = np.minimum.accumulate(place)
    return np.flatnonzero(np.isin(place, least))[np.cumsum(place == least) - 1]


def expected_best(
    place: np.ndarray,
    outcome: np.ndarray,
    first_place: int,
    first_outcome: float,
    counts: np.ndarray,
) -> np.ndarray:
    """Return the expected outcome of the best of n configurations, for each n of ``counts``.

    Args:
        place: places of the M draws in the order by which a search picks, the best the least.
        outcome: figure of each draw that is averaged, such as its test accuracy, (M,).
        first_place, first_outcome: those of the first configuration, which every search tries.
        counts: numbers of configurations n, the first one included, each from 1 to M + 1.
    """
    order = np.argsort(-place, kind="stable")  # the worst first
    best = np.where(place < first_place, outcome, first_outcome)[order]
    result = np.full(len(counts), float(first_outcome))
    drawing = counts > 1
    if drawing.any():
        result[drawing] = best @ weights(len(place), counts[drawing] - 1).T
    return result


def weights(draws: int, sizes: np.ndarray) -> np.ndarray:
    """Return chances that a draw is the best of a subset of the draws, (S, M), the worst first.

    The i-th worst is the best of m draws in C(i - 1, m - 1) of C(M, m) subsets.
    """
    below = np.arange(draws)  # number of worse draws
    result = np.empty((len(sizes), draws))
    for line, size in zip(result, sizes, strict=True):
        # From the best down: m / M, and each next one by the ratio of binomial coefficients.
        above = below[::-1][:-1]
        ratios = np.maximum(above - size + 1, 0) / above if draws > 1 else np.array([])
        line[::-1] = size / draws * np.cumprod(np.concatenate([[1.0], ratios]))
    return result


def _interval(
    place: np.ndarray,
    outcome: np.ndarray,
    first_place: int,
    first_outcome: float,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ends of the 95 % percentile bootstrap interval over draws."""
    if len(place) < 2:
        return np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    rng = np.random.default_rng(0)
    order = np.argsort(-place, kind="stable")
    best = np.where(place < first_place, outcome, first_outcome)[order]
    drawn = np.sort(rng.integers(len(place), size=(RESAMPLES, len(place))), axis=1)
    expected = np.full((RESAMPLES, len(counts)), float(first_outcome))
    drawing = counts > 1
    expected[:, drawing] = best[drawn] @ weights(len(place), counts[drawing] - 1).T
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(expected, [tail, 100 - tail], axis=0)
    return low, high


def overtakings(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Return (method, method that it overtakes, n): ahead in test accuracy from n on.

    Args:
        table: rows of ``budgets`` of one cell. Only numbers that both methods have tried count.
    """
    expected = table.pivot(index="configurations", columns="method", values="test").sort_index()
    result = []
    for pair in combinations(expected.columns, 2):
        both = expected[list(pair)].dropna()
        ahead = np.sign((both[pair[0]] - both[pair[1]]).round(12)).to_numpy()
        if len(ahead) and ahead[-1] != 0 and (ahead == -ahead[-1]).any():
            since = int(np.flatnonzero(ahead != ahead[-1])[-1]) + 1
            winner, loser = pair if ahead[-1] > 0 else pair[::-1]
            result.append((str(winner), str(loser), int(both.index[since])))
    return sorted(result, key=lambda each: (each[2], each[0], each[1]))


def shown_numbers(configurations: int) -> Sequence[int]:
    """Return powers of two, and the number itself: columns of a table."""
    powers = [2**power for power in range(configurations.bit_length())]
    return [*powers, configurations] if powers[-1] < configurations else powers
