"""Warm start: what finished trials of another sweep say about the configurations of a search.

Accuracies of other labels, data or seeds cannot be compared with those of the search. Gains can: a
configuration's accuracy less that of the search's first configuration, both with the same labels,
split and training seed.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.common.identity import identity
from bench.errors import InputError
from bench.planning.registry import Scalar, display
from bench.planning.searches import recorded_value
from bench.planning.spec import TrialSpec
from bench.records.schema import FINISHED
from bench.records.trials import Trial, read_trials, warn_of_damage
from bench.tuning.spaces import space_of
from bench.tuning.study import BEST, LAST, frozen_trial

#: Most configurations that a search takes: as many as a study holds of a long search.
MOST = BEST + LAST

#: Key of a specification's cell with its seeds, and of the cell alone, over the same keys.
_SEEDS = ("noise_seed", "split_seed", "train_seed")


@dataclass(frozen=True)
class Start:
    """Knowledge of a search before its first draw."""

    gains: Sequence[tuple[Mapping[str, Scalar], float]]  # settings and mean gain, in a fixed order
    digest: str  # of the ids of the trials
    remark: str  # one sentence, for people

    @property
    def best(self) -> Mapping[str, Scalar]:
        """Settings with the highest mean gain."""
        return max(self.gains, key=lambda entry: entry[1])[0]


@dataclass(frozen=True)
class Source:
    """Finished trials of another sweep."""

    place: Path  # its folder, or an archive of it
    trials: Sequence[Trial]

    @property
    def name(self) -> str:
        """Name of the sweep for people."""
        return self.place.resolve().name

    def start(
        self, bases: Sequence[TrialSpec], fixed: Mapping[str, Scalar], goal: str
    ) -> Start | None:
        """Return what the trials say about the searches of one method; None if nothing.

        Args:
            bases: first trial of each search; they differ in noise rate alone.
            fixed: hyper-parameters that are not searched.
            goal: what the searches maximise.
        """
        values, ids = self._values(bases[0], fixed, goal)
        gains: dict[str, list[float]] = defaultdict(list)
        used: set[str] = set()
        first = _settings_key(bases[0].hparams)
        cells = {_cell(base.to_json(), seeds=False) for base in bases}
        others = 0
        for cell, by_settings in values.items():
            if first not in by_settings or len(by_settings) == 1:
                continue
            reference = fmean(by_settings[first])
            for settings, reached in by_settings.items():
                gains[settings].append(fmean(reached) - reference)
            names = ids[cell]
            used |= names
            others += len(names) * (_without_seeds(cell) not in cells)
        if not used:
            return None
        digest = hashlib.sha256(" ".join(sorted(used)).encode()).hexdigest()[:8]
        remark = (
            f"{display(bases[0].method)} starts from {len(gains)} configurations in {len(used)} "
            f"finished trials of {self.name}"
        )
        if others:
            remark += f"; {others} of these trials are of other data, noise or training"
        return Start(_strongest(gains), digest, remark)

    def _values(
        self, base: TrialSpec, fixed: Mapping[str, Scalar], goal: str
    ) -> tuple[dict[str, dict[str, list[float]]], dict[str, set[str]]]:
        """Return values by cell with seeds and by settings, and the trials' ids by cell."""
        values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        ids: dict[str, set[str]] = defaultdict(set)
        for trial, spec in _comparable(self.trials, base, fixed):
            try:
                value = recorded_value(goal, trial.epochs, trial.done)
            except (KeyError, TypeError, AssertionError):  # the record lacks what the goal needs
                continue
            except ValueError:
                warn_of_damage(trial.folder)
                continue
            if math.isfinite(value):
                cell = _cell(spec.to_json())
                values[cell][_settings_key(spec.hparams)].append(value)
                ids[cell].add(trial.id)
        return values, ids


def read_source(place: Path) -> Source:
    """Return the finished trials of a sweep's folder, or of an archive of it.

    Damaged trials are left out, with a warning: the sweep may be somebody else's.

    Raises:
        InputError: where there is no sweep, or none of its trials has finished.
    """
    finished = [
        trial
        for trial in read_trials(place, skip_damaged=True)
        if trial.done.status == FINISHED and "imported" not in trial.file.spec
    ]
    if not finished:
        raise InputError(
            f"--start-from {place} holds no finished trial: give a sweep that has some"
        )
    return Source(place, finished)


def _comparable(
    trials: Iterable[Trial], base: TrialSpec, fixed: Mapping[str, Scalar]
) -> Iterator[tuple[Trial, TrialSpec]]:
    """Yield the trials of a search's method whose settings the search could draw."""
    go_through = space_of(base.method, fixed)
    for trial in trials:
        if trial.file.spec.get("method") != base.method:
            continue
        try:
            spec = TrialSpec.from_json(trial.file.spec)
        except InputError:  # of another version of the method
            continue
        drawn = frozen_trial(go_through, spec.hparams, 0.0)
        if drawn is None or spec.told != 1:
            continue
        if {**base.hparams, **{key: spec.hparams[key] for key in drawn.params}} == spec.hparams:
            yield trial, spec


def _settings_key(hparams: Mapping[str, Scalar]) -> str:
    return json.dumps(hparams, sort_keys=True)


def _cell(spec: Mapping[str, object], *, seeds: bool = True) -> str:
    """Return all of a specification but settings and search, with or without its seeds."""
    left_out = {"hparams", "stage", *(() if seeds else _SEEDS)}
    kept = {key: value for key, value in identity(spec).items() if key not in left_out}
    return json.dumps(kept, sort_keys=True)


def _without_seeds(cell: str) -> str:
    return json.dumps(
        {key: value for key, value in json.loads(cell).items() if key not in _SEEDS},
        sort_keys=True,
    )


def _strongest(
    gains: Mapping[str, Sequence[float]],
) -> list[tuple[Mapping[str, Scalar], float]]:
    """Return at most ``MOST`` configurations, the best ones among them, in a fixed order.

    The others show where accuracy is low: they are taken in the order of a hash.
    """
    means = {settings: fmean(values) for settings, values in gains.items()}
    order = sorted(means, key=lambda settings: hashlib.sha256(settings.encode()).digest())
    best = sorted(order, key=lambda settings: -means[settings])[:BEST]
    rest = [settings for settings in order if settings not in set(best)]
    held = {*best, *rest[: MOST - BEST]}
    return [(json.loads(text), means[text]) for text in order if text in held]
