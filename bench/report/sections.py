"""Leaderboards for people: the same tables as Markdown and in a terminal."""

from collections.abc import Collection, Sequence
from itertools import product

import numpy as np
import pandas as pd

from bench.noise import takes_rate
from bench.planning.registry import REFERENCE
from bench.planning.selection import CLEAN_VAL, DEFAULT_RULE, ORACLE
from bench.records.code import differing
from bench.records.merge import conflict_notes
from bench.report.board import Board
from bench.report.leaderboard import methods_in_order, places
from bench.report.metrics import METRICS, RANKED, Metric
from bench.report.statistics import rules_of
from bench.report.tables import Entry, Section, Table
from bench.report.tracks import PRIVILEGED
from bench.report.wording import *

SELECTED = "epoch and configuration selected by noisy validation accuracy"
OTHER_RULES = (
    "The same by other rules, each with its own epoch and configuration: last (mean of the final "
    "tenth of the epochs), {}oracle (test accuracy: not for ranking)"
)
LOST_CONFIGURATIONS = (
    f"{LOST_SEEDS} Searches: their machine ended {{}} of the trials, which are not counted as "
    "tried. Running the same command again tries them again, and a search may then pick another "
    "configuration."
)

#: Selection is called shaky where one standard error of the noisy validation accuracy is worth this
#: much clean accuracy.
SHAKY = 0.1


def sections(board: Board) -> list[Section]:
    """Return a section for each group of the leaderboard, in its order."""
    rows, searches, metric, flagged = board.rows, board.searches, board.metric, board.flagged
    reference = board.reference
    groups = [(str(name), group) for name, group in board.ranked.groupby("group", sort=False)]
    setups = [_setup(group) for _, group in groups]
    heads = [(group_title(group), setup) for (_, group), setup in zip(groups, setups, strict=True)]
    found = []
    for (name, group), setup in zip(groups, setups, strict=True):
        ranked = group[group["rule"] == DEFAULT_RULE]
        order = methods_in_order(ranked)
        plain = methods_in_order(ranked[ranked["competes"]])
        tables = [_main_table(ranked, order, metric, flagged), _rules_table(group, plain)]
        if len((beside := _beside_table(ranked, plain)).columns) > 2:
            tables.append(beside)
        # to that one there are marks already
        if not set(group.loc[group["gain"].notna(), "wraps"]) <= {REFERENCE}:
            tables.append(_gain_table(group, order))
        if (group["configurations"] > 1).any() or group["config"].any():
            tables.append(_configuration_table(ranked, order))
        trials = rows[(rows["group"] == name) & (rows["rule"] == DEFAULT_RULE)]
        conflicts, lost = set(trials["conflicts"].explode().dropna()), 0
        if len(searches) and (own := searches[searches["group"] == name]).size:
            tables.append(_search_table(own))
            conflicts.update(own["conflicts"].explode().dropna())
            lost = int(own["lost"].sum())
        first = group.iloc[0]
        # they differ in what the line does not say
        if heads.count((group_title(group), setup)) > 1:
            setup += f", {first['recipe']}"
        doubtful = sorted(set(ranked.loc[ranked["cell"].isin(flagged), "noise_rate"]))
        notes = _notes(trials, ranked, reference, metric) + conflict_notes(sorted(conflicts))
        notes += [f"{DOUBTFUL} {disagreement(doubtful)}"] * bool(doubtful)
        notes += [LOST_CONFIGURATIONS.format(lost)] * bool(lost)
        found.append(Section(group_title(group), setup, tables, notes))
    return found


def _setup(group: pd.DataFrame) -> str:
    first = group.iloc[0]
    epochs = sorted(set(group["epochs"]))
    threads = f"{first['threads']} thread{'s' if first['threads'] > 1 else ''}"
    parts = [
        " or ".join(sorted(set(group["backbone"]))),
        f"{epochs[0]} epoch{'s' * (epochs[0] > 1)}"
        if len(epochs) == 1
        else f"{epochs[0]} to {epochs[-1]} epochs",
        f"{first['device']} ({first['precision']}, {threads})",
        *([f"{first['noise_sampling']} noise"] if takes_rate(first["noise_kind"]) else []),
        f"{100 * first['validation_share']:g} % noisy validation",
        *([] if pd.isna(first["subset"]) else [f"subset of {first['subset']:g}"]),
        *([] if pd.isna(first["image_size"]) else [f"images of {first['image_size']:g} pixels"]),
        f"data {first['data_hash']}",
        *([] if pd.isna(first["noise_hash"]) else [f"noise file {first['noise_hash']}"]),
        *([first["further"]] if first["further"] else []),
    ]
    return ", ".join(parts)


def _figure(row: pd.Series | None, place: int = 0, mark: str = "") -> Entry:
    if row is None:
        return Entry(NONE)
    if pd.isna(row["mean"]):
        return Entry(NONE, mark=mark)
    interval = "" if pd.isna(row["ci95"]) else f" ± {100 * row['ci95']:.1f}"
    seeds = f" (n={row['seeds']})" if row["unequal_seeds"] or row["lost"] else ""
    return Entry(f"{100 * row['mean']:.1f}{interval}{seeds}", place, mark)


def _by_rate(table: pd.DataFrame) -> dict[tuple[str, str, float], pd.Series]:
    return {(row["rule"], row["method"], row["noise_rate"]): row for _, row in table.iterrows()}


def _main_table(
    ranked: pd.DataFrame, order: Sequence[str], metric: Metric, flagged: Collection[str]
) -> Table:
    rates, found = rates_of(ranked), _by_rate(ranked)
    failures = ranked["failures"].sum() > 0
    relative = ranked[f"cost_vs_{REFERENCE}"].notna().any()
    cost_column = f"cost_vs_{REFERENCE}" if relative else "cost_seconds"
    cost_heading = f"Cost (×{REFERENCE})" if relative else "Cost (s)"
    doubtful = set(ranked.loc[ranked["cell"].isin(flagged), "noise_rate"])
    heads = [rate_title(rate) + f" {DOUBTFUL}" * (rate in doubtful) for rate in rates]
    columns = ["Method", *heads, "Average rank", cost_heading, "Privileges"]
    if failures:
        columns.append("Failures")
    lines = []
    for method in order:
        own = ranked[ranked["method"] == method]
        entries = [Entry(method, mark=MIXED * bool(mixed_code(own)))]
        for rate in rates:
            row = found.get((DEFAULT_RULE, method, rate))
            entries.append(Entry(NONE) if row is None else _figure(row, row["place"], row["mark"]))
        rank, cost = own["rank"].mean(), own[cost_column].mean()
        entries.append(Entry(NONE if pd.isna(rank) else f"{rank:.1f}"))
        entries.append(Entry(NONE if pd.isna(cost) else f"{cost:.1f}"))
        entries.append(Entry(own["privileges"].max().replace(",", ", ") or NONE))
        if failures:
            entries.append(Entry(f"{own['failures'].sum()}/{own['seeds'].sum()}"))
        lines.append(entries)
    return Table(f"{metric.label}, {SELECTED}", columns, lines)


def mixed_code(table: pd.DataFrame) -> list[str]:
    """Parts whose code differs between the trials behind these rows of a leaderboard."""
    return differing(code for codes in table["codes"] for code in codes)


def mixed_rows(table: pd.DataFrame) -> str:
    """Footnote of the rows whose trials different code has made; empty where there are none."""
    mixed = {
        method: parts
        for method, own in table.groupby("method", sort=True)
        if (parts := mixed_code(own))
    }
    if not mixed:
        return ""
    rows = "; ".join(f"{method} ({', '.join(parts)})" for method, parts in mixed.items())
    return f"Not all trials of the row were made by the same code, which done.json names: {rows}."


def _beside_table(ranked: pd.DataFrame, order: Sequence[str]) -> Table:
    """All that one can rank by, averaged over noise rates; nothing of a method that lacks a rate at
    which others have it.
    """
    columns, heads = [], ["Method"]
    for name in RANKED:
        by_method = ranked.pivot(index="method", columns="noise_rate", values=name).dropna(
            axis=1, how="all"
        )
        if by_method.size:
            means = by_method.mean(axis=1, skipna=False).reindex(order)
            heads.append(METRICS[name].label)
            columns.append(
                [
                    _percent(mean, place)
                    for mean, place in zip(means, places(means, METRICS[name]), strict=True)
                ]
            )
    lines = [[Entry(method), *entries] for method, *entries in zip(order, *columns, strict=True)]
    over = ": means over noise rates" if ranked["noise_rate"].nunique() > 1 else ""
    return Table(f"Beside accuracy, at the same epochs{over}", heads, lines)


def _percent(value: float, place: int) -> Entry:
    return Entry(NONE if pd.isna(value) else f"{100 * value:.1f}", place)


def _rules_table(group: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, found, rules = rates_of(group), _by_rate(group), rules_of(group)

    def entry(method: str, rule: str, rate: float) -> Entry:
        row = found.get((rule, method, rate))
        # What the oracle finds is no evidence, so it gets no mark.
        return _figure(row, mark="" if row is None else row["mark"])

    lines = [
        [Entry(method), Entry(rule_label(rule)), *(entry(method, rule, rate) for rate in rates)]
        for method in order
        for rule in rules
    ]
    clean = "".join(
        f"{rule} ({clean_labels_of(rule)}: a privilege), "
        for rule in rules
        if rule.startswith(CLEAN_VAL)
    )
    return Table(OTHER_RULES.format(clean), ["Method", "Rule", *map(rate_title, rates)], lines)


def _gain_table(group: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, found = rates_of(group), _by_rate(group)
    lines = []
    for method, rule in product(order, rules_of(group)):
        rows = [found.get((rule, method, rate)) for rate in rates]
        if rule != ORACLE and any(row is not None and pd.notna(row["gain"]) for row in rows):
            lines.append([Entry(method), Entry(rule_label(rule)), *map(_gain, rows)])
    caption = "What wrapping adds: points of test accuracy over the method that is wrapped, with the 95 % interval"
    return Table(caption, ["Method", "Rule", *map(rate_title, rates)], lines)


def _gain(row: pd.Series | None) -> Entry:
    if row is None or pd.isna(row["gain"]):
        return Entry(NONE)
    interval = (
        ""
        if pd.isna(row["gain_ci_low"])
        else f" ({100 * row['gain_ci_low']:+.1f} to {100 * row['gain_ci_high']:+.1f})"
    )
    return Entry(f"{100 * row['gain']:+.1f}{interval}")


def _configuration_table(ranked: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, found = rates_of(ranked), _by_rate(ranked)
    lines = []
    for method in order:
        own = ranked[ranked["method"] == method]
        if own["configurations"].max() == 1 and not own["config"].any():
            continue
        chosen = [found.get((DEFAULT_RULE, method, rate)) for rate in rates]
        texts = [NONE if row is None else row["config"] or "defaults" for row in chosen]
        lines.append([Entry(text) for text in (method, *texts, str(own["configurations"].max()))])
    caption = "Configurations chosen by noisy validation accuracy; all of them are in configs.csv"
    return Table(caption, ["Method", *map(rate_title, rates), "Tried"], lines)


def _search_table(searches: pd.DataFrame) -> Table:
    """What was tried, on other seeds than the leaderboard's."""
    columns = [
        "Search",
        "Noise",
        "Maximised",
        "First %",
        "Best %",
        "Picked",
        "Tried",
        "Stopped early",
        "Failed",
        "Seconds",
    ]
    lines = []
    for _, row in searches.iterrows():
        first, best = (
            NONE if pd.isna(row[key]) else f"{100 * row[key]:.1f}" for key in ("first", "best")
        )
        texts = [
            row["method"],
            rate_title(row["noise_rate"]),
            row["goal"],
            first,
            best,
            row["picked"] or "defaults",
        ]
        tried = Entry(f"{row['configurations']:g}", mark=LOST_SEEDS * bool(row["lost"]))
        counts = [Entry(f"{row[key]:g}") for key in ("stopped", "failed")]
        lines.append([*map(Entry, texts), tried, *counts, Entry(f"{row['seconds']:.3g}")])
    caption = "Searches, on seeds of their own, which no figure above contains: what the first configuration and the best reached"
    return Table(caption, columns, lines)


def _notes(
    trials: pd.DataFrame, ranked: pd.DataFrame, reference: str | None, metric: Metric
) -> list[str]:
    """Footnotes. ``trials`` are all of the group's, of whatever configuration; ``ranked`` its part
    of the leaderboard.
    """
    return [
        *_seed_notes(ranked, reference, metric),
        *_pair_notes(trials, ranked),
        *_track_notes(ranked),
        *_cost_notes(trials, ranked),
        *_validation_notes(ranked),
        *_pretraining_notes(ranked),
        *_failure_notes(trials),
        *_lost_notes(trials),
        *_beside_notes(ranked),
        *([f"{MIXED} {mixed}"] if (mixed := mixed_rows(ranked)) else []),
    ]


def _seed_notes(ranked: pd.DataFrame, reference: str | None, metric: Metric) -> list[str]:
    # of rows that have a mean
    low, high = ranked.loc[ranked["seeds"] > 0, "seeds"].agg(["min", "max"])
    best = "the best of a column is bold, the second underlined, and what prints alike is a tie."
    notes = [f"One seed: no intervals and no marks; {best}"]
    if high > 1:
        seeds = f"{high}" if low == high else f"{low} to {high}"
        notes = [f"Mean ± half-width of its 95 % t interval over {seeds} seeds; {best}"]
    absent = [
        rate_title(rate)
        for rate, cell in ranked.groupby("noise_rate")
        if reference not in set(cell["method"])
    ]
    if high > 1 and reference:
        pairs = sorted(set(ranked["paired_seeds"].dropna()))
        counts = (
            ""
            if not pairs
            else f"{pairs[0]} "
            if len(pairs) == 1
            else f"{pairs[0]} to {pairs[-1]} "
        )
        notes.append(
            f"{BETTER} better than {reference}: the 95 % interval of the difference, paired over "
            f"{counts}common seeds, lies {'above' if metric.more_is_better else 'below'} 0; "
            f"{WORSE} worse: {'below' if metric.more_is_better else 'above'} 0. Marks are not "
            "corrected for the number of comparisons."
        )
        if absent:
            notes.append(f"{reference} has no trials at {', '.join(absent)}: no marks there.")
    rank = "Average rank: over noise rates; equal means share the better rank."
    if len(set(ranked.groupby("method").size())) > 1:
        rank += f" {NONE}: no trials; methods that lack a noise rate come last, ranked over those they have."
    return [*notes, rank]


def _pair_notes(trials: pd.DataFrame, ranked: pd.DataFrame) -> list[str]:
    """What is not paired, though it stands in one column."""
    notes = []
    if ranked["unequal_seeds"].any():
        notes.append(
            "n: trials, where the rows of a column do not have the same seeds. Such means, their "
            "ranks and what is bold are not paired; marks, differences and tests are, over the "
            "seeds that both rows have."
        )
    for (rate, seed), own in trials[trials["label_hash"] != ""].groupby(
        ["noise_rate", "noise_seed"]
    ):
        if len(hashes := sorted(set(own["label_hash"]))) > 1:
            notes.append(
                f"At {rate_title(rate)} noise seed {seed} has drawn different labels "
                f"({', '.join(hashes)}): trials of different labels are not paired."
            )
    return notes


def _track_notes(ranked: pd.DataFrame) -> list[str]:
    """What the labels of rows that are not plain ones mean."""
    about = {
        "tuned": "(tuned): what a search picked among equally many configurations for each method, run again on fresh seeds; "
        "the search's own seconds are in its table, not in the cost.",
        "budget": "(budget): likewise, among as many configurations as the same seconds of training allowed.",
        "transfer": "(tuned at), (budget at): what was picked at one noise rate, used at all.",
        "misspecified": "(told ×): told the noise rate times this.",
    }
    present = set(ranked["track"])
    notes = [text for track, text in about.items() if track in present]
    if (ranked["method"] == ranked["name"] + PRIVILEGED).any():
        notes.insert(
            0,
            "(oracle): a method set to read what Privileges names, which nobody knows of real "
            "data; ranked with the others, and not the selection rule of that name.",
        )
    if not ranked["competes"].all():
        notes.append(
            "Not ranked, but shown: what was tuned on test labels, tuned at another noise rate, or "
            "told a wrong one. These rows are in no tier, test, budget or front."
        )
    equal = ranked[ranked["track"] == "tuned"]
    if equal["tried"].nunique() > 1:
        tried = equal.groupby("method")["tried"].min()
        counts = ", ".join(f"{method} {count}" for method, count in tried.items())
        notes.append(f"The searches were not equally long, in configurations tried: {counts}.")
    rates = ranked["noise_rate"].nunique()
    for (_, method), own in ranked[ranked["track"].isin(["tuned", "budget"])].groupby(
        ["group", "method"]
    ):
        if len(own) == rates > 1 and own["hparams"].nunique() == 1:
            notes.append(f"{method} is one configuration at all noise rates.")
    if present & {"tuned", "budget"}:
        searched = set(ranked.loc[ranked["track"].isin(["tuned", "budget"]), "name"])
        if bare := sorted(set(ranked["name"]) - searched):
            notes.append(f"Not tuned: {', '.join(bare)}.")
    return notes


def _cost_notes(trials: pd.DataFrame, ranked: pd.DataFrame) -> list[str]:
    seconds = ranked.loc[ranked["method"] == REFERENCE, "cost_seconds"].mean()
    unit = f"relative to {REFERENCE} ({seconds:.3g} s a trial)" if pd.notna(seconds) else "a trial"
    left_out = "; failed trials are left out" if trials["failed"].any() else ""
    return [
        f"Cost: seconds of training on the device, pretraining included, {unit}, averaged over "
        f"noise rates{left_out}."
    ]


def _validation_notes(ranked: pd.DataFrame) -> list[str]:
    images = sorted({int(n) for n in ranked["validation_images"].dropna()})
    if not images:
        return []
    size = f"{images[0]}" if len(images) == 1 else f"{images[0]} to {images[-1]}"
    notes = [f"Validation set: {size} images with noisy labels."]
    if ranked["noisy_test"].any():
        notes.append(
            "The test labels are as found too: nobody knows the true ones, and accuracy against "
            "them is no more than that."
        )
    if (untested := ranked[ranked["tested_classes"] < ranked["classes"]]).size:
        tested, classes = untested[["tested_classes", "classes"]].iloc[0]
        notes.append(
            f"Accuracy and worst-class accuracy stand on {tested:g} of {classes:g} classes: the "
            "others have no test image."
        )
    if not set(ranked["noise_kind"]) <= {"symmetric"}:
        return notes  # what the labels of other kinds do to selection depends on more than the rate
    for rate, cell in ranked.groupby("noise_rate"):
        count = cell["validation_images"].min()
        points = selection_error(float(rate), count, cell["classes"].iloc[0])
        if points > SHAKY:
            notes.append(
                f"At {rate_title(rate)} noise selection rests on {count:g} validation images with "
                f"noisy labels (one standard error is worth {min(100 * points, 100):.0f} points of "
                "accuracy); see last for what selection loses."
            )
    return notes


def selection_error(rate: float, images: float, classes: float) -> float:
    """One standard error of accuracy on noisy validation labels, as the difference in clean
    accuracy that moves it as much.

    With labels right at a share of 1 - ``rate`` and wrong ones spread over the other classes, noisy
    accuracy rises by (1 - rate) - rate / (classes - 1) for one unit of clean accuracy; a perfect
    classifier has 1 - rate, whose standard error this takes. Infinite where noisy accuracy does not
    rise. A fraction.
    """
    slope = (1 - rate) - rate / (classes - 1)
    return float(np.sqrt(rate * (1 - rate) / images) / slope) if slope > 0 else np.inf


def _pretraining_notes(ranked: pd.DataFrame) -> list[str]:
    methods = sorted(set(ranked.loc[ranked["pretrained"], "method"]))
    if not methods:
        return []
    return [
        f"Pretraining: {', '.join(methods)} saw all non-test images, validation ones included, "
        "without their labels."
    ]


def _failure_notes(trials: pd.DataFrame) -> list[str]:
    failed = trials[trials["failed"]]
    if failed.empty:
        return []
    kinds = ", ".join(
        f"{count} {status}" for status, count in sorted(failed["status"].value_counts().items())
    )
    classes = failed["classes"].iloc[0]
    chance = (
        f"at chance accuracy ({100 / classes:.3g} %)"
        if np.isfinite(classes)
        else "as failures alone"
    )
    count = int((~trials["lost"]).sum())
    return [
        f"Failures: {len(failed)} of {count} trials ({kinds}), all configurations together; they "
        f"count {chance}."
    ]


def _lost_notes(trials: pd.DataFrame) -> list[str]:
    """Footnote for seeds that are missing because their machine, not the method, ended them."""
    lost = trials[trials["lost"]]
    if lost.empty:
        return []
    counts = ", ".join(
        f"{method} {count}" for method, count in lost.groupby("method").size().items()
    )
    return [
        f"{LOST_SEEDS} Missing seeds: {len(lost)} of {len(trials)} trials were ended by their "
        f"machine (a killed worker, a lost node, a full disk), not by the method ({counts}). Their "
        "rows and comparisons stand on the other seeds; running the same command again tries them "
        "again."
    ]


def _beside_notes(ranked: pd.DataFrame) -> list[str]:
    notes = []
    if ranked["label_correction_accuracy"].notna().any():
        notes.append(
            "Labels right after correction: share of training samples whose corrected target is "
            f"highest at the true class; {100 * (1 - ranked['realised_noise_rate'].mean()):.1f} % "
            "are right to begin with."
        )
    if ranked["failures"].any() and ranked[list(RANKED)[1:]].notna().any(axis=None):
        notes.append(
            "Beside accuracy a failed trial counts as a guess of one class that is always sure: 0 "
            "on the worst class, no wrong label found (AUC 50 %), none corrected."
        )
    return notes
