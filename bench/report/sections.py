"""Tables of a leaderboard: a section for each group of comparable cells."""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from bench.noise import takes_rate
from bench.planning.registry import REFERENCE
from bench.planning.selection import CLEAN_VAL, DEFAULT_RULE, LABEL_WAVE, ORACLE
from bench.report.agreement import rules_of
from bench.report.board import Board
from bench.report.columns import COST
from bench.report.leaderboard import methods_in_order, places
from bench.report.metrics import METRICS, RANKED
from bench.report.notes import mixed_code, notes_of
from bench.report.tables import Entry, Section, Table, entries, mean_entry, rows_by
from bench.report.wording import (
    DOUBTFUL,
    LABEL_WAVE_EPOCH,
    LOST_SEEDS,
    MIXED,
    NONE,
    clean_labels_of,
    decimal,
    group_title,
    percent,
    rate_title,
    rates_of,
    rule_label,
    setup_of_network,
    span,
)


def sections(board: Board) -> list[Section]:
    """Return a section for each group of the leaderboard, in its order."""
    groups = [group for _, group in board.ranked.groupby("group", sort=False)]
    heads = [(group_title(group, brief=True), _setup(group)) for group in groups]
    result = []
    for group, head in zip(groups, heads, strict=True):
        title, setup = head
        if heads.count(head) > 1:  # the groups differ in what the line leaves out
            setup += f", {group.iloc[0]['recipe']}"
        searches = board.searches
        if len(searches):
            searches = searches[searches["group"] == group.iloc[0]["group"]]
        tables = _tables(board, group, searches)
        result.append(Section(title, setup, tables, notes_of(board, group, searches)))
    return result


def _setup(group: pd.DataFrame) -> str:
    first, epochs = group.iloc[0], set(group["epochs"])
    length = f"{span(epochs)} epoch{'s' * (max(epochs) > 1)}"
    if first["imported"]:
        backbones, share = " or ".join(sorted(set(group["backbone"]))), first["validation_share"]
        held_out = "an unknown share" if pd.isna(share) else f"{100 * share:g} %"
        return f"{first['imported']}: {backbones}, {length}, {held_out} noisy validation"
    # A float beside imported trials, which have none.
    threads = f"{first['threads']:g} thread{'s' if first['threads'] > 1 else ''}"
    parts = [
        setup_of_network(first, set(group["backbone"])),
        length,
        f"{first['device']} ({first['precision']}, {threads})",
        f"{first['noise_sampling']} noise" if takes_rate(first["noise_kind"]) else "",
        f"{100 * first['validation_share']:g} % noisy validation",
        "" if pd.isna(first["subset"]) else f"subset of {first['subset']:g}",
        "" if pd.isna(first["image_size"]) else f"images of {first['image_size']:g} pixels",
        f"data {first['data_hash']}",
        "" if pd.isna(first["noise_hash"]) else f"noise file {first['noise_hash']}",
        first["further"],
    ]
    return ", ".join(filter(None, parts))


def _tables(board: Board, group: pd.DataFrame, searches: pd.DataFrame) -> list[Table]:
    ranked = group[group["rule"] == DEFAULT_RULE]
    order = methods_in_order(ranked)
    competing = methods_in_order(ranked[ranked["competes"]])
    tables = [main_table(board, ranked), _rules_table(group, competing)]
    if len((metrics := _metrics_table(ranked, competing)).columns) > 2:
        tables.append(metrics)
    # Gains over the reference alone are what the marks of the first table say.
    if not set(group.loc[group["gain"].notna(), "wraps"]) <= {REFERENCE}:
        tables.append(_gain_table(group, order))
    if (group["configurations"] > 1).any() or group["config"].any():
        tables.append(_configuration_table(ranked, order))
    return [*tables, _search_table(searches)] if len(searches) else tables


def main_table(board: Board, ranked: pd.DataFrame) -> Table:
    """Return the table of a group's methods under the default rule.

    Args:
        ranked: those rows of ``board.ranked``.
    """
    rates, rows = rates_of(ranked), rows_by(ranked, "method", "noise_rate")
    doubtful = board.doubtful_rates(ranked)
    heads = [rate_title(rate) + f" {DOUBTFUL}" * (rate in doubtful) for rate in rates]
    cost, unit = (COST, f"×{REFERENCE}") if ranked[COST].notna().any() else ("cost_seconds", "s")
    columns = ["Method", *heads, "Average rank", f"Cost ({unit})", "Privileges"]
    failures = bool(ranked["failures"].sum())
    lines = []
    for method in methods_in_order(ranked):
        cells = ranked[ranked["method"] == method]
        line = [Entry(method, mark=MIXED * bool(mixed_code(cells)))]
        line += [mean_entry(rows.get((method, rate)), placed=True) for rate in rates]
        line += entries(decimal(cells["rank"].mean()), decimal(cells[cost].mean()))
        line += entries(cells["privileges"].max().replace(",", ", ") or NONE)
        line += entries(f"{cells['failures'].sum()}/{cells['seeds'].sum()}") if failures else []
        lines.append(line)
    caption = f"{board.metric.label}, epoch and configuration selected by noisy validation accuracy"
    return Table(caption, columns + ["Failures"] * failures, lines)


def _metrics_table(ranked: pd.DataFrame, order: Sequence[str]) -> Table:
    """Return all metrics to rank by, as means over noise rates.

    A method that lacks a noise rate at which others have the metric has no mean.
    """
    columns, heads = [], ["Method"]
    for name in RANKED:
        by_method = ranked.pivot(index="method", columns="noise_rate", values=name)
        by_method = by_method.dropna(axis=1, how="all")
        if by_method.size:
            means = by_method.mean(axis=1, skipna=False).reindex(order)
            heads.append(METRICS[name].label)
            columns.append(map(Entry, map(percent, means), places(means, METRICS[name])))
    lines = [[Entry(method), *line] for method, *line in zip(order, *columns, strict=True)]
    over = ": means over noise rates" if ranked["noise_rate"].nunique() > 1 else ""
    return Table(f"Beside accuracy, at the same epochs{over}", heads, lines)


def _rules_table(group: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, rules = rates_of(group), rules_of(group)
    rows = rows_by(group, "method", "rule", "noise_rate")
    lines = [
        entries(method, rule_label(rule))
        + [mean_entry(rows.get((method, rule, at))) for at in rates]
        for method, rule in product(order, rules)
    ]
    wave = f"{LABEL_WAVE} ({LABEL_WAVE_EPOCH}), " if LABEL_WAVE in rules else ""
    clean = "".join(
        f"{rule} ({clean_labels_of(rule)}: a privilege), "
        for rule in rules
        if rule.startswith(CLEAN_VAL)
    )
    caption = (
        "The same by other rules, each with its own epoch and configuration: last (mean of the "
        f"final tenth of the epochs), {wave}{clean}oracle (test accuracy: not for ranking)"
    )
    return Table(caption, ["Method", "Rule", *map(rate_title, rates)], lines)


def _gain_table(group: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, rules = rates_of(group), [rule for rule in rules_of(group) if rule != ORACLE]
    known = rows_by(group[group["gain"].notna()], "method", "rule", "noise_rate")
    lines = []
    for method, rule in product(order, rules):
        rows = [known.get((method, rule, rate)) for rate in rates]
        if any(row is not None for row in rows):
            lines.append(entries(method, rule_label(rule), *map(_gain, rows)))
    caption = (
        "What wrapping adds: points of test accuracy over the method that is wrapped, with the "
        "95 % interval"
    )
    return Table(caption, ["Method", "Rule", *map(rate_title, rates)], lines)


def _gain(row: pd.Series | None) -> str:
    if row is None:
        return NONE
    mean, low, high = (
        f"{100 * row[name]:+.1f}" for name in ("gain", "gain_ci_low", "gain_ci_high")
    )
    return mean if pd.isna(row["gain_ci_low"]) else f"{mean} ({low} to {high})"


def _configuration_table(ranked: pd.DataFrame, order: Sequence[str]) -> Table:
    rates, rows = rates_of(ranked), rows_by(ranked, "method", "noise_rate")
    lines = []
    for method in order:
        cells = ranked[ranked["method"] == method]
        tried = cells["configurations"].max()
        if tried > 1 or cells["config"].any():
            chosen = [rows.get((method, rate)) for rate in rates]
            texts = [NONE if row is None else row["config"] or "defaults" for row in chosen]
            lines.append(entries(method, *texts, tried))
    caption = "Configurations chosen by noisy validation accuracy; all of them are in configs.csv"
    return Table(caption, ["Method", *map(rate_title, rates), "Tried"], lines)


def _search_table(searches: pd.DataFrame) -> Table:
    """Return the table of searches, which ran on other seeds than the leaderboard's."""
    columns = ["Search", "Noise", "Maximised", "First %", "Best %", "Picked", "Tried"]
    lines = []
    for _, row in searches.iterrows():
        line = entries(row["method"], rate_title(row["noise_rate"]), row["goal"])
        line += entries(percent(row["first"]), percent(row["best"]), row["picked"] or "defaults")
        line.append(Entry(f"{row['configurations']:g}", mark=LOST_SEEDS * bool(row["lost"])))
        line += entries(f"{row['stopped']:g}", f"{row['failed']:g}", f"{row['seconds']:.3g}")
        lines.append(line)
    caption = (
        "Searches, on seeds of their own, which no figure above contains: what the first "
        "configuration and the best reached"
    )
    return Table(caption, [*columns, "Stopped early", "Failed", "Seconds"], lines)
