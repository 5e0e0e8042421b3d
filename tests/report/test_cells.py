"""Cells of comparable trials where the noise has no nominal rate, and notes that count trials."""

from fabricate import write_trial
from search_records import DEFAULTS, write_search

from bench.report.board import read_board
from bench.report.sections import sections

MATRIX = {"noise_kind": "matrix:T.csv", "noise_hash": "ab", "noise_sampling": "independent"}


def rows_of(sweep):
    table = read_board([sweep]).leaderboard
    return table[table["rule"] == "last"].set_index("method")


def noise(rate: float, seed: int) -> dict:
    return {"noise": {"nominal_rate": None, "realised_rate": rate, "label_hash": f"labels{seed}"}}


def test_seeds_that_realise_other_rates_are_one_cell(tmp_path):
    for method in ("ce", "elr", "gce"):
        for seed, rate in enumerate((0.49, 0.49, 0.55)):
            write_trial(tmp_path, method, rate=None, seed=seed, spec=MATRIX, done=noise(rate, seed))
    board = read_board([tmp_path])
    assert rows_of(tmp_path)["seeds"].tolist() == [3, 3, 3]
    assert rows_of(tmp_path)["noise_rate"].round(6).unique() == [0.51]
    assert board.ranks is None, "one cell is no several blocks"


def test_a_failure_before_the_labels_were_drawn_counts_in_its_cell(tmp_path):
    human = {"dataset": "cifar10n", "noise_kind": "human-worst"}
    for method in ("ce", "gce"):
        for seed in range(3):
            failed = (method, seed) == ("gce", 2)
            write_trial(
                tmp_path,
                method,
                rate=None,
                seed=seed,
                spec=human,
                status="failed" if failed else "finished",
                done={"noise": None} if failed else noise(0.4, seed),
            )
    rows = rows_of(tmp_path)
    assert len(rows) == 2 and rows.loc["gce", ["seeds", "failures"]].tolist() == [3, 1]


def test_a_trial_of_several_tracks_fails_once(tmp_path):
    write_trial(tmp_path, "ce")
    for seed in range(3):
        status = "failed" if seed == 2 else "finished"
        write_trial(tmp_path, "elr", seed=seed, defaults=DEFAULTS, status=status)
    # The search picks the defaults, so that their trials are of both tracks.
    write_search(tmp_path, [{}, {"elr.weight": 9.0}], [0.9, 0.1], [0.9, 0.1])
    [note] = [
        note
        for section in sections(read_board([tmp_path]))
        for note in section.notes
        if note.startswith("Failures")
    ]
    assert "1 of 4 trials" in note
