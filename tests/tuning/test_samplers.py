"""Samplers of searches: grids, CMA-ES, starts from other sweeps, and searches of many trials."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ray import tune
from searching import EPOCHS, PLAN, curve, drain, finish, make, write

import bench.tuning.grid
import bench.tuning.spaces
import bench.tuning.study
from bench.errors import InputError
from bench.planning.searches import SearchKind
from bench.planning.spec import expand_hparams, record_of
from bench.records.schema import Done
from bench.records.writer import TrialWriter
from bench.tuning.start import read_source

WEIGHT, MOMENTUM = "elr.weight", "elr.momentum"


def hill(spec) -> float:
    """Accuracy with its top at weight 8 and momentum 0.8."""
    distance = abs(math.log(spec.hparams[WEIGHT] / 8)) + 5 * abs(spec.hparams[MOMENTUM] - 0.8)
    return 1 / (1 + distance)


def settings_of(specs, *names: str) -> list[tuple]:
    return [tuple(spec.hparams[name] for name in names) for spec in specs]


def after_a_kill(data, out, over: int, value, **options):
    """Run ``over`` trials and begin another, forget all but the records, and run the rest."""
    first = make(data, "elr", **options)
    for number, spec in enumerate(iter(first.next, None)):
        writer = TrialWriter(out, spec.id, record_of(spec), first.position(spec))
        if number == over:
            break
        writer.append(curve(*[value(spec)] * EPOCHS))
        writer.finish(Done(status="finished", epochs=EPOCHS))
        finish(first, spec, value(spec))
    again = make(data, "elr", **options)
    again.resume(out)
    return drain(again, value)


def test_the_stage_of_a_search_names_its_sampler_and_start():
    for kind in (
        SearchKind("tuned"),
        SearchKind("tuned", sampler="grid", fixed=("elr.weight=3.0",)),
        SearchKind("budget", sampler="cmaes", start="0123abcd", fixed=("start.a=1",)),
        SearchKind("tuned", start="0123abcd"),
    ):
        assert SearchKind.of(kind.stage) == kind
    assert SearchKind("tuned").stage == "search tuned noisy-val none"


# ----------------------------------------------------------------------------
# grid


def test_a_grid_is_tried_whole_and_once(data, space):
    space(
        "elr",
        {"weight": tune.choice([1.0, 3.0, 7.0]), "momentum": tune.quniform(0.5, 0.9, 0.1)},
    )
    tuning = make(data, "elr", configurations=100, sampler="grid")
    assert tuning.remaining()[0] == 15 + 2, "the grid, and two seeds of the pick"
    ran = drain(tuning)
    momenta = (0.5, 0.6, 0.7, 0.8, 0.9)
    expected = [(weight, momentum) for weight in (1.0, 3.0, 7.0) for momentum in momenta]
    assert sorted(settings_of(ran, WEIGHT, MOMENTUM)) == expected
    assert tuning.over and settings_of(ran, WEIGHT, MOMENTUM) != expected, "in a random order"


def test_a_grid_follows_ranges_that_depend_on_other_draws(monkeypatch):
    def branches(draw):
        if draw("truncated", tune.choice([False, True])):
            draw("warmup_epochs", tune.randint(10, 13))

    monkeypatch.setattr("search_spaces.gce.space", branches)
    assert [*bench.tuning.grid.grid("gce", ())] == [
        {"gce.truncated": False},
        *({"gce.truncated": True, "gce.warmup_epochs": epochs} for epochs in (10, 11, 12)),
    ]


def test_a_grid_meets_every_continuous_range(monkeypatch):
    """In the first space one branch draws steps; in the second the branch is rare."""

    def steps(draw):
        stepped = draw("truncated", tune.choice([True, False]))
        draw("q", tune.quniform(0.1, 1.0, 0.1) if stepped else tune.uniform(0.1, 1.0))

    def rare(draw):
        if draw("warmup_epochs", tune.randint(1, 1000)) == 7:
            draw("threshold", tune.uniform(0.1, 0.9))

    for branches, key in ((steps, "q"), (rare, "threshold")):
        bench.tuning.grid.grid.cache_clear()
        monkeypatch.setattr("search_spaces.gce.space", branches)
        with pytest.raises(InputError, match=rf"all values of gce\.{key}, drawn from a continuous"):
            bench.tuning.grid.grid("gce", ())


def test_searches_of_a_method_share_its_grid(data, space, monkeypatch):
    space("elr", {"weight": tune.choice([1.0, 3.0, 7.0])})
    original, counts = bench.tuning.grid._each, []

    def counting(*arguments):
        counts.append(1)
        return original(*arguments)

    monkeypatch.setattr(bench.tuning.grid, "_each", counting)
    tuning = make(data, "elr", rates=(0.2, 0.5), configurations=9, sampler="grid")
    assert len(drain(tuning)) == 6 and len(counts) == 1


def test_a_grid_leaves_out_what_the_method_refuses(data, space, monkeypatch):
    space("elr", {"weight": tune.choice([1.0, 3.0, 7.0])})
    original = bench.tuning.search.method_for

    def picky(spec):
        if spec.hparams[WEIGHT] == 7.0:
            raise InputError("no")
        return original(spec)

    monkeypatch.setattr(bench.tuning.search, "method_for", picky)
    tuning = make(data, "elr", configurations=9, sampler="grid")
    assert sorted(settings_of(drain(tuning), WEIGHT)) == [(1.0,), (3.0,)] and tuning.over


def test_a_grid_of_continuous_or_too_many_values_is_refused(data, space, monkeypatch):
    with pytest.raises(
        InputError,
        match=r"cannot try all values of elr\.weight, elr\.momentum, .*fix them with --set, give "
        r"them steps or choices in search_spaces/elr\.py, or use --sampler random",
    ):
        make(data, "elr", sampler="grid")
    monkeypatch.setattr(bench.tuning.grid, "MOST", 4)
    space("elr", {"weight": tune.qrandint(1, 6, 1)})
    with pytest.raises(InputError, match="elr has more than 4 configurations"):
        make(data, "elr", sampler="grid")


# ----------------------------------------------------------------------------
# CMA-ES


def test_cma_es_comes_closer_to_the_best(data):
    ran = drain(make(data, "elr", configurations=48, sampler="cmaes"), hill)
    values = [hill(spec) for spec in ran]
    assert np.mean(values[-16:]) > 1.5 * np.mean(values[:16])


def test_cma_es_learns_a_single_range(data, space):
    space("elr", {"weight": tune.loguniform(0.5, 20.0)})
    ran = drain(make(data, "elr", configurations=40, sampler="cmaes"), hill)
    far = [abs(math.log(spec.hparams[WEIGHT] / 8)) for spec in ran]
    assert np.mean(far[-12:]) < 0.5 * np.mean(far[:12])


def test_cma_es_draws_choices_at_random_and_needs_a_number(data, space):
    choices = [0.5, 0.7, 0.9]
    space("elr", {"weight": tune.loguniform(0.5, 20.0), "momentum": tune.choice(choices)})
    ran = drain(make(data, "elr", configurations=20, sampler="cmaes"))
    assert {spec.hparams[MOMENTUM] for spec in ran} == set(choices)
    space("elr", {"weight": tune.choice([1.0, 3.0])})
    with pytest.raises(
        InputError, match="the search space of elr has none that every configuration draws"
    ):
        make(data, "elr", sampler="cmaes")


@pytest.mark.parametrize("over", [1, 9, 20])
@pytest.mark.parametrize("sampler", ["cmaes", "grid", "random"])
def test_a_killed_search_draws_what_it_would_have_drawn(data, tmp_path, space, sampler, over):
    """Ranges of whole numbers: CMA-ES repeats some, and draws again."""
    space("elr", {"weight": tune.qrandint(1, 8, 1), "momentum": tune.quniform(0.5, 0.9, 0.1)})
    options = {"configurations": 24, "sampler": sampler}
    whole = drain(make(data, "elr", **options), hill)
    assert len({spec.id for spec in whole}) == 24
    assert after_a_kill(data, tmp_path, over, hill, **options) == whole[over:]


def test_a_killed_search_goes_on_where_random_draws_stepped_in(data, tmp_path, space):
    """CMA-ES settles on few whole numbers, so that its draws repeat earlier ones."""
    space("elr", {"weight": tune.qrandint(1, 5, 1), "momentum": tune.quniform(0.5, 0.9, 0.1)})
    options = {"configurations": 40, "sampler": "cmaes"}
    whole = drain(make(data, "elr", **options), hill)
    for over in (12, 22):
        assert after_a_kill(data, tmp_path / str(over), over, hill, **options) == whole[over:]


def test_cma_es_tries_all_of_a_finite_space(data, space):
    space("elr", {"weight": tune.qrandint(1, 9, 1), "momentum": tune.quniform(0.5, 0.9, 0.1)})
    assert len(drain(make(data, "elr", configurations=99, sampler="cmaes"), hill)) == 8 * 5


def test_a_search_reads_its_space_once(data, monkeypatch):
    tuning, reads = make(data, "elr", configurations=8), []
    original = bench.tuning.spaces.load_space
    monkeypatch.setattr(
        bench.tuning.spaces, "load_space", lambda part: [reads.append(part), original(part)][1]
    )
    drain(tuning)
    assert reads == ["elr"]


# ----------------------------------------------------------------------------
# starts


@pytest.fixture
def source(data, tmp_path):
    """Folder of a sweep that has searched at 30 % noise, where higher accuracies are reached."""
    folder = tmp_path / "source"
    for spec in drain(
        make(data, "elr", rates=(0.3,), configurations=30, sampler="random"),
        lambda spec: hill(spec),
    ):
        write(folder, spec, [0.1 + 0.9 * hill(spec)] * EPOCHS)
    return folder


def test_a_start_takes_gains_over_the_first_configuration(data, tmp_path):
    plain = expand_hparams(["elr"], {}, {WEIGHT: ["3", "7"]})  # 3 is the default
    for rate, values in ((0.2, {3.0: 0.8, 7.0: 0.9}), (0.5, {3.0: 0.4, 7.0: 0.3})):
        for spec in PLAN.specs(data, plain, [rate], [0, 1]):
            write(tmp_path, spec, [values[spec.hparams[WEIGHT]] + 0.1 * spec.train_seed] * EPOCHS)
    [alone] = PLAN.specs(data, plain[1:], [0.8], [0])
    write(tmp_path, alone, [0.99] * EPOCHS)  # without a partner
    [other] = PLAN.specs(data, expand_hparams(["elr"], {}, {WEIGHT: ["50"]}), [0.2], [0])
    write(tmp_path, other, [0.99] * EPOCHS)  # outside the search space
    [gce] = PLAN.specs(data, expand_hparams(["gce"], {}, {}), [0.2], [0])
    write(tmp_path, gce, [0.99] * EPOCHS)
    [failed] = PLAN.specs(data, expand_hparams(["elr"], {}, {WEIGHT: ["9"]}), [0.2], [0])
    write(tmp_path, failed, [0.99], "diverged")
    bases = [replace(spec, stage="search") for spec in PLAN.specs(data, plain[:1], [0.5], [9])]
    start = read_source(tmp_path).start(bases, {}, "noisy-val")
    gains = {hparams[WEIGHT]: gain for hparams, gain in start.gains}
    assert gains == pytest.approx({3.0: 0.0, 7.0: 0.0})  # + 0.1 and - 0.1
    assert start.remark == (
        f"elr starts from 2 configurations in 8 finished trials of {tmp_path.name}; 4 of these "
        "trials are of other data, noise or training"
    )


def test_a_start_is_part_of_the_search(data, source):
    plain = make(data, "elr")
    warm = make(data, "elr", source=read_source(source))
    stages = [tuning.searches[0].base.stage for tuning in (plain, warm)]
    digest = warm.searches[0].kind.start
    assert stages == ["search tuned noisy-val none", f"search tuned noisy-val none start={digest}"]
    fewer = read_source(source)
    other = make(data, "elr", source=replace(fewer, trials=fewer.trials[1:]))
    assert other.searches[0].kind.start != digest
    [remark] = warm.remarks
    assert remark.startswith("elr starts from 30 configurations in 30 finished trials of source;")


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_search_learns_from_its_start(data, source, sampler):
    options = {"configurations": 10, "sampler": sampler}
    cold = drain(make(data, "elr", **options), hill)
    warm = drain(make(data, "elr", source=read_source(source), **options), hill)
    assert warm[0].hparams == cold[0].hparams, "the defaults come first"
    best = max((trial.spec for trial in read_source(source).trials), key=hill)
    assert warm[1].hparams == best.hparams
    assert np.mean(list(map(hill, warm[2:]))) > np.mean(list(map(hill, cold[2:])))


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_killed_search_with_a_start_goes_on(data, tmp_path, source, sampler):
    options = {"configurations": 16, "sampler": sampler, "source": read_source(source)}
    whole = drain(make(data, "elr", **options), hill)
    assert after_a_kill(data, tmp_path / "out", 9, hill, **options) == whole[9:]


def test_each_configuration_of_a_start_counts_once(data, source):
    tuning = make(data, "elr", configurations=4, source=read_source(source))
    drain(tuning, hill)
    trials = [tuple(trial.params.values()) for trial in tuning.searches[0]._study._optuna.trials]
    assert len(trials) > 30 and len(set(trials)) == len(trials)


def test_a_start_of_other_methods_is_refused_or_said(data, source):
    with pytest.raises(InputError, match="--start-from source teaches no search of this sweep"):
        make(data, "gce", source=read_source(source))
    remarks = make(data, "gce", "elr", source=read_source(source)).remarks
    assert remarks[0].startswith("gce starts from nothing: source has no finished trials")
    with pytest.raises(InputError, match="teaches no search"):
        make(data, "elr", fixed={WEIGHT: "5"}, source=read_source(source))


# ----------------------------------------------------------------------------
# many trials


@pytest.fixture
def small_bound(monkeypatch):
    for name, value in {"BOUND": 20, "BEST": 5, "LAST": 8, "STEP": 4}.items():
        monkeypatch.setattr(bench.tuning.study, name, value)


def test_a_long_search_holds_a_part_of_its_trials(data, small_bound):
    tuning = make(data, "elr", configurations=40)
    [search] = tuning.searches
    held = []
    while spec := tuning.next():
        study = search._study._optuna
        held.append(len(study.trials) if study else 0)
        finish(tuning, spec, hill(spec))
    assert held[19] == 20 and max(held[20:]) <= 5 + 8 + 4
    values = [trial.value for trial in study.trials]
    best = sorted(candidate.value for candidate in search.candidates.values())[-5:]
    assert set(best[:-1]) <= set(values), "the best of all stay"


def test_short_searches_draw_as_without_a_bound(data, small_bound, monkeypatch):
    bounded = drain(make(data, "elr", configurations=30), hill)
    monkeypatch.setattr(bench.tuning.study, "BOUND", 1000)
    free = drain(make(data, "elr", configurations=30), hill)
    assert bounded[:20] == free[:20] and bounded[20:] != free[20:]


@pytest.mark.parametrize("sampler", ["random", "cmaes"])
def test_a_bound_changes_no_draw_that_learns_nothing_of_old_trials(
    data, small_bound, monkeypatch, sampler
):
    bounded = drain(make(data, "elr", configurations=34, sampler=sampler), hill)
    monkeypatch.setattr(bench.tuning.study, "BOUND", 1000)
    assert bounded == drain(make(data, "elr", configurations=34, sampler=sampler), hill)


@pytest.mark.parametrize("over", [19, 20, 23, 30])
@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_long_search_that_was_killed_goes_on(data, tmp_path, small_bound, sampler, over):
    options = {"configurations": 34, "sampler": sampler}
    whole = drain(make(data, "elr", **options), hill)
    assert after_a_kill(data, tmp_path, over, hill, **options) == whole[over:]


class Unscanned(dict):
    """Dictionary that can be looked up, but not gone through: that takes longer the more it has."""

    def __iter__(self):
        raise AssertionError("all candidates are gone through")

    keys = values = items = __iter__


@pytest.mark.parametrize("limit", [{"configurations": 4}, {"configurations": None, "seconds": 30}])
def test_a_draw_goes_through_no_earlier_candidates(data, limit):
    tuning = make(data, "elr", **limit)
    [search] = tuning.searches
    search.candidates = Unscanned()
    for number, spec in enumerate(iter(tuning.next, None)):
        assert tuning.position(spec) == number and tuning.remaining()[0] > 0 and not tuning.over
        finish(tuning, spec, hill(spec))
    assert tuning.over and number == 3
