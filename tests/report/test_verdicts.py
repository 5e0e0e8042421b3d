"""Verdicts in tables and on the page, and tables beside an archive."""

import shutil

import pandas as pd
import pytest
from fabricate import write_trial
from verdicts import write_verdict

from bench.errors import InputError
from bench.records.verdict import (
    APART,
    EXACT,
    REJECTED,
    VERIFIED,
    Fault,
    Rerun,
    read_verdict,
    verdict_path,
)
from bench.report import reproduced
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


@pytest.mark.parametrize(
    "fields",
    [{"outcome": "bogus"}, {"schema": 99}, {"reruns": [Rerun("abc", "gce", "bogus", 0, 0, 1)]}],
)
def test_a_verdict_of_unknown_words_is_refused(sweep, fields):
    write_verdict(sweep, **fields)
    with pytest.raises(InputError, match=r"no verdict .*bench\.verify"):
        read_verdict(sweep)


@pytest.mark.parametrize(("sample", "seed"), [("2", True), ("all", False), ("abc,def", False)])
def test_the_seed_is_named_where_it_has_chosen(sweep, sample, seed):
    rerun = Rerun("abc", "gce", EXACT, 0.0, 0.0, 1.0)
    verdict = write_verdict(sweep, outcome=VERIFIED, sample=sample, reruns=[rerun])
    assert ("seed" in summary(verdict)) == seed


def test_one_fault_is_no_faults(sweep):
    verdict = write_verdict(sweep, outcome=REJECTED, faults=[Fault("accuracy", "edited", "abc")])
    assert "1 fault, " in summary(verdict)


def test_archives_in_one_folder_have_verdicts_of_their_own(tmp_path):
    for name in ("my.a", "my.b"):
        (tmp_path / f"{name}.tar.gz").touch()
        assert verdict_path(tmp_path / f"{name}.tar.gz") == tmp_path / f"{name}.verdict.json"


@pytest.mark.parametrize("options", [{}, {"reference": "gce"}, {"clean_images": "50"}])
def test_tables_are_made_again_with_their_options(sweep, options):
    write_report([sweep], sweep, plots=False, **options)
    tables, differing, passed_over = compare_tables(sweep)
    assert {"leaderboard.csv", "leaderboard.md"} < {*tables} and not differing + passed_over


@pytest.mark.parametrize(("column", "value"), [("mean", 0.99), ("rank", 2), ("track", "tuned")])
def test_an_edited_table_is_named_with_its_row(sweep, column, value):
    write_report([sweep], sweep, plots=False)
    table = pd.read_csv(sweep / "leaderboard.csv")
    table.loc[0, column] = value
    (sweep / "leaderboard.md").unlink()
    table.to_csv(sweep / "leaderboard.csv", index=False)
    [sentence] = compare_tables(sweep)[1]
    assert sentence.startswith(f"leaderboard.csv has {column} {value}")
    assert f"{table['method'][0]}, {table['rule'][0]}" in sentence


def test_a_table_that_lacks_a_row_is_named(sweep):
    write_report([sweep], sweep, plots=False)
    table = pd.read_csv(sweep / "leaderboard.csv")
    table[1:].to_csv(sweep / "leaderboard.csv", index=False)
    assert compare_tables(sweep)[1][:1] == [
        f"leaderboard.csv has {len(table) - 1} rows, and the records give {len(table)}"
    ]


def test_an_unknown_column_of_another_version_is_passed_over(sweep):
    write_report([sweep], sweep, plots=False)
    table = pd.read_csv(sweep / "leaderboard.csv").assign(younger=1)
    table.to_csv(sweep / "leaderboard.csv", index=False)
    assert not compare_tables(sweep)[1]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    for method, accuracy in (("ce", 0.4), ("gce", 0.6)):
        write_trial(folder, method, test=[0.2, accuracy])
    write_report([folder], folder, plots=False)
    return folder


@pytest.fixture
def reported(report, tmp_path):
    """Sweep with the tables of its report."""
    return shutil.copytree(report, tmp_path / "reported")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("leaderboard.md", "| gce |", "| ce |"),
        ("learning.csv", "labels_right", "labels_wrong"),
        ("agreement.csv", "digits", "mnist"),
        ("leaderboard.csv", "rule", "Rule"),
    ],
)
def test_every_edited_table_is_named(reported, name, old, new):
    content = (reported / name).read_text()
    assert old in content
    (reported / name).write_text(content.replace(old, new))
    [sentence] = compare_tables(reported)[1]
    assert sentence.startswith(name)


def test_columns_may_be_missing_in_tables_of_another_version_alone(reported):
    table = pd.read_csv(reported / "leaderboard.csv").rename(columns={"mean": "Mean"})
    table.to_csv(reported / "leaderboard.csv", index=False)
    assert compare_tables(reported)[1] == ["leaderboard.csv lacks mean, which the records give"]
    (reported / "sweep.json").write_text('{"versions": {"lnl-bench": "0.0.1"}}')
    _, differing, passed_over = compare_tables(reported)
    assert not differing and "columns mean of leaderboard.csv" in " ".join(passed_over)


@pytest.mark.parametrize("column", ["reference", "rule"])
def test_options_that_the_records_do_not_allow_are_a_difference(reported, column):
    table = pd.read_csv(reported / "leaderboard.csv")
    table[column] = {"reference": "nonesuch", "rule": "clean-val:x"}[column]
    table.to_csv(reported / "leaderboard.csv", index=False)
    [sentence] = compare_tables(reported)[1]
    assert "leaderboard.csv" in sentence and "the records give no such table" in sentence


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe"])
def test_a_leaderboard_without_rows_of_rules_is_named(reported, content):
    (reported / "leaderboard.csv").write_bytes(content)
    assert compare_tables(reported)[1][0].startswith("leaderboard.csv has ")


def test_a_table_that_the_records_do_not_give_is_named(reported):
    (reported / "tuned-defaults.json").write_text("{}")
    [sentence] = compare_tables(reported)[1]
    assert sentence == "tuned-defaults.json is there, and the records give none"


@pytest.mark.parametrize("content", ["[1, 2]", "[" * 100_000, "{"])
def test_a_damaged_table_of_json_has_no_rows(content):
    assert reproduced._read_json(content.encode()).empty
