"""Leaderboards for papers: booktabs tables, best and ties bold, second underlined."""

import re

import pandas as pd

from bench.common.text import printable
from bench.planning.selection import DEFAULT_RULE
from bench.report.board import Board
from bench.report.notes import mixed_rows
from bench.report.sections import main_table
from bench.report.tables import Entry
from bench.report.wording import (
    DOUBTFUL,
    LOST_SEEDS,
    MIXED,
    NONE,
    disagreement,
    group_title,
    span,
)

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
    "[": "{[}",  # behind \\ it would be a distance
    "–": "--",
    "…": r"\ldots{}",
    "·": r"\textperiodcentered{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_MARKS = {
    "*": "$^{*}$",
    "†": r"$^{\dagger}$",
    DOUBTFUL: r"$^{\ddagger}$",
    MIXED: r"\textsuperscript{\P}",
    LOST_SEEDS: r"$^{\S}$",
}


def to_latex(board: Board) -> str:
    """Return a table for each group of the leaderboard, under the default rule.

    Printed means decide on best and second: means that print alike are ties, and all of them are
    bold, or underlined.
    """
    ranked = board.ranked[board.ranked["rule"] == DEFAULT_RULE]
    labels: list[str] = []
    parts = [_table(board, group, labels) for _, group in ranked.groupby("group", sort=False)]
    return "\n".join([_HEAD, *parts])


def escaped(text: str) -> str:
    """Return text as LaTeX prints it; letters stay, and need a font that has them."""
    return "".join(_SPECIAL.get(character, character) for character in printable(text))


def _table(board: Board, group: pd.DataFrame, labels: list[str]) -> str:
    table = main_table(board, group)
    heads = [name.replace("Average rank", "Avg. rank") for name in table.columns]
    shown = [
        place
        for place, head in enumerate(heads)
        if head != "Privileges" or any(row[place].text != NONE for row in table.rows)
    ]
    alignment = "".join("l" if heads[at] in ("Method", "Privileges") else "r" for at in shown)
    first = group.iloc[0]
    name = f"{first['dataset']} {first['noise_kind']}".lower()
    label = re.sub(r"[^a-z0-9]+", "-", name).strip("-")
    labels.append(label)
    label += f"-{labels.count(label)}" * (labels.count(label) > 1)
    title = f"{escaped(board.metric.label)}, {escaped(group_title(group))}"
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{title}. {_caption(board, group)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _line([_heading(heads[at]) for at in shown]),
            r"\midrule",
            *(_line([_entry(row[at]) for at in shown]) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _heading(text: str) -> str:
    return escaped(text).replace(f" {DOUBTFUL}", _MARKS[DOUBTFUL])


def _entry(entry: Entry) -> str:
    text = escaped(entry.value)
    shown = {0: text, 1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}[entry.place]
    if entry.interval:
        shown += rf" {{\scriptsize$\pm${entry.interval}}}"
    if entry.trials:
        shown += rf" {{\scriptsize($n={entry.trials}$)}}"
    return shown + "".join(_MARKS[mark] for mark in entry.mark)


def _caption(board: Board, group: pd.DataFrame) -> str:
    text = "Epoch and configuration are selected by accuracy on held-out noisy labels. "
    text += (
        f"Mean $\\pm$ half-width of its 95\\,\\% $t$ interval over {span(seeds - {0})} seeds; "
        if max(seeds := set(group["seeds"])) > 1
        else "One seed; "
    )
    text += "best bold, second underlined"
    if group["significantly_better"].notna().any():
        reference = escaped(group["reference"].dropna().iloc[0])
        text += f"; $^{{*}}$ better, $^{{\\dagger}}$ worse than {reference} (paired, uncorrected)"
    if group["unequal_seeds"].any():
        text += (
            "; $n$: trials, where the rows of a column do not have the same seeds and are not "
            "paired"
        )
    if group["lost"].any():
        text += f"; {_MARKS[LOST_SEEDS]} seeds are missing that a machine, not the method, ended"
    text += "."
    if doubtful := board.doubtful_rates(group):
        text += f" {_MARKS[DOUBTFUL]} {escaped(disagreement(doubtful))}"
    if rows := mixed_rows(group):
        text += f" {_MARKS[MIXED]} {escaped(rows)}"
    return text
