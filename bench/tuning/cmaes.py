"""Optuna's CMA-ES, so that a search which is resumed goes on with the same distribution.

Optuna keeps the distribution in attributes of trials, and not in our records. A study is therefore
rebuilt by asking again for each trial on record, with its values, and telling its result: the
sampler then updates the distribution where it did before.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

from bench.errors import InputError
from bench.planning.registry import Scalar, display
from bench.tuning.study import drawn_ranges

#: Fewest trials of which a distribution can be made: the best tenth of them is one.
FEWEST = 10


class SeededCmaEs(CmaEsSampler):
    """CMA-ES over given hyper-parameters, whose draws depend on seed and results alone."""

    def __init__(
        self, seed: int, space: Mapping[str, BaseDistribution], start: Sequence[FrozenTrial] = ()
    ) -> None:
        """Take the space that ``numeric_space`` returns.

        Args:
            start: trials of another search from which the first distribution is made (Nomura et
                al., 2021, arXiv 2012.06932); without any it covers the whole space.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            source = list(start) if len(start) >= FEWEST else None
            super().__init__(seed=seed, warn_independent_sampling=False, source_trials=source)
        self._space = dict(space)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the given space: Optuna's grows slower with each trial, and may change."""
        return self._space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw as Optuna does, but by the seed alone: numbers count refused draws, too."""
        trial = copy.copy(trial)
        trial.number = 0
        return super().sample_relative(study, trial, search_space)


def numeric_space(method: str, fixed: Mapping[str, Scalar]) -> dict[str, BaseDistribution]:
    """Return the ranges that CMA-ES learns: those that all configurations draw alike.

    Choices, and ranges that depend on other draws, are drawn at random.

    Raises:
        InputError: where there is none.
    """
    spaces = drawn_ranges(method, fixed)
    space = {
        key: drawn_from
        for key, drawn_from in sorted(spaces[0].items())
        if all(other.get(key) == drawn_from for other in spaces)
        and not isinstance(drawn_from, CategoricalDistribution)
        and not drawn_from.single()
    }
    if not space:
        raise InputError(
            f"--sampler cmaes learns ranges of numbers, and the search space of {display(method)} "
            "has none that every configuration draws: use --sampler tpe"
        )
    return space
