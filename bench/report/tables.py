"""Tables of a report in no format yet: sections of tables of entries."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table."""

    text: str
    place: int = 0  # 1 is the best of its column, 2 the second
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table, not yet in any format."""

    caption: str
    columns: list[str]
    rows: list[list[Entry]]


@dataclass(frozen=True)
class Section:
    """One group of comparable cells: its tables, and what a reader has to know about them."""

    title: str
    setup: str
    tables: list[Table]
    notes: list[str]
