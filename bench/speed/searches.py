"""Time of a draw in long searches, beside Optuna's TPE with all configurations in its study."""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import optuna

from bench.planning.registry import Scalar
from bench.planning.spec import TrialSpec
from bench.speed.measure import Row, Settings, seconds, timed
from bench.speed.networks import CASES
from bench.speed.sessions import dataset_for, specification
from bench.tuning import study as studies
from bench.tuning.domains import suggest
from bench.tuning.spaces import space_of

#: Method whose search space has four hyper-parameters, numbers and choices.
METHOD = "co_learning"

#: Numbers of configurations that a search has tried.
COUNTS = (1_000, 2_000, 4_000)

#: Draws of one measurement: the study is made anew once among them.
DRAWS = studies.STEP

#: Number, specification and value of a configuration that is over.
_Over = list[tuple[int, TrialSpec, float]]


def search(settings: Settings) -> Iterator[Row]:
    """Compare draws of TPE with and without the bound on what it sees; images are draws."""
    case = CASES[settings.device][0]
    base = specification(case, dataset_for(case, settings.images or 200), METHOD, settings)
    over = tried(base, max(COUNTS))
    for count in COUNTS:
        known = over[: count - DRAWS // 2]

        def pair(known: _Over = known) -> tuple[float, float]:
            return draws(base, known, studies.BOUND), draws(base, known, math.inf)

        name = f"{DRAWS} draws after {count:,} configurations"
        yield timed("search", name, pair, settings, DRAWS, warm=True)


def tried(base: TrialSpec, count: int) -> _Over:
    """Return configurations of random draws and values, the same ones each time."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    go_through, chance = space_of(base.method, {}), random.Random(0)
    return [
        (number, _spec(base, go_through(partial(suggest, study.ask()))), chance.random())
        for number in range(count)
    ]


def draws(base: TrialSpec, over: _Over, bound: float) -> float:
    """Return the seconds of ``DRAWS`` draws, of which each result is told at once.

    Args:
        over: configurations that are over before.
        bound: number of draws from which on the study holds a part of them.
    """
    study, over, chance = studies.Study(base, {}), list(over), random.Random(1)

    def run() -> None:
        for number in range(len(over), len(over) + DRAWS):
            study.open(over, number)
            ask, suggested = next(study.suggestions(number))
            spec, value = _spec(base, suggested()), chance.random()
            study.tell(spec, value, ask)
            over.append((number, spec, value))

    with patch.object(studies, "BOUND", bound):
        study.open(over, len(over))
        return seconds(run)


def _spec(base: TrialSpec, hparams: Mapping[str, Scalar]) -> TrialSpec:
    return replace(base, hparams={**base.hparams, **hparams})
