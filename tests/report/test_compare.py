"""Two sweeps side by side, and records of several folders as one."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from fabricate import load_rows, write_trial
from scipy import stats

from bench.cli.report import report
from bench.errors import InputError
from bench.records.build import LIBRARIES, MACHINE
from bench.records.merge import TOLERANCE
from bench.records.packing import pack_numbers
from bench.report.board import board_of
from bench.report.compare import compare
from bench.report.sections import sections
from bench.report.writer import write_comparison


@pytest.fixture
def before(tmp_path) -> Path:
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write_trial(tmp_path / "before", "ce", test=[accuracy], seed=seed)
        write_trial(tmp_path / "before", "elr", test=[accuracy], seed=seed)
    write_trial(tmp_path / "before", "gce", test=[0.4])
    return tmp_path / "before"


@pytest.fixture
def after(tmp_path) -> Path:
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write_trial(
            tmp_path / "after", "ce", test=[accuracy], seed=seed, done={"train_seconds": 4.0}
        )
    for seed, accuracy in enumerate((0.55, 0.66, 0.73, 0.99)):
        write_trial(tmp_path / "after", "elr", test=[accuracy], seed=seed, spec={"device": "cuda"})
    write_trial(tmp_path / "after", "sop", test=[0.4], rate=0.2)
    return tmp_path / "after"


def row_of(table: pd.DataFrame, method: str) -> dict:
    [row] = table[(table["method"] == method) & (table["rule"] == "noisy-val")].to_dict("records")
    return row


def test_differences_are_paired_over_common_seeds(before, after):
    table = compare([before], [after]).table
    row = row_of(table, "elr")
    assert (row["pairs"], row["only_first"], row["only_second"]) == (3, 0, 1), (
        "another device pairs, a seed of one side does not"
    )
    assert row["difference"] == pytest.approx(0.14 / 3) and row["second"] == pytest.approx(
        0.6 + 0.14 / 3
    )
    p_value = stats.ttest_rel([0.55, 0.66, 0.73], [0.5, 0.6, 0.7]).pvalue
    assert row["p_value"] == pytest.approx(p_value) and row["p_holm"] == pytest.approx(
        2 * p_value
    ), "of two configurations"
    row = row_of(table, "ce")
    assert (row["difference"], row["p_value"], row["seconds_second"]) == (0, 1, 4)
    back = row_of(compare([after], [before]).table, "elr")
    assert back["difference"] == pytest.approx(-0.14 / 3) and back["only_first"] == 1


def test_what_is_only_in_one_is_named(before, after, tmp_path):
    sections, files = write_comparison([before], [after], tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    assert [section.title for section in sections] == [
        "What both have",
        f"Only in {before}",
        f"Only in {after}",
    ]
    assert (
        "| digits | 50 % symmetric | gce | defaults | 1 |" in text
        and "| digits | 20 % symmetric | sop | defaults | 1 |" in text
    )
    assert "| elr | defaults | noisy-val | 60.0 | 64.7 | +4.7 ± 3.8 | 1.00 | 3 |" in text
    assert "1 of 2 configurations have the same mean" in text and "oracle" not in text
    assert "oracle" in set(pd.read_csv(files[0])["rule"])


def test_sweeps_with_nothing_in_common_say_why(before, tmp_path):
    write_trial(tmp_path / "other", "ce", test=[0.5, 0.6], spec={"dataset": "cifar10"})
    [section, *_] = compare([before], [tmp_path / "other"]).sections()
    assert (
        "No trial of" in section.setup and "dataset" in section.setup and "recipe" in section.setup
    )


@pytest.mark.parametrize(
    ("field", "value"), [("subset", 32), ("image_size", 32), ("noise_hash", "f00")]
)
def test_a_side_without_what_the_other_has_is_compared_too(tmp_path, field, value):
    write_trial(tmp_path / "whole", "ce")
    write_trial(tmp_path / "part", "ce", spec={field: value})
    write_trial(tmp_path / "both", "ce")
    write_trial(tmp_path / "both", "ce", test=[0.7], spec={field: value})
    assert (
        row_of(
            compare([tmp_path / "part"], [tmp_path / "both"]).table.dropna(subset=[field]), "ce"
        )["pairs"]
        == 1
    )
    [section, *_] = compare([tmp_path / "whole"], [tmp_path / "part"]).sections()
    assert f"they differ in {field}" in section.setup


def test_pairs_of_other_labels_are_counted(tmp_path):
    for name in ("a", "b"):
        write_trial(
            tmp_path / name, "ce", done={"noise": {"label_hash": name, "realised_rate": 0.5}}
        )
    comparison = compare([tmp_path / "a"], [tmp_path / "b"])
    assert row_of(comparison.table, "ce")["other_labels"] == 1
    assert any(
        "other noisy labels, though seed and noise are the same: 1." in note
        for note in comparison.sections()[0].notes
    )


def test_a_failed_trial_without_labels_has_no_other_ones(tmp_path):
    for name in ("a", "b"):
        labels = {"noise": {"label_hash": "same", "realised_rate": 0.5}}
        write_trial(tmp_path / name, "ce", done=labels)
        failed = name == "b"
        write_trial(
            tmp_path / name,
            "ce",
            seed=1,
            status="failed" if failed else "finished",
            done={"noise": None} if failed else labels,
        )
    comparison = compare([tmp_path / "a"], [tmp_path / "b"])
    row = row_of(comparison.table, "ce")
    assert (row["pairs"], row["other_labels"]) == (2, 0)


def test_compare_command(before, after, tmp_path):
    command = [
        sys.executable,
        "-m",
        "bench.report",
        str(before),
        "--compare",
        str(after),
        "--out",
        str(tmp_path / "out"),
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60
    )
    assert result.returncode == 0 and "+4.7 ± 3.8" in result.stdout and not result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "compare.csv",
        "compare.md",
    ]


@pytest.mark.parametrize(
    "option", ["--rank-by=calibration_error", "--reference=ce", "--no-plots", "--clean-val=few"]
)
def test_the_command_refuses_what_it_could_only_ignore(before, after, tmp_path, option):
    with pytest.raises(InputError, match=option.partition("=")[0]):
        command = [str(before), "--compare", str(after), "--out", str(tmp_path / "out"), option]
        report.main(command, standalone_mode=False)


@pytest.mark.parametrize("option", ["--compare", "--out"])
def test_an_option_that_takes_one_folder_is_to_be_given_once(before, option):
    with pytest.raises(click.UsageError, match=f"^{option} is given twice: give it once$"):
        report.main([str(before), option, "a", option, "b"], standalone_mode=False)


def test_comparisons_by_a_number_of_right_labels(tmp_path):
    truth = np.arange(100) % 10
    for name, right in (("a", 0.5), ("b", 0.7)):
        # The second epoch knows the validation images.
        done = {"validation_truth": pack_numbers(truth)}
        epochs = {
            "val_predictions": [pack_numbers(truth + 1), pack_numbers(truth)],
            "clean_val_accuracy": [0, 1],
        }
        write_trial(
            tmp_path / name, "ce", test=[0.3, right], noisy_val=[0.2, 0.1], done=done, epochs=epochs
        )
    [files, _] = write_comparison([tmp_path / "a"], [tmp_path / "b"], tmp_path / "out", "50")[1]
    table = pd.read_csv(files).set_index("rule")
    assert (
        table.loc["clean-val:50", "difference"] == pytest.approx(0.2)
        and table.loc["noisy-val", "difference"] == 0
    )


def machines(folders: dict[Path, str]) -> None:
    for folder, system in folders.items():
        facts = {
            "machine": dict.fromkeys(MACHINE, system),
            "versions": dict.fromkeys(LIBRARIES, "1"),
        }
        (folder / "sweep.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("systems", "device", "apart", "conflict"),
    [
        (("one", "one"), "cpu", 0.01, True),
        (("one", "one"), "cpu", 0.0, False),
        (("one", "two"), "cpu", 0.01, False),
        (("one", "two"), "cpu", TOLERANCE + 0.01, True),
        (("one", "one"), "cuda", 0.01, False),
    ],
)
def test_duplicates_that_disagree_are_named(tmp_path, systems, device, apart, conflict):
    first, second = tmp_path / "one", tmp_path / "two"
    ids = [
        write_trial(folder, "elr", test=[0.1, accuracy], spec={"device": device}).name
        for folder, accuracy in ((first, 0.5), (second, 0.5 + apart))
    ]
    machines(dict(zip((first, second), systems, strict=True)))
    assert ids[0] == ids[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = load_rows([first, second])
        compared = compare([first, second], [second])
    assert rows.query("rule == 'last'")["test_accuracy"].tolist() == [0.5], (
        "the folder given first counts"
    )
    note = sections(board_of(rows))[0].notes[-1]
    assert note.startswith("Trials of one specification have different results") == conflict
    assert ("Trials of one specification" in compared.sections()[0].notes[-1]) == conflict
    texts = [str(warning.message) for warning in caught]
    assert (
        bool(texts) == conflict
        and (note in texts) == conflict
        and all(ids[0] in text and str(first) in text and str(second) in text for text in texts)
    )


@pytest.mark.parametrize(
    ("codes", "apart", "why"),
    [
        (({"ce": "a"}, {"ce": "b"}), 0.01, None),
        (
            ({"ce": "a"}, {"ce": "b"}),
            0.1,
            "10.0 points apart at the end, made by different code (ce)",
        ),
        (
            (None, {"ce": "b"}),
            0.1,
            "10.0 points apart at the end, made by different code (an earlier version)",
        ),
        (({"ce": "a"}, {"ce": "a"}), 0.1, "up to 10.0 points apart on one kind of machine"),
        ((None, None), 0.1, "up to 10.0 points apart on one kind of machine"),
    ],
)
def test_duplicates_of_different_code_are_no_fault_of_the_machine(codes, apart, why, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, code, accuracy in zip(folders, codes, (0.5, 0.5 + apart), strict=True):
        write_trial(folder, test=[accuracy], done={"code": code})
    machines(dict.fromkeys(folders, "one"))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        load_rows(folders)
    assert [str(warning.message).partition(f"{str(folders[1])!r}, ")[2] for warning in found] == (
        [] if why is None else [f"{why}."]
    )


def test_a_sweep_that_says_nothing_of_its_machine_is_merged(tmp_path):
    for name, accuracy in (("one", 0.5), ("two", 0.6)):
        write_trial(tmp_path / name, test=[accuracy])
        (tmp_path / name / "sweep.json").write_text("[]")
    with pytest.warns(UserWarning, match="different results"):
        assert len(load_rows([tmp_path / "one", tmp_path / "two"]).query("rule == 'last'")) == 1


def test_a_success_counts_before_a_failure_and_is_no_conflict(tmp_path):
    write_trial(tmp_path / "one", "elr", test=[0.5], status="failed")
    write_trial(tmp_path / "two", "elr", test=[0.5])
    shutil.copytree(tmp_path / "two", tmp_path / "three")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for names in (("one", "two", "three"), ("three", "one", "two")):
            rows = load_rows([tmp_path / name for name in names])
            assert rows["failed"].tolist() == [False] * len(rows)


def test_a_seed_that_its_machine_ended_is_no_pair(tmp_path):
    for seed in range(3):
        write_trial(tmp_path / "one", "elr", test=[0.5], seed=seed)
        write_trial(
            tmp_path / "two",
            "elr",
            test=[0.6],
            seed=seed,
            status="lost" if seed == 1 else "finished",
        )
    table = compare([tmp_path / "one"], [tmp_path / "two"]).table
    row = table[table["rule"] == "noisy-val"].iloc[0]
    assert (row["pairs"], row["only_first"]) == (2, 1) and row["difference"] == pytest.approx(0.1)


def test_a_comparison_says_what_machines_ended(tmp_path):
    for seed in range(3):
        write_trial(tmp_path / "one", "elr", test=[0.5], seed=seed)
        write_trial(
            tmp_path / "two", "elr", test=[0.6], seed=seed, status="lost" if seed else "finished"
        )
    notes = [
        note
        for section in compare([tmp_path / "one"], [tmp_path / "two"]).sections()
        for note in section.notes
    ]
    [note] = [note for note in notes if "machine" in note]
    assert f"are left out (2 of {tmp_path / 'two'}): run that sweep's command again" in note
    write_trial(tmp_path / "gone", "elr", test=[0.6], status="lost")
    [paired, alone] = compare([tmp_path / "gone"], [tmp_path / "two"]).sections()
    assert (
        not paired.tables
        and any("1 of" in note and "2 of" in note for note in paired.notes)
        and len(alone.tables) == 1
    )
    with pytest.raises(InputError, match="all 2 trials were ended by their machine"):
        compare([tmp_path / "gone"], [tmp_path / "gone"])
