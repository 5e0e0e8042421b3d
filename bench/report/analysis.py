"""Sections of the analysis: selection rules, statistics, cost, and published numbers."""

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from bench.planning.registry import REFERENCE
from bench.planning.selection import DEFAULT_RULE
from bench.records.code import EARLIER
from bench.report.agreement import AGREEMENT, pairs_of_rules, rankable, rules_of
from bench.report.all_cells import all_cells_table, cells_agreement_table
from bench.report.board import Board
from bench.report.columns import BUDGETS, CELL, COST
from bench.report.leaderboard import methods_in_order
from bench.report.learning import learning_table
from bench.report.notes import mixed_code
from bench.report.published import published_section
from bench.report.searches.tables import search_sections
from bench.report.statistics import (
    CONFIDENCE,
    MOST_SEEDS,
    POWER,
    SLACK,
    AverageRanks,
    is_below,
    pareto_front,
    within_budget,
)
from bench.report.tables import Entry, Section, Table, entries, rows_by
from bench.report.wording import (
    BETTER,
    NONE,
    clean_note,
    decimal,
    disagreement,
    group_title,
    half_interval,
    percent,
    rate_title,
    rates_of,
    signed,
)

_SETUP = (
    "How much of the ranking is the selection rule, which differences the seeds can carry, and "
    "what accuracy costs."
)
_RANKS_TITLE = "Average ranks over all cells"
_CELLS_NOTE = (
    "Agreement of the cells: 1 is the same order, 0 no relation, −1 the reverse; with several "
    "seeds the mean over pairs of different ones. The diagonal is between seeds of one cell: two "
    "cells that agree as much as each does with itself rank the methods alike."
)


def analysis_sections(board: Board) -> list[Section]:
    """Return a section for each group of the leaderboard, then those on all of it."""
    competing = board.leaderboard[board.leaderboard["competes"]]
    sections = [_section(board, group) for _, group in competing.groupby("group", sort=False)]
    if board.ranks:
        mixed = competing["imported"].eq("").nunique() > 1
        chosen = board.chosen[board.chosen["competes"]]
        sections.append(_rank_section(competing, chosen, board.ranks, mixed=mixed))
    else:
        sections.append(_no_ranks(competing))
    sections += search_sections(board)
    published = published_section(board.published)
    return [*sections, published] if published else sections


def _section(board: Board, group: pd.DataFrame) -> Section:
    """Return the section of a group, whose competing rows of the leaderboard are given."""
    name, rules = group.iloc[0]["group"], rules_of(group)
    regrets, agreement, statistics, variance, learning = (
        table[table["group"] == name]
        for table in (
            board.regrets,
            board.agreement,
            board.statistics,
            board.variance,
            board.learning,
        )
    )
    ranked = group[group["rule"] == DEFAULT_RULE]
    tests = statistics[statistics["rule"] == DEFAULT_RULE]
    order = methods_in_order(ranked)
    tables = [_regret_table(regrets, order), _agreement_table(agreement, rules)]
    tables.append(_distance_table(tests, order))
    if tests["seeds_to_separate"].notna().any():
        tables.append(_neighbour_table(tests[tests["seeds_to_separate"].notna()]))
    if ranked["cost_seconds"].notna().any():
        tables += [_budget_table(ranked), _front_table(ranked)]
    if len(variance):
        tables.append(_variance_table(variance))
    if len(learning):
        tables.append(learning_table(learning))
    notes = [
        *_rule_notes(agreement, rules),
        *_statistics_notes(ranked, together=variance.empty),
        _cost_note(ranked),
        *_code_notes(ranked),
    ]
    return Section(group_title(group), _SETUP, tables, notes)


def _regret_table(regrets: pd.DataFrame, order: Sequence[str]) -> Table:
    rows = rows_by(regrets, "method", "rule", "noise_rate")
    places = [(rule, rate) for rate in rates_of(regrets) for rule in rankable(regrets)]
    lines = []
    for method in order:
        cells = [rows.get((method, *place)) for place in places]
        texts = (NONE if row is None else percent(row["regret"]) for row in cells)
        lines.append(entries(method, *texts))
    columns = ["Method", *(f"{rate_title(rate)}, {rule}" for rule, rate in places)]
    caption = "Regret: points of test accuracy lost to the oracle by following each rule"
    return Table(caption, columns, lines)


def _agreement_table(agreement: pd.DataFrame, rules: Sequence[str]) -> Table:
    pairs = pairs_of_rules(rules)
    columns = ["Noise rate", *(f"τ {first}, {second}" for first, second in pairs)]
    columns += [f"First by {rule}" for rule in rules]
    columns += ["Over epochs", "Over configurations", "Flag"]
    lines = []
    for _, row in agreement.iterrows():
        line = entries(rate_title(row["noise_rate"]))
        line += entries(*(decimal(row[f"tau_{first}_{second}"], 2) for first, second in pairs))
        line += entries(*(row[f"best_{rule}"] or NONE for rule in rules))
        line += entries(decimal(row["over_epochs"], 2), decimal(row["over_configurations"], 2))
        lines.append(line + entries("disagree" if row["flagged"] else ""))
    caption = (
        "How alike the rules rank (Kendall's τ), and whether noisy validation follows test accuracy"
    )
    return Table(caption, columns, lines)


def _rule_notes(agreement: pd.DataFrame, rules: Sequence[str]) -> Iterable[str]:
    yield (
        "The oracle picks by test accuracy: it is a yardstick here, and ranks nobody. "
        f"{clean_note(rules)}"
    )
    yield (
        "Over epochs: Spearman's correlation of noisy validation with test accuracy, median over "
        "trials; over configurations: of score and accuracy, over all configurations of all "
        f"methods. A cell with one below {AGREEMENT:g} is flagged."
    )
    if doubtful := rates_of(agreement[agreement["flagged"].astype(bool)]):
        yield disagreement(doubtful)


def _distance_table(tests: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, rows = rates_of(tests), rows_by(tests, "method", "noise_rate")
    tiers = tests.groupby("noise_rate")["tier"].max()
    lines = []
    for method in order:
        cells = [_distance(rows.get((method, rate)), tiers[rate] > 1) for rate in rates]
        lines.append([Entry(method), *cells])
    caption = (
        "Tier, where there are several, and paired distance to the best in points, by noisy "
        "validation accuracy"
    )
    return Table(caption, ["Method", *map(rate_title, rates)], lines)


def _distance(row: pd.Series | None, several_tiers: bool) -> Entry:
    if row is None or pd.isna(row["mean"]):
        return Entry(NONE)
    tier = f"{row['tier']:g}: " if several_tiers and pd.notna(row["tier"]) else ""
    if row["method"] == row["best"]:
        return Entry(f"{tier}best", 1)
    if pd.isna(row["diff_to_best"]):
        return Entry(NONE)
    text = f"{tier}{signed(row['diff_to_best'])}{half_interval(row['diff_low'], row['diff_high'])}"
    return Entry(text, mark=BETTER if is_below(row["diff_to_best"], row["p_holm"]) else "")


def _neighbour_table(tests: pd.DataFrame) -> Table:
    """Return the seeds that separate neighbours; ``tests`` are of methods that have them."""
    lines = []
    for rate, at_rate in tests.groupby("noise_rate"):
        first, seeds = at_rate.iloc[0], at_rate["seeds_to_separate"]
        line = entries(rate_title(rate), f"{first['method']}, {first['next']}")
        line += entries(percent(first["diff_to_next"]), _seeds(seeds.iloc[0]))
        lines.append(line + entries(_seeds(float(seeds.median()))))
    columns = ["Noise rate", "First two that differ", "Points apart", "Seeds to separate them"]
    columns.append("Median of all neighbours")
    caption = "How many seeds it would take to separate neighbours in the ranking"
    return Table(caption, columns, lines)


def _seeds(count: float) -> str:
    return f"above {MOST_SEEDS}" if np.isinf(count) else f"{np.ceil(count):g}"


def _statistics_notes(ranked: pd.DataFrame, together: bool) -> Iterable[str]:
    if ranked["seeds"].max() < 2:
        yield "One seed: nothing can be said of differences."
        return
    yield (
        f"{BETTER} below the best: the paired t test over common seeds, with Holm's correction for "
        f"the methods compared, has p < {1 - CONFIDENCE:.2g}. ± is the uncorrected 95 % interval."
    )
    yield (
        "A tier goes from its best method down to the last one that the corrected test cannot tell "
        "from it. Without one are methods that no test compares with it: they share fewer than two "
        "seeds, or differ by the same at each."
    )
    yield (
        f"Seeds to separate: pairs that a t test needs for a chance of {100 * POWER:g} %, at the "
        "mean and spread found here; from few seeds that is a rough guess."
    )
    if ranked["imported"].iloc[0]:
        yield "Which of noise, split and training a seed of the source changes is not known."
    elif together:
        yield (
            "Noise, split and training seed changed together: their shares of the variance cannot "
            "be told. A sweep with --noise-seed holds the noise draw, one with --split-seed the "
            "split, and one with both lets training alone vary."
        )


def _budget_table(ranked: pd.DataFrame) -> Table:
    rates, lines = rates_of(ranked), []
    for budget in BUDGETS:
        within = ranked[within_budget(ranked[COST], budget)]
        cells = (_most_accurate(within[within["noise_rate"] == rate]) for rate in rates)
        lines.append(entries(f"{budget} × {REFERENCE}", *cells))
    return Table("The most accurate within a budget", ["Budget", *map(rate_title, rates)], lines)


def _most_accurate(rows: pd.DataFrame) -> str:
    best = rows[rows["mean"] == rows["mean"].max()]
    return f"{', '.join(best['method'])} {percent(best['mean'].iloc[0])}" if len(best) else NONE


def _front_table(ranked: pd.DataFrame) -> Table:
    cost, unit = (COST, "×") if ranked[COST].notna().any() else ("cost_seconds", " s")
    lines = []
    for rate, at_rate in ranked.groupby("noise_rate"):
        by_cost = at_rate.sort_values(["cost_seconds", "method"])
        front = by_cost[
            pareto_front(by_cost["cost_seconds"].to_numpy(), by_cost["mean"].to_numpy())
        ]
        steps = (
            f"{row['method']} {percent(row['mean'])} ({row[cost]:.1f}{unit})"
            for _, row in front.iterrows()
        )
        lines.append(entries(rate_title(rate), " → ".join(steps) or NONE))
    columns = ["Noise rate", "From the cheapest to the most accurate"]
    return Table("Pareto front: nothing cheaper is as accurate", columns, lines)


def _cost_note(ranked: pd.DataFrame) -> str:
    if ranked["imported"].iloc[0] and ranked["cost_seconds"].isna().all():
        return "No budgets: the curves came without seconds."
    if ranked[COST].isna().all():
        return f"No records of {REFERENCE}, whose cost is the unit of budgets."
    return (
        f"Budgets: mean cost of a trial, pretraining included, up to {SLACK:g} times what is named."
    )


def _code_notes(ranked: pd.DataFrame) -> Iterable[str]:
    """Name the rows of a table that different code has made, part by part."""
    parts = mixed_code(ranked)
    by_method = ranked.groupby("method", sort=True)["codes"].agg(lambda codes: set().union(*codes))
    for part in parts:
        if part == EARLIER:
            methods = ", ".join(method for method, codes in by_method.items() if "" in codes)
            yield (
                f"Trials of {methods} were made by {EARLIER}, which kept no hash of its code: "
                "differences may be its doing."
            )
            continue
        by_version: dict[str, list[str]] = {}
        for method, codes in by_method.items():
            for version in {json.loads(code).get(part) for code in codes if code} - {None}:
                by_version.setdefault(version, []).append(method)
        versions = "; ".join(
            f"{version}: {', '.join(methods)}" for version, methods in sorted(by_version.items())
        )
        yield (
            f"The code of {part} was not the same for all rows ({versions}): differences may be "
            "its doing."
        )


def _variance_table(variance: pd.DataFrame) -> Table:
    lines = []
    for _, row in variance.iterrows():
        line = entries(row["method"], row["config"] or "defaults", rate_title(row["noise_rate"]))
        line += entries(row["draw"], percent(row["sd"]), row["groups"], row["trials"])
        lines.append(line)
    columns = ["Method", "Configuration", "Noise rate", "Draw", "Standard deviation", "Groups"]
    caption = "Where the spread comes from: points over what was drawn anew, with the rest held"
    return Table(caption, [*columns, "Trials"], lines)


def _rank_section(
    competing: pd.DataFrame, chosen: pd.DataFrame, ranks: AverageRanks, *, mixed: bool
) -> Section:
    """Return the section of average ranks.

    Args:
        competing: rows of the leaderboard.
        chosen: their trials.
        mixed: whether cells of imported trials are among others.
    """
    methods = list(ranks.ranks.index)
    cliques = "; ".join(f"{methods[first]} to {methods[last]}" for first, last in ranks.cliques())
    notes = [
        f"Ranks by noisy validation accuracy, averaged over {ranks.cells} cells. Critical "
        f"difference (Nemenyi, 5 %): {ranks.critical_difference:.2f}. Friedman's test that all are "
        f"equal: p = {ranks.p_value:.2g}.",
        f"Methods within one critical difference cannot be told apart: {cliques or 'none'}.",
    ]
    if competing.drop_duplicates("cell")[CELL].duplicated().any():
        notes.append(
            "Some cells have the same data set and noise under other settings: they are no "
            "independent blocks, and the test is surer than it should be."
        )
    if ranks.left_out:
        notes.append(f"Left out, as they lack a cell: {', '.join(ranks.left_out)}.")
    if mixed:
        notes.append(
            "Cells of imported trials are among them, in which a method of the same name has other "
            "code and settings."
        )
    tables = [all_cells_table(competing, ranks)]
    if agreement := cells_agreement_table(chosen, ranks):
        tables.append(agreement)
        notes.append(_CELLS_NOTE)
    return Section(_RANKS_TITLE, "", tables, notes)


def _no_ranks(competing: pd.DataFrame) -> Section:
    """Return a section that says why there are no average ranks."""
    in_cells, cells = competing.groupby("method")["cell"].nunique(), competing["cell"].nunique()
    note = (
        f"None: they take three methods that are in every cell, and two cells. Here "
        f"{(in_cells == cells).sum()} of {len(in_cells)} methods are in every cell, of which there "
        f"{'is' if cells == 1 else 'are'} {cells}."
    )
    return Section(_RANKS_TITLE, "", [], [note])
