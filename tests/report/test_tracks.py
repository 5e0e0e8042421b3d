"""Tracks of a leaderboard, from fabricated records."""

import re

import numpy as np
import pandas as pd
import pytest
from fabricate import load_rows, write_trial

from bench.records.packing import pack_numbers
from bench.report.board import read_board
from bench.report.leaderboard import leaderboard
from bench.report.plots import figures
from bench.report.plots.settings import transfer_losses
from bench.report.writer import write_report

DEFAULTS = {"elr.weight": 3.0}
SEEDS = {"noise_seed": 1_000_000, "split_seed": 1_000_000, "train_seed": 1_000_000}


def elr(sweep, weight: float = 3.0, test=(0.5,), **fields):
    config = {} if weight == 3.0 else {"elr.weight": weight}
    return write_trial(sweep, "elr", config=config, defaults=DEFAULTS, test=test, **fields)


def tried(sweep, weight: float, value: float, stage: str = "tuned noisy-val none", **fields):
    """Write a search's trial, with a test accuracy that would spoil any mean."""
    return elr(
        sweep,
        weight,
        test=[0.99],
        noisy_val=[value],
        spec={**SEEDS, "stage": f"search {stage}"},
        **fields,
    )


def picked(sweep, weight: float, test: float, **fields):
    return elr(sweep, weight, test=[test], spec={"stage": "tuned"}, **fields)


def board_of(sweep) -> pd.DataFrame:
    board = leaderboard(load_rows([sweep]))
    return board[board["rule"] == "noisy-val"].set_index("method")


def tuned_sweep(sweep):
    write_trial(sweep, "ce", test=[0.4])
    elr(sweep, test=[0.5])
    for weight, value in ((3.0, 0.3), (1.0, 0.6), (9.0, 0.5)):
        tried(sweep, weight, value, status="stopped" if weight == 9.0 else "finished")
    picked(sweep, 1.0, 0.7)
    picked(sweep, 9.0, 0.95)  # of an earlier, shorter search
    return sweep


def test_default_and_tuned_stand_on_one_leaderboard_and_the_search_apart(tmp_path):
    board = board_of(tuned_sweep(tmp_path))
    assert board["mean"].to_dict() == {"ce": 0.4, "elr": 0.5, "elr (tuned)": 0.7}
    assert board["track"].to_dict() == {"ce": "default", "elr": "default", "elr (tuned)": "tuned"}
    assert (
        board.loc["elr (tuned)", "config"] == "elr.weight=1"
        and board.loc["elr (tuned)", "configurations"] == 3
    )
    assert board["seeds"].to_list() == [1, 1, 1]


def test_files_and_tables_say_what_was_searched(tmp_path):
    report = write_report([tuned_sweep(tmp_path)], tmp_path)
    table = pd.read_csv(tmp_path / "leaderboard.csv")
    assert set(zip(table["method"], table["track"], strict=True)) == {
        ("ce", "default"),
        ("elr", "default"),
        ("elr", "tuned"),
    }
    configs = pd.read_csv(tmp_path / "configs.csv")
    search = configs[(configs["track"] == "search") & (configs["rule"] == "noisy-val")]
    assert set(zip(search["config"].fillna(""), search["chosen"], strict=True)) == {
        ("", False),
        ("elr.weight=1", True),
        ("elr.weight=9", False),
    }
    [section] = report.sections
    searches = next(table for table in section.tables if table.columns[0] == "Search")
    [line] = [[entry.text for entry in row] for row in searches.rows]
    assert line == [
        "elr (tuned)",
        "50 %",
        "noisy-val",
        "30.0",
        "60.0",
        "elr.weight=1",
        "3",
        "1",
        "0",
        "0",
    ]
    assert any(note.startswith("Not tuned: ce") for note in section.notes)


def test_a_tuned_wrapper_is_compared_with_its_tuned_host(tmp_path):
    tuned_sweep(tmp_path)
    stage = {**SEEDS, "stage": "search tuned noisy-val none"}
    for test, config, spec in (
        (0.52, {}, {}),
        (0.5, {}, stage),
        (0.6, {"rmd.k": 4}, stage),
        (0.77, {"rmd.k": 4}, {"stage": "tuned"}),
    ):
        write_trial(
            tmp_path, "rmd+elr", test=[test], config=config, defaults={"rmd.k": 16}, spec=spec
        )
    gains = board_of(tmp_path)["gain"].dropna().to_dict()
    assert gains == pytest.approx({"rmd+elr": 0.02, "rmd+elr (tuned)": 0.07})


def test_defaults_that_a_search_picks_are_both_rows(tmp_path):
    elr(tmp_path, test=[0.5])
    tried(tmp_path, 3.0, 0.6)
    tried(tmp_path, 1.0, 0.6)
    assert board_of(tmp_path)["mean"].to_dict() == {"elr": 0.5, "elr (tuned)": 0.5}


def test_a_search_alone_is_no_row(tmp_path):
    write_trial(tmp_path, "ce", test=[0.4])
    tried(tmp_path, 1.0, 0.6)
    assert list(board_of(tmp_path).index) == ["ce"]


def test_failed_configurations_are_not_picked(tmp_path):
    tuned_sweep(tmp_path)
    tried(tmp_path, 5.0, 0.9, status="diverged")
    assert board_of(tmp_path).loc["elr (tuned)", "config"] == "elr.weight=1"


def test_budget_and_privileged_searches_are_rows_of_their_own_and_say_so(tmp_path):
    tuned_sweep(tmp_path)
    for weight, value in ((3.0, 0.3), (9.0, 0.5)):
        tried(tmp_path, weight, value, "budget noisy-val none")
        tried(tmp_path, weight, value, "tuned oracle none")
    board = board_of(tmp_path)
    assert board.loc["elr (budget)", ["track", "config", "privileges"]].to_list() == [
        "budget",
        "elr.weight=9",
        "",
    ]
    assert board.loc["elr (tuned, oracle)", "privileges"] == "tuned on test labels"


def unranked_sweep(sweep):
    """Write a sweep whose best and cheapest rows are tuned on test labels, or told a wrong rate."""
    for seed in (0, 1, 2):
        for number, method in enumerate(("ce", "gce", "sce")):
            write_trial(
                sweep,
                method,
                test=[0.4 + number / 10 + seed / 100],
                seed=seed,
                done={"train_seconds": 2.0 + number},
            )
        picked(sweep, 3.0, 0.9 + seed / 100, seed=seed, done={"train_seconds": 1.0})
        told = {"told": 0.5}
        write_trial(
            sweep,
            "co_teaching",
            test=[0.95 + seed / 100],
            seed=seed,
            spec=told,
            done={"train_seconds": 1.0},
        )
    for weight, value in ((3.0, 0.3), (9.0, 0.5)):
        tried(sweep, weight, value, "tuned oracle none")
    return sweep


def test_rows_that_could_not_be_had_are_shown_and_ranked_nowhere(tmp_path):
    report = write_report([unranked_sweep(tmp_path)], tmp_path, plots=False)
    board = report.leaderboard[report.leaderboard["rule"] == "noisy-val"].set_index("method")
    assert board["rank"].dropna().to_dict() == {"sce": 1, "gce": 2, "ce": 3}
    text, shown = (
        (tmp_path / "leaderboard.md").read_text(),
        ("elr (tuned, oracle)", r"co\_teaching (told ×0.5)"),
    )
    head = text.split("The same by other rules")[0]
    assert re.search(r"\| sce \| \*\*", head) and re.search(r"\| gce \| <u>", head)
    for method in shown:
        [line] = [line for line in head.splitlines() if line.startswith(f"| {method} |")]
        assert "*" not in line and "<u>" not in line, line
    assert "Not ranked, but shown" in text
    ranked = (tmp_path / "analysis.md").read_text().partition("What the searches have learned")[0]
    assert not any(method in ranked for method in shown)
    statistics = pd.read_csv(tmp_path / "statistics.csv")
    assert set(statistics["method"]) == {"ce", "gce", "sce"} and set(statistics["best"]) == {"sce"}
    agreement = pd.read_csv(tmp_path / "agreement.csv")
    assert agreement["methods"].item() == 3 and agreement["best_oracle"].item() == "sce"
    assert (
        "3 of 3 methods are in every cell, of which there is 1."
        in (tmp_path / "analysis.md").read_text()
    )
    assert r"\textbf{61.0}" in (tmp_path / "leaderboard.tex").read_text()


def test_a_report_of_nothing_that_competes_is_still_a_table(tmp_path):
    write_trial(tmp_path, "co_teaching", test=[0.95], spec={"told": 0.5})
    report = write_report([tmp_path], tmp_path)
    assert report.leaderboard["rank"].isna().all() and len(report.leaderboard) == 3
    assert "told ×0.5" in (tmp_path / "index.html").read_text()


def test_lines_of_tuned_rows_say_which_they_are(tmp_path):
    tuned_sweep(tmp_path)
    write_report([tmp_path], tmp_path, plots=False)
    for name in ("leaderboard.csv", "statistics.csv", "rules.csv"):
        table = pd.read_csv(tmp_path / name, keep_default_na=False)
        rows = table[(table["method"] == "elr") & (table["rule"] == "noisy-val")]
        assert sorted(zip(rows["track"], rows["search"], rows["config"], strict=True)) == [
            ("default", "", ""),
            ("tuned", "tuned", "elr.weight=1"),
        ], name


def test_searches_that_differ_in_the_scheduler_alone_have_labels_of_their_own(tmp_path):
    tuned_sweep(tmp_path)
    tried(tmp_path, 9.0, 0.5, "tuned noisy-val asha")
    assert {"elr (tuned, none)", "elr (tuned, asha)"} <= set(board_of(tmp_path).index)


def test_unequal_searches_are_noted(tmp_path):
    tuned_sweep(tmp_path)
    spec = {**SEEDS, "stage": "search tuned noisy-val none"}
    write_trial(tmp_path, "gce", test=[0.5])
    write_trial(tmp_path, "gce", test=[0.5], spec=spec)
    [section] = write_report([tmp_path], tmp_path).sections
    assert any(
        "not equally long, in configurations tried: elr (tuned) 3, gce (tuned) 1." in note
        for note in section.notes
    )


def test_a_clean_goal_is_replayed_from_the_records(tmp_path):
    # By noisy labels the first epoch and the second configuration win; by clean ones it is the
    # other way round.
    write_trial(tmp_path, "ce", test=[0.4])
    truth = np.array([0, 1, 2, -1])
    for weight, predicted in ((3.0, [0, 1, 2, 2]), (1.0, [0, 0, 0, 0])):
        folder = tried(
            tmp_path,
            weight,
            1 / weight,
            "tuned clean-val:3 none",
            done={"validation_truth": pack_numbers(truth)},
        )
        path = folder / "epochs.jsonl"
        line = (
            path.read_text().strip()[:-1]
            + f', "val_predictions": "{pack_numbers(np.array(predicted))}"}}\n'
        )
        path.write_text(line)
        elr(tmp_path, weight, test=[0.6], spec={"stage": "tuned"} if weight == 1.0 else {})
    row = board_of(tmp_path).loc["elr (tuned, clean-val:3)"]
    assert row["config"] == "" and row["privileges"] == "tuned on clean-val:3"


def transfer_sweep(sweep):
    accuracy = {(0.2, 0.2): 0.8, (0.2, 0.5): 0.5, (0.5, 0.2): 0.7, (0.5, 0.5): 0.6}
    for seed in (0, 1):
        for (tuned, used), test in accuracy.items():
            picked(sweep, {0.2: 1.0, 0.5: 9.0}[tuned], test + seed / 100, rate=used, seed=seed)
    for rate, best in ((0.2, 1.0), (0.5, 9.0)):
        write_trial(sweep, "ce", test=[0.4], rate=rate)
        for weight in (1.0, 9.0):
            tried(sweep, weight, 0.6 if weight == best else 0.3, rate=rate)
    return sweep


def test_transfer_is_a_row_for_each_rate_it_was_tuned_at_and_a_matrix(tmp_path):
    rows = load_rows([transfer_sweep(tmp_path)])
    board = leaderboard(rows)
    used = board[(board["rule"] == "noisy-val") & (board["track"] == "transfer")]
    means = {(row["method"], row["noise_rate"]): row["mean"] for _, row in used.iterrows()}
    assert means == pytest.approx(
        {
            ("elr (tuned at 20 %)", 0.2): 0.805,
            ("elr (tuned at 20 %)", 0.5): 0.505,
            ("elr (tuned at 50 %)", 0.2): 0.705,
            ("elr (tuned at 50 %)", 0.5): 0.605,
        }
    )
    [losses] = transfer_losses(rows[rows["rule"] == "noisy-val"]).values()
    assert losses.loc[0.2].to_list() == pytest.approx([0, -10]) and losses.loc[
        0.5
    ].to_list() == pytest.approx([-10, 0])
    [section] = write_report([tmp_path], tmp_path).sections
    assert any("tuned at" in note for note in section.notes)
    assert (tmp_path / "plots" / "digits_symmetric-transfer-elr_tuned.svg").exists()


def test_a_transfer_with_trials_missing_is_not_shown(tmp_path):
    transfer_sweep(tmp_path)
    write_trial(tmp_path, "ce", test=[0.4], rate=0.8)
    tried(tmp_path, 5.0, 0.4, rate=0.8)
    assert "transfer" not in set(board_of(tmp_path)["track"])


def misspecified_sweep(sweep):
    oracle = {"co_teaching.forget_rate": "oracle"}
    write_trial(sweep, "ce", test=[0.4])
    for told, test in ((0.5, 0.5), (1.0, 0.7), (1.5, 0.6)):
        spec = {} if told == 1 else {"told": told}
        write_trial(
            sweep,
            "co_teaching",
            test=[test],
            config=oracle,
            spec=spec,
            done={"privileges": ["noise_rate"]},
        )
    return sweep


def test_a_wrong_noise_rate_is_a_row_of_its_own_and_a_figure(tmp_path):
    whole = read_board([misspecified_sweep(tmp_path)])
    board = whole.leaderboard
    means = board[board["rule"] == "noisy-val"].set_index("method")["mean"].to_dict()
    told = {"co_teaching (told ×0.5)": 0.5, "co_teaching (told ×1.5)": 0.6}
    assert means == {"ce": 0.4, "co_teaching (oracle)": 0.7, **told}
    made = figures(whole)
    [axes] = made["digits_symmetric-misspecified"][0].axes
    [line] = [container.lines[0] for container in axes.containers]
    assert line.get_xdata().tolist() == [
        0.5,
        1.0,
        1.5,
    ] and line.get_ydata().tolist() == pytest.approx([50, 70, 60])
    labels = [
        text.get_text() for text in made["digits_symmetric-accuracy"][0].axes[0].get_yticklabels()
    ]
    assert labels == ["ce", "co_teaching (oracle)"], "the others have a figure of their own"
    assert set(board.loc[~board["competes"], "track"]) == {"misspecified"}


FORGET, ORACLE = {"co_teaching.forget_rate": "estimate"}, {"co_teaching.forget_rate": "oracle"}


def co_teaching(
    sweep, oracle: bool, test: float, method: str = "co_teaching", seed: int = 0, **fields
):
    """Write a trial of a variant: the one that reads the noise rate has less noisy accuracy."""
    fields |= {"config": ORACLE, "done": {"privileges": ["noise_rate"]}} if oracle else {}
    return write_trial(
        sweep,
        method,
        test=[test],
        noisy_val=[0.3 if oracle else 0.4],
        defaults=FORGET,
        seed=seed,
        **fields,
    )


def both_variants(sweep):
    for seed in (0, 1):
        write_trial(sweep, "ce", test=[0.4 + seed / 50], seed=seed)
        co_teaching(sweep, False, 0.6 + seed / 20, seed=seed)
        co_teaching(sweep, True, 0.8 + seed / 20, seed=seed)
    return sweep


def test_what_reads_the_truth_is_a_row_beside_what_estimates_it(tmp_path):
    report = write_report([both_variants(tmp_path)], tmp_path, plots=False)
    board = report.leaderboard[report.leaderboard["rule"] == "noisy-val"].set_index("method")
    assert board["mean"].to_dict() == pytest.approx(
        {"co_teaching (oracle)": 0.825, "co_teaching": 0.625, "ce": 0.41}
    )
    assert (
        board["rank"].to_dict() == {"co_teaching (oracle)": 1, "co_teaching": 2, "ce": 3}
        and board["competes"].all()
    )
    assert board["privileges"].to_dict() == {
        "co_teaching (oracle)": "noise_rate",
        "co_teaching": "",
        "ce": "",
    }
    assert board["seeds"].to_list() == [2, 2, 2] and board["configurations"].to_list() == [1, 1, 1]
    text = (tmp_path / "leaderboard.md").read_text()
    assert re.search(r"\| co\\_teaching \(oracle\) \| \*\*82.5.*\| noise\\_rate \|", text)
    assert (
        re.search(r"\| co\\_teaching \| <u>62.5.*\| – \|", text)
        and "(oracle): a method set to read" in text
    )
    assert "co_teaching (oracle)" in (tmp_path / "index.html").read_text()
    table = pd.read_csv(tmp_path / "leaderboard.csv", keep_default_na=False)
    rows = table[(table["method"] == "co_teaching") & (table["rule"] == "noisy-val")]
    assert sorted(zip(rows["privileges"], rows["config"], strict=True)) == [
        ("", ""),
        ("noise_rate", "co_teaching.forget_rate=oracle"),
    ]


def test_a_reference_is_the_row_without_privileges_if_there_is_one(tmp_path):
    rows = load_rows([both_variants(tmp_path)])
    assert set(leaderboard(rows, "co_teaching")["reference"]) == {"co_teaching"}
    assert set(leaderboard(rows, "co_teaching (oracle)")["reference"]) == {"co_teaching (oracle)"}
    alone = leaderboard(rows[rows["method"] != "co_teaching"], "co_teaching")
    assert (
        set(alone["reference"]) == {"co_teaching (oracle)"}
        and alone["diff_vs_reference"].notna().any()
    )


def test_a_wrapper_gains_over_the_variant_that_it_wraps(tmp_path):
    both_variants(tmp_path)
    for oracle, test in ((False, 0.63), (True, 0.84)):
        co_teaching(tmp_path, oracle, test, "rmd+co_teaching")
    # A wrapper that reads the truth, on a host that does not.
    config = {"told.rate": "oracle"}
    write_trial(
        tmp_path, "told+elr", test=[0.55], config=config, done={"privileges": ["noise_rate"]}
    )
    elr(tmp_path, test=[0.5])
    gains = board_of(tmp_path)["gain"].dropna().to_dict()
    assert gains == pytest.approx(
        {"rmd+co_teaching": 0.03, "rmd+co_teaching (oracle)": 0.04, "told+elr (oracle)": 0.05}
    )


def test_a_label_is_the_same_whatever_else_there_is(tmp_path):
    co_teaching(tmp_path / "alone", True, 0.8)
    assert list(board_of(tmp_path / "alone").index) == ["co_teaching (oracle)"]
    # A worker that was killed left a status and nothing else.
    bare = {"privileges": None, "noise": None}
    write_trial(
        tmp_path / "killed",
        "co_teaching",
        config=ORACLE,
        defaults=FORGET,
        status="failed",
        done=bare,
    )
    assert set(load_rows([tmp_path / "killed"])["method"]) == {"co_teaching (oracle)"}


@pytest.mark.parametrize("fixed", ["", "co_teaching.forget_rate=oracle"])
def test_a_pick_that_reads_the_truth_says_so(tmp_path, fixed):
    # "(tuned, oracle)" would be a search that was tuned on test labels.
    label = f"(tuned, {fixed or 'privileged'})"
    both_variants(tmp_path)
    for method, test in (("co_teaching", 0.7), ("rmd+co_teaching", 0.72)):
        co_teaching(
            tmp_path,
            True,
            0.9,
            method,
            spec={**SEEDS, "stage": f"search tuned noisy-val none {fixed}".strip()},
        )
        co_teaching(tmp_path, True, test, method, spec={"stage": "tuned"})
    board = board_of(tmp_path)
    assert board.loc[f"co_teaching {label}", ["track", "privileges"]].to_list() == [
        "tuned",
        "noise_rate",
    ]
    assert board.loc[f"rmd+co_teaching {label}", "gain"] == pytest.approx(0.02)
    assert {"co_teaching", "co_teaching (oracle)"} < set(board.index)
