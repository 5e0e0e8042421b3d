"""Footnotes of a leaderboard, to be read before the rows of a group are compared."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from bench.planning.inputs import is_head
from bench.planning.registry import REFERENCE
from bench.planning.selection import DEFAULT_RULE
from bench.records.code import differing
from bench.records.merge import conflict_notes
from bench.report.board import Board
from bench.report.metrics import RANKED
from bench.report.tracks import PRIVILEGED
from bench.report.wording import (
    BETTER,
    DOUBTFUL,
    LOST_SEEDS,
    MIXED,
    NONE,
    WORSE,
    disagreement,
    rate_title,
    span,
)

#: Selection is called shaky where one standard error of the noisy validation accuracy is worth this
#: much clean accuracy.
SHAKY = 0.1
_TRACKS = {
    "tuned": "(tuned): what a search picked among equally many configurations for each method, run "
    "again on fresh seeds; the search's own seconds are in its table, not in the cost.",
    "budget": "(budget): likewise, among as many configurations as the same seconds of training "
    "allowed.",
    "transfer": "(tuned at), (budget at): what was picked at one noise rate, used at all.",
    "misspecified": "(told ×): told the noise rate times this.",
}


def notes_of(board: Board, group: pd.DataFrame, searches: pd.DataFrame) -> list[str]:
    """Return the footnotes of a group.

    Args:
        group: its rows of ``board.ranked``.
        searches: its rows of ``board.searches``.
    """
    ranked = group[group["rule"] == DEFAULT_RULE]
    # Trials of all configurations: also of those that no rule has chosen.
    trials = board.rows[board.rows["group"] == group.iloc[0]["group"]]
    trials = trials[trials["rule"] == DEFAULT_RULE]
    conflicts = [*trials["conflicts"], *(searches["conflicts"] if len(searches) else ())]
    notes = [
        *board.remarks.get(group.iloc[0]["group"], []),
        *_seed_notes(board, ranked),
        *_pair_notes(trials, ranked),
        *_track_notes(ranked),
        *_network_notes(trials),
        *_imported_notes(trials),
        *_cost_notes(trials, ranked),
        *_validation_notes(ranked),
        *_pretraining_notes(ranked),
        *_failure_notes(trials),
        *_lost_notes(trials),
        *_metric_notes(ranked),
    ]
    if mixed := mixed_rows(ranked):
        notes.append(f"{MIXED} {mixed}")
    notes += conflict_notes(sorted({text for texts in conflicts for text in texts}))
    if doubtful := board.doubtful_rates(ranked):
        notes.append(f"{DOUBTFUL} {disagreement(doubtful)}")
    if lost := int(searches["lost"].sum()) if len(searches) else 0:
        notes.append(
            f"{LOST_SEEDS} Searches: their machine ended {lost} of the trials, which are not "
            "counted as tried. Running the same command again tries them again, and a search may "
            "then pick another configuration."
        )
    return notes


def _seed_notes(board: Board, ranked: pd.DataFrame) -> Iterable[str]:
    reference, seeds = board.reference, set(ranked["seeds"])
    best = "the best of a column is bold, the second underlined, and what prints alike is a tie."
    if max(seeds) > 1:
        yield f"Mean ± half-width of its 95 % t interval over {span(seeds - {0})} seeds; {best}"
    else:
        yield f"One seed: no intervals and no marks; {best}"
    if max(seeds) > 1 and reference:
        pairs = set(ranked["paired_seeds"].dropna())
        better, worse = ("above", "below") if board.metric.more_is_better else ("below", "above")
        yield (
            f"{BETTER} better than {reference}: the 95 % interval of the difference, paired over "
            f"{span(pairs) + ' ' if pairs else ''}common seeds, lies {better} 0; {WORSE} worse: "
            f"{worse} 0. Marks are not corrected for the number of comparisons."
        )
        by_rate = ranked.groupby("noise_rate")["method"].agg(set)
        if absent := [rate_title(rate) for rate, at in by_rate.items() if reference not in at]:
            yield f"{reference} has no trials at {', '.join(absent)}: no marks there."
    rank = "Average rank: over noise rates; equal means share the better rank."
    if ranked.groupby("method").size().nunique() > 1:
        rank += (
            f" {NONE}: no trials; methods that lack a noise rate come last, ranked over those they "
            "have."
        )
    yield rank


def _pair_notes(trials: pd.DataFrame, ranked: pd.DataFrame) -> Iterable[str]:
    """Name the rows of one column that are not paired."""
    if ranked["unequal_seeds"].any():
        yield (
            "n: trials, where the rows of a column do not have the same seeds. Such means, their "
            "ranks and what is bold are not paired; marks, differences and tests are, over the "
            "seeds that both rows have."
        )
    labelled = trials[trials["label_hash"] != ""]
    for (rate, seed), hashes in labelled.groupby(["noise_rate", "noise_seed"])["label_hash"]:
        if hashes.nunique() > 1:
            yield (
                f"At {rate_title(rate)} noise seed {seed} has drawn different labels "
                f"({', '.join(sorted(set(hashes)))}): trials of different labels are not paired."
            )


def _track_notes(ranked: pd.DataFrame) -> Iterable[str]:
    """Explain the labels of rows that are not plain ones."""
    if (ranked["method"] == ranked["name"] + PRIVILEGED).any():
        yield (
            "(oracle): a method set to read what Privileges names, which nobody knows of real "
            "data; ranked with the others, and not the selection rule of that name."
        )
    present = set(ranked["track"])
    yield from (text for track, text in _TRACKS.items() if track in present)
    if not ranked["competes"].all():
        yield (
            "Not ranked, but shown: what was tuned on test labels, tuned at another noise rate, or "
            "told a wrong one. These rows are in no tier, test, budget or front."
        )
    tuned = ranked[ranked["track"] == "tuned"]
    if tuned["tried"].nunique() > 1:
        tried = tuned.groupby("method")["tried"].min()
        counts = ", ".join(f"{method} {count}" for method, count in tried.items())
        yield f"The searches were not equally long, in configurations tried: {counts}."
    searched = ranked[ranked["track"].isin(["tuned", "budget"])]
    rates = ranked["noise_rate"].nunique()
    for method, cells in searched.groupby("method"):
        if len(cells) == rates > 1 and cells["hparams"].nunique() == 1:
            yield f"{method} is one configuration at all noise rates."
    if len(searched) and (bare := sorted(set(ranked["name"]) - set(searched["name"]))):
        yield f"Not tuned: {', '.join(bare)}."


def _network_notes(trials: pd.DataFrame) -> Iterable[str]:
    """Explain the pretrained network of a group, and what embedding by it took."""
    if not (pretraining := trials["pretraining"].iloc[0]):
        return
    yield (
        f"{pretraining}: a privilege of all rows here, whose network has learned from more than "
        "this data set. No row of training from scratch is in this table."
    )
    embedded = trials[trials["embedding_seconds"].notna()]
    if len(embedded):
        # Trials share features: equal checksums are of one embedding.
        seconds = embedded.groupby("features_checksum")["embedding_seconds"].max()
        times = " or ".join(f"{value:.3g}" for value in sorted(set(seconds)))
        yield (
            f"Embedding all images took {times} s, once for all trials. The cost of each trial "
            "contains these seconds; train_seconds in leaderboard.csv does not."
        )


def _imported_notes(trials: pd.DataFrame) -> Iterable[str]:
    """Say what is not known of other people's trials."""
    if origin := trials["imported"].iloc[0]:
        yield (
            f"All rows are {origin}: other people's runs, whose curves are taken as they are and "
            "were not checked by a run here. Settings, data, labels and splits are not on record. "
            "Pairs are trials of one seed of the source, which need not have the same labels and "
            "split. No trial of this package is in this table."
        )


def _cost_notes(trials: pd.DataFrame, ranked: pd.DataFrame) -> Iterable[str]:
    if trials["imported"].iloc[0] and ranked["cost_seconds"].isna().all():
        yield "Cost: not known, as the curves came without seconds."
        return
    seconds = ranked.loc[ranked["method"] == REFERENCE, "cost_seconds"].mean()
    unit = f"relative to {REFERENCE} ({seconds:.3g} s a trial)" if pd.notna(seconds) else "a trial"
    left_out = "; failed trials are left out" if trials["failed"].any() else ""
    yield (
        f"Cost: seconds of training on the device, pretraining included, {unit}, averaged over "
        f"noise rates{left_out}."
    )


def _on_vectors(trials: pd.DataFrame) -> bool:
    """Return whether the data set itself has vectors; a frozen network's has images."""
    heads = trials["backbone"].map(is_head)
    return bool(heads.all()) and not trials["pretraining"].iloc[0]


def _validation_notes(ranked: pd.DataFrame) -> Iterable[str]:
    images = {int(count) for count in ranked["validation_images"].dropna()}
    if not images:
        return
    samples = "vectors" if _on_vectors(ranked) else "images"
    yield f"Validation set: {span(images)} {samples} with noisy labels."
    if ranked["noisy_test"].any():
        yield (
            "The test labels are as found too: nobody knows the true ones, and accuracy against "
            "them is no more than that."
        )
    untested = ranked[ranked["tested_classes"] < ranked["classes"]]
    if len(untested):
        tested, classes = untested[["tested_classes", "classes"]].iloc[0]
        yield (
            f"Accuracy and worst-class accuracy stand on {tested:g} of {classes:g} classes: the "
            "others have no test image."
        )
    # Under other kinds of noise the error of selection depends on more than the rate.
    symmetric = ranked[ranked["noise_kind"] == "symmetric"]
    for rate, cell in symmetric.groupby("noise_rate"):
        count = cell["validation_images"].min()
        error = selection_error(float(rate), count, cell["classes"].iloc[0])
        if error > SHAKY:
            yield (
                f"At {rate_title(rate)} noise selection rests on {count:g} validation images with "
                f"noisy labels (one standard error is worth {min(100 * error, 100):.0f} points of "
                "accuracy); see last for what selection loses."
            )


def selection_error(rate: float, images: float, classes: float) -> float:
    """Return one standard error of noisy validation accuracy as a difference in clean accuracy.

    With labels right at a share of 1 - ``rate`` and wrong ones spread over the other classes, noisy
    accuracy rises by (1 - rate) - rate / (classes - 1) for one unit of clean accuracy; a perfect
    classifier has 1 - rate, whose standard error this takes. Infinite where noisy accuracy does not
    rise. A fraction.
    """
    slope = (1 - rate) - rate / (classes - 1)
    return float(np.sqrt(rate * (1 - rate) / images) / slope) if slope > 0 else np.inf


def _pretraining_notes(ranked: pd.DataFrame) -> Iterable[str]:
    if methods := sorted(set(ranked.loc[ranked["trained_encoder"], "method"])):
        yield (
            f"Pretraining: {', '.join(methods)} saw all non-test images, validation ones included, "
            "without their labels."
        )


def _failure_notes(trials: pd.DataFrame) -> Iterable[str]:
    trials = trials.drop_duplicates("id")  # a trial has a row for each track
    failed = trials[trials["failed"]]
    if failed.empty:
        return
    statuses = sorted(failed["status"].value_counts().items())
    kinds = ", ".join(f"{count} {status}" for status, count in statuses)
    classes = failed["classes"].iloc[0]
    chance = "as failures alone"
    if np.isfinite(classes):
        chance = f"at chance accuracy ({100 / classes:.3g} %)"
    yield (
        f"Failures: {len(failed)} of {(~trials['lost']).sum()} trials ({kinds}), all "
        f"configurations together; they count {chance}."
    )


def _lost_notes(trials: pd.DataFrame) -> Iterable[str]:
    trials = trials.drop_duplicates("id")
    lost = trials[trials["lost"]]
    if len(lost):
        by_method = lost.groupby("method").size()
        counts = ", ".join(f"{method} {count}" for method, count in by_method.items())
        yield (
            f"{LOST_SEEDS} Missing seeds: {len(lost)} of {len(trials)} trials were ended by their "
            "machine (a killed worker, a lost node, a full disk), not by the method "
            f"({counts}). Their rows and comparisons stand on the other seeds; running the same "
            "command again tries them again."
        )


def _metric_notes(ranked: pd.DataFrame) -> Iterable[str]:
    if ranked["label_correction_accuracy"].notna().any():
        right = 100 * (1 - ranked["training_noise_rate"].mean())
        yield (
            "Labels right after correction: share of training samples whose corrected target is "
            f"highest at the true class; {right:.1f} % are right to begin with."
        )
    if ranked["failures"].any() and ranked[list(RANKED)[1:]].notna().any(axis=None):
        yield (
            "Beside accuracy a failed trial counts as a guess of one class that is always sure: 0 "
            "on the worst class, no wrong label found (AUC 50 %), none corrected."
        )


def mixed_code(table: pd.DataFrame) -> list[str]:
    """Return the parts whose code differs between the trials behind rows of a leaderboard."""
    return differing(code for codes in table["codes"] for code in codes)


def mixed_rows(table: pd.DataFrame) -> str:
    """Footnote of the rows whose trials different code has made; empty where there are none."""
    rows = [
        f"{method} ({', '.join(parts)})"
        for method, cells in table.groupby("method", sort=True)
        if (parts := mixed_code(cells))
    ]
    if not rows:
        return ""
    return (
        "Not all trials of the row were made by the same code, which done.json names: "
        f"{'; '.join(rows)}."
    )
