"""Reports on other people's trials: marked, named as they are, and never in a cell with ours."""

from pathlib import Path

import pytest
from curves import COLUMNS, import_runs, run_rows
from fabricate import write_trial

from bench.errors import InputError
from bench.report.board import Board, read_board
from bench.report.compare import compare
from bench.report.page_data import page_data
from bench.report.sections import sections
from bench.report.writer import write_report

HEADER = "# source: A. Nybody, 2024\n# code: repo, commit 1\n# licence: MIT\n# backbone: vgg\n"
LABEL = "imported from A. Nybody, 2024 (repo, commit 1; licence MIT)"


def runs(cell: str = "digits,symmetric,0.5") -> list[str]:
    """Two seeds of cross-entropy, and of a method of another name and length."""
    return [
        rows
        for seed in (0, 1)
        for rows in (
            run_rows("ce", (0.5, 0.6 + seed / 10), (0.4, 0.3), seed=seed, cell=cell),
            run_rows("SOP+ce", (0.5, 0.8, 0.75 + seed / 10), (0.2, 0.4, ""), seed=seed, cell=cell),
        )
    ]


@pytest.fixture
def imported(tmp_path) -> Path:
    return import_runs(tmp_path / "imported", *runs(), header=HEADER)


@pytest.fixture
def ours(tmp_path) -> Path:
    for seed in (0, 1):
        write_trial(tmp_path / "ours", "ce", test=(0.4, 0.55), seed=seed)
        write_trial(tmp_path / "ours", "elr", test=(0.5, 0.6), seed=seed)
    return tmp_path / "ours"


def mean(board: Board, method: str, rule: str) -> float:
    rows = board.leaderboard
    [value] = rows.loc[(rows["method"] == method) & (rows["rule"] == rule), "mean"]
    return value


def test_every_rule_reads_the_curves(imported):
    board = read_board([imported])
    assert set(board.leaderboard["method"]) == {"ce", "SOP+ce"}
    assert mean(board, "ce", "noisy-val") == 0.5
    assert mean(board, "ce", "last") == mean(board, "ce", "oracle") == pytest.approx(0.65)
    assert mean(board, "SOP+ce", "noisy-val") == 0.8
    assert mean(board, "SOP+ce", "oracle") == pytest.approx(0.825)
    regrets = board.regrets.set_index(["method", "rule"])["regret"]
    assert regrets["ce", "noisy-val"] == pytest.approx(0.15)
    assert set(board.leaderboard["track"]) == {"imported"}
    assert not board.leaderboard["wraps"].any() and not board.leaderboard["config"].any()


def test_the_table_says_where_its_rows_are_from(imported):
    [section] = sections(read_board([imported]))
    assert section.title == "digits, symmetric noise, imported"
    assert section.setup == f"{LABEL}: vgg, 2 to 3 epochs, an unknown share noisy validation"
    assert sum(LABEL in note for note in section.notes) == 1
    assert any("came without seconds" in note for note in section.notes)


def test_seconds_are_a_cost(tmp_path):
    rows = [
        run_rows(method, (0.5, 0.6), seed=seed, more={"seconds": (cost, cost)})
        for method, cost in (("ce", 1), ("cal", 3))
        for seed in (0, 1)
    ]
    board = read_board([import_runs(tmp_path / "a", *rows, columns=f"{COLUMNS},seconds")])
    costs = board.leaderboard.groupby("method")["cost_vs_ce"].max()
    assert dict(costs) == {"ce": 1, "cal": 3}
    assert not any("without seconds" in note for note in sections(board)[0].notes)


def test_imported_trials_are_in_no_cell_with_ours_or_another_source(imported, ours, tmp_path):
    other = import_runs(tmp_path / "other", *runs(), header="# source: B\n")
    board = read_board([ours, imported, other])
    cells = board.leaderboard.groupby("cell")
    assert cells.ngroups == 3 and (cells["imported"].nunique() == 1).all()
    alone, together = read_board([ours]), [s for s in sections(board) if "imported" not in s.title]
    assert together == sections(alone)


def test_tables_have_a_column_for_the_source_where_there_is_one(imported, ours, tmp_path):
    write_report([imported], tmp_path / "a", plots=False)
    write_report([ours], tmp_path / "b", plots=False)
    heads = [(tmp_path / name / "rules.csv").read_text().splitlines() for name in "ab"]
    assert "imported" in heads[0][0].split(",") and LABEL in heads[0][1]
    assert "imported" not in heads[1][0].split(",")


def test_the_page_shows_the_code_of_the_source(imported):
    board = read_board([imported])
    data = page_data(board, sections(board), None, [])
    assert data["trials"]["commits"] == ["repo, commit 1"]
    assert set(data["trials"]["config"]) == {"not on record"}


def test_figures_and_page_are_drawn(imported, ours, tmp_path):
    report = write_report([imported, ours], tmp_path / "report")
    names = {path.name for path in report.files}
    assert "index.html" in names and any("curves" in name for name in names)


def test_published_numbers_beside_an_import_say_so(tmp_path):
    rows = runs("cifar10n,human-worst,0.402")
    published = read_board([import_runs(tmp_path / "a", *rows)]).published
    beside = published[published["ours"].notna()]
    assert len(beside) and beside["differences"].str.startswith("ours is an imported run; ").all()


@pytest.mark.parametrize("first", [True, False])
def test_imported_trials_have_no_partners(imported, ours, first):
    sides = ([imported], [ours]) if first else ([ours], [imported])
    with pytest.raises(InputError, match="imported trials have no partners"):
        compare(*sides)
