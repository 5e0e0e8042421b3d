"""Records of several folders as one: sweeps that were cut in parts, and other people's.

A trial is known by the hash of its identity (``bench.common.identity``), so that it has the same
name everywhere. It counts once: a success before a failure, a failure before a lost trial, else the
one of the folder that is given first. Two successes have to agree: to the bit where one code made
them on one kind of machine's CPU, within a tolerance elsewhere. Those that do not are named.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.records.archive import source_of
from bench.records.build import build_of
from bench.records.code import differing, to_text
from bench.records.schema import TEST_ACCURACY
from bench.records.trials import Trial, read_trials, sweep_facts

#: Largest difference of final accuracies, fractions, that other hardware or equal code explains.
TOLERANCE = 0.05
#: Number of conflicts that a warning names.
_NAMED = 10


def merged(folders: Sequence[Path], curves: Sequence[str] = ()) -> Iterator[Trial]:
    """Yield the trials that are over in any of the folders, each once.

    Results that conflict are listed in ``Trial.conflicts``, and in a warning.
    """
    best: dict[str, Trial] = {}
    conflicts: dict[str, list[str]] = defaultdict(list)
    yielded: set[str] = set()
    for folder in folders:
        for trial in read_trials(folder, curves):
            # One folder holds a trial twice only where an earlier version has named it after the
            # path of its data.
            if len(folders) == 1 and trial.succeeded and trial.folder.name == trial.id:
                yielded.add(trial.id)
                yield trial
                continue
            earlier = best.setdefault(trial.id, trial)
            if earlier is trial:
                continue
            if (trial.succeeded and not earlier.succeeded) or (earlier.lost and not trial.lost):
                best[trial.id] = trial
            elif trial.succeeded and (conflict := conflict_of(earlier, trial)):
                conflicts[trial.id].append(conflict)
    for note in conflict_notes([text for texts in conflicts.values() for text in texts]):
        warnings.warn(note, stacklevel=2)
    for name in [name for name in best if name not in yielded]:
        trial = best.pop(name)  # frees its epochs, once the caller has read them
        yield replace(trial, conflicts=tuple(conflicts[name])) if name in conflicts else trial


def conflict_notes(conflicts: Sequence[str]) -> list[str]:
    """Return a sentence on these conflicts, or none."""
    if not conflicts:
        return []
    more = f"; and {len(conflicts) - _NAMED} more" if len(conflicts) > _NAMED else ""
    return [
        "Trials of one specification have different results, and those of the folder given first "
        f"are kept: {'; '.join(conflicts[:_NAMED])}{more}."
    ]


def conflict_of(first: Trial, second: Trial) -> str | None:
    """Return the conflict between two results of one specification, or None."""
    # Epochs are read through copies of the trials, which are dropped: those of ten thousand trials
    # would fill the memory.
    a, b = (replace(trial).curve(TEST_ACCURACY) for trial in (first, second))
    if np.array_equal(a, b, equal_nan=True):
        return None
    sweeps = (source_of(trial.folder.parents[1]) for trial in (first, second))
    folders = " and ".join(repr(str(sweep)) for sweep in sweeps)
    where = f"{first.id} ({first.spec.method}) in {folders}"
    if len(a) != len(b):
        return f"{where}, of {len(a)} and {len(b)} epochs"
    parts = differing(to_text(trial.done.code) for trial in (first, second))
    if not parts and first.spec.device == "cpu" and _one_build(first, second):
        points = 100 * np.nanmax(np.abs(a - b))
        return f"{where}, up to {points:.1f} points apart on one kind of machine"
    last = slice(-max(1, len(a) // 10), None)
    apart = abs(a[last].mean() - b[last].mean())
    why = f", made by different code ({', '.join(parts)})" if parts else ""
    return (
        None if apart <= TOLERANCE else f"{where}, {100 * apart:.1f} points apart at the end{why}"
    )


def _one_build(*trials: Trial) -> bool:
    """Return whether all records name the same machine and libraries."""
    first, *others = (build_of(each.done, sweep_facts(each.folder.parents[1])) for each in trials)
    return first is not None and all(build == first for build in others)
