"""Settings that the authors choose by the true noise.

"oracle" takes their choice, and the method then declares the privilege.
"""

import pytest
import torch
from method_setup import enter, setup

from bench.errors import InputError
from bench.planning.registry import build, card, load_method, method_names

CHOICES = [(name, field) for name in method_names() for field in load_method(name).oracles]


def at(name: str, make_task, rate: float, kind: str, field: str = "", classes: int = 10):
    """The method with ``field`` (or all that can be) left to the truth."""
    fields = [field] if field else load_method(name).oracles
    task = make_task(facts={"noise_rate": rate, "noise_kind": kind}, num_classes=classes)
    return setup(name, task, {f"{name}.{each}": "oracle" for each in fields})


def test_there_are_such_settings():
    assert {name for name, _ in CHOICES} >= {
        "co_teaching",
        "divide_mix",
        "unicon",
        "softmix",
        "selc",
        "elr",
        "elr_plus",
        "sop",
        "eps_softmax",
        "gjs",
        "cdr",
        "sop_plus",
        "pes_semi",
    }


@pytest.mark.parametrize(("name", "field"), CHOICES)
def test_oracle_is_a_privilege_and_nothing_else_is(name, field):
    assert build(name, {}).privileges == frozenset()
    told = build(name, {f"{name}.{field}": "oracle"}).privileges
    assert told == set(load_method(name).oracles[field]) <= set(card(name).reads)


@pytest.mark.parametrize(
    ("rate", "kind", "classes", "expected"),
    [
        (0.18, "symmetric", 10, (0.0, 1, False)),  # 20 % in the authors' count
        (0.5, "symmetric", 10, (25.0, 1, False)),
        (0.72, "symmetric", 10, (25.0, 1, False)),
        (0.81, "symmetric", 10, (50.0, 5, False)),
        (0.2, "asymmetric", 10, (0.0, 1, True)),
        (0.2, "symmetric", 100, (25.0, 1, False)),
        (0.5, "symmetric", 100, (150.0, 1, False)),
    ],
)
def test_divide_mix_takes_the_authors_settings(make_task, rate, kind, classes, expected):
    """The paper's table of lambda_u; the authors' README and Train_cifar.py for the rest."""
    method = at("divide_mix", make_task, rate, kind, classes=classes)
    assert (
        method.unlabelled_weight,
        method.history.shape[1],
        method.confidence_penalty,
    ) == expected


def losses_of(share: float | None) -> torch.Tensor:
    """Losses of 200 samples that show this share of wrong labels, or a single mode."""
    if share is None:
        return torch.special.ndtri(torch.linspace(0.005, 0.995, 200))
    wrong = torch.arange(200) < 200 * share
    return torch.sin(torch.arange(200.0)) * 0.1 + torch.where(wrong, 3.0, 0.5)


@pytest.mark.parametrize(
    ("shares", "classes", "weights"),
    [
        ([0.15, 0.5, 0.15, 0.5, 0.5], 10, [0, 0, 0, 0, 0]),  # of two, the lower
        ([0.45, 0.1, 0.45, 0.1, 0.1], 10, [25, 0, 25, 25, 25]),
        ([0.9, 0.9, 0.9, 0.1, 0.1], 10, [50, 50, 50, 50, 50]),
        ([0.1, 0.5, 0.5, 0.1, 0.1], 100, [25, 25, 150, 150, 150]),
        ([None, None, None, 0.1, 0.1], 10, [25, 25, 25, 25, 25]),
        ([None, 0.1, None, 0.5, 0.5], 10, [25, 0, 0, 0, 0]),
    ],
)
def test_divide_mix_estimates_lambda_u(make_task, monkeypatch, shares, classes, weights):
    """In the first three epochs after warm-up, where both mixtures have two modes."""
    task = make_task(200, num_classes=classes)
    method = setup("divide_mix", task, {"divide_mix.unlabelled_weight": "estimate"})
    assert method.privileges == frozenset()
    enter(method, 9)
    assert method.unlabelled_weight == method.figures()["unlabelled_weight"] == 25
    for number, (share, weight) in enumerate(zip(shares, weights, strict=True)):
        monkeypatch.setattr("bench.ops.per_sample_loss", lambda *_, share=share: losses_of(share))
        enter(method, 10 + number)
        assert task.mixtures[-1] == ("two modes" if share else "one mode")
        assert method.unlabelled_weight == weight, number


@pytest.mark.parametrize(
    ("kind", "rate", "classes", "expected"),
    [
        ("symmetric", 0.5, 10, (0.01, 5.0, 1e5)),
        ("asymmetric", 0.2, 10, (0.02, 5.0, 1e3)),
        ("instance", 0.3, 10, (0.045, 10.0, 1e5)),
        ("human-worst", 0.4, 10, (0.5, 1.0, 1e4)),
        ("human-noisy", 0.4, 100, (0.5, 1.0, 1e4)),
        ("symmetric", 0.38, 100, (0.03, 1.0, 1e4)),
        ("symmetric", 0.8, 100, (0.0075, 1.0, 1e4)),
        ("asymmetric", 0.31, 100, (0.005, 1.0, 1e2)),
    ],
)
def test_eps_softmax_takes_the_authors_settings(make_task, kind, rate, classes, expected):
    """``get_loss_config`` of config.py, cswjl/eps-softmax; the paper's 0.0125 at 60 %."""
    method = at("eps_softmax", make_task, rate, kind, classes=classes)
    assert (method.alpha, method.beta, method.m) == expected


@pytest.mark.parametrize(
    ("kind", "rate", "classes", "weight"),
    [
        ("symmetric", 0.0, 10, 0.5),
        ("symmetric", 0.36, 10, 0.9),  # 40 % in the authors' count
        ("symmetric", 0.5, 10, 0.1),
        ("asymmetric", 0.2, 10, 0.3),
        ("symmetric", 0.2, 100, 0.3),
        ("symmetric", 0.6, 100, 0.9),
        ("asymmetric", 0.4, 100, 0.1),
    ],
)
def test_gjs_takes_the_authors_weight(make_task, kind, rate, classes, weight):
    """Files gjs-RATE.yaml in scripts of ErikEnglesson/GJS, commit 1a3c9e0."""
    assert at("gjs", make_task, rate, kind, classes=classes).label_weight == weight


@pytest.mark.parametrize("name", ["elr", "elr_plus"])
@pytest.mark.parametrize(
    ("kind", "classes", "weight", "momentum"),
    [
        ("symmetric", 10, 3.0, 0.7),
        ("asymmetric", 10, 1.0, 0.9),
        ("symmetric", 100, 7.0, 0.9),
        ("asymmetric", 100, 7.0, 0.9),
    ],
)
def test_elr_takes_the_authors_settings(make_task, name, kind, classes, weight, momentum):
    """Configurations in ELR and ELR_plus of shengliu66/ELR, commit 934af53.

    They are config_cifar10.json, config_cifar10_asym.json and, for both kinds (README),
    config_cifar100.json.
    """
    method = at(name, make_task, 0.4, kind, classes=classes)
    assert (method.weight, method.momentum) == (weight, momentum)
    alone = at(name, make_task, 0.4, kind, "momentum", classes)
    assert (alone.weight, alone.momentum) == (3.0, momentum)


@pytest.mark.parametrize(
    ("kind", "classes", "rates"),
    [
        ("symmetric", 10, (10, 10)),
        ("asymmetric", 10, (10, 100)),
        ("symmetric", 100, (1, 10)),
        ("asymmetric", 100, (0.1, 100)),
    ],
)
@pytest.mark.parametrize("name", ["sop", "sop_plus"])
def test_sop_takes_the_authors_rates(make_task, name, kind, classes, rates):
    """Table A.1, and for asymmetric CIFAR-100 the README of shengliu66/SOP, commit 4d991ce."""
    method = at(name, make_task, 0.4, kind, classes=classes)
    assert tuple(group["lr"] for group in method.param_groups()[1:]) == rates


@pytest.mark.parametrize(
    ("kind", "classes", "weight"),
    [
        ("symmetric", 10, 150.0),
        ("instance", 10, 15.0),
        ("instance-raw", 100, 15.0),
        ("pairflip", 100, 50.0),
        ("human-worse", 10, 5.0),
        ("human-noisy", 100, 75.0),
    ],
)
def test_pes_semi_takes_the_authors_weight(make_task, kind, classes, weight):
    """PES_semi.py, README and PES_noisylabels.py of tmllab/2021_NeurIPS_PES, commit ec5290d."""
    method = at("pes_semi", make_task, 0.4, kind, classes=classes)
    assert method.unlabelled_weight == weight


@pytest.mark.parametrize(("rate", "window"), [(0.45, 1), (0.72, 5)])
def test_softmix_takes_the_authors_window(make_task, rate, window):
    assert len(at("softmix", make_task, rate, "symmetric").history) == window


@pytest.mark.parametrize(("kind", "penalty"), [("symmetric", False), ("asymmetric", True)])
def test_unicon_takes_the_authors_penalty(make_task, kind, penalty):
    assert at("unicon", make_task, 0.4, kind).confidence_penalty == penalty


@pytest.mark.parametrize(
    ("rate", "kind", "expected"),
    [
        (0.18, "symmetric", (20, 0.99, 1.0)),
        (0.5, "symmetric", (20, 0.99, 1.0)),
        (0.72, "symmetric", (20, 0.95, 0.2)),  # 80 % in the authors' count
        (0.4, "asymmetric", (20, 0.95, 1.0)),
        (0.4, "instance", (15, 0.99, 1.0)),
        (0.6, "instance", (15, 0.95, 0.2)),
        (0.4, "human-worst", (20, 0.99, 1.0)),
    ],
)
def test_disc_takes_the_authors_settings(make_task, rate, kind, expected):
    """``DISC.py`` of JackYFL/DISC, commit a21e910."""
    method = at("disc", make_task, rate, kind)
    assert (method.warmup_epochs, method.momentum, method.hard_weight) == expected


@pytest.mark.parametrize(
    ("rate", "kind", "expected"),
    [
        (0.18, "symmetric", (0.7, False)),
        (0.45, "symmetric-inclusive", (0.5, False)),
        (0.72, "symmetric", (0.5, False)),
        (0.2, "asymmetric", (0.5, True)),
        (0.09, "human-aggre", (0.5, False)),
    ],
)
def test_promix_takes_the_authors_settings(make_task, rate, kind, expected):
    """``run.sh`` and ``Train_promix.py`` of Justherozen/ProMix, commit 40d8378."""
    method = at("promix", make_task, rate, kind)
    assert (method.selected_share, method.confidence_penalty) == expected


@pytest.mark.parametrize(
    ("rate", "kind", "classes", "epoch"),
    [
        (0.36, "symmetric", 10, 30),
        (0.72, "symmetric", 10, 40),
        (0.2, "asymmetric", 10, 40),
        (0.4, "symmetric", 100, 20),
    ],
)
def test_selc_takes_the_authors_turning_point(make_task, rate, kind, classes, epoch):
    """``estimated_es`` of train_cifar_with_SELC.py, which is for runs of 200 epochs."""
    method = at("selc", make_task, rate, kind, classes=classes)
    assert method.turned.item() == method.warmup(epoch)


def test_without_the_privilege_the_truth_is_out_of_reach(make_task):
    with pytest.raises(AttributeError, match="privileged or unknown"):
        setup("divide_mix", make_task(), {"divide_mix.unlabelled_weight": "oracle"})


@pytest.mark.parametrize("name", ["co_teaching", "co_teaching_plus", "jocor"])
def test_a_ramp_of_no_epoch_would_never_estimate(name):
    with pytest.raises(InputError, match=f"{name}.ramp_epochs is 0: give at least 1"):
        build(name, {f"{name}.ramp_epochs": 0})


def test_what_was_selected_is_exported(make_task):
    method = setup("co_teaching", make_task(), {"co_teaching.forget_rate": 0.5})
    enter(method, 20)
    batch = next(method.task.loader(torch.arange(8)))
    method.loss(batch)
    clean = method.clean_probability()
    assert clean[8:].eq(1).all(), "not seen yet"
    assert clean[:8].sum() == 4 and set(clean[:8].tolist()) <= {0.0, 0.5, 1.0}


@pytest.mark.parametrize(("node", "edge"), [(0.0, 0.3), (1.0, 0.0), (2.0, 0.5)])
def test_rmds_two_terms_have_a_weight_each(node, edge):
    features = [torch.randn(6, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]

    def loss(**weights: float) -> float:
        method = build("rmd", {f"rmd.{name}": value for name, value in weights.items()})
        return method.relation_loss(*features).item()  # type: ignore[operator]

    alone = loss(node_weight=1.0, edge_weight=0.0), loss(node_weight=0.0, edge_weight=1.0)
    assert min(alone) > 0
    assert loss(node_weight=node, edge_weight=edge) == pytest.approx(
        node * alone[0] + edge * alone[1], rel=1e-5
    )
