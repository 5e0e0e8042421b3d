"""Tables beside an archive, compared with those that its records give."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.common.version import __version__
from bench.errors import InputError
from bench.planning.selection import ALL, CLEAN_VAL, check_clean_images
from bench.planning.tuned_defaults import FILE
from bench.records.archive import opened
from bench.records.verdict import verdict_path
from bench.report.board import Board, read_board
from bench.report.columns import CELL
from bench.report.leaderboard import NO_REFERENCE
from bench.report.markdown import to_markdown
from bench.report.metrics import ACCURACY, METRICS
from bench.report.searches.files import search_files
from bench.report.sections import sections
from bench.report.writer import csv_files, to_csv

_LEADERBOARD, _PAGE = "leaderboard.csv", "leaderboard.md"
#: Tables that follow from the records alone; published.csv also follows from published numbers.
TABLES = (
    _LEADERBOARD,
    *"configs.csv statistics.csv rules.csv agreement.csv variance.csv learning.csv".split(),
    *"importance.csv search_budgets.csv picks.csv tunability.csv tuned_defaults.csv".split(),
    "schedulers.csv",
    *(FILE, _PAGE),
)
#: Table whose figures follow a version of a library, too, and that library.
_FORESTS = {"importance.csv": "scikit-learn"}

#: Relative difference of figures that another version of a library explains.
_ROUNDING = 1e-5


def compare_tables(archive: Path) -> tuple[list[str], list[str], list[str]]:
    """Compare the tables beside an archive, or in a sweep's folder, with its records.

    Columns that this version does not know are passed over. Where sweep.json names another version
    of this package, so are columns that a table lacks, and ``leaderboard.md``.

    Returns:
        The names of the tables that are there, a sentence on each that differs, and one on each
        that cannot be compared.
    """
    folder = verdict_path(archive).parent
    present = [name for name in TABLES if (folder / name).is_file()]
    if not present:
        return [], [], []
    try:
        board = _board(archive, folder / _LEADERBOARD)
    except InputError as error:
        return present, [f"{', '.join(present)}: the records give no such table ({error})"], []
    files = {**csv_files(board), **search_files(board, to_csv)}
    files[_PAGE] = to_markdown(sections(board), []).encode()
    versions = _versions(archive)
    same_version = versions.get("lnl-bench", __version__) == __version__
    differing, passed_over = [], []
    for name in present:
        library = _FORESTS.get(name)
        if name not in files:
            differing.append(f"{name} is there, and the records give none")
        elif library and versions.get(library, version(library)) != version(library):
            passed_over.append(f"{name}, which another version of {library} made")
        elif name == _PAGE and not same_version:
            passed_over.append(f"{name}, which another version of lnl-bench made")
        else:
            read = _READERS.get(Path(name).suffix, _read_csv)
            beside, made = read((folder / name).read_bytes()), read(files[name])
            absent = [column for column in made.columns if column not in beside.columns]
            if absent and not same_version and len(beside.columns):
                passed_over.append(f"columns {', '.join(absent)} of {name}, of another version")
                made = made.drop(columns=absent)
            if difference := _difference(beside, made):
                differing.append(f"{name} {difference}")
    return present, differing, passed_over


def _versions(archive: Path) -> Mapping[str, Any]:
    """Return the versions that a sweep.json names; empty where it names none."""
    try:
        values = msgspec.json.decode((opened(archive) / "sweep.json").read_bytes())
    except (OSError, ValueError):
        return {}
    versions = values.get("versions") if isinstance(values, dict) else None
    return versions if isinstance(versions, dict) else {}


def _board(archive: Path, leaderboard: Path) -> Board:
    """Return the board of an archive, with the options that its leaderboard was made with."""
    reference, metric, clean = NO_REFERENCE, ACCURACY, ALL
    table = _read_csv(leaderboard.read_bytes()) if leaderboard.is_file() else pd.DataFrame()
    if references := _texts(table, "reference"):
        reference = references[0]
    if metrics := _texts(table, "metric"):
        metric = METRICS.get(metrics[0], ACCURACY)
    if rules := [rule for rule in _texts(table, "rule") if rule.startswith(f"{CLEAN_VAL}:")]:
        clean = check_clean_images(rules[0].partition(":")[2])
    return read_board([archive], reference, metric, clean)


def _texts(table: pd.DataFrame, column: str) -> list[str]:
    return table[column].dropna().astype(str).tolist() if column in table else []


def _read_csv(content: bytes) -> pd.DataFrame:
    try:
        return pd.read_csv(io.BytesIO(content), keep_default_na=True)
    except ValueError:
        return pd.DataFrame()


def _read_json(content: bytes) -> pd.DataFrame:
    """Return a file of JSON as one row, with a column for each of its values."""
    try:
        return pd.json_normalize(json.loads(content))
    except (ValueError, NotImplementedError, TypeError, RecursionError):
        return pd.DataFrame()


def _read_markdown(content: bytes) -> pd.DataFrame:
    """Return the lines of a page's tables."""
    lines = content.decode(errors="replace").splitlines()
    return pd.DataFrame({"line": [line for line in lines if line.startswith("|")]})


_READERS: dict[str, Callable[[bytes], pd.DataFrame]] = {
    ".json": _read_json,
    ".md": _read_markdown,
}


def _difference(beside: pd.DataFrame, made: pd.DataFrame) -> str:
    """Return how a table differs from the one that the records give; empty where it does not."""
    if len(beside) != len(made):
        return f"has {len(beside)} rows, and the records give {len(made)}"
    if absent := [name for name in made.columns if name not in beside.columns]:
        return f"lacks {', '.join(absent)}, which the records give"
    for name in made.columns:
        rows = np.flatnonzero(_unequal(beside[name], made[name]))
        if len(rows):
            first = made.iloc[rows[0]]
            where = ", ".join(str(first[key]) for key in (*CELL, "method", "rule") if key in first)
            return (
                f"has {name} {beside[name].iloc[rows[0]]} in the row {where or rows[0] + 1}, and "
                f"the records give {first[name]}"
            )
    return ""


def _unequal(first: pd.Series, second: pd.Series) -> Sequence[bool]:
    if pd.api.types.is_numeric_dtype(first) and pd.api.types.is_numeric_dtype(second):
        return ~np.isclose(
            first.to_numpy(float), second.to_numpy(float), _ROUNDING, _ROUNDING, equal_nan=True
        )
    return (first.fillna("").astype(str) != second.fillna("").astype(str)).to_numpy()
