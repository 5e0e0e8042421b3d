"""Statistics against numbers worked out by hand, or by the tests that they stand for."""

import warnings
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from fabricate import load_rows, write_trial
from scipy import stats

from bench.report import standings, statistics
from bench.report.agreement import _spearman, agreement, kendall_tau, regrets
from bench.report.analysis import analysis_sections
from bench.report.board import board_of, read_board
from bench.report.choice import chosen_rows, configurations
from bench.report.leaderboard import leaderboard
from bench.report.statistics import (
    average_ranks,
    bootstrap,
    cell_statistics,
    holm,
    paired_differences,
    pareto_front,
    seeds_needed,
    tiers,
    variance_split,
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def tables(sweep: Path):
    rows = load_rows([sweep])
    board = leaderboard(rows)
    return rows, chosen_rows(rows, board), board, configurations(rows)


def write_seeds(sweep: Path, method: str, accuracies, **fields) -> None:
    for seed, accuracy in enumerate(accuracies):
        write_trial(sweep, method, test=[accuracy], seed=seed, **fields)


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and never below one before it.
    adjusted = holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])


def test_holm_is_that_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 24):
        p_values = (rng.random(size) ** 3).round(3)  # small ones, and some that are equal
        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-15)


def test_power_is_that_of_statsmodels():
    from statsmodels.stats.power import TTestPower

    rng = np.random.default_rng(0)
    effects, counts = np.abs(rng.normal(size=200)) + 0.1, rng.integers(3, 60, 200)
    with np.errstate(all="ignore"):
        expected = TTestPower().power(effects, counts, 0.05)
    told = np.isfinite(expected)  # it is NaN where the other tail underflows
    assert told.sum() > 50 and np.isfinite(statistics._power(effects, counts)).all()
    assert statistics._power(effects, counts)[told] == pytest.approx(expected[told], abs=1e-9)
    pairs = [rng.normal(0.4, 0.5, 5) for _ in range(5)]
    for values, needed in zip(pairs, seeds_needed(pairs), strict=True):
        exact = float(
            TTestPower().solve_power(abs(values.mean()) / values.std(ddof=1), alpha=0.05, power=0.8)
        )
        assert needed == max(2, np.ceil(exact)) or (needed == np.inf and exact > 1000)


def test_cliques_are_the_pairs_that_nemenyis_test_leaves_equal(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scikit_posthocs import posthoc_nemenyi_friedman

    rng = np.random.default_rng(0)
    # of six methods in five cells
    accuracies = 0.5 + 0.03 * np.arange(6) + 0.04 * rng.random((5, 6)).round(3)
    for cell, means in enumerate(accuracies):
        for place, accuracy in enumerate(means):
            write_trial(tmp_path, f"m{place}", test=[accuracy], rate=0.1 * (cell + 1))
    ranks = average_ranks(leaderboard(load_rows([tmp_path])))
    order = [int(method[1:]) for method in ranks.ranks.index]
    p_values = posthoc_nemenyi_friedman(-accuracies[:, order]).to_numpy()
    joined = {
        pair for first, last in ranks.cliques() for pair in combinations(range(first, last + 1), 2)
    }
    expected = {pair for pair in combinations(range(6), 2) if p_values[pair] > 0.05}
    assert joined == expected and 0 < len(expected) < 15


def test_differences_of_many_lengths_at_once_are_those_of_scipy():
    rng = np.random.default_rng(0)
    pairs = [rng.normal(size=size) for size in (3, 5, 3, 1, 0)]
    results = paired_differences(pairs)
    for differences, (mean, low, high, p_value, count) in zip(pairs[:3], results, strict=False):
        test = stats.ttest_1samp(differences, 0)
        expected = differences.mean(), test.pvalue, len(differences)
        assert (mean, p_value, count) == pytest.approx(expected)
        assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert results[3] == pytest.approx([pairs[3][0], np.nan, np.nan, np.nan, 1], nan_ok=True)
    assert results[4] == pytest.approx([np.nan] * 4 + [0], nan_ok=True)


def test_seeds_needed_are_those_of_the_textbook():
    # Cohen's tables for a paired two-sided test at 5 %: 80 % power takes 34 pairs at d = 0.5, and
    # 15 at 0.8.
    def with_effect(effect):
        values = np.array([-1.0, 0.0, 1.0])  # of standard deviation 1
        return values + effect

    counts = seeds_needed(
        [
            with_effect(0.5),
            with_effect(0.8),
            with_effect(0.001),
            np.array([0.1, 0.1]),
            np.array([1.0]),
        ]
    )
    assert counts == pytest.approx([34, 15, np.inf, np.nan, np.nan], nan_ok=True)


def test_bootstrap_interval_holds_the_mean_and_is_the_same_every_time():
    values = np.array([[0.1, 0.2, 0.6], [0.5, 0.5, 0.5]])
    low, high = bootstrap(values).T
    assert 0.1 <= low[0] < 0.3 < high[0] <= 0.6 and low[1] == high[1] == 0.5
    assert np.array_equal(bootstrap(values)[0], bootstrap(values[:1])[0]), (
        "whatever else is in the table"
    )
    assert np.isnan(bootstrap(np.array([[0.3]]))).all()


def test_tiers_end_at_the_last_method_that_may_be_as_good():
    base = np.array([0.50, 0.60, 0.70, 0.55])
    sure, unsure = np.array([0.001, -0.001, 0.0, 0.001]), np.array([0.3, -0.4, 0.2, -0.3])
    certain = np.stack([base, base - 0.1 + sure, base - 0.1 + 0.1 * unsure - 0.02])
    assert tiers(certain[:2]).tolist() == [1, 2]
    # The third scatters so much that it may equal the first: the second, between them, is in the
    # tier too.
    wide = np.stack([base, base - 0.1 + sure, base - 0.12 + unsure])
    assert tiers(wide).tolist() == [1, 1, 1]
    assert tiers(base[None]).tolist() == [1]


def test_who_lacks_seeds_takes_nobodys_tier():
    base = np.array([0.50, 0.60, 0.70, 0.55])
    sure, nan = np.array([0.001, -0.001, 0.0, 0.001]), np.nan
    short, single, level = (
        np.array([0.4, 0.51, nan, nan]),
        np.array([nan, 0.3, nan, nan]),
        base - 0.3,
    )
    numbers = tiers(np.stack([base, base - 0.1 + sure, short, single, level, base - 0.4 - sure]))
    assert numbers == pytest.approx([1, 2, 2, nan, nan, 3], nan_ok=True)
    assert tiers(np.array([[0.9, nan], [0.5, 0.6], [0.4, 0.7]])) == pytest.approx(
        [1, nan, nan], nan_ok=True
    )


def test_who_is_better_on_the_common_seeds_is_not_below(tmp_path):
    """The best mean may be over other seeds than those of the test."""
    write_seeds(tmp_path, "ce", [0.50, 0.51, 0.52, 0.90, 0.90, 0.91])
    write_seeds(tmp_path, "gce", [0.55, 0.56, 0.575])
    board = read_board([tmp_path])
    rows = board.statistics.query("rule == 'last'").set_index("method")
    assert rows.loc["gce", "best"] == "ce" and rows.loc["gce", "p_holm"] < 0.05
    assert rows["tier"].tolist() == [1, 1] and not standings.tests_of(board)["below"].any()


def test_cells_that_differ_in_settings_alone_are_no_independent_blocks(tmp_path):
    def notes() -> str:
        return " ".join(analysis_sections(read_board([tmp_path]))[-1].notes)

    for precision in ("fp32", "bf16"):
        for method, rate in product(("ce", "elr", "gce"), (0.2, 0.5)):
            write_trial(tmp_path, method, rate=rate, spec={"precision": precision})
        assert ("no independent blocks" in notes()) == (precision == "bf16")


def test_methods_that_tie_everywhere_are_equal(tmp_path):
    for method in ("ce", "elr", "gce"):
        for rate in (0.2, 0.5):
            write_trial(tmp_path, method, rate=rate)
    _, _, board, _ = tables(tmp_path)
    assert average_ranks(board).p_value == 1


def test_statistics_of_a_cell(tmp_path):
    write_seeds(tmp_path, "ce", [0.2, 0.5, 0.8])
    write_seeds(tmp_path, "elr", [0.3, 0.61, 0.89])
    write_seeds(tmp_path, "gce", [0.25, 0.56, 0.85])
    _, chosen, board, _ = tables(tmp_path)
    table = cell_statistics(chosen, board)
    assert set(table["rule"]) == {"noisy-val", "last"}
    rows = table[table["rule"] == "noisy-val"].set_index("method")
    assert list(rows.index) == ["elr", "gce", "ce"] and set(rows["best"]) == {"elr"}
    gce, ce = (
        stats.ttest_rel([0.3, 0.61, 0.89], other).pvalue
        for other in ([0.25, 0.56, 0.85], [0.2, 0.5, 0.8])
    )
    assert rows["p_value"].tolist() == pytest.approx([np.nan, gce, ce], nan_ok=True)
    assert ce < gce and rows["p_holm"].tolist() == pytest.approx(
        [np.nan, max(gce, 2 * ce), 2 * ce], nan_ok=True
    )
    assert rows.loc["ce", "diff_to_best"] == pytest.approx(-0.1)
    assert rows.loc["ce", "diff_low"] < -0.1 < rows.loc["ce", "diff_high"] < 0
    assert rows["tier"].tolist() == [1, 2, 3]
    assert (rows.loc["elr", "next"], rows.loc["elr", "diff_to_next"]) == (
        "gce",
        pytest.approx(0.14 / 3),
    )
    assert rows.loc["elr", "t_low"] == pytest.approx(0.6 - rows.loc["elr", "ci95"])


def test_seeds_that_are_missing_are_left_out_pair_by_pair(tmp_path):
    write_seeds(tmp_path, "ce", [0.2, 0.5, 0.8, 0.9])
    write_trial(tmp_path, "elr", test=[0.95], seed=3)
    write_trial(tmp_path, "gce", test=[0.7], seed=0, status="failed", done={"classes": None})
    _, chosen, board, _ = tables(tmp_path)
    rows = cell_statistics(chosen, board).query("rule == 'last'").set_index("method")
    assert rows["tier"].tolist() == pytest.approx([1, np.nan, np.nan], nan_ok=True) and rows.loc[
        "ce", "diff_to_best"
    ] == pytest.approx(-0.05)
    assert rows["p_holm"].isna().all() and np.isnan(rows.loc["elr", "seeds_to_separate"])


def test_average_ranks_and_the_critical_difference(tmp_path):
    order = ["elr", "gce", "sce", "mixup", "ce"]
    for rate in (0.1, 0.2, 0.3, 0.4):
        for place, method in enumerate(order):
            write_trial(tmp_path, method, test=[0.9 - 0.1 * place], rate=rate)
    write_trial(tmp_path, "sop", test=[0.99], rate=0.1)
    board = leaderboard(load_rows([tmp_path]))
    ranks = average_ranks(board)
    assert ranks.ranks.to_dict() == {method: place + 1 for place, method in enumerate(order)}
    assert ranks.cells == 4 and ranks.left_out == ("sop",)
    # Demšar (2006), table 5: q = 2.728 for five methods.
    assert ranks.critical_difference == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 4)), rel=1e-3)
    assert ranks.p_value == pytest.approx(
        stats.friedmanchisquare(*(np.full(4, -place) for place in range(5))).pvalue
    )
    assert ranks.cliques() == [(0, 3), (1, 4)], "within 3.05 ranks"
    assert average_ranks(board[board["noise_rate"] == 0.1]) is None, "one cell"


def test_regret_is_what_the_oracle_has_more(tmp_path):
    write_trial(tmp_path, "ce", test=[0.3, 0.9, 0.5], noisy_val=[0.7, 0.2, 0.3])
    regret = regrets(leaderboard(load_rows([tmp_path]))).set_index("rule")["regret"]
    assert regret.to_dict() == pytest.approx({"noisy-val": 0.6, "last": 0.4})


def test_tau_between_rules_by_hand(tmp_path):
    # By noisy validation gce, elr, ce; by the oracle elr, gce, ce: one of three pairs is turned
    # round.
    for method, test in (("ce", [0.1, 0.2]), ("elr", [0.5, 0.9]), ("gce", [0.6, 0.8])):
        write_trial(tmp_path, method, test=test, noisy_val=[0.9, 0.1])
    rows, _, board, tried = tables(tmp_path)
    [row] = agreement(rows, board, tried).to_dict("records")
    assert row["tau_noisy-val_oracle"] == pytest.approx(1 / 3) and row["tau_last_oracle"] == 1
    assert (row["best_noisy-val"], row["best_oracle"]) == ("gce", "elr")
    assert np.isnan(kendall_tau(np.array([1.0]), np.array([2.0])))


@pytest.mark.parametrize(("falls", "flagged"), [(False, False), (True, True)])
def test_a_cell_where_validation_and_test_disagree_is_flagged(tmp_path, falls, flagged):
    test = np.linspace(0.1, 0.8, 10)
    write_trial(
        tmp_path, "ce", test=test.tolist(), noisy_val=(test[::-1] if falls else test / 2).tolist()
    )
    rows, _, board, tried = tables(tmp_path)
    [row] = agreement(rows, board, tried).to_dict("records")
    assert row["over_epochs"] == pytest.approx(-1 if falls else 1) and row["flagged"] == flagged
    sections = analysis_sections(board_of(rows))
    assert any("disagree" in note for note in sections[0].notes) == flagged


def test_configurations_that_disagree_are_flagged_too(tmp_path):
    for k in range(6):
        write_trial(
            tmp_path, "softmix", test=[0.9 - k / 10], noisy_val=[k / 10], config={"softmix.k": k}
        )
    rows, _, board, tried = tables(tmp_path)
    [row] = agreement(rows, board, tried).to_dict("records")
    assert row["over_configurations"] == pytest.approx(-1) and row["flagged"]
    assert np.isnan(row["over_epochs"]), "one epoch says nothing"


def test_correlations_are_those_of_scipy():
    rng = np.random.default_rng(0)
    ties, normal = rng.integers(0, 5, (4, 12)).astype(float), rng.normal(size=(4, 12))
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(ties, normal, strict=True)]
    assert _spearman(ties, normal) == pytest.approx(expected)


def test_variance_is_split_only_where_draws_varied_apart(tmp_path):
    write_seeds(tmp_path, "ce", [0.5, 0.6, 0.7])
    rows, _, _, _ = tables(tmp_path)
    assert variance_split(rows).empty
    for noise in (0, 1):
        for train in (0, 1):
            spec = {"noise_seed": noise, "split_seed": 0, "train_seed": train}
            write_trial(tmp_path, "elr", test=[0.5 + 0.2 * noise + 0.02 * train], spec=spec)
    rows, _, _, _ = tables(tmp_path)
    spread = variance_split(rows).set_index("draw")
    assert set(spread.index) == {"noise", "training"}
    assert spread.loc["noise", ["sd", "groups", "trials"]].tolist() == pytest.approx(
        [0.2 / np.sqrt(2), 2, 4]
    )
    assert spread.loc["training", "sd"] == pytest.approx(0.02 / np.sqrt(2))


@pytest.mark.parametrize(
    ("held", "draw"), [("noise_seed", "split and training"), ("split_seed", "noise and training")]
)
def test_with_one_seed_held_the_others_vary_together(tmp_path, held, draw):
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write_trial(tmp_path, "ce", test=[accuracy], seed=seed, spec={held: 0})
    rows = load_rows([tmp_path])
    [row] = variance_split(rows).to_dict("records")
    assert (row["draw"], row["groups"], row["trials"]) == (draw, 1, 3) and row[
        "sd"
    ] == pytest.approx(0.1)
    [section, *_] = analysis_sections(board_of(rows))
    assert not any("changed together" in note for note in section.notes)


def test_pareto_front():
    cost, accuracy = np.array([1, 2, 2, 3, 4, np.nan]), np.array([0.5, 0.7, 0.6, 0.7, 0.8, 0.9])
    assert pareto_front(cost, accuracy).tolist() == [True, True, False, False, True, False]
    assert pareto_front(np.array([1, 1]), np.array([0.5, 0.5])).all(), "equals are both on it"


def test_budgets_and_front_are_told_in_multiples_of_the_reference(tmp_path):
    for method, accuracy, seconds in (
        ("ce", 0.5, 2),
        ("elr", 0.6, 2.1),
        ("divide_mix", 0.7, 9),
        ("gce", 0.4, 3),
    ):
        write_trial(tmp_path, method, test=[accuracy], done={"train_seconds": seconds})
    section, *_ = analysis_sections(read_board([tmp_path]))
    assert not any("seeds" in table.caption for table in section.tables), (
        "one seed says nothing of them"
    )
    texts = {
        table.caption: [[entry.text for entry in row] for row in table.rows]
        for table in section.tables
    }
    assert texts["The most accurate within a budget"] == [
        ["1 × ce", "elr 60.0"],
        ["3 × ce", "elr 60.0"],
        ["10 × ce", "divide_mix 70.0"],
    ]
    [[_, front]] = texts["Pareto front: nothing cheaper is as accurate"]
    assert front == "ce 50.0 (1.0×) → elr 60.0 (1.1×) → divide_mix 70.0 (4.5×)"
