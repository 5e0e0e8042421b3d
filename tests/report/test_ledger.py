"""Ledger: published numbers beside several boards."""

import pandas as pd
import pytest
from fabricate import write_trial

from bench.records.curves import read_curves
from bench.records.imports import write_imported
from bench.report.ledger import ledger_sections, paper_of, read_ledger
from bench.report.writer import write_ledger

NUMBERS = """dataset,noise,rate,method,backbone,protocol,accuracy,source
cifar10,human-worst,,ce,resnet34,last epoch,77.69,"A (2020), Table 1; last epoch, 120 epochs"
cifar10,human-worst,,elr,resnet34,best test epoch (oracle),83,"A (2020), Table 1"
cifar10,symmetric,0.5,ce,resnet34,last epoch,60,"B (2021), Table 2"
cifar10,symmetric,0.8,ce,resnet34,last epoch,30,"B (2021), Table 2"
cifar10,human-random1,,ce,resnet34,last epoch,80,"B (2021), Table 2"
cifar100,symmetric,0.5,ce,resnet34,last epoch,40,"B (2021), Table 3"
"""


@pytest.fixture
def boards(tmp_path, monkeypatch):
    """Return two boards: human labels and symmetric noise on the images of CIFAR-10N."""
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "all.csv").write_text(NUMBERS)
    monkeypatch.setattr("bench.report.published.FOLDER", tmp_path / "numbers")
    spec = {"dataset": "cifar10n"}
    for kind, rate, test in (("human-worst", None, 0.7), ("symmetric", 0.5, 0.65)):
        noise = {"nominal_rate": rate, "realised_rate": 0.4}
        more = {"spec": spec | {"noise_kind": kind}, "done": {"noise": noise}}
        write_trial(tmp_path / kind, "ce", test=[test], rate=rate, **more)
    return [tmp_path / "human-worst", tmp_path / "symmetric"]


def test_a_number_stands_beside_the_board_that_has_its_cell(boards):
    ledger = read_ledger(boards)
    compared = ledger[ledger["ours"].notna()]
    assert compared[["board", "ours", "difference"]].to_numpy().tolist() == [
        ["human-worst", 70.0, pytest.approx(-7.69)],
        ["symmetric", 65.0, 5.0],
    ], "synthetic noise on the images of CIFAR-10N is noise on CIFAR-10"
    assert "their epochs 120, ours 1" in compared["differences"].iloc[0]
    assert "their epochs are not stated" in compared["differences"].iloc[1]
    assert ledger["not_comparable"].dropna().tolist() == [
        "no records of elr in this cell",
        "no records at 80 % symmetric noise on cifar10: ours have 50 %",
        "no records with human-random1 noise on cifar10n: ours have human-worst",
        "no records on cifar100",
    ]


def test_the_summary_has_a_row_for_each_source_and_data_set(boards):
    summary, comparisons = ledger_sections(read_ledger(boards))
    rows = [[entry.text for entry in row] for row in summary.tables[0].rows]
    assert rows == [
        ["A (2020)", "cifar10", "2", "1", "0", "human-worst", "−7.7", "method 1"],
        ["B (2021)", "cifar10", "3", "1", "0", "symmetric", "+5.0", "noise 1, rate 1"],
        ["B (2021)", "cifar100", "1", "0", "0", "–", "–", "data set 1"],
    ]
    assert "6 published numbers, 2 of them beside ours" in summary.tables[0].caption
    assert len(comparisons.tables[0].rows) == 2 and len(comparisons.notes) == 5


def test_a_number_with_two_boards_counts_once(boards):
    summary, comparisons = ledger_sections(read_ledger([*boards, boards[0]]))
    assert [entry.text for entry in summary.tables[0].rows[0]][2:4] == ["2", "1"]
    assert len(comparisons.tables[0].rows) == 3


@pytest.mark.parametrize(
    ("code", "counts", "reason"),
    [
        ("repository X, commit 1234567890ab", ["1", "0", "0"], "other runs 1"),
        ("repository X, commit abcdef0", ["1", "0", "1"], "–"),
    ],
)
def test_a_number_is_not_compared_with_the_runs_it_is_of(boards, tmp_path, code, counts, reason):
    numbers = tmp_path / "numbers" / "all.csv"
    head, first, *_ = NUMBERS.splitlines()
    source = '"logs of X (repository X, commit 1234567), recomputed"'
    numbers.write_text(f"{head}\n{first.partition(chr(34))[0]}{source}\n")
    curves = tmp_path / "curves.csv"
    curves.write_text(
        f"# source: X, 2024\n# code: {code}\n"
        "method,dataset,noise_kind,noise_rate,seed,epoch,noisy_val_accuracy,test_accuracy\n"
        "ce,cifar10n,human-worst,0.4,0,0,0.5,0.6\n"
    )
    (tmp_path / "theirs").mkdir()
    write_imported(read_curves(curves, {}), tmp_path / "theirs", curves, [])
    [summary, _] = ledger_sections(read_ledger([tmp_path / "theirs"]))
    [row] = summary.tables[0].rows
    assert [entry.text for entry in row][2:5] == counts and row[-1].text == reason
    [_, both] = ledger_sections(read_ledger([tmp_path / "theirs", boards[0]]))
    assert len(both.tables[0].rows) == 1 + int(counts[2])


def test_the_whole_ledger_is_a_table(boards, tmp_path):
    _, [table, page] = write_ledger(boards, tmp_path / "out")
    written = pd.read_csv(table)
    assert len(written) == 6 and written["board"].notna().sum() == 2
    assert page.read_text().startswith("# Ledger\n")


@pytest.mark.parametrize(
    ("source", "paper"),
    [
        ("ELR (Liu et al., 2020), Table 1; mean of 5 runs", "ELR (Liu et al., 2020)"),
        ("table of the DULC paper, Table 3", "table of the DULC paper"),
        ("logs (A, 2026; repository b/c), mean", "logs (A, 2026; repository b/c)"),
    ],
)
def test_a_source_is_named_by_its_paper(source, paper):
    assert paper_of(source) == paper
