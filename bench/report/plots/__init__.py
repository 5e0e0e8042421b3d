"""Figures of a leaderboard: PNG and SVG, at the width of a paper's column or page, readable in
grey.

A method has the same colour, marker and line style in all figures of a report. Equal records give
equal SVG files.
"""

import hashlib
import re
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bench.common.files import write_atomically
from bench.planning.selection import DEFAULT_RULE
from bench.report.agreement import regrets
from bench.report.leaderboard import methods_in_order
from bench.report.plots.final import (
    FEATURES_CAPTION,
    RELIABILITY_CAPTION,
    TRANSITIONS_CAPTION,
    embedding_figures,
    features_figure,
    reliability_figure,
    transitions_figure,
)
from bench.report.plots.results import (
    COST_CAPTION,
    GAINS_CAPTION,
    RANKS_ALIKE,
    RANKS_CAPTION,
    RULES_CAPTION,
    accuracy_caption,
    accuracy_figure,
    cost_figure,
    gains_figure,
    ranks_figure,
    rules_figure,
)
from bench.report.plots.settings import (
    MISSPECIFIED_CAPTION,
    SWEEP_CAPTION,
    TRANSFER_CAPTION,
    misspecified_figure,
    sweep_figures,
    transfer_figure,
    transfer_losses,
)
from bench.report.plots.style import DPI, FORMATS, looks, render, style
from bench.report.plots.training import (
    CURVES_CAPTION,
    LEARNING_CAPTION,
    curves_figure,
    learning_figure,
)
from bench.report.statistics import average_ranks
from bench.report.wording import group_title, rate_title

#: Longest part of a figure's name; it has at most four.
_LONGEST = 60

__all__ = ["DPI", "FORMATS", "figures", "render", "write_plots"]


def figures(
    rows: pd.DataFrame, board: pd.DataFrame, tried: pd.DataFrame
) -> dict[str, tuple[Figure, str]]:
    """All figures of a report with their captions, by name.

    Args:
        rows: the trials' rows of the chosen configurations, from ``leaderboard.chosen_rows``.
        board: from ``leaderboard.leaderboard``.
        tried: from ``leaderboard.configurations``.
    """
    shown = board[board["competes"]]
    lost = regrets(shown)
    alike = {cell: own for cell, own in shown.groupby("cell", sort=False)}
    rows, board, tried = (table[table["rule"] == DEFAULT_RULE] for table in (rows, board, tried))
    plain_rows, plain_board, tried = (table[table["competes"]] for table in (rows, board, tried))
    drawn = looks(plain_board["method"], methods_in_order(plain_board))
    found: dict[str, tuple[Figure, str]] = {}
    names: set[str] = set()
    with style():
        if ranks := average_ranks(plain_board):
            alone = RANKS_ALIKE if ranks.cliques() == [(0, len(ranks.ranks) - 1)] else ""
            caption = RANKS_CAPTION.format(ranks.cells, ranks.critical_difference, alone)
            found["all-ranks"] = ranks_figure(ranks, drawn), caption
        for group, everything in board.groupby("group", sort=False):
            name, title = _name(everything.iloc[0], names), group_title(everything)
            ranked = plain_board[plain_board["group"] == group]
            trials = plain_rows[(plain_rows["group"] == group) & plain_rows["succeeded"]]
            if len(ranked):
                found[f"{name}-accuracy"] = (
                    accuracy_figure(ranked, drawn),
                    f"{title}. {accuracy_caption(ranked)}",
                )
                found[f"{name}-rules"] = (
                    rules_figure(lost[lost["group"] == group], alike),
                    f"{title}. {RULES_CAPTION}",
                )
            if len(trials):
                found[f"{name}-curves"] = curves_figure(trials, drawn), f"{title}. {CURVES_CAPTION}"
                if learning := learning_figure(trials, drawn):
                    found[f"{name}-learning"] = learning, f"{title}. {LEARNING_CAPTION}"
                if reliability := reliability_figure(trials, drawn):
                    found[f"{name}-reliability"] = reliability, f"{title}. {RELIABILITY_CAPTION}"
                if transitions := transitions_figure(trials):
                    found[f"{name}-transitions"] = transitions, f"{title}. {TRANSITIONS_CAPTION}"
                if features := features_figure(trials, drawn):
                    found[f"{name}-features"] = features, f"{title}. {FEATURES_CAPTION}"
                for rate, (embedding, caption) in embedding_figures(
                    trials, methods_in_order(ranked)
                ).items():
                    found[f"{name}-embedding-{_slug(rate_title(rate))}"] = (
                        embedding,
                        f"{title}. {caption}",
                    )
            if ranked["cost_seconds"].notna().any():
                found[f"{name}-cost"] = cost_figure(ranked, drawn), f"{title}. {COST_CAPTION}"
            if gains := gains_figure(ranked, drawn):
                found[f"{name}-gains"] = gains, f"{title}. {GAINS_CAPTION}"
            asked = tried[(tried["group"] == group) & tried["track"].isin(["default", "given"])]
            for method, configs in asked.groupby("method"):
                for settings, (sweep, fixed) in sweep_figures(configs).items():
                    key = "-".join([f"{name}-sweep", *map(_slug, [str(method), *settings])])
                    found[key] = sweep, f"{title}, {method}. {SWEEP_CAPTION.format(fixed)}"
            for (method, search), losses in transfer_losses(rows[rows["group"] == group]).items():
                caption = f"{title}, {method} ({search}). {TRANSFER_CAPTION}"
                found[f"{name}-transfer-{_slug(f'{method} {search}')}"] = (
                    transfer_figure(losses, everything),
                    caption,
                )
            if (everything["track"] == "misspecified").any():
                found[f"{name}-misspecified"] = (
                    misspecified_figure(everything),
                    f"{title}. {MISSPECIFIED_CAPTION}",
                )
    return found


def write_plots(
    rows: pd.DataFrame, board: pd.DataFrame, tried: pd.DataFrame, folder: Path
) -> dict[str, str]:
    """Write all figures in all formats below ``folder``; returns their captions by name. Arguments
    as in ``figures``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = figures(rows, board, tried)
    for name, (figure, _) in made.items():
        for kind in FORMATS:
            write_atomically(folder / f"{name}.{kind}", render(figure, kind))
    return {name: caption for name, (_, caption) in made.items()}


def _slug(text: str) -> str:
    """The text as a part of a file's name, which a file system cuts off at 255 bytes; a long one
    ends in its hash.
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (
        name
        if len(name) <= _LONGEST
        else f"{name[: _LONGEST - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    )


def _name(first: pd.Series, taken: set[str]) -> str:
    base = _slug(f"{first['dataset']}-{first['noise_kind']}")
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name
