"""Committed leaderboards are what their committed records say."""

from pathlib import Path

import pytest

from bench.records.archive import opened
from bench.report.writer import write_report

ARCHIVES = sorted(
    (Path(__file__).resolve().parents[2] / "results" / "reference").glob("*/records.tar.gz")
)


def test_there_are_some():
    assert ARCHIVES


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.parent.name)
def test_the_tables_are_those_of_the_records(archive, tmp_path):
    report = write_report([archive], tmp_path / "report", plots=False)
    # the page names the folder of its records
    made = [path for path in report.files if path.suffix != ".html"]
    assert {".csv", ".md", ".tex"} == {path.suffix for path in made}
    other = [path.name for path in made if committed(archive.parent / path.name) != committed(path)]
    assert not other, f"make them again: {', '.join(other)}"
    known = {"README.md", "records.tar.gz", "sweep.json", *(path.name for path in report.files)}
    beside = {
        path.name
        for path in archive.parent.iterdir()
        if path.is_file() and not path.name.endswith("_authors.json")
    }
    assert beside <= known and (opened(archive) / "sweep.json").exists(), (
        "results/README.md says where files are from"
    )


def committed(path: Path) -> str:
    """Return a table's text without the list of figures; empty where there is no such file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text.partition("\n## Figures\n")[0].rstrip()
