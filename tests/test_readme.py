"""README.md says of every method what its file says, and shows the leaderboard that is there."""

import re
from pathlib import Path

import pytest

from bench.registry import card, method_names

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in re.search(r"\| name \| method \| networks .*?\n\n", TEXT, re.DOTALL)[0].splitlines()[2:]  # type: ignore[index]
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
    assert name == "ce" or (years and set(years) <= set(re.findall(r"\b(?:19|20)\d\d\b", found.summary)))


def test_every_method_is_in_the_table():
    assert set(ROWS) == set(method_names())


def test_the_leaderboard_is_the_references():
    [section] = re.findall(r"## Leaderboard\n.*?(?=\n## )", TEXT, re.DOTALL)
    shown = [line for line in section.splitlines() if line.startswith("|")]
    there = (ROOT / "results" / "reference" / "digits" / "leaderboard.md").read_text()
    assert len(shown) == 2 + len(method_names()) and "\n".join(shown) in there
