"""Leaderboards for people: the same tables as Markdown and in a terminal."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bench.common.text import printable
from bench.noise import takes_rate
from bench.planning.registry import REFERENCE
from bench.planning.selection import ALL, CLEAN_VAL, DEFAULT_RULE, ORACLE
from bench.records.code import differing
from bench.records.merge import conflict_notes
from bench.report.metrics import ACCURACY, METRICS, RANKED, Metric
from bench.report.statistics import rules_of
from bench.report.tracks import PRIVILEGED

BETTER, WORSE, DOUBTFUL, LOST_SEEDS, MIXED = "*", "†", "‡", "§", "¶"
SELECTED = "epoch and configuration selected by noisy validation accuracy"
OTHER_RULES = (
    "The same by other rules, each with its own epoch and configuration: last (mean of the final "
    "tenth of the epochs), {}oracle (test accuracy: not for ranking)"
)
NONE = "–"
LOST_CONFIGURATIONS = (
    f"{LOST_SEEDS} Searches: their machine ended {{}} of the trials, which are not counted as "
    "tried. Running the same command again tries them again, and a search may then pick another "
    "configuration."
)

#: Selection is called shaky where one standard error of the noisy validation accuracy is worth this
#: much clean accuracy.
SHAKY = 0.1


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table."""

    text: str
    place: int = 0  # 1 is the best of its column, 2 the second
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table, not yet in any format."""

    caption: str
    columns: list[str]
    rows: list[list[Entry]]


@dataclass(frozen=True)
class Section:
    """One group of comparable cells: its tables, and what a reader has to know about them."""

    title: str
    setup: str
    tables: list[Table]
    notes: list[str]


def sections(
    rows: pd.DataFrame,
    board: pd.DataFrame,
    reference: str | None,
    searches: pd.DataFrame | None = None,
    metric: Metric = ACCURACY,
    flagged: Collection[str] = (),
) -> list[Section]:
    """One section for each group of the leaderboard, in its order.

    Args:
        rows: from ``load_rows``.
        board: from ``leaderboard``, with the same ``reference`` and ``metric``; None for no
            comparison.
        searches: from ``tracks.search_summary``.
        flagged: cells where noisy validation and test accuracy disagree.
    """
    groups = [(str(name), group) for name, group in board.groupby("group", sort=False)]
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
        if (
            searches is not None
            and len(searches)
            and (own := searches[searches["group"] == name]).size
        ):
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


def group_title(group: pd.DataFrame) -> str:
    """What a group of comparable rows is about, in a few words."""
    first = group.iloc[0]
    return f"{first['dataset']}, {first['noise_kind']} noise, recipe {first['protocol']}"


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


def methods_in_order(ranked: pd.DataFrame) -> list[str]:
    """Methods by average rank; then those that lack a noise rate, as their average says less, and
    those without a rank.
    """
    by_method = ranked.groupby("method")
    summary = pd.DataFrame(
        {"missing": -by_method.size(), "rank": by_method["rank"].mean().astype(float)}
    )
    summary["unranked"] = summary["rank"].isna()
    return list(
        summary.reset_index().sort_values(["unranked", "missing", "rank", "method"])["method"]
    )


def _rates(table: pd.DataFrame) -> list[float]:
    return sorted(set(table["noise_rate"]))


def rate_title(rate: float) -> str:
    """A noise rate for people; a negative one stands for labels of which nobody knows how many are
    wrong.
    """
    return "as found" if rate < 0 else f"{100 * rate:.3g} %"


def _figure(row: pd.Series | None, place: int = 0, mark: str = "") -> Entry:
    if row is None:
        return Entry(NONE)
    mark += LOST_SEEDS * bool(row["lost"])
    if pd.isna(row["mean"]):
        return Entry(NONE, mark=mark)
    interval = "" if pd.isna(row["ci95"]) else f" ± {100 * row['ci95']:.1f}"
    seeds = f" (n={row['seeds']})" if row["unequal_seeds"] or row["lost"] else ""
    return Entry(f"{100 * row['mean']:.1f}{interval}{seeds}", place, mark)


def places(values: pd.Series, metric: Metric) -> list[int]:
    """1 for the best of these fractions, 2 for the second, else 0. What prints alike is a tie: all
    of it best, or second.
    """
    printed = [None if pd.isna(value) else round(100 * value, 1) for value in values]
    order = sorted({value for value in printed if value is not None}, reverse=metric.more_is_better)
    return [1 + order.index(value) if value in order[:2] else 0 for value in printed]


def mark(row: Mapping[str, Any]) -> str:
    """Whether the method is better or worse than the reference, as the tables show it."""
    if pd.isna(row["significantly_better"]):
        return ""
    return BETTER if row["significantly_better"] else WORSE if row["significantly_worse"] else ""


def _by_rate(table: pd.DataFrame) -> dict[tuple[str, str, float], pd.Series]:
    return {(row["rule"], row["method"], row["noise_rate"]): row for _, row in table.iterrows()}


def disagreement(rates: Sequence[float]) -> str:
    """What it means that noisy validation and test accuracy disagree at these noise rates."""
    places = ", ".join(map(rate_title, rates))
    return f"At {places} noisy validation and test accuracy disagree: what is selected there is partly chance."


def _main_table(
    ranked: pd.DataFrame, order: Sequence[str], metric: Metric, flagged: Collection[str]
) -> Table:
    rates, found = _rates(ranked), _by_rate(ranked)
    place = pd.Series(0, ranked.index)
    for _, cell in ranked[ranked["competes"]].groupby("noise_rate"):
        place[cell.index] = places(cell["mean"], metric)
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
            entries.append(Entry(NONE) if row is None else _figure(row, place[row.name], mark(row)))
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
    rates, found, rules = _rates(group), _by_rate(group), rules_of(group)

    def entry(method: str, rule: str, rate: float) -> Entry:
        row = found.get((rule, method, rate))
        # What the oracle finds is no evidence, so it gets no mark.
        return _figure(row, mark="" if row is None or rule == ORACLE else mark(row))

    lines = [
        [Entry(method), Entry(rule_label(rule)), *(entry(method, rule, rate) for rate in rates)]
        for method in order
        for rule in rules
    ]
    clean = "".join(
        f"{rule} ({_right_labels(rule)}: a privilege), "
        for rule in rules
        if rule.startswith(CLEAN_VAL)
    )
    return Table(OTHER_RULES.format(clean), ["Method", "Rule", *map(rate_title, rates)], lines)


def rule_label(rule: str) -> str:
    """A rule for people, with what is to be said against ranking by it."""
    doubt = (
        "not for ranking" if rule == ORACLE else "privileged" if rule.startswith(CLEAN_VAL) else ""
    )
    return f"{rule} ({doubt})" if doubt else rule


def _right_labels(rule: str) -> str:
    images = rule.partition(":")[2]
    return f"accuracy on the right labels of {'the' if images == ALL else images} validation images"


def clean_note(rules: Sequence[str]) -> str:
    """What the rule that knows right labels of validation images reads, or why it is missing."""
    for rule in rules:
        if rule.startswith(CLEAN_VAL):
            return f"{rule} picks by {_right_labels(rule)}, which the other rules do without: a privilege."
    return f"{CLEAN_VAL} is missing: the records do not say the right labels of so many validation images."


def _gain_table(group: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, found = _rates(group), _by_rate(group)
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
    rates, found = _rates(ranked), _by_rate(ranked)
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


def to_csv(table: pd.DataFrame, columns: Sequence[str]) -> bytes:
    """The table as CSV; equal records give equal bytes. A noise rate that nobody knows is missing.

    Text is as it is, and in quotes where it has to be: a program reads it back. No column of text
    begins with what somebody else wrote, which a spreadsheet might take for a formula (``=``,
    ``+``, ``-``, ``@``): names of methods and rules are Python's, and those of files stand behind
    ``folder:`` or ``labels:``.
    """
    if "name" in table:  # of a method whose rows are of several tracks
        table = table.assign(method=table["name"])
    table = table[list(columns)]
    if "noise_rate" in columns:
        table = table.assign(noise_rate=table["noise_rate"].where(table["noise_rate"] >= 0))
    return table.to_csv(index=False, float_format="%.8g", lineterminator="\n").encode()


def to_markdown(
    found: Sequence[Section],
    figures: Sequence[tuple[str, str]],
    title: str = "Leaderboard",
    about_figures: str = "",
) -> str:
    """A page of its own.

    Args:
        figures: (path relative to the page, caption) of each figure.
        about_figures: what a reader has to know of all of them.
    """
    lines = [f"# {_escaped(title)}", ""]
    for section in found:
        lines += [
            f"## {_escaped(section.title)}",
            "",
            *([_escaped(section.setup), ""] if section.setup else []),
        ]
        for table in section.tables:
            lines += [f"**{_escaped(table.caption)}**", "", *_markdown_table(table), ""]
        lines += [f"- {_escaped(note)}" for note in section.notes]
        lines.append("")
    if figures:
        lines += ["## Figures", "", *([_escaped(about_figures), ""] if about_figures else [])]
    for path, caption in figures:
        lines += [f"![{_escaped(caption)}]({path})", "", _escaped(caption), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(table: Table) -> list[str]:
    head = ["---:" if _narrow(table, number) else "---" for number in range(len(table.columns))]
    body = [[_markdown_entry(entry) for entry in row] for row in table.rows]
    return [
        f"| {' | '.join(cells)} |"
        for cells in [[_escaped(name) for name in table.columns], head, *body]
    ]


def _markdown_entry(entry: Entry) -> str:
    text = _escaped(entry.text)
    return {0: text, 1: f"**{text}**", 2: f"<u>{text}</u>"}[entry.place] + _escaped(entry.mark)


def _escaped(text: str) -> str:
    text = printable(text)
    for character in "\\`*_|[]$~":
        text = text.replace(character, f"\\{character}")
    # what would be HTML
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"&(?=#?\w+;)", "&amp;", text))


def unescaped(text: str) -> str:
    """The text that ``to_markdown`` has escaped."""
    plain = re.sub(r"\\([\\`*_|\[\]])", r"\1", text)
    return re.sub(r"&amp;(?=#?\w+;)", "&", re.sub(r"&lt;(?=[A-Za-z/!?])", "<", plain))


def _narrow(table: Table, number: int) -> bool:
    """Whether the column holds figures, which are set to the right."""
    texts = {row[number].text for row in table.rows} - {NONE}
    return bool(texts) and all(map(_FIGURE.fullmatch, texts))


_FIGURE = re.compile(r"(\d+: )?(best|[-+−]?\d[\d./]*( ± [\d.]+)?( \(n=\d+\))?)")
