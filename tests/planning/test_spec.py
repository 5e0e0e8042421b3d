import dataclasses
import itertools
import json
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch

import methods
from bench.datasets import from_arrays, load_dataset
from bench.errors import InputError
from bench.method import Method, Wrapper
from bench.networks.pretrained import PretrainedNetwork
from bench.planning import registry
from bench.planning.registry import (
    build,
    canonical,
    changes,
    convert,
    display,
    load_method,
    method_names,
    resolve,
    split_name,
)
from bench.planning.spec import Plan, TrialSpec, expand_hparams, relative_cost
from bench.recipe import (
    AUGMENTATIONS,
    OPTIMIZERS,
    SCHEDULES,
    Recipe,
    default_recipe,
    finetune_recipe,
    paper_recipe,
)
from methods.rmd import RMD

# ----------------------------------------------------------------------------
# recipes


def rates(schedule: str, points: list[float], **settings) -> list[float]:
    recipe = Recipe("tiny_cnn", 10, schedule=schedule, **settings)
    return [recipe.rate_factor(point) for point in points]


def test_cosine_schedule():
    assert rates("cosine", [0, 0.25, 0.5, 0.75]) == pytest.approx(
        [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4]
    )


def test_constant_schedule():
    assert rates("constant", [0, 0.5, 0.99]) == [1, 1, 1]


def test_step_schedule_falls_at_the_milestones_themselves():
    found = rates(
        "step",
        [0, 39 / 120, 40 / 120, 79 / 120, 80 / 120, 119 / 120],
        milestones=(1 / 3, 2 / 3),
        gamma=0.01,
    )
    assert found == pytest.approx([1, 1, 0.01, 0.01, 0.0001, 0.0001])


def test_linear_schedule_starts_to_fall_at_its_milestone():
    assert rates("linear", [0, 0.39, 0.4, 0.7, 0.85], milestones=(0.4,)) == pytest.approx(
        [1, 1, 1, 0.5, 0.25]
    )


def test_restarts_start_again_at_every_period():
    """MixNN's: cosine from 1 to the floor in 10 epochs of 300, thirty times; no rounding error may
    swallow a restart.
    """
    found = rates("restarts", [epoch / 300 for epoch in range(300)], period=10 / 300, minimum=0.05)
    cycle = [0.05 + 0.95 * (1 + math.cos(math.pi * epoch / 10)) / 2 for epoch in range(10)]
    assert found == pytest.approx(cycle * 30, abs=1e-6)


@pytest.mark.parametrize(
    ("epochs", "cycle"), [(5, 1), (10, 2), (25, 5), (50, 5), (120, 10), (200, 7), (300, 10)]
)
def test_every_cycle_of_restarts_starts_at_one(epochs, cycle):
    starts = [epoch / epochs for epoch in range(0, epochs, cycle)]
    assert rates("restarts", starts, period=cycle / epochs) == pytest.approx([1] * len(starts))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_starts_at_one_and_stays_within_0_and_1(schedule):
    found = rates(schedule, [epoch / 97 for epoch in range(97)], milestones=(0.5,), period=0.1)
    assert found[0] == 1
    assert all(0 <= factor <= 1 for factor in found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"augmentation": "flips"},
            "augmentation is 'flips': choose from none, crop, flip, crop_flip",
        ),
        ({"optimizer": "SGD"}, "optimizer is 'SGD': choose from sgd, adam"),
        (
            {"schedule": "cos"},
            "schedule is 'cos': choose from cosine, constant, step, linear, restarts",
        ),
        ({"epochs": 0}, "the number of epochs is 0: give at least 1"),
        ({"epochs": -3}, "the number of epochs is -3"),
        ({"batch_size": 1}, "the batch size is 1: batch normalisation needs at least 2"),
        ({"schedule": "linear"}, "a linear schedule needs one milestone below 1"),
        (
            {"schedule": "linear", "milestones": (0.2, 0.5)},
            "a linear schedule needs one milestone below 1",
        ),
        (
            {"schedule": "linear", "milestones": (1.0,)},
            "a linear schedule needs one milestone below 1",
        ),
        ({"schedule": "restarts", "period": 0}, "period is 0: give a share of the run above 0"),
        ({"gamma": 0}, "gamma is 0: give a number above 0"),
    ],
)
def test_impossible_recipes_are_refused_with_the_fix(settings, message):
    with pytest.raises(InputError) as error:
        Recipe(**{"backbone": "tiny_cnn", "epochs": 5} | settings)
    assert message in str(error.value)
    with pytest.raises(InputError):
        Recipe("tiny_cnn", 5).override(settings)


def test_recipes_accept_all_that_they_list():
    for augmentation, optimizer, schedule in itertools.product(
        AUGMENTATIONS, OPTIMIZERS, SCHEDULES
    ):
        Recipe("tiny_cnn", 1, augmentation, 2, optimizer, schedule=schedule, milestones=[0.5])


def test_recipes_are_equal_whether_milestones_came_as_list_or_tuple():
    assert Recipe("tiny_cnn", 5, milestones=[0.5, 0.7]) == Recipe(
        "tiny_cnn", 5, milestones=(0.5, 0.7)
    )


def test_digits_are_not_augmented_and_own_arrays_get_a_recipe_by_their_side():
    digits = default_recipe("digits", 8)
    assert (digits.backbone, digits.augmentation, digits.epochs, digits.batch_size) == (
        "tiny_cnn",
        "none",
        25,
        128,
    )
    assert (digits.optimizer, digits.schedule) == ("sgd", "cosine")
    assert [default_recipe("npz:x", side).backbone for side in (8, 16, 17, 28)] == [
        "tiny_cnn"
    ] * 2 + ["small_cnn"] * 2


@pytest.mark.parametrize(
    ("side", "images", "rate"),
    [
        (8, 1437, 0.02),
        (14, 1000, 0.02),
        (28, 4000, 0.02),
        (32, 19_999, 0.02),
        (32, 20_000, 0.05),
        (8, 60_000, 0.05),
    ],
)
def test_small_sets_of_ones_own_get_a_low_rate(side, images, rate):
    assert default_recipe("npz:x", side, images).learning_rate == rate
    named = {
        "digits": 0.02,
        "mnist": 0.05,
        "fashion_mnist": 0.05,
        "cifar10": 0.05,
        "red_mini_imagenet_40": 0.05,
    }
    assert {name: default_recipe(name, side, images).learning_rate for name in named} == named
    assert default_recipe("folder:x", 224, images).learning_rate == 0.02


def test_digits_as_ones_own_arrays_train_as_digits_do(digits, tmp_path):
    path = tmp_path / "own.npz"
    arrays = {"train_images": digits.train_images, "train_labels": digits.train_labels}
    np.savez(path, **arrays, test_images=digits.test_images, test_labels=digits.test_labels)
    own, named = (
        Plan().specs(d, [("ce", {})], [0.5], [0])[0].recipe
        for d in (load_dataset(f"npz:{path}"), digits)
    )
    assert own == named


@pytest.fixture(scope="module")
def photographs():
    images, labels = np.zeros((8, 3, 128, 128), dtype=np.uint8), np.arange(8) % 4
    return from_arrays("npz:photographs", images, labels, images, labels)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in method_names()
        if load_method(name).paper and not issubclass(load_method(name), Wrapper)
    ],
)
def test_every_methods_paper_recipe_is_the_same_on_any_data_set(digits, photographs, name):
    """But for the network and the augmentation, where the authors' are none of ours; alone and
    under a wrapper.
    """
    planned = []
    for data in (digits, photographs):
        specs = Plan(recipe="paper").specs(
            data, expand_hparams([name, f"rmd+{name}"], {}, {}), [0.2], [0]
        )
        planned += [
            dataclasses.replace(spec.recipe, backbone="", augmentation="none") for spec in specs
        ]
    assert planned == planned[:1] * 4
    assert planned[0].epochs == load_method(name).reference_epochs
    assert planned[0] != dataclasses.replace(
        default_recipe("digits", 8), backbone="", augmentation="none"
    )


@pytest.mark.parametrize(
    ("name", "rate", "decay", "batch_size"),
    [
        ("m_correction", 0.1, 1e-4, 128),
        ("pes", 0.1, 1e-4, 128),
        ("prune", 0.1, 1e-4, 256),
        ("divide_mix", 0.02, 5e-4, 64),
    ],
)
def test_what_trains_under_paper_has_the_authors_rate(photographs, name, rate, decay, batch_size):
    """Where photographs' own are 0.02, 1e-3 and 64."""
    [spec] = Plan(recipe="paper").specs(photographs, expand_hparams([name], {}, {}), [0.2], [0])
    assert (spec.recipe.learning_rate, spec.recipe.weight_decay, spec.recipe.batch_size) == (
        rate,
        decay,
        batch_size,
    )


@pytest.mark.parametrize(
    ("name", "batch_size", "milestone"),
    [("divide_mix", 32, 0.5), ("elr", 64, 7 / 15), ("elr_plus", 64, 7 / 15)],
)
def test_on_clothing1m_authors_fine_tune_imagenet_weights(name, batch_size, milestone):
    """[source] Train_clothing1M.py (DivideMix, d9d3058), config_clothing1m.json (ELR, 934af53)."""
    images, labels = np.zeros((28, 3, 32, 32), dtype=np.uint8), np.arange(28) % 14
    data = dataclasses.replace(
        from_arrays("npz:clothes", images, labels, images, labels), name="clothing1m"
    )
    configurations = expand_hparams([name, f"rmd+{name}"], {}, {})
    paper, wrapped = Plan(recipe="paper").specs(data, configurations, [0.2], [0])
    assert (
        paper.recipe
        == wrapped.recipe
        == Recipe(
            "torchvision:resnet50.IMAGENET1K_V1",
            epochs=3,
            augmentation="crop_flip",
            batch_size=batch_size,
            learning_rate=0.002,
            momentum=0.9,
            weight_decay=1e-3,
            schedule="step",
            milestones=(milestone,),
            gamma=0.1,
        )
    )
    [elsewhere] = Plan(recipe="paper").specs(
        dataclasses.replace(data, name="webvision"), configurations[:1], [0.2], [0]
    )
    assert elsewhere.recipe.learning_rate == 0.02


def test_what_papers_train_from_random_weights_is_the_same_beside_what_they_fine_tune():
    images, labels = np.zeros((28, 3, 32, 32), dtype=np.uint8), np.arange(28) % 14
    data = dataclasses.replace(
        from_arrays("npz:clothes", images, labels, images, labels), name="clothing1m"
    )
    start = PretrainedNetwork(
        "torchvision:resnet50.IMAGENET1K_V1",
        "0" * 64,
        "ImageNet-1k",
        224,
        (0.5,) * 3,
        (0.5,) * 3,
        "bilinear",
        frozen=False,
    )
    plan = Plan(recipe="paper", pretrained=start)
    configurations = expand_hparams(["ce", "rmd+ce", "elr"], {}, {})
    alone, wrapped, elr = plan.specs(data, configurations, [0.2], [0])
    assert alone.pretrained is wrapped.pretrained is None and elr.pretrained == start
    assert [alone] == Plan(recipe="paper").specs(data, configurations[:1], [0.2], [0])


def test_fine_tuning_keeps_the_data_sets_augmentation_and_takes_small_steps():
    scratch = default_recipe("cifar10", 32)
    recipe = finetune_recipe("timm:resnet50.tv_in1k", scratch)
    assert (recipe.backbone, recipe.augmentation) == ("timm:resnet50.tv_in1k", "crop_flip")
    assert recipe.learning_rate < scratch.learning_rate
    assert recipe.epochs < scratch.epochs


#: All that a recipe by SGD with steps has to state.
WHOLE = {
    "epochs": 90,
    "batch_size": 64,
    "optimizer": "sgd",
    "learning_rate": 0.3,
    "momentum": 0.8,
    "weight_decay": 1e-3,
    "schedule": "step",
    "milestones": (0.5,),
    "gamma": 0.2,
}


@pytest.mark.parametrize(
    "dataset", [Recipe("tiny_cnn", 5, weight_decay=0.5), Recipe("resnet50", 9, "flip", gamma=0.7)]
)
def test_of_the_data_set_a_papers_recipe_takes_network_and_augmentation_alone(dataset):
    assert paper_recipe("mine", WHOLE, dataset) == Recipe(
        dataset.backbone, augmentation=dataset.augmentation, **WHOLE
    )
    own = WHOLE | {"backbone": "resnet34", "augmentation": "crop"}
    assert paper_recipe("mine", own, dataset) == Recipe(**own)
    assert paper_recipe("mine", {}, dataset) == dataset


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        *(({name: None}, name) for name in WHOLE),
        ({"epochs": None, "gamma": None}, "epochs, gamma"),
        ({"schedule": "restarts", "period": 0.1}, "minimum"),
        ({"schedule": "linear", "milestones": None}, "milestones"),
    ],
)
def test_a_part_of_a_papers_recipe_is_refused(changes, missing):
    paper = {key: value for key, value in (WHOLE | changes).items() if value is not None}
    with pytest.raises(
        InputError, match=f"mine states a part of its paper's recipe, but not {missing}: state all"
    ):
        paper_recipe("mine", paper, Recipe("tiny_cnn", 5))


def test_adam_has_no_momentum_to_state_and_a_cosine_no_milestones():
    paper = {
        key: value for key, value in WHOLE.items() if key not in ("momentum", "milestones", "gamma")
    }
    assert (
        paper_recipe(
            "mine", paper | {"optimizer": "adam", "schedule": "cosine"}, Recipe("tiny_cnn", 5)
        ).epochs
        == 90
    )


@pytest.mark.parametrize(
    ("name", "paper", "message"),
    [
        ("mine_list", "WHOLE\n    papers = ['digits']", "papers is ['digits']: give a dictionary"),
        (
            "mine_other",
            "WHOLE\n    papers = {'digits': {'lr': 0.1}}",
            "in papers of digits, there is no field of the recipe 'lr'",
        ),
        (
            "mine_partial",
            "WHOLE\n    papers = {'digits': {'epochs': 3}}",
            "mine_partial states a part of its paper's recipe, but not batch_size",
        ),
        ("mine_flat", "WHOLE\n    papers = {'digits': 3}", "papers of digits is 3: give"),
        ("mine_lr", "WHOLE | {'lr': 0.1}", "mine_lr.py: in paper, there is no field of the recipe"),
        (
            "mine_part",
            "{'learning_rate': 0.1}",
            "mine_part states a part of its paper's recipe, but not epochs, batch_size",
        ),
        (
            "mine_milestones",
            "WHOLE | {'milestones': 0.5}",
            "milestones is 0.5: give a tuple of numbers",
        ),
        ("mine_epochs", "WHOLE | {'epochs': 'many'}", "epochs is 'many'"),
        ("mine_schedule", "WHOLE | {'schedule': 'steps'}", "schedule is 'steps': choose from"),
    ],
)
def test_a_wrong_recipe_in_a_plugin_is_refused_in_a_sentence(
    digits, tmp_path, monkeypatch, name, paper, message
):
    (tmp_path / f"{name}.py").write_text(
        f'"""Mine."""\nfrom bench.method import Method\nWHOLE = {WHOLE}\n'
        f"class Mine(Method):\n    paper = {paper}\n"
        "    def loss(self, batch): ...\n"
    )
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    with pytest.raises(InputError) as error:
        Plan(recipe="paper").specs(digits, [(name, {})], [0.5], [0])
    assert message in str(error.value)


# ----------------------------------------------------------------------------
# names of methods


def test_one_spelling_for_one_method():
    assert canonical("rmd") == canonical("rmd+ce") == "rmd+ce"
    assert canonical("rmd+divide_mix") == "rmd+divide_mix"
    assert canonical("ce") == "ce"
    assert split_name("rmd") == ["rmd", "ce"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("rmd+ce", "rmd"), ("rmd+elr", "rmd+elr"), ("ce", "ce"), ("softmix", "softmix")],
)
def test_the_spelling_for_people_is_short_and_leads_back(name, shown):
    assert display(name) == shown
    assert canonical(shown) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ce+rmd", "ce cannot wrap another method (in 'ce+rmd'): did you mean rmd+ce?"),
        ("elr+rmd", "elr cannot wrap another method (in 'elr+rmd'): did you mean rmd+elr?"),
        ("elr+gce", "elr cannot wrap another method (in 'elr+gce'): choose elr or gce"),
        ("elr+rmd+gce", "elr cannot wrap another method (in 'elr+rmd+gce'): choose elr or gce"),
        ("rmd+rmd", "'rmd+rmd' names a part twice: write each once"),
        ("ce+ce", "'ce+ce' names a part twice"),
        ("dividemix", "there is no method 'dividemix': did you mean divide_mix"),
        ("rmd+dividemix", "there is no method 'dividemix': did you mean divide_mix"),
        ("rdm+elr", "there is no method 'rdm': did you mean rmd"),
        ("zzz", "there is no method 'zzz': choose from "),
        ("", "has an empty part"),
        ("rmd+", "has an empty part"),
        ("__init__", "there is no method '__init__'"),
        ("../bench/run", "there is no method '../bench/run'"),
        ("CE", "there is no method 'CE'"),
    ],
)
def test_impossible_names_are_refused_with_a_suggestion(name, message):
    for function in (split_name, canonical, lambda n: resolve(n, {}), lambda n: build(n, {})):
        with pytest.raises(InputError) as error:
            function(name)
        assert message in str(error.value)


def test_suggestions_are_names_that_work():
    for wrong in ("ce+rmd", "elr+rmd", "divide_mix+rmd"):
        with pytest.raises(InputError) as error:
            split_name(wrong)
        suggestion = str(error.value).partition("did you mean ")[2].rstrip("?")
        assert split_name(suggestion) == ["rmd", wrong.partition("+")[0]]


@pytest.mark.parametrize("name", method_names())
def test_summary_is_one_line(name):
    line = registry.summary(name)
    assert line.strip() == line != ""
    assert "\n" not in line
    assert "  " not in line


def test_build_nests_the_parts_and_gives_each_its_own_settings():
    method = build("rmd+elr", {"rmd.weight": 2.0, "elr.weight": "5"})
    assert isinstance(method, RMD)
    assert isinstance(method.base, load_method("elr"))
    assert (method.hp.weight, method.base.hp.weight, method.base.hp.momentum) == (2.0, 5.0, 0.7)
    assert method.parts() == [method.base, method]


# ----------------------------------------------------------------------------
# hyper-parameters


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("3", int, 3),
        (" 3 ", int, 3),
        (3.0, int, 3),
        ("-2", int, -2),
        ("3", float, 3.0),
        (3, float, 3.0),
        ("1e-3", float, 0.001),
        ("true", bool, True),
        ("False", bool, False),
        (True, bool, True),
        ("kl", Literal["kl", "ega"], "kl"),
        ("2", Literal[1, 2], 2),
        ("none", int | None, None),
        (None, float | None, None),
        ("4", int | None, 4),
        ("4", int | float, 4),
        ("4.5", int | float, 4.5),
        ("oracle", Literal["estimate", "oracle"] | float, "oracle"),
        ("0.3", Literal["estimate", "oracle"] | float, 0.3),
        ("resnet18", str, "resnet18"),
    ],
)
def test_values_become_their_declared_type(value, hint, expected):
    found = convert("part.name", value, hint)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "wanted"),
    [
        ("3.5", int, "give a whole number"),
        (3.5, int, "give a whole number"),
        ("", int, "give a whole number"),
        (float("inf"), int, "give a whole number"),
        (float("nan"), int, "give a whole number"),
        (True, int, "give a whole number"),
        ("none", int, "give a whole number"),
        (None, int, "give a whole number"),
        ("much", float, "give a number"),
        ("nan", float, "give a number"),
        ("inf", float, "give a number"),
        ("1e999", float, "give a number"),
        (True, float, "give a number"),
        ([1], float, "give a number"),
        ("1", bool, "give true or false"),
        ("yes", bool, "give true or false"),
        (0, bool, "give true or false"),
        ("KL", Literal["kl", "ega"], "give kl or ega"),
        ("often", Literal["estimate", "oracle"] | float, "give estimate or oracle or a number"),
        ("x", int | None, "give a whole number or none"),
    ],
)
def test_values_of_another_type_are_refused_with_what_is_wanted(value, hint, wanted):
    with pytest.raises(InputError) as error:
        convert("part.name", value, hint)
    assert str(error.value) == f"part.name is {value!r}: {wanted}"


def test_resolve_gives_all_hyper_parameters_namespaced_by_part():
    resolved = resolve("rmd+elr", {"rmd.k": "4", "elr.momentum": "0.9"})
    assert resolved == {
        "rmd.relation": "kl",
        "rmd.temperature": 0.5,
        "rmd.k": 4,
        "rmd.weight": 30.0,
        "rmd.node_weight": 1.0,
        "rmd.edge_weight": 0.3,
        "rmd.pretrain_epochs": 800,
        "rmd.teacher": "simsiam",
        "elr.weight": 3.0,
        "elr.momentum": 0.9,
    }
    assert changes("rmd+elr", resolved) == {"rmd.k": 4, "elr.momentum": 0.9}
    assert resolve("rmd", {}) == resolve("rmd+ce", {})
    assert resolve("rmd+elr", resolved) == resolved


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "elr",
            {"elr.wieght": 1},
            "there is no hyper-parameter of elr 'elr.wieght': did you mean elr.weight",
        ),
        (
            "rmd",
            {"rmd.temprature": 1},
            "there is no hyper-parameter of rmd 'rmd.temprature': did you mean rmd.temperature",
        ),
        ("elr", {"gce.q": 0.5}, "there is no hyper-parameter of elr 'gce.q'"),
        (
            "elr",
            {"weight": 1},
            "there is no hyper-parameter of elr 'weight': did you mean elr.weight",
        ),
        ("ce", {"ce.x": 1}, "there is no hyper-parameter of ce 'ce.x': there are none"),
        ("elr", {"elr.momentum": "1"}, "elr.momentum is 1: give a number from 0"),
        ("gce", {"gce.q": "0"}, "gce.q is 0: give a number above 0 and at most 1"),
        (
            "rmd",
            {"rmd.relation": "ega", "rmd.temperature": "2"},
            "rmd.temperature does nothing with rmd.relation=ega",
        ),
        ("softmix", {"softmix.k": "0"}, "softmix.k is 0: give at least 1"),
        (
            "co_teaching",
            {"co_teaching.forget_rate": "1"},
            "co_teaching.forget_rate is 1: give a rate from 0 up to 1",
        ),
        (
            "divide_mix",
            {"divide_mix.temperature": "0"},
            "divide_mix.temperature is 0: give a number above 0",
        ),
        ("mixup", {"mixup.alpha": "-1"}, "mixup.alpha is -1: give a number above 0"),
    ],
)
def test_hyper_parameters_that_do_not_fit_are_refused_with_the_fix(name, settings, message):
    with pytest.raises(InputError) as error:
        resolve(name, settings)
    assert message in str(error.value)


# ----------------------------------------------------------------------------
# expansion


def test_an_axis_goes_to_every_part_that_has_it_with_the_same_value():
    found = expand_hparams(["rmd+softmix"], {"k": ["1", "4"]}, {})
    assert [(name, h["rmd.k"], h["softmix.k"]) for name, h in found] == [
        ("rmd+softmix", 1, 1),
        ("rmd+softmix", 4, 4),
    ]


def test_methods_without_the_axis_run_once_unchanged():
    found = expand_hparams(
        ["ce", "softmix", "elr", "divide_mix"], {"k": ["1", "2"], "temperature": []}, {}
    )
    assert [name for name, _ in found] == ["ce", "softmix", "softmix", "elr", "divide_mix"]
    assert ("elr", resolve("elr", {})) in found


def test_temperature_is_the_distillation_temperature_alone():
    found = dict(expand_hparams(["rmd+divide_mix", "ce"], {"temperature": ["0.1"]}, {}))
    assert found["rmd+divide_mix"]["rmd.temperature"] == 0.1
    assert found["rmd+divide_mix"]["divide_mix.temperature"] == 0.5


def test_weight_is_that_of_a_regulariser_alone():
    names = ["rmd+elr", "cores2", "volminnet", "elr_plus", "rmd+divide_mix"]
    found = dict(expand_hparams([*names, "ce"], {"weight": ["2.5"]}, {}))
    for key in ("rmd.weight", "elr.weight"):
        assert found["rmd+elr"][key] == 2.5
    for name in ("cores2", "volminnet", "elr_plus"):
        assert found[name][f"{name}.weight"] == 2.5
    assert found["rmd+divide_mix"]["divide_mix.unlabelled_weight"] == 25
    assert found["rmd+divide_mix"]["rmd.node_weight"] == 1


def test_three_axes_multiply():
    axes = {"k": ["0", "4"], "temperature": ["0.5", "1"], "weight": ["1", "2", "3"]}
    found = expand_hparams(["rmd", "elr"], axes, {})
    combinations = {
        (h["rmd.k"], h["rmd.temperature"], h["rmd.weight"]) for name, h in found if name != "elr"
    }
    assert len(combinations) == 12 and len(found) == 12 + 3


def test_axes_and_settings_multiply():
    found = expand_hparams(
        ["rmd"], {"k": ["0", "4"], "temperature": ["0.5", "1"]}, {"rmd.weight": ["1", "2", "3"]}
    )
    combinations = {(h["rmd.k"], h["rmd.temperature"], h["rmd.weight"]) for _, h in found}
    assert len(found) == len(combinations) == 12


def test_settings_go_only_to_methods_that_have_the_part():
    found = expand_hparams(["elr", "rmd+elr", "gce"], {}, {"elr.weight": ["7"]})
    assert [h.get("elr.weight") for _, h in found] == [7.0, 7.0, None]


def test_repetitions_are_left_out():
    found = expand_hparams(
        ["rmd", "rmd+ce", "ce", "ce"], {"k": ["0", "00"]}, {"rmd.weight": ["1", "1.0", "2"]}
    )
    assert [(name, h.get("rmd.weight")) for name, h in found] == [
        ("rmd+ce", 1.0),
        ("rmd+ce", 2.0),
        ("ce", None),
    ]


@pytest.mark.parametrize(
    ("methods", "axes", "settings", "message"),
    [
        (
            ["ce", "elr"],
            {"k": ["1"]},
            {},
            "--k is given, but none of ce, elr has that axis: leave it out",
        ),
        (
            ["softmix", "divide_mix"],
            {"temperature": ["1"]},
            {},
            "--temperature is given, but none of softmix, divide_mix",
        ),
        (
            ["gce", "divide_mix"],
            {"weight": ["1"]},
            {},
            "--weight is given, but none of gce, divide_mix has that axis: leave it out",
        ),
        (
            ["rmd"],
            {"weight": ["1"]},
            {"rmd.weight": ["2"]},
            "rmd.weight is set by --weight and by --set: use either",
        ),
        (["elr"], {"weight": ["-1"]}, {}, "elr.weight is -1: give a number from 0"),
        (["ce"], {}, {"elr.weight": ["1"]}, "there is no part among the requested methods 'elr'"),
        (
            ["softmix"],
            {},
            {"softmx.k": ["1"]},
            "there is no part among the requested methods 'softmx': did you mean softmix",
        ),
        (["softmix"], {}, {"k": ["1"]}, "--set k names no part: write method.k=value"),
        (
            ["softmix"],
            {},
            {"softmix.kk": ["1"]},
            "there is no hyper-parameter of softmix 'softmix.kk': did you mean softmix.k",
        ),
        (["softmix"], {"k": ["many"]}, {}, "softmix.k is 'many': give a whole number"),
    ],
)
def test_impossible_sweeps_are_refused_with_the_fix(methods, axes, settings, message):
    with pytest.raises(InputError) as error:
        expand_hparams(methods, axes, settings)
    assert message in str(error.value)


def test_an_axis_without_values_needs_no_method():
    assert expand_hparams(["ce"], {"k": [], "temperature": []}, {}) == [("ce", {})]


# ----------------------------------------------------------------------------
# specs


def make_spec(**changed) -> TrialSpec:
    values = {
        "method": "rmd+elr",
        "hparams": {
            "rmd.relation": "kl",
            "rmd.temperature": 0.5,
            "rmd.k": 4,
            "rmd.weight": 1.0,
            "rmd.node_weight": 1.0,
            "rmd.edge_weight": 0.3,
            "rmd.pretrain_epochs": 800,
            "rmd.teacher": "simsiam",
            "elr.weight": 3.0,
            "elr.momentum": 0.7,
        },
        "dataset": "digits",
        "data_hash": "13926e3eef58a62d",
        "subset": None,
        "image_size": None,
        "noise_kind": "symmetric",
        "noise_hash": None,
        "noise_rate": 0.5,
        "noise_sampling": "exact",
        "noise_seed": 0,
        "split_seed": 0,
        "train_seed": 0,
        "validation_share": 0.1,
        "protocol": "shared",
        "recipe": Recipe(
            "tiny_cnn", 25, "none", 128, "sgd", 0.02, 0.9, 5e-4, "step", (0.5, 0.75), 0.1, 1.0, 0.0
        ),
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }
    return TrialSpec(**values | changed)


OTHER = {
    "method": "rmd+ce",
    "hparams": {"rmd.k": 5},
    "dataset": "fashion_mnist",
    "data_hash": "0" * 16,
    "subset": 100,
    "image_size": 64,
    "noise_kind": "pairflip",
    "noise_hash": "0" * 16,
    "noise_rate": 0.45,
    "noise_sampling": "independent",
    "noise_seed": 1,
    "split_seed": 1,
    "train_seed": 1,
    "validation_share": 0.2,
    "protocol": "paper",
    "recipe": Recipe("small_cnn", 25),
    "device": "cuda",
    "precision": "bf16",
    "threads": 2,
    "stage": "tuned",
    "told": 0.5,
    "graphs": True,
    "pretrained": PretrainedNetwork(
        "timm:resnet18", "0" * 64, "ImageNet-1k", 32, (0.5,) * 3, (0.2,) * 3, "bicubic", frozen=True
    ),
}
OTHER_RECIPE = {
    "backbone": "small_cnn",
    "epochs": 26,
    "augmentation": "crop",
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 0.1,
    "momentum": 0.8,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "milestones": (0.5,),
    "gamma": 0.2,
    "period": 0.5,
    "minimum": 0.1,
}


def test_the_id_of_a_spec_is_the_same_in_every_version():
    # An id names a trial's folder on disk. Should this one change, no finished trial of any sweep
    # is recognised any more.
    spec = make_spec()
    # which is younger
    first = {key: value for key, value in spec.hparams.items() if key != "rmd.node_weight"}
    assert make_spec(hparams=first).id == "3bcc0365d1e6"


def test_the_id_changes_with_every_field():
    # An imported specification is no trial to run.
    assert {*OTHER, "imported"} == {field.name for field in dataclasses.fields(TrialSpec)}
    assert set(OTHER_RECIPE) == {field.name for field in dataclasses.fields(Recipe)}
    spec = make_spec()
    ids = [spec.id, *(make_spec(**{name: value}).id for name, value in OTHER.items())]
    ids += [
        make_spec(recipe=spec.recipe.override({name: value})).id
        for name, value in OTHER_RECIPE.items()
    ]
    ids += [make_spec(hparams=spec.hparams | {name: 9}).id for name in spec.hparams]
    assert len(set(ids)) == len(ids) == 1 + 23 + 13 + 10


def test_the_id_does_not_depend_on_the_order_of_hyper_parameters():
    spec = make_spec()
    assert make_spec(hparams=dict(reversed(spec.hparams.items()))).id == spec.id


def test_a_spec_survives_json():
    spec = make_spec()
    again = TrialSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.id == spec.id
    assert again.recipe.milestones == (0.5, 0.75)


def test_from_json_refuses_rubbish():
    good = make_spec().to_json()
    TrialSpec.from_json(good)
    rubbish = {
        "nothing": {},
        "a list": [1, 2],
        "no recipe": {key: value for key, value in good.items() if key != "recipe"},
        "no method": {key: value for key, value in good.items() if key != "method"},
        "a field too many": good | {"colour": "red"},
        "a number": 5,
        "an imported trial": good | {"imported": {"source": "A"}},
        "a recipe that is a list": good | {"recipe": [1]},
        "a recipe with a field too many": good | {"recipe": good["recipe"] | {"colour": "red"}},
        "text for a number": good | {"threads": "two"},
        "text for epochs": good | {"recipe": good["recipe"] | {"epochs": "many"}},
        "a number for a method": good | {"method": 5},
        "no hyper-parameters": good | {"hparams": None},
        "a list of hyper-parameters": good | {"hparams": [1]},
        "a hyper-parameter that is a list": good
        | {"hparams": good["hparams"] | {"elr.weight": [1]}},
        "an unknown method": good | {"method": "rmd+eler"},
        "an unknown hyper-parameter": good | {"hparams": good["hparams"] | {"elr.colour": 1}},
        "a forbidden value": good | {"hparams": good["hparams"] | {"elr.momentum": 2}},
        "an unknown backbone": good | {"recipe": good["recipe"] | {"backbone": "resnet"}},
        "an unknown schedule": good | {"recipe": good["recipe"] | {"schedule": "cos"}},
        "an unknown device": good | {"device": "tpu"},
        "an unknown precision": good | {"precision": "fp8"},
        "an unknown sampling": good | {"noise_sampling": "sometimes"},
        "an unknown noise": good | {"noise_kind": "symetric"},
        "no threads": good | {"threads": 0},
    }
    for what, values in rubbish.items():
        try:
            TrialSpec.from_json(values)
        except InputError as error:
            assert str(error)
        else:
            pytest.fail(f"accepted: {what}")


def test_label_names_what_differs_from_the_defaults():
    assert make_spec().label == "rmd+elr rmd.k=4 rmd.weight=1.0 · symmetric 0.5 · seed 0"
    hparams = resolve("rmd+ce", {})
    assert (
        make_spec(method="rmd+ce", hparams=hparams, noise_rate=0.45, train_seed=3).label
        == "rmd · symmetric 0.45 · seed 3"
    )


def test_relative_cost_is_the_sum_of_the_parts():
    assert relative_cost(make_spec(method="ce")) == 1
    assert relative_cost(make_spec(method="softmix")) == pytest.approx(1 + 2 / 3), (
        "two of its three passes have no gradients"
    )
    both = (
        relative_cost(make_spec(method="divide_mix")) + relative_cost(make_spec(method="rmd")) - 1
    )
    assert relative_cost(make_spec(method="rmd+divide_mix")) == pytest.approx(both)


def test_a_plan_pairs_all_methods_on_the_same_noise_and_split(digits):
    specs = Plan().specs(digits, expand_hparams(["ce", "elr"], {}, {}), [0.2, 0.5], [0, 1])
    assert len({spec.id for spec in specs}) == len(specs) == 8
    cells = {}
    for spec in specs:
        assert spec.noise_seed == spec.split_seed == spec.train_seed
        assert spec.data_hash == digits.content_hash
        cells.setdefault((spec.noise_rate, spec.train_seed), set()).add(spec.method)
    assert cells == {(rate, seed): {"ce", "elr"} for rate in (0.2, 0.5) for seed in (0, 1)}
    assert [spec.train_seed for spec in specs] == [0] * 4 + [1] * 4, "seed by seed"


def test_seeds_can_be_set_apart(digits):
    specs = Plan().specs(digits, [("ce", {})], [0.5], [3, 4], noise_seed=0, split_seed=9)
    assert [(s.noise_seed, s.split_seed, s.train_seed) for s in specs] == [(0, 9, 3), (0, 9, 4)]


def test_paper_recipes_are_each_methods_own_and_the_command_line_wins(digits):
    configurations = expand_hparams(["ce", "elr", "rmd+elr", "co_teaching"], {}, {})
    plan = Plan(recipe="paper", overrides=(("backbone", "tiny_cnn"), ("epochs", 7)))
    ce, elr, rmd, co_teaching = plan.specs(digits, configurations, [0.5], [0])
    assert (ce.recipe.learning_rate, ce.recipe.augmentation, ce.recipe.epochs) == (0.1, "none", 7)
    assert (elr.recipe.weight_decay, elr.recipe.schedule, elr.recipe.epochs) == (
        1e-3,
        "restarts",
        7,
    )
    assert rmd.recipe == elr.recipe
    assert co_teaching.recipe.optimizer == "adam"
    assert elr.protocol == "paper, backbone=tiny_cnn, epochs=7"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(recipe="papers"), "there is no recipe 'papers': did you mean paper"),
        (
            Plan(overrides=(("epoch", 5),)),
            "there is no field of the recipe 'epoch': did you mean epochs",
        ),
        (Plan(overrides=(("backbone", "tiny"),)), "there is no backbone 'tiny'"),
        (Plan(overrides=(("epochs", 0),)), "the number of epochs is 0"),
        (Plan(noise_kind="asym"), "there is no noise kind 'asym'"),
        (Plan(noise_kind="clean"), "clean labels take no noise rate"),
        (Plan(device="gpu"), "device is 'gpu': choose from cpu, cuda"),
        (Plan(threads=0), "a trial has 0 threads: give at least 1"),
    ],
)
def test_impossible_plans_are_refused_with_the_fix(digits, plan, message):
    with pytest.raises(InputError) as error:
        plan.specs(digits, [("ce", {})], [0.5], [0])
    assert message in str(error.value)


# ----------------------------------------------------------------------------
# scaling of phases


class Hundred(Method):
    reference_epochs = 100


def at(epochs: int, cls: type[Method] = Method) -> Method:
    method = cls()
    method.recipe = SimpleNamespace(epochs=epochs)
    return method


def test_phases_scale_with_the_length_of_the_run():
    # of 300: 10, 60, and 10 as interval
    by_hand = {25: (1, 5, 1), 50: (2, 10, 2), 300: (10, 60, 10), 600: (20, 120, 20)}
    for epochs, expected in by_hand.items():
        method = at(epochs)
        assert (method.phase(10), method.phase(60), method.interval(10)) == expected
    assert at(25, Hundred).phase(40) == 10
    assert at(25).phase(1) == 0


def test_intervals_are_at_least_one():
    assert [at(epochs).interval(1) for epochs in (1, 25, 300)] == [1, 1, 1]
    assert at(25).interval(0) == 1


def test_a_warm_up_is_at_least_a_fifth_of_a_short_run():
    assert [at(epochs).warmup(10) for epochs in (1, 5, 6, 25, 49, 50, 300)] == [
        1,
        1,
        2,
        5,
        10,
        2,
        10,
    ]
    assert at(25).warmup(120) == 10, "what is longer stays so"
    assert at(300).warmup(1) == 1
    assert at(60).warmup(1) == 1, "never none at all"
    assert [at(epochs).warmup(0) for epochs in (5, 300)] == [0, 0], "but for a method that has none"


# ----------------------------------------------------------------------------
# wrappers


@dataclass
class Step:
    """Stands in for an optimiser."""

    def zero_grad(self, set_to_none: bool) -> None: ...
    def step(self) -> None: ...


class TakesOwnSteps(Method):
    def update(self, batch, optimizer):
        return torch.tensor(7.0)


class Identity(Wrapper):
    """Adds nothing."""


class AddsLoss(Wrapper):
    def loss(self, batch):
        return self.base.loss(batch) + 1


def test_a_wrapper_that_adds_a_loss_needs_a_base_that_leaves_steps_to_it():
    with pytest.raises(
        InputError,
        match=r"adds a loss to every step, but .* takes its own steps: choose another base",
    ):
        AddsLoss(None, TakesOwnSteps())
    with pytest.raises(InputError, match="takes its own steps"):
        AddsLoss(None, Identity(None, TakesOwnSteps()))
    assert Identity(None, TakesOwnSteps()).update(None, Step()).item() == 7
