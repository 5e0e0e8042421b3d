"""Importance of hyper-parameters, by Optuna's evaluators, with bootstrap intervals over trials.

fANOVA (Hutter et al., 2014) divides the variance of the search's objective among hyper-parameters,
by a forest. PED-ANOVA (Watanabe et al., 2023, arXiv 2304.10255) asks which hyper-parameters
distinguish the best quarter of the configurations from all. Shares of one search sum to 1.

A record knows no ranges, so numbers are replaced by their ranks among the configurations tried:
scales do not matter, and importance is over what the search has tried, not over its whole space.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.report.searches.trials import ABOUT, METHOD_KEY, is_numeric, parts, varied
from bench.report.statistics import CONFIDENCE

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

FANOVA, PED_ANOVA = EVALUATORS = "fANOVA", "PED-ANOVA"
#: Fewest configurations of a search whose importances are computed.
FEWEST = 10
#: Largest number of configurations of a fit: fANOVA's time grows with its square.
MOST = 200
#: Share of configurations that count as good for PED-ANOVA. Optuna advises five at least.
TOP = 0.25
#: Resamples of the bootstrap: a fit of fANOVA takes some 20 ms.
RESAMPLES = 60
#: Trees of fANOVA's forest: of the estimate, as Optuna's default, and of a resample.
TREES, TREES_OF_RESAMPLE = 64, 8

#: Verdicts on a hyper-parameter: by its interval and an equal share for all of them.
MATTERS, LITTLE, UNKNOWN, ALONE = "matters", "matters little", "cannot be told", "the only one"

COLUMNS = "hyper_parameter evaluator importance low high equal_share verdict configurations".split()


def importance(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per search, hyper-parameter and evaluator, and one for the mean over cells.

    Args:
        trials: from ``trials.search_trials``.

    Returns:
        ``importance`` as a share of 1 with the ends of its 95 % interval, ``equal_share`` of each
        hyper-parameter if all mattered alike, ``verdict``, and the number of ``cells`` that the row
        is over. Rows over several cells of a group have no noise rate. Searches of fewer than
        ``FEWEST`` configurations have no rows.
    """
    rows: list[dict[str, Any]] = []
    for search in parts(trials, METHOD_KEY):
        estimates = []
        for tried in parts(search):
            if len(tried) < FEWEST or not (names := varied(tried)):
                continue
            about = tried.iloc[0][ABOUT].to_dict() | {"configurations": len(tried), "cells": 1}
            estimate = shares(tried, names)
            estimates.append((about, estimate))
            rows += _rows(about, estimate)
        if len(estimates) > 1:
            rows += _over_cells(estimates)
    return pd.DataFrame(rows, columns=[*ABOUT, *COLUMNS, "cells"])


#: Shares of hyper-parameters by evaluator: of all trials, first, and of each resample.
_Shares = Mapping[str, pd.DataFrame]


def shares(tried: pd.DataFrame, names: Sequence[str]) -> _Shares:
    """Return, by evaluator, shares of hyper-parameters: a column each, a row per (re)sample.

    The first row is of all trials, the others are of resamples; each is of at most ``MOST``, so
    that intervals of larger searches are wider than they could be. A row is NaN where all values
    are equal.
    """
    known = tried[tried["value"].notna()]
    values = known["value"].to_numpy(dtype=float)
    rng, size = np.random.default_rng(0), min(MOST, len(known))
    samples = [rng.permutation(len(known))[:size] if size == MOST else np.arange(size)]
    samples += [rng.integers(len(known), size=size) for _ in range(RESAMPLES)]
    lines: dict[str, list[list[float]]] = {name: [] for name in EVALUATORS}
    with _quiet():
        frozen = _frozen(known, names, values)
        for number, sample in enumerate(samples):
            drawn = [frozen[place] for place in sample]
            trees = TREES_OF_RESAMPLE if number else TREES
            for evaluator, line in lines.items():
                flat = np.ptp(values[sample]) == 0
                line.append(
                    [np.nan] * len(names)
                    if flat
                    else _evaluate(_evaluator(evaluator, trees, number), drawn, names)
                )
    return {name: pd.DataFrame(line, columns=list(names)) for name, line in lines.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna: it logs each study, and warns of small ones."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _frozen(tried: pd.DataFrame, names: Sequence[str], values: np.ndarray) -> "list[FrozenTrial]":
    """Return the configurations as Optuna's trials: numbers by rank, other settings as choices."""
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.trial import create_trial

    columns: dict[str, list[Any]] = {}
    distributions: dict[str, BaseDistribution] = {}
    for name in names:
        column = [settings.get(name) for settings in tried["settings"]]
        if is_numeric(column):
            columns[name] = ((stats.rankdata(column) - 1) / max(1, len(column) - 1)).tolist()
            distributions[name] = FloatDistribution(0.0, 1.0)
        else:
            columns[name] = [json.dumps(value) for value in column]
            distributions[name] = CategoricalDistribution(sorted(set(columns[name])))
    return [
        create_trial(
            value=float(value),
            params={name: columns[name][place] for name in names},
            distributions=distributions,
        )
        for place, value in enumerate(values)
    ]


def _evaluator(name: str, trees: int, seed: int) -> "BaseImportanceEvaluator":
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    if name == FANOVA:
        return FanovaImportanceEvaluator(n_trees=trees, seed=seed)
    return PedAnovaImportanceEvaluator(target_quantile=TOP)


def _evaluate(
    evaluator: "BaseImportanceEvaluator", drawn: "Sequence[FrozenTrial]", names: Sequence[str]
) -> list[float]:
    import optuna

    study = optuna.create_study(direction="maximize")
    study.add_trials(drawn)
    result = optuna.importance.get_param_importances(study, evaluator=evaluator, params=[*names])
    return [float(result[name]) for name in names]


def _rows(about: Mapping[str, Any], estimate: _Shares) -> Iterator[dict[str, Any]]:
    """Yield a row per hyper-parameter and evaluator; the most important by fANOVA comes first."""
    order = estimate[FANOVA].iloc[0].sort_values(ascending=False, kind="stable").index
    tail = 100 * (1 - CONFIDENCE) / 2
    for evaluator, samples in estimate.items():
        for name in order:
            value, resampled = samples[name].iloc[0], samples[name].iloc[1:].dropna()
            low, high = (
                np.percentile(resampled, [tail, 100 - tail]) if len(resampled) else [np.nan] * 2
            )
            equal = 1 / len(order)
            yield {
                **about,
                "hyper_parameter": name,
                "evaluator": evaluator,
                "importance": value,
                "low": low,
                "high": high,
                "equal_share": equal,
                "verdict": ALONE if len(order) == 1 else verdict(low, high, equal),
            }


def verdict(low: float, high: float, equal_share: float) -> str:
    """Return whether an interval lies above an equal share, below it, or neither."""
    if low > equal_share:
        return MATTERS
    return LITTLE if high < equal_share else UNKNOWN


def _over_cells(
    estimates: Sequence[tuple[Mapping[str, Any], _Shares]],
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the mean over cells; cells count alike."""
    names = set.intersection(*(set(estimate[FANOVA].columns) for _, estimate in estimates))
    ordered = [name for name in estimates[0][1][FANOVA].columns if name in names]
    means = {
        evaluator: pd.DataFrame(
            np.mean([estimate[evaluator][ordered].to_numpy() for _, estimate in estimates], axis=0),
            columns=ordered,
        )
        for evaluator in EVALUATORS
    }
    about = dict(estimates[0][0]) | {
        "noise_rate": np.nan,
        "cell": "",
        "cells": len(estimates),
        "configurations": sum(each["configurations"] for each, _ in estimates),
    }
    yield from _rows(about, means)
