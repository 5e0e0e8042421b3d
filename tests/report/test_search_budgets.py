"""Expected best of n configurations, against brute force over all subsets."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from search_records import trials_of

from bench.report.searches.budgets import (
    DENSE,
    budgets,
    expected_best,
    numbers_of,
    overtakings,
    shown_numbers,
    weights,
)
from bench.report.searches.trials import ABOUT


def frame(value, test, method="elr (tuned)", **columns) -> pd.DataFrame:
    about = dict.fromkeys(ABOUT, "x") | {"noise_rate": 0.5, "method": method}
    return trials_of(value, test, **{**about, **columns})


@pytest.mark.parametrize("size", range(1, 7))
def test_the_expected_outcome_is_the_mean_over_all_subsets(size):
    rng = np.random.default_rng(size)
    value, test = rng.random(7), rng.random(7)
    table = budgets(frame(value, test)).set_index("configurations")
    subsets = [(0, *drawn) for drawn in combinations(range(1, 7), size - 1)]
    picked = [max(subset, key=lambda place: value[place]) for subset in subsets]
    assert table["value"][size] == pytest.approx(np.mean(value[picked]))
    assert table["test"][size] == pytest.approx(np.mean(test[picked]))


def test_all_configurations_give_the_pick_for_certain():
    value, test = [0.3, 0.9, 0.5], [0.8, 0.1, 0.6]
    table = budgets(frame(value, test)).set_index("configurations")
    assert table["value"][3] == 0.9 and table["test"][3] == 0.1


@pytest.mark.parametrize("size", [DENSE, DENSE + 1, 100, 300, 1000])
def test_the_numbers_of_large_searches_have_those_of_the_table(size):
    numbers = numbers_of(size).tolist()
    assert {*shown_numbers(size)} <= {*numbers} and numbers == sorted({*numbers})


def test_the_first_configuration_is_always_tried():
    place = np.array([1, 2, 3])
    expected = expected_best(place, np.array([0.1, 0.2, 0.3]), 0, 0.7, np.arange(1, 5))
    assert np.allclose(expected, 0.7)


def test_one_draw_is_drawn():
    assert expected_best(np.array([0]), np.array([0.9]), 1, 0.2, np.array([1, 2])).tolist() == [
        0.2,
        0.9,
    ]


def test_weights_sum_to_one():
    assert np.allclose(weights(50, np.array([1, 2, 25, 50])).sum(1), 1)


def test_best_so_far_follows_the_draws():
    table = budgets(frame([0.4, 0.3, 0.6, 0.5], [0.1, 0.2, 0.3, 0.4]))
    assert table["value_so_far"].tolist() == [0.4, 0.4, 0.6, 0.6]
    assert table["test_so_far"].tolist() == [0.1, 0.1, 0.3, 0.3]


def test_the_interval_contains_the_mean_and_shrinks_with_configurations():
    rng = np.random.default_rng(0)
    widths = []
    for count in (10, 200):
        value = rng.random(count)
        rows = budgets(frame(value, value)).query("configurations == 4").iloc[0]
        assert rows["test_low"] < rows["test"] < rows["test_high"]
        widths.append(rows["test_high"] - rows["test_low"])
    assert widths[1] < widths[0] / 2


def test_a_cheap_method_leads_until_the_other_overtakes():
    low = frame([0.5] * 8, [0.5] * 8, "flat")
    high = frame([0.4, *np.linspace(0.41, 0.9, 7)], [0.4, *np.linspace(0.41, 0.9, 7)], "steep")
    table = budgets(pd.concat([low, high]))
    [(winner, loser, number)] = overtakings(table)
    assert (winner, loser) == ("steep", "flat")
    expected = table[table["method"] == "steep"].set_index("configurations")["test"]
    assert expected[number] > 0.5 >= expected[number - 1]


def test_nobody_overtakes_who_always_leads():
    first, second = frame([0.5, 0.6], [0.5, 0.6], "a"), frame([0.1, 0.2], [0.1, 0.2], "b")
    assert overtakings(budgets(pd.concat([first, second]))) == []


def test_many_configurations_have_rows_at_growing_distances():
    numbers = numbers_of(4000)
    assert len(numbers) <= DENSE and numbers[0] == 1 and numbers[-1] == 4000
    assert list(shown_numbers(20)) == [1, 2, 4, 8, 16, 20]


def test_seconds_are_those_of_so_many_configurations():
    table = budgets(frame([0.1, 0.2], [0.1, 0.2], seconds=[1.0, 3.0]))
    assert table["seconds"].tolist() == [2.0, 4.0]
