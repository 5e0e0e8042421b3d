"""Tables beside an archive, compared with those that its records give."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.planning.selection import ALL, CLEAN_VAL
from bench.records.verdict import verdict_path
from bench.report.board import Board, read_board
from bench.report.columns import CELL
from bench.report.leaderboard import NO_REFERENCE
from bench.report.metrics import ACCURACY, METRICS
from bench.report.writer import csv_files

#: Tables that follow from the records alone; published.csv also follows from published numbers.
TABLES = ("leaderboard.csv", "configs.csv", "statistics.csv", "rules.csv", "variance.csv")

#: Relative difference of figures that another version of a library explains.
_ROUNDING = 1e-5


def compare_tables(archive: Path) -> tuple[list[str], list[str]]:
    """Compare the tables beside an archive, or in a sweep's folder, with its records.

    Columns of other versions of this package are passed over.

    Returns:
        The names of the tables that are there, and a sentence on each that differs.

    Raises:
        InputError: where the records give no tables.
    """
    folder = verdict_path(archive).parent
    present = [name for name in TABLES if (folder / name).is_file()]
    if not present:
        return [], []
    files = csv_files(_board(archive, folder / "leaderboard.csv"))
    differing = []
    for name in present:
        if difference := _difference(_read((folder / name).read_bytes()), _read(files[name])):
            differing.append(f"{name} {difference}")
    return present, differing


def _board(archive: Path, leaderboard: Path) -> Board:
    """Return the board of an archive, with the options that its leaderboard was made with."""
    reference, metric, clean = NO_REFERENCE, ACCURACY, ALL
    if leaderboard.is_file():
        table = _read(leaderboard.read_bytes())
        references = [] if "reference" not in table else table["reference"].dropna().tolist()
        reference = references[0] if references else NO_REFERENCE
        if "metric" in table and len(table):
            metric = METRICS.get(table["metric"].iloc[0], ACCURACY)
        rules = [rule for rule in set(table["rule"]) if rule.startswith(f"{CLEAN_VAL}:")]
        clean = rules[0].partition(":")[2] if rules else ALL
    return read_board([archive], reference, metric, clean)


def _read(content: bytes) -> pd.DataFrame:
    try:
        return pd.read_csv(io.BytesIO(content), keep_default_na=True)
    except (ValueError, pd.errors.ParserError):
        return pd.DataFrame()


def _difference(beside: pd.DataFrame, made: pd.DataFrame) -> str:
    """Return how a table differs from the one that the records give; empty where it does not."""
    if len(beside) != len(made):
        return f"has {len(beside)} rows, and the records give {len(made)}"
    for name in [name for name in made.columns if name in beside.columns]:
        rows = np.flatnonzero(_unequal(beside[name], made[name]))
        if len(rows):
            first = made.iloc[rows[0]]
            where = ", ".join(str(first[key]) for key in (*CELL, "method", "rule") if key in first)
            return (
                f"has {name} {beside[name].iloc[rows[0]]} in the row {where}, and the records give "
                f"{first[name]}"
            )
    return ""


def _unequal(first: pd.Series, second: pd.Series) -> Sequence[bool]:
    if pd.api.types.is_numeric_dtype(first) and pd.api.types.is_numeric_dtype(second):
        return ~np.isclose(
            first.to_numpy(float), second.to_numpy(float), _ROUNDING, _ROUNDING, equal_nan=True
        )
    return (first.fillna("").astype(str) != second.fillna("").astype(str)).to_numpy()
