"""Tables of a report in a terminal: blocks of columns that fit its width, and a few notes.

In a pipe, which programs read, each row of a table and each note is one line of any length.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from bench.cli.terminal import line, print_table, styled
from bench.report.tables import Section, Table
from bench.report.wording import MARKS, NONE
from bench.report.writer import Report

#: Lines of notes below a main table, as the terminal shows them.
NOTE_LINES = 6

#: Columns that a heading may take, however narrow its figures are.
_HEADING = 8

_STYLES = {0: "", 1: "bold", 2: "underline"}
_SENTENCE = re.compile(r".+?[a-z0-9)]\.(?= [A-Z])")


def print_report(console: Console, report: Report, details: bool = False) -> None:
    """Print the main table of each section with a few notes; with ``details`` all tables and notes.

    A note that several sections share is printed once.
    """
    sections, printed = report.sections, set[str]()
    if not details:
        sections = []
        for section in report.sections:
            notes = _select_notes(console, section, printed)
            printed.update(notes)
            main = _without_empty_columns(section.tables[0])
            sections.append(replace(section, tables=[main], notes=notes))
    print_sections(console, sections)
    if sections != report.sections:
        line(console)
        line(console, "more tables and notes are in leaderboard.md; --details prints them")
    if report.about_figures:
        line(console, report.about_figures, wrap=True)


def print_place(console: Console, folder: Path, plots: bool) -> None:
    """Print where the files of a report are."""
    files = f"index.html, leaderboard.md, analysis.md{', plots/' * plots}"
    line(console, f"results are in {folder}: {files}")


def print_sections(console: Console, sections: Iterable[Section]) -> None:
    """Print sections with all that they hold."""
    for section in sections:
        line(console)
        line(console, section.title, "bold")
        line(console, section.setup, "dim", wrap=True)
        for table in section.tables:
            line(console)
            line(console, table.caption, wrap=True)
            for block in _blocks(console, table):
                line(console)
                (console.print if console.is_terminal else partial(print_table, console))(block)
        if section.notes:
            line(console)
        for note in section.notes:
            line(console, note, "dim", wrap=True)


def _select_notes(console: Console, section: Section, printed: set[str]) -> list[str]:
    """Return the notes on marks of the main table, and others as far as there are lines for them.

    Notes on marks that the table lacks are left out. Of a note that is longer than a line it is
    the first sentence.
    """
    marks = _marks(section.tables[0])
    explaining = [note for note in section.notes if any(f"{mark} " in note for mark in marks)]
    others = [note for note in section.notes if note[:1] not in MARKS]
    selected, free = set[str](), NOTE_LINES
    for note in dict.fromkeys([*explaining, *others]):
        short = _shortened(console, note)
        needed = len(styled(console, short).wrap(console, console.width))
        if short not in printed and needed <= free:
            selected.add(short)
            free -= needed
    ordered = (_shortened(console, note) for note in section.notes)
    return [note for note in ordered if note in selected]


def _shortened(console: Console, note: str) -> str:
    sentence = _SENTENCE.match(note)
    return sentence[0] if sentence and len(note) > console.width else note


def _marks(table: Table) -> set[str]:
    """Return the marks of entries, and those that stand alone behind the name of a column."""
    heads = {word for column in table.columns for word in column.split()[1:] if len(word) == 1}
    marks = {mark for row in table.rows for entry in row for mark in entry.mark}
    return marks | {word for word in heads if not word.isalnum() and word != "%"}


def _blocks(console: Console, table: Table) -> list[RichTable]:
    """Split a table into blocks of columns that fit a terminal, each with the names of its rows.

    A column that does not fit beside the names is folded, never cut.
    """
    if not console.is_terminal:
        return [_drawn(console, table, range(len(table.columns)))]
    names = _name_columns(table)
    blocks: list[list[int]] = [[]]
    for column in range(names, len(table.columns)):
        wider = [*range(names), *blocks[-1], column]
        if blocks[-1] and _width(console, _drawn(console, table, wider)) > console.width:
            blocks.append([])
        blocks[-1].append(column)
    return [_drawn(console, table, [*range(names), *block]) for block in blocks]


def _without_empty_columns(table: Table) -> Table:
    """Leave out columns that say nothing of any row."""
    full = [
        column
        for column in range(len(table.columns))
        if any(row[column].text != NONE or row[column].mark for row in table.rows)
    ]
    columns = [table.columns[column] for column in full]
    return Table(table.caption, columns, [[row[column] for column in full] for row in table.rows])


def _name_columns(table: Table) -> int:
    """Return how many columns, from the left, tell all rows apart."""
    for count in range(1, len(table.columns)):
        if len({tuple(entry.text for entry in row[:count]) for row in table.rows}) == len(
            table.rows
        ):
            return count
    return 1


def _width(console: Console, table: RichTable) -> int:
    options = console.options.update(max_width=1 << 20)
    return Measurement.get(console, options, table).maximum


def _drawn(console: Console, table: Table, columns: Sequence[int]) -> RichTable:
    drawn = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        width = max([_HEADING, *(cell_len(row[column].text) for row in table.rows)])
        heading = textwrap.wrap(table.columns[column], width, break_long_words=False)
        lines = (styled(console, text) for text in heading)
        drawn.add_column(Text("\n").join(lines), overflow="fold", vertical="bottom")
    for row in table.rows:
        entries = [row[column] for column in columns]
        texts = (styled(console, entry.text, _STYLES[entry.place]) for entry in entries)
        marks = (styled(console, entry.mark) for entry in entries)
        drawn.add_row(*(text + mark for text, mark in zip(texts, marks, strict=True)))
    return drawn
