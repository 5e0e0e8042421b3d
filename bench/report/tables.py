"""Tables of a report in no format yet: sections of tables of entries."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.wording import NONE, percent

_FIGURE = re.compile(r"(\d+: )?(best|[-+−]?\d[\d./]*( ± [\d.]+)?( \(n=\d+\))?)")


@dataclass(frozen=True)
class Entry:
    """One place of a table: a text, or a figure with its interval and number of trials."""

    value: str
    place: int = 0  # 1 is the best of its column, 2 the second
    mark: str = ""
    interval: str = ""  # half-width
    trials: str = ""

    @property
    def text(self) -> str:
        """Value, interval and number of trials, without the mark."""
        interval = f" ± {self.interval}" if self.interval else ""
        return self.value + interval + (f" (n={self.trials})" if self.trials else "")


def entries(*texts: object) -> list[Entry]:
    """Return plain entries."""
    return [Entry(str(text)) for text in texts]


def mean_entry(row: pd.Series | None, *, placed: bool = False) -> Entry:
    """Return the mean of a row of the leaderboard; bold or underlined by its place if asked."""
    if row is None:
        return Entry(NONE)
    if pd.isna(row["mean"]):
        return Entry(NONE, mark=row["mark"])
    interval = "" if pd.isna(row["ci95"]) else percent(row["ci95"])
    trials = str(row["seeds"]) if row["unequal_seeds"] or row["lost"] else ""
    return Entry(percent(row["mean"]), row["place"] * placed, row["mark"], interval, trials)


@dataclass(frozen=True)
class Table:
    """A table with its caption."""

    caption: str
    columns: list[str]
    rows: list[list[Entry]]

    def is_numeric(self, column: int) -> bool:
        """Return whether the column at this position holds figures, which are set to the right."""
        texts = {row[column].text for row in self.rows} - {NONE}
        return bool(texts) and all(map(_FIGURE.fullmatch, texts))


@dataclass(frozen=True)
class Section:
    """One group of comparable cells: its tables, and the notes that a reader needs."""

    title: str
    setup: str
    tables: list[Table]
    notes: list[str]


def rows_by(frame: pd.DataFrame, *keys: str) -> dict[tuple[Any, ...], pd.Series]:
    """Return the rows of a frame by their values in the columns ``keys``."""
    return {tuple(row[key] for key in keys): row for _, row in frame.iterrows()}
