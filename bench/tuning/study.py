"""Optuna's part in a search: suggestions, seeded so that a resumed search goes on as before."""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bench.common.identity import identity
from bench.planning.registry import Scalar
from bench.planning.spec import TrialSpec
from bench.tuning.spaces import draw

#: Number of duplicate draws in a row after which a space counts as exhausted.
PATIENCE = 100


class Study:
    """Optuna study of one search, made when the first suggestion is needed."""

    def __init__(self, base: TrialSpec, fixed: Mapping[str, Scalar], sampler: str = "tpe") -> None:
        """Take the search's first configuration, and the hyper-parameters that are not searched.

        Args:
            sampler: tpe or random.
        """
        self.base, self.fixed, self.sampler = base, fixed, sampler
        self._optuna: Any = None

    def open(self, over: Sequence[tuple[TrialSpec, float]]) -> None:
        """Create the study if there is none, and add the configurations that are over."""
        import optuna

        if self._optuna is None:
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self._optuna = optuna.create_study(direction="maximize")
            for spec, value in over:
                self.tell(spec, value)

    def tell(self, spec: TrialSpec, value: float, ask: Any = None) -> None:
        """Add a configuration that is over; a value of NaN is a failure.

        Without a study nothing happens: ``open`` adds all of them.

        Args:
            ask: Optuna's trial, if the configuration was drawn in this process.
        """
        if self._optuna is None:
            return
        import optuna

        succeeded = math.isfinite(value)
        state = optuna.trial.TrialState.COMPLETE if succeeded else optuna.trial.TrialState.FAIL
        objective = value if succeeded else None
        if ask is not None:
            self._optuna.tell(ask, objective, state)
            return
        replay = optuna.trial.FixedTrial(spec.hparams)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                draw(self.base.method, replay, self.fixed)
            self._optuna.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=objective,
                    params=replay.params,
                    distributions=replay.distributions,
                )
            )
        except ValueError:  # drawn from an earlier version of the space: Optuna cannot use it
            pass

    def suggestions(self, drawn: int) -> Iterator[tuple[Any, Callable[[], dict[str, Scalar]]]]:
        """Yield suggestions: the sampler's, then random ones, at most ``PATIENCE``.

        Args:
            drawn: number of configurations that the search has drawn before. It seeds the samplers,
                so that a search that is resumed goes on as if nothing had happened.

        Yields:
            Optuna's trial, and a function that draws its hyper-parameters.
        """
        import optuna

        text = json.dumps([identity(self.base.to_json()), drawn], sort_keys=True)
        seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        chance = optuna.samplers.RandomSampler(seed=seed)
        is_random = self.sampler == "random"
        samplers: list[Any] = [chance if is_random else optuna.samplers.TPESampler(seed=seed)]
        samplers += [chance] * (PATIENCE - 1)
        for sampler in samplers:
            self._optuna.sampler = sampler
            ask = self._optuna.ask()
            yield ask, partial(draw, self.base.method, ask, self.fixed)

    def refuse(self, ask: Any) -> None:
        """Mark a suggestion as failed: it was refused, or tried before."""
        import optuna

        self._optuna.tell(ask, state=optuna.trial.TrialState.FAIL)
