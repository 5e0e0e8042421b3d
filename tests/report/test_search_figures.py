"""Figures of searches: which there are, and that they show the figures of the tables."""

import numpy as np
import pytest
from fabricate import write_trial
from search_records import (
    board_of,
    random_configurations,
    weight_matters,
    write_search,
    write_seeds,
)

from bench.report.plots import figures, render
from bench.report.plots.searches import budgets_figure, lifted, picks_figure
from bench.report.plots.slices import slices_figure
from bench.report.plots.style import looks, style
from bench.report.searches import importance

KINDS = {"m.kind": "gmm", "m.k": 1}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(importance, "RESAMPLES", 2)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Searches at two rates: elr over two numbers, m over a choice and a count."""
    sweep = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(0)
    for rate in (0.2, 0.5):
        configurations = random_configurations(12, seed=int(10 * rate))
        accuracy = weight_matters(configurations)
        write_search(sweep, configurations, accuracy, accuracy, rate=rate)
        best = configurations[int(np.argmax(accuracy))]
        kinds = [{}] + [{"m.kind": str(rng.choice(["bmm", "gmm"])), "m.k": k} for k in range(2, 13)]
        values = rng.random(12).tolist()
        write_search(sweep, kinds, values, values, method="m", defaults=KINDS, rate=rate)
        write_seeds(sweep, {}, [0.4, 0.4], [0.6, 0.62], rate=rate)
        write_seeds(sweep, best, [0.5, 0.5], [0.7, 0.75], rate=rate, stage="tuned")
        write_seeds(sweep, {}, [0.4, 0.4], [0.6, 0.62], method="m", defaults=KINDS, rate=rate)
        write_trial(sweep, "ce", rate=rate)
    return board_of(sweep)


@pytest.fixture(scope="module")
def drawn(board):
    return {
        name.removeprefix("digits_symmetric-"): figure for name, figure in figures(board).items()
    }


def test_a_tuned_sweep_has_all_figures(drawn):
    expected = {"budgets", "picks", "tunability", "importance"}
    assert expected | {"slices-elr_tuned", "slices-m_tuned"} <= drawn.keys()


def test_a_sweep_without_searches_has_none_of_them(tmp_path):
    write_trial(tmp_path, "ce")
    names = set(figures(board_of(tmp_path)))
    assert not [name for name in names if "budgets" in name or "picks" in name]


def test_budgets_show_expected_accuracy(board, drawn):
    figure, caption = drawn["budgets"]
    rows = board.budgets[board.budgets["noise_rate"] == 0.2]
    lines = [line.get_ydata() for line in figure.axes[0].lines]
    for _, search in rows.groupby("method"):
        assert any(np.allclose(line, 100 * search["test"]) for line in lines if len(line) == 12)
    assert len(figure.axes) == 4 and "mean over all orders" in caption


def test_hollow_markers_are_importances_that_cannot_be_told(board, drawn):
    figure, _ = drawn["importance"]
    points = [line for axes in figure.axes for line in axes.lines if len(line.get_xdata()) == 1]
    hollow = [line for line in points if line.get_markerfacecolor() == "white"]
    told = board.importance["verdict"] != importance.UNKNOWN
    assert len(points) == len(told) and len(hollow) == (~told).sum()


def test_an_outlier_stands_at_the_edge_and_all_others_at_their_place():
    accuracy = np.array([50.0, 51.0, 52.0, 53.0, 10.0])  # quartiles 50 and 52
    assert lifted(accuracy).tolist() == [50, 51, 52, 53, 44]


def test_slices_are_of_the_most_important(board, drawn):
    figure, caption = drawn["slices-elr_tuned"]
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == ["weight"] * 2
    places = figure.axes[0].collections[0].get_offsets()[:, 1]
    rows = board.search_trials.query("name == 'elr' and noise_rate == 0.2")
    assert np.allclose(np.sort(places), np.sort(100 * rows["value"]))
    assert caption.startswith("digits, symmetric noise, recipe shared, elr (tuned).")


def test_slices_of_a_choice_name_its_values(drawn):
    figure, _ = drawn["slices-m_tuned"]
    axes = next(axes for axes in figure.axes if axes.get_xlabel() == "kind")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["bmm", "gmm"]


def test_equal_records_give_equal_figures(board):
    looked = looks(["elr (tuned)", "m (tuned)"])
    tried = board.search_trials[board.search_trials["name"] == "elr"]

    def made() -> list[bytes]:
        with style():
            drawn = [
                budgets_figure(board.budgets, looked),
                picks_figure(board.search_trials, looked),
                slices_figure(tried, ["elr.weight", "elr.momentum"]),
            ]
        return [render(figure, "svg") for figure in drawn]

    assert made() == made()


def test_a_search_over_one_setting_has_slices_and_no_importance(tmp_path):
    configurations = [{}] + [{"elr.weight": float(weight)} for weight in range(4, 15)]
    accuracy = np.linspace(0.3, 0.5, 12).tolist()
    write_search(tmp_path, configurations, accuracy, accuracy, defaults={"elr.weight": 3.0})
    write_trial(tmp_path, "ce")
    names = set(figures(board_of(tmp_path)))
    assert "digits_symmetric-slices-elr_tuned" in names
    assert "digits_symmetric-importance" not in names
