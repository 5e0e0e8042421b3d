"""Trials that are run again, and the comparison of their epochs with those on record.

Records agree to the bit where the same code ran on the same kind of machine with the same versions
of the libraries that compute. Elsewhere sums are rounded in another order; training amplifies these
differences, and README.md of this room says how the tolerance was measured.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.datasets import Dataset
from bench.errors import InputError, Unavailable
from bench.networks.machine import machine
from bench.networks.pretrained import Pretrained
from bench.planning.code_hash import code_of
from bench.planning.selection import final
from bench.planning.spec import TrialSpec
from bench.records.code import differing, to_text
from bench.records.schema import COMPLETED, TEST_ACCURACY, Epoch, present
from bench.records.verdict import APART, CLOSE, DRIFTED, EXACT, OTHER_CODE, Rerun
from bench.training.trial import run_trial
from bench.verification.records import Record

#: Largest differences that another machine or library explains: of mean test accuracies over the
#: last tenth of the epochs and over all epochs, of the first epoch's test accuracies, and of its
#: training losses, relative.
TOLERANCE = {"at_end": 0.05, "over_epochs": 0.03, "first_accuracy": 0.02, "first_loss": 0.001}
#: The same for methods that amplify rounding, such as ``pes``, whose networks are drawn anew: below
#: these limits a new run neither confirms nor refutes a record.
LIMITS = TOLERANCE | {"at_end": 0.25, "over_epochs": 0.1}

#: Libraries whose versions move the last bits of a trial.
_COMPUTING = ("torch", "numpy", "scipy", "scikit-learn")
#: Keys of a machine that do the same.
_ROUNDING = ("system", "processor", "instructions")

#: Figures of an epoch that are compared to the bit.
_EXACT = (
    "train_loss learning_rate samples_trained noisy_val_accuracy clean_val_accuracy test_accuracy "
    "worst_class_accuracy val_predictions"
).split()


@dataclass(frozen=True)
class Comparison:
    """Epochs of a new run beside those on record."""

    agreement: str  # EXACT, CLOSE, DRIFTED or APART
    at_end: float | None = None
    first_loss: float | None = None


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute."""
    return {name: version(name) for name in _COMPUTING}


def same_build(sweep: Mapping[str, Any]) -> bool:
    """Return whether a sweep.json names machine and libraries with the rounding of these here."""
    recorded, here = sweep.get("machine"), machine()
    libraries = sweep.get("versions")
    if not isinstance(recorded, dict) or not isinstance(libraries, dict):
        return False
    return all(recorded.get(key) == here[key] for key in _ROUNDING) and all(
        libraries.get(name) == here_version for name, here_version in versions().items()
    )


def sweep_facts(folder: Path) -> dict[str, Any]:
    """Return the content of a sweep.json; empty where it is missing or damaged."""
    try:
        return msgspec.json.decode((folder / "sweep.json").read_bytes(), type=dict[str, Any])
    except (OSError, ValueError):
        return {}


def choose(records: Sequence[Record], sample: str, seed: int) -> list[Record]:
    """Return the trials to run again, in a stable order.

    Args:
        sample: a number of trials, "all", or ids separated by commas.
        seed: of the choice.

    Raises:
        InputError: where ``sample`` is none of these, or an id has no result.
    """
    with_results = [record for record in records if record.done.status in COMPLETED]
    runnable = [record for record in with_results if record.spec]
    if sample == "all":
        return runnable
    by_name = {record.name: record for record in with_results}
    names = sample.split(",")
    if any(name in by_name for name in names):
        if absent := [name for name in names if name not in by_name]:
            raise InputError(f"the archive has no result of a trial {absent[0]!r}: check --sample")
        if obstacles := [by_name[name] for name in names if not by_name[name].spec]:
            raise InputError(f"{obstacles[0].name} cannot be run again: {obstacles[0].obstacle}")
        return [by_name[name] for name in dict.fromkeys(names)]
    if not sample.isdecimal():
        raise InputError(f"--sample {sample}: give a number, all, or ids of trials in the archive")
    order = np.random.default_rng(seed).permutation(len(runnable))[: int(sample)]
    return [runnable[place] for place in sorted(order)]


def run_again(spec: TrialSpec, dataset: Dataset, start: Pretrained | None) -> list[Epoch]:
    """Run a trial; return its epochs.

    Raises:
        InputError: where this machine lacks what the trial needs, or the trial fails here.
    """
    epochs: list[Epoch] = []
    outcome = run_trial(spec, dataset, start=start, report=lambda new, _: epochs.extend(new))
    if outcome.status not in COMPLETED:
        raise Unavailable(f"the trial has {outcome.status} here: {outcome.error}")
    return epochs


def first_epoch(spec: TrialSpec, dataset: Dataset, start: Pretrained | None) -> Epoch | None:
    """Run the first epoch of a trial; None where it has failed."""
    epochs: list[Epoch] = []

    def report(new: list[Epoch], restart: bool) -> None:
        epochs.extend(new)
        if epochs:
            raise _FirstEpochDone

    run_trial(spec, dataset, start=start, report=report)
    return epochs[0] if epochs else None


class _FirstEpochDone(Exception):
    """End of a run of one epoch, which ``run_trial`` takes for a failure of the method."""


def compare(record: Record, again: Sequence[Epoch]) -> Comparison:
    """Compare the epochs on record with those of a new run.

    A search may have stopped the recorded trial early: it is compared as far as it goes.
    """
    recorded = record.epochs
    again = again[: len(recorded)] if record.done.status == "stopped" else again
    if len(recorded) != len(again) or not recorded:
        return Comparison(EXACT if not recorded and not again else APART)
    if all(map(equal, recorded, again)):
        return Comparison(EXACT, 0.0, 0.0)
    figures = differences(recorded, again)
    agreement = APART
    for limits, name in ((LIMITS, DRIFTED), (TOLERANCE, CLOSE)):
        if all(figures[key] <= limit for key, limit in limits.items()):
            agreement = name
    return Comparison(agreement, figures["at_end"], figures["first_loss"])


def equal(first: Epoch, second: Epoch) -> bool:
    """Return whether two epochs agree to the bit, in all but times."""
    return all(present(getattr(first, n)) == present(getattr(second, n)) for n in _EXACT)


def differences(recorded: Sequence[Epoch], again: Sequence[Epoch]) -> dict[str, float]:
    """Return the differences that ``TOLERANCE`` bounds, of equally many epochs."""
    curves = [
        np.array([epoch.figure(TEST_ACCURACY) for epoch in epochs]) for epochs in (recorded, again)
    ]
    end = final(len(recorded))
    before, now = ([float(np.nanmean(part)) for part in (curve[end], curve)] for curve in curves)
    losses = [epochs[0].figure("train_loss") for epochs in (recorded, again)]
    return {
        "at_end": abs(before[0] - now[0]),
        "over_epochs": abs(before[1] - now[1]),
        "first_accuracy": abs(float(curves[0][0] - curves[1][0])),
        "first_loss": relative(*losses),
    }


def relative(first: float, second: float) -> float:
    """Return the difference of two figures relative to the larger one; 0 where both are missing."""
    if np.isnan(first) and np.isnan(second):
        return 0.0
    scale = max(abs(first), abs(second))
    return abs(first - second) / scale if scale else 0.0


def other_code(record: Record, spec: TrialSpec) -> list[str]:
    """Return the parts of the code that have changed since the record, or that it does not name."""
    return differing([to_text(record.done.code), to_text(code_of(spec.method))])


def rerun_of(
    record: Record, spec: TrialSpec, dataset: Dataset, start: Pretrained | None, exact: bool
) -> tuple[Rerun, list[Epoch]]:
    """Run a trial again, and compare.

    Args:
        exact: whether the record has to agree to the bit.
    """
    began = time.perf_counter()
    again = run_again(spec, dataset, start)
    result = compare(record, again)
    agreement = result.agreement
    if agreement != EXACT and other_code(record, spec):
        agreement = OTHER_CODE
    elif agreement in (CLOSE, DRIFTED) and exact and spec.device == "cpu":
        agreement = APART
    seconds = round(time.perf_counter() - began, 1)
    rerun = Rerun(record.name, spec.method, agreement, result.at_end, result.first_loss, seconds)
    return rerun, again
