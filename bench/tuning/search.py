"""Tuning: a search for each cell (method, data set, noise), and what becomes of what it finds.

A search tries configurations on seeds of its own; its pick runs again on the leaderboard's seeds,
which it has not seen. The trials' records are its only memory: after any crash it is rebuilt from
them, and goes on. No sweep is run here.
"""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.identity import identity
from bench.datasets import Dataset
from bench.errors import InputError
from bench.planning.registry import Scalar, changes, display
from bench.planning.searches import SEARCH, TUNED, SearchKind, best_value, goal_values, pick
from bench.planning.selection import DEFAULT_RULE, check_goal
from bench.planning.spec import Plan, TrialSpec, relative_cost
from bench.records.schema import COMPLETED, RETRIED
from bench.records.trials import read_begun, read_epochs
from bench.training.trial import Labels, method_for
from bench.tuning.spaces import check_space, draw
from bench.tuning.stopping import Stopper

#: Seed of the noise, the split and the training of all searches: far from those of any leaderboard.
SEARCH_SEED = 1_000_000

#: So many configurations that all failed end a budget's search: what fails at once would be tried
#: for ever.
HOPELESS = 5

#: So many draws in a row that were tried before: there is nothing else in the space.
PATIENCE = 100

#: Takes a configuration and a noise rate; returns its trials on the leaderboard's seeds.
Evaluate = Callable[[str, Mapping[str, Scalar], float | None], list[TrialSpec]]


@dataclass(frozen=True)
class Settings:
    """What the command line says of tuning."""

    configurations: int | None = None  # of each cell, in the track "tuned"
    seconds: float | None = None  # on the device, of each cell, in the track "budget"
    goal: str = DEFAULT_RULE
    scheduler: str = "none"
    transfer: bool = False

    def __post_init__(self) -> None:
        check_goal(self.goal)


@dataclass
class Candidate:
    """A configuration that a search has drawn, and what became of it."""

    spec: TrialSpec
    state: str = "waiting"  # then "running", then "over"
    value: float = math.nan  # NaN where it failed
    seconds: float = 0.0  # of training on the device
    pretrain_seconds: float = 0.0
    judged: int = 0  # epochs that the scheduler was shown, or would have been
    stopped: bool = False  # the scheduler has said so
    ask: Any = None  # Optuna's trial, if it was drawn in this process
    grace: int = field(init=False)

    def __post_init__(self) -> None:
        self.grace = _grace(self.spec)


class Search:
    """One cell's search, of one kind."""

    def __init__(
        self,
        base: TrialSpec,
        kind: SearchKind,
        fixed: Mapping[str, Scalar],
        limit: Settings,
        truth: np.ndarray | None = None,
    ) -> None:
        """``base``: a trial of the first configuration (the defaults, and what is ``fixed``) on the
        search's seeds.
        """
        self.base = replace(base, stage=kind.stage)
        self.kind, self.fixed, self.limit, self.truth = kind, fixed, limit, truth
        self.candidates: dict[str, Candidate] = {}
        self.exhausted = False
        self._optuna: Any = None
        self._stopper = Stopper(kind.scheduler, _grace(base), base.recipe.epochs)

    @property
    def running(self) -> int:
        """Trials that are under way."""
        return sum(candidate.state == "running" for candidate in self.candidates.values())

    @property
    def remaining(self) -> int:
        """Trials that are still to start; of a budget, at least so many."""
        waiting = sum(candidate.state == "waiting" for candidate in self.candidates.values())
        if self.kind.track != "tuned" or self.exhausted:
            return max(waiting, int(self.wants_more))
        return waiting + max(0, (self.limit.configurations or 0) - len(self.candidates))

    @property
    def wants_more(self) -> bool:
        """Whether another configuration is to be drawn."""
        if self.exhausted:
            return False
        if self.kind.track == "tuned":
            assert self.limit.configurations is not None
            return len(self.candidates) < self.limit.configurations
        assert self.limit.seconds is not None
        over = [candidate for candidate in self.candidates.values() if candidate.state == "over"]
        if not over:
            return not self.candidates  # nobody knows yet how long one takes
        if len(over) >= HOPELESS and all(math.isnan(candidate.value) for candidate in over):
            return False
        trained = sum(candidate.seconds for candidate in over)
        # What is under way will take about as long as the others did; a pretrained encoder is
        # shared.
        trained *= len(self.candidates) / len(over)
        return trained + max(candidate.pretrain_seconds for candidate in over) < self.limit.seconds

    @property
    def over(self) -> bool:
        """Whether all that it wanted is done."""
        return not self.wants_more and all(
            candidate.state == "over" for candidate in self.candidates.values()
        )

    def resume(
        self,
        spec: TrialSpec,
        status: str | None,
        epochs: Sequence[Mapping[str, Any]],
        facts: Mapping[str, Any],
    ) -> None:
        """Take up what a record says: of a trial that is over, or, without a ``status``, of one
        that was begun.
        """
        candidate = self.candidates[spec.id] = Candidate(spec)
        if status is None:
            return
        for count, value in self._seen(candidate, epochs):
            self._stopper.remember(spec.id, count, value)
        self._close(candidate, status, epochs, facts)

    def prepare(self) -> None:
        """Draw the next configuration, to learn whether there is one."""
        if self.wants_more and all(
            candidate.state == "over" for candidate in self.candidates.values()
        ):
            self._draw()

    def take(self) -> TrialSpec | None:
        """The next trial to run, or None where there is none, for now or for good."""
        candidate = next((c for c in self.candidates.values() if c.state == "waiting"), None)
        if candidate is None and self.wants_more:
            candidate = self._draw()
        if candidate is None:
            return None
        candidate.state = "running"
        return candidate.spec

    def judge(self, spec: TrialSpec, epochs: Iterable[Mapping[str, Any]]) -> bool:
        """Show a trial's new epochs to the scheduler; whether it is to be stopped."""
        candidate = self.candidates[spec.id]
        for count, value in self._seen(candidate, epochs):
            if candidate.stopped:
                break
            candidate.stopped = self._stopper.judge(spec.id, count, value)
        # of what is done already nothing is saved
        return candidate.stopped and candidate.judged < spec.recipe.epochs

    def _seen(
        self, candidate: Candidate, epochs: Iterable[Mapping[str, Any]]
    ) -> list[tuple[int, float]]:
        """What the scheduler is to see of new epochs, as (epochs so far, value): nothing of a
        warm-up.
        """
        new = [epoch for epoch in epochs if epoch["epoch"] >= candidate.judged]
        values = goal_values(self.kind.goal, new, self.truth)
        candidate.judged = max([candidate.judged, *(epoch["epoch"] + 1 for epoch in new)])
        counted = [
            (epoch["epoch"] + 1, float(value)) for epoch, value in zip(new, values, strict=True)
        ]
        return [
            (count, value)
            for count, value in counted
            if count > candidate.grace and math.isfinite(value)
        ]

    def end(
        self,
        spec: TrialSpec,
        status: str,
        epochs: Sequence[Mapping[str, Any]],
        facts: Mapping[str, Any],
    ) -> None:
        """A trial is over; ``epochs`` and ``facts`` are its record."""
        self._close(self.candidates[spec.id], status, epochs, facts)

    def pick(self) -> dict[str, Scalar]:
        """Hyper-parameters of the best candidate."""
        over = {
            name: candidate
            for name, candidate in self.candidates.items()
            if candidate.state == "over"
        }
        best = pick(
            (name, c.value, len(changes(c.spec.method, c.spec.hparams))) for name, c in over.items()
        )
        return over[best].spec.hparams

    def _close(
        self,
        candidate: Candidate,
        status: str,
        epochs: Sequence[Mapping[str, Any]],
        facts: Mapping[str, Any],
    ) -> None:
        candidate.state = "over"
        candidate.seconds = sum(epoch.get("train_seconds") or 0.0 for epoch in epochs)
        if status not in ("finished", "stopped"):  # of what failed within an epoch no epoch tells
            candidate.seconds = max(candidate.seconds, facts.get("work_seconds") or 0.0)
        candidate.pretrain_seconds = facts.get("pretrain_seconds") or 0.0
        if status in ("finished", "stopped"):
            candidate.value = best_value(goal_values(self.kind.goal, epochs, self.truth))
        self._tell(candidate)

    # -----------------------------------------------------------------------------------------------
    # Optuna's part

    @property
    def optuna(self) -> Any:
        """The study, made when it is first needed."""
        import optuna

        if self._optuna is None:
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self._optuna = optuna.create_study(direction="maximize")
            for candidate in self.candidates.values():
                if candidate.state == "over":
                    self._tell(candidate)
        return self._optuna

    def _tell(self, candidate: Candidate) -> None:
        """Let Optuna know; what was drawn in another process enters as a trial of its own."""
        if self._optuna is None:
            return  # it hears of it when it is made
        import optuna

        good = math.isfinite(candidate.value)
        state = optuna.trial.TrialState.COMPLETE if good else optuna.trial.TrialState.FAIL
        value = candidate.value if good else None
        if candidate.ask is not None:
            self.optuna.tell(candidate.ask, value, state)
            return
        again = optuna.trial.FixedTrial(candidate.spec.hparams)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                draw(self.base.method, again, self.fixed)
            self.optuna.add_trial(
                optuna.trial.create_trial(
                    state=state, value=value, params=again.params, distributions=again.distributions
                )
            )
        except ValueError:  # the space was another one then: it counts, but teaches nothing
            pass

    def _samplers(self) -> Iterator[Any]:
        """For one draw: what promises most, then, where that is known or refused, anything.

        Seeded by how many there were before: whoever resumes the search after as many goes on as if
        nothing had happened.
        """
        import optuna

        text = json.dumps([identity(self.base.to_json()), len(self.candidates)], sort_keys=True)
        seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        yield optuna.samplers.TPESampler(seed=seed)
        yield from [optuna.samplers.RandomSampler(seed=seed)] * (PATIENCE - 1)

    def _draw(self) -> Candidate | None:
        """A configuration that was not tried yet: the first one, then what Optuna suggests."""
        import optuna

        if self.base.id not in self.candidates:
            self.candidates[self.base.id] = Candidate(self.base)
            return self.candidates[self.base.id]
        fault: InputError | None = None
        for sampler in self._samplers():
            self.optuna.sampler = sampler
            ask = self.optuna.ask()
            try:
                drawn = draw(self.base.method, ask, self.fixed)
                spec = TrialSpec.from_json(
                    self.base.to_json() | {"hparams": {**self.base.hparams, **drawn}}
                )
                method_for(spec)
            except InputError as error:  # a combination that the method refuses
                fault = error
                self.optuna.tell(ask, state=optuna.trial.TrialState.FAIL)
                continue
            if spec.id not in self.candidates:
                self.candidates[spec.id] = Candidate(spec, ask=ask)
                return self.candidates[spec.id]
            # it knows that one; no record tells of the repetition
            self.optuna.tell(ask, state=optuna.trial.TrialState.FAIL)
        if fault and len(self.candidates) == 1:  # the searches of other methods go on
            warnings.warn(
                f"no other configuration of {display(self.base.method)} can be drawn: {fault}",
                stacklevel=2,
            )
        self.exhausted = True
        return None


def _grace(spec: TrialSpec) -> int:
    """Epochs before which the trial is not judged."""
    return min(max(part.grace() for part in method_for(spec).parts()), spec.recipe.epochs - 1)


class Tuning:
    """All searches of a sweep, and the trials that follow from them."""

    def __init__(
        self,
        searches: Sequence[Search],
        settings: Settings,
        rates: Sequence[float | None],
        evaluate: Evaluate,
    ) -> None:
        self.searches, self.settings, self.rates, self.evaluate = (
            list(searches),
            settings,
            rates,
            evaluate,
        )
        self._by_key = {_key_of(search.base): search for search in self.searches}
        self._followed: dict[str, TrialSpec] = {}  # trials of settled searches, by id
        self._settled: set[int] = set()
        first = self.searches[0].base
        self._followers = len(self._follow(first.method, first.hparams, first.noise_rate))

    def resume(self, out: Path, retry_failed: bool = False) -> None:
        """Read the searches' trials from the records."""
        if not (out / "trials").is_dir():
            return
        over = COMPLETED if retry_failed else COMPLETED + RETRIED
        methods = {search.base.method for search in self.searches}
        unusable: dict[str, list[str]] = {}
        for folder, content, done in sorted(
            read_begun(out), key=lambda begun: begun[1].get("draw", 0)
        ):
            method = content["spec"].get("method")
            # Others may be of plugins that are not here, or no longer what they were.
            if method not in methods or not str(content["spec"].get("stage", "")).startswith(
                SEARCH
            ):
                continue
            try:
                spec = TrialSpec.from_json(content["spec"])
            except InputError as error:
                unusable.setdefault(method, []).append(str(error))
                continue
            search = self._by_key.get(_key_of(spec))
            if search:
                status = done["status"] if done and done["status"] in over else None
                search.resume(
                    spec,
                    status,
                    list(read_epochs(folder / "epochs.jsonl")) if status else [],
                    done or {},
                )
        for method, reasons in unusable.items():
            warnings.warn(
                f"{len(reasons)} trials of earlier searches of {display(method)} cannot be used by "
                f"this one ({reasons[0]}): they stay on record",
                stacklevel=2,
            )
        for search in self.searches:
            search.prepare()

    def position(self, spec: TrialSpec) -> int:
        """How many configurations a search's trial was drawn after."""
        return list(self._by_key[_key_of(spec)].candidates).index(spec.id)

    def next(self, parallel: int = 1) -> TrialSpec | None:
        """A trial of some search, of that with the fewest under way first; None where none can
        start now.
        """
        for search in sorted(self.searches, key=lambda search: search.running):
            if search.running < parallel and (spec := search.take()):
                return spec
        return None

    @property
    def open_ended(self) -> bool:
        """Whether nobody can say yet how many trials are to come."""
        return any(search.kind.track == "budget" and search.wants_more for search in self.searches)

    def judge(self, spec: TrialSpec, epochs: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a search's trial is to be stopped after these new epochs."""
        return self._by_key[_key_of(spec)].judge(spec, epochs)

    def end(
        self,
        spec: TrialSpec,
        status: str,
        epochs: Sequence[Mapping[str, Any]],
        facts: Mapping[str, Any],
    ) -> None:
        """A search's trial is over."""
        self._by_key[_key_of(spec)].end(spec, status, epochs, facts)

    def follow(self) -> list[TrialSpec]:
        """Trials on the leaderboard's seeds of what searches have picked since this was last asked."""
        found: list[TrialSpec] = []
        for number, search in enumerate(self.searches):
            if number in self._settled or not search.over:
                continue
            self._settled.add(number)
            picked = search.pick()
            trials = self._follow(search.base.method, picked, search.base.noise_rate)
            # What is run anyway is one trial, whatever picked it.
            found += (
                trials
                if picked == search.base.hparams
                else [replace(trial, stage=TUNED) for trial in trials]
            )
        new = {trial.id: trial for trial in found if trial.id not in self._followed}
        self._followed |= new
        return list(new.values())

    def _follow(
        self, method: str, picked: Mapping[str, Scalar], rate: float | None
    ) -> list[TrialSpec]:
        rates = self.rates if self.settings.transfer else [rate]
        return [trial for used_at in rates for trial in self.evaluate(method, picked, used_at)]

    @property
    def over(self) -> bool:
        """Whether every search has picked."""
        return all(search.over for search in self.searches)

    @property
    def trials(self) -> list[TrialSpec]:
        """All that are known: the searches' and those that followed."""
        searched = [
            candidate.spec for search in self.searches for candidate in search.candidates.values()
        ]
        return [*searched, *self._followed.values()]

    def planned(self) -> list[tuple[TrialSpec, int]]:
        """Of each search that has not picked: its first trial, and how many more there will be, as
        far as that is known.
        """
        open_ones = [
            search for number, search in enumerate(self.searches) if number not in self._settled
        ]
        return [(search.base, search.remaining + self._followers) for search in open_ones]

    def remaining(self) -> tuple[int, float]:
        """How many trials are not decided on yet, as far as that is known, and their rough cost."""
        cost = sum(
            count * relative_cost(base) * base.recipe.epochs for base, count in self.planned()
        )
        return sum(count for _, count in self.planned()), cost


def _key_of(spec: TrialSpec) -> str:
    """What the trials of one search have in common."""
    return json.dumps({**identity(spec.to_json()), "hparams": None}, sort_keys=True)


def plan_tuning(
    plan: Plan,
    data: Dataset,
    configurations: Sequence[tuple[str, Mapping[str, Scalar]]],
    fixed: Iterable[str],
    rates: Sequence[float | None],
    seeds: Sequence[int],
    noise_seed: int | None,
    split_seed: int | None,
    settings: Settings,
) -> Tuning:
    """The searches of a sweep, one for each method that has something to tune, noise rate and
    track.

    Args:
        configurations: each method's first configuration.
        fixed: hyper-parameters, "part.name", that the command line sets: they are not searched.

    Raises:
        InputError: where a method has no search space, or settings ask for what cannot be.
    """

    def evaluate(method: str, hparams: Mapping[str, Scalar], rate: float | None) -> list[TrialSpec]:
        return plan.specs(data, [(method, dict(hparams))], [rate], seeds, noise_seed, split_seed)

    if max(seeds, default=0) >= SEARCH_SEED:
        raise InputError(f"seeds from {SEARCH_SEED} are for searches: give fewer --seeds")
    methods = [method for method, _ in configurations]
    if twice := next((method for method in methods if methods.count(method) > 1), None):
        raise InputError(
            f"{display(twice)} is given several configurations: with --tune give each setting one "
            "value, or none to tune it"
        )
    if settings.transfer and len(rates) < 2:
        raise InputError(
            "--transfer needs several noise rates: give --noise 0.2,0.5, or leave it out"
        )
    searches = []
    for method, hparams in configurations:
        kept = {key: hparams[key] for key in fixed if key in hparams}
        if not check_space(method, hparams, kept):
            continue
        kind = SearchKind(
            "tuned",
            settings.goal,
            settings.scheduler,
            tuple(f"{k}={kept[k]}" for k in sorted(kept)),
        )
        kinds = [kind] * (settings.configurations is not None)
        kinds += [replace(kind, track="budget")] * (settings.seconds is not None)
        # Of noise and split too, also where the replicas share theirs: the leaderboard's are for
        # nobody to tune on.
        for base in plan.specs(data, [(method, dict(hparams))], rates, [SEARCH_SEED], None, None):
            truth = _validation_truth(base, data, settings.goal)
            searches += [Search(base, one, kept, settings, truth) for one in kinds]
    if not searches:
        raise InputError(
            f"none of {', '.join(map(display, methods))} has anything to tune: leave out --tune"
        )
    return Tuning(searches, settings, rates, evaluate)


def _validation_truth(base: TrialSpec, data: Dataset, goal: str) -> np.ndarray | None:
    """True classes of the search's validation images, where its goal needs them."""
    images = check_goal(goal)
    if not images:
        return None
    labels = Labels.of(base, data)
    truth = labels.truth[labels.validation]
    if (known := int((truth >= 0).sum())) < images:
        raise InputError(
            f"--tune-for {goal} needs {images} validation images with known labels, but there are "
            f"{known}"
        )
    return truth
