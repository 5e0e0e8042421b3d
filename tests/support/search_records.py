"""Records of searches whose answers are known: a hyper-parameter that alone matters, and noise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fabricate import write_trial

from bench.report.board import Board, read_board

STAGE = "search tuned noisy-val none"
SEARCH_SEED = 1_000_000
DEFAULTS = {"elr.weight": 3.0, "elr.momentum": 0.7}


def write_search(
    sweep: Path,
    configurations: Sequence[Mapping[str, Any]],
    noisy_val: Sequence[float],
    test: Sequence[float],
    *,
    method: str = "elr",
    defaults: Mapping[str, Any] = DEFAULTS,
    rate: float = 0.5,
    statuses: Mapping[int, str] | None = None,
    seconds: Sequence[float] | None = None,
) -> None:
    """Write the trials of a search in the order of its draws, each of one epoch.

    Args:
        configurations: settings that differ from ``defaults``, of each trial.
        noisy_val, test: accuracy of each trial.
        statuses: those of trials that did not finish, by position.
        seconds: training time of each trial's epoch.
    """
    for draw, (config, value, accuracy) in enumerate(
        zip(configurations, noisy_val, test, strict=True)
    ):
        write_trial(
            sweep,
            method,
            test=[accuracy],
            noisy_val=[value],
            seed=SEARCH_SEED,
            rate=rate,
            config=config,
            defaults=defaults,
            spec={"stage": STAGE},
            status=(statuses or {}).get(draw, "finished"),
            epochs={"train_seconds": [seconds[draw] if seconds else 1.0]},
            draw=draw,
        )


def write_seeds(
    sweep: Path,
    config: Mapping[str, Any],
    noisy_val: Sequence[float],
    test: Sequence[float],
    *,
    method: str = "elr",
    defaults: Mapping[str, Any] = DEFAULTS,
    rate: float = 0.5,
    stage: str = "",
) -> None:
    """Write a configuration's trials on the leaderboard's seeds: a value and an accuracy each."""
    for seed, (value, accuracy) in enumerate(zip(noisy_val, test, strict=True)):
        write_trial(
            sweep,
            method,
            test=[accuracy],
            noisy_val=[value],
            seed=seed,
            rate=rate,
            config=config,
            defaults=defaults,
            spec={"stage": stage},
        )


def random_configurations(count: int, seed: int = 0) -> list[dict[str, float]]:
    """Return the defaults, and draws of elr's two hyper-parameters."""
    rng = np.random.default_rng(seed)
    drawn = [
        {"elr.weight": float(10 ** rng.uniform(-0.3, 1.3)), "elr.momentum": float(rng.random())}
        for _ in range(count - 1)
    ]
    return [{}, *drawn]


def weight_matters(configurations: Sequence[Mapping[str, float]], seed: int = 0) -> list[float]:
    """Return accuracies that follow from the weight alone, with a little noise."""
    rng = np.random.default_rng(seed)
    weights = [{**DEFAULTS, **config}["elr.weight"] for config in configurations]
    return [0.5 + 0.2 * np.log10(weight) + 0.01 * rng.normal() for weight in weights]


def board_of(sweep: Path) -> Board:
    """Return the board of a sweep without a reference."""
    return read_board([sweep], "none")


def trials_of(value: Sequence[float], test: Sequence[float], **columns: Any) -> pd.DataFrame:
    """Return rows as of ``search_trials`` of one search, the first configuration first."""
    count = len(value)
    order = np.argsort(-np.asarray(value), kind="stable")
    place = np.empty(count, dtype=int)
    place[order] = np.arange(count)
    return pd.DataFrame(
        {
            "value": value,
            "test_accuracy": test,
            "draw": np.arange(count),
            "place": place,
            "first": np.arange(count) == 0,
            "seconds": 1.0,
            **columns,
        }
    )
