"""Names for records that a new run of their specification does not give.

Suspects are few: the same trial with clean labels, with other seeds, with the settings and methods
of the archive's other trials, and at defaults. The first epoch of each is run; one that gives the
first epoch on record names the fault. A suspect that cannot be run names none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bench.common.text import shortlist
from bench.datasets import Dataset
from bench.errors import InputError
from bench.networks.pretrained import Pretrained
from bench.planning.registry import changes, display, resolve
from bench.planning.spec import TrialSpec
from bench.records.schema import STOPPED, TEST_ACCURACY, Epoch, present
from bench.records.verdict import Fault
from bench.verification.again import (
    differences,
    different_facts,
    different_figures,
    first_epochs,
    relative,
)
from bench.verification.figures import epochs_text
from bench.verification.records import Record

#: Upper bound of suspects whose first epoch is run.
_SUSPECTS = 40
#: Largest differences of a first epoch's loss, relative, and accuracies, that rounding explains.
_LOSS, _ACCURACY = 1e-4, 0.02

Suspect = tuple[str, str, TrialSpec]  # kind of fault, its text, what may have been run instead


def cause_of(
    record: Record,
    again: Record,
    trials: Sequence[Record],
    dataset: Dataset,
    start: Pretrained | None,
) -> Fault:
    """Return the fault of a record that differs from a new run.

    Args:
        again: record of the new run.
        trials: all of the archive.
    """
    kind, text = (
        _edited(record, again)
        or _dropped(record, again.epochs)
        or _cut(record, trials, dataset, start)
        or _replaced(record, again.epochs, trials, dataset, start)
        or _unnamed(record, again.epochs)
    )
    return Fault(kind, text, record.name)


def _edited(record: Record, again: Record) -> tuple[str, str] | None:
    """Return the fault of figures that differ while all losses are the same."""
    stopped = record.done.status == STOPPED and len(record.epochs) < len(again.epochs)
    pairs = list(zip(record.epochs, again.epochs, strict=False))
    if not (stopped or len(record.epochs) == len(again.epochs)):
        return None
    if not all(_same_training(*pair) for pair in pairs):
        return None
    changed = {place: different_figures(*pair) for place, pair in enumerate(pairs)}
    names = list(dict.fromkeys(name for figures in changed.values() for name in figures))
    if not names:
        facts = shortlist(different_facts(record, again))
        return "rerun", f"a new run has the same epochs, and other facts in done.json: {facts}"
    places = np.array([place for place, figures in changed.items() if figures])
    accuracies = any("accuracy" in name or name == "val_predictions" for name in names)
    return "accuracy" if accuracies else "rerun", (
        f"a new run has the same training losses, and another {shortlist(names)} in "
        f"{epochs_text(places)}"
    )


def _dropped(record: Record, again: Sequence[Epoch]) -> tuple[str, str] | None:
    """Return the fault of epochs that are a part of those of the new run, in their order."""
    if len(record.epochs) >= len(again) or not record.epochs:
        return None
    rest = iter(range(len(again)))
    places = set()
    for epoch in record.epochs:
        place = next((n for n in rest if _same_training(epoch, again[n])), None)
        if place is None:
            return None
        places.add(place)
    missing = np.array(sorted(set(range(len(again))) - places))
    return "epochs", f"a new run has {len(again)} epochs; the record lacks {epochs_text(missing)}"


def _cut(
    record: Record, trials: Sequence[Record], dataset: Dataset, start: Pretrained | None
) -> tuple[str, str] | None:
    """Return the fault of epochs that begin a longer run, by another recipe of the archive."""
    if not record.epochs or not record.spec:
        return None
    recipes = {trial.spec.recipe for trial in trials if trial.spec}
    for recipe in sorted(recipes, key=lambda recipe: recipe.epochs):
        if recipe.epochs > len(record.epochs) and recipe != record.spec.recipe:
            spec = replace(record.spec, recipe=recipe)
            longer = first_epochs(spec, dataset, start, len(record.epochs))
            if len(longer) == len(record.epochs) and all(
                map(_same_training, record.epochs, longer)
            ):
                return "epochs", (
                    f"the epochs are the first {len(record.epochs)} of a run of {recipe.epochs}"
                )
    return None


def _same_training(first: Epoch, second: Epoch) -> bool:
    """Return whether the training of two epochs agrees to the bit."""
    return all(
        present(getattr(first, name)) == present(getattr(second, name))
        for name in ("train_loss", "learning_rate", "samples_trained")
    )


def _replaced(
    record: Record,
    again: Sequence[Epoch],
    trials: Sequence[Record],
    dataset: Dataset,
    start: Pretrained | None,
) -> tuple[str, str] | None:
    """Return the fault of a record whose first epoch another specification gives, not its own."""
    if not record.epochs or not record.spec:
        return None
    recorded, own = record.epochs[0], again[:1]
    for number, (kind, text, spec) in enumerate(_suspects(record.spec, trials)):
        if number == _SUSPECTS:
            break
        for epoch in first_epochs(spec, dataset, start):
            if _nearer(recorded, epoch, own):
                return kind, text
    return None


def _nearer(recorded: Epoch, epoch: Epoch, own: Sequence[Epoch]) -> bool:
    """Return whether the first epoch on record is that of another specification, not its own.

    Args:
        own: first epoch of the new run, or none where that has diverged at once.
    """
    if any(_same_training(recorded, first) for first in own):
        return False
    return _same_training(recorded, epoch) or (
        _gives(recorded, epoch) and not any(_gives(recorded, first) for first in own)
    )


def _gives(recorded: Epoch, epoch: Epoch) -> bool:
    """Return whether the first epoch of another specification is that on record."""
    loss = relative(recorded.figure("train_loss"), epoch.figure("train_loss"))
    accuracies = [each.figure(TEST_ACCURACY) for each in (recorded, epoch)]
    return loss <= _LOSS and abs(accuracies[0] - accuracies[1]) <= _ACCURACY


def _suspects(spec: TrialSpec, trials: Sequence[Record]) -> Iterator[Suspect]:
    """Yield what may have been run in place of a specification, each once."""
    tried = {spec.id}
    for suspect in _all_suspects(spec, [trial.spec for trial in trials if trial.spec]):
        if suspect[2].id not in tried:
            tried.add(suspect[2].id)
            yield suspect


def _all_suspects(spec: TrialSpec, others: Sequence[TrialSpec]) -> Iterator[Suspect]:
    if spec.noise_rate:
        text = f"the first epoch is that of clean labels, not of {100 * spec.noise_rate:g} % noise"
        yield "clean-labels", text, replace(spec, noise_rate=0.0)
    for other in others:
        if other.method != spec.method:
            text = f"the first epoch is that of {_named(other)}, not of {display(spec.method)}"
            yield "method", text, _with_settings(spec, other)
    for settings in (_defaults(spec), *others):
        if settings and settings.method == spec.method:
            text = f"the first epoch is that of {_named(settings)}, not of {_named(spec)}"
            yield "config", text, _with_settings(spec, settings)
    for seed in sorted({other.train_seed for other in others} | {0, 1, 2}):
        text = f"the first epoch is that of seed {seed}, not of {spec.train_seed}"
        yield "labels", text, replace(spec, noise_seed=seed)
        yield "labels", text, replace(spec, noise_seed=seed, split_seed=seed, train_seed=seed)


def _with_settings(spec: TrialSpec, other: TrialSpec) -> TrialSpec:
    return replace(spec, method=other.method, hparams=other.hparams, recipe=other.recipe)


def _defaults(spec: TrialSpec) -> TrialSpec | None:
    try:
        return replace(spec, hparams=resolve(spec.method, {}))
    except InputError:  # a method without defaults for everything
        return None


def _named(spec: TrialSpec) -> str:
    settings = changes(spec.method, spec.hparams).items()
    text = "".join(f" {key}={value}" for key, value in settings) or " at its defaults"
    return f"{display(spec.method)}{text} over {spec.recipe.epochs} epochs"


def _unnamed(record: Record, again: Sequence[Epoch]) -> tuple[str, str]:
    if len(record.epochs) != len(again) and record.done.status != STOPPED:
        return "rerun", f"a new run has {len(again)} epochs, and the record {len(record.epochs)}"
    figures = differences(record.epochs, again[: len(record.epochs)])
    return "rerun", (
        f"a new run ends {100 * figures['at_end']:.1f} points of test accuracy apart, and the loss "
        f"of its first epoch differs by {100 * figures['first_loss']:.2g} %: method, settings, "
        "seeds or labels were others"
    )
