"""A sweep's rows beside those of a reference: what they share, or why no cell has both."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.common.text import printable, shortlist
from bench.errors import InputError
from bench.records.archive import opened, source_of
from bench.records.code import differing
from bench.report.cells import Facts
from bench.report.columns import SEEDS
from bench.report.wording import rate_title

#: Facts that two records of one trial share, whatever path their data were read from.
_TRIAL = ("cell", "method", "hparams", "stage", "told", *SEEDS)


def set_beside(
    trials: Sequence[Facts], folders: Sequence[Path], reference: Path
) -> tuple[list[Facts], dict[str, list[str]]]:
    """Drop trials of the reference outside the cells of a sweep, and describe the others.

    A trial that both have counts as the sweep's.

    Args:
        trials: of both, in their cells.
        folders: of the sweep.
        reference: folder or archive of the reference.

    Returns:
        The trials that are left, and notes on each group of the sweep.

    Raises:
        InputError: where no trial is of the sweep.
    """
    sweeps = {opened(folder) for folder in folders}
    name, names = name_of(reference), ", ".join(map(name_of, folders))
    mine = [facts for facts in trials if facts["sweep"] in sweeps]
    if not mine:
        raise InputError(f"no trial is over in {names}: wait for the first one")
    theirs = [facts for facts in trials if facts["sweep"] not in sweeps]
    known = {_trial(facts) for facts in mine}
    cells = {facts["cell"] for facts in mine}
    comparable = [
        facts for facts in theirs if facts["cell"] in cells and _trial(facts) not in known
    ]
    notes = {
        group: list(_notes(members, theirs, names, name))
        for group, members in _by(mine, "group").items()
    }
    return [*mine, *comparable], notes


def name_of(sweep: Path) -> str:
    """Return the name of a sweep for people: that of its folder, or of its archive's."""
    path = source_of(sweep).resolve()
    return printable(path.parent.name if path.is_file() else path.name)


def _trial(facts: Facts) -> tuple[Any, ...]:
    return tuple(facts[key] for key in _TRIAL)


def _by(trials: Iterable[Facts], key: str) -> dict[str, list[Facts]]:
    groups = defaultdict(list)
    for facts in trials:
        groups[facts[key]].append(facts)
    return groups


def _notes(mine: Sequence[Facts], theirs: Sequence[Facts], names: str, name: str) -> Iterable[str]:
    """Yield notes on a group of the sweep."""
    cells = {facts["cell"] for facts in mine}
    shared = [facts for facts in theirs if facts["cell"] in cells]
    if not shared:
        yield f"No row of {name} is in this table: {_why_none(mine, theirs, names, name)}."
        return
    methods = shortlist(sorted({facts["method"] for facts in mine}), 10)
    yield (
        f"Rows of {names}: {methods}; all others are of {name}, with the same data, noise, recipe "
        "and network."
    )
    yield _about_labels(mine, shared)
    yield f"{_about_code(mine, shared)} Seconds are those of each one's machine."
    absent = {facts["noise_rate"] for facts in mine} - {facts["noise_rate"] for facts in shared}
    if absent:
        yield f"{name} has no trials at {', '.join(map(rate_title, sorted(absent)))}."


def _about_labels(mine: Sequence[Facts], theirs: Sequence[Facts]) -> str:
    """Return a sentence on the noisy labels of the seeds that both have."""
    labels, references = _labels(mine), _labels(theirs)
    common = labels.keys() & references.keys()
    if not common:
        return "They have no seed in common: no rows are paired."
    seeds = sorted({seed for _, seed in common})
    other = {seed for cell, seed in common if labels[cell, seed] != references[cell, seed]}
    if other:
        return f"Noise seeds {_listed(other)} have drawn other labels: no rows are paired there."
    return f"Noisy labels are the same at the common noise seeds, {_listed(seeds)}."


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _labels(trials: Iterable[Facts]) -> dict[tuple[str, int], set[str]]:
    labels = defaultdict(set)
    for facts in trials:
        if facts["label_hash"]:  # a failed trial may have none
            labels[facts["cell"], facts["noise_seed"]].add(facts["label_hash"])
    return labels


def _about_code(mine: Sequence[Facts], theirs: Sequence[Facts]) -> str:
    """Return a sentence on the code that both were made by."""
    parts = differing({facts["code"] for facts in [*mine, *theirs]})
    if not parts:
        return "All were made by the same code."
    return f"Not made by the same code ({', '.join(parts)}): differences may be its doing."


def _why_none(mine: Sequence[Facts], theirs: Sequence[Facts], names: str, name: str) -> str:
    """Return what keeps a group apart from the most similar group of the reference.

    Args:
        theirs: trials of the reference that the sweep lacks.
    """
    if not theirs:
        return f"{names} has all of its trials, too"
    fields = _fields(mine[0])
    candidates = [_unequal(fields, _fields(facts)) for facts in _firsts(theirs)]
    nearest = min(candidates, key=len)
    if not nearest:
        rates = ", ".join(map(rate_title, sorted({facts["noise_rate"] for facts in mine})))
        return f"at {rates} it has no trials that {names} lacks"
    return "; ".join(
        f"{key} is {fields.get(key, 'not set')}, in {name} {value}"
        for key, value in nearest.items()
    )


def _firsts(trials: Iterable[Facts]) -> Collection[Facts]:
    """Return a trial of each group."""
    return {facts["group"]: facts for facts in trials}.values()


def _fields(facts: Facts) -> dict[str, str]:
    """Return what trials of a group have in common, as texts."""
    fields: dict[str, str] = {}
    for key, value in msgspec.json.decode(facts["group"]).items():
        if key == "recipe" and value:
            parts = (part.partition("=") for part in re.split(r" (?=\w+=)", value))
            fields |= {f"recipe.{name}": text for name, _, text in parts}
        elif isinstance(value, Mapping):
            fields |= {f"{key}.{name}": str(part) for name, part in value.items()}
        elif value is not None:
            fields[key] = str(value)
    return fields


def _unequal(mine: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that differ, with the other side's value."""
    return {
        key: theirs.get(key, "not set")
        for key in [*mine, *(key for key in theirs if key not in mine)]
        if mine.get(key) != theirs.get(key)
    }
