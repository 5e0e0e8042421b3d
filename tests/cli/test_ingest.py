"""Command `python -m bench.ingest`, and the other commands on what it writes."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import call as run
from curves import run_rows, write_curves

from bench.cli import ingest, report, trial, verify


def call(capsys, command, *arguments: object) -> tuple[int, str, str]:
    """Return exit status, output and errors of a command's module."""
    with pytest.raises(SystemExit) as end:
        command.main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


@pytest.fixture
def curves(tmp_path):
    rows = (run_rows(name, seed=seed) for name in ("ce", "cal") for seed in (0, 1))
    return write_curves(tmp_path / "curves.csv", *rows)


@pytest.fixture
def sweep(curves, tmp_path, capsys):
    assert call(capsys, ingest, curves, "--out", tmp_path / "sweep")[0] == 0
    return tmp_path / "sweep"


def refused(result: tuple[int, str, str], message: str) -> None:
    status, _, errors = result
    assert status == 2 and message in errors and errors.count("\n") == 1


def test_it_writes_records_that_a_report_reads(curves, tmp_path, capsys):
    out = tmp_path / "sweep"
    status, text, errors = call(
        capsys, ingest, curves, "--out", out, "--source", "B", "--licence", "MIT"
    )
    assert status == 0 and not errors
    assert text.startswith(f"4 trials of 2 methods in 1 cells are in {out}; ")
    assert json.loads((out / "sweep.json").read_text())["imported"]["source"] == "B"
    status, text, _ = call(capsys, report, out, "--no-plots", "--details")
    assert status == 0 and "imported from B (code not stated; licence MIT)" in text
    assert "cal" in text and "¶" not in text


def test_runs_of_other_lengths_are_a_warning(tmp_path, capsys):
    path = write_curves(tmp_path / "a.csv", run_rows(), run_rows(test=(0.5,), seed=1))
    status, _, errors = call(capsys, ingest, path, "--out", tmp_path / "sweep")
    assert status == 0 and errors.startswith("Warning: seeds of fixmatch on digits, symmetric 0.5")


def test_a_wrong_file_or_folder_is_one_sentence(curves, sweep, tmp_path, capsys):
    refused(call(capsys, ingest, curves, "--out", sweep), "holds trials: choose another --out")
    board = tmp_path / "board"
    board.mkdir()
    (board / "records.tar.gz").write_bytes(b"")
    refused(call(capsys, ingest, curves, "--out", board), "holds records.tar.gz, but no trials")
    share = call(capsys, ingest, curves, "--out", tmp_path / "new", "--validation-share", "9")
    refused(share, "validation_share is '9': give a number between 0 and 1")
    curves.write_text("method\n")
    result = call(capsys, ingest, curves, "--out", tmp_path / "new")
    refused(result, "it has no column dataset")
    assert not (tmp_path / "new").exists()


def test_no_command_runs_imported_trials_or_adds_to_them(sweep, tmp_path, capsys):
    result = run(capsys, "--methods", "ce", "--epochs", "1", "--out", str(sweep))
    refused(result, "holds imported trials, which other people ran: choose another --out")
    refused(run(capsys, "--config", str(sweep / "sweep.json")), "trials of this sweep.json are imp")
    [spec, *_] = sorted(sweep.glob("trials/*/spec.json"))
    refused(call(capsys, trial, spec), "this trial is imported: other people ran it")
    refused(call(capsys, report, sweep, "--compare", sweep), "imported trials have no partners")


def test_equal_imported_curves_are_told_as_possible_copies(tmp_path, capsys):
    write_curves(tmp_path / "a.csv", run_rows("ce", seed=0), run_rows("ce", seed=1))
    assert call(capsys, ingest, tmp_path / "a.csv", "--out", tmp_path / "a")[0] == 0
    status, output, _ = call(capsys, verify, tmp_path / "a")
    assert status == 0 and "imported curves that are equal in all epochs" in output


def test_a_pipe_is_read_once(curves, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = curves.read_bytes()
    with ThreadPoolExecutor() as pool:
        written = pool.submit(pipe.write_bytes, content)
        assert call(capsys, ingest, pipe, "--out", tmp_path / "sweep")[0] == 0
        assert written.result() == len(content)
    facts = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["curves"]
    assert facts == {"file": "pipe", "sha256": hashlib.sha256(content).hexdigest()}
