"""Committed leaderboards are what their committed records say."""

import tarfile
from pathlib import Path

import pytest

from bench.leaderboard import write_report

ARCHIVES = sorted((Path(__file__).resolve().parents[1] / "results" / "reference").glob("*/records.tar.gz"))


def test_there_are_some():
    assert ARCHIVES


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.parent.name)
def test_the_tables_are_those_of_the_records(archive, tmp_path):
    with tarfile.open(archive) as records:
        records.extractall(tmp_path / "sweep", filter="data")
    write_report([tmp_path / "sweep"], tmp_path / "report", plots=False)
    for name in ("leaderboard.csv", "configs.csv", "statistics.csv"):
        assert (tmp_path / "report" / name).read_text() == (archive.parent / name).read_text(), f"make {name} again"
