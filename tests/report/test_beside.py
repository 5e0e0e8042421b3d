"""One's own rows beside a reference board."""

import tarfile

import pytest
from fabricate import write_trial

from bench.errors import InputError
from bench.report.board import read_board
from bench.report.sections import sections

CODE = {"harness": "1111", "method": "2222"}


def noise(rate: float, labels: str) -> dict:
    return {"nominal_rate": rate, "realised_rate": rate, "label_hash": labels}


@pytest.fixture
def reference(tmp_path):
    """Return an archive of cross-entropy and gce at two noise rates, three seeds each."""
    folder = tmp_path / "board"
    for seed in range(3):
        for rate in (0.2, 0.5):
            for method, accuracy in (("ce", 0.5), ("gce", 0.6)):
                write_trial(
                    folder / "sweep",
                    method,
                    test=[accuracy + seed / 100],
                    seed=seed,
                    rate=rate,
                    done={"code": CODE, "noise": noise(rate, f"{rate} {seed}")},
                )
    with tarfile.open(folder / "records.tar.gz", "w:gz") as archive:
        archive.add(folder / "sweep" / "trials", "trials")
    return folder / "records.tar.gz"


def mine(tmp_path, rate=0.5, **changes):
    """Return a sweep of elr."""
    for seed in range(3):
        write_trial(
            tmp_path / "mine",
            "elr",
            test=[0.7 + seed / 100],
            seed=seed,
            rate=rate,
            done={"code": CODE, "noise": noise(rate, f"{rate} {seed}")},
            **changes,
        )
    return tmp_path / "mine"


def test_rows_of_both_are_ranked_and_paired_in_one_cell(tmp_path, reference):
    board = read_board([mine(tmp_path)], beside=reference)
    rows = board.leaderboard[board.leaderboard["rule"] == "noisy-val"].set_index("method")
    assert rows["rank"].to_dict() == {"elr": 1, "gce": 2, "ce": 3}
    assert rows.loc["elr", "paired_seeds"] == 3
    assert rows.loc["elr", "diff_vs_reference"] == pytest.approx(0.2)
    assert set(rows["noise_rate"]) == {0.5}, "cells without own rows are left out"
    [section] = sections(board)
    assert section.notes[0].startswith("Rows of mine: elr; all others are of board, with")
    assert "the same at the common noise seeds, 0, 1, 2" in section.notes[1]
    assert "All were made by the same code" in section.notes[2]


def test_a_trial_of_both_counts_once(tmp_path, reference):
    write_trial(tmp_path / "mine", "ce", test=[0.5], seed=0, done={"code": CODE})
    board = read_board([mine(tmp_path)], beside=reference)
    rows = board.leaderboard.set_index(["method", "rule"])
    assert rows.loc[("ce", "noisy-val"), "seeds"] == 3


def test_other_code_and_other_labels_are_named(tmp_path, reference):
    code = CODE | {"harness": "3333"}
    sweep = tmp_path / "mine"
    for seed in (2, 5):
        write_trial(sweep, "elr", seed=seed, done={"code": code, "noise": noise(0.5, "other")})
    [section] = sections(read_board([sweep], beside=reference))
    assert "Noise seeds 2 have drawn other labels" in section.notes[1]
    assert "Not made by the same code (harness)" in section.notes[2]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"recipe": {"epochs": 9}}, "recipe.epochs is 9, in board 1"),
        ({"spec": {"data_hash": "f" * 16}}, "data_hash is ffffffffffffffff, in board 0123"),
        ({"spec": {"threads": 4}}, "threads is 4, in board 1"),
        ({"spec": {"subset": 32}}, "subset is 32, in board not set"),
    ],
)
def test_where_no_cell_has_both_the_note_says_what_differs(
    tmp_path, reference, changes, difference
):
    board = read_board([mine(tmp_path, **changes)], "none", beside=reference)
    assert set(board.leaderboard["method"]) == {"elr"}
    [section] = sections(board)
    assert section.notes[0].startswith(f"No row of board is in this table: {difference}")
    assert ";" not in section.notes[0], "nothing else differs"


def test_a_rate_that_the_reference_lacks_is_named(tmp_path, reference):
    mine(tmp_path)
    [section] = sections(read_board([mine(tmp_path, rate=0.8)], beside=reference))
    assert "board has no trials at 80 %." in section.notes


def test_a_sweep_that_has_all_trials_of_the_reference_says_so(tmp_path, reference):
    [section] = sections(read_board([tmp_path / "board" / "sweep"], beside=reference))
    assert "No row of board is in this table: sweep has all of its trials, too." in section.notes


def test_a_reference_without_trials_at_the_rates_of_a_sweep_says_so(tmp_path, reference):
    board = read_board([mine(tmp_path, rate=0.8)], "none", beside=reference)
    [section] = sections(board)
    why = "at 80 % it has no trials that mine lacks"
    assert f"No row of board is in this table: {why}." in section.notes


def test_an_archive_of_a_published_set_is_that_set(tmp_path):
    """The same content gives one cell, and a trial that both have counts once."""
    content = "ce9e0c25521f163a"
    for sweep, dataset in (("named", "cifar10n"), ("file", "npz:/data/cifar.npz")):
        for method in ("ce", "gce") if sweep == "named" else ("ce", "elr"):
            spec = {"dataset": dataset, "data_hash": content}
            write_trial(tmp_path / sweep, method, spec=spec)
    board = read_board([tmp_path / "file"], beside=tmp_path / "named")
    rows = board.leaderboard[board.leaderboard["rule"] == "last"].set_index("method")
    assert set(rows["dataset"]) == {"cifar10n"} and rows["seeds"].to_dict() == dict.fromkeys(
        ("ce", "gce", "elr"), 1
    )


def test_a_sweep_without_a_finished_trial_is_refused(tmp_path, reference):
    (tmp_path / "mine" / "trials").mkdir(parents=True)
    with pytest.raises(InputError, match="no trial is over in mine"):
        read_board([tmp_path / "mine"], beside=reference)
