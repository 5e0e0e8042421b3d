"""All figures of a report, by the names of their files."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bench.common.files import write_atomically
from bench.planning.selection import DEFAULT_RULE
from bench.report.board import Board
from bench.report.leaderboard import methods_in_order
from bench.report.plots.accuracy import (
    accuracy_caption,
    accuracy_figure,
    all_cells_caption,
    all_cells_figure,
)
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
    cost_figure,
    gains_figure,
    ranks_figure,
    rules_figure,
)
from bench.report.plots.searches import (
    BUDGETS_CAPTION,
    IMPORTANCE_CAPTION,
    PICKS_CAPTION,
    TUNABILITY_CAPTION,
    budgets_figure,
    importance_figure,
    looks_of,
    picks_figure,
    tunability_figure,
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
from bench.report.plots.slices import SLICES_CAPTION, important, slices_figure
from bench.report.plots.style import FORMATS, Look, looks, render, style
from bench.report.plots.training import (
    CURVES_CAPTION,
    LEARNING_CAPTION,
    curves_figure,
    learning_figure,
)
from bench.report.searches.importance import ALONE
from bench.report.statistics import AverageRanks, average_ranks
from bench.report.wording import group_title, rate_title

#: Longest part of a figure's name, which has at most four.
_LONGEST = 60

#: Name without the group's, figure, and caption without the group's title.
Named = Iterator[tuple[str, Figure | None, str]]


@dataclass(frozen=True)
class Group:
    """Tables of one group of comparable cells."""

    leaderboard: pd.DataFrame  # its rows by the default rule
    ranked: pd.DataFrame  # those that compete
    chosen: pd.DataFrame  # trials of the chosen configurations by the default rule
    successful: pd.DataFrame  # those that compete and did not fail
    configurations: pd.DataFrame  # competing ones by the default rule
    regrets: pd.DataFrame
    by_cell: Mapping[str, pd.DataFrame]  # competing rows of the leaderboard by all rules


def figures(board: Board) -> dict[str, tuple[Figure, str]]:
    """Return all figures of a report with their captions, by name."""
    chosen, leaderboard, configurations = (
        table[table["rule"] == DEFAULT_RULE]
        for table in (board.chosen, board.leaderboard, board.configurations)
    )
    ranked = leaderboard[leaderboard["competes"]]
    drawn = looks(ranked["method"], methods_in_order(ranked))
    by_cell = board.leaderboard[board.leaderboard["competes"]].groupby("cell", sort=False)
    result: dict[str, tuple[Figure, str]] = {}
    names: set[str] = set()
    with style():
        if ranks := average_ranks(ranked):
            if figure := all_cells_figure(ranked, ranks, drawn):
                result["all-cells"] = figure, all_cells_caption(ranks)
            result["all-ranks"] = ranks_figure(ranks, drawn), _ranks_caption(ranks)
        for key, rows in leaderboard.groupby("group", sort=False):
            trials, tried, regrets = (
                table[table["group"] == key] for table in (chosen, configurations, board.regrets)
            )
            group = Group(
                leaderboard=rows,
                ranked=rows[rows["competes"]],
                chosen=trials,
                successful=trials[trials["competes"] & trials["succeeded"]],
                configurations=tried[tried["competes"]],
                regrets=regrets,
                by_cell=dict(iter(by_cell)),
            )
            name, title = _name(rows.iloc[0], names), group_title(rows)
            for suffix, figure, caption in _of_group(board, str(key), group, drawn):
                if figure:
                    separator = "," if suffix.startswith(("sweep", "transfer", "slices")) else "."
                    result[f"{name}-{suffix}"] = figure, f"{title}{separator} {caption}"
    return result


def write_plots(board: Board, folder: Path) -> dict[str, str]:
    """Write all figures in all formats below ``folder``; return their captions by name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = figures(board)
    for name, (figure, _) in made.items():
        for kind in FORMATS:
            write_atomically(folder / f"{name}.{kind}", render(figure, kind))
    return {name: caption for name, (_, caption) in made.items()}


def _ranks_caption(ranks: AverageRanks) -> str:
    alike = ranks.cliques() == [(0, len(ranks.ranks) - 1)]
    return RANKS_CAPTION.format(
        ranks.cells, ranks.critical_difference, RANKS_ALIKE if alike else ""
    )


def _of_group(board: Board, key: str, group: Group, drawn: Mapping[str, Look]) -> Named:
    for figures_of in (_results, _training, _final, _costs, _settings):
        yield from figures_of(group, drawn)
    if len(board.search_trials):
        yield from _searches(board, key, drawn)


def _results(group: Group, drawn: Mapping[str, Look]) -> Named:
    if len(ranked := group.ranked):
        yield "accuracy", accuracy_figure(ranked, drawn), accuracy_caption(ranked)
        yield "rules", rules_figure(group.regrets, group.by_cell), RULES_CAPTION


def _training(group: Group, drawn: Mapping[str, Look]) -> Named:
    if len(trials := group.successful):
        yield "curves", curves_figure(trials, drawn), CURVES_CAPTION
        yield "learning", learning_figure(trials, drawn), LEARNING_CAPTION


def _final(group: Group, drawn: Mapping[str, Look]) -> Named:
    if len(trials := group.successful):
        yield "reliability", reliability_figure(trials, drawn), RELIABILITY_CAPTION
        yield "transitions", transitions_figure(trials), TRANSITIONS_CAPTION
        yield "features", features_figure(trials, drawn), FEATURES_CAPTION
        embeddings = embedding_figures(trials, methods_in_order(group.ranked))
        for rate, (figure, caption) in embeddings.items():
            yield f"embedding-{_slug(rate_title(rate))}", figure, caption


def _costs(group: Group, drawn: Mapping[str, Look]) -> Named:
    if group.ranked["cost_seconds"].notna().any():
        yield "cost", cost_figure(group.ranked, drawn), COST_CAPTION
    yield "gains", gains_figure(group.ranked, drawn), GAINS_CAPTION


def _settings(group: Group, drawn: Mapping[str, Look]) -> Named:
    tried = group.configurations[group.configurations["track"].isin(["default", "given"])]
    for method, configurations in tried.groupby("method"):
        for settings, (figure, fixed) in sweep_figures(configurations).items():
            name = "-".join(["sweep", *map(_slug, [str(method), *settings])])
            yield name, figure, f"{method}. {SWEEP_CAPTION.format(fixed)}"
    for (method, search), losses in transfer_losses(group.chosen).items():
        figure = transfer_figure(losses, group.leaderboard)
        name = f"transfer-{_slug(f'{method} {search}')}"
        yield name, figure, f"{method} ({search}). {TRANSFER_CAPTION}"
    if (group.leaderboard["track"] == "misspecified").any():
        yield "misspecified", misspecified_figure(group.leaderboard), MISSPECIFIED_CAPTION


def _searches(board: Board, key: str, drawn: Mapping[str, Look]) -> Named:
    trials, budgets, importance, tunability = (
        table[table["group"] == key]
        for table in (board.search_trials, board.budgets, board.importance, board.tunability)
    )
    if trials.empty:
        return
    drawn = looks_of(list(trials["method"].drop_duplicates()), drawn)
    yield "budgets", budgets_figure(budgets, drawn), BUDGETS_CAPTION
    yield "picks", picks_figure(trials, drawn), PICKS_CAPTION
    in_cells = tunability[tunability["cells"] == 1]
    if in_cells["gain"].any():
        yield "tunability", tunability_figure(in_cells, drawn), TUNABILITY_CAPTION
    if (importance["verdict"] != ALONE).any():
        yield "importance", importance_figure(importance), IMPORTANCE_CAPTION
    for method, rows in importance.groupby("method", sort=False):
        tried = trials[trials["method"] == method]
        figure = slices_figure(tried, important(rows))
        yield f"slices-{_slug(str(method))}", figure, SLICES_CAPTION.format(method)


def _slug(text: str) -> str:
    """Return the text as a part of a file's name; a long one ends in its hash.

    File systems cut names off at 255 bytes.
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _name(first: pd.Series, taken: set[str]) -> str:
    base = _slug(f"{first['dataset']}-{first['noise_kind']}")
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name
