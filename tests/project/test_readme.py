"""README.md says of every method what its file says, and shows the leaderboard that is there."""

import json
import re
import statistics
from pathlib import Path

import pytest

from bench.planning.registry import card, method_names
from bench.speed.methods import BOUND

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in re.search(r"\| name \| method \| networks .*?\n\n", TEXT, re.DOTALL)[
        0
    ].splitlines()[2:]  # type: ignore[index]
    for cells in [[cell.strip() for cell in line.strip("|").split(" |")]]
    if line
}


@pytest.mark.parametrize("name", method_names())
def test_the_table_of_methods_is_what_their_files_say(name):
    found = card(name)
    cited, networks, passes, lines, _ = ROWS[name]
    assert networks == (str(found.networks) if found.networks else "the host's")
    assert passes == (found.passes if found.networks else f"+ {found.passes}")
    assert lines == str(found.lines)
    years = re.findall(r"\b(?:19|20)\d\d\b", cited)
    assert name == "ce" or (
        years and set(years) <= set(re.findall(r"\b(?:19|20)\d\d\b", found.summary))
    )


def test_every_method_is_in_the_table():
    assert set(ROWS) == set(method_names())


def test_the_leaderboard_is_the_references():
    [section] = re.findall(r"## Leaderboard\n.*?(?=\n## )", TEXT, re.DOTALL)
    shown = [line for line in section.splitlines() if line.startswith("|")]
    there = (ROOT / "results" / "reference" / "digits" / "leaderboard.md").read_text()
    assert len(shown) == 2 + len(method_names()) and "\n".join(shown) in there


def speed_lines(part: str) -> list[str]:
    """README's rows on a part of ``python -m bench.speed``, from the figures on record."""
    rows = json.loads((ROOT / "results" / "reference" / "speed" / "cpu.json").read_text())
    lines = []
    for row in rows:
        if row["part"] == part:
            low, high = row["spread"]
            share = f"{100 * row['share']:.0f} % {row['ceiling']}" if row["share"] else "–"
            name = ", ".join(filter(None, (row["name"], row["network"])))
            lines.append(
                f"| {part} | {name} | {row['ratio']:.1f} | {low:.1f} to {high:.1f} | {share} |"
            )
    return lines


def test_what_is_said_of_methods_and_sweeps_is_on_record():
    rows = json.loads((ROOT / "results" / "reference" / "speed" / "cpu.json").read_text())
    taken = {row["name"]: 1 / row["ratio"] for row in rows if row["part"] == "methods"}
    times = sorted(taken.values())
    assert sorted(taken) == sorted(method_names()) and times[-1] <= BOUND
    record, _, ray = [100 * (1 / row["ratio"] - 1) for row in rows if row["part"] == "sweep"]
    text = " ".join(TEXT.split())
    most = f"(median {statistics.median(times):.2f}, most for `{max(taken, key=taken.get)}`)"
    assert f"all {len(times)} take {times[0]:.2f} to {times[-1]:.2f} times" in text and most in text
    assert f"add {record:.1f} % to it" in text and f"takes {ray:.0f} % more than their work" in text


@pytest.mark.parametrize("part", ["data", "step", "eval", "neighbours", "mixture", "epoch"])
def test_the_speeds_are_those_on_record(part):
    [section] = re.findall(r"### Speed\n.*?(?=\n### )", TEXT, re.DOTALL)
    assert (
        [line for line in section.splitlines() if line.startswith(f"| {part} |")]
        == speed_lines(part)
        != []
    )
