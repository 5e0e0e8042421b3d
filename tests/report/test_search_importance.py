"""Importance of hyper-parameters: one that alone matters, one that is noise, and none at all."""

import json

import numpy as np
import pandas as pd
import pytest
from fabricate import write_trial
from search_records import board_of, random_configurations, weight_matters, write_search

from bench.report.searches import importance as module
from bench.report.searches.importance import (
    EVALUATORS,
    LITTLE,
    MATTERS,
    UNKNOWN,
    importance,
    shares,
    verdict,
)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 20)


def verdicts(table: pd.DataFrame, evaluator: str) -> dict[str, str]:
    rows = table[(table["evaluator"] == evaluator) & (table["cells"] == 1)]
    return dict(zip(rows["hyper_parameter"], rows["verdict"], strict=True))


def test_the_one_that_alone_matters_is_told_from_the_one_that_is_noise(tmp_path):
    configurations = random_configurations(32)
    accuracy = weight_matters(configurations)
    write_search(tmp_path, configurations, accuracy, accuracy)
    write_trial(tmp_path, "ce")
    table = board_of(tmp_path).importance
    expected = {"elr.weight": MATTERS, "elr.momentum": LITTLE}
    assert {name: verdicts(table, name) for name in EVALUATORS} == dict.fromkeys(
        EVALUATORS, expected
    )
    assert np.allclose(table.groupby("evaluator")["importance"].sum(), 1)


def test_nothing_can_be_told_where_accuracy_is_noise():
    trials = frame(np.random.default_rng(3).random(32))
    told = importance(trials)["verdict"]
    assert set(told) == {UNKNOWN}


def test_nothing_can_be_told_where_all_are_equal():
    table = importance(frame(np.full(32, 0.5)))
    assert set(table["verdict"]) == {UNKNOWN} and table["importance"].isna().all()


def test_a_choice_that_alone_matters_is_found():
    rng = np.random.default_rng(0)
    kinds = rng.choice(["gmm", "bmm"], 32)
    settings = [{"m.kind": str(kind), "m.x": float(rng.random())} for kind in kinds]
    values = np.where(kinds == "bmm", 0.6, 0.4) + 0.01 * rng.normal(size=32)
    estimate = shares(pd.DataFrame({"value": values, "settings": settings}), ["m.kind", "m.x"])
    fanova, ped_anova = (estimate[name]["m.kind"].iloc[0] for name in EVALUATORS)
    # Half of all have the better choice, so that the best quarter differs from all by little.
    assert fanova > 0.9 and ped_anova > 0.5


def test_ranks_make_a_scale_not_matter():
    rng = np.random.default_rng(0)
    weights = 10 ** rng.uniform(-3, 3, 20)
    values = np.log10(weights) + 0.1 * rng.normal(size=20)
    other = rng.random(20)

    def estimate(column):
        settings = [{"m.w": float(w), "m.x": float(x)} for w, x in zip(column, other, strict=True)]
        return shares(pd.DataFrame({"value": values, "settings": settings}), ["m.w", "m.x"])

    plain, logarithms = estimate(weights), estimate(np.log10(weights))
    for name in EVALUATORS:
        assert np.array_equal(plain[name], logarithms[name])


def test_the_mean_over_cells_counts_cells_alike():
    rng = np.random.default_rng(0)
    first = frame(np.array([s["m.a"] for s in frame(rng.random(32))["settings"]]), rate=0.2)
    second = frame(np.array([s["m.b"] for s in first["settings"]]), rate=0.5)
    table = importance(pd.concat([first, second]))
    fanova = table[table["evaluator"] == EVALUATORS[0]]
    over = fanova[fanova["cells"] == 2].set_index("hyper_parameter")["importance"]
    single = fanova[fanova["cells"] == 1].groupby("hyper_parameter")["importance"].mean()
    assert over["m.a"] == pytest.approx(single["m.a"])
    assert fanova.loc[fanova["cells"] == 2, "noise_rate"].isna().all()


def test_a_large_search_is_sampled(monkeypatch):
    monkeypatch.setattr(module, "MOST", 30)
    trials = frame(np.random.default_rng(0).random(300))
    trials["value"] = [settings["m.a"] for settings in trials["settings"]]
    table = importance(trials).query("evaluator == 'fANOVA'").set_index("hyper_parameter")
    assert table["verdict"].to_dict() == {"m.a": MATTERS, "m.b": LITTLE}


def test_few_configurations_have_no_importance():
    assert importance(frame(np.arange(9.0))).empty


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.4, 0.9, MATTERS), (0.0, 0.2, LITTLE), (0.2, 0.6, UNKNOWN), (np.nan, np.nan, UNKNOWN)],
)
def test_verdicts(low, high, expected):
    assert verdict(low, high, 0.25) == expected


def frame(values: np.ndarray, rate: float = 0.5) -> pd.DataFrame:
    """Return trials of a search over two hyper-parameters with these values."""
    rng = np.random.default_rng(7)
    settings = [{"m.a": float(a), "m.b": float(b)} for a, b in rng.random((len(values), 2))]
    about = dict.fromkeys(module.ABOUT, "x") | {"noise_rate": rate, "cell": json.dumps(rate)}
    return pd.DataFrame({"value": values, "settings": settings}).assign(**about)
