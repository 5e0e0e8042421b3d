"""Trials of an audit: their specifications, and what their records say of each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.audit.pool import Pool
from bench.datasets import FOUND, Dataset
from bench.errors import InputError
from bench.method import Method, Wrapper
from bench.planning.registry import display, load_method, split_name
from bench.planning.spec import Plan, Seeds, TrialSpec, expand_hparams
from bench.records.schema import SUCCEEDED, present
from bench.records.trials import read_done, read_samples, results

#: Methods of the two scores that are always there.
MARGIN, PROBE = "alm", "crossfit"

#: Samples that a trial holds out, since a trial has to hold out some.
HELD_OUT = 20

#: Epochs of a linear head by method, at a rate of 1.
_EPOCHS = {MARGIN: 30, PROBE: 60}

#: Fewer samples than this get more epochs of the probe, for the steps that its heads need. The
#: margin is an average over training, and more epochs made it worse.
FULL = 1000


def plan_trials(
    pool: Pool, training_set: Dataset, methods: Sequence[str], seeds: int, plan: Plan
) -> list[TrialSpec]:
    """Return the trials: both scores and further methods, each with several seeds.

    Args:
        training_set: that of the pool.
        methods: further methods, whose own scores become columns.
        seeds: number of seeds.
        plan: device, precision and threads; on images, also the network.

    Raises:
        InputError: where there is no such method, it judges no labels, or it refuses the data.
    """
    for method in methods:
        if not _judges(method):
            raise _no_judge(method)
    share = min(max(HELD_OUT, len(pool.classes)) / len(pool), 0.2)
    specs = []
    for method in dict.fromkeys([MARGIN, PROBE, *methods]):
        overrides = dict(plan.overrides)
        if training_set.on_vectors and method in _EPOCHS:
            overrides |= {"learning_rate": 1.0, "epochs": _epochs(method, len(pool))}
        trials = Plan(
            noise_kind=FOUND,
            validation_share=share,
            device=plan.device,
            precision=plan.precision,
            threads=plan.threads,
            head=None if not training_set.on_vectors else "linear" if method in _EPOCHS else "mlp",
            overrides=tuple(sorted(overrides.items())),
        )
        configurations = expand_hparams([method], {}, {})
        specs += trials.specs(training_set, configurations, [None], *Seeds(range(seeds)))
    return specs


def _epochs(method: str, samples: int) -> int:
    """Return the epochs of a linear head on a pool of this size."""
    return round(_EPOCHS[method] * (max(1, FULL / samples) if method == PROBE else 1))


def _judges(method: str) -> bool:
    """Return True if a method, or a part of it, estimates whether each label is right."""
    silent = (Method.clean_probability, Wrapper.clean_probability)
    return any(load_method(part).clean_probability not in silent for part in split_name(method))


def _no_judge(method: str) -> InputError:
    return InputError(f"{method} does not judge labels: leave it out of --methods")


@dataclass(frozen=True)
class Judgements:
    """Judgements of each sample by a method's trials, averaged over seeds."""

    clean: np.ndarray  # (N,) probability that the label is right
    targets: np.ndarray | None  # (N, C) corrected targets
    transition: np.ndarray | None  # (C, C)


def read_judgements(
    folder: Path, specs: Sequence[TrialSpec], pool: Pool
) -> Mapping[str, Judgements]:
    """Return the judgements of every method that has a succeeded trial, by its shown name.

    Margins are averaged as log-odds. A sample that all of a method's trials hold out is judged by
    their predictions.

    Raises:
        InputError: where a method judges no labels, or one of both scores has no trial.
    """
    over = results(folder)
    judgements = {}
    for method in dict.fromkeys(spec.method for spec in specs):
        trials = [
            over[spec.id].folder
            for spec in specs
            if spec.method == method and spec.id in over and over[spec.id].status in SUCCEEDED
        ]
        samples = [read_samples(trial) for trial in trials]
        if samples and not any("clean_probability" in sample for sample in samples):
            raise _no_judge(display(method))
        if samples:
            judgements[display(method)] = _averaged(samples, trials, pool, method == MARGIN)
        elif method in _EPOCHS:
            raise InputError(
                f"no trial of {display(method)} has succeeded: see {folder}/trials/*/done.json"
            )
    return judgements


def _averaged(
    samples: Sequence[Mapping[str, np.ndarray]], trials: Sequence[Path], pool: Pool, odds: bool
) -> Judgements:
    """Return the mean of the trials' judgements, of log-odds where ``odds``."""
    count, classes = len(pool), len(pool.classes)
    clean = np.full((len(samples), count), np.nan)
    corrects = all("soft_targets" in sample for sample in samples)
    targets = np.full((len(samples), count, classes), np.nan)
    for number, sample in enumerate(samples):
        train, held = sample["train_positions"], sample["validation_positions"]
        clean[number, train] = sample["clean_probability"]
        if corrects:
            targets[number, train] = sample["soft_targets"]
        if number == len(samples) - 1:  # those that no trial has in training
            rest = np.isnan(clean).all(0)[held]
            predicted = sample["validation_probabilities"][rest].astype(float)
            clean[number, held[rest]] = predicted[np.arange(rest.sum()), pool.given[held[rest]]]
            targets[number, held[rest]] = predicted
    values = np.clip(clean, 1e-7, 1 - 1e-7)
    mean = np.nanmean(np.log(values / (1 - values)) if odds else values, 0)
    return Judgements(
        clean=1 / (1 + np.exp(-mean)) if odds else mean,
        targets=np.nanmean(targets, 0) if corrects else None,
        transition=_transition(trials),
    )


def _transition(trials: Sequence[Path]) -> np.ndarray | None:
    """Return the mean of the transition matrices that trials have estimated."""
    matrices = [present(read_done(trial).estimated_transition_matrix) for trial in trials]
    known = [np.array(matrix, float) for matrix in matrices if matrix]
    return np.mean(known, 0) if known else None
