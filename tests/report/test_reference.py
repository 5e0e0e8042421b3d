"""Committed leaderboards are what their committed records say."""

import json
import tarfile
from pathlib import Path

import pytest

from bench.records.archive import opened
from bench.records.curves import read_curves
from bench.records.imports import write_imported
from bench.records.verdict import NAME as VERDICT
from bench.records.verdict import read_verdict, records_hash
from bench.report.writer import write_report

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
ARCHIVES = sorted(REFERENCE.glob("*/records.tar.gz"))
#: A board of each kind: of networks, tuned, large and on features, imported. ``.ci/archives``
#: computes the tables of those that a change touches.
KINDS = {"digits", "digits-tuned", "cifar10n-features", "noisypy-replay"}
#: Other people's curves, from which records were made.
CURVES = "curves.csv.gz"


def test_there_are_boards_of_every_kind():
    assert {archive.parent.name for archive in ARCHIVES} >= KINDS


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(
            archive,
            id=archive.parent.name,
            marks=[] if archive.parent.name in KINDS else pytest.mark.slow,
        )
        for archive in ARCHIVES
    ],
)
def test_the_tables_are_those_of_the_records(archive, tmp_path):
    report = write_report([archive], tmp_path / "report", plots=False)
    # the page names the folder of its records
    made = [path for path in report.files if path.suffix != ".html"]
    assert {".csv", ".md", ".tex"} <= {path.suffix for path in made}
    other = [path.name for path in made if committed(archive.parent / path.name) != committed(path)]
    assert not other, f"make them again: {', '.join(other)}"
    known = {"README.md", "records.tar.gz", "sweep.json", CURVES, VERDICT}
    known |= {path.name for path in report.files}
    beside = {
        path.name
        for path in archive.parent.iterdir()
        if path.is_file() and not path.name.endswith("_authors.json")
    }
    assert beside <= known and (opened(archive) / "sweep.json").exists(), (
        "results/README.md says where files are from"
    )


@pytest.mark.parametrize(
    "archive",
    [archive for archive in ARCHIVES if archive.with_name(VERDICT).exists()],
    ids=lambda archive: archive.parent.name,
)
def test_a_verdict_accepts_the_records(archive):
    verdict = read_verdict(archive)
    assert verdict is not None and verdict.accepted
    assert verdict.records == records_hash(archive), "python -m bench.verify writes it anew"


@pytest.mark.parametrize(
    "curves", sorted(REFERENCE.glob(f"*/{CURVES}")), ids=lambda curves: curves.parent.name
)
def test_imported_records_are_what_their_curves_say(curves, tmp_path):
    with tarfile.open(curves.with_name("records.tar.gz")) as records:
        records.extractall(tmp_path / "archive", filter="data")
    (tmp_path / "sweep").mkdir()
    command = json.loads(curves.with_name("sweep.json").read_text())["command"]
    write_imported(read_curves(curves, {}), tmp_path / "sweep", curves, command)
    files = {path.relative_to(tmp_path / "sweep") for path in (tmp_path / "sweep").rglob("*.json*")}
    assert len(files) > 3
    for file in files:
        assert (tmp_path / "sweep" / file).read_bytes() == (
            tmp_path / "archive" / file
        ).read_bytes()


def committed(path: Path) -> str:
    """Return a table's text without the list of figures; empty where there is no such file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text.partition("\n## Figures\n")[0].rstrip()
