"""Words of ``python -m bench.report``: archives in the place of folders, and reference boards."""

import csv
import tarfile

import pytest
from fabricate import write_trial

from bench.cli.commands import execute
from bench.cli.report import report


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        execute(report, [str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


@pytest.fixture
def boards(tmp_path, monkeypatch):
    """Return a folder of reference boards, which holds one."""
    boards = tmp_path / "boards"
    for seed in (0, 1):
        for method in ("ce", "gce"):
            write_trial(tmp_path / "sweep", method, seed=seed)
    (boards / "tiny").mkdir(parents=True)
    with tarfile.open(boards / "tiny" / "records.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "sweep" / "trials", "trials")
    monkeypatch.setattr("bench.cli.paths.BOARDS", boards)
    return boards


def test_an_archive_gives_the_tables_of_its_folder(boards, tmp_path, capsys):
    archive = boards / "tiny" / "records.tar.gz"
    for sweep, out in ((archive, "a"), (archive.parent, "b"), (tmp_path / "sweep", "c")):
        status, _, errors = call(capsys, sweep, "--no-plots", "--out", tmp_path / out)
        assert status == 0, errors
    tables = {out: (tmp_path / out / "leaderboard.csv").read_bytes() for out in "abc"}
    assert tables["a"] == tables["b"] == tables["c"]


def test_an_archive_alone_needs_a_folder_to_write_to(boards, capsys):
    status, _, errors = call(capsys, boards / "tiny" / "records.tar.gz")
    assert status == 2 and "with --out" in errors and errors.count("\n") == 1


@pytest.mark.parametrize("name", ["index.html", "leaderboard.md", "leaderboard.csv"])
def test_a_folder_in_the_place_of_a_file_is_one_sentence(boards, tmp_path, capsys, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    arguments = (boards / "tiny", "--no-plots", "--out", tmp_path / "out")
    status, _, errors = call(capsys, *arguments)
    assert status == 2 and name in errors and errors.count("\n") == 1


def test_a_board_is_made_by_one_command(boards, tmp_path, capsys):
    arguments = (tmp_path / "sweep", "--archive", "--no-plots", "--out", tmp_path / "board")
    status, _, errors = call(capsys, *arguments)
    assert status == 2 and "sweep.json" in errors and errors.count("\n") == 1
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    status, text, errors = call(capsys, *arguments)
    assert status == 0 and "board/records.tar.gz (0.00 MB)" in text, errors
    status, _, errors = call(capsys, tmp_path / "board", "--no-plots", "--out", tmp_path / "again")
    tables = [(tmp_path / out / "leaderboard.csv").read_bytes() for out in ("board", "again")]
    assert status == 0 and tables[0] == tables[1], errors


@pytest.mark.parametrize(
    ("more", "message"),
    [(["sweep"], "one SWEEP"), (["--compare", "sweep"], "--archive has no meaning")],
)
def test_an_archive_is_of_one_sweep_and_with_a_leaderboard(boards, tmp_path, capsys, more, message):
    more = [tmp_path / word if word == "sweep" else word for word in more]
    status, _, errors = call(capsys, tmp_path / "sweep", "--archive", *more)
    assert status == 2 and message in errors and errors.count("\n") == 1


def test_two_archives_are_compared(boards, tmp_path, capsys):
    archive = boards / "tiny" / "records.tar.gz"
    status, _, errors = call(capsys, archive, "--compare", archive, "--out", tmp_path / "out")
    assert status == 0, errors
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "2 of 2 configurations have the same mean" in text and "tiny/records.tar.gz" in text


def test_a_board_is_given_by_name(boards, tmp_path, capsys):
    for seed in (0, 1):
        write_trial(tmp_path / "mine", "elr", test=[0.7], seed=seed)
    arguments = (tmp_path / "mine", "--with", "tiny", "--no-plots")
    status, text, errors = call(capsys, *arguments)
    assert status == 0 and "Rows of mine: elr; all others are of tiny, with" in " ".join(
        text.split()
    )
    with (tmp_path / "mine" / "leaderboard.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"ce", "gce", "elr"}, errors


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (
            "tine",
            "--with: there is no folder, archive or reference board 'tine': did you mean tiny?",
        ),
        ("", "--with is empty: give a folder"),
        ("x/y", "choose from tiny"),
    ],
)
def test_an_unknown_board_is_one_sentence(boards, tmp_path, capsys, board, message):
    write_trial(tmp_path / "mine", "elr")
    status, _, errors = call(capsys, tmp_path / "mine", "--with", board)
    assert status == 2 and message in errors and errors.count("\n") == 1


def test_a_wheel_without_boards_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.cli.paths.BOARDS", tmp_path / "nowhere")
    write_trial(tmp_path / "mine", "elr")
    status, _, errors = call(capsys, tmp_path / "mine", "--with", "digits")
    assert status == 2 and "this installation has no reference boards" in errors
    assert errors.count("\n") == 1


def test_a_comparison_takes_no_board(boards, tmp_path, capsys):
    write_trial(tmp_path / "mine", "elr")
    mine = tmp_path / "mine"
    status, _, errors = call(capsys, mine, "--compare", mine, "--with", "tiny")
    assert status == 2 and "--with has no meaning with --compare" in errors


def test_a_ledger_passes_over_folders_without_records(boards, tmp_path, capsys):
    (boards / "notes").mkdir()
    arguments = (boards / "notes", boards / "tiny", "--ledger")
    status, _, errors = call(capsys, *arguments)
    assert status == 2 and "name a folder to write to with --out" in errors
    status, text, errors = call(capsys, *arguments, "--out", tmp_path / "out")
    assert status == 0 and f"left out, as they hold no records: {boards / 'notes'}" in errors
    assert "published numbers, 0 of them beside ours" in " ".join(text.split())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ledger.csv", "ledger.md"}
    status, _, errors = call(capsys, boards / "notes", "--ledger", "--out", tmp_path / "out")
    assert status == 2 and "none of these holds records" in errors


def test_a_ledger_is_no_comparison(boards, capsys):
    status, _, errors = call(capsys, boards / "tiny", "--ledger", "--compare", boards / "tiny")
    assert status == 2 and "give one of them" in errors
    status, _, errors = call(capsys, boards / "tiny", "--ledger", "--rank-by", "detection_auc")
    assert status == 2 and "--rank-by has no meaning with --ledger" in errors
    status, _, errors = call(capsys, boards / "tiny", "--ledger", "--clean-val", "banana")
    assert status == 2 and "--clean-val has no meaning with --ledger" in errors
