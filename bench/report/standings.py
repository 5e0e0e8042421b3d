"""Leaderboards of the page: ranks, ties and averages for each rule, track, budget and metric."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd

from bench.planning.selection import DECIMALS, ORACLE
from bench.report.board import Board
from bench.report.columns import BUDGETS, COST
from bench.report.metrics import ACCURACY, METRICS
from bench.report.statistics import half_width, is_below
from bench.report.wording import rates_of

_KEYS = ["cell", "rule", "method"]

#: Choices of a track and of a budget that leave all rows in.
ALL_TRACKS, ANY_BUDGET = "all", "any"


class Standing(msgspec.Struct, array_like=True):
    """Standing of a method by one metric, over the noise rates of a group; a list in JSON."""

    rank: float | None  # average; None without a rank
    missing: int  # noise rates without a rank
    places: list[int]  # by noise rate: 1 for the best as printed, 2 for the second, else 0


class Line(msgspec.Struct):
    """A method's line of a leaderboard."""

    method: str
    cells: list[int | None]  # by noise rate: position of the row in ``Board.leaderboard``
    cost: float | None  # mean multiple of the reference's
    failures: int
    seeds: int
    privileges: str
    standings: dict[str, Standing]  # by metric; empty for the oracle, which ranks no method


class Standings(msgspec.Struct):
    """One leaderboard: the lines of a group by a rule, within a track and a budget."""

    group: str
    rule: str
    track: str
    budget: str
    tiers: str  # explanation of the tiers of accuracy, or of their absence
    lines: list[Line]


class Figures(msgspec.Struct):
    """All metrics: a row per row of ``Board.leaderboard``, a column per metric."""

    means: pd.DataFrame
    half_widths: pd.DataFrame
    printed: pd.DataFrame  # means as they are printed, in the unit of the metric's label


def figures_of(board: Board) -> Figures:
    """Summarise each metric over the trials that have it."""
    table = board.leaderboard
    index = pd.MultiIndex.from_frame(table[_KEYS])
    names = [name for name in METRICS if name != ACCURACY.name]
    grouped = board.chosen.groupby(_KEYS)[names]
    spread, count = grouped.sem(), grouped.count()
    widths = pd.DataFrame({name: half_width(spread[name], count[name]) for name in names})
    means, widths = (
        frame.reindex(index).reset_index(drop=True) for frame in (grouped.mean(), widths)
    )
    means.insert(0, ACCURACY.name, table["mean"].to_numpy(dtype=float))
    widths.insert(0, ACCURACY.name, table["ci95"].to_numpy(dtype=float))
    printed = {name: [printed_value(name, mean) for mean in means[name]] for name in means}
    return Figures(means, widths, pd.DataFrame(printed))


def standings(board: Board, figures: Figures, tests: pd.DataFrame) -> list[Standings]:
    """Return the leaderboards of all groups, rules, tracks and budgets, without empty ones.

    Args:
        tests: ``tier`` and ``below`` of each row of ``Board.leaderboard``, from ``tests_of``.
    """
    table = board.leaderboard.reset_index(drop=True).join(tests)
    tracks = list(table["track"].unique())
    result = []
    for track in [ALL_TRACKS, *(tracks if len(tracks) > 1 else [])]:
        for budget in (None, *BUDGETS):
            members = table if track == ALL_TRACKS else table[table["track"] == track]
            if budget is not None:
                members = members[members["budget"] <= budget]
            if len(members):
                result += _leaderboards(table, members, figures, track, budget)
    return result


def tests_of(board: Board) -> pd.DataFrame:
    """Return the tests of each row of ``Board.leaderboard``.

    Columns: ``tier``, missing where a cell has one tier or the row has none; ``below``, whether the
    seeds tell the method from the best, missing without a test.
    """
    statistics = board.statistics
    several = statistics.groupby(["cell", "rule"])["tier"].transform("max") > 1
    below = is_below(statistics["diff_to_best"], statistics["p_holm"]).astype("boolean")
    tests = pd.DataFrame(
        {
            "tier": statistics["tier"].where(several & (statistics["tier"] > 0)).to_numpy(),
            "below": below.where(statistics["p_holm"].notna()).to_numpy(),
        },
        index=pd.MultiIndex.from_frame(statistics[_KEYS]),
    )
    index = pd.MultiIndex.from_frame(board.leaderboard[_KEYS])
    return tests.reindex(index).reset_index(drop=True)


def about_tiers(rows: pd.DataFrame) -> str:
    """Explain the tiers of a leaderboard, or their absence.

    Args:
        rows: rows of a group by one rule, with ``tier`` and ``below``.
    """
    tiered, tested = rows["tier"].notna(), rows["below"].dropna()
    if tiered.any():
        text = (
            "①, ②, …: tiers of methods that the seeds cannot tell apart (paired, with Holm's "
            "correction)."
        )
        in_tiered_cells = rows["cell"].isin(rows.loc[tiered, "cell"])
        if (in_tiered_cells & ~tiered).any():
            text += (
                " Without a tier: methods that share fewer than two seeds with its best, or differ "
                "from it by the same at each."
            )
        return text
    if tested.empty:
        return (
            "No tiers: no method shares two seeds with the best, or all differ from it by the same "
            "at each."
        )
    if not tested.any():
        return "No tiers: with Holm's correction the seeds tell no method from the best."
    return (
        f"No tiers, though with Holm's correction the seeds tell {tested.sum()} of {len(tested)} "
        "from the best: each has a method below it that they do not."
    )


def printed_value(metric: str, value: float) -> float:
    """Return a mean as it is printed, in the unit of the metric's label."""
    return round(METRICS[metric].scale * float(value), 1)


def priced(group: pd.DataFrame) -> bool:
    """Return whether a group's costs are known as multiples of the reference's."""
    return bool(group["budget"].notna().any())


def _leaderboards(
    table: pd.DataFrame, members: pd.DataFrame, figures: Figures, track: str, budget: int | None
) -> list[Standings]:
    ranks, places = _ranks_and_places(members, figures)
    rates = {group: rates_of(rows) for group, rows in table.groupby("group")}
    result = []
    for (group, rule), rows in members.groupby(["group", "rule"], sort=False):
        tiers = about_tiers(rows) if budget is None and rule != ORACLE else ""
        lines = []
        for _, cells in rows.groupby("method", sort=False):
            line = _line(cells, rates[group])
            if rule != ORACLE:
                line.standings = _standings_of(line, ranks, places)
            lines.append(line)
        name = ANY_BUDGET if budget is None else str(budget)
        result.append(Standings(str(group), str(rule), track, name, tiers, lines))
    return result


def _ranks_and_places(members: pd.DataFrame, figures: Figures) -> tuple[np.ndarray, np.ndarray]:
    """Return the competition rank and the place as printed of each row and metric, (N, M) each.

    Both are of the rows of ``Board.leaderboard``: NaN and 0 where a row is no member, or does not
    compete.
    """
    competing = members.index[members["competes"].astype(bool)]
    by_cell = [members.loc[competing, name] for name in ("cell", "rule")]
    signs = pd.Series({name: metric.sign for name, metric in METRICS.items()})
    means, printed = (signs * frame.loc[competing] for frame in (figures.means, figures.printed))
    ranks = means.round(DECIMALS).groupby(by_cell).rank(method="min", ascending=False)
    places = printed.groupby(by_cell).rank(method="dense", ascending=False)
    ranks, places = (
        frame.reindex(index=figures.means.index, columns=list(METRICS)) for frame in (ranks, places)
    )
    return ranks.to_numpy(), places.where(places <= 2, 0).to_numpy().astype(int)


def _line(cells: pd.DataFrame, rates: Sequence[float]) -> Line:
    rows = dict(zip(cells["noise_rate"], cells.index, strict=True))
    cost = cells[COST].mean()
    return Line(
        method=cells["method"].iloc[0],
        cells=[None if rate not in rows else int(rows[rate]) for rate in rates],
        cost=None if pd.isna(cost) else round(float(cost), 3),
        failures=int(cells["failures"].sum()),
        seeds=int(cells["seeds"].sum()),
        privileges=cells["privileges"].max().replace(",", ", "),
        standings={},
    )


def _standings_of(line: Line, ranks: np.ndarray, places: np.ndarray) -> dict[str, Standing]:
    standings = {}
    for column, name in enumerate(METRICS):
        known = [rank for row in line.cells if row is not None if (rank := ranks[row, column]) > 0]
        if known:
            standings[name] = Standing(
                rank=round(sum(known) / len(known), 5),
                missing=len(line.cells) - len(known),
                places=[0 if row is None else int(places[row, column]) for row in line.cells],
            )
    return standings
