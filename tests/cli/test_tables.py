"""Leaderboards in a terminal: nothing is wider than it, and nothing is cut."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from fabricate import write_trial
from rich.console import Console

from bench.cli.tables import NOTE_LINES, print_report, print_sections
from bench.cli.terminal import wide
from bench.report.tables import Entry, Section, Table

ROOT = Path(__file__).resolve().parents[2]
METHODS = ["elr", "rmd+co_teaching_plus", "gce", "n" * 120, "猫" * 60, "divide_mix with k=4"]
MORE = "more tables and notes are in leaderboard.md; --details prints them"


class Report:
    """A report of sections alone."""

    about_figures = ""

    def __init__(self, *sections: Section) -> None:
        self.sections = list(sections)


def section(rates: int = 3, methods: list[str] = METHODS, notes: list[str] = []) -> Section:  # noqa: B006
    heads = [f"{rate} % ‡" for rate in range(rates)]
    columns = ["Method", *heads, "Average rank", "Cost (×ce)", "Privileges"]
    rows = [
        [
            *(
                Entry(method, mark="¶"),
                *(Entry(f"{90 + row}.{rate} ± 1.2", 1, "*") for rate in range(rates)),
            ),
            *(Entry("1.0"), Entry("2.5"), Entry("–")),
        ]
        for row, method in enumerate(methods)
    ]
    rules = [
        [Entry(method), Entry(rule), *(Entry("50.0") for _ in heads)]
        for method in methods
        for rule in ("noisy-val", "clean-val:all (privileged)")
    ]
    tables = [
        Table("Test accuracy (%), epoch selected by noisy validation accuracy", columns, rows),
        Table("The same by other rules", ["Method", "Rule", *heads], rules),
    ]
    return Section("digits, symmetric noise", "tiny_cnn, 25 epochs, " * 8, tables, notes)


def printed(report: Report, width: int, terminal: bool = True, **options) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, markup=False
    )
    print_report(console, report, **options)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 110, 200])
@pytest.mark.parametrize("rates", [1, 3, 12])
@pytest.mark.parametrize("details", [False, True])
def test_tables_fit_and_nothing_is_cut(width, rates, details):
    text = printed(Report(section(rates)), width, details=details)
    assert max(map(wide, text.splitlines())) <= width
    squeezed = re.sub(r"\s", "", text)
    for row in section(rates).tables[0].rows:
        for entry in row[1:-1]:
            assert entry.text + entry.mark in text
    for method in METHODS[:3]:
        assert re.search(rf"^{re.escape(method)}¶? ", text, re.MULTILINE)
    assert squeezed.count("n") >= 120 and squeezed.count("猫") >= 60
    assert "…" not in text and "..." not in text
    assert "Privileges" not in text or details, "a column that says nothing is left out"
    assert ("The same by other rules" in text) == details
    assert (MORE in text) != details


def test_columns_are_split_into_blocks_that_repeat_the_names():
    names = METHODS[:3]
    text = printed(Report(section(12, names)), 80)
    blocks = text.count("Method ")
    assert blocks > 1
    for name in names:
        assert len(re.findall(rf"^{re.escape(name)}¶", text, re.MULTILINE)) == blocks
    assert printed(Report(section(12, names)), 300).count("Method ") == 1
    rules = printed(Report(section(12, names)), 80, details=True).partition("by other rules")[2]
    assert rules.count("Method ") == rules.count(" Rule ") > 1, "both columns name a row"


NOTES = [
    "Mean ± half-width of its 95 % t interval over 3 seeds; " + "and more of it " * 3 + ".",
    "* better than ce: the interval lies above 0; † worse: below 0. Marks are not corrected for "
    "the number of comparisons, of which there are many.",
    "Cost: seconds of training. " * 3,
    "Validation set: 144 images.",
    *(f"Note {number}: " + "word " * 15 for number in range(20)),
    "¶ Not all trials were made by the same code.",
    "‡ At 80 % they disagree.",
    "§ Missing seeds: none.",
]


@pytest.mark.parametrize("width", [80, 110])
def test_few_notes_are_printed_and_those_on_marks_among_them(width):
    text = printed(Report(section(notes=NOTES)), width)
    notes = text[text.index("Mean ±") :].partition(f"\n\n{MORE}")[0].splitlines()
    assert len(notes) <= NOTE_LINES and max(map(wide, notes)) <= width
    for mark in "*¶‡":
        assert any(note.startswith(f"{mark} ") for note in notes), mark
    assert "§" not in text, "no row has it"
    assert ("corrected" in text) == (len(NOTES[1]) <= width), "a long note is its first sentence"
    everything = printed(Report(section(notes=NOTES)), width, details=True)
    assert "Note 19" in everything and "corrected" in everything


def test_a_note_on_a_mark_that_no_entry_has_is_left_out():
    table = Table("c", ["Method", "0 %"], [[Entry("ce"), Entry("1")], [Entry("elr"), Entry("2")]])
    notes = ["* better than ce; † worse: below 0.", "Average rank: over noise rates."]
    report = Report(Section("t", "s", [table], notes))
    assert "better than ce" not in printed(report, 80) and "Average rank" in printed(report, 80)
    assert "better than ce" in printed(report, 80, details=True)


def test_a_note_of_several_sections_is_printed_once():
    report = Report(section(notes=NOTES[-3:]), section(notes=[*NOTES[-3:], "Only here."]))
    text = printed(report, 80)
    assert text.count("‡ At 80 % they disagree.") == text.count("Only here.") == 1


def test_nothing_is_said_of_more_where_all_is_printed():
    short = Section("t", "s", [Table("c", ["Method", "0 %"], [[Entry("ce"), Entry("1")]])], ["n."])
    assert MORE not in printed(Report(short), 80)


def test_rows_and_notes_are_whole_lines_in_a_pipe():
    text = printed(Report(section(12, notes=NOTES)), 80, terminal=False)
    assert NOTES[0].rstrip() in text.splitlines()
    rows = [line for line in text.splitlines() if " ± 1.2" in line]
    assert [line.split("¶")[0] for line in rows] == METHODS
    assert all(line.count(" ± 1.2") == 12 for line in rows)


def test_a_section_of_its_own_is_printed_whole():
    console = Console(file=io.StringIO(), width=120)
    print_sections(console, [section(1, ["ce"], ["A note."])])
    text = console.file.getvalue()
    assert "Privileges" in text and "The same by other rules" in text and "A note." in text


def in_terminal(columns: int, *command: str) -> str:
    """Output of a command in a terminal of that many columns, without its styles."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=writer,
        stdout=writer,
        stderr=writer,
        env=environment | {"TERM": "xterm"},
        cwd=ROOT,
    )
    os.close(writer)
    output = b""
    while True:
        try:
            chunk = os.read(reader, 65536)
        except OSError:  # the terminal is closed
            break
        if not chunk:
            break
        output += chunk
    os.close(reader)
    assert process.wait() == 0, output.decode()
    return re.sub(r"\x1b\[[0-9;]*m", "", output.decode()).replace("\r", "")


@pytest.mark.parametrize("columns", [80, 200])
def test_a_report_fits_a_real_terminal(columns, tmp_path):
    for seed in range(2):
        for method in ("ce", "elr", "divide_mix"):
            for rate in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
                test = [0.5, 0.61 + seed / 50 + rate / 10]
                write_trial(tmp_path / "s", method, test=test, rate=rate, seed=seed)
    folders = [str(tmp_path / "s"), "--out", str(tmp_path / "out")]
    text = in_terminal(columns, "bench.report", *folders, "--no-plots")
    table = text[: text.index("results are in")]
    assert max(map(wide, table.splitlines())) <= columns
    assert table.count("Method") == (2 if columns == 80 else 1)
    assert len(table.splitlines()) < 30
