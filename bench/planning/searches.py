"""Kinds of searches, and how they compare configurations."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import UNSET

from bench.errors import InputError
from bench.planning.selection import (
    CLEAN_VAL,
    DEFAULT_RULE,
    best_configuration,
    check_goal,
    clean_validation,
)
from bench.records.packing import unpack_numbers
from bench.records.schema import NOISY_VAL_ACCURACY, TEST_ACCURACY, Epoch

#: Stages of tuning: what a search tries, and what it has picked, run again on the leaderboard's
#: seeds.
SEARCH, TUNED = "search", "tuned"

#: Beginning of the word of a stage that names a sampler; stages of TPE lack it.
_SAMPLER = "sampler="


@dataclass(frozen=True)
class SearchKind:
    """Properties that tell the searches of one cell apart.

    They are in the stage of their trials, so that a record names its search.
    """

    track: str  # "tuned": equal numbers of configurations; "budget": equal seconds
    goal: str = DEFAULT_RULE  # what a search maximises
    scheduler: str = "none"
    fixed: tuple[str, ...] = ()  # "part.name=value", not searched
    sampler: str = "tpe"

    @property
    def stage(self) -> str:
        """The kind as a specification holds it."""
        sampler = [] if self.sampler == "tpe" else [f"{_SAMPLER}{self.sampler}"]
        return " ".join([SEARCH, self.track, self.goal, self.scheduler, *sampler, *self.fixed])

    @classmethod
    def of(cls, stage: str) -> "SearchKind":
        """Return the kind of search that a trial of this stage belongs to."""
        try:
            _, track, goal, scheduler, *fixed = stage.split(" ")
        except ValueError:
            raise InputError(
                f"the stage {stage!r} is none of a search: move that trial's folder away"
            ) from None
        sampler = "tpe"
        if fixed and fixed[0].startswith(_SAMPLER):
            sampler = fixed.pop(0).removeprefix(_SAMPLER)
        return cls(track, goal, scheduler, tuple(fixed), sampler)


def goal_values(goal: str, epochs: Sequence[Epoch], truth: np.ndarray | None) -> np.ndarray:
    """Return the objective of a search over epochs: (E,), NaN where it is undefined.

    Args:
        epochs: records of a trial's epochs.
        truth: true classes (V,) of its validation images, where the goal needs them.

    Raises:
        KeyError: where the goal needs predictions that a record lacks.
    """
    if not goal.startswith(CLEAN_VAL):
        key = NOISY_VAL_ACCURACY if goal == DEFAULT_RULE else TEST_ACCURACY
        return np.array([epoch.figure(key) for epoch in epochs], dtype=float)
    assert truth is not None
    images = check_goal(goal)
    if any(epoch.val_predictions is UNSET for epoch in epochs):
        raise KeyError("val_predictions")
    accuracies = [
        clean_validation(unpack_numbers(str(epoch.val_predictions)), truth, images)
        for epoch in epochs
    ]
    return np.array(accuracies, dtype=float)


def best_value(values: np.ndarray) -> float:
    """Return the best value of a trial's curve; NaN where it has none."""
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


def pick(tried: Iterable[tuple[str, float, int]]) -> str:
    """Return the trial whose configuration a search picks, the same in a sweep and in its report.

    Args:
        tried: id, best value and number of settings that differ from the method's defaults, in any
            order. On a tie the fewest changes win: the search's first configuration.
    """
    ids, values, changes = zip(*sorted(tried), strict=True)
    first = np.array(changes) == min(changes)
    return ids[best_configuration(np.array(values), np.ones(len(ids)), first)]
