"""Leaderboards in a terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from bench.cli.terminal import line, print_table, styled
from bench.report.tables import Section, Table
from bench.report.writer import Report


def print_report(console: Console, report: Report) -> None:
    """Show the tables of a report."""
    print_sections(console, report.sections)
    if report.about_figures:
        line(console, report.about_figures)


def print_sections(console: Console, found: Sequence[Section]) -> None:
    """The same in a terminal. Tables take the width that they need: a figure cut short would be a
    wrong one.
    """
    for section in found:
        line(console)
        line(console, section.title, "bold")
        line(console, section.setup, "dim")
        for table in section.tables:
            line(console)
            line(console, table.caption)
            print_table(console, _drawn(console, table))
        for note in section.notes:
            line(console, note, "dim", wrap=True)


_STYLES = {0: "", 1: "bold", 2: "underline"}


def _drawn(console: Console, table: Table) -> RichTable:
    drawn = RichTable(box=SIMPLE_HEAD)
    for column in table.columns:
        drawn.add_column(styled(console, column), no_wrap=True)
    for row in table.rows:
        texts = (styled(console, entry.text, _STYLES[entry.place]) for entry in row)
        marks = (styled(console, entry.mark) for entry in row)
        drawn.add_row(*(text + mark for text, mark in zip(texts, marks, strict=True)))
    return drawn
