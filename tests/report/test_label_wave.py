"""Tables under the rule label-wave, from fabricated records with and without its curve."""

import pandas as pd
import pytest
from fabricate import write_trial

from bench.report.board import read_board
from bench.report.page_data import page_data
from bench.report.sections import sections
from bench.report.writer import write_report

#: Means over three epochs fall to the sixth epoch, and rise after it.
MINIMUM = [None, 50, 40, 30, 20, 10, 60, 60, 60, 60]
#: They fall to the end.
NO_MINIMUM = [None, 90, 80, 70, 60, 50, 40, 30, 20, 10]
#: Test accuracy is best at the seventh epoch.
TEST = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.6, 0.5, 0.4]


def changes(counts: list) -> dict[str, dict]:
    return {"epochs": {"prediction_changes": counts}}


def test_the_rule_has_its_rows_and_its_regret(tmp_path):
    write_trial(tmp_path, "ce", test=TEST, noisy_val=TEST[::-1], **changes(MINIMUM))
    write_trial(tmp_path, "elr", test=TEST, **changes(NO_MINIMUM))
    report = write_report([tmp_path], tmp_path, plots=False)
    board = report.leaderboard.set_index(["method", "rule"])
    assert list(board.loc["ce"].index) == ["noisy-val", "last", "label-wave", "oracle"]
    assert board.loc[("ce", "label-wave"), "mean"] == 0.6
    assert board.loc[("ce", "label-wave"), "score"] == 0.5, "by noisy validation"
    assert board.loc[("elr", "label-wave"), "mean"] == 0.4 == board.loc[("elr", "last"), "mean"]
    assert board.loc[("ce", "label-wave"), "privileges"] == ""
    assert board["rank"].xs("label-wave", level="rule").to_dict() == {"ce": 1, "elr": 2}
    regrets = pd.read_csv(tmp_path / "rules.csv").set_index(["method", "rule"])["regret"]
    assert regrets["ce", "label-wave"] == pytest.approx(0.1)
    assert "tau_last_label-wave" in pd.read_csv(tmp_path / "agreement.csv")
    text = (tmp_path / "leaderboard.md").read_text()
    assert "| ce | label-wave | 60.0 |" in text
    assert "label-wave (where predictions of training samples first change least" in text


def test_records_without_its_curve_have_no_row_by_it(tmp_path):
    write_trial(tmp_path, "ce", test=TEST, **changes(MINIMUM))
    write_trial(tmp_path, "elr", test=TEST)  # of an earlier version
    write_trial(tmp_path, "gce", test=TEST, rate=0.8)  # alone in its cell
    write_trial(tmp_path, "ce", seed=1, status="diverged", test=TEST)
    write_trial(tmp_path, "gce", seed=1, rate=0.8, status="diverged", test=TEST)
    board = read_board([tmp_path]).leaderboard
    rows = board[board["rule"] == "label-wave"]
    assert list(rows["method"]) == ["ce"]
    assert rows["mean"].tolist() == pytest.approx([(0.6 + 0.1) / 2]), "a failure is at chance"


def test_a_board_without_the_curve_does_not_name_the_rule(tmp_path):
    write_trial(tmp_path, "ce", test=TEST)
    report = write_report([tmp_path], tmp_path, plots=False)
    for path in report.files:
        assert "label-wave" not in path.read_text(), path


def test_the_page_offers_the_rule_and_says_what_it_reads(tmp_path):
    write_trial(tmp_path, "ce", test=TEST, **changes(MINIMUM))
    write_trial(tmp_path, "ce", seed=1, test=TEST, **changes(NO_MINIMUM))
    board = read_board([tmp_path])
    data = page_data(board, sections(board), None, [])
    [rule] = [rule for rule in data["rules"] if rule["name"] == "label-wave"]
    assert rule["ranks"] and "without any label" in rule["note"]
    assert data["trials"]["epoch"]["label-wave"] == [5, None]
    assert data["trials"]["accuracy"]["label-wave"] == [0.6, 0.4]
