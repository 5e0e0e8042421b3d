"""Tables of the READMEs: the command that prints them, and the script that writes them."""

import runpy
from pathlib import Path

import pytest
from commands import call

from bench.cli import listing

ROOT = Path(__file__).resolve().parents[2]
READMES = runpy.run_path(str(ROOT / ".ci" / "tables"))["READMES"]


@pytest.mark.parametrize("kind", listing.summaries())
def test_a_table_has_a_row_for_each_name(kind, capsys):
    status, out, _ = call(capsys, "--list", kind, "--format", "markdown")
    header, rule, *rows = out.splitlines()
    assert status == 0 and set(rule) == {"|", " ", "-"}
    names = listing.summaries()[kind]
    assert len(rows) == len(names) > 1
    for row, name in zip(rows, names, strict=True):
        assert row.startswith((f"| `{name}` |", f"| [`{name}`](http"))
        assert row.replace(r"\|", "").count("|") == header.count("|")


@pytest.mark.parametrize("kind", listing.summaries())
def test_a_readme_has_one_place_for_each_table(kind):
    text = (ROOT / READMES[kind]).read_text("utf-8")
    start, end = f"<!-- table: {kind} -->\n", "<!-- end of table -->\n"
    assert text.count(start) == text.count(end) == 1 and text.index(start) < text.index(end)


def test_a_broken_method_file_leaves_the_other_rows(capsys, monkeypatch):
    def card(name: str) -> None:
        raise listing.InputError(f"{name}.py is broken")

    monkeypatch.setattr(listing, "card", card)
    status, out, _ = call(capsys, "--list", "methods", "--format", "markdown")
    assert status == 0 and "| `ce` | broken: ce.py is broken |" in out
