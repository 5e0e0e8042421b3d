"""Leaderboards of all boards as one table, and the standing of each method in it."""

from collections.abc import Sequence

import pandas as pd

from bench.planning.selection import DEFAULT_RULE
from bench.report.columns import COST
from bench.report.site.sources import Source

#: Rule beside the default one, which no small validation set blurs.
LAST = "last"


def overview(sources: Sequence[Source]) -> pd.DataFrame:
    """Return the ranked rows of all boards by the default rule, a row per board, cell and label.

    A method has further rows, with labels of their own, where its settings were tuned or it reads
    the truth: column ``method`` is the label, and ``name`` the method. Columns beside those of
    ``Board.leaderboard``: ``board`` (position in ``sources``); ``contenders``, the number of
    ranked rows of the cell; ``standing``, from 0 for the first of a cell to 1 for the last,
    missing where it has one row; ``rank_last``, the rank by the rule ``last``.
    """
    keys = ["cell", "method"]
    tables = []
    for position, source in enumerate(sources):
        table = source.board.leaderboard
        ranked = table[(table["rule"] == DEFAULT_RULE) & table["rank"].notna()]
        last = table[table["rule"] == LAST].set_index(keys)[["rank", "mean"]]
        joined = ranked.join(last.rename(columns="{}_last".format), on=keys)
        tables.append(joined.assign(board=position))
    rows = pd.concat(tables, ignore_index=True)
    rows["contenders"] = rows.groupby(["board", "cell"])["method"].transform("size")
    others = (rows["contenders"] - 1).where(rows["contenders"] > 1)
    rows["standing"] = (rows["rank"].astype(float) - 1) / others
    return rows


def standings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the standing of each label over all boards, the best first.

    Index: the label. Columns: ``boards``, ``cells``, ``standing`` (mean), ``first`` (cells
    in which nobody prints higher), ``better``, ``worse`` (cells in which the interval of the
    difference to the reference lies on one side of 0) and ``cost``, the median multiple of the
    reference's.
    """
    grouped = rows.groupby("method")
    table = pd.DataFrame(
        {
            "boards": grouped["board"].nunique(),
            "cells": grouped.size(),
            "standing": grouped["standing"].mean(),
            "first": grouped["place"].agg(lambda places: int((places == 1).sum())),
            "better": grouped["significantly_better"].agg(_count),
            "worse": grouped["significantly_worse"].agg(_count),
            "cost": grouped[COST].median(),
        }
    )
    return table.sort_values(["standing", "cells"], ascending=[True, False])


def _count(values: pd.Series) -> int:
    return int(values.fillna(False).astype(bool).sum())
