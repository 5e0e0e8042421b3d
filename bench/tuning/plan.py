"""Tuning of a sweep: its searches, and the trials that follow from their picks.

The pick of a search runs again on the leaderboard's seeds, which the search has not seen.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from bench.common.identity import identity
from bench.datasets import Dataset
from bench.errors import InputError
from bench.planning.labels import Labels
from bench.planning.registry import Scalar, display
from bench.planning.searches import SEARCH, TUNED, SearchKind
from bench.planning.selection import check_goal
from bench.planning.spec import Plan, Seeds, TrialSpec, relative_cost
from bench.records.epochs import read_epochs
from bench.records.schema import COMPLETED, RETRIED, Done, Epoch, Origin, present
from bench.records.trials import read_begun, read_done
from bench.tuning.search import MakeStopper, Search, Settings
from bench.tuning.spaces import check_space

#: Seed of the noise, the split and the training of all searches: far from those of any leaderboard.
SEARCH_SEED = 1_000_000

#: Function of a configuration and a noise rate; it returns the trials on the leaderboard's seeds.
Evaluate = Callable[[str, Mapping[str, Scalar], float | None], list[TrialSpec]]


class Tuning:
    """All searches of a sweep, and the trials that follow from them."""

    def __init__(
        self,
        searches: Sequence[Search],
        settings: Settings,
        rates: Sequence[float | None],
        evaluate: Evaluate,
        remarks: Sequence[str] = (),
    ) -> None:
        self.searches, self.settings = list(searches), settings
        self.rates, self.evaluate = rates, evaluate
        self.remarks = remarks  # sentences for people
        self._by_key = {_key_of(search.base): search for search in self.searches}
        self._followed: dict[str, TrialSpec] = {}  # trials of settled searches, by id
        self._settled: set[int] = set()
        base = self.searches[0].base
        self._followers = len(self._follow(base.method, base.hparams, base.noise_rate))

    def resume(self, out: Path, retry_failed: bool = False) -> None:
        """Read the searches' trials from the records; warn of those that cannot be used."""
        if not (out / "trials").is_dir():
            return
        over = COMPLETED if retry_failed else COMPLETED + RETRIED
        methods = {search.base.method for search in self.searches}
        unusable: dict[str, list[str]] = {}
        begun = sorted(read_begun(out), key=lambda trial: present(trial[1].draw, 0))
        for folder, file, status in begun:
            origin = msgspec.convert(file.spec, Origin)
            method = origin.method
            # Trials of other methods are not read: their plugins may be absent or changed.
            if method not in methods or not str(origin.stage).startswith(SEARCH):
                continue
            try:
                spec = TrialSpec.from_json(file.spec)
            except InputError as error:
                unusable.setdefault(method, []).append(str(error))
                continue
            if search := self._by_key.get(_key_of(spec)):
                if status in over:
                    _resume(search, spec, folder)
                else:
                    search.resume(spec, None, [])
        for method, reasons in unusable.items():
            warnings.warn(
                f"{len(reasons)} trials of earlier searches of {display(method)} cannot be used by "
                f"this one ({reasons[0]}): they stay on record",
                stacklevel=2,
            )
        for search in self.searches:
            search.prepare()

    def position(self, spec: TrialSpec) -> int:
        """Return the number of configurations that the trial's search had drawn before it."""
        return self._by_key[_key_of(spec)].candidates[spec.id].number

    def next(self, parallel: int = 1) -> TrialSpec | None:
        """Return a trial of the search with the fewest under way; None where none can start."""
        for search in sorted(self.searches, key=lambda search: search.running):
            if search.running < parallel and (spec := search.take()):
                return spec
        return None

    @property
    def open_ended(self) -> bool:
        """True where the number of trials to come is unknown."""
        return any(search.kind.track == "budget" and search.wants_more for search in self.searches)

    def judge(self, spec: TrialSpec, epochs: Iterable[Epoch]) -> bool:
        """Show a search's trial to its scheduler; return whether it is to be stopped."""
        return self._by_key[_key_of(spec)].judge(spec, epochs)

    def end(self, spec: TrialSpec, done: Done, epochs: Sequence[Epoch]) -> None:
        """Take the record of a search's trial that is over."""
        self._by_key[_key_of(spec)].end(spec, done, epochs)

    def follow(self) -> list[TrialSpec]:
        """Return the leaderboard's trials of what searches have picked since the last call."""
        trials: list[TrialSpec] = []
        for number, search in enumerate(self.searches):
            if number in self._settled or not search.over:
                continue
            self._settled.add(number)
            picked = search.pick()
            specs = self._follow(search.base.method, picked, search.base.noise_rate)
            # The first configuration is a plain trial, whatever picked it.
            is_first = picked == search.base.hparams
            trials += specs if is_first else [replace(spec, stage=TUNED) for spec in specs]
        fresh = {trial.id: trial for trial in trials if trial.id not in self._followed}
        self._followed |= fresh
        return list(fresh.values())

    def _follow(
        self, method: str, picked: Mapping[str, Scalar], rate: float | None
    ) -> list[TrialSpec]:
        rates = self.rates if self.settings.transfer else [rate]
        return [trial for used_at in rates for trial in self.evaluate(method, picked, used_at)]

    @property
    def over(self) -> bool:
        """True where every search has picked."""
        return all(search.over for search in self.searches)

    @property
    def trials(self) -> list[TrialSpec]:
        """All trials that are known: the searches' and those that followed."""
        searched = [
            candidate.spec for search in self.searches for candidate in search.candidates.values()
        ]
        return [*searched, *self._followed.values()]

    def planned(self) -> list[tuple[TrialSpec, int]]:
        """Return, for each open search, its first trial and the number of trials to come."""
        open_searches = [
            search for number, search in enumerate(self.searches) if number not in self._settled
        ]
        return [(search.base, search.remaining + self._followers) for search in open_searches]

    def remaining(self) -> tuple[int, float]:
        """Return number and rough cost of trials to come, as far as they are known."""
        planned = self.planned()
        cost = sum(count * relative_cost(base) * base.recipe.epochs for base, count in planned)
        return sum(count for _, count in planned), cost


def _key_of(spec: TrialSpec) -> str:
    """Return the key of a trial's search: all that its trials have in common."""
    return json.dumps({**identity(spec.to_json()), "hparams": None}, sort_keys=True)


def plan_tuning(
    plan: Plan,
    data: Dataset,
    configurations: Sequence[tuple[str, Mapping[str, Scalar]]],
    fixed: Iterable[str],
    rates: Sequence[float | None],
    seeds: Seeds,
    settings: Settings,
    make_stopper: MakeStopper,
) -> Tuning:
    """Return the searches of a sweep: one for each tunable method, noise rate and track.

    Args:
        configurations: each method's first configuration.
        fixed: hyper-parameters, "part.name", that the command line sets: they are not searched.
        seeds: those of the leaderboard.
        make_stopper: makes the scheduler of a search.

    Raises:
        InputError: where a method has no search space, or settings contradict each other.
    """

    def evaluate(method: str, hparams: Mapping[str, Scalar], rate: float | None) -> list[TrialSpec]:
        return plan.specs(data, [(method, dict(hparams))], [rate], *seeds)

    methods = [method for method, _ in configurations]
    _check(methods, rates, seeds, settings)
    searches: list[Search] = []
    remarks = []
    for method, hparams in configurations:
        settings_of_method = {key: hparams[key] for key in fixed if key in hparams}
        if not check_space(method, hparams, settings_of_method):
            continue
        texts = tuple(f"{key}={value}" for key, value in sorted(settings_of_method.items()))
        # Noise and split have a seed of their own even where the replicas share theirs: nobody
        # tunes on the leaderboard's.
        bases = plan.specs(data, [(method, dict(hparams))], rates, [SEARCH_SEED])
        start = None
        if source := settings.source:
            start = source.start(bases, settings_of_method, settings.goal)
            remarks.append(
                start.remark
                if start
                else f"{display(method)} starts from nothing: {source.name} has no finished trials "
                "of several configurations of it that this search could draw"
            )
        kind = SearchKind(
            "tuned",
            settings.goal,
            settings.scheduler,
            texts,
            settings.sampler,
            start.digest if start else "",
        )
        kinds = [kind] * (settings.configurations is not None)
        kinds += [replace(kind, track="budget")] * (settings.seconds is not None)
        for base in bases:
            truth = _validation_truth(base, data, settings.goal)
            searches += [
                Search(base, kind, settings_of_method, settings, make_stopper, truth, start)
                for kind in kinds
            ]
    if not searches:
        raise InputError(
            f"there is nothing to tune in {', '.join(map(display, methods))}: leave out --tune"
        )
    if settings.source and not any(search.kind.start for search in searches):
        raise InputError(
            f"--start-from {settings.source.name} teaches no search of this sweep anything "
            f"({remarks[0]}): give a tuned sweep of the same methods, or leave it out"
        )
    return Tuning(searches, settings, rates, evaluate, remarks)


def _resume(search: Search, spec: TrialSpec, folder: Path) -> None:
    """Give a search the record of one of its trials that is over."""
    done, epochs = read_done(folder), read_epochs(folder / "epochs.jsonl")
    try:
        search.resume(spec, done, epochs)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{str(folder)!r} lacks what the search compares ({error}): delete it and run again"
        ) from error


def _check(
    methods: Sequence[str], rates: Sequence[float | None], seeds: Seeds, settings: Settings
) -> None:
    if max([*seeds.replicas, seeds.noise or 0, seeds.split or 0]) >= SEARCH_SEED:
        raise InputError(
            f"seeds from {SEARCH_SEED} are for searches: give fewer --seeds, a lower --noise-seed "
            "or a lower --split-seed"
        )
    if twice := next((method for method in methods if methods.count(method) > 1), None):
        raise InputError(
            f"{display(twice)} is given several configurations: with --tune give each setting one "
            "value, or none to tune it"
        )
    if settings.transfer and len(rates) < 2:
        raise InputError(
            "--transfer needs several noise rates: give --noise 0.2,0.5, or leave it out"
        )


def _validation_truth(base: TrialSpec, data: Dataset, goal: str) -> np.ndarray | None:
    """Return true classes (V,) of the search's validation images, where its goal needs them."""
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
