"""Trials that are run again, and the comparison of their figures with those on record.

Records agree to the bit where the same code ran on the same kind of machine with the same versions
of the libraries that compute. Elsewhere sums are rounded in another order; training amplifies these
differences, and README.md of this room says how the tolerance was measured.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from bench.common.files import to_json
from bench.datasets import Dataset
from bench.errors import InputError, Unavailable
from bench.networks.pretrained import Pretrained
from bench.planning.code_hash import code_of
from bench.planning.selection import final
from bench.planning.spec import TrialSpec
from bench.records.build import build_of
from bench.records.code import differing, to_text
from bench.records.schema import COMPLETED, STOPPED, TEST_ACCURACY, Done, Epoch
from bench.records.verdict import APART, CLOSE, DRIFTED, EXACT, OTHER_CODE, Agreement, Rerun
from bench.training.build import this_build
from bench.training.trial import run_trial
from bench.verification.records import Record

#: Largest differences that another machine or library explains: of mean test accuracies over the
#: last tenth of the epochs and over all epochs, of the first epoch's test accuracies, and of its
#: training losses, relative.
TOLERANCE = {"at_end": 0.05, "over_epochs": 0.03, "first_accuracy": 0.02, "first_loss": 0.001}
#: The same for methods that amplify rounding, such as ``pes``, whose networks are drawn anew: below
#: these limits a new run neither confirms nor refutes a record.
LIMITS = TOLERANCE | {"at_end": 0.25, "over_epochs": 0.1}

#: Keys of an epoch and of done.json that a new run may change: cost, and who ran what when.
_OF_RUN = frozenset(
    "schema train_seconds eval_seconds pretrain_seconds embedding_seconds work_seconds "
    "peak_memory_bytes git_commit code build error traceback".split()
)
#: Keys within those of done.json that records of earlier versions lack.
_NEWER = frozenset({"training_rate"})


#: Digits of the largest number of trials that --sample takes.
_DIGITS = 9


@dataclass(frozen=True)
class Comparison:
    """Epochs of a new run beside those on record."""

    agreement: Agreement
    at_end: float | None = None
    first_loss: float | None = None


def same_build(record: Record, sweep: Mapping[str, Any]) -> bool:
    """Return whether machine and libraries on record round as those of this process.

    Args:
        sweep: content of the sweep.json.
    """
    return build_of(record.done, sweep) == this_build()


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
    if not sample.isdecimal() or len(sample) > _DIGITS:
        raise InputError(f"--sample {sample}: give a number, all, or ids of trials in the archive")
    order = np.random.default_rng(seed).permutation(len(runnable))[: int(sample)]
    return [runnable[place] for place in sorted(order)]


def run_again(
    record: Record, spec: TrialSpec, dataset: Dataset, start: Pretrained | None
) -> Record:
    """Run a trial; return the record of the new run.

    Raises:
        InputError: where this machine lacks what the trial needs, or the trial fails here.
    """
    epochs: list[Epoch] = []
    outcome = run_trial(spec, dataset, start=start, report=lambda new, _: epochs.extend(new))
    if outcome.status not in COMPLETED:
        raise Unavailable(f"the trial has {outcome.status} here: {outcome.error}")
    done = msgspec.json.decode(to_json(msgspec.to_builtins(outcome.done())), type=Done)
    return replace(record, epochs=[_as_recorded(epoch) for epoch in epochs], done=done)


def _as_recorded(epoch: Epoch) -> Epoch:
    """Return an epoch as a reader of its line gets it."""
    return Epoch.from_json(msgspec.json.decode(to_json(epoch.to_json())))


def first_epochs(
    spec: TrialSpec, dataset: Dataset, start: Pretrained | None, count: int = 1
) -> list[Epoch]:
    """Run the first epochs of a trial; return fewer where it fails or cannot be run here."""
    epochs: list[Epoch] = []

    def report(new: list[Epoch], restart: bool) -> None:
        epochs.extend(new)
        if len(epochs) >= count:
            raise _EpochsDone

    try:
        run_trial(spec, dataset, start=start, report=report)
    except InputError:
        return []
    return [_as_recorded(epoch) for epoch in epochs]


class _EpochsDone(Exception):
    """End of a run of few epochs, which ``run_trial`` takes for a failure of the method."""


def compare(record: Record, again: Record) -> Comparison:
    """Compare a record with that of a new run.

    A search may have stopped the recorded trial early: it is compared as far as it goes.
    """
    recorded, epochs = record.epochs, again.epochs
    if record.done.status == STOPPED:
        epochs = epochs[: len(recorded)]
    if len(recorded) != len(epochs) or "privileges" in different_facts(record, again):
        return Comparison(APART)
    if all(map(equal, recorded, epochs)) and not different_facts(record, again):
        return Comparison(EXACT, 0.0, 0.0)
    if not recorded:
        return Comparison(APART)
    figures = differences(recorded, epochs)
    agreement: Agreement = APART
    if all(figures[key] <= limit for key, limit in LIMITS.items()):
        agreement = DRIFTED
    if all(figures[key] <= limit for key, limit in TOLERANCE.items()):
        agreement = CLOSE
    return Comparison(agreement, figures["at_end"], figures["first_loss"])


def equal(first: Epoch, second: Epoch) -> bool:
    """Return whether two epochs agree to the bit, in all but times."""
    return not different_figures(first, second)


def different_figures(first: Epoch, second: Epoch) -> list[str]:
    """Return the keys of two epochs whose values are not equal to the bit, but for times.

    Large archives leave out predictions (``bench.records.publish``), which are not compared then.
    """
    recorded, again = first.to_json(), second.to_json()
    if "val_predictions" not in recorded:
        again.pop("val_predictions", None)
    return _different(recorded, again)


def different_facts(record: Record, again: Record) -> list[str]:
    """Return the keys of two done.json whose values are not equal to the bit, but for cost.

    The facts of a trial that a search has stopped are those of its end, but for the privileges.
    """
    values = [msgspec.to_builtins(each.done) for each in (record, again)]
    if record.done.status == STOPPED:
        values = [{"privileges": facts.get("privileges")} for facts in values]
    return _different(*values)


def _different(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ; one without a value is equal to a missing one."""
    names = []
    for name in dict.fromkeys([*first, *second]):
        values: list[Any] = [first.get(name), second.get(name)]
        if all(isinstance(value, dict) for value in values):
            passed_over = _OF_RUN | (_NEWER - values[0].keys())
            values = [
                {key: part for key, part in value.items() if key not in passed_over}
                for value in values
            ]
        if name not in _OF_RUN and values[0] != values[1]:
            names.append(name)
    return names


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
) -> tuple[Rerun, Record]:
    """Run a trial again, and compare.

    Args:
        exact: whether the record has to agree to the bit.
    """
    began = time.perf_counter()
    again = run_again(record, spec, dataset, start)
    result = compare(record, again)
    agreement = result.agreement
    if agreement != EXACT and other_code(record, spec):
        agreement = OTHER_CODE
    elif agreement in (CLOSE, DRIFTED) and exact and spec.device == "cpu":
        agreement = APART
    seconds = round(time.perf_counter() - began, 1)
    rerun = Rerun(record.name, spec.method, agreement, result.at_end, result.first_loss, seconds)
    return rerun, again
