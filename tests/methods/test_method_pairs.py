"""Methods of two networks and of several phases, against formulas by hand and authors' numbers.

The authors' functions were run outside this repository on FIRST, SECOND and LABELS (double
precision). Their results stand here, with the repository and the commit.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from method_setup import Given, enter, given_batch, setup, softmax

from bench import ops
from bench.errors import InputError
from bench.ops import Division, PlainStep
from bench.planning.registry import build
from bench.task import Batch, Task
from methods.co_learning import structure_loss
from methods.co_teaching_plus import easiest
from methods.elr_plus import Step, ramp
from methods.m_correction import LossModel
from methods.prune import label_issues
from methods.unicon import jensen_shannon, trust, uniform_selection

#: Logits of two networks for 8 samples and 3 classes, and their labels: arbitrary numbers.
FIRST = [
    [0.19, -0.2, 0.96],
    [0.16, -0.8, 0.54],
    [1.96, 1.42, -1.06],
    [-1.9, -0.93, 0.06],
    [-3.49, -0.33, -1.87],
    [-1.1, -0.82, -0.47],
    [0.62, 1.56, -0.19],
    [2.05, -1.0, 0.53],
]
SECOND = [
    [1.36, 0.14, -1.12],
    [-1.38, -0.69, 0.33],
    [-1.51, -0.31, -0.24],
    [0.81, 0.32, 0.53],
    [-0.98, -0.19, 1.18],
    [2.24, -1.89, 2.27],
    [2.02, 1.17, 0.4],
    [-0.47, 2.19, 2.94],
]
LABELS = [0, 0, 1, 2, 1, 2, 0, 0]
P, Q = softmax(np.array(FIRST)), softmax(np.array(SECOND))


def of_two(name, task, settings=None, epochs=200, logits=(FIRST, SECOND)):
    """A method whose two networks answer with these logits."""
    return setup(name, task, settings, epochs, [Given(values) for values in logits])


# ----------------------------------------------------------------------------
# jocor


@pytest.mark.parametrize(
    ("rate", "co_lambda", "theirs"),
    [
        (0.0, 0.1, 2.138489085212383),
        (0.0, 0.7, 1.741802772908965),
        (0.25, 0.1, 1.6924097488485785),
        (0.25, 0.7, 1.3339528038016468),
        (0.5, 0.1, 1.5903067213146251),
        (0.5, 0.7, 1.1464301719186634),
    ],
)
def test_jocor_gives_the_authors_numbers(make_task, rate, co_lambda, theirs):
    """hongxin001/JoCoR, commit 86db359, algorithm/loss.py: loss_jocor."""
    method = of_two("jocor", make_task(), {"jocor.forget_rate": rate, "jocor.co_lambda": co_lambda})
    enter(method, 150)
    assert method.loss(given_batch(LABELS)).item() == pytest.approx(theirs, rel=1e-5)


def test_jocor_by_hand_and_both_networks_learn_from_the_same_samples(make_task):
    method = of_two("jocor", make_task(), {"jocor.forget_rate": 0.5})
    enter(method, 150)
    each = np.arange(8)
    supervised = -np.log(P[each, LABELS]) - np.log(Q[each, LABELS])
    divergence = (P * np.log(P / Q) + Q * np.log(Q / P)).sum(1)
    joint = 0.9 * supervised + 0.1 * divergence
    loss = method.loss(given_batch(LABELS))
    assert loss.item() == pytest.approx(np.sort(joint)[:4].mean(), rel=1e-5)
    loss.backward()
    for net in method.networks:
        assert net.logits.grad.any(1).tolist() == (joint <= np.sort(joint)[3]).tolist()


def test_jocor_ramps_its_forget_rate_and_keeps_at_least_one_sample(make_task):
    method = of_two("jocor", make_task(), {"jocor.forget_rate": 0.95})
    shares = []
    for epoch in (0, 5, 10, 199):
        enter(method, epoch)
        shares.append(method.keep_share)
    assert shares == pytest.approx([1, 1 - 0.475, 0.05, 0.05], abs=1e-6)
    assert torch.isfinite(method.loss(given_batch(LABELS)))


def test_jocors_loss_is_finite_where_the_networks_are_certain_of_different_classes(make_task):
    method = of_two(
        "jocor", make_task(), logits=([[900.0, -900.0, 0.0]] * 2, [[-900.0, 900.0, 0.0]] * 2)
    )
    enter(method, 0)
    loss = method.loss(given_batch([0, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(net.logits.grad).all() for net in method.networks)


@pytest.mark.parametrize("name", ["jocor", "co_teaching_plus"])
def test_only_the_oracle_rate_is_a_privilege(name, make_task):
    task = make_task(facts={"noise_rate": 0.37})
    method = of_two(name, task, {f"{name}.forget_rate": "oracle"})
    assert method.privileges == {"noise_rate"}
    assert method.forget_rate.item() == pytest.approx(0.37)
    assert of_two(name, make_task()).privileges == frozenset()
    with pytest.raises(InputError, match=f"{name}.forget_rate is 1: give a rate"):
        build(name, {f"{name}.forget_rate": 1.0})


# ----------------------------------------------------------------------------
# co-teaching plus

PLUS = "co_teaching_plus"


@pytest.mark.parametrize(
    ("rate", "theirs"),
    [
        (0.0, 2.159510288563654),
        (0.25, 2.9213822797578786),
        (0.5, 3.4691190609394846),
        (0.9, 2.159510288563654),
    ],
)
def test_co_teaching_plus_gives_the_authors_numbers_but_for_their_slips(make_task, rate, theirs):
    """xingruiyu/coteaching_plus, commit a68ed61, loss.py: loss_coteaching_plus, both losses added.

    It ran with two slips undone: its softmax, after which cross-entropy takes probabilities for
    logits, made an identity; and its losses, which are divided by the number of samples twice,
    multiplied by it once. As released it gives 0.3374, 0.5729, 0.8160 and 0.3374.
    """
    method = of_two(PLUS, make_task(), {f"{PLUS}.forget_rate": rate})
    enter(method, 150)
    assert method.loss(given_batch(LABELS)).item() == pytest.approx(theirs, rel=1e-5)


def test_co_teaching_plus_is_co_teaching_at_first(make_task):
    plus = of_two(PLUS, make_task(), {f"{PLUS}.forget_rate": 0.5})
    plain = of_two("co_teaching", make_task(), {"co_teaching.forget_rate": 0.5})
    same = []
    for epoch in (0, 12, 19, 20, 199):
        for method in (plus, plain):
            enter(method, epoch)
        same.append(torch.equal(plus.loss(given_batch(LABELS)), plain.loss(given_batch(LABELS))))
    assert same == [True, True, True, False, False]


def test_each_network_learns_from_the_disagreements_that_its_peer_finds_easy(make_task):
    method = of_two(PLUS, make_task(), {f"{PLUS}.forget_rate": 0.5})
    enter(method, 150)
    method.loss(given_batch(LABELS)).backward()
    disagree = P.argmax(1) != Q.argmax(1)
    assert disagree.tolist() == [True, False, True, True, True, False, True, True]
    each = np.arange(8)
    for net, peer in zip(method.networks, (Q, P), strict=True):
        losses = np.where(disagree, -np.log(peer[each, LABELS]), np.inf)
        assert net.logits.grad.any(1).tolist() == (losses <= np.sort(losses)[2]).tolist()


def test_nothing_is_learned_where_nobody_disagrees(make_task):
    method = of_two(PLUS, make_task(), {f"{PLUS}.forget_rate": 0.5}, logits=(FIRST, FIRST))
    enter(method, 150)
    loss = method.loss(given_batch(LABELS))
    loss.backward()
    assert loss.item() == 0
    assert not any(net.logits.grad.any() for net in method.networks)


def test_the_easiest_among_some():
    losses = torch.tensor([0.1, 5.0, 3.0, 1.0, 2.0, 4.0])
    among = torch.tensor([False, True, True, True, True, True])
    assert easiest(losses, among, 0.8).tolist() == [False, False, True, True, True, True]
    assert easiest(losses, among, 0.5).tolist() == [False, False, False, True, True, False]
    assert torch.equal(easiest(losses, among, 0.1), among)  # none would be left
    assert not easiest(losses, among & False, 0.5).any()


# ----------------------------------------------------------------------------
# elr plus

#: A partner for each sample, and one lambda, in place of random ones.
PARTNER, LAM = torch.tensor([3, 0, 7, 1, 2, 6, 5, 4]), 0.8


def columns_reversed(logits):
    return [row[::-1] for row in logits]


@pytest.fixture
def fixed_mixing(monkeypatch):
    monkeypatch.setattr(
        ops.mixing, "beta_sample", lambda alpha, rng: 1 - LAM
    )  # the larger part counts
    monkeypatch.setattr(torch, "randperm", lambda n, **_: PARTNER[:n])


@pytest.mark.parametrize(
    ("refine", "theirs"),
    [
        (False, (0.998880936257365, 0.64962502264417)),
        (True, (1.0860243623025438, 0.685937419920601)),
    ],
)
def test_elr_plus_gives_the_authors_numbers_over_two_steps(make_task, fixed_mixing, refine, theirs):
    """shengliu66/ELR, commit 934af53, ELR_plus/model/loss.py: elr_plus_loss.

    beta is 0.7, lambda 3, coef_step 0.
    """
    method = of_two("elr_plus", make_task(), {"elr_plus.refine_labels": refine})
    for student in (0, 1):
        for average, logits, expected in zip(
            (FIRST, SECOND), map(columns_reversed, (FIRST, SECOND)), theirs, strict=True
        ):
            method.averages[1 - student].logits.data = torch.tensor(average)
            method.networks[student].logits.data = torch.tensor(logits)
            loss = method.loss(Step(student, given_batch(LABELS), 3.0))
            assert loss.item() == pytest.approx(expected, rel=1e-4)
        np.testing.assert_allclose(
            method.targets[student, 0], [0.27228593, 0.10128546, 0.13642862], atol=1e-6
        )
        np.testing.assert_allclose(
            method.targets[student, 7], [0.172452, 0.10198922, 0.23555875], atol=1e-6
        )
    assert not method.targets[:, 8:].any()
    averages, labels = method.soft_targets(), method.task.noisy_labels
    # of 1 - 0.7^2, the same for both networks
    expected = np.array([0.27228593, 0.10128546, 0.13642862]) / 0.51
    np.testing.assert_allclose(averages[0], expected, atol=2e-6)
    assert torch.equal(averages[8:], torch.eye(3)[labels[8:]]), "not seen yet"
    assert method.clean_probability()[0].item() == pytest.approx(expected[labels[0]], abs=2e-6)
    assert (method.clean_probability()[8:] == 1).all()


def test_elr_pluss_ramp_is_the_authors():
    """ELR_plus/utils/util.py: sigmoid_rampup at a length of 40,000."""
    theirs = {
        0: 0.006737946999085467,
        1: 0.006739631675352284,
        10000: 0.060054667895307945,
        20000: 0.2865047968601901,
    }
    for step, value in {**theirs, 39999: 0.999999996875, 40000: 1.0, 50000: 1.0}.items():
        assert ramp(step, 40000) == pytest.approx(value, rel=1e-9)
    assert ramp(3, 0) == 1


def test_elr_pluss_averages_follow_each_step(make_task):
    task = make_task(batch_size=8)
    method = setup("elr_plus", task, epochs=200)
    enter(method, 51)
    averages = [net.head.weight.clone() for net in method.averages]
    before = None
    for number, step in enumerate(method.batches()):
        if before is not None:
            student, weight, factor = before
            averages[student] = factor * averages[student] + (1 - factor) * weight
        assert step.student == number // 2
        assert step.weight == 3
        for average, expected in zip(method.averages, averages, strict=True):
            torch.testing.assert_close(average.head.weight, expected)
        with torch.no_grad():
            method.networks[step.student].head.weight.add_(0.1)
        done = (51 + (number % 2 + 1) / 2) / 102
        before = (
            step.student,
            method.networks[step.student].head.weight.clone(),
            0.997 * np.exp(-5 * (1 - done) ** 2),
        )
    student, weight, factor = before
    torch.testing.assert_close(
        method.averages[1].head.weight, factor * averages[1] + (1 - factor) * weight
    )
    assert number == 3


def test_elr_plus_trains_one_network_at_a_time_and_never_an_average(make_task):
    method = setup("elr_plus", make_task(), epochs=200)
    enter(method, 3)
    step = next(method.batches())
    assert list(method.students(step)) == [method.networks[0]]
    method.loss(step).backward()
    trained = [
        parameter.grad is not None for net in method.networks for parameter in net.parameters()
    ]
    assert trained == [True, True, False, False]
    assert not any(parameter.requires_grad for parameter in method.averages.parameters())
    assert len(method.param_groups()[0]["params"]) == 4


def test_elr_plus_stays_finite_when_everything_is_certain(make_task):
    method = of_two(
        "elr_plus",
        make_task(),
        {"elr_plus.refine_labels": True},
        logits=([[900.0, -900.0, 0.0]] * 4,) * 2,
    )
    for _ in range(50):
        loss = method.loss(Step(0, given_batch([1, 1, 2, 0]), 3.0))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(method.networks[0].logits.grad).all()


# ----------------------------------------------------------------------------
# m correction


def test_m_corrections_loss_model_gives_the_authors_numbers():
    """PaulAlbert31/LabelNoiseCorrection, commit 5e9a73e, utils.py.

    track_training_loss and look_lookup on these losses.
    """
    losses = np.concatenate([0.01 * np.arange(1, 61) ** 1.2, 3 + 0.03 * np.arange(1, 41)])
    noisy = LossModel(torch.tensor(losses)).noisy(
        torch.tensor([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5]).double()
    )
    theirs = [
        1e-4,
        1e-4,
        1e-4,
        0.00015538297,
        0.06170692951,
        0.92482426606,
        0.99981887119,
        0.9999,
        0.9999,
        0.9999,
    ]
    np.testing.assert_allclose(noisy, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("bootstrap", "theirs"), [("hard", 1.924273999840061), ("soft", 1.8046083402525273)]
)
def test_m_correction_gives_the_authors_numbers(make_task, monkeypatch, bootstrap, theirs):
    """The same commit: the loss of train_mixUp_HardBootBeta.

    It is the sum of mixup_criterion_mixSoft and reg_loss_class.
    """
    noisy = torch.tensor([0.1, 0.9, 0.5, 0.0001, 0.9999, 0.3, 0.7, 0.2])
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: 0.3)
    monkeypatch.setattr(torch, "randperm", lambda n, **_: PARTNER[:n])

    class Two(torch.nn.Module):
        """FIRST for the unmixed images, SECOND with gradients."""

        def __init__(self):
            super().__init__()
            self.plain, self.mixed = torch.tensor(FIRST), torch.nn.Parameter(torch.tensor(SECOND))

        def forward(self, x):
            return self.mixed if torch.is_grad_enabled() else self.plain

    method = setup(
        "m_correction", make_task(), {"m_correction.bootstrap": bootstrap}, networks=[Two()]
    )
    method.correcting = True
    method.model = SimpleNamespace(noisy=lambda losses: noisy)
    assert method.loss(given_batch(LABELS)).item() == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(
    "losses", [torch.zeros(20), torch.full((20,), 3.0), torch.tensor([0.0, 9.0])]
)
def test_a_loss_model_of_nothing_to_tell_apart_calls_every_label_right(losses):
    assert (LossModel(losses).noisy(losses) <= 0.5).all()


@pytest.mark.parametrize(
    ("losses", "state"),
    [
        (torch.cat([torch.linspace(0, 0.3, 60), torch.linspace(3, 4, 40)]), "two modes"),
        (torch.linspace(1, 2, 100) ** 2, "one mode"),
        (torch.full((20,), 3.0), "equal losses"),
        (torch.full((20,), 3.0) + 1e-7 * torch.arange(20), "equal losses"),
        (torch.full((20,), torch.nan), "not finite"),
        (torch.tensor([1.0, 2.0, torch.nan, 4.0]), "not finite"),
        (torch.tensor([1.0, torch.inf, torch.inf, 4.0]), "not finite"),
    ],
)
def test_a_loss_model_says_what_its_mixture_came_to(losses, state):
    shapes: list[str] = []
    noisy = LossModel(losses, shapes).noisy(losses)
    assert shapes == [state]
    assert noisy.isfinite().all() and (state in ("two modes", "one mode") or (noisy <= 0.5).all())


def test_m_correction_starts_after_its_mixup_phase(make_task):
    method = setup("m_correction", make_task())
    phases = []
    for epoch in (0, 104, 105, 299):
        enter(method, epoch)
        phases.append(method.correcting)
        assert torch.isfinite(method.loss(method.task.batch(torch.arange(16))))
        assert method.networks[0].training
    assert phases == [False, False, True, True]


# ----------------------------------------------------------------------------
# co-learning


@pytest.mark.parametrize(
    ("kernel", "theirs"), [("gaussian", 0.42587939949160086), ("student", 0.30089213438386725)]
)
def test_co_learnings_structure_loss_gives_the_authors_numbers(kernel, theirs):
    """chengtan9907/Co-learning, commit 9d709ed, losses/loss_structrue.py.

    loss_structrue, and loss_structrue_t with v = 1.
    """
    loss = structure_loss(torch.tensor(FIRST).double(), torch.tensor(SECOND).double(), kernel)
    assert loss.item() == pytest.approx(theirs, rel=1e-9)


def test_nt_xent_gives_the_authors_numbers():
    """Co-learning's losses/loss_ntxent.py at T 0.5, and UNICON's Contrastive_loss.py at 0.05.

    The latter is of commit 616dc49.
    """
    assert ops.nt_xent(torch.tensor(FIRST), torch.tensor(SECOND), 0.5).item() == pytest.approx(
        3.6406157491712516, rel=1e-6
    )
    assert ops.nt_xent(torch.tensor(FIRST), torch.tensor(SECOND), 0.05).item() == pytest.approx(
        21.193822854, rel=1e-6
    )


def test_structure_and_contrast_are_finite_where_all_are_alike_or_far_apart():
    for value in (torch.zeros(4, 3), 1e4 * torch.eye(4, 3)):
        logits = value.clone().requires_grad_()
        for kernel in ("gaussian", "student"):
            loss = structure_loss(value, logits, kernel) + ops.nt_xent(logits, logits, 0.5)
            loss.backward()
            assert torch.isfinite(loss)
            assert torch.isfinite(logits.grad).all()


def test_co_learnings_structure_loss_reaches_the_classifier_alone(make_task, monkeypatch):
    task = make_task()
    method = setup("co_learning", task, networks=[Task.build_network(task)])
    [net] = method.networks
    monkeypatch.setattr(ops, "nt_xent", lambda first, second, temperature: first.sum() * 0)
    losses = []
    for weight in (0.0, 0.2):
        object.__setattr__(method.hp, "structure_weight", weight)
        task.seed(1)
        method.zero_grad()
        loss = method.loss(next(method.batches()))
        loss.backward()
        losses.append(
            (loss.item(), net.head.weight.grad.clone(), next(net.body.parameters()).grad.clone())
        )
    assert losses[0][0] < losses[1][0]
    assert not torch.allclose(losses[0][1], losses[1][1])
    torch.testing.assert_close(losses[0][2], losses[1][2])
    assert len(method.param_groups()[1]["params"]) == 3


@pytest.mark.parametrize(("epoch", "beta"), [(79, 0.9), (80, 0.1), (199, 0.1)])
@pytest.mark.parametrize("name", ["co_learning", "jocor", "co_teaching_plus"])
def test_adams_first_beta_falls_with_the_rate(make_task, paper_recipe, name, epoch, beta):
    """``beta1_plan`` of all these authors' codes."""
    method = setup(name, make_task(), epochs=200)
    method.recipe = paper_recipe(name)
    optimizer = method.optimizer(method.param_groups())
    enter(method, epoch)
    assert {group["betas"] for group in optimizer.param_groups} == {(beta, 0.999)}


# ----------------------------------------------------------------------------
# pes


def test_pess_stages_and_what_they_train(make_task):
    task = make_task()
    method = setup("pes", task, epochs=200, networks=[Task.build_network(task)])
    [net] = method.networks
    last_convolution = [*net.body[-5].parameters(), *net.body[-4].parameters()]
    parts = {
        1: {id(p) for p in [*last_convolution, *net.head.parameters()]},
        2: {id(p) for p in net.head.parameters()},
    }
    for epoch, stage in ((0, 0), (24, 0), (25, 1), (31, 1), (32, 2), (36, 2), (37, 3), (199, 3)):
        before = {id(p): p.detach().clone() for p in net.parameters()}
        enter(method, epoch)
        assert method.stage == stage, epoch
        everything = {id(p) for p in net.parameters()}
        trained = {id(p) for group in method.param_groups() for p in group["params"]}
        assert trained == parts.get(stage, everything)
        assert {id(p) for p in net.parameters() if p.requires_grad} == trained
        adam = isinstance(method.optimizer(method.param_groups()), torch.optim.Adam)
        assert adam == (stage in (1, 2))
        weights = {
            id(p) for p in net.parameters() if p.ndim > 1 and not torch.equal(p, before[id(p)])
        }
        renewed = {
            id(p) for p in net.parameters() if p.ndim > 1 and id(p) in parts.get(stage, set())
        }
        assert weights == (renewed if epoch in (25, 32) else set())


def test_pes_may_leave_the_renewed_layers_out_of_the_last_phase(make_task):
    task = make_task()
    method = setup(
        "pes", task, {"pes.freeze_renewed": True}, epochs=200, networks=[Task.build_network(task)]
    )
    enter(method, 40)
    renewed = {id(p) for p in method.last_parts(1).parameters()}
    trained = {id(p) for p in method.param_groups()[0]["params"]}
    assert trained.isdisjoint(renewed)
    assert len(trained) + len(renewed) == len(list(method.networks[0].parameters()))


def test_pes_learns_from_the_labels_it_agrees_with_weighted_by_class(make_task, monkeypatch):
    task = make_task()
    task.noisy_labels = torch.tensor([0] * 8 + [1] * 4 + [2] * 4)
    method = setup("pes", task, epochs=200, networks=[Task.build_network(task)])
    monkeypatch.setattr(
        type(method), "predicted", lambda self: torch.tensor([0] * 6 + [1] * 4 + [0] * 6)
    )
    enter(method, 100)
    assert method.confident.nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 8, 9]
    # a class has four on average; the last has vanished
    assert method.weights.tolist() == pytest.approx([4 / 6, 4 / 2, 0])
    assert sorted(torch.cat([batch.index for batch in method.batches()]).tolist()) == [
        0,
        1,
        2,
        3,
        4,
        5,
        8,
        9,
    ]
    batch = task.batch(torch.tensor([0, 8, 9]))
    logits = method.networks[0](batch.x)
    each = torch.nn.functional.cross_entropy(logits, batch.y, reduction="none")
    expected = (4 / 6 * each[0] + 2 * each[1] + 2 * each[2]) / (4 / 6 + 4)
    assert method.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)
    monkeypatch.setattr(
        type(method), "predicted", lambda self: torch.tensor([0] + [2] * 8 + [0] * 7)
    )
    enter(method, 101)
    assert method.confident.all(), "a single sample is no training set"


# ----------------------------------------------------------------------------
# pes_semi


def test_pes_semis_stages_and_what_they_train(make_task):
    task = make_task()
    method = setup("pes_semi", task, epochs=300, networks=[Task.build_network(task)])
    [net] = method.networks
    head = {id(p) for p in net.head.parameters()}
    for epoch, stage in ((0, 0), (19, 0), (20, 2), (24, 2), (25, 3), (299, 3)):
        weight = net.head.weight.detach().clone()
        enter(method, epoch)
        assert method.stage == stage, epoch
        trained = {id(p) for group in method.param_groups() for p in group["params"]}
        assert trained == (head if stage == 2 else {id(p) for p in net.parameters()})
        assert {id(p) for p in net.parameters() if p.requires_grad} == trained
        optimizer = method.optimizer(method.param_groups())
        assert isinstance(optimizer, torch.optim.Adam) == (stage == 2)
        if stage == 2:  # 5 steps, not 1,950: a factor of 390 is too large
            assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-4 * 100)
        assert torch.equal(net.head.weight, weight) == (epoch != 20)
    longer = setup("pes_semi", task, {"pes_semi.head_epochs": 50}, 300, [Task.build_network(task)])
    enter(longer, 20)
    rate = longer.optimizer(longer.param_groups()).param_groups[0]["lr"]
    assert rate == pytest.approx(1e-4 * 39)
    frozen = setup(
        "pes_semi", task, {"pes_semi.freeze_renewed": True}, 300, [Task.build_network(task)]
    )
    enter(frozen, 25)
    head = {id(p) for p in frozen.networks[0].head.parameters()}
    trained = {id(p) for group in frozen.param_groups() for p in group["params"]}
    assert trained == {id(p) for p in frozen.networks[0].parameters()} - head


def test_pes_semis_rate_for_the_head_is_the_authors_where_steps_are_as_many(make_task):
    task = make_task(num=800, batch_size=2)
    method = setup("pes_semi", task, epochs=300, networks=[Task.build_network(task)])
    enter(method, 20)
    [group] = method.optimizer(method.param_groups()).param_groups
    assert group["lr"] == 1e-4


@pytest.mark.parametrize(
    ("confident", "labelled_size", "unlabelled_size"), [(10, 4, 4), (30, 6, 2), (16, 4, 4)]
)
def test_pes_semis_batches(make_task, monkeypatch, confident, labelled_size, unlabelled_size):
    """Half unlabelled where most are unconfident, else their share; N // B steps."""
    task = make_task(num=40, batch_size=8)
    method = setup("pes_semi", task, epochs=300, networks=[Task.build_network(task)])
    y = task.noisy_labels
    predicted = torch.where(torch.arange(40) < confident, y, (y + 1) % 3)
    monkeypatch.setattr(type(method), "predicted", lambda self: predicted)
    enter(method, 33)
    steps = list(method.batches())
    assert len(steps) == 5
    for number, step in enumerate(steps):
        assert (step.labelled.index < confident).all()
        assert (step.unlabelled.index >= confident).all()
        assert len(step.labelled.views) == len(step.unlabelled.views) == 2
        assert step.ramp == pytest.approx((8 + number / 5) / 16)
    assert len(steps[0].labelled.y) == labelled_size
    assert len(steps[0].unlabelled.y) == unlabelled_size
    assert torch.equal(method.clean_probability(), (torch.arange(40) < confident).float())


@pytest.mark.parametrize("unconfident", [0, 1, 3])
def test_pes_semi_takes_an_epoch_of_pes_where_nothing_is_to_guess(
    make_task, monkeypatch, unconfident
):
    task = make_task(batch_size=8)
    method = setup("pes_semi", task, epochs=300, networks=[Task.build_network(task)])
    y = task.noisy_labels
    predicted = torch.where(torch.arange(16) < unconfident, (y + 1) % 3, y)
    monkeypatch.setattr(type(method), "predicted", lambda self: predicted)
    enter(method, 100)
    batches = list(method.batches())
    assert all(isinstance(batch, Batch) for batch in batches)
    assert not set(range(unconfident)) & set(torch.cat([b.index for b in batches]).tolist())


def test_pes_semi_gives_the_authors_class_weights(make_task, monkeypatch):
    task = make_task(num_classes=4)
    task.noisy_labels = torch.tensor([0] * 4 + [1] + [3] * 3 + [2] * 8)
    method = setup("pes_semi", task, epochs=300, networks=[Task.build_network(task)])
    answers = torch.tensor([0] * 4 + [1] + [3] * 3 + [0] * 8)
    monkeypatch.setattr(type(method), "predicted", lambda self: answers)
    enter(method, 100)
    np.testing.assert_allclose(method.weights, [2 / 3, 8 / 3, 0, 8 / 9], rtol=1e-6)
    task.noisy_labels = torch.tensor([0] * 9 + [1] + [2] * 6)
    monkeypatch.setattr(type(method), "predicted", lambda self: task.noisy_labels.clamp(max=1))
    enter(method, 101)
    assert method.weights.tolist() == pytest.approx([5 / 9, 3, 0, 0]), "they are at most 3"


class Answers(torch.nn.Module):
    """Network that gives these logits in turn, whatever the input."""

    def __init__(self, *logits: list[list[float]]) -> None:
        super().__init__()
        self.answers = itertools.cycle([torch.tensor(rows) for rows in logits])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return next(self.answers)


def test_pes_semi_gives_the_authors_numbers(make_task, monkeypatch):
    """`MixMatch_train` of tmllab/2021_NeurIPS_PES, commit ec5290d.

    Both sides' losses, on the same logits for either view of a sample, without a partner.
    """
    weak = [[2.0, 0, 0, -1], [0, 1, -1, 0], [1, 1.5, 0, 0.5]]
    strong = [[1.0, 0, 0, 0], [0, 2, 0, -1], [0.5, 0.5, 1, 0]]
    task = make_task(num_classes=4)
    # The two views that are guessed from; the mixed batch of both sides' views.
    net = Answers(weak, strong, weak * 4)
    method = setup("pes_semi", task, {"pes_semi.unlabelled_weight": 10.0}, 300, [net])
    method.epoch = 25
    method.weights = torch.tensor([2 / 3, 8 / 3, 0, 8 / 9])
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: 1.0)
    images = (torch.zeros(3, 1, 8, 8),) * 2
    labelled = Batch(images, torch.arange(3), torch.arange(3))
    unlabelled = Batch(images, torch.arange(3), torch.arange(3, 6))
    losses = [method.loss(Division(0, labelled, unlabelled, ramp)).item() for ramp in (0.0, 0.5)]
    assert losses[0] == pytest.approx(0.618683, abs=1e-6)
    assert losses[1] == pytest.approx(0.618683 + 0.5 * 10 * 0.019594, abs=5e-6)
    targets = method.soft_targets()
    assert torch.equal(targets[:3], torch.eye(4)[:3])
    p = (torch.tensor(weak).softmax(1) + torch.tensor(strong).softmax(1)) / 2
    torch.testing.assert_close(targets[3:6], p**2 / (p**2).sum(1, keepdim=True))


@pytest.mark.parametrize(("epoch", "alpha"), [(149, 4.0), (150, 0.75)])
def test_pes_semis_mixing_changes_at_half_the_run(make_task, monkeypatch, epoch, alpha):
    task = make_task()
    method = setup("pes_semi", task, epochs=300, networks=[Task.build_network(task)])
    drawn = []
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: drawn.append(alpha) or 0.3)
    enter(method, epoch)
    both = [task.batch(torch.tensor(index), (task.augment,) * 2) for index in ([0, 1], [2, 3])]
    method.loss(Division(0, *both, 1.0))
    assert drawn == [alpha]


# ----------------------------------------------------------------------------
# unicon


def test_unicons_divergence_gives_the_authors_numbers():
    """nazmul-karim170/UNICON-Noisy-Label, commit 616dc49: Jensen_Shannon, to 1e-10."""
    theirs = [
        0.371928589,
        0.305865361,
        0.302042042,
        0.134822132,
        0.0766418229,
        0.245874766,
        0.380638838,
        0.0790171781,
    ]
    divergence = jensen_shannon(torch.tensor(P), torch.tensor(LABELS))
    np.testing.assert_allclose(divergence, theirs, atol=1e-8)
    certain = jensen_shannon(torch.eye(3), torch.tensor([0, 0, 2]))
    np.testing.assert_allclose(certain, [0, np.log(2), 0], atol=1e-6)


def test_unicon_takes_as_many_of_each_class():
    distance = torch.tensor([0.5, 0.1, 0.3, 0.2, 0.6, 0.4, 0.7, 0.05])
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    # 6 of 8 samples for 3 classes: two of each; of the last class there is but one.
    assert uniform_selection(distance, y, 0.75, 3).tolist() == [
        False,
        True,
        False,
        True,
        True,
        True,
        False,
        True,
    ]
    assert not uniform_selection(distance, y, 0.3, 3).any()
    assert uniform_selection(distance, y.clamp(max=1), 0.75, 3).sum() == 4, (
        "a class without samples gives none"
    )


def test_unicons_batches_and_loss(make_task, monkeypatch):
    task = make_task(num=24, batch_size=4)
    nets = [Task.build_network(task) for _ in range(2)]
    method = setup("unicon", task, epochs=350, networks=nets)
    monkeypatch.setattr(type(method), "divergences", lambda self: torch.linspace(0.0, 0.69, 24))
    enter(method, 9)
    assert not any(isinstance(batch, Division) for batch in method.batches())
    enter(method, 14)
    chosen = uniform_selection(torch.linspace(0.0, 0.69, 24), task.noisy_labels, 0.5, 3)
    students = []
    for step in method.batches():
        students.append(step.student)
        assert [net.training for net in nets] == [step.student == 0, step.student == 1]
        assert chosen[step.labelled.index].all()
        assert not chosen[step.unlabelled.index].any()
        assert len(step.labelled.views) == len(step.unlabelled.views) == 4
        assert 4 / 16 <= step.ramp <= 5 / 16
        method.zero_grad()
        loss = method.loss(step)
        loss.backward()
        assert torch.isfinite(loss)
        assert [net.head.weight.grad is not None for net in nets] == [
            step.student == 0,
            step.student == 1,
        ]
        assert [p[0].weight.grad is not None for p in method.projections] == [
            step.student == 0,
            step.student == 1,
        ]
    assert students == sorted(students) and set(students) == {0, 1}
    torch.testing.assert_close(method.weight[:17], torch.ones(17))  # divergences below a half
    torch.testing.assert_close(method.weight[18:], 1 - torch.linspace(0.0, 0.69, 24)[18:])
    assert torch.equal(method.clean_probability() > 0.5, chosen)


def test_unicons_clean_probability_is_its_selection(make_task, monkeypatch):
    """Selected samples lie above a half; on either side the order is the divergences'.

    It is the mean over both networks.
    """
    distance = torch.tensor([0.0, 0.69, 0.3, 0.31, 0.0, 0.5])
    chosen = torch.tensor([True, True, True, False, False, False])
    trusted = trust(distance, chosen)
    np.testing.assert_allclose(trusted, [1, 0.8275, 0.925, 0.1725, 0.25, 0.125], atol=1e-6)

    task = make_task(num=24, batch_size=4)
    method = setup(
        "unicon", task, epochs=350, networks=[Task.build_network(task) for _ in range(2)]
    )
    assert (method.clean_probability() == 1).all(), "in warm-up nothing is selected"
    of_each = iter([torch.linspace(0.0, 0.69, 24), torch.linspace(0.69, 0.0, 24)])
    monkeypatch.setattr(type(method), "divergences", lambda self: next(of_each))
    enter(method, 14)
    given: list[set[int]] = [set(), set()]
    for step in method.batches():
        given[step.student] |= set(step.labelled.index.tolist())
    clean = method.clean_probability()
    both, neither = given[0] & given[1], set(range(24)) - (given[0] | given[1])
    assert given[0] != given[1] and neither
    assert {i for i in range(24) if clean[i] > 0.75} == both
    assert {i for i in range(24) if clean[i] < 0.25} == neither


@pytest.mark.parametrize("distances", [torch.zeros(16), torch.full((16,), 0.69)])
def test_unicon_takes_a_plain_epoch_where_nothing_is_divided(make_task, monkeypatch, distances):
    task = make_task()
    method = setup(
        "unicon", task, epochs=350, networks=[Task.build_network(task) for _ in range(2)]
    )
    monkeypatch.setattr(type(method), "divergences", lambda self: distances)
    enter(method, 14)
    for step in method.batches():
        assert isinstance(step, PlainStep)
        assert torch.isfinite(method.loss(step))
    assert (method.clean_probability() > 0.5).all(), "it learns from every label"


# ----------------------------------------------------------------------------
# prune

GIVEN = torch.tensor([2, 2, 0, 2, 1, 1, 1, 0, 2, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 2])
PREDICTED = torch.tensor(
    [
        [0.55, 0.35, 0.1],
        [0.21, 0.05, 0.74],
        [0.83, 0.02, 0.15],
        [0.16, 0.55, 0.29],
        [0.49, 0.35, 0.16],
        [0.02, 0.9, 0.08],
        [0.51, 0.38, 0.11],
        [0.88, 0.05, 0.07],
        [0.39, 0.07, 0.54],
        [0.63, 0.27, 0.1],
        [0.62, 0.2, 0.18],
        [0.04, 0.94, 0.02],
        [0.07, 0.3, 0.63],
        [0.26, 0.62, 0.12],
        [0.92, 0.05, 0.03],
        [0.89, 0.03, 0.08],
        [0.74, 0.11, 0.15],
        [0.95, 0.03, 0.02],
        [0.32, 0.37, 0.31],
        [0.28, 0.13, 0.59],
    ]
).double()


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        ("prune_by_noise_rate", [3, 4, 11, 12, 13]),
        ("prune_by_class", [0, 4, 11, 12, 13]),
        ("both", [4, 11, 12, 13]),
        ("confident_learning", [3, 11, 12, 13]),
    ],
)
def test_the_flagged_labels_are_cleanlabs(rule, theirs):
    """cleanlab/cleanlab, commit 7506257: find_label_issues on these numbers.

    Any installed version should agree.
    """
    assert label_issues(GIVEN, PREDICTED, rule).nonzero()[:, 0].tolist() == theirs


@pytest.mark.parametrize(
    "rule", ["prune_by_noise_rate", "prune_by_class", "both", "confident_learning"]
)
def test_degenerate_predictions_and_absent_classes_are_survived(rule):
    y = torch.tensor([0, 0, 0, 1])
    for p in (torch.full((4, 4), 0.25), torch.eye(4)[[1, 1, 1, 0]], torch.eye(4)[[2, 2, 2, 3]]):
        flagged = label_issues(y, p, rule)
        assert flagged.shape == (4,)
        assert rule == "confident_learning" or (not flagged[3] and flagged.sum() < 3), (
            "one of each class stays"
        )


def test_prune_cross_validates_then_trains_a_new_network_on_the_rest(make_task):
    task = make_task()
    method = setup("prune", task, {"prune.folds": 3}, epochs=10)
    enter(method, 0)
    assert method.stage == 0
    for student in range(3):
        indices = torch.cat(
            [step.batch.index for step in method.batches() if step.student == student]
        )
        assert sorted(indices.tolist()) == (method.fold != student).nonzero()[:, 0].tolist()
    sizes = method.fold.bincount()
    assert sizes.max() - sizes.min() <= 1
    x = task.batch(torch.arange(16)).x
    expected = torch.stack(
        [method.networks[int(f)](x[i : i + 1]).softmax(1)[0] for i, f in enumerate(method.fold)]
    )
    torch.testing.assert_close(method.out_of_sample(), expected)
    folds = torch.stack([net(x).softmax(1) for net in method.networks[:3]]).mean(0)
    torch.testing.assert_close(method.predict(x), folds)

    enter(method, 5)
    assert method.stage == 1
    torch.testing.assert_close(
        method.clean,
        ~label_issues(task.noisy_labels, method.out_of_sample(), "prune_by_noise_rate"),
    )
    assert {id(p) for p in method.param_groups()[0]["params"]} == {
        id(p) for p in method.networks[3].parameters()
    }
    steps = list(method.batches())
    assert {step.student for step in steps} == {3}
    assert sorted(steps[0].batch.index.tolist()) == method.clean.nonzero()[:, 0].tolist()
    before, after = (
        task.noisy_labels.bincount(minlength=3),
        task.noisy_labels[method.clean].bincount(minlength=3),
    )
    torch.testing.assert_close(method.weights, before / after)
    torch.testing.assert_close(method.predict(x), method.networks[3](x).softmax(1))
    assert list(method.predictors()) == [method.networks[3]]
    rates = [method.schedule(epoch / 10) for epoch in range(10)]
    assert rates[:5] == pytest.approx(rates[5:])
    assert rates[0] == 1
