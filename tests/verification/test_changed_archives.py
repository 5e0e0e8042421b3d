"""Check of the boards that a change touches (``.ci/archives``), in a repository of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from archives import Tampering, write_archive
from verdicts import write_verdict

from bench.records.verdict import VERIFIED

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("honest") / "sweep"
    return write_archive(folder, methods=["ce"], rates=[0.5], seeds=[0])


@pytest.fixture
def repository(archive, tmp_path) -> Path:
    """Repository of one board, committed."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "archives", tmp_path / ".ci")
    board = Tampering(archive, tmp_path / "results" / "reference" / "mine")
    board.pack()
    shutil.rmtree(board.sweep / "trials")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "board")
    return tmp_path


def git(repository: Path, *words: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, *words], cwd=repository, check=True)


def check(repository: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, ".ci/archives", *words],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.returncode, done.stdout


def test_a_base_that_is_no_commit_is_refused(repository):
    status, output = check(repository, "nonesuch")
    assert status == 2 and "'nonesuch'" in output


def test_without_a_base_nothing_is_checked_and_it_says_so(repository):
    status, output = check(repository)
    assert status == 0 and "not checked" in output


def test_tables_without_records_are_refused(repository):
    (repository / "results" / "reference" / "mine" / "records.tar.gz").unlink()
    status, output = check(repository, "HEAD")
    assert status == 1 and "tables without records" in output


@pytest.mark.slow
def test_an_edited_table_of_an_unchanged_archive(repository):
    path = repository / "results" / "reference" / "mine" / "leaderboard.csv"
    path.write_text(path.read_text().replace("ce", "gce"))
    status, output = check(repository, "HEAD")
    assert status == 1 and "does not accept it" in output


@pytest.mark.slow
def test_a_verdict_that_a_new_check_does_not_give(repository):
    write_verdict(repository / "results" / "reference" / "mine", outcome=VERIFIED, sample="0")
    git(repository, "add", ".")
    status, output = check(repository, "HEAD")
    assert status == 1 and "says verified, and a new check consistent" in output


@pytest.mark.slow
def test_a_new_folder_of_a_sweep(repository, archive):
    tampering = Tampering(archive, repository / "results" / "reference" / "new")
    git(repository, "add", ".")
    assert check(repository, "HEAD")[0] == 0
    tampering.change(
        tampering.trial("ce"), "epochs.jsonl", lambda lines: lines[1].update(test_accuracy=0.951)
    )
    status, output = check(repository, "HEAD")
    assert status == 1 and "results/reference/new: bench.verify does not accept it" in output
