"""Savings and losses by schedulers: epochs and seconds not trained, and accuracy of the pick.

Where a search ran with a scheduler, its records say what it saved, and another search of the same
sweep without a scheduler, if there is one, what it lost. A search without a scheduler has whole
curves, over which the decisions of each scheduler are replayed: trials in the order of their draws,
one after another. Ray makes these decisions in a sweep; reports do without Ray, and a test compares
the two.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from bench.planning.brackets import ETA, Bracket, bracket_of, brackets
from bench.planning.searches import SearchKind
from bench.planning.selection import DECIMALS, DEFAULT_RULE, ORACLE, Curves, select
from bench.records.schema import STOPPED
from bench.report.metrics import ACCURACY
from bench.report.searches.trials import ABOUT, parts

#: Schedulers that are replayed.
SCHEDULERS = ("asha", "hyperband", "median")

#: Fewest configurations of a search over which they are.
FEWEST = 10

#: Trials that the median rule compares with, at least.
_OTHERS = 3

#: Evidence of a row: the scheduler ran, or its decisions were replayed.
RAN, REPLAYED = "ran", "replayed"

COLUMNS = (
    "scheduler evidence configurations stopped epochs_saved seconds_saved value_lost test_lost"
).split()


class Rule(Protocol):
    """Rule by which a scheduler stops trials; values are the higher the better."""

    def judge(self, trial_id: str, epochs: int, value: float) -> bool:
        """Return whether to stop a trial that has reached ``value`` after ``epochs``."""


class Halving:
    """Asynchronous successive halving (ASHA, Li et al., 2020), in one or several brackets."""

    def __init__(self, parts: Sequence[Bracket], epochs: int) -> None:
        self._shares = [part.share for part in parts]
        self._rungs = [_rungs(part.first_rung, epochs) for part in parts]

    def judge(self, trial_id: str, epochs: int, value: float) -> bool:
        """Stop at a rung below the best quarter of those that have reached it."""
        for rung, values in self._rungs[bracket_of(trial_id, self._shares)]:
            if epochs < rung:
                continue
            if trial_id in values:
                return False
            others = list(values.values())
            values[trial_id] = value
            return bool(others) and value < float(np.percentile(others, 100 * (1 - 1 / ETA)))
        return False


def _rungs(first: int, epochs: int) -> list[tuple[int, dict[str, float]]]:
    """Return numbers of epochs, the highest first, each with the values of trials there."""
    count = int(math.log(epochs / first) / math.log(ETA) + 1)
    return [(first * ETA**number, {}) for number in reversed(range(count))]


class Median:
    """Median stopping rule (Golovin et al., 2017)."""

    def __init__(self, first: int) -> None:
        """Take the first epoch that is judged, and that running means begin with."""
        self._first = first
        self._curves: dict[str, list[tuple[int, float]]] = defaultdict(list)

    def judge(self, trial_id: str, epochs: int, value: float) -> bool:
        """Stop where the best value so far is below the median of the others' running means."""
        curve = self._curves[trial_id]
        curve.append((epochs, value))
        if epochs < self._first:
            return False
        ranges = (
            [reached for count, reached in other if self._first <= count <= epochs]
            for name, other in self._curves.items()
            if name != trial_id and other[-1][0] >= epochs
        )
        # A trial with a longer warm-up has no value in that range.
        means = [np.mean(values) for values in ranges if values]
        best = max(reached for _, reached in curve)
        return len(means) >= _OTHERS and best < float(np.median(means))


def rule_of(scheduler: str, grace: int, epochs: int) -> Rule:
    """Return the rule of a scheduler: asha, hyperband or median.

    Args:
        grace: number of epochs before which no trial is judged.
        epochs: number of epochs of a whole trial.
    """
    if scheduler == "median":
        return Median(grace + 1)
    return Halving(brackets(scheduler, grace, epochs), epochs)


def schedulers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per search with a scheduler, and one per scheduler for each search without.

    Args:
        trials: from ``trials.search_trials``.

    Returns:
        ``evidence``: "ran" or "replayed"; numbers of ``configurations`` and of those ``stopped``;
        ``epochs_saved`` as a share of all epochs; ``seconds_saved`` of training, at a trial's mean
        seconds an epoch; ``value_lost`` and ``test_lost``, what the pick has less than that of the
        search without the scheduler, in the value that the search compares and in test accuracy at
        the epoch of best noisy validation accuracy. Accuracies are fractions; they are NaN where
        the two searches have tried other numbers of configurations. Searches without a scheduler
        of fewer than ``FEWEST`` configurations, or without a result, have no rows.
    """
    searches = parts(trials)
    whole = {_key(tried, "none"): tried for tried in searches if _kind(tried).scheduler == "none"}
    rows: list[dict[str, Any]] = []
    for tried in searches:
        about = tried.iloc[0][ABOUT].to_dict() | {"configurations": len(tried)}
        if _kind(tried).scheduler != "none":
            rows.append(about | _measured(tried, whole.get(_key(tried, "none"))))
        elif _can_be_replayed(tried):
            rows += [about | _replayed(tried, name) for name in SCHEDULERS]
    return pd.DataFrame(rows, columns=[*ABOUT, *COLUMNS])


def _kind(tried: pd.DataFrame) -> SearchKind:
    return SearchKind.of(tried["stage"].iloc[0])


def _key(tried: pd.DataFrame, scheduler: str) -> tuple[str, str, str]:
    """Return the key of a search with another scheduler: cell, method and stage."""
    first = tried.iloc[0]
    return first["cell"], first["name"], replace(_kind(tried), scheduler=scheduler).stage


def _can_be_replayed(tried: pd.DataFrame) -> bool:
    if len(tried) < FEWEST or not tried["succeeded"].any():
        return False
    whole = (tried["grace"] + 1 < tried["epochs"]).all()  # false where a warm-up is unknown
    return bool(whole) and _kind(tried).goal in (DEFAULT_RULE, ORACLE)


def _measured(tried: pd.DataFrame, whole: pd.DataFrame | None) -> dict[str, Any]:
    stopped = tried["status"] == STOPPED
    run = np.array([len(curve) for curve in tried["noisy_val_curve"]])
    saved = np.where(stopped, tried["epochs"] - run, 0)
    values = {"value_lost": np.nan, "test_lost": np.nan}
    if whole is not None and len(whole) == len(tried):
        [pick], [other] = (each[each["place"] == 0].to_dict("records") for each in (tried, whole))
        values = {
            "value_lost": other["value"] - pick["value"],
            "test_lost": other[ACCURACY.name] - pick[ACCURACY.name],
        }
    return {
        "scheduler": _kind(tried).scheduler,
        "evidence": RAN,
        "stopped": int(stopped.sum()),
        "epochs_saved": saved.sum() / tried["epochs"].sum(),
        "seconds_saved": float((tried["seconds"] / np.maximum(run, 1) * saved).sum()),
        **values,
    }


def _replayed(tried: pd.DataFrame, scheduler: str) -> dict[str, Any]:
    """Return the facts of a search without a scheduler, had it had this one."""
    tried = tried.sort_values("draw")
    curve_name = "test_curve" if _kind(tried).goal == ORACLE else "noisy_val_curve"
    first = tried[tried["first"]].iloc[0]  # its warm-up is that of the search's scheduler
    rule = rule_of(scheduler, int(first["grace"]), int(first["epochs"]))
    values, tests, run = [], [], []
    records = tried.to_dict("records")
    for trial in records:
        curve = np.asarray(trial[curve_name], dtype=float)
        end = _end(rule, trial, curve)
        run.append(end)
        cut = end < len(curve) and trial["succeeded"]
        values.append(np.nanmax(curve[:end]).round(DECIMALS) if cut else trial["value"])
        tests.append(_test_accuracy(trial, end) if cut else trial[ACCURACY.name])
    fewest = (tried["changes"] == tried["changes"].min()).to_numpy()
    failed = tried["failed"].to_numpy(dtype=bool)  # which no search picks
    known = np.where(failed, -np.inf, np.nan_to_num(np.array(values, dtype=float), nan=-np.inf))
    picked = np.lexsort((tried["id"], ~fewest, -known))[0]
    whole = next(trial for trial in records if trial["place"] == 0)
    full = np.array([len(trial["noisy_val_curve"]) for trial in records])
    saved = full - np.array(run)
    return {
        "scheduler": scheduler,
        "evidence": REPLAYED,
        "stopped": int((saved > 0).sum()),
        "epochs_saved": saved.sum() / full.sum(),
        "seconds_saved": float((tried["seconds"].to_numpy() / np.maximum(full, 1) * saved).sum()),
        "value_lost": whole["value"] - values[picked],
        "test_lost": whole[ACCURACY.name] - tests[picked],
    }


def _end(rule: Rule, trial: Mapping[str, Any], curve: np.ndarray) -> int:
    """Return the number of epochs after which a trial would have ended."""
    for count, value in enumerate(curve.tolist(), 1):
        judged = count > trial["grace"] and math.isfinite(value)
        if judged and rule.judge(trial["id"], count, value):
            return count
    return len(curve)


def _test_accuracy(trial: Mapping[str, Any], end: int) -> float:
    """Return test accuracy at the epoch of best noisy validation accuracy before ``end``."""
    validation, test = (
        np.asarray(trial[name], dtype=float)[None, :end]
        for name in ("noisy_val_curve", "test_curve")
    )
    unknown = np.full_like(validation, np.nan)
    curves = Curves(validation=validation, clean=unknown, changes=unknown, test=test)
    return float(select(DEFAULT_RULE, curves).test_accuracy[0])
