"""Leaderboards against numbers worked out by hand, from fabricated records."""

import errno
import io
import math
import re
import shutil
import subprocess
import sys
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fabricate import load_rows, write_trial
from rich.console import Console
from scipy import stats

from bench.cli.report import report
from bench.cli.tables import print_report, print_sections
from bench.errors import InputError
from bench.records.packing import pack_numbers
from bench.report.board import board_of, read_board
from bench.report.choice import configurations
from bench.report.leaderboard import leaderboard
from bench.report.markdown import to_markdown
from bench.report.metrics import ranked_by
from bench.report.notes import selection_error
from bench.report.sections import sections
from bench.report.statistics import paired_differences
from bench.report.tables import Section, Table
from bench.report.writer import write_report

T2 = 4.302652729911275  # quantile of the t distribution, 97.5 %, 2 degrees of freedom


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def leaderboard_of(sweep: Path, rule: str = "noisy-val", reference: str = "ce") -> pd.DataFrame:
    board = leaderboard(load_rows([sweep]), reference)
    return board[board["rule"] == rule].set_index("method")


def write_seeds(sweep: Path, method: str, accuracies, **fields) -> None:
    for seed, accuracy in enumerate(accuracies):
        write_trial(sweep, method, test=[accuracy], seed=seed, **fields)


def sections_of(sweep: Path, reference: str | None = "ce") -> list[Section]:
    return sections(read_board([sweep], reference or "none"))


def printed(sweep: Path, reference: str | None = "ce", width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_sections(console, sections_of(sweep, reference))
    return console.file.getvalue()


def page(sweep: Path) -> str:
    return to_markdown(sections_of(sweep), [])


def test_mean_and_interval_over_three_seeds(tmp_path):
    write_seeds(tmp_path, "ce", [0.4, 0.5, 0.6])
    row = leaderboard_of(tmp_path).loc["ce"]
    assert row["mean"] == pytest.approx(0.5)
    assert row["ci95"] == pytest.approx(T2 * 0.1 / math.sqrt(3))
    assert row["ci95"] == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert row["seeds"] == 3


def test_one_seed_has_no_interval(tmp_path):
    write_seeds(tmp_path, "ce", [0.4])
    write_seeds(tmp_path, "softmix", [0.6])
    board = leaderboard_of(tmp_path)
    assert (
        board["ci95"].isna().all()
        and board["diff_ci_low"].isna().all()
        and board["significantly_better"].isna().all()
    )
    assert board.loc["softmix", "diff_vs_reference"] == pytest.approx(0.2)
    text = page(tmp_path)
    assert "| softmix | **60.0** |" in text and "±" not in text
    assert "One seed" in printed(tmp_path)


def test_every_rule_has_its_rows_and_its_numbers(tmp_path):
    test = [0.1, 0.9, 0.5]
    write_trial(tmp_path, "ce", test=test, noisy_val=[0.7, 0.2, 0.3])
    board = leaderboard(load_rows([tmp_path]))
    assert list(board["rule"]) == ["noisy-val", "last", "oracle"]
    assert list(board["mean"]) == [0.1, 0.5, 0.9]
    assert list(board["score"]) == [0.7, 0.3, 0.9]


def test_difference_is_paired_over_common_seeds(tmp_path):
    # Seeds differ a lot, the method always gains: paired, that is certain; unpaired it would be
    # lost in the noise.
    write_seeds(tmp_path, "ce", [0.2, 0.5, 0.8, 0.1])
    write_seeds(tmp_path, "softmix", [0.23, 0.54, 0.85])
    row = leaderboard_of(tmp_path).loc["softmix"]
    spread = T2 * 0.01 / math.sqrt(3)
    assert row["paired_seeds"] == 3 and row["seeds"] == 3
    assert row["diff_vs_reference"] == pytest.approx(0.04)
    assert row["diff_ci_low"] == pytest.approx(0.04 - spread)
    assert row["diff_ci_high"] == pytest.approx(0.04 + spread)
    assert row["p_value"] == pytest.approx(
        stats.ttest_rel([0.23, 0.54, 0.85], [0.2, 0.5, 0.8]).pvalue
    )
    assert row["significantly_better"] and not row["significantly_worse"]


@pytest.mark.parametrize("seed_field", ["noise_seed", "split_seed", "train_seed"])
def test_seeds_pair_only_when_all_three_agree(tmp_path, seed_field):
    write_seeds(tmp_path, "ce", [0.5, 0.5])
    for seed in (0, 1):
        write_trial(
            tmp_path, "softmix", test=[0.6], seed=seed, spec={seed_field: 7} if seed else None
        )
    assert leaderboard_of(tmp_path).loc["softmix", "paired_seeds"] == 1


def test_worse_than_the_reference(tmp_path):
    write_seeds(tmp_path, "ce", [0.53, 0.74, 0.95])
    write_seeds(tmp_path, "softmix", [0.5, 0.7, 0.9])
    row = leaderboard_of(tmp_path).loc["softmix"]
    assert row["significantly_worse"] and not row["significantly_better"]
    assert "†" in printed(tmp_path).split("Mean ±")[0]


def test_an_uncertain_gain_is_not_marked(tmp_path):
    write_seeds(tmp_path, "ce", [0.5, 0.5, 0.5])
    write_seeds(tmp_path, "softmix", [0.5, 0.6, 0.55])
    row = leaderboard_of(tmp_path).loc["softmix"]
    assert row["diff_vs_reference"] == pytest.approx(0.05)
    assert row["diff_ci_low"] == pytest.approx(0.05 - T2 * 0.05 / math.sqrt(3))
    assert not row["significantly_better"] and not row["significantly_worse"]
    assert "*" not in printed(tmp_path).split("Mean ±")[0]


def test_another_reference(tmp_path):
    write_seeds(tmp_path, "ce", [0.5, 0.5])
    write_seeds(tmp_path, "softmix", [0.6, 0.6])
    board = leaderboard_of(tmp_path, reference="softmix")
    assert set(board["reference"]) == {"softmix"}
    assert board.loc["ce", "diff_vs_reference"] == pytest.approx(-0.1)
    assert np.isnan(board.loc["softmix", "diff_vs_reference"])
    assert board.loc["softmix", "cost_vs_ce"] == 1.0, "cost stays relative to ce"


def test_a_reference_without_records_is_an_error_and_none_is_not(tmp_path):
    write_seeds(tmp_path, "softmix", [0.5, 0.6])
    with pytest.raises(InputError, match="did you mean softmix"):
        leaderboard(load_rows([tmp_path]), "softmax")
    for reference in (None, "ce"):
        board = leaderboard_of(tmp_path, reference=reference or "none")
        assert board["reference"].isna().all() and board["cost_vs_ce"].isna().all()
        assert ("ce has no trials at 50 %" in printed(tmp_path, reference)) == (reference == "ce")


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0.1, 0.1, 0.1], (0.1, np.nan, np.nan, np.nan, 3)),
        ([0.0, 0.0], (0.0, np.nan, np.nan, 1.0, 2)),
        ([0.3 - 0.2, 0.2 - 0.1], (0.1, np.nan, np.nan, np.nan, 2)),  # equal but for rounding
        ([0.2], (0.2, np.nan, np.nan, np.nan, 1)),
        ([np.nan, 0.1], (np.nan, np.nan, np.nan, np.nan, 2)),
    ],
)
def test_paired_difference_without_spread(differences, expected):
    [result] = paired_differences([np.array(differences)])
    assert result.tolist() == pytest.approx(list(expected), nan_ok=True)


def test_ranks_within_budgets(tmp_path):
    for method, seconds, accuracy in (
        ("ce", 2.0, 0.5),
        ("gce", 2.2, 0.4),
        ("elr", 6.0, 0.9),
        ("sop", 99.0, 0.95),
    ):
        write_trial(tmp_path, method, test=[accuracy], done={"train_seconds": seconds})
    write_trial(tmp_path, "co_teaching", test=[0.5], status="failed", done={"train_seconds": None})
    write_trial(tmp_path, "elr", test=[0.9], rate=0.2)
    board = leaderboard_of(tmp_path)
    known = board[board["noise_rate"] == 0.5]
    assert known["rank_1x"].dropna().to_dict() == {"ce": 1, "gce": 2}, "1.1 times counts as once"
    assert (
        known["rank_3x"].dropna().to_dict()
        == known["rank_10x"].dropna().to_dict()
        == {"elr": 1, "ce": 2, "gce": 3}
    )
    assert known["rank"].to_dict() == {"sop": 1, "elr": 2, "ce": 3, "gce": 4, "co_teaching": 5}
    ours = board[board["noise_rate"] == 0.2]
    assert ours["rank"].notna().all() and ours["rank_10x"].isna().all(), "no ce, no budget"


def test_passes_are_per_image_and_epoch_and_memory_in_megabytes(tmp_path):
    for seed, passes in enumerate((6.0, 9.0)):
        done = {
            "passes_trained": passes,
            "passes_inferred": 1.5,
            "peak_memory_bytes": 3_000_000 * (1 + seed),
        }
        write_trial(tmp_path, "elr", test=[0.1, 0.2, 0.3], seed=seed, done=done)
    write_trial(tmp_path, "elr", test=[0.1], seed=2, status="diverged", recipe={"epochs": 3})
    write_trial(
        tmp_path,
        "gce",
        test=[0.1, 0.2, 0.3],
        done={"passes_trained": None, "peak_memory_bytes": None},
    )
    board = leaderboard_of(tmp_path)[["passes_trained", "passes_inferred", "peak_memory_mb"]]
    assert board.loc["elr"].tolist() == [2.5, 0.5, 4.5], "over trials that did not fail"
    assert board.loc["gce"].fillna(-1).tolist() == [-1, 0, -1]


def test_ties_share_the_better_rank(tmp_path):
    for method, accuracy in (("ce", 0.5), ("softmix", 0.7), ("elr", 0.7), ("gce", 0.6)):
        write_seeds(tmp_path, method, [accuracy, accuracy])
    ranks = leaderboard_of(tmp_path)["rank"].to_dict()
    assert ranks == {"elr": 1, "softmix": 1, "gce": 3, "ce": 4}
    text = page(tmp_path)
    head = text.split("The same by other rules")[0]
    assert head.count("**70.0 ± 0.0**") == 2 and head.count("<u>60.0 ± 0.0</u>") == 1


def test_no_name_is_markup(tmp_path):
    for method in ("<script>", "&lt;b`[c](d)"):
        write_trial(tmp_path, method)
    text = page(tmp_path)
    assert (
        "| &lt;script> |" in text and "| &amp;lt;b\\`\\[c\\](d) |" in text and "<script" not in text
    )
    section = Section("<s>", "<s>", [Table("<s>", ["<s>"], [])], ["<s>"])
    assert "<s>" not in to_markdown([section], [("plots/a.png", "<s>")], "<s>")


def test_a_cell_where_validation_and_test_disagree_is_marked(tmp_path):
    rising = [0.1 + epoch / 20 for epoch in range(10)]
    write_trial(tmp_path, "ce", test=rising, noisy_val=rising, rate=0.2)
    write_trial(tmp_path, "ce", test=rising, noisy_val=rising[::-1], rate=0.5)
    [section] = write_report([tmp_path], tmp_path / "out", plots=False).sections
    assert section.tables[0].columns[1:3] == ["20 %", "50 % ‡"]
    assert [
        note
        for note in section.notes
        if note.startswith("‡ At 50 % noisy validation and test accuracy disagree")
    ]


def test_what_prints_alike_is_a_tie_for_the_second_place_too(tmp_path):
    for method, accuracy in (("ce", 0.7), ("softmix", 0.60001), ("elr", 0.6), ("gce", 0.5)):
        write_trial(tmp_path, method, test=[accuracy])
    text = page(tmp_path).split("The same by other rules")[0]
    assert text.count("**70.0**") == 1 and text.count("<u>60.0</u>") == 2 and "| 50.0 |" in text


@pytest.mark.parametrize("status", ["failed", "timeout", "diverged"])
def test_failures_stay_in_the_denominator_at_chance(tmp_path, status):
    write_seeds(tmp_path, "ce", [0.4, 0.4])
    write_trial(tmp_path, "softmix", test=[0.9], seed=0, done={"train_seconds": 3.0})
    # Nothing but the status: what the driver writes of a worker that was killed. Its good epochs do
    # not count.
    bare = dict.fromkeys(
        ["noise", "privileges", "train_seconds", "pretrain_seconds", "validation_images", "epochs"]
    )
    folder = write_trial(tmp_path, "softmix", test=[0.99], seed=1, status=status, done=bare)
    for partial in (True, False):
        if not partial:
            (folder / "epochs.jsonl").unlink()
        for rule in ("noisy-val", "last", "oracle"):
            row = leaderboard_of(tmp_path, rule).loc["softmix"]
            assert (row["seeds"], row["failures"]) == (2, 1)
            assert row["mean"] == pytest.approx((0.9 + 0.1) / 2), "ten classes"
            assert row["train_seconds"] == 3.0 and row["cost_vs_ce"] == pytest.approx(1.5)
            assert row["paired_seeds"] == 2 and row["diff_vs_reference"] == pytest.approx(0.1)
    assert f"1 of 4 trials (1 {status})" in printed(
        tmp_path
    ) and "chance accuracy (10 %)" in printed(tmp_path)
    assert "1/2" in printed(tmp_path)


def test_a_diverged_trial_keeps_its_partial_cost_out(tmp_path):
    write_trial(tmp_path, "ce", test=[0.4], seed=0)
    write_trial(tmp_path, "ce", test=[0.4], seed=1, status="diverged", done={"train_seconds": 0.5})
    assert leaderboard_of(tmp_path).loc["ce", "cost_seconds"] == 2.0


def test_a_seed_that_its_machine_ended_is_missing_and_marked(tmp_path):
    for seed in range(3):
        write_trial(tmp_path, "ce", test=[0.5], seed=seed)
        gone = {"status": "lost", "done": {"train_seconds": None}} if seed == 2 else {}
        write_trial(tmp_path, "elr", test=[0.75 + seed / 100], seed=seed, **gone)
        write_trial(tmp_path, "gce", test=[0.9], seed=seed, status="lost", done={"noise": None})
    row = leaderboard_of(tmp_path).loc["elr"]
    assert (row["mean"], row["seeds"], row["failures"], row["lost"]) == (
        pytest.approx(0.755),
        2,
        0,
        1,
    )
    assert row["paired_seeds"] == 2 and row["diff_vs_reference"] == pytest.approx(0.255)
    assert row["unequal_seeds"], "a column in which one row lacks a seed is not paired"
    row = leaderboard_of(tmp_path).loc["gce"]
    assert (
        (row["seeds"], row["lost"], row["failures"]) == (0, 3, 0)
        and np.isnan(row["mean"])
        and pd.isna(row["rank"])
    )
    report = write_report([tmp_path], tmp_path, plots=True)
    page = (tmp_path / "leaderboard.md").read_text()
    assert "(n=2)**\\*§" in page and "| gce | –§ |" in page, page
    assert "4 of 9 trials were ended by their machine" in page and "elr 1, gce 3" in page
    assert "Failures" not in page and (tmp_path / "plots").exists() and report.files
    latex = (tmp_path / "leaderboard.tex").read_text()
    assert r"$^{\S}$" in latex and "over 2 to 3 seeds" in latex and "over 2 to 3 seeds" in page, (
        "gce has no mean"
    )


def test_a_configuration_whose_trial_was_lost_counts_as_not_tried(tmp_path):
    defaults = {"elr.lam": 3, "elr.beta": 0.7}
    for lam, status in ((1, "finished"), (2, "finished"), (5, "lost")):
        stage = {"stage": "search tuned noisy-val none"}
        config = {"elr.lam": lam}
        write_trial(
            tmp_path,
            "elr",
            seed=10**6,
            test=[lam / 10],
            config=config,
            defaults=defaults,
            spec=stage,
            status=status,
        )
    write_trial(tmp_path, "ce", test=[0.5])
    write_trial(
        tmp_path,
        "elr",
        test=[0.8],
        config={"elr.lam": 2},
        defaults=defaults,
        spec={"stage": "tuned"},
    )
    write_report([tmp_path], tmp_path, plots=False)
    page = (tmp_path / "leaderboard.md").read_text()
    assert "| elr (tuned) | 50 % | noisy-val | 10.0 | 20.0 | elr.lam=2 | 2§ | 0 | 0 |" in page, page
    assert "§ Searches: their machine ended 1 of the trials" in page and "Missing seeds" not in page
    assert "| elr (tuned) | elr.lam=2 | 2 |" in page, "tried, in the table of configurations"


def test_what_another_folder_has_of_a_lost_trial_counts(tmp_path):
    for folder, status in (("one", "lost"), ("two", "failed"), ("three", "finished")):
        write_trial(tmp_path / folder, "ce", test=[0.5], status=status)
    folders = [tmp_path / name for name in ("one", "two", "three")]
    assert set(load_rows(folders[:2])["status"]) == {"failed"}
    assert set(load_rows([folders[1], folders[0]])["status"]) == {"failed"}
    assert set(load_rows(folders)["status"]) == {"finished"}


def test_a_sweep_of_failures_only_is_still_a_table(tmp_path):
    write_trial(
        tmp_path,
        "ce",
        status="failed",
        done={"classes": None, "noise": None, "train_seconds": None, "validation_images": None},
    )
    report = write_report([tmp_path], tmp_path / "out")
    assert report.leaderboard["mean"].isna().all() and list(report.leaderboard["failures"]) == [
        1,
        1,
        1,
    ]
    assert "1/1" in printed(tmp_path)


def test_labels_that_came_with_the_data_are_headed_by_their_own_rate(tmp_path):
    noise = {"nominal_rate": None, "realised_rate": 0.40208, "transition_matrix": None}
    for seed in (0, 1):
        write_trial(
            tmp_path,
            "ce",
            rate=None,
            seed=seed,
            spec={"noise_kind": "human-worst"},
            done={"noise": noise},
        )
    report = write_report([tmp_path], tmp_path / "out")
    assert [table.columns[1] for table in report.sections[0].tables[:1]] == ["40.2 %"]
    assert set(pd.read_csv(tmp_path / "out" / "leaderboard.csv")["noise_rate"]) == {0.40208}


def test_what_nobody_knows_is_absent_and_not_zero(tmp_path):
    noise = {"nominal_rate": None, "realised_rate": None, "transition_matrix": None}
    for method, accuracy in (("ce", 0.5), ("elr", 0.6)):
        for seed in (0, 1):
            write_trial(
                tmp_path,
                method,
                test=[accuracy],
                rate=None,
                seed=seed,
                spec={"noise_kind": "found", "dataset": "folder:x"},
                done={"noise": noise, "noisy_test": True},
            )
    report = write_report([tmp_path], tmp_path / "out")
    [section] = report.sections
    assert section.tables[0].columns[1] == "as found"
    assert any("The test labels are as found too" in note for note in section.notes)
    assert not any("exact noise" in part for part in (section.setup, section.title))
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert table["noise_rate"].isna().all() and table["realised_noise_rate"].isna().all()
    assert list(table["rank"].dropna()) == [1, 2, 1, 2]
    assert any(path.name.endswith("-accuracy.png") for path in report.files)


def test_classes_without_a_test_image_are_said(tmp_path):
    for number, done in enumerate(({"classes": 5}, {"classes": 5, "tested_classes": 3})):
        write_trial(tmp_path / str(number), "ce", done=done)
        [section] = write_report(
            [tmp_path / str(number)], tmp_path / f"out{number}", plots=False
        ).sections
        assert any("stand on 3 of 5 classes" in note for note in section.notes) == bool(number)


def test_a_stopped_trial_is_no_failure(tmp_path):
    write_trial(tmp_path, "ce", test=[0.4], status="stopped")
    assert tuple(leaderboard_of(tmp_path).loc["ce", ["mean", "failures"]]) == (0.4, 0)


def test_configuration_is_chosen_on_noisy_validation_not_on_test(tmp_path):
    write_seeds(tmp_path, "ce", [0.5, 0.5])
    for k, validation, test in ((1, 0.30, 0.95), (4, 0.40, 0.60), (8, 0.35, 0.80)):
        for seed in (0, 1):
            fields = {"config": {"softmix.k": k} if k > 1 else {}, "defaults": {"softmix.k": 1}}
            write_trial(
                tmp_path, "softmix", test=[test], noisy_val=[validation], seed=seed, **fields
            )
    for rule, config, mean in (
        ("noisy-val", "softmix.k=4", 0.6),
        ("last", "softmix.k=4", 0.6),
        ("oracle", "", 0.95),
    ):
        row = leaderboard_of(tmp_path, rule).loc["softmix"]
        assert (row["config"], row["mean"], row["configurations"]) == (config, mean, 3)
    tried = configurations(load_rows([tmp_path]))
    tried = tried[(tried["method"] == "softmix") & (tried["rule"] == "noisy-val")]
    assert list(zip(tried["config"], tried["mean"], tried["chosen"], strict=True)) == [
        ("", 0.95, False),
        ("softmix.k=4", 0.6, True),
        ("softmix.k=8", 0.8, False),
    ]
    assert re.search(r"softmix +softmix\.k=4 +3", printed(tmp_path))


def test_a_failure_lowers_the_score_of_its_configuration(tmp_path):
    for config, validation in (({"softmix.k": 4}, [0.9, 0.9]), ({}, [0.6, 0.6])):
        for seed, value in enumerate(validation):
            status = "diverged" if config and seed else "finished"
            write_trial(
                tmp_path,
                "softmix",
                noisy_val=[value],
                seed=seed,
                config=config,
                defaults={"softmix.k": 1},
                status=status,
            )
    row = leaderboard_of(tmp_path, reference="none").loc["softmix"]
    assert (row["config"], row["score"], row["failures"]) == ("", 0.6, 0), "(0.9 + 0.1) / 2 is less"


def test_the_configuration_with_more_seeds_is_preferred(tmp_path):
    write_trial(tmp_path, "softmix", test=[0.9], config={"softmix.k": 4}, defaults={"softmix.k": 1})
    write_seeds(tmp_path, "softmix", [0.5, 0.5], defaults={"softmix.k": 1})
    assert leaderboard_of(tmp_path, reference="none").loc["softmix", "config"] == ""


def test_settings_read_like_the_command_line(tmp_path):
    write_trial(tmp_path, "rmd+ce", config={"rmd.temperature": 0.2, "rmd.k": 4, "rmd.hard": True})
    [row] = load_rows([tmp_path]).query("rule == 'last'").to_dict("records")
    assert (row["method"], row["config"]) == ("rmd", "rmd.hard=True rmd.k=4 rmd.temperature=0.2")


def test_cost_counts_pretraining_and_is_relative_to_ce(tmp_path):
    write_seeds(tmp_path, "ce", [0.5], done={"train_seconds": 2.0})
    write_seeds(
        tmp_path,
        "rmd+ce",
        [0.5],
        done={"train_seconds": 4.0, "pretrain_seconds": 6.0, "pretraining": {"loss": 0.1}},
    )
    row = leaderboard_of(tmp_path).loc["rmd"]
    assert tuple(row[["train_seconds", "pretrain_seconds", "cost_seconds", "cost_vs_ce"]]) == (
        4.0,
        6.0,
        10.0,
        5.0,
    )
    assert "Pretraining: rmd saw all non-test images" in printed(tmp_path)


def test_privileges_are_shown(tmp_path):
    write_seeds(
        tmp_path, "co_teaching", [0.5, 0.5], done={"privileges": ["noise_kind", "noise_rate"]}
    )
    assert (
        leaderboard_of(tmp_path, reference="none").loc["co_teaching (oracle)", "privileges"]
        == "noise_kind,noise_rate"
    )
    assert "noise_kind, noise_rate" in printed(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"spec": {"protocol": "shared, epochs=1"}, "recipe": {"weight_decay": 0.0}},
        {"recipe": {"weight_decay": 0.0}},
        {"spec": {"device": "cuda"}},
        {"spec": {"precision": "bf16"}},
        {"spec": {"threads": 2}},
        {"spec": {"subset": 500}},
        {"spec": {"data_hash": "ffff"}},
        {"spec": {"validation_share": 0.2}},
        {"spec": {"noise_sampling": "independent"}},
        {"spec": {"noise_kind": "pairflip"}},
        {"spec": {"dataset": "cifar10"}},
    ],
)
def test_what_is_not_comparable_is_not_compared(tmp_path, fields):
    write_seeds(tmp_path, "ce", [0.5, 0.6])
    write_seeds(tmp_path, "softmix", [0.7, 0.8], **fields)
    board = leaderboard_of(tmp_path)
    assert board["cell"].nunique() == 2 and list(board["rank"]) == [1, 1]
    assert board["diff_vs_reference"].isna().all()
    assert len({(section.title, section.setup) for section in sections_of(tmp_path)}) == 2, (
        "a reader can tell them apart"
    )


def test_noise_rates_are_cells_of_one_table(tmp_path):
    for rate in (0.2, 0.8):
        write_seeds(tmp_path, "ce", [0.5, 0.6], rate=rate)
        write_seeds(tmp_path, "softmix", [0.3 + rate / 2, 0.4 + rate / 2], rate=rate)
    assert leaderboard(load_rows([tmp_path]))["cell"].nunique() == 2
    [section] = sections_of(tmp_path)
    assert section.tables[0].columns[:4] == ["Method", "20 %", "80 %", "Average rank"]
    assert [row[0].text for row in section.tables[0].rows] == ["ce", "softmix"], "1.5 both: by name"


def test_recipes_of_their_own_are_comparable_under_paper(tmp_path):
    write_seeds(tmp_path, "ce", [0.5, 0.6], spec={"protocol": "paper"})
    write_seeds(
        tmp_path, "softmix", [0.7, 0.8], spec={"protocol": "paper"}, recipe={"optimizer": "adam"}
    )
    write_seeds(tmp_path, "ce", [0.5, 0.6])
    board = leaderboard(load_rows([tmp_path]))
    board = board[board["rule"] == "noisy-val"]
    assert board["cell"].nunique() == 2
    paper = board[board["protocol"] == "paper"].set_index("method")
    assert list(paper["rank"]) == [1, 2] and paper.loc[
        "softmix", "diff_vs_reference"
    ] == pytest.approx(0.2)


def test_two_recipes_of_one_method_under_paper_are_two_configurations(tmp_path):
    for rate, accuracy in ((0.1, 0.4), (0.2, 0.6)):
        write_seeds(
            tmp_path,
            "ce",
            [accuracy, accuracy],
            spec={"protocol": "paper"},
            recipe={"learning_rate": rate},
        )
    row = leaderboard_of(tmp_path).loc["ce"]
    assert (row["seeds"], row["configurations"], row["mean"]) == (2, 2, 0.6)


def test_methods_without_all_rates_come_last(tmp_path):
    for rate in (0.2, 0.5):
        write_seeds(tmp_path, "ce", [0.5, 0.6], rate=rate)
    write_seeds(tmp_path, "softmix", [0.8, 0.9], rate=0.2)
    [section] = sections_of(tmp_path)
    assert [[entry.text for entry in row[:3]] for row in section.tables[0].rows] == [
        ["ce", "55.0 ± 63.5", "55.0 ± 63.5"],
        ["softmix", "85.0 ± 63.5", "–"],
    ]
    assert any("lack a noise rate" in note for note in section.notes)


def test_table_marks_bold_and_headline(tmp_path):
    write_seeds(tmp_path, "ce", [0.2, 0.5, 0.8])
    write_seeds(tmp_path, "softmix", [0.23, 0.54, 0.85])
    text = page(tmp_path)
    assert "epoch and configuration selected by noisy validation accuracy" in text
    assert "| softmix | **54.0 ± 77.0**\\* | 1.0 | 1.0 | – |" in text
    assert "| ce | <u>50.0 ± 74.5</u> | 2.0 | 1.0 | – |" in text
    assert "oracle (test accuracy: not for ranking)" in text
    assert "54.0 ± 77.0*" in printed(tmp_path)
    assert "over 3 seeds" in printed(tmp_path)


def test_a_pipe_gets_tables_of_any_width(tmp_path):
    for rate in np.arange(9) / 10:
        write_seeds(tmp_path, "softmix", [0.5, 0.52], rate=float(rate))
    lines = printed(tmp_path, width=40).splitlines()
    assert any(line.count("51.0 ± 12.7") == 9 for line in lines)


def test_shaky_selection_is_called_so(tmp_path):
    for rate in (0.2, 0.8):
        write_seeds(tmp_path, "ce", [0.5, 0.6], rate=rate, done={"validation_images": 144})
    text = printed(tmp_path)
    assert "At 80 % noise selection rests on 144 validation images" in text and "see last" in text
    assert "At 20 %" not in text


def test_selection_error_by_hand():
    # Half of the labels wrong, two classes apart: sqrt(.25 / 100) = .05; slope .5 - .5 / 9 = .4444
    assert selection_error(0.5, 100, 10) == pytest.approx(0.05 / (4 / 9))
    assert selection_error(0.0, 100, 10) == 0
    assert selection_error(0.5, 100, 2) == math.inf


def test_torn_last_line_is_dropped_with_a_warning(tmp_path):
    folder = write_trial(tmp_path, "ce", test=[0.4, 0.6])
    with (folder / "epochs.jsonl").open("ab") as file:
        file.write(b'{"epoch": 2, "test_acc')
    with pytest.warns(UserWarning, match="torn last line"):
        board = leaderboard_of(tmp_path)
    assert board.loc["ce", "mean"] == 0.6


def test_several_folders_count_each_trial_once_and_prefer_success(tmp_path):
    first, second = tmp_path / "one", tmp_path / "two"
    write_trial(first, "ce", test=[0.4], seed=0)
    failed = write_trial(first, "ce", test=[0.4], seed=1, status="failed")
    shutil.copytree(first, second)
    shutil.rmtree(second / "trials" / failed.name)
    write_trial(second, "ce", test=[0.4], seed=1)
    write_trial(second, "ce", test=[0.4], seed=2)
    for folders in ([first, second], [second, first]):
        row = leaderboard(load_rows(folders)).iloc[0]
        assert (row["seeds"], row["failures"], row["mean"]) == (3, 0, 0.4)


def test_no_records_is_one_clear_sentence(tmp_path):
    with pytest.raises(InputError, match="holds no sweep"):
        load_rows([tmp_path])
    (tmp_path / "trials").mkdir()
    with pytest.raises(InputError, match="no trial is over"):
        load_rows([tmp_path])


def fabricate_sweep(sweep: Path) -> None:
    for rate in (0.2, 0.5):
        write_seeds(sweep, "ce", [0.4, 0.5, 0.6], rate=rate)
        for k in (1, 4):
            config = {"softmix.k": k} if k > 1 else {}
            write_seeds(
                sweep,
                "softmix",
                [0.5, 0.52, 0.7],
                rate=rate,
                config=config,
                defaults={"softmix.k": 1},
            )


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    fabricate_sweep(folder)
    write_report([folder], folder)
    return folder


def test_equal_records_give_equal_bytes(tmp_path):
    fabricate_sweep(tmp_path / "sweep")
    # The same trials, written in another order and from two folders.
    for number, trial in enumerate(sorted((tmp_path / "sweep" / "trials").iterdir(), reverse=True)):
        shutil.copytree(trial, tmp_path / f"part{number % 2}" / "trials" / trial.name)
    first = write_report([tmp_path / "sweep"], tmp_path / "a")
    second = write_report([tmp_path / "part1", tmp_path / "part0"], tmp_path / "b")
    names = [path.relative_to(tmp_path / "a") for path in first.files]
    assert [path.relative_to(tmp_path / "b") for path in second.files] == names
    assert {"leaderboard.csv", "configs.csv", "leaderboard.md"} < set(map(str, names))
    assert len([name for name in names if name.suffix == ".svg"]) == 5
    for name in names:
        if name.suffix == ".html":  # says which folder a trial is from
            continue
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_csv_has_its_columns_in_its_order(report_folder):
    table = pd.read_csv(report_folder / "leaderboard.csv")
    expected = "dataset noise_kind noise_rate method config rule mean ci95 seeds rank cost_vs_ce"
    assert list(table.columns[:13]) == [*expected.split(), "privileges", "failures"]
    assert list(zip(table["noise_rate"], table["rule"], table["rank"].fillna(0), strict=True)) == [
        (rate, rule, rank * (rule != "oracle"))  # which ranks nobody
        for rate in (0.2, 0.5)
        for rule in ("noisy-val", "last", "oracle")
        for rank in (1, 2)
    ]
    text = (report_folder / "leaderboard.csv").read_text()
    assert "NaN" not in text and "nan" not in text and "<NA>" not in text and "{" not in text
    tried = pd.read_csv(report_folder / "configs.csv")
    assert len(tried) == 2 * 3 * 3 and tried["chosen"].sum() == 2 * 3 * 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spec.json", b"{}"),
        ("spec.json", b"[]"),
        ("epochs.jsonl", b"[1]\n"),
        ("epochs.jsonl", b'{"epoch": 0}\n'),
    ],
)
def test_a_file_that_is_no_record_is_named(tmp_path, name, content):
    fabricate_sweep(tmp_path)
    path = sorted(tmp_path.glob(f"trials/*/{name}"))[0]
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_rows([tmp_path])
    assert str(path.parent) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"train_seconds": "fast"},
        {"classes": "ten"},
        {"noise": {"label_hash": 5}},
        {"git_commit": 5},
        {"noise": "much"},
        {"validation_truth": 5},
    ],
)
def test_a_figure_that_is_none_is_an_error_that_names_the_record(tmp_path, damage):
    write_trial(tmp_path, seed=0, done={"git_commit": "abc", "noise": {"label_hash": "a"}})
    folder = write_trial(tmp_path, seed=1, done=damage)
    with pytest.raises(
        InputError, match=rf"'{folder}' is no trial's record .*: delete it and run again"
    ):
        load_rows([tmp_path])


@pytest.mark.parametrize(
    ("place", "packed"),
    [
        *product(["val_predictions", "validation_truth"], ["abcd", "!"]),
        ("val_predictions", pack_numbers(np.arange(3))),
    ],
)
def test_damaged_predictions_are_an_error_where_they_are_read(tmp_path, place, packed):
    whole = {
        "val_predictions": pack_numbers(np.arange(100)),
        "validation_truth": pack_numbers(np.arange(100)),
    }
    values = {**whole, place: packed}
    folder = write_trial(
        tmp_path,
        done={"validation_truth": values["validation_truth"]},
        epochs={"val_predictions": [values["val_predictions"]], "clean_val_accuracy": [1.0]},
    )
    load_rows([tmp_path])
    with pytest.raises(
        InputError, match=rf"'{folder}' is no trial's record .*: delete it and run again"
    ):
        load_rows([tmp_path], "50")


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_record_that_lost_epochs_counts_as_missing(epochs, tmp_path):
    write_trial(tmp_path, "ce", test=[0.3], seed=0)
    torn = write_trial(tmp_path, "ce", test=[0.4, 0.5], seed=1) / "epochs.jsonl"
    torn.write_bytes(b"".join(torn.read_bytes().splitlines(keepends=True)[:epochs]))
    with pytest.warns(UserWarning, match=re.escape(f"{torn} is damaged; the trial is run again")):
        board = leaderboard(load_rows([tmp_path]))
    assert set(board["seeds"]) == {1} and set(board["mean"]) == {0.3}


def test_plots_of_an_earlier_report_go(tmp_path):
    fabricate_sweep(tmp_path / "sweep")
    first = write_report([tmp_path / "sweep"], tmp_path / "out")
    mine = tmp_path / "out" / "plots" / "mine.png"
    mine.touch()
    other = tmp_path / "other"
    write_trial(other, "ce", test=[0.5, 0.6], spec={"noise_kind": "pairflip"})
    second = write_report([other], tmp_path / "out")
    assert set((tmp_path / "out" / "plots").iterdir()) == {
        mine,
        *(path for path in second.files if path.parent.name == "plots"),
    }
    again = set(first.files) & set(second.files)
    assert again and not any(path.parent.name == "plots" for path in again)


def test_page_links_to_figures_that_exist(report_folder):
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (report_folder / "leaderboard.md").read_text())
    assert len(links) == 5 and all((report_folder / link).exists() for link in links)


def run_report(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "bench.report", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60
    )


def test_report_command(tmp_path):
    fabricate_sweep(tmp_path)
    result = run_report(tmp_path, "--out", tmp_path / "out")
    assert result.returncode == 0 and result.stderr == ""
    assert "softmix" in result.stdout and (tmp_path / "out" / "leaderboard.csv").exists()


def test_without_plots_there_are_none_and_none_is_linked(tmp_path):
    fabricate_sweep(tmp_path)
    files = write_report([tmp_path], tmp_path / "out", plots=False).files
    assert not (tmp_path / "out" / "plots").exists() and not any(
        path.parent.name == "plots" for path in files
    )
    assert "![" not in (tmp_path / "out" / "leaderboard.md").read_text()


def test_report_command_names_the_fix(tmp_path):
    result = run_report(tmp_path)
    assert result.returncode == 2 and result.stdout == ""
    assert re.fullmatch(r"Error: .*holds no sweep.*\n", result.stderr)


@pytest.mark.parametrize("compared", [False, True])
def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(
    tmp_path, monkeypatch, compared
):
    write_trial(tmp_path)

    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr("bench.report.board.read_facts", None)
    with pytest.raises(
        InputError,
        match=r"cannot write to .*Read-only file system.*: choose another folder with --out",
    ):
        report.main(
            [str(tmp_path), *(["--compare", str(tmp_path)] if compared else [])],
            standalone_mode=False,
        )


def test_a_page_that_is_not_the_reports_is_kept(tmp_path):
    write_trial(tmp_path / "sweep")
    (tmp_path / "index.html").write_text("a page of somebody")
    with pytest.raises(InputError, match="choose another --out"):
        report.main(
            [str(tmp_path / "sweep"), "--out", str(tmp_path), "--no-plots"], standalone_mode=False
        )
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "sweep"}
    assert (tmp_path / "index.html").read_text() == "a page of somebody"


def test_report_needs_neither_ray_nor_torch():
    heavy = "{'ray', 'torch', 'matplotlib.pyplot'}"
    code = f"import sys, bench.cli.report, bench.report.writer; print({heavy} & set(sys.modules))"
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert result.stdout.strip() == "set()", result.stderr


def test_learning_is_of_the_epoch_that_the_rule_selects(tmp_path):
    corrected = {"label_correction_accuracy": [0.5, 0.8, 0.6], "detection_auc": [None, 0.9, 0.7]}
    for seed, shift in enumerate((0.0, 0.1)):
        curves = {key: [v and v + shift for v in values] for key, values in corrected.items()}
        separation = {"feature_silhouette": 0.2 + shift}
        write_trial(
            tmp_path, "softmix", test=[0.1, 0.9, 0.2], seed=seed, epochs=curves, done=separation
        )
    write_trial(tmp_path, "softmix", test=[0.1] * 3, seed=2, status="failed")
    board = leaderboard(load_rows([tmp_path])).set_index("rule")
    # The failed trial leaves its labels as they are, half of them right, and finds no wrong ones.
    assert board.loc["noisy-val", "label_correction_accuracy"] == pytest.approx(
        (0.8 + 0.9 + 0.5) / 3
    )
    assert board.loc["last", "detection_auc"] == pytest.approx((0.7 + 0.8 + 0.5) / 3)
    assert board["feature_silhouette"].tolist() == pytest.approx([0.25] * 3)
    assert board["memorised_wrong"].isna().all()


def write_calibrated(sweep: Path) -> None:
    """elr is the more accurate and the worse calibrated; gce has clean probabilities, and a
    failure.
    """
    for seed in (0, 1):
        write_trial(
            sweep, "ce", test=[0.5], seed=seed, epochs={"calibration_error": [0.2 + seed / 50]}
        )
        write_trial(
            sweep, "elr", test=[0.7], seed=seed, epochs={"calibration_error": [0.4 + seed / 40]}
        )
        figures = {"calibration_error": [0.1 + seed / 100], "detection_auc": [0.9]}
        write_trial(
            sweep,
            "gce",
            test=[0.6],
            seed=seed,
            epochs=figures,
            status="failed" if seed else "finished",
        )


def test_ranking_by_what_less_is_better_of(tmp_path):
    write_calibrated(tmp_path)
    rows = load_rows([tmp_path])
    board = leaderboard(rows, metric=ranked_by("calibration_error"))
    by_method = board[board["rule"] == "noisy-val"].set_index("method")
    assert by_method["mean"].to_dict() == pytest.approx(
        {"ce": 0.21, "elr": 0.4125, "gce": (0.1 + 0.9) / 2}
    )
    assert by_method["rank"].to_dict() == {"ce": 1, "elr": 2, "gce": 3}
    assert (
        by_method.loc["elr", "significantly_worse"]
        and not by_method.loc["elr", "significantly_better"]
    )
    assert set(by_method["metric"]) == {"calibration_error"} and by_method.loc[
        "elr", "test_accuracy"
    ] == pytest.approx(0.7)
    text = to_markdown(sections(board_of(rows, metric=ranked_by("calibration_error"))), [])
    assert (
        "**Calibration error (points), epoch and configuration selected by noisy validation "
        "accuracy**" in text
    )
    head = text.split("The same by other rules")[0]
    assert "**21.0 ± 12.7**" in head and "<u>41.2 ± 15.9</u>†" in head


def test_beside_accuracy_stands_what_the_records_say(tmp_path):
    write_calibrated(tmp_path)
    text = page(tmp_path)
    [head] = [line for line in text.splitlines() if line.startswith("| Method | Test accuracy")]
    heads = ["Test accuracy (%)", "Calibration error (points)", "Wrong labels found (AUC, %)"]
    assert head == f"| Method | {' | '.join(heads)} |"
    lines = text.splitlines()[text.splitlines().index(head) + 2 :][:3]
    assert lines == [
        "| elr | **70.0** | <u>41.2</u> | – |",
        "| ce | <u>50.0</u> | **21.0** | – |",
        "| gce | 35.0 | 50.0 | **70.0** |",  # of 0.9 and, failed, 0.5
    ]
    write_trial(tmp_path / "bare", "ce")
    assert "Beside accuracy" not in page(tmp_path / "bare")


def test_a_report_ranks_by_what_one_asks_for(tmp_path):
    write_calibrated(tmp_path)
    write_report([tmp_path], tmp_path / "out", plots=False, rank_by="detection_auc")
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    first = table[table["rule"] == "noisy-val"]
    assert first["method"].tolist()[0] == "gce" and first["rank"].notna().tolist() == [
        True,
        False,
        False,
    ]
    assert (
        r"\caption{Wrong labels found (AUC, \%)"
        in (tmp_path / "out" / "leaderboard.tex").read_text()
    )
    assert '"metric":"detection_auc"' in (tmp_path / "out" / "index.html").read_text()
    with pytest.raises(InputError, match="did you mean detection_auc"):
        write_report([tmp_path], tmp_path / "out", rank_by="detection-auc")
    with pytest.raises(
        InputError,
        match="no record says worst_class_accuracy: rank by test_accuracy or calibration_error",
    ):
        write_report([tmp_path], tmp_path / "out", rank_by="worst_class_accuracy")


def test_a_wrappers_gain_is_over_the_method_that_it_wraps(tmp_path):
    for seed, (alone, wrapped) in enumerate([(0.5, 0.6), (0.6, 0.8), (0.7, 0.7)]):
        write_trial(tmp_path, "elr", test=[alone], seed=seed)
        write_trial(tmp_path, "rmd+elr", test=[wrapped], seed=seed)
    write_trial(tmp_path, "rmd+gce", test=[0.9])
    rows = load_rows([tmp_path])
    board = leaderboard(rows)
    by_method = board[board["rule"] == "last"].set_index("method")
    assert by_method.loc["rmd+elr", "gain"] == pytest.approx(0.1)
    half = T2 * 0.1 / math.sqrt(3)  # differences 0.1, 0.2 and 0
    assert by_method.loc["rmd+elr", ["gain_ci_low", "gain_ci_high"]].tolist() == pytest.approx(
        [0.1 - half, 0.1 + half]
    )
    assert by_method.loc[["elr", "rmd+gce"], "gain"].isna().all(), "gce was not run alone"
    [section] = sections(board_of(rows, "none"))
    [table] = [table for table in section.tables if "wrapping" in table.caption]
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["rmd+elr", rule, "+10.0 (-14.8 to +34.8)"] for rule in ("noisy-val", "last")
    ]


def test_clean_validation_is_a_rule_and_a_privilege(tmp_path):
    for method, test, clean in (("ce", [0.3, 0.6], [0.2, 0.7]), ("elr", [0.9, 0.4], [0.6, 0.5])):
        write_trial(
            tmp_path, method, test=test, noisy_val=[0.5, 0.4], epochs={"clean_val_accuracy": clean}
        )
    write_trial(tmp_path, "gce", test=[0.9, 0.9], rate=0.8)  # where nobody knows the right labels
    write_trial(tmp_path, "elr", seed=1, status="diverged", test=[0.5, 0.5])
    report = write_report([tmp_path], tmp_path, plots=False)
    board = report.leaderboard
    by_clean = board[board["rule"] == "clean-val:all"].set_index("method")
    assert dict(by_clean["mean"]) == pytest.approx({"ce": 0.6, "elr": (0.9 + 0.1) / 2})
    assert dict(by_clean["privileges"]) == {"ce": "clean-val:all", "elr": "clean-val:all"}
    assert list(by_clean["rank"]) == [1, 2], "by noisy validation elr is first"
    assert set(board.loc[board["rule"] == "noisy-val", "privileges"]) == {""}
    text = (tmp_path / "leaderboard.md").read_text()
    assert "| ce | clean-val:all (privileged) | 60.0 (n=1) | – |" in text
    assert (
        "clean-val:all (accuracy on the right labels of the validation images: a privilege)" in text
    )
    rules = pd.read_csv(tmp_path / "rules.csv").set_index(["method", "rule"])
    assert rules.loc[("ce", "clean-val:all"), "regret"] == 0 and rules.loc[
        ("ce", "noisy-val"), "regret"
    ] == pytest.approx(0.3)
    agreement = pd.read_csv(tmp_path / "agreement.csv")
    assert agreement["tau_noisy-val_clean-val:all"].tolist() == pytest.approx(
        [-1, np.nan], nan_ok=True
    )
    assert "clean-val:all" in (tmp_path / "index.html").read_text()


def test_clean_validation_of_some_images_is_replayed_from_the_predictions(tmp_path):
    truth, predicted = np.array([0, 1, 2, -1]), ([0, 1, 2, 0], [0, 0, 0, 0])
    write_trial(
        tmp_path,
        test=[0.4, 0.8],
        epochs={
            "val_predictions": [pack_numbers(np.array(classes)) for classes in predicted],
            "clean_val_accuracy": [0.1, 0.2],
        },
        done={"validation_truth": pack_numbers(truth)},
    )
    means = {
        images: leaderboard(load_rows([tmp_path], images)).set_index("rule")["mean"]
        for images in ("all", "3", "4")
    }
    assert means["all"]["clean-val:all"] == 0.8 and means["3"]["clean-val:3"] == 0.4
    assert "clean-val:4" not in means["4"], "three are known"
    with pytest.raises(InputError, match="--clean-val 0 is no number"):
        write_report([tmp_path], tmp_path, plots=False, clean_images="0")


def test_trials_of_different_labels_are_not_paired(tmp_path):
    for seed in range(3):
        for method, accuracy in (("ce", 0.5), ("elr", 0.6)):
            drawn = {
                "noise": {
                    "label_hash": "b" if (method, seed) == ("elr", 2) else "a",
                    "realised_rate": 0.5,
                }
            }
            write_trial(tmp_path, method, test=[accuracy + seed / 100], seed=seed, done=drawn)
        # before it had any labels
        write_trial(tmp_path, "gce", test=[0.7], seed=seed, status="failed")
    board = leaderboard_of(tmp_path)
    assert board["paired_seeds"].dropna().to_dict() == {"elr": 2, "gce": 2}
    report = write_report([tmp_path], tmp_path, plots=False)
    assert any(
        "At 50 % noise seed 2 has drawn different labels (a, b)" in note
        for note in report.sections[0].notes
    )
    statistics = (
        pd.read_csv(tmp_path / "statistics.csv").query("rule == 'noisy-val'").set_index("method")
    )
    assert statistics.loc["ce", "best"] == "elr" and statistics.loc[
        "ce", "diff_to_best"
    ] == pytest.approx(-0.1)
    assert statistics["seeds"].to_list() == [3, 3, 3]


def test_a_failed_trial_pairs_with_those_of_its_seed(tmp_path):
    for seed in range(2):
        drawn = {"noise": {"label_hash": f"labels {seed}", "realised_rate": 0.5}}
        write_trial(tmp_path, "ce", test=[0.5 + seed / 100], seed=seed, done=drawn)
        write_trial(tmp_path, "gce", test=[0.7], seed=seed, status="failed", done={"noise": None})
    assert leaderboard_of(tmp_path).loc["gce", "paired_seeds"] == 2


def test_noise_files_of_one_name_are_cells_of_their_own(tmp_path):
    for content, method in (("one", "ce"), ("two", "elr")):
        write_trial(
            tmp_path, method, rate=None, spec={"noise_kind": "matrix:T.csv", "noise_hash": content}
        )
    assert len(set(leaderboard_of(tmp_path)["group"])) == 2
    assert "noise file one" in page(tmp_path) and "noise file two" in page(tmp_path)


@pytest.mark.parametrize(("seeds", "shown"), [((0, 1, 2), None), ((0, 1), 2), ((1, 2, 3), 3)])
def test_rows_over_other_seeds_say_how_many(tmp_path, seeds, shown):
    write_seeds(tmp_path, "ce", [0.5, 0.6, 0.7])
    for seed in seeds:
        write_trial(tmp_path, "elr", test=[0.8], seed=seed)
    write_report([tmp_path], tmp_path, plots=False)
    markdown, latex = (
        (tmp_path / name).read_text() for name in ("leaderboard.md", "leaderboard.tex")
    )
    for text, count, rest in (
        (markdown, "(n={})", "not paired"),
        (latex, "($n={}$)", "not paired"),
    ):
        assert (count.format(3) in text) == (rest in text) == (shown is not None)
        assert shown is None or count.format(shown) in text


def test_a_report_without_plots_leaves_figures_and_says_that_they_are_older(
    tmp_path, capsys, monkeypatch
):
    def draw(board, folder):
        folder.mkdir(exist_ok=True)
        names = {
            f"{method}-curves": f"Curves of {method} [in_percent] & ~$more"
            for method in board.rows["method"].unique()
        }
        for name, kind in product(names, ("png", "svg")):
            (folder / f"{name}.{kind}").write_text(name)
        return names

    monkeypatch.setattr("bench.report.writer.write_plots", draw)
    for method in ("ce", "elr"):
        write_trial(tmp_path, method, test=[0.5, 0.6])
    write_report([tmp_path], tmp_path)
    page = (tmp_path / "leaderboard.md").read_text()
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    assert drawn and "older than the tables" not in page
    write_trial(tmp_path, "gce", test=[0.5, 0.7])
    report = write_report([tmp_path], tmp_path, plots=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()} == drawn
    after = (tmp_path / "leaderboard.md").read_text()
    assert "Figures in plots/ are older than the tables: python -m bench.report draws them" in after
    assert after.partition("are older")[2].partition("![")[2] == page.partition("![")[2], (
        "the captions are the same"
    )
    assert not any(path.parent.name == "plots" for path in report.files)
    print_report(Console(width=200), report)
    assert "Figures in plots/ are older than the tables" in capsys.readouterr().out
    # by somebody: it is no longer shown, the others still are
    (tmp_path / "plots" / "ce-curves.png").unlink()
    write_report([tmp_path], tmp_path, plots=False)
    assert re.findall(r"plots/([\w-]+)\.png", (tmp_path / "leaderboard.md").read_text()) == [
        "elr-curves"
    ]
