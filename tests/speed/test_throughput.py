"""Sweeps without training, which measure the driver."""

import re

import pytest

from bench.records.trials import finished_statuses
from bench.speed import driver as measured
from bench.speed.throughput import main
from bench.sweep.driver import Driver
from bench.sweep.work import Settings

SMALL = ["--trials", "6", "--epochs", "3", "--messages", "2", "--parallel", "4"]


def run(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    assert not end.value.code, captured.err
    return captured.out


@pytest.mark.parametrize("ray", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_trial_leaves_a_whole_record_and_is_reported(ray, capsys, tmp_path):
    out = tmp_path / "sweep"
    text = run(capsys, *SMALL, *["--ray"] * ray, "--out", str(out))
    assert re.search(r"^ +6 trials: .* ms of CPU a trial", text, re.MULTILINE)
    assert "in 4 files a trial" in text and "later report:" in text
    assert list(finished_statuses(out).values()) == ["finished"] * 6
    lines = [path.read_text().count("\n") for path in out.glob("trials/*/epochs.jsonl")]
    assert lines == [3] * 6
    assert (out / "leaderboard.csv").read_text().count("\n") > 6


def test_as_many_trials_are_on_their_way_as_run_at_a_time(tmp_path, monkeypatch):
    load = measured.Load(trials=6, epochs=2, messages=2, parallel=4, megabytes=0.0)
    dataset, specs = measured.plan_of(load)
    assert len({spec.id for spec in specs}) == 6
    choice = measured.scripts(specs[0], dataset, load)
    assert [len(script.messages) for script in choice] == [4] * measured.SCRIPTS
    driver = Driver(specs, dataset, tmp_path, Settings())
    driver.parallel = 4
    running, received = [], driver.received

    def noting(work, message):
        running.append(len(driver.running))
        received(work, message)

    monkeypatch.setattr(driver, "received", noting)
    assert list(measured.drive(driver, choice)) == [1, 2, 3, 4, 5, 6]
    assert max(running) == 4 and len(running) == 6 * 4 and driver.all_over


def test_a_folder_with_files_is_refused(capsys, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        main([*SMALL, "--out", str(tmp_path)])
    assert end.value.code == 2 and "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["nan", "inf"])
def test_a_size_without_end_is_refused(size, capsys):
    with pytest.raises(SystemExit) as end:
        main([*SMALL, "--megabytes", size])
    errors = capsys.readouterr().err
    assert end.value.code == 2 and f"'{size}' is no number to count with" in errors
