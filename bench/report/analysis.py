"""What a leaderboard rests on, for people: selection rules, statistics, cost, and other people's
numbers beside ours.
"""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.planning.registry import REFERENCE
from bench.planning.selection import DEFAULT_RULE
from bench.records.code import EARLIER
from bench.report.board import Board
from bench.report.columns import BUDGETS
from bench.report.leaderboard import methods_in_order
from bench.report.learning import ENDS, WHEN
from bench.report.notes import mixed_code
from bench.report.statistics import (
    AGREEMENT,
    CONFIDENCE,
    MOST_SEEDS,
    POWER,
    SLACK,
    AverageRanks,
    pairs_of_rules,
    pareto_front,
    rankable,
    rules_of,
    within_budget,
)
from bench.report.tables import Entry, Section, Table
from bench.report.wording import *


def analysis_sections(found: Board) -> list[Section]:
    """One section for each group of the leaderboard, then those about all of it."""
    sections = []
    board = found.leaderboard[found.leaderboard["competes"]]
    for name, group in board.groupby("group", sort=False):
        ranked = group[group["rule"] == DEFAULT_RULE]
        order = methods_in_order(ranked)
        own_regrets, own_agreement, own_statistics = (
            table[table["group"] == name]
            for table in (found.regrets, found.agreement, found.statistics)
        )
        tables = [
            _regret_table(own_regrets, order),
            _agreement_table(own_agreement, rules_of(group)),
        ]
        tables += [_distance_table(own_statistics, order)]
        neighbours = _neighbour_table(own_statistics)
        tables += [neighbours] if neighbours.rows else []
        tables += (
            [_budget_table(ranked), _front_table(ranked)]
            if ranked["cost_seconds"].notna().any()
            else []
        )
        own_variance = found.variance[found.variance["group"] == name]
        tables += [_variance_table(own_variance)] if len(own_variance) else []
        own_learning = found.learning[found.learning["group"] == name]
        tables += [learning_table(own_learning)] if len(own_learning) else []
        notes = _rule_notes(own_agreement, rules_of(group))
        notes += [
            *_statistics_notes(ranked, own_variance.empty),
            *_cost_notes(ranked),
            *_code_notes(ranked),
        ]
        sections.append(Section(group_title(group), _HOW_MUCH, tables, notes))
    sections.append(_rank_section(found.ranks) if found.ranks else _no_ranks(board))
    published = published_section(found.published)
    return [*sections, *([published] if published else [])]


_HOW_MUCH = "How much of the ranking is the selection rule, which differences the seeds can carry, and what accuracy costs."


def _rates(table: pd.DataFrame) -> list[float]:
    return sorted(set(table["noise_rate"]))


def _regret_table(table: pd.DataFrame, order: Sequence[str]) -> Table:
    rates = _rates(table)
    found = {
        (row["method"], row["rule"], row["noise_rate"]): row["regret"]
        for _, row in table.iterrows()
    }
    places = [(rate, rule) for rate in rates for rule in rankable(table)]
    lines = [
        [
            Entry(method),
            *(Entry(_points(found.get((method, rule, rate), np.nan))) for rate, rule in places),
        ]
        for method in order
    ]
    columns = ["Method", *(f"{rate_title(rate)}, {rule}" for rate, rule in places)]
    return Table(
        "Regret: points of test accuracy lost to the oracle by following each rule", columns, lines
    )


def _agreement_table(table: pd.DataFrame, rules: Sequence[str]) -> Table:
    columns = ["Noise rate", *(f"τ {one}, {other}" for one, other in pairs_of_rules(rules))]
    columns += [
        *(f"First by {rule}" for rule in rules),
        "Over epochs",
        "Over configurations",
        "Flag",
    ]
    lines = []
    for _, row in table.iterrows():
        entries = [Entry(rate_title(row["noise_rate"]))]
        entries += [
            Entry(_figure(row[f"tau_{one}_{other}"])) for one, other in pairs_of_rules(rules)
        ]
        entries += [Entry(row[f"best_{rule}"] or NONE) for rule in rules]
        entries += [Entry(_figure(row[name])) for name in ("over_epochs", "over_configurations")]
        entries.append(Entry("disagree" if row["flagged"] else ""))
        lines.append(entries)
    return Table(
        "How alike the rules rank (Kendall's τ), and whether noisy validation follows test "
        "accuracy",
        columns,
        lines,
    )


def _rule_notes(table: pd.DataFrame, rules: Sequence[str]) -> list[str]:
    notes = [
        "The oracle picks by test accuracy: it is a yardstick here, and ranks nobody. "
        f"{clean_note(rules)}"
    ]
    notes.append(
        "Over epochs: Spearman's correlation of noisy validation with test accuracy, median over "
        "trials; over configurations: of score and accuracy, over all configurations of all "
        f"methods. A cell with one below {AGREEMENT:g} is flagged."
    )
    doubtful = sorted(table.loc[table["flagged"].astype(bool), "noise_rate"])
    return notes + [disagreement(doubtful)] * bool(doubtful)


def _distance_table(table: pd.DataFrame, order: Sequence[str]) -> Table:
    table = table[table["rule"] == DEFAULT_RULE]
    rates = _rates(table)
    found = {(row["method"], row["noise_rate"]): row for _, row in table.iterrows()}
    several = {rate: table.loc[table["noise_rate"] == rate, "tier"].max() > 1 for rate in rates}
    lines = [
        [Entry(method), *(_distance(found.get((method, rate)), several[rate]) for rate in rates)]
        for method in order
    ]
    caption = "Tier, where there are several, and paired distance to the best in points, by noisy validation accuracy"
    return Table(caption, ["Method", *map(rate_title, rates)], lines)


def _distance(row: pd.Series | None, several: bool) -> Entry:
    if row is None or pd.isna(row["mean"]):
        return Entry(NONE)
    tier = f"{row['tier']:g}: " if several and pd.notna(row["tier"]) else ""
    if row["method"] == row["best"]:
        return Entry(f"{tier}best", 1)
    if pd.isna(row["diff_to_best"]):
        return Entry(NONE)
    interval = (
        "" if pd.isna(row["diff_low"]) else f" ± {50 * (row['diff_high'] - row['diff_low']):.1f}"
    )
    below = BETTER if row["p_holm"] < 1 - CONFIDENCE else ""
    return Entry(f"{tier}{_signed(row['diff_to_best'])}{interval}", mark=below)


def _neighbour_table(table: pd.DataFrame) -> Table:
    table = table[(table["rule"] == DEFAULT_RULE) & table["seeds_to_separate"].notna()]
    lines = []
    for rate in _rates(table):
        at_rate = table[table["noise_rate"] == rate]
        first = at_rate.iloc[0]
        needed = at_rate["seeds_to_separate"]
        lines.append(
            [
                Entry(rate_title(rate)),
                Entry(f"{first['method']}, {first['next']}"),
                Entry(_points(first["diff_to_next"])),
                Entry(_seeds(needed.iloc[0])),
                Entry(_seeds(float(needed.median()))),
            ]
        )
    columns = [
        "Noise rate",
        "First two that differ",
        "Points apart",
        "Seeds to separate them",
        "Median of all neighbours",
    ]
    return Table(
        "How many seeds it would take to separate neighbours in the ranking", columns, lines
    )


def _seeds(count: float) -> str:
    return f"above {MOST_SEEDS}" if np.isinf(count) else f"{np.ceil(count):g}"


def _statistics_notes(ranked: pd.DataFrame, together: bool) -> list[str]:
    if ranked["seeds"].max() < 2:
        return ["One seed: nothing can be said of differences."]
    notes = [
        f"{BETTER} below the best: the paired t test over common seeds, with Holm's correction for "
        f"the methods compared, has p < {1 - CONFIDENCE:.2g}. ± is the uncorrected 95 % interval.",
        "A tier goes from its best method down to the last one that the corrected test cannot tell "
        "from it. Without one are methods that no test compares with it: they share fewer than two "
        "seeds, or differ by the same at each.",
        f"Seeds to separate: pairs that a t test needs for a chance of {100 * POWER:g} %, at the "
        "mean and spread found here; from few seeds that is a rough guess.",
    ]
    if together:
        notes.append(
            "Noise, split and training seed changed together: their shares of the variance cannot "
            "be told. A sweep with --noise-seed holds the noise draw, one with --split-seed the "
            "split, and one with both lets training alone vary."
        )
    return notes


def _budget_table(ranked: pd.DataFrame) -> Table:
    cost = f"cost_vs_{REFERENCE}"
    rates = _rates(ranked)
    lines = []
    for budget in BUDGETS:
        entries = [Entry(f"{budget} × {REFERENCE}")]
        for rate in rates:
            within = ranked[
                (ranked["noise_rate"] == rate)
                & within_budget(ranked[cost], budget)
                & ranked["mean"].notna()
            ]
            best = within[within["mean"] == within["mean"].max()]
            entries.append(
                Entry(
                    f"{', '.join(best['method'])} {100 * best['mean'].iloc[0]:.1f}"
                    if len(best)
                    else NONE
                )
            )
        lines.append(entries)
    return Table("The most accurate within a budget", ["Budget", *map(rate_title, rates)], lines)


def _front_table(ranked: pd.DataFrame) -> Table:
    relative = ranked[f"cost_vs_{REFERENCE}"].notna().any()
    cost, unit = (f"cost_vs_{REFERENCE}", "×") if relative else ("cost_seconds", " s")
    lines = []
    for rate in _rates(ranked):
        own = ranked[ranked["noise_rate"] == rate].sort_values(["cost_seconds", "method"])
        on = own[pareto_front(own["cost_seconds"].to_numpy(), own["mean"].to_numpy())]
        steps = (
            f"{row['method']} {100 * row['mean']:.1f} ({row[cost]:.1f}{unit})"
            for _, row in on.iterrows()
        )
        lines.append([Entry(rate_title(rate)), Entry(" → ".join(steps) or NONE)])
    return Table(
        "Pareto front: nothing cheaper is as accurate",
        ["Noise rate", "From the cheapest to the most accurate"],
        lines,
    )


def _cost_notes(ranked: pd.DataFrame) -> list[str]:
    if ranked[f"cost_vs_{REFERENCE}"].isna().all():
        return [f"No records of {REFERENCE}, whose cost is the unit of budgets."]
    return [
        f"Budgets: mean cost of a trial, pretraining included, up to {SLACK:g} times what is named."
    ]


def _code_notes(ranked: pd.DataFrame) -> list[str]:
    """Say which rows of a table different code has made, part by part."""
    notes = []
    for part in mixed_code(ranked):
        if part == EARLIER:
            methods = sorted(
                {
                    method
                    for method, codes in zip(ranked["method"], ranked["codes"], strict=True)
                    if "" in codes
                }
            )
            made = f"Trials of {', '.join(methods)} were made by {EARLIER}, which kept no hash of its code"
            notes.append(f"{made}: differences may be its doing.")
            continue
        by_version: dict[str, list[str]] = {}
        for method, own in ranked.groupby("method", sort=True):
            for version in {
                json.loads(code).get(part) for codes in own["codes"] for code in codes if code
            } - {None}:
                by_version.setdefault(version, []).append(method)
        versions = "; ".join(
            f"{version}: {', '.join(methods)}" for version, methods in sorted(by_version.items())
        )
        notes.append(
            f"The code of {part} was not the same for all rows ({versions}): differences may be "
            "its doing."
        )
    return notes


def _variance_table(table: pd.DataFrame) -> Table:
    lines = [
        [
            *(
                Entry(str(text))
                for text in (
                    row["method"],
                    row["config"] or "defaults",
                    rate_title(row["noise_rate"]),
                )
            ),
            *(
                Entry(str(text))
                for text in (row["draw"], _points(row["sd"]), row["groups"], row["trials"])
            ),
        ]
        for _, row in table.iterrows()
    ]
    columns = [
        "Method",
        "Configuration",
        "Noise rate",
        "Draw",
        "Standard deviation",
        "Groups",
        "Trials",
    ]
    return Table(
        "Where the spread comes from: points over what was drawn anew, with the rest held",
        columns,
        lines,
    )


def _rank_section(ranks: AverageRanks) -> Section:
    methods = list(ranks.ranks.index)
    lines = [[Entry(method), Entry(f"{value:.2f}")] for method, value in ranks.ranks.items()]
    notes = [
        f"Ranks by noisy validation accuracy, averaged over {ranks.cells} cells. Critical "
        f"difference (Nemenyi, 5 %): {ranks.critical_difference:.2f}. Friedman's test that all are "
        f"equal: p = {ranks.p_value:.2g}.",
        "Methods within one critical difference cannot be told apart: "
        + ("; ".join(f"{methods[a]} to {methods[b]}" for a, b in ranks.cliques()) or "none")
        + ".",
    ]
    if ranks.left_out:
        notes.append(f"Left out, as they lack a cell: {', '.join(ranks.left_out)}.")
    return Section(
        "Average ranks over all cells",
        "",
        [Table("Average rank", ["Method", "Average rank"], lines)],
        notes,
    )


def _no_ranks(board: pd.DataFrame) -> Section:
    """Why there are no average ranks."""
    in_cells = board.groupby("method")["cell"].nunique()
    everywhere, cells = int((in_cells == board["cell"].nunique()).sum()), board["cell"].nunique()
    note = (
        f"None: they take three methods that are in every cell, and two cells. Here {everywhere} "
        f"of {len(in_cells)} methods are in every cell, of which there "
        f"{'is' if cells == 1 else 'are'} {cells}."
    )
    return Section("Average ranks over all cells", "", [], [note])


def published_section(table: pd.DataFrame) -> Section | None:
    """Our numbers beside published ones; None where nothing is published."""
    if table.empty:
        return None
    compared = table[table["ours"].notna()]
    lines = [
        [
            *(Entry(text) for text in (row["dataset"], _noise_of(row), row["method"], row["rule"])),
            *(
                Entry(text)
                for text in (
                    f"{row['accuracy']:.2f}",
                    f"{row['ours']:.2f}",
                    _signed(row["difference"] / 100),
                )
            ),
            *(Entry(text) for text in (row["differences"] or NONE, row["source"])),
        ]
        for _, row in compared.iterrows()
    ]
    columns = [
        "Data set",
        "Noise",
        "Method",
        "Rule",
        "Published",
        "Ours",
        "Difference",
        "Known differences",
        "Source",
    ]
    tables = (
        [Table("Published accuracy (%) beside ours by the same rule", columns, lines)]
        if lines
        else []
    )
    notes = [
        f"{len(compared)} comparisons; all {len(table)} lines are in published.csv. Those that "
        "cannot be compared, and why:"
    ]
    reasons = table[table["not_comparable"].notna()].groupby("not_comparable", sort=True)
    for reason, own in reasons:
        notes.append(f"{len(own)}: {reason}.")
    return Section("Against what was published", "", tables, notes)


def _noise_of(row: pd.Series) -> str:
    return row["noise"] if pd.isna(row["rate"]) else f"{rate_title(row['rate'])} {row['noise']}"


def _points(value: float) -> str:
    return NONE if pd.isna(value) else f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return NONE if pd.isna(value) else f"{100 * value:+.1f}".replace("-", "−")


def _figure(value: float) -> str:
    return NONE if pd.isna(value) else f"{value:.2f}".replace("-", "−")


def learning_table(table: pd.DataFrame) -> Table:
    """For people, of one group of cells."""
    lines = []
    for rate in sorted(set(table["noise_rate"])):
        for _, row in table[table["noise_rate"] == rate].iterrows():
            right = [row[f"targets_right_{when}"] for when in WHEN]
            cells = [rate_title(rate), row["method"]]
            cells.append(
                " → ".join(f"{100 * value:.1f}" for value in right)
                if np.isfinite(right).all()
                else NONE
            )
            cells.append(_gain_interval(row, "targets", 100, 1))
            for name, scale, digits in (("silhouette", 1, 3), ("knn", 100, 1)):
                cells += [
                    NONE if pd.isna(row[name]) else f"{scale * row[name]:.{digits}f}",
                    _gain_interval(row, name, scale, digits),
                ]
            lines.append([Entry(text) for text in cells])
    columns = [
        "Noise rate",
        "Method",
        "Targets right (%): first epoch, half way, end",
        "Gain over the labels as given",
    ]
    columns += [
        "Silhouette",
        f"Difference to {REFERENCE}",
        "Neighbours' vote (%)",
        f"Difference to {REFERENCE}",
    ]
    return Table(
        "Labels corrected, and features separated, of the final networks (rule last)",
        columns,
        lines,
    )


def _gain_interval(row: pd.Series, name: str, scale: int, digits: int) -> str:
    mean, low, high = (scale * row[f"{name}_gain{end}"] for end in ENDS)
    if pd.isna(mean):
        return NONE
    text = f"{mean:+.{digits}f}"
    return (text if pd.isna(low) else f"{text} ± {(high - low) / 2:.{digits}f}").replace("-", "−")
