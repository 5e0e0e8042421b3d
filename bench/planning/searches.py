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
from bench.records.packing import unpack_numbers, unpack_truth
from bench.records.schema import NOISY_VAL_ACCURACY, TEST_ACCURACY, Done, Epoch, present

#: Stages of tuning: what a search tries, and what it has picked, run again on the leaderboard's
#: seeds.
SEARCH, TUNED = "search", "tuned"

#: Beginnings of the words of a stage that name a sampler, which stages of TPE lack, and the trials
#: that a search starts from.
_SAMPLER, _START = "sampler=", "start="


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
    start: str = ""  # digest of the ids of the trials that it starts from

    @property
    def stage(self) -> str:
        """The kind as a specification holds it."""
        further = [] if self.sampler == "tpe" else [f"{_SAMPLER}{self.sampler}"]
        further += [f"{_START}{self.start}"] if self.start else []
        return " ".join([SEARCH, self.track, self.goal, self.scheduler, *further, *self.fixed])

    @classmethod
    def of(cls, stage: str) -> "SearchKind":
        """Return the kind of search that a trial of this stage belongs to."""
        try:
            _, track, goal, scheduler, *fixed = stage.split(" ")
        except ValueError:
            raise InputError(
                f"the stage {stage!r} is none of a search: move that trial's folder away"
            ) from None
        sampler, start = "tpe", ""
        if fixed and fixed[0].startswith(_SAMPLER):
            sampler = fixed.pop(0).removeprefix(_SAMPLER)
        if fixed and fixed[0].startswith(_START):
            start = fixed.pop(0).removeprefix(_START)
        return cls(track, goal, scheduler, tuple(fixed), sampler, start)


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


def recorded_value(goal: str, epochs: Sequence[Epoch], done: Done) -> float:
    """Return the value that a search compares, from the record of a trial with a result.

    Raises:
        KeyError: where the goal needs predictions that the record lacks.
        TypeError, AssertionError: where it needs true labels that the record lacks.
    """
    truth = unpack_truth(present(done.validation_truth))
    return best_value(goal_values(goal, epochs, truth))


def pick(tried: Iterable[tuple[str, float, int]]) -> str:
    """Return the trial whose configuration a search picks, the same in a sweep and in its report.

    Args:
        tried: id, best value and number of settings that differ from the method's defaults, in any
            order. On a tie the fewest changes win: the search's first configuration.
    """
    ids, values, changes = zip(*sorted(tried), strict=True)
    first = np.array(changes) == min(changes)
    return ids[best_configuration(np.array(values), np.ones(len(ids)), first)]
