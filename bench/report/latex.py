"""Leaderboards for papers: booktabs tables, best and ties bold, second underlined."""

import re
from collections.abc import Collection, Sequence

import pandas as pd

from bench.common.text import printable
from bench.planning.registry import REFERENCE
from bench.planning.selection import DEFAULT_RULE
from bench.report.board import Board
from bench.report.leaderboard import methods_in_order
from bench.report.metrics import Metric
from bench.report.sections import mixed_code, mixed_rows
from bench.report.wording import *

_HEAD = """% Made from records; it is made anew with them, so rather \\input it than edit it.
% Needs \\usepackage{booktabs}.
"""
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # which after \\ would be a distance
    "–": "--",
    "…": r"\ldots{}",
    "·": r"\textperiodcentered{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_MARKS = {"*": "$^{*}$", "†": r"$^{\dagger}$", "": ""}
_DOUBTFUL = r"$^{\ddagger}$"
_MIXED = r"\textsuperscript{\P}"
_LOST = r"$^{\S}$"


def to_latex(board: Board) -> str:
    """A table for each group of the leaderboard, under the default rule.

    Best and second are told by what is printed: means that print alike are ties, and all of them
    are bold, or underlined.

    Args:
        board: from ``leaderboard.leaderboard``, by this metric.
        flagged: cells where noisy validation and test accuracy disagree.
    """
    ranked = board.ranked[board.ranked["rule"] == DEFAULT_RULE]
    metric, flagged = board.metric, board.flagged
    labels: list[str] = []
    parts = [
        _table(group, labels, metric, flagged) for _, group in ranked.groupby("group", sort=False)
    ]
    return "\n".join([_HEAD, *parts])


def escaped(text: str) -> str:
    """Text as LaTeX prints it; letters stay as they are, and need a font that has them."""
    return "".join(_SPECIAL.get(character, character) for character in printable(text))


def _table(group: pd.DataFrame, labels: list[str], metric: Metric, flagged: Collection[str]) -> str:
    rates = sorted(set(group["noise_rate"]))
    doubtful = sorted(set(group.loc[group["cell"].isin(flagged), "noise_rate"]))
    privileged, failed = bool(group["privileges"].any()), bool(group["failures"].sum())
    cost = f"cost_vs_{REFERENCE}" if group[f"cost_vs_{REFERENCE}"].notna().any() else "cost_seconds"
    heads = [
        "Method",
        *map(rate_title, rates),
        "Avg. rank",
        f"Cost (×{REFERENCE})" if cost != "cost_seconds" else "Cost (s)",
    ]
    heads += ["Privileges"] * privileged + ["Failures"] * failed
    heads = [escaped(head) for head in heads]
    heads[1 : 1 + len(rates)] = [
        head + _DOUBTFUL * (rate in doubtful) for head, rate in zip(heads[1:], rates, strict=False)
    ]
    rows = {(row["method"], row["noise_rate"]): row for _, row in group.iterrows()}
    lines = []
    for method in methods_in_order(group):
        own = group[group["method"] == method]
        entries = [
            escaped(method) + _MIXED * bool(mixed_code(own)),
            *(_figure(rows.get((method, rate))) for rate in rates),
        ]
        entries += [_number(own["rank"].mean()), _number(own[cost].mean())]
        entries += [escaped(own["privileges"].max().replace(",", ", ")) or "--"] * privileged
        entries += [f"{own['failures'].sum()}/{own['seeds'].sum()}"] * failed
        lines.append(" & ".join(entries) + r" \\")
    columns = "l" + "r" * (len(rates) + 2) + "l" * privileged + "r" * failed
    label = re.sub(
        r"[^a-z0-9]+", "-", f"{group.iloc[0]['dataset']} {group.iloc[0]['noise_kind']}".lower()
    ).strip("-")
    labels.append(label)
    label += f"-{labels.count(label)}" * (labels.count(label) > 1)
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{escaped(metric.label)}, {escaped(group_title(group))}. {_caption(group, doubtful)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _caption(group: pd.DataFrame, doubtful: Sequence[float]) -> str:
    # of rows that have a mean
    low, high = group.loc[group["seeds"] > 0, "seeds"].agg(["min", "max"])
    seeds = f"{high}" if low == high else f"{low} to {high}"
    text = "Epoch and configuration are selected by accuracy on held-out noisy labels. "
    text += (
        f"Mean $\\pm$ half-width of its 95\\,\\% $t$ interval over {seeds} seeds; "
        if high > 1
        else "One seed; "
    )
    text += "best bold, second underlined"
    if group["significantly_better"].notna().any():
        reference = escaped(group["reference"].dropna().iloc[0])
        text += f"; $^{{*}}$ better, $^{{\\dagger}}$ worse than {reference} (paired, uncorrected)"
    if group["unequal_seeds"].any():
        text += "; $n$: trials, where the rows of a column do not have the same seeds and are not paired"
    if group["lost"].any():
        text += f"; {_LOST} seeds are missing that a machine, not the method, ended"
    note = f" {_DOUBTFUL} {escaped(disagreement(doubtful))}" if doubtful else ""
    mixed = f" {_MIXED} {escaped(rows)}" if (rows := mixed_rows(group)) else ""
    return f"{text}.{note}{mixed}"


def _figure(row: pd.Series | None) -> str:
    lost = _LOST * bool(row is not None and row["lost"])
    if row is None or pd.isna(row["mean"]):
        return f"--{lost}"
    text = f"{100 * row['mean']:.1f}"
    shown = {0: text, 1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}[row["place"]]
    interval = "" if pd.isna(row["ci95"]) else rf" {{\scriptsize$\pm${100 * row['ci95']:.1f}}}"
    seeds = rf" {{\scriptsize($n={row['seeds']}$)}}" if row["unequal_seeds"] or row["lost"] else ""
    return shown + interval + seeds + _MARKS[row["mark"].rstrip(LOST_SEEDS)] + lost


def _number(value: float) -> str:
    return "--" if pd.isna(value) else f"{value:.1f}"
