"""Sweeps that searches start from, as they lie on disk."""

from pathlib import Path

from fabricate import write_trial

from bench.tuning.start import read_source


def test_the_folder_that_people_are_in_has_a_name(tmp_path, monkeypatch):
    write_trial(tmp_path / "before", "elr")
    monkeypatch.chdir(tmp_path / "before")
    assert read_source(Path(".")).name == "before"
