"""Tables of the parity ledger, from the files in the repository's form."""

from pathlib import Path

import pandas as pd

import methods
from bench.report.parity import CHECKS, LEDGER, TRIALS, parity_tables, read_parity, with_checks


def folder_of(path, seeds):
    trials = [("gce", "symmetric", 0.5, seed, 0.9, 0.95, theirs, 0.95) for seed, theirs in seeds]
    pd.DataFrame(trials, columns=TRIALS).to_csv(path / "parity.csv", index=False)
    ledger = [("gce", "them/code", "abc1234", "side by side", "their loss", "")]
    pd.DataFrame(ledger, columns=LEDGER).to_csv(path / "ledger.csv", index=False)
    return path


def test_the_difference_is_paired_over_seeds(tmp_path):
    text = parity_tables(*read_parity(folder_of(tmp_path, [(0, 0.9), (1, 0.89), (2, 0.88)])))
    # t of 2 degrees of freedom, 4.303, times 0.01 / sqrt(3).
    row = "| gce | symmetric 0.5 | 90.0 ± 0.0 | 89.0 ± 2.5 | +1.0 (−1.5 to +3.5) | 95.0 ± 0.0 |"
    assert row in text
    assert "| gce | them/code | abc1234 | side by side | their loss | – |" in text


def test_one_seed_has_no_interval(tmp_path):
    text = parity_tables(*read_parity(folder_of(tmp_path, [(0, 0.88)])))
    assert "| 90.0 | 88.0 | +2.0 | 95.0 | 95.0 | +0.0 | 1 |" in text


def test_a_commit_of_digits_stays_a_text(tmp_path):
    folder = folder_of(tmp_path, [(0, 0.88)])
    text = (folder / "ledger.csv").read_text().replace("abc1234", "0012345")
    (folder / "ledger.csv").write_text(text)
    assert "0012345" in parity_tables(*read_parity(folder))


def test_the_ledger_has_at_most_a_row_for_each_of_our_methods():
    _, ledger = read_parity(Path(__file__).parents[2] / "results" / "reference" / "parity")
    own = {path.stem for path in Path(methods.__path__[0]).glob("[!_]*.py")}
    assert len(ledger) > 30 and ledger["method"].is_unique and {*ledger["method"]} <= own
    assert set(ledger["check"]) <= {*CHECKS, ""}


def test_the_table_of_methods_gets_a_column(tmp_path):
    _, ledger = read_parity(folder_of(tmp_path, [(0, 0.88)]))
    table = "| Method | Idea |\n| --- | --- |\n| `ce` | baseline |\n| `gce` | loss |\n"
    assert with_checks(table, ledger).splitlines() == [
        "| Method | Idea | Checked |",
        "| --- | --- | --- |",
        "| `ce` | baseline | – |",
        "| `gce` | loss | side by side |",
    ]
