"""Verdicts in tables and on the page, and tables beside an archive."""

import pandas as pd
import pytest
from fabricate import write_trial
from verdicts import write_verdict

from bench.errors import InputError
from bench.records.verdict import APART, EXACT, REJECTED, VERIFIED, Fault, Rerun, read_verdict
from bench.report.board import read_board
from bench.report.reproduced import compare_tables
from bench.report.sections import sections
from bench.report.verdicts import summary
from bench.report.writer import write_report


@pytest.fixture
def sweep(tmp_path):
    for method, accuracy in (("ce", 0.4), ("gce", 0.6)):
        for seed in (0, 1):
            write_trial(tmp_path, method, test=[0.2, accuracy + seed / 100], seed=seed)
    return tmp_path


def notes(sweep) -> list[str]:
    return [note for section in sections(read_board([sweep])) for note in section.notes]


def test_a_verdict_is_the_first_note_of_the_tables(sweep):
    rerun = Rerun("abc", "gce", EXACT, 0.0, 0.0, 1.0)
    verdict = write_verdict(sweep, outcome=VERIFIED, trials=4, reruns=[rerun])
    assert notes(sweep)[0] == summary(verdict)
    assert summary(verdict).startswith("Verified by version 0.1.0 on 2026-01-02")
    assert "1 of 4 trials run again (seed 7), equal to the bit" in summary(verdict)
    report = write_report([sweep], sweep, plots=False)
    for name in ("leaderboard.md", "index.html"):
        [path] = [path for path in report.files if path.name == name]
        assert "1 of 4 trials run again" in path.read_text()


def test_without_a_verdict_tables_say_nothing_of_one(sweep):
    assert not any("erif" in note for note in notes(sweep))


def test_a_verdict_on_other_records_counts_for_nothing(sweep):
    write_verdict(sweep, outcome=VERIFIED)
    write_trial(sweep, "elr", test=[0.2, 0.9])
    assert notes(sweep)[0].startswith("Not verified")


def test_a_rejection_is_shown(sweep):
    rerun = Rerun("abc", "gce", APART, 0.1, 0.0, 1.0)
    faults = [Fault("accuracy", "edited", "abc")]
    write_verdict(sweep, outcome=REJECTED, faults=faults, reruns=[rerun])
    assert notes(sweep)[0].startswith("Rejected")


def test_a_damaged_verdict_is_refused(sweep):
    (sweep / "verdict.json").write_text("{}")
    with pytest.raises(InputError, match=r"no verdict .*bench\.verify"):
        read_verdict(sweep)


@pytest.mark.parametrize("options", [{}, {"reference": "gce"}, {"clean_images": "50"}])
def test_tables_are_made_again_with_their_options(sweep, options):
    write_report([sweep], sweep, plots=False, **options)
    tables, differing = compare_tables(sweep)
    assert "leaderboard.csv" in tables and not differing


@pytest.mark.parametrize(("column", "value"), [("mean", 0.99), ("rank", 2), ("track", "tuned")])
def test_an_edited_table_is_named_with_its_row(sweep, column, value):
    write_report([sweep], sweep, plots=False)
    table = pd.read_csv(sweep / "leaderboard.csv")
    table.loc[0, column] = value
    table.to_csv(sweep / "leaderboard.csv", index=False)
    [sentence] = compare_tables(sweep)[1]
    assert sentence.startswith(f"leaderboard.csv has {column} {value}")
    assert f"{table['method'][0]}, {table['rule'][0]}" in sentence


def test_a_table_that_lacks_a_row_is_named(sweep):
    write_report([sweep], sweep, plots=False)
    table = pd.read_csv(sweep / "leaderboard.csv")
    table[1:].to_csv(sweep / "leaderboard.csv", index=False)
    assert compare_tables(sweep)[1] == [
        f"leaderboard.csv has {len(table) - 1} rows, and the records give {len(table)}"
    ]


def test_an_unknown_column_of_another_version_is_passed_over(sweep):
    write_report([sweep], sweep, plots=False)
    table = pd.read_csv(sweep / "leaderboard.csv").assign(younger=1)
    table.to_csv(sweep / "leaderboard.csv", index=False)
    assert not compare_tables(sweep)[1]
