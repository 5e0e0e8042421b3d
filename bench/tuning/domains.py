"""Ray Tune's domains, in which search spaces are written, as Optuna's distributions."""

import math
import warnings
from numbers import Real
from types import FunctionType
from typing import TYPE_CHECKING, Any

from bench.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_KINDS = "use choice, uniform, loguniform, randint, or their relatives"


def distribution(key: str, domain: Any) -> "BaseDistribution":
    """Return Optuna's distribution of a hyper-parameter for a Ray Tune domain.

    Raises:
        InputError: where it is no domain, or one that Optuna has nothing like.
    """
    from optuna.distributions import CategoricalDistribution
    from ray.tune.search import sample

    if isinstance(domain, sample.Categorical):
        _check_choices(key, domain.categories)
        return CategoricalDistribution(domain.categories)
    if not isinstance(domain, sample.Domain):
        raise InputError(f"the search space of {key} is {_described(domain)}")
    sampler = domain.get_sampler()
    step = sampler.q if isinstance(sampler, sample.Quantized) else None
    sampler = sampler.sampler if isinstance(sampler, sample.Quantized) else sampler
    is_range = isinstance(domain, sample.Float | sample.Integer) and isinstance(
        sampler, sample.Uniform | sample.LogUniform
    )
    if not is_range:
        maker = "tune.sample_from" if isinstance(domain, sample.Function) else "tune.randn"
        raise InputError(
            f"the search space of {key} comes from {maker}, which Optuna cannot learn from: "
            f"{_KINDS}"
        )
    return _range(key, domain, isinstance(sampler, sample.LogUniform), step)


def suggest(trial: Any, key: str, drawn_from: "BaseDistribution") -> Any:
    """Ask an Optuna trial for a value.

    Raises:
        InputError: where Optuna refuses, such as choices that were others before.
    """
    from optuna.distributions import CategoricalDistribution, IntDistribution

    range_: Any = drawn_from
    try:
        if isinstance(range_, CategoricalDistribution):
            return trial.suggest_categorical(key, range_.choices)
        if isinstance(range_, IntDistribution):
            return trial.suggest_int(key, range_.low, range_.high, log=range_.log, step=range_.step)
        return trial.suggest_float(key, range_.low, range_.high, log=range_.log, step=range_.step)
    except ValueError as error:
        raise InputError(
            f"{key} cannot be drawn ({str(error).rstrip('.')}): mend its search space"
        ) from error


def _check_choices(key: str, choices: Any) -> None:
    if not len(choices):
        raise InputError(f"the search space of {key} has no choices: give at least one")
    for choice in choices:
        if not isinstance(choice, bool | int | float | str | None):
            raise InputError(
                f"the search space of {key} has the choice {choice!r}, a {type(choice).__name__}: "
                f"give plain numbers, texts, True, False or None"
            )


def _range(key: str, domain: Any, log: bool, step: float | None) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution
    from ray.tune.search import sample

    whole = isinstance(domain, sample.Integer)
    low, high = domain.lower, domain.upper
    if not all(isinstance(end, Real) and math.isfinite(end) for end in (low, high)):
        raise InputError(f"the search space of {key} goes from {low} to {high}: give two numbers")
    if log and step not in (None, 1 if whole else None):
        raise InputError(
            f"the search space of {key} has steps on a logarithmic scale, which Optuna has not: "
            "leave out either"
        )
    if whole and (low != int(low) or high != int(high)):
        raise InputError(
            f"the search space of {key} goes from {low} to {high} in whole numbers: give whole ends"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Optuna would move the upper end to the last step
            if whole:
                # Tune leaves the upper end out, unless there are steps.
                end = int(high) - (step in (None, 1))
                return IntDistribution(int(low), end, log=log, step=1 if log else int(step or 1))
            return FloatDistribution(low, high, log=log, step=step)
    except (ValueError, UserWarning) as error:
        raise InputError(
            f"the search space of {key} is no range ({str(error).rstrip('.')}): mend it"
        ) from error


def _described(value: Any) -> str:
    """Describe a value in place of a domain, with the fix."""
    if isinstance(value, dict) and "grid_search" in value:
        return f"a grid: write tune.choice({value['grid_search']!r})"
    if isinstance(value, list | tuple | set):
        return f"{value!r}: write tune.choice({list(value)!r})"
    if isinstance(value, bool | int | float | str | None):
        return f"the constant {value!r}: leave it out and use --set, or {_KINDS}"
    if isinstance(value, dict | FunctionType):
        return f"a {'dictionary' if isinstance(value, dict) else 'function'}: {_KINDS}"
    return f"of the type {type(value).__name__}: {_KINDS}"
