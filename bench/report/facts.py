"""Records of trials as flat facts: a dictionary per trial, before a rule picks an epoch.

A failed trial (diverged, failed, timeout) counts in every table at chance accuracy: one over the
number of classes. Its cost, which covers part of a run at best, is missing. A trial that its
machine ended (lost) says nothing of the method: it is a missing seed.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from msgspec import UNSET

from bench.common.identity import PAPER
from bench.errors import InputError
from bench.planning.registry import display
from bench.planning.searches import SEARCH, goal_values
from bench.planning.selection import ALL, CLEAN_VAL, LABEL_WAVE
from bench.records.code import to_text
from bench.records.merge import merged
from bench.records.packing import unpack_truth
from bench.records.schema import (
    NOISY_VAL_ACCURACY,
    PREDICTION_CHANGES,
    TEST_ACCURACY,
    Done,
    Noise,
    Recorded,
    amount,
    number,
    present,
)
from bench.records.trials import Trial
from bench.report.cells import (
    Facts,
    arrange_cells,
    cell_facts,
    complete_rates,
    key_of,
    name_sources,
)
from bench.report.columns import FEATURES, LEARNING, SEEDS
from bench.report.labels import RECIPE, label_configurations, listed
from bench.report.metrics import ACCURACY, RANKED
from bench.report.tracks import arrange_tracks, track_facts

#: Figures over epochs: column -> key of an epoch's record.
CURVES = {
    "noisy_val_curve": NOISY_VAL_ACCURACY,
    "test_curve": TEST_ACCURACY,
    "memorised_clean_curve": "memorised_clean",
    "clean_val_curve": "clean_val_accuracy",
    "changes_curve": PREDICTION_CHANGES,
    **{f"{key}_curve": key for key in LEARNING},
}


#: Columns of ``CURVES`` by their keys.
CURVE_OF = {key: column for column, key in CURVES.items()}

#: Rules that need a curve which some records lack: a fact that says whether a trial has it, and the
#: column of ``CURVES``.
RULE_CURVES = {
    CLEAN_VAL: ("clean_labels", "clean_val_curve"),
    LABEL_WAVE: ("changes_known", "changes_curve"),
}


def read_facts(
    sides: Sequence[Sequence[Path]], clean_images: str
) -> list[tuple[list[Facts], list[Facts]]]:
    """Read the trials of several sets of folders; equal data and settings get equal names.

    A trial that several folders of a set hold counts once (``bench.records.merge``).

    Returns:
        For each set, facts of the trials to compare and of the trials of searches.

    Raises:
        InputError: where a folder is no sweep, or no trial of a set is over.
    """
    trials = [_read(folders, clean_images) for folders in sides]
    together = [facts for side in trials for facts in side]
    name_sources(together)
    complete_rates(together)
    label_configurations(together)
    return [_arranged(side) for side in trials]


def _read(folders: Sequence[Path], clean_images: str) -> list[Facts]:
    trials: list[Facts] = []
    for trial in merged(folders, list(CURVES.values())):
        try:
            trials.append(_facts(trial, clean_images))
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise InputError(
                f"{str(trial.folder)!r} is no trial's record ({error!r}): delete it and run again"
            ) from error
    if all(facts["track"] == SEARCH for facts in trials):
        names = ", ".join(repr(str(folder)) for folder in folders) or "no folder"
        raise InputError(
            f"no trial is over in {names}: wait for the first, or give a folder with finished "
            "trials"
        )
    return trials


def _arranged(trials: Sequence[Facts]) -> tuple[list[Facts], list[Facts]]:
    """Sort the trials into cells and tracks."""
    trials = arrange_cells(trials)
    _complete_labels(trials)
    _complete_methods(trials)
    _complete_failures(trials)
    return arrange_tracks(sorted(trials, key=lambda facts: facts["id"]))


def _facts(trial: Trial, clean_images: str) -> Facts:
    """Return the facts of a trial that do not depend on a selection rule."""
    spec, done, raw = trial.spec, trial.done, trial.file.spec
    recipe, changes = raw["recipe"], trial.file.config
    noise = present(done.noise, Noise())
    settings = spec.hparams
    if spec.protocol.startswith(PAPER):  # the recipe is the method's, and not part of the cell
        settings = settings | {RECIPE + key: value for key, value in recipe.items()}
    return {
        **{key: getattr(spec, key) for key in SEEDS},
        **cell_facts(spec, raw),
        **_names(spec),
        "_method": spec.method,
        "_recorded": key_of(changes),
        "changes": len(changes),  # the count by which its search broke ties
        "hparams": key_of(settings),
        "recipe": _listed(key_of(recipe)),
        "epochs": spec.recipe.epochs,
        "backbone": spec.recipe.backbone,
        "id": trial.id,
        "folder": trial.folder,  # as a path: pandas refuses text that is no UTF-8
        "sweep": trial.folder.parents[1],
        "conflicts": trial.conflicts,
        "code": to_text(done.code),
        "git_commit": spec.imported.code if spec.imported else present(done.git_commit) or "",
        "status": done.status,
        "succeeded": trial.succeeded,
        "failed": not (trial.succeeded or trial.lost),
        "lost": trial.lost,
        "at_failure": {},
        "privileges": ",".join(present(done.privileges, ())),
        "trained_encoder": done.pretraining is not UNSET,
        **_embedding(done),
        **_resources(trial),
        "realised_noise_rate": number(noise.realised_rate),
        # Records of earlier versions know the rate of training and validation labels together.
        "training_noise_rate": number(present(noise.training_rate, noise.realised_rate)),
        "label_hash": present(noise.label_hash) or "",
        "transition": present(noise.transition_matrix),
        "estimated_transition": present(done.estimated_transition_matrix),
        "validation_images": number(done.validation_images),
        "classes": number(done.classes),
        "tested_classes": number(present(done.tested_classes, done.classes)),
        "noisy_test": bool(present(done.noisy_test)),
        "reliability": present(done.reliability),
        **track_facts(trial),
        **{name: number(getattr(done, name)) for name in FEATURES},
        **_curves(trial, clean_images),
    }


def _names(spec: Recorded) -> dict[str, str]:
    """Return the method's name for people, and that of the method which it wraps.

    Other people's names are shown as they are.
    """
    if spec.imported:
        return {"method": spec.method, "wraps": ""}
    wrapped = spec.method.partition("+")[2]
    return {"method": display(spec.method), "wraps": display(wrapped)}


def _embedding(done: Done) -> Facts:
    """Return seconds and checksum of the features of a frozen network; missing without one."""
    facts = present(done.pretrained)
    return {
        "embedding_seconds": number(facts.embedding_seconds) if facts else np.nan,
        "features_checksum": present(facts.features_checksum, "") if facts else "",
    }


def _resources(trial: Trial) -> dict[str, float]:
    """Return seconds, passes per image and epoch, and megabytes; all missing of a failed trial."""
    done = trial.done if trial.succeeded else Done(status=trial.done.status)
    epochs = number(done.epochs) or np.nan
    training = number(done.train_seconds)
    pretraining = amount(done.pretrain_seconds) if np.isfinite(training) else np.nan
    return {
        "train_seconds": training,
        "pretrain_seconds": pretraining,
        "cost_seconds": training + pretraining,
        "passes_trained": number(done.passes_trained) / epochs,
        "passes_inferred": number(done.passes_inferred) / epochs,
        "peak_memory_mb": number(done.peak_memory_bytes) / 1e6,
    }


@cache
def _listed(key: str) -> str:
    """Return settings for people from their ``key_of``: thousands of trials have equal ones."""
    return listed(msgspec.json.decode(key))


def _curves(trial: Trial, clean_images: str) -> dict[str, np.ndarray]:
    curves = {name: trial.curve(key) for name, key in CURVES.items()}
    accuracies = (curves["noisy_val_curve"], curves["test_curve"])
    if trial.succeeded and not all(np.isfinite(curve).any() for curve in accuracies):
        raise InputError(
            f"{str(trial.folder / 'epochs.jsonl')!r} holds no accuracies: delete its folder and "
            "run again"
        )
    if clean_images != ALL:
        curves["clean_val_curve"] = _clean_curve(trial, clean_images)
    return curves


def _clean_curve(trial: Trial, images: str) -> np.ndarray:
    """Return accuracy on that many clean validation labels, (E,); NaN where fewer are known."""
    truth = unpack_truth(present(trial.done.validation_truth))
    if truth is None or any(epoch.val_predictions is UNSET for epoch in trial.epochs):
        return np.full(len(trial.epochs), np.nan)
    return goal_values(f"{CLEAN_VAL}:{images}", trial.epochs, truth)


def _complete_labels(trials: Sequence[Facts]) -> None:
    """Give each trial its ``labels``: those of its seed, where a failed trial recorded none."""
    drawn = defaultdict(set)
    for facts in trials:
        drawn[facts["cell"], facts["noise_seed"]].add(facts["label_hash"])
    for facts in trials:
        hashes = drawn[facts["cell"], facts["noise_seed"]] - {""}
        facts["labels"] = facts["label_hash"] or (min(hashes) if len(hashes) == 1 else "")


def _complete_methods(trials: Sequence[Facts]) -> None:
    """Give failed trials what other trials recorded: classes, privileges, curves for rules."""
    classes, privileges = {}, {}
    for facts in trials:
        if np.isfinite(facts["classes"]):
            classes[facts["data_hash"]] = facts["classes"]
        if facts["privileges"]:  # another configuration of the method may have none
            privileges[facts["method"], facts["hparams"]] = facts["privileges"]
    for facts in trials:
        facts["classes"] = classes.get(facts["data_hash"], np.nan)
        facts["privileges"] = privileges.get((facts["method"], facts["hparams"]), "")
    for name, curve in RULE_CURVES.values():
        for facts in trials:
            facts[name] = bool(np.isfinite(facts[curve]).any())
        cells = {facts["cell"] for facts in trials if facts[name]}
        for facts in trials:
            if not facts["succeeded"]:
                facts[name] = facts["cell"] in cells


def _complete_failures(trials: Sequence[Facts]) -> None:
    """Give failed trials the metrics at which a failure counts.

    A metric that no trial of the cell, or none of the method, has is undefined for the failed one.
    """
    failures = [facts for facts in trials if facts["failed"]]
    for name, at_failure in RANKED.items() if failures else ():
        curve = CURVE_OF[name]
        known = [
            facts for facts in trials if facts["succeeded"] and np.isfinite(facts[curve]).any()
        ]
        cells, methods = ({facts[key] for facts in known} for key in ("cell", "method"))
        for facts in failures:
            if name == ACCURACY.name or (facts["cell"] in cells and facts["method"] in methods):
                value = at_failure(facts["classes"], facts["training_noise_rate"])
                facts["at_failure"][name] = value
