"""Ray Tune's domains, in which search spaces are written, as Optuna understands them."""

from typing import Any

from bench.errors import InputError


def suggest(trial: Any, key: str, domain: Any) -> Any:
    """Ask an Optuna trial for a value of a Ray Tune domain.

    Raises:
        InputError: where Optuna has nothing like it.
    """
    from ray.tune.search import sample

    if isinstance(domain, sample.Categorical):
        return trial.suggest_categorical(key, domain.categories)
    sampler = domain.get_sampler() if isinstance(domain, sample.Domain) else None
    step = sampler.q if isinstance(sampler, sample.Quantized) else None
    sampler = sampler.sampler if isinstance(sampler, sample.Quantized) else sampler
    log = isinstance(sampler, sample.LogUniform)
    if log or isinstance(sampler, sample.Uniform):
        if isinstance(domain, sample.Integer):
            last = domain.upper - (step in (None, 1))  # Tune leaves the upper end out, unless there are steps
            return trial.suggest_int(key, domain.lower, last, log=log, step=1 if log else step or 1)
        if isinstance(domain, sample.Float):
            return trial.suggest_float(key, domain.lower, domain.upper, log=log, step=None if log else step)
    raise InputError(f"the search space of {key} is {domain}: use choice, uniform, loguniform, randint, or their relatives")
