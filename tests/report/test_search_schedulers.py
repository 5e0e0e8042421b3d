"""Schedulers of searches: rules beside Ray Tune's, and what they save and lose."""

import numpy as np
import pytest
from fabricate import write_trial
from search_records import DEFAULTS, STAGE, board_of, random_configurations

from bench.planning.brackets import brackets
from bench.report.searches.schedulers import SCHEDULERS, rule_of
from bench.report.searches.tables import search_sections
from bench.sweep.stopping import TuneStopper

EPOCHS, COUNT = 6, 12


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(("grace", "epochs"), [(0, 20), (3, 30), (5, 7)])
def test_rules_decide_as_ray_tunes_schedulers(scheduler, grace, epochs):
    rng = np.random.default_rng(0)
    rule, ray = rule_of(scheduler, grace, epochs), TuneStopper(scheduler, grace, epochs)
    ends = []
    for number in range(60):
        curve = np.cumsum(rng.normal(0.02, 0.05, epochs)).round(2)  # with ties
        end = epochs
        for count in range(grace + 1, epochs + 1):
            decisions = {
                each.judge(str(number), count, float(curve[count - 1])) for each in (rule, ray)
            }
            assert len(decisions) == 1
            if decisions == {True}:
                end = count
                break
        ends.append(end)
    assert min(ends) < epochs


def test_the_median_rule_decides_as_ray_tunes_with_warm_ups_of_other_lengths():
    """The scheduler has the warm-up of the first configuration; others have shorter, or longer."""
    rng = np.random.default_rng(0)
    rule, ray = rule_of("median", 4, 20), TuneStopper("median", 4, 20)
    stopped = 0
    for number in range(60):
        curve = np.cumsum(rng.normal(0.02, 0.05, 20)).round(2)
        for count in range(1 + number % 9, 21):
            decisions = {
                each.judge(str(number), count, float(curve[count - 1])) for each in (rule, ray)
            }
            assert len(decisions) == 1
            if decisions == {True}:
                stopped += 1
                break
    assert 0 < stopped < 60


def test_hyperbands_last_bracket_stops_nobody():
    parts = brackets("hyperband", 0, 20)
    assert [part.first_rung for part in parts] == [1, 4, 16, 20]
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert [part.first_rung for part in brackets("asha", 3, 20)] == [4]


def search(sweep, stage: str, ends=(EPOCHS,) * COUNT, best: int = 0) -> None:
    """Write a search whose configurations get worse from draw to draw; ``best`` is the top one."""
    for draw, (config, end) in enumerate(zip(random_configurations(COUNT), ends, strict=True)):
        level = 0.95 if draw == best else 0.8 - draw / 100
        curve = [level - 0.2 + epoch * 0.2 / (EPOCHS - 1) for epoch in range(end)]
        write_trial(
            sweep,
            "elr",
            test=[value / 2 for value in curve],
            noisy_val=curve,
            seed=1_000_000,
            config=config,
            defaults=DEFAULTS,
            spec={"stage": stage},
            status="finished" if end == EPOCHS else "stopped",
            recipe={"epochs": EPOCHS},
            epochs={"train_seconds": [2.0] * end},
            draw=draw,
        )


def test_a_search_without_scheduler_is_replayed(tmp_path):
    write_trial(tmp_path, "ce")
    search(tmp_path, STAGE)
    rows = board_of(tmp_path).schedulers.set_index("scheduler")
    assert rows.index.tolist() == list(SCHEDULERS) and set(rows["evidence"]) == {"replayed"}
    asha = rows.loc["asha"]  # each is worse than the ones before it, after its first epoch
    assert asha["stopped"] == COUNT - 1
    assert asha["epochs_saved"] == pytest.approx((COUNT - 1) * (EPOCHS - 1) / (COUNT * EPOCHS))
    assert asha["seconds_saved"] == pytest.approx(2 * (COUNT - 1) * (EPOCHS - 1))
    assert asha["value_lost"] == asha["test_lost"] == 0
    assert rows.loc["median", "stopped"] < asha["stopped"]
    [section, _] = search_sections(board_of(tmp_path))
    assert any("What schedulers save" in table.caption for table in section.tables)


def test_a_failed_trial_is_no_pick_of_a_replayed_search(tmp_path):
    """Its value is chance, which may be above that of others."""
    write_trial(tmp_path, "ce", rate=0.89)
    for draw, config in enumerate(random_configurations(COUNT)):
        write_trial(
            tmp_path,
            "elr",
            test=[0.4 - draw / 100] * EPOCHS,
            noisy_val=[0.075 - draw / 1000] * EPOCHS,
            rate=0.89,
            seed=1_000_000,
            config=config,
            defaults=DEFAULTS,
            spec={"stage": STAGE},
            status="failed" if draw == COUNT - 1 else "finished",
            recipe={"epochs": EPOCHS},
            epochs={"train_seconds": [2.0] * EPOCHS},
            draw=draw,
        )
    board = board_of(tmp_path).schedulers
    assert len(board) == len(SCHEDULERS)
    assert (board["value_lost"] == 0).all() and (board["test_lost"] == 0).all()


def test_a_scheduler_that_ran_is_compared_with_the_search_without(tmp_path):
    write_trial(tmp_path, "ce")
    search(tmp_path, STAGE, best=5)
    search(tmp_path, STAGE.replace("none", "asha"), (6, *[1] * (COUNT - 1)), best=5)
    board = board_of(tmp_path).schedulers
    [row] = board[board["evidence"] == "ran"].to_dict("records")
    assert (row["scheduler"], row["stopped"], row["configurations"]) == ("asha", 11, COUNT)
    assert row["epochs_saved"] == pytest.approx(55 / 72)
    assert row["seconds_saved"] == pytest.approx(110)
    # The best one was stopped at 75 %, so that the first one is picked, which reaches 80 %.
    assert row["value_lost"] == pytest.approx(0.15) and row["test_lost"] == pytest.approx(0.075)
    alone = tmp_path / "alone"
    write_trial(alone, "ce")
    search(alone, STAGE.replace("none", "asha"), (6, *[1] * (COUNT - 1)))
    [row] = board_of(alone).schedulers.to_dict("records")
    assert np.isnan(row["test_lost"]) and row["epochs_saved"] == pytest.approx(55 / 72)


def test_short_searches_say_nothing(tmp_path):
    write_trial(tmp_path, "ce")
    write_trial(
        tmp_path, "elr", seed=1_000_000, defaults=DEFAULTS, spec={"stage": STAGE}, test=[0.5, 0.6]
    )
    board = board_of(tmp_path)
    assert board.schedulers.empty
    captions = [table.caption for section in search_sections(board) for table in section.tables]
    assert not any("schedulers" in caption for caption in captions)
