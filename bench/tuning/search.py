"""Search for the best configuration of one method at one noise rate.

A search tries configurations on seeds of its own. The trials' records are its only memory: after
any crash it is rebuilt from them, and goes on.
"""

import math
import warnings
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from bench.errors import InputError
from bench.planning.registry import Scalar, changes, display
from bench.planning.searches import SearchKind, best_value, goal_values, pick
from bench.planning.selection import DEFAULT_RULE, check_goal
from bench.planning.spec import TrialSpec, grace_of, method_for
from bench.records.schema import SUCCEEDED, Done, Epoch, amount
from bench.tuning.grid import Grid, grid
from bench.tuning.start import Source, Start
from bench.tuning.study import Study

#: Number of configurations after which a search within a budget ends if all have failed: failures
#: that take no time would never use up the budget.
HOPELESS = 5


@dataclass(frozen=True)
class Settings:
    """Settings of all searches of a sweep."""

    configurations: int | None = None  # of each cell, in the track "tuned"
    seconds: float | None = None  # on the device, of each cell, in the track "budget"
    goal: str = DEFAULT_RULE
    scheduler: str = "none"
    transfer: bool = False
    sampler: str = "tpe"
    source: Source | None = None  # trials of another sweep that searches start from

    def __post_init__(self) -> None:
        check_goal(self.goal)


@dataclass
class Candidate:
    """Configuration that a search has drawn, and its result."""

    spec: TrialSpec
    number: int  # of configurations that its search had drawn before
    value: float = math.nan  # of the objective; NaN where it failed
    judged: int = 0  # epochs that the scheduler was shown, or would have been
    stopped: bool = False  # by the scheduler
    ask: Any = None  # Optuna's trial, if it was drawn in this process
    grace: int = field(init=False)  # epochs before which it is not judged

    def __post_init__(self) -> None:
        self.grace = grace_of(self.spec)


class Stopper(Protocol):
    """Scheduler of one search: decides which trials to stop early."""

    def judge(self, trial_id: str, epochs: int, value: float) -> bool:
        """Return whether to stop a trial that has reached ``value`` after ``epochs``."""


#: Function that makes a search's stopper from the name of a scheduler (asha, hyperband, median,
#: none), the epochs before which no trial is judged, and the epochs of a whole trial.
MakeStopper = Callable[[str, int, int], Stopper]


def make_study(
    base: TrialSpec, fixed: Mapping[str, Scalar], sampler: str, start: Start | None = None
) -> Study | Grid:
    """Return the source of a search's configurations, by the name of its sampler.

    Raises:
        InputError: where the sampler cannot search the method's space.
    """
    if sampler == "grid":
        return Grid(base, fixed)
    check_sampler(sampler, base.method, fixed)
    return Study(base, fixed, sampler, start)


def check_sampler(sampler: str, method: str, fixed: Mapping[str, Scalar]) -> None:
    """Raise InputError where a sampler cannot search a method's space."""
    if sampler == "grid":
        grid(method, tuple(sorted(fixed.items())))
    elif sampler == "cmaes":
        from bench.tuning.cmaes import numeric_space  # imports Optuna

        numeric_space(method, fixed)


class Search:
    """Search of one kind for one cell."""

    def __init__(
        self,
        base: TrialSpec,
        kind: SearchKind,
        fixed: Mapping[str, Scalar],
        limit: Settings,
        make_stopper: MakeStopper,
        truth: np.ndarray | None = None,
        start: Start | None = None,
    ) -> None:
        """Begin a search without candidates.

        Args:
            base: trial of the first configuration (the defaults, and what is ``fixed``) on the
                search's seeds.
            fixed: hyper-parameters that are not searched.
            truth: true classes (V,) of the validation images, where the goal needs them.
            start: what is known from another sweep.

        Raises:
            InputError: where the sampler cannot search the method's space.
        """
        self.base = replace(base, stage=kind.stage)
        self.kind, self.fixed, self.limit, self.truth = kind, fixed, limit, truth
        self.candidates: dict[str, Candidate] = {}
        self._waiting: deque[Candidate] = deque()
        #: Candidates that are over, in the order of their draws.
        self._finished: list[tuple[int, TrialSpec, float]] = []
        self.exhausted = False
        self._seconds = 0.0  # of training on the device, of all candidates that are over
        self._pretrain_seconds = 0.0  # the most of any of them
        self._hopeless = True  # none of them has a value
        #: Configurations to try before the sampler draws.
        self._given = [self.base, *([self._spec(start.best)] if start else [])]
        self._study = make_study(self.base, fixed, kind.sampler, start)
        self._stopper = make_stopper(kind.scheduler, grace_of(base), base.recipe.epochs)

    @property
    def running(self) -> int:
        """Number of trials under way."""
        return len(self.candidates) - len(self._waiting) - len(self._finished)

    @property
    def remaining(self) -> int:
        """Number of trials still to start; for a budget, a lower bound."""
        waiting = len(self._waiting)
        if self.kind.track != "tuned" or self.exhausted:
            return max(waiting, int(self.wants_more))
        return waiting + int(max(0, self._most - len(self.candidates)))

    @property
    def _most(self) -> float:
        """Number of configurations that a search of the track "tuned" tries at most."""
        return min(self.limit.configurations or 0, self._study.size)

    @property
    def wants_more(self) -> bool:
        """True where another configuration is to be drawn."""
        if self.exhausted:
            return False
        if self.kind.track == "tuned":
            return len(self.candidates) < self._most
        assert self.limit.seconds is not None
        if not self._finished:
            return not self.candidates  # the time of a trial is not known yet
        if len(self._finished) >= HOPELESS and self._hopeless:
            return False
        # Trials under way will take about as long as the others did; a pretrained encoder is
        # shared.
        trained = self._seconds * (len(self.candidates) / len(self._finished))
        return trained + self._pretrain_seconds < self.limit.seconds

    @property
    def over(self) -> bool:
        """True where every configuration is over, and no other is wanted."""
        return not self.wants_more and self._all_over

    @property
    def _all_over(self) -> bool:
        return len(self._finished) == len(self.candidates)

    def resume(self, spec: TrialSpec, done: Done | None, epochs: Sequence[Epoch]) -> None:
        """Take up a trial on record; without ``done`` it was begun, and begins again."""
        candidate = self._add(spec)
        if done is None:
            self._waiting.append(candidate)
            return
        self.judge(spec, epochs)  # a trial's record goes on after the epoch that stopped it
        self._close(candidate, done, epochs)

    def prepare(self) -> None:
        """Draw the next configuration, which shows whether the space is exhausted."""
        if self.wants_more and self._all_over and (candidate := self._draw()):
            self._waiting.append(candidate)

    def take(self) -> TrialSpec | None:
        """Return the next trial to run; None where there is none, for now or for good."""
        if self._waiting:
            return self._waiting.popleft().spec
        candidate = self._draw() if self.wants_more else None
        return candidate.spec if candidate else None

    def judge(self, spec: TrialSpec, epochs: Iterable[Epoch]) -> bool:
        """Show a trial's new epochs to the scheduler; return whether it stops the trial."""
        candidate = self.candidates[spec.id]
        for count, value in self._values(candidate, epochs):
            if candidate.stopped:
                break
            candidate.stopped = self._stopper.judge(spec.id, count, value)
        # Stopping a trial that has trained all its epochs would save nothing.
        return candidate.stopped and candidate.judged < spec.recipe.epochs

    def _values(self, candidate: Candidate, epochs: Iterable[Epoch]) -> list[tuple[int, float]]:
        """Return the objective after new epochs, as (epochs so far, value), without warm-up."""
        epochs = [epoch for epoch in epochs if epoch.epoch >= candidate.judged]
        counts = [epoch.epoch + 1 for epoch in epochs]
        values = goal_values(self.kind.goal, epochs, self.truth).tolist()
        candidate.judged = max([candidate.judged, *counts])
        return [
            (count, value)
            for count, value in zip(counts, values, strict=True)
            if count > candidate.grace and math.isfinite(value)
        ]

    def end(self, spec: TrialSpec, done: Done, epochs: Sequence[Epoch]) -> None:
        """Take the record of a trial that is over."""
        self._close(self.candidates[spec.id], done, epochs)

    def pick(self) -> dict[str, Scalar]:
        """Return the hyper-parameters of the best candidate."""
        best = pick(
            (spec.id, value, len(changes(spec.method, spec.hparams)))
            for _, spec, value in self._finished
        )
        return self.candidates[best].spec.hparams

    def _close(self, candidate: Candidate, done: Done, epochs: Sequence[Epoch]) -> None:
        seconds = sum(amount(epoch.train_seconds) for epoch in epochs)
        if done.status not in SUCCEEDED:  # a failure within an epoch is in no epoch's record
            seconds = max(seconds, amount(done.work_seconds))
        self._seconds += seconds
        self._pretrain_seconds = max(self._pretrain_seconds, amount(done.pretrain_seconds))
        if done.status in SUCCEEDED:
            candidate.value = best_value(goal_values(self.kind.goal, epochs, self.truth))
        self._hopeless &= math.isnan(candidate.value)
        insort(self._finished, (candidate.number, candidate.spec, candidate.value))
        self._study.tell(candidate.spec, candidate.value, candidate.ask)

    def _draw(self) -> Candidate | None:
        """Return a configuration that was not tried yet: the given ones, then the sampler's.

        None means that the search is exhausted.
        """
        for spec in self._given:
            if spec.id not in self.candidates:
                return self._add(spec)
        drawn = len(self.candidates)
        self._study.open(self._finished, drawn)
        fault: InputError | None = None
        for ask, suggested in self._study.suggestions(drawn):
            try:
                spec = self._spec(suggested())
            except InputError as error:  # a combination that the method refuses
                fault = error
                self._study.refuse(ask)
                continue
            if spec.id not in self.candidates:
                return self._add(spec, ask)
            self._study.refuse(ask)  # the repetition has no record
        if fault and len(self.candidates) == 1:  # the searches of other methods go on
            warnings.warn(
                f"no other configuration of {display(self.base.method)} can be drawn: {fault}",
                stacklevel=2,
            )
        self.exhausted = True
        return None

    def _add(self, spec: TrialSpec, ask: Any = None) -> Candidate:
        candidate = self.candidates[spec.id] = Candidate(spec, len(self.candidates), ask=ask)
        return candidate

    def _spec(self, hparams: Mapping[str, Scalar]) -> TrialSpec:
        """Return the trial of a configuration.

        Raises:
            InputError: where the method refuses the combination.
        """
        merged = {"hparams": {**self.base.hparams, **hparams}}
        spec = TrialSpec.from_json(self.base.to_json() | merged)
        method_for(spec)
        return spec
