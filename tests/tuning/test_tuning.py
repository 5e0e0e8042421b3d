"""Searches without training: what they draw, stop, pick and remember, from records that a test can
compute by hand.
"""

import io
import itertools
import json
import types
from collections import Counter
from dataclasses import replace
from functools import partial

import msgspec
import numpy as np
import optuna
import pytest
from ray import tune
from rich.console import Console
from searching import EPOCHS, PLAN, curve, drain, finish, make, write

import bench.tuning.spaces
import bench.tuning.study
from bench.cli.estimate import print_plan
from bench.cli.plan import PlannedSweep
from bench.errors import InputError
from bench.planning.labels import Labels
from bench.planning.searches import TUNED, SearchKind, goal_values, pick
from bench.planning.selection import clean_validation
from bench.planning.spec import (
    Seeds,
    TrialSpec,
    expand_hparams,
    method_for,
    misspecified,
    record_of,
)
from bench.records.packing import pack_numbers
from bench.records.schema import Done, Epoch
from bench.records.trials import trial_id
from bench.records.writer import TrialWriter
from bench.sweep.stopping import TuneStopper
from bench.sweep.work import Resources
from bench.training.outcome import stopped_outcome
from bench.training.trial import run_trial
from bench.tuning.domains import suggest
from bench.tuning.plan import SEARCH_SEED, plan_tuning
from bench.tuning.search import Search, Settings
from bench.tuning.spaces import load_space, space_of

# ----------------------------------------------------------------------------
# spaces


def draw(method: str, trial, fixed) -> dict:
    return space_of(method, fixed)(partial(suggest, trial))


def test_domains_become_what_optuna_draws(space):
    space(
        "elr_plus",
        {
            "weight": tune.loguniform(0.5, 20.0),
            "momentum": tune.quniform(0.5, 1.0, 0.25),
            "mixup_alpha": tune.uniform(0.2, 8.0),
            "weight_ramp_epochs": tune.randint(1, 4),
            "warmup_epochs": tune.qrandint(2, 8, 2),
            "other_epochs": tune.qrandint(2, 8, 1),
            "refine_labels": tune.choice([False, True]),
        },
    )
    trial = optuna.create_study().ask()
    draw("elr_plus", trial, {})
    float_, int_ = optuna.distributions.FloatDistribution, optuna.distributions.IntDistribution
    assert trial.distributions == {
        "elr_plus.weight": float_(0.5, 20.0, log=True),
        "elr_plus.momentum": float_(0.5, 1.0, step=0.25),
        "elr_plus.mixup_alpha": float_(0.2, 8.0),
        "elr_plus.weight_ramp_epochs": int_(1, 3),  # Tune leaves the upper end out
        "elr_plus.warmup_epochs": int_(2, 8, step=2),  # but not of steps
        "elr_plus.other_epochs": int_(2, 7),
        "elr_plus.refine_labels": optuna.distributions.CategoricalDistribution([False, True]),
    }


def test_a_domain_that_optuna_has_not_is_an_error(space):
    space("elr", {"weight": tune.randn(3.0, 1.0)})
    with pytest.raises(
        InputError,
        match=r"search space of elr\.weight comes from tune\.randn, .*use choice, uniform",
    ):
        draw("elr", optuna.create_study().ask(), {})


def test_a_conditional_space_draws_what_matters_and_leaves_alone_what_is_fixed():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [draw("gce", study.ask(), {}) for _ in range(20)]
    assert {len(d) for d in drawn} == {2, 4}
    assert all(("gce.threshold" in d) == d["gce.truncated"] for d in drawn)
    assert all(
        "gce.threshold" in draw("gce", study.ask(), {"gce.truncated": True}) for _ in range(5)
    )
    assert all("gce.q" not in draw("gce", study.ask(), {"gce.q": 0.7}) for _ in range(5))


def test_parts_of_a_composed_method_keep_their_names_apart():
    drawn = draw("rmd+elr", optuna.create_study().ask(), {})
    assert {"rmd.weight", "elr.weight", "elr.momentum"} <= drawn.keys()


def test_a_method_without_a_search_space_says_where_to_put_one(monkeypatch):
    with pytest.raises(
        InputError,
        match=r"my_method has no search space to tune in: write search_spaces/my_method\.py",
    ):
        load_space("my_method")
    point = types.SimpleNamespace(name="my_method", module="json")
    monkeypatch.setattr(
        bench.tuning.spaces,
        "entry_points",
        lambda group: [point] * (group == "bench.search_spaces"),
    )
    with pytest.raises(InputError, match="it defines neither SPACE nor space"):
        load_space("my_method")
    monkeypatch.setattr(json, "SPACE", {"level": tune.uniform(0, 1)}, raising=False)
    asked = []
    load_space("my_method")(lambda name, domain: asked.append(name))
    assert asked == ["level"]


def test_defaults_outside_the_space_are_refused(data, space):
    space("elr", {"weight": tune.uniform(5.0, 6.0)})
    with pytest.raises(InputError, match="the defaults of elr are not in its search space"):
        make(data, "elr")


# ----------------------------------------------------------------------------
# drawing


def test_the_first_configuration_is_the_papers_and_all_are_different(data):
    tuning = make(data, "elr", "gce", rates=(0.3, 0.5), configurations=5)
    ran = drain(tuning)
    cells = {(spec.method, spec.noise_rate): [] for spec in ran}
    for spec in ran:
        cells[spec.method, spec.noise_rate].append(spec)
    assert {key: len(found) for key, found in cells.items()} == {
        (m, r): 5 for m in ("elr", "gce") for r in (0.3, 0.5)
    }
    for (method, _), found in cells.items():
        [(_, defaults)] = expand_hparams([method], {}, {})
        assert found[0].hparams == defaults
        assert len({json.dumps(spec.hparams) for spec in found}) == 5
        assert all(
            spec.is_search and spec.train_seed == spec.noise_seed == spec.split_seed == SEARCH_SEED
            for spec in found
        )


def test_searches_have_seeds_of_their_own_where_replicas_share_theirs(data):
    tuning = plan_tuning(
        PLAN,
        data,
        expand_hparams(["elr"], {}, {}),
        set(),
        [0.5],
        Seeds([0, 1], noise=7, split=8),
        Settings(configurations=2),
        TuneStopper,
    )
    found = lambda specs: {(s.noise_seed, s.split_seed, s.train_seed) for s in specs}  # noqa: E731
    assert found(drain(tuning)) == {(SEARCH_SEED, SEARCH_SEED, SEARCH_SEED)}
    assert found(tuning.follow()) == {(7, 8, 0), (7, 8, 1)}


@pytest.mark.parametrize(
    "seeds",
    [Seeds([SEARCH_SEED]), Seeds([0], noise=SEARCH_SEED), Seeds([0], split=SEARCH_SEED + 1)],
)
def test_seeds_of_searches_are_refused(data, seeds):
    configurations = expand_hparams(["elr"], {}, {})
    settings = Settings(configurations=2)
    with pytest.raises(InputError, match="--noise-seed"):
        plan_tuning(PLAN, data, configurations, set(), [0.5], seeds, settings, TuneStopper)


def test_what_has_nothing_to_tune_is_not_searched(data):
    assert {spec.method for spec in drain(make(data, "ce", "elr"))} == {"elr"}
    with pytest.raises(InputError, match="there is nothing to tune in ce: "):
        make(data, "ce")
    with pytest.raises(InputError, match="there is nothing to tune in elr: "):
        make(data, "elr", fixed={"elr.weight": "1", "elr.momentum": "0.5"})


def test_what_is_set_is_not_searched(data):
    ran = drain(make(data, "elr", fixed={"elr.weight": "3"}))  # 3 is the default, and stays it
    assert {spec.hparams["elr.weight"] for spec in ran} == {3.0}
    assert len({spec.hparams["elr.momentum"] for spec in ran}) == 3
    with pytest.raises(InputError, match="elr is given several configurations"):
        plan_tuning(
            PLAN,
            data,
            expand_hparams(["elr"], {}, {"elr.weight": ["1", "3"]}),
            {"elr.weight"},
            [0.5],
            Seeds([0]),
            Settings(2),
            TuneStopper,
        )


def test_a_small_space_ends_when_all_of_it_was_tried(data, space):
    space("elr", {"weight": tune.choice([1.0, 3.0, 7.0])})
    tuning = make(data, "elr", configurations=10)
    ran = drain(tuning, lambda spec: spec.hparams["elr.weight"] / 10)
    assert sorted(spec.hparams["elr.weight"] for spec in ran) == [1.0, 3.0, 7.0]
    assert tuning.over


def test_trials_at_a_time_are_limited_and_spread_over_the_searches(data):
    tuning = make(data, "elr", rates=(0.3, 0.5), configurations=4)
    started = [tuning.next(parallel=2) for _ in range(5)]
    assert [spec.noise_rate for spec in started[:4]] == [0.3, 0.5, 0.3, 0.5]
    assert started[4] is None and not tuning.over


def test_random_draws_ignore_what_was_found_and_have_searches_of_their_own(data):
    settings = {"configurations": 16, "sampler": "random"}
    rising = drain(make(data, "elr", **settings), lambda spec: spec.hparams["elr.weight"])
    falling = drain(make(data, "elr", **settings), lambda spec: -spec.hparams["elr.weight"])
    assert rising == falling
    kind = SearchKind("tuned", sampler="random")
    assert rising[0].stage == kind.stage and SearchKind.of(kind.stage) == kind
    assert rising[0].stage != SearchKind("tuned").stage


def test_parallel_draws_are_never_the_same(data, space):
    space("elr", {"weight": tune.choice([1.0, 3.0, 7.0]), "momentum": tune.choice([0.5, 0.7])})
    tuning = make(data, "elr", configurations=6)
    ran = [tuning.next(6) for _ in range(6)]
    assert None not in ran and len({spec.id for spec in ran}) == 6


def test_a_budget_ends_with_its_seconds(data):
    tuning = make(data, "elr", configurations=None, seconds=5 * EPOCHS)
    assert len(drain(tuning)) == 5
    tuning = make(data, "elr", configurations=None, seconds=0.1)
    assert len(drain(tuning)) == 1, "the defaults are always tried"
    tuning = make(data, "elr", configurations=None, seconds=3.5 * EPOCHS)
    specs = [tuning.next(2)]
    assert tuning.next(2) is None, "nobody knows yet how long one takes"
    finish(tuning, specs[0], 0.5)
    specs = [tuning.next(9) for _ in range(4)]
    assert [spec is not None for spec in specs] == [True, True, True, False], (
        "what is under way counts too"
    )


def test_a_budget_ends_where_every_configuration_fails_at_once(data):
    tuning = make(data, "elr", configurations=None, seconds=1000.0)
    count = 0
    while spec := tuning.next():
        tuning.end(spec, Done(status="failed", work_seconds=0.01), [])
        count += 1
    assert count == 5


def test_pretraining_counts_once_in_a_budget(data):
    tuning = make(data, "rmd", configurations=None, seconds=30.0)
    count = 0
    while spec := tuning.next():
        tuning.end(spec, Done(status="finished", pretrain_seconds=12.0), curve(*[0.5] * 5))
        count += 1
    assert count == 4  # 12 + 4 x 5 = 32


# ----------------------------------------------------------------------------
# picking


def test_the_pick_is_the_best_and_runs_on_fresh_seeds(data):
    tuning = make(data, "elr", configurations=4, seeds=(0, 1))
    ran = drain(tuning, lambda spec: 0.9 if spec.hparams["elr.weight"] != 3.0 else 0.1)
    follow = tuning.follow()
    assert follow and tuning.over and tuning.follow() == []
    assert [(spec.stage, spec.train_seed, spec.noise_seed) for spec in follow] == [
        (TUNED, 0, 0),
        (TUNED, 1, 1),
    ]
    assert follow[0].hparams in [spec.hparams for spec in ran[1:]]


def test_defaults_that_win_are_the_trials_that_run_anyway(data):
    tuning = make(data, "elr")
    drain(tuning)  # all alike
    [defaults] = expand_hparams(["elr"], {}, {})
    plain = PLAN.specs(data, [defaults], [0.5], [0, 1])
    assert [spec.id for spec in tuning.follow()] == [spec.id for spec in plain]


def test_a_failed_configuration_counts_and_is_not_picked(data):
    tuning = make(data, "elr", configurations=3)
    first, second, third = (tuning.next(3) for _ in range(3))
    finish(tuning, first, 0.3)
    finish(tuning, second, 0.9, "diverged")
    finish(tuning, third, 0.2)
    assert tuning.next() is None and tuning.over
    assert tuning.follow()[0].hparams == first.hparams


def test_transfer_uses_each_pick_at_all_rates(data):
    tuning = make(data, "elr", rates=(0.3, 0.5), transfer=True, seeds=(0,))
    drain(tuning, lambda spec: 0.9 - spec.hparams["elr.momentum"] * spec.noise_rate)
    found = tuning.follow()
    picks = {json.dumps(spec.hparams) for spec in found}
    assert len(picks) == 2 and len(found) == 4 and {spec.noise_rate for spec in found} == {0.3, 0.5}
    with pytest.raises(InputError, match="--transfer needs several noise rates"):
        make(data, "elr", transfer=True)


def test_ties_go_to_the_fewest_changes_in_whatever_order():
    tried = [("c", 0.5, 2), ("a", 0.5, 1), ("b", 0.5, 1), ("d", 0.4, 0), ("e", float("nan"), 0)]
    assert {pick(order) for order in itertools.permutations(tried)} == {"a"}


# ----------------------------------------------------------------------------
# stopping


def test_asha_stops_the_poor_one_and_nobody_before_the_warm_up_is_over(data):
    tuning = make(data, "forward", scheduler="asha")  # its warm-up is half the run
    first, second, third = (tuning.next(3) for _ in range(3))
    warmups = {spec.id: method_for(spec).grace() for spec in (first, second, third)}
    assert warmups[first.id] == EPOCHS // 2
    assert not tuning.judge(first, curve(*[0.9] * EPOCHS))
    poor = curve(*[0.1] * EPOCHS)
    grace = warmups[second.id]
    assert not tuning.judge(second, poor[:grace])
    assert tuning.judge(second, poor[grace : EPOCHS - 1])
    assert not tuning.judge(third, curve(*[0.95] * EPOCHS)), "a better one goes on"


def test_no_trial_is_stopped_in_its_last_epoch(data):
    tuning = make(data, "elr", scheduler="asha")
    first, second = tuning.next(2), tuning.next(2)
    tuning.judge(first, curve(*[0.9] * EPOCHS))
    assert not tuning.judge(second, curve(*[0.1] * EPOCHS)), (
        "reported at once, it has cost all that it will"
    )


def test_cells_are_stopped_apart(data):
    tuning = make(data, "elr", rates=(0.3, 0.5), scheduler="asha")
    easy, hard = tuning.next(), tuning.next()
    assert easy.noise_rate != hard.noise_rate
    assert not tuning.judge(easy, curve(*[0.9] * EPOCHS))
    assert not tuning.judge(hard, curve(*[0.1] * EPOCHS)), "it is the first at its own noise"


def test_the_median_rule_waits_for_three_others(data):
    tuning = make(data, "elr", scheduler="median", configurations=6)
    specs = [tuning.next(6) for _ in range(5)]
    for spec in specs[:3]:
        assert not tuning.judge(spec, curve(*[0.8] * EPOCHS))
    assert tuning.judge(specs[3], curve(*[0.1] * (EPOCHS - 1)))
    assert not tuning.judge(specs[4], curve(*[0.9] * EPOCHS))


def test_hyperband_stops_later_in_later_brackets_and_nobody_in_the_last():
    epochs = 20
    stopper = TuneStopper("hyperband", 0, epochs)  # brackets begin at 1, 4, 16 and 20 epochs
    stopped = {}
    for number in range(400):
        value = 1 - number / 400  # each one is the worst so far
        steps = range(1, epochs)
        stopped[str(number)] = next(
            (count for count in steps if stopper.judge(str(number), count, value)), None
        )
    counts = Counter(stopped.values())
    assert {1, 4, 16, None} <= counts.keys()
    assert counts[1] > counts[4] > counts[16] > 0
    again = TuneStopper("hyperband", 0, epochs)
    poor = [name for name, count in stopped.items() if count == 1]
    for name in stopped.keys() - {poor[-1]}:
        again.judge(name, 1, 0.9)
    assert again.judge(poor[-1], 1, 0.0), "its bracket depends on its id alone"


def test_a_resumed_scheduler_knows_no_epochs_after_the_one_that_stopped_a_trial(data, tmp_path):
    options = {"configurations": 5, "scheduler": "asha"}  # which judges after 1 and 4 epochs
    tuning = make(data, "elr", **options)
    for values in ([0.5] * EPOCHS, *[[0.1, 0.1, 0.1, 0.9, 0.9]] * 3):
        spec, stops = tuning.next(), len(values) < EPOCHS
        assert tuning.judge(spec, curve(*values)) == stops, "all epochs come at a time"
        status = "stopped" if stops else "finished"
        finish(tuning, spec, max(values), status)
        write(tmp_path, spec, values, status)
    again = make(data, "elr", **options)
    again.resume(tmp_path)
    for resumed in (tuning, again):
        assert not resumed.judge(resumed.next(), curve(*[0.6] * 5))


def test_a_stopped_trial_has_a_whole_record(data):
    tuning = make(data, "elr", scheduler="asha")
    spec = tuning.next()
    stopped = stopped_outcome(spec, data, curve(0.1, 0.2, 0.3), pretrain_seconds=4.0)
    assert (stopped.status, stopped.epochs) == ("stopped", 3)
    assert (stopped.train_seconds, stopped.pretrain_seconds) == (3.0, 4.0)
    assert stopped.noise.realised_rate == pytest.approx(0.5, abs=0.01)
    assert stopped.privileges == []
    whole = run_trial(replace(spec, recipe=spec.recipe.override({"epochs": 1})), data)
    missing = msgspec.to_builtins(whole.done()).keys() - msgspec.to_builtins(stopped.done()).keys()
    assert missing == {
        "build",  # it may have run on another machine than the driver
        "parameters",
        "peak_memory_bytes",
        "work_seconds",
        "feature_silhouette",
        "feature_knn_accuracy",
        "reliability",
    }


# ----------------------------------------------------------------------------
# resuming


def planned(data, tuning, out, retry_failed=False) -> str:
    console = Console(file=io.StringIO(), width=200)
    specs = PLAN.specs(data, expand_hparams(["elr"], {}, {}), [0.5], [0, 1])
    request = types.SimpleNamespace(resources=types.SimpleNamespace(retry_failed=retry_failed))
    print_plan(console, PlannedSweep(request, data, specs, tuning, out, Resources()))
    return console.file.getvalue()


def test_a_plan_counts_failed_trials_that_are_to_run_again(data, tmp_path):
    specs = PLAN.specs(data, expand_hparams(["elr"], {}, {}), [0.5], [0, 1])
    for spec in specs:
        write(tmp_path, spec, [0.5] * EPOCHS, "failed")
    assert "2 of them on record" in planned(data, None, tmp_path)
    again = planned(data, None, tmp_path, retry_failed=True)
    assert "0 of them on record" in again and "estimate" in again


@pytest.mark.parametrize("predictions", [None, "eJxj", "no base64"])
def test_a_record_without_predictions_that_can_be_read_is_named(data, tmp_path, predictions):
    spec = make(data, "elr", goal="clean-val:10").next()
    writer = TrialWriter(tmp_path, spec.id, record_of(spec))
    epochs = curve(*[0.5] * EPOCHS)
    for epoch in epochs:
        epoch.val_predictions = msgspec.UNSET if predictions is None else predictions
    writer.restart(epochs)
    writer.finish(Done(status="finished", epochs=EPOCHS))
    with pytest.raises(InputError, match=f"{spec.id}' lacks what the search compares"):
        make(data, "elr", goal="clean-val:10").resume(tmp_path)


def test_a_search_goes_on_from_the_records_alone(data, tmp_path):
    first = make(data, "elr", configurations=5, scheduler="asha")
    specs = [first.next(5) for _ in range(3)]
    write(tmp_path, specs[0], [0.5] * EPOCHS)
    write(tmp_path, specs[1], [0.4] * 2, "stopped")
    write(tmp_path, specs[2], [0.9] * 3, None)  # the driver was killed
    text = planned(data, make(data, "elr", configurations=5, scheduler="asha"), tmp_path)
    assert "elr · symmetric 0.5 (tuned noisy-val asha): 5 trials" in text, (
        "one begun, two to draw, two of the pick"
    )
    assert "5 trials of tuning, at most" in text and "tuning" in text.partition("estimate")[2]
    again = make(data, "elr", configurations=5, scheduler="asha")
    again.resume(tmp_path)
    resumed = again.next(5)
    assert resumed == specs[2], "what was begun comes first"
    assert again.judge(resumed, curve(*[0.1] * 3)), (
        "the scheduler remembers what the others reached"
    )
    ran = [resumed]
    finish(again, resumed, 0.9, "stopped")
    ran += drain(again)
    assert len({spec.id for spec in [*specs, *ran]}) == 5 and len(ran) == 3
    assert again.follow()[0].hparams == resumed.hparams
    for spec in ran:
        write(tmp_path, spec, [0.9 if spec == resumed else 0.5] * EPOCHS)
    whole = make(data, "elr", configurations=5, scheduler="asha")
    whole.resume(tmp_path)
    assert whole.over and whole.next() is None and whole.follow()[0].hparams == resumed.hparams
    more = make(data, "elr", configurations=6, scheduler="asha")
    more.resume(tmp_path)
    assert len(drain(more)) == 1


def test_failed_trials_run_again_on_request(data, tmp_path):
    spec = make(data, "elr", configurations=1).next()
    write(tmp_path, spec, [], "failed")
    for retry, ran in ((False, []), (True, [spec])):
        tuning = make(data, "elr", configurations=1)
        tuning.resume(tmp_path, retry_failed=retry)
        assert drain(tuning) == ran


@pytest.mark.parametrize("retry", [False, True])
def test_a_trial_that_its_machine_ended_ends_no_search_and_runs_again(data, tmp_path, retry):
    tuning = make(data, "elr")
    specs, statuses = [], ("finished", "lost", "finished")
    for value, status in zip((0.5, 0.9, 0.6), statuses, strict=True):
        specs.append(tuning.next())
        finish(tuning, specs[-1], value, status)
        write(tmp_path, specs[-1], [value] * EPOCHS, status)
    assert tuning.next() is None and tuning.follow()[0].hparams == specs[2].hparams
    states = [trial.state.name for trial in tuning.searches[0]._study._optuna.trials]
    assert sorted(states) == ["COMPLETE", "COMPLETE", "FAIL"]
    again = make(data, "elr")
    again.resume(tmp_path, retry_failed=retry)
    assert not again.over and again.next() == specs[1] and again.next() is None
    finish(again, specs[1], 0.9)
    assert again.follow()[0].hparams == specs[1].hparams, (
        "the pick is the one of a sweep without the fault"
    )


def test_searches_of_other_settings_share_no_trials(data, tmp_path):
    ran = drain(make(data, "elr"))
    for spec in ran:
        write(tmp_path, spec, [0.5] * EPOCHS)
    for other in (
        make(data, "elr", scheduler="asha"),
        make(data, "elr", goal="oracle"),
        make(data, "elr", fixed={"elr.weight": "3"}),
        make(data, "elr", configurations=None, seconds=EPOCHS * 3.0),
    ):
        other.resume(tmp_path)
        assert len(drain(other)) == 3
    assert SearchKind.of(ran[0].stage) == SearchKind("tuned", "noisy-val", "none")


def test_a_record_from_another_search_space_counts_but_teaches_nothing(data, tmp_path, space):
    for spec in drain(make(data, "elr")):
        write(tmp_path, spec, [0.5] * EPOCHS)
    space("elr", {"weight": tune.choice([1.0, 3.0, 7.0])})
    tuning = make(data, "elr", configurations=5)
    tuning.resume(tmp_path)
    assert len(drain(tuning)) == 2


def test_a_search_learns_from_the_records(data, tmp_path):
    """Thirty configurations, the better the smaller the weight: what is drawn then has smaller
    weights than at first.
    """
    better = lambda spec: 1 / (1 + spec.hparams["elr.weight"])  # noqa: E731
    ran = drain(make(data, "elr", configurations=30), better)
    for spec in ran:
        write(tmp_path, spec, [better(spec)] * EPOCHS)
    tuning = make(data, "elr", configurations=40)
    tuning.resume(tmp_path)
    later = drain(tuning, better)
    weight = lambda specs: np.median([spec.hparams["elr.weight"] for spec in specs])  # noqa: E731
    assert len(later) == 10 and weight(later) < weight(ran[:10])


# ----------------------------------------------------------------------------
# goals


def test_clean_validation_counts_the_same_images_every_time():
    truth = np.array([0, 1, 2, -1, 1, 0])
    predicted = np.array([0, 1, 1, 0, 0, 0])
    assert clean_validation(predicted, truth) == pytest.approx(3 / 5)
    each = {clean_validation(predicted, truth, 2) for _ in range(3)}
    assert len(each) == 1 and each <= {0.0, 0.5, 1.0}
    assert clean_validation(predicted, truth, 6) is None, "only five are known"
    assert clean_validation(predicted, truth, 5) == clean_validation(predicted, truth)


def test_goals_read_their_own_labels():
    truth = np.array([0, 1, 2, 0])
    epochs = curve(0.2, 0.7)
    for epoch, predicted in zip(epochs, ([0, 1, 2, 2], [0, 0, 0, 0]), strict=True):
        epoch.val_predictions = pack_numbers(np.array(predicted))
    assert goal_values("noisy-val", epochs, None).tolist() == [0.2, 0.7]
    assert goal_values("oracle", epochs, None).tolist() == pytest.approx([0.8, 0.3])
    assert goal_values("clean-val:4", epochs, truth).tolist() == [0.75, 0.5]


def test_records_hold_what_a_clean_goal_needs(data):
    spec = make(data, "elr", goal="clean-val:10").next()
    epochs = []
    outcome = run_trial(
        replace(spec, recipe=spec.recipe.override({"epochs": 2})),
        data,
        report=lambda new, restart: epochs.extend(new),
    )
    labels = Labels.of(spec, data)
    truth = labels.truth[labels.validation]
    assert outcome.validation_truth == pack_numbers(truth)
    everything = goal_values(f"clean-val:{len(truth)}", epochs, truth)
    assert everything.tolist() == [epoch.clean_val_accuracy for epoch in epochs]


def test_a_goal_that_cannot_be_is_refused(data):
    for goal, message in (
        ("clean-val", "write clean-val:50"),
        ("clean-val:0", "write clean-val:50"),
        ("noisy", "did you mean noisy-val"),
    ):
        with pytest.raises(InputError, match=message):
            Settings(3, goal=goal)
    with pytest.raises(
        InputError, match="needs 500 validation images with known labels, but there are 20"
    ):
        make(data, "elr", goal="clean-val:500")


# ----------------------------------------------------------------------------
# a wrong noise rate


def test_methods_that_read_the_rate_are_told_a_wrong_one(data):
    told = expand_hparams(["ce", "co_teaching"], {}, {"co_teaching.forget_rate": ["oracle"]})
    specs = misspecified(PLAN.specs(data, told, [0.4], [0]), [0.5, 1, 1.5])
    assert [(spec.method, spec.told) for spec in specs] == [
        ("ce", 1),
        *(("co_teaching", f) for f in (0.5, 1, 1.5)),
    ]
    assert specs[2].id == PLAN.specs(data, told, [0.4], [0])[1].id, (
        "told the truth, it is the plain trial"
    )
    assert TrialSpec.from_json(specs[1].to_json()) == specs[1] and "told" not in specs[2].to_json()
    rates = []
    for spec in specs[1:]:
        short = replace(spec, recipe=spec.recipe.override({"epochs": 3}))
        epochs = []
        run_trial(
            short,
            data,
            report=lambda found, restart, epochs=epochs: epochs.extend(map(Epoch.to_json, found)),
        )
        rates.append(epochs[-1]["train_loss"])
    assert len(set(rates)) == 3, "it makes a difference"


def test_misspecification_that_nobody_notices_is_an_error(data):
    plain = PLAN.specs(data, expand_hparams(["ce", "co_teaching"], {}, {}), [0.4], [0])
    with pytest.raises(
        InputError,
        match=r"none of ce, co_teaching reads the noise rate.*co_teaching\.forget_rate=oracle",
    ):
        misspecified(plain, [0.5])
    told = expand_hparams(["co_teaching"], {}, {"co_teaching.forget_rate": ["oracle"]})
    with pytest.raises(
        InputError, match=r"--misspecify 1\.5 at noise 0\.8 tells co_teaching a rate of 1\.2"
    ):
        misspecified(PLAN.specs(data, told, [0.8], [0]), [1.5])


def test_a_search_is_no_part_of_a_plain_specification(data):
    [spec] = PLAN.specs(data, expand_hparams(["elr"], {}, {}), [0.5], [0])
    assert not {"stage", "told"} & spec.to_json().keys()
    search = Search(spec, SearchKind("tuned"), {}, Settings(1), TuneStopper)
    assert search.base.to_json()[
        "stage"
    ] == "search tuned noisy-val none" and search.base.label.endswith("· search")
    assert TrialSpec.from_json(search.base.to_json()) == search.base


@pytest.mark.parametrize("over", [1, 7, 12])
def test_a_search_that_was_killed_draws_what_it_would_have_drawn(data, tmp_path, space, over):
    """One trial at a time; the space is so small that some draws repeat an earlier one, and TPE's
    own part comes in.
    """
    space(
        "elr",
        {
            "weight": tune.choice([1.0, 3.0, 7.0, 9.0]),
            "momentum": tune.choice([0.5, 0.7, 0.9, 0.99]),
        },
    )
    score = lambda spec: spec.hparams["elr.weight"] * spec.hparams["elr.momentum"] / 10  # noqa: E731
    undisturbed = drain(make(data, "elr", configurations=13), score)
    assert len(undisturbed) == 13
    first = make(data, "elr", configurations=13)
    for number, spec in enumerate(iter(first.next, None)):
        assert first.position(spec) == number
        writer = TrialWriter(tmp_path, spec.id, record_of(spec), first.position(spec))
        if number == over:
            break  # killed in the middle of this one
        writer.append(curve(*[score(spec)] * EPOCHS))
        writer.finish(Done(status="finished", epochs=EPOCHS))
        finish(first, spec, score(spec))
    again = make(data, "elr", configurations=13)
    again.resume(tmp_path)
    assert drain(again, score) == undisturbed[over:]


# ----------------------------------------------------------------------------
# foreign records


def rewrite(folder, **changes) -> None:
    """Change a record's specification, and give the folder the name that goes with it."""
    content = json.loads((folder / "spec.json").read_text())
    content["spec"] |= changes
    (folder / "spec.json").write_text(json.dumps(content))
    folder.rename(folder.parent / trial_id(content["spec"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "mine", "hparams": {"mine.weight": 1.0}},
        {"method": "mine+elr", "hparams": {}},
        {"method": "mine", "noise_kind": "theirs"},
        {"method": None},
    ],
)
def test_a_search_of_what_is_not_here_does_not_disturb_others(data, tmp_path, changes, recwarn):
    spec = make(data, "gce").next()
    write(tmp_path, spec, [0.5] * EPOCHS)
    [folder] = (tmp_path / "trials").iterdir()
    rewrite(folder, **changes)
    tuning = make(data, "elr")
    tuning.resume(tmp_path)
    assert len(drain(tuning)) == 3 and not recwarn.list


def test_trials_of_a_method_that_has_changed_are_left_alone_and_said_once(data, tmp_path):
    for spec in drain(make(data, "elr")):
        write(tmp_path, spec, [0.5] * EPOCHS)
    for folder in list((tmp_path / "trials").iterdir())[:2]:
        hparams = json.loads((folder / "spec.json").read_text())["spec"]["hparams"]
        rewrite(folder, hparams=hparams | {"elr.gone": 1})
    tuning = make(data, "elr")
    with pytest.warns(
        UserWarning, match="2 trials of earlier searches of elr cannot be used by this one"
    ) as caught:
        tuning.resume(tmp_path)
    assert len(caught) == 1 and "elr.gone" in str(caught[0].message)
    assert len(drain(tuning)) == 2, "of three one is on record"


def test_a_search_that_can_draw_nothing_more_ends_alone(data, monkeypatch):
    tuning = make(data, "elr", "gce")
    original = bench.tuning.study.suggest

    def fail(trial, key, drawn_from):
        if key.startswith("elr.") and not isinstance(trial, optuna.trial.FixedTrial):
            raise InputError("search_spaces/elr.py: space(draw) raised KeyError: mend it")
        return original(trial, key, drawn_from)

    monkeypatch.setattr(bench.tuning.study, "suggest", fail)
    with pytest.warns(
        UserWarning, match="no other configuration of elr can be drawn: search_spaces/elr"
    ):
        ran = drain(tuning)
    assert tuning.over and [spec.method for spec in ran].count("gce") == 3
    assert [spec.method for spec in ran].count("elr") == 1, "the defaults"
