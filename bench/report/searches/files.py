"""Files of a report that only tuned sweeps have."""

from collections.abc import Callable, Sequence

import msgspec
import pandas as pd

from bench.planning.tuned_defaults import FILE
from bench.report.board import Board
from bench.report.columns import CELL
from bench.report.searches import (
    budgets,
    defaults,
    importance,
    picks,
    schedulers,
    tunability,
)

#: Columns of each table behind those that name the cell and the search.
_COLUMNS = {
    "importance.csv": [*importance.COLUMNS, "cells"],
    "search_budgets.csv": budgets.COLUMNS,
    "picks.csv": picks.COLUMNS,
    "tunability.csv": tunability.COLUMNS,
}


def search_files(
    board: Board, to_csv: Callable[[pd.DataFrame, Sequence[str]], bytes]
) -> dict[str, bytes]:
    """Return the files of a board's searches by name; none without searches.

    Args:
        to_csv: function of a table and its columns, which returns a file.
    """
    if not len(board.search_trials):
        return {}
    tables = [board.importance, board.budgets, board.picks, board.tunability]
    files = {
        name: to_csv(table.drop(columns="name"), [*CELL, "method", "goal", *columns])
        for (name, columns), table in zip(_COLUMNS.items(), tables, strict=True)
    }
    if len(board.schedulers):
        columns = [*CELL, "method", "goal", *schedulers.COLUMNS]
        files["schedulers.csv"] = to_csv(board.schedulers.drop(columns="name"), columns)
    candidates = board.tuned_defaults
    if proposal := defaults.proposal(candidates):
        content = msgspec.json.format(msgspec.json.encode(proposal), indent=1) + b"\n"
        files[FILE] = content
    if len(candidates):
        texts = {
            "cells": candidates["cells"].map("; ".join),
            "ranks": candidates["ranks"].map(lambda ranks: " ".join(f"{rank:g}" for rank in ranks)),
        }
        files["tuned_defaults.csv"] = to_csv(candidates.assign(**texts), defaults.COLUMNS)
    return files
