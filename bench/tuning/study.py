"""Optuna's part in a search: suggestions, seeded so that a resumed search goes on as before."""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from bench.common.identity import identity
from bench.planning.registry import Scalar
from bench.planning.spec import TrialSpec
from bench.tuning.domains import suggest
from bench.tuning.spaces import space_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from bench.tuning.rehearsal import Take
    from bench.tuning.start import Start

#: Samplers that learn from trials.
LEARNING = ("tpe", "cmaes")

#: Number of duplicate draws in a row after which a space counts as exhausted.
PATIENCE = 100

#: Number of draws of CMA-ES before random ones. Only its own draws update the distribution: they
#: come again where one was refused.
_CMAES_DRAWS = 50

#: Number of random draws that show what a search space draws.
_DRAWS = 64

#: Number of draws from which on a study holds a part of the configurations: the time of a draw by
#: TPE grows with their number.
BOUND = 1_000
#: That part: the best configurations and the last ones before the last multiple of ``STEP``, and
#: all after it. TPE never takes more than the best 25 for good ones.
BEST, LAST, STEP = 100, 400, 100


class Study:
    """Optuna study of one search, made when the first suggestion is needed."""

    #: Upper bound of the number of configurations.
    size = math.inf

    def __init__(
        self,
        base: TrialSpec,
        fixed: Mapping[str, Scalar],
        sampler: str = "tpe",
        start: "Start | None" = None,
    ) -> None:
        """Take the search's first configuration, and the hyper-parameters that are not searched.

        Args:
            sampler: tpe, random or cmaes.
            start: what is known from another sweep.
        """
        self.base, self.fixed, self.sampler, self.start = base, fixed, sampler, start
        self._optuna: Any = None
        self._bound_at = 0  # number of draws before which the study holds a part
        self._frozen: dict[str, FrozenTrial | None] = {}  # of configurations that are over, by id

    def open(self, finished: Sequence[tuple[int, TrialSpec, float]], drawn: int) -> None:
        """Create the study if there is none, or if it holds too many configurations.

        Random draws need none.

        Args:
            finished: configurations that are over, in the order of their draws: number of the
                draw, specification and value.
            drawn: number of configurations that the search has drawn.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if self.sampler not in LEARNING:
            return
        bound_at = drawn // STEP * STEP if drawn >= BOUND else 0
        if self._optuna is None or bound_at != self._bound_at:
            # CMA-ES takes all configurations of an earlier process once: see ``_add``.
            replays = self._optuna is None and self.sampler == "cmaes"
            self._optuna = optuna.create_study(direction="maximize")
            self._bound_at = bound_at
            for spec, value in _held(finished, 0 if replays else bound_at):
                self._add(spec, value)

    def tell(self, spec: TrialSpec, value: float, ask: Any = None) -> None:
        """Add a configuration that is over; a value of NaN is a failure.

        Without a study nothing happens: ``open`` adds all of them.

        Args:
            ask: Optuna's trial, if the sampler drew the configuration in this process.
        """
        if self._optuna is None:
            return
        if ask is None:
            self._add(spec, value)
            return
        trial = self._frozen[spec.id] = ask.study.tell(ask, *_result(value))
        if ask.study is not self._optuna:
            self._optuna.add_trial(trial)

    def _add(self, spec: TrialSpec, value: float) -> None:
        """Add a configuration drawn in another process, for an earlier study, or at random."""
        if spec.id not in self._frozen:
            trial = frozen_trial(self._go_through, spec.hparams, value)
            if trial and self.sampler == "cmaes":
                self._frozen[spec.id] = self._replayed(trial, value)
                return
            self._frozen[spec.id] = trial
        if (trial := self._frozen[spec.id]) is None:
            return  # drawn from an earlier version of the space: Optuna cannot use it
        self._optuna.add_trial(trial)
        if self.start and self.sampler == "tpe" and spec.id == self.base.id and not self._bound_at:
            tried = (spec.hparams, self.start.best)  # the search tries the best one itself
            for hparams, gain in self.start.gains:
                if hparams not in tried and (trial := self._known(hparams, gain + value)):
                    self._optuna.add_trial(trial)

    def _replayed(self, trial: "FrozenTrial", value: float) -> "FrozenTrial":
        """Add a configuration as if it had been drawn now, and return Optuna's trial of it.

        CMA-ES then updates its distribution, which it keeps in attributes of trials.
        """
        self._optuna.sampler = self._cmaes(0)
        self._optuna.enqueue_trial(trial.params)
        ask = self._optuna.ask()
        # Optuna updates the distribution where these are read: it does not for given values.
        assert ask.relative_params is not None
        self._go_through(partial(suggest, ask))
        return self._optuna.tell(ask, *_result(value))

    def _known(self, hparams: Mapping[str, Scalar], value: float) -> "FrozenTrial | None":
        """Return a configuration of the start; None where the first one has failed."""
        if not math.isfinite(value):
            return None
        return frozen_trial(self._go_through, hparams, value)

    def suggestions(self, drawn: int) -> Iterator[tuple[Any, Callable[[], dict[str, Scalar]]]]:
        """Yield suggestions: the sampler's, then random ones until its patience is at an end.

        Args:
            drawn: number of configurations that the search has drawn before. It seeds the samplers,
                so that a search that is resumed goes on as if nothing had happened.

        Yields:
            Optuna's trial, and a function that draws its hyper-parameters. A random draw has no
            trial: it is told as a configuration of another process is, so that CMA-ES learns the
            same from it before and after an interruption.
        """
        import optuna

        text = json.dumps([identity(self.base.to_json()), drawn], sort_keys=True)
        seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        for sampler in self._samplers(seed):
            self._optuna.sampler = sampler
            ask = self._optuna.ask()
            yield ask, partial(self._go_through, partial(suggest, ask))
        chance = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        for _ in range(PATIENCE - (self.sampler in LEARNING)):
            yield None, partial(self._go_through, partial(suggest, chance.ask()))

    def _samplers(self, seed: int) -> Iterator[Any]:
        """Yield samplers that learn, one for each suggestion."""
        import optuna

        if self.sampler == "tpe":
            yield optuna.samplers.TPESampler(seed=seed)
        elif self.sampler == "cmaes":
            yield from (self._cmaes((seed + number) % 2**32) for number in range(_CMAES_DRAWS))

    def _cmaes(self, seed: int) -> Any:
        from bench.tuning.cmaes import SeededCmaEs

        return SeededCmaEs(seed, self._numbers, self._source)

    @cached_property
    def _go_through(self) -> "Callable[[Take], dict[str, Scalar]]":
        """Function that goes through the search space: its file is read once."""
        return space_of(self.base.method, self.fixed)

    @cached_property
    def _numbers(self) -> "dict[str, BaseDistribution]":
        from bench.tuning.cmaes import numeric_space

        return numeric_space(self.base.method, self.fixed)

    @cached_property
    def _source(self) -> "list[FrozenTrial]":
        """Configurations of the start with the hyper-parameters that CMA-ES learns."""
        from optuna.trial import create_trial

        gains = self.start.gains if self.start else []
        space = self._numbers
        return [
            create_trial(
                value=gain, params={key: hparams[key] for key in space}, distributions=space
            )
            for hparams, gain in gains
        ]

    def refuse(self, ask: Any) -> None:
        """Mark a suggestion as failed: it was refused, or tried before."""
        import optuna

        if ask is not None:
            self._optuna.tell(ask, state=optuna.trial.TrialState.FAIL)


def drawn_ranges(method: str, fixed: Mapping[str, Scalar]) -> "list[dict[str, BaseDistribution]]":
    """Return what random draws of a method's search space are drawn from, "part.name" -> range."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asks = [study.ask() for _ in range(_DRAWS)]
    go_through = space_of(method, fixed)
    for ask in asks:
        go_through(partial(suggest, ask))
    return [ask.distributions for ask in asks]


def frozen_trial(
    go_through: "Callable[[Take], object]", hparams: Mapping[str, Scalar], value: float
) -> "FrozenTrial | None":
    """Return Optuna's trial of a configuration; None where it lies outside the search space.

    Args:
        go_through: function that goes through the space: ``bench.tuning.spaces.space_of``.
        value: of the objective; NaN where the configuration has failed.
    """
    import optuna

    replay = optuna.trial.FixedTrial(dict(hparams))
    objective, state = _result(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            go_through(partial(suggest, replay))
        return optuna.trial.create_trial(
            state=state,
            value=objective,
            params=replay.params,
            distributions=replay.distributions,
        )
    except ValueError:
        return None


def _result(value: float) -> tuple[float | None, Any]:
    """Return the objective and the state of a trial, as Optuna takes them."""
    import optuna

    states = optuna.trial.TrialState
    return (value, states.COMPLETE) if math.isfinite(value) else (None, states.FAIL)


def _held(
    finished: Sequence[tuple[int, TrialSpec, float]], bound_at: int
) -> list[tuple[TrialSpec, float]]:
    """Return the configurations that a study holds, in the order of their draws.

    It depends on the number of draws and on their results alone, so that a search which is resumed
    holds the same ones.
    """
    before = [entry for entry in finished if entry[0] < bound_at and math.isfinite(entry[2])]
    best = sorted(before, key=lambda entry: (-entry[2], entry[0]))[:BEST]
    numbers = {number for number, _, _ in [*best, *before[-LAST:]]}
    return [
        (spec, value) for number, spec, value in finished if number >= bound_at or number in numbers
    ]
