"""Losses, targets, selection rules and transition matrices of the loss-based methods.

They are compared with numbers made by hand and numbers that the authors' code gives for the same
inputs. That code was run outside this repository, on the commits named below; none of it is here.
Where a method differs from it on purpose, the test says so.
"""

import math

import numpy as np
import pytest
import torch
from fabricate import timeless
from method_setup import Flat, Given, enter, given_batch, one_hot, setup, softmax
from method_specs import spec_of
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.datasets import load_dataset
from bench.errors import InputError
from bench.method import Method
from bench.planning.registry import build
from bench.recipe import Recipe
from bench.records.schema import Epoch
from bench.task import Batch
from bench.training.checkpoint import Checkpoint
from bench.training.trial import run_trial
from methods import forward, selc

LOGITS = [[2.1, -0.4, -3.3], [0.2, 0.9, -0.5], [-6.2, 5.1, 1.4], [3.8, -1.7, 0.6], [-0.3, 0.8, 0.1]]
Y = [0, 2, 1, 1, 0]
P = softmax(np.array(LOGITS))
GIVEN = one_hot(np.array(Y))
LOG_P = np.log(P)
CROSS_ENTROPY = -(GIVEN * LOG_P).sum(1)

#: The gradient of the mean cross-entropy, from the authors' code of SELC before its turning point.
CE_GRADIENT = [
    [-0.01594, 0.015109, 0.000831],
    [0.056975, 0.114733, -0.171707],
    [2e-06, -0.004828, 0.004825],
    [0.191415, -0.199218, 0.007803],
    [-0.16361, 0.109322, 0.054288],
]


def at(
    name: str, task, settings: dict | None = None, epochs: int = 120, epoch: int = 0, logits=LOGITS
) -> tuple[Method, Given]:
    """The method, in that epoch, on a network that answers with these logits."""
    net = Given(logits)
    method = setup(
        name,
        task,
        {f"{name}.{key}": value for key, value in (settings or {}).items()},
        epochs,
        [net],
    )
    method.epoch = epoch
    if name != "forward":  # which starts the network anew
        enter(method, epoch)
    return method, net


def gradient(method: Method, net: Given, y: list[int] = Y) -> tuple[float, Tensor]:
    loss = method.loss(given_batch(y))
    net.logits.grad = None
    loss.backward()
    return loss.item(), net.logits.grad


def agrees(method: Method, net: Given, loss: float, expected: list[list[float]]) -> None:
    value, grad = gradient(method, net)
    assert value == pytest.approx(loss, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(grad, expected, atol=1.1e-6)


# ----------------------------------------------------------------------------
# label_smoothing, bootstrap


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_label_smoothing(make_task, smoothing):
    method, net = at("label_smoothing", make_task(), {"smoothing": smoothing})
    targets = (1 - smoothing) * GIVEN + smoothing / 3
    loss, grad = gradient(method, net)
    assert loss == pytest.approx(-(targets * LOG_P).sum(1).mean(), rel=1e-5)
    np.testing.assert_allclose(grad, (P - targets) / 5, atol=1e-6)


def test_smoothed_labels_sum_to_1_unlike_those_of_a_known_port(make_task):
    """`lsr` of YisenWang/symmetric_cross_entropy_for_noisy_labels, commit ec778df.

    It has 10 classes in mind: it gives the label 1 - smoothing and every other class
    smoothing / 10; its loss here is 1.736241.
    """
    method, net = at("label_smoothing", make_task())
    theirs = 0.9 * CROSS_ENTROPY + 0.01 * (-LOG_P.sum(1) - CROSS_ENTROPY)
    assert theirs.mean() == pytest.approx(1.736241, abs=1e-6)
    assert gradient(method, net)[0] > theirs.mean() + 0.05


@pytest.mark.parametrize(("smoothing", "theirs"), [(0.1, 1.9388854), (0.6, 2.3222187)])
def test_label_smoothing_gives_a_comparisons_numbers(make_task, smoothing, theirs):
    """`loss_gls` of UCSC-REAL/negative-label-smoothing, commit 05078f6.

    With wa = 0 and wb = 1 it is plain smoothing.
    """
    method, net = at("label_smoothing", make_task(), {"smoothing": smoothing})
    assert gradient(method, net)[0] == pytest.approx(theirs, rel=1e-6)


def test_bootstrap(make_task):
    """`boot_hard` and `boot_soft` of the same port.

    The latter is also in giorgiop/loss-correction, commit 15a79de.
    """
    hard, net = at("bootstrap", make_task())
    loss, grad = gradient(hard, net)
    assert loss == pytest.approx(1.542219, rel=1e-5)
    targets = 0.8 * GIVEN + 0.2 * one_hot(P.argmax(1))
    np.testing.assert_allclose(grad, (P - targets) / 5, atol=1e-6)
    np.testing.assert_allclose(hard.soft_targets()[:5], targets, atol=1e-6)
    assert torch.equal(hard.soft_targets()[5:], F.one_hot(hard.task.noisy_labels, 3)[5:].float()), (
        "not seen yet"
    )

    soft, net = at("bootstrap", make_task(), {"kind": "soft"})
    loss, grad = gradient(soft, net)
    assert loss == pytest.approx(1.794565, rel=1e-5)
    entropy = -(P * LOG_P).sum(1, keepdims=True)
    entropy_gradient = -P * (
        LOG_P + entropy
    )  # the gradient of the entropy: the target is no constant
    np.testing.assert_allclose(grad, (0.95 * (P - GIVEN) + 0.05 * entropy_gradient) / 5, atol=1e-6)
    np.testing.assert_allclose(soft.soft_targets()[:5], 0.95 * GIVEN + 0.05 * P, atol=1e-6)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_bootstrap_with_beta_1_is_cross_entropy(make_task, kind):
    method, net = at("bootstrap", make_task(), {"kind": kind, "beta": 1.0})
    agrees(method, net, CROSS_ENTROPY.mean(), CE_GRADIENT)


# ----------------------------------------------------------------------------
# sce, apl


def test_sce_by_hand(make_task):
    method, net = at("sce", make_task(), {"alpha": 0.3, "beta": 2.0})
    reverse = -math.log(1e-4) * (1 - (P * GIVEN).sum(1))
    assert math.log(1e-4) == pytest.approx(-9.21034, abs=1e-5)
    assert gradient(method, net)[0] == pytest.approx(
        (0.3 * CROSS_ENTROPY + 2 * reverse).mean(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("alpha", "beta", "loss", "grad"),
    [
        (
            0.1,
            1.0,
            5.3007474,
            [
                [-0.136705, 0.129575, 0.00713],
                [0.079931, 0.160962, -0.240893],
                [2.2e-05, -0.043875, 0.043853],
                [0.026037, -0.027099, 0.001061],
                [-0.290543, 0.194137, 0.096406],
            ],
        ),
        (
            6.0,
            0.1,
            11.6847658,
            [
                [-0.109151, 0.103458, 0.005693],
                [0.349271, 0.703345, -1.052616],
                [1.7e-05, -0.033306, 0.033289],
                [1.149181, -1.196024, 0.046843],
                [-1.009077, 0.674253, 0.334824],
            ],
        ),
    ],
)
def test_sce_agrees_with_the_authors(make_task, alpha, beta, loss, grad):
    """`SCELoss` of HanxunH/SCELoss-Reproduce, commit c81fb33, which the authors' README names.

    The loss at 0.1 and 1 is also that of their Keras code,
    YisenWang/symmetric_cross_entropy_for_noisy_labels, commit ec778df.
    """
    agrees(*at("sce", make_task(), {"alpha": alpha, "beta": beta}), loss, grad)


@pytest.mark.parametrize(
    ("epoch", "loss", "grad"),
    [
        (
            39,
            0.7128787,
            [
                [-0.01504, 0.014255, 0.000784],
                [0.014492, 0.029184, -0.043676],
                [2e-06, -0.004746, 0.004744],
                [0.00395, -0.004111, 0.000161],
                [-0.049634, 0.033165, 0.016469],
            ],
        ),
        (
            40,
            0.0209828,
            [
                [-0.01504, 0.014255, 0.000784],
                [0.0] * 3,
                [2e-06, -0.004746, 0.004744],
                [0.0] * 3,
                [0.0] * 3,
            ],
        ),
    ],
)
def test_truncated_gce_agrees_with_a_port(make_task, epoch, loss, grad):
    """`TruncatedLoss` of AlanChou/Truncated-Loss, commit fef5908, around `update_weight`.

    The constant that it subtracts for each clean sample is left out.
    """
    agrees(*at("gce", make_task(), {"truncated": True}, epoch=epoch), loss, grad)


#: `NCEandRCE` and its like of HanxunH/Active-Passive-Losses, commit 04bce53, with alpha 10 and beta
#: 0.1.
APL = {
    ("nce", "rce"): (
        3.7723579,
        [
            [-0.037476, 0.033281, 0.004195],
            [0.198735, 0.120791, -0.319525],
            [0.000219, -0.007957, 0.007738],
            [-0.048577, -0.085804, 0.134381],
            [-0.361744, 0.153847, 0.207897],
        ],
    ),
    ("nce", "mae"): (
        3.3164356,
        [
            [-0.025432, 0.021865, 0.003567],
            [0.192117, 0.107465, -0.299582],
            [0.000217, -0.004089, 0.003872],
            [-0.049191, -0.085164, 0.134355],
            [-0.337302, 0.137516, 0.199787],
        ],
    ),
    ("nfl", "rce"): (
        3.9132566,
        [
            [-0.020463, 0.018736, 0.001727],
            [0.22406, 0.087996, -0.312056],
            [3.6e-05, -0.004904, 0.004868],
            [-0.054409, -0.084742, 0.139151],
            [-0.35884, 0.125644, 0.233196],
        ],
    ),
    ("nfl", "mae"): (
        3.4573343,
        [
            [-0.008419, 0.00732, 0.001099],
            [0.217443, 0.07467, -0.292113],
            [3.4e-05, -0.001036, 0.001002],
            [-0.055024, -0.084102, 0.139126],
            [-0.334398, 0.109313, 0.225086],
        ],
    ),
}


@pytest.mark.parametrize(("active", "passive"), APL)
def test_apl_agrees_with_the_authors(make_task, active, passive):
    settings = {"active": active, "passive": passive, "alpha": 10.0, "beta": 0.1}
    agrees(*at("apl", make_task(), settings), *APL[active, passive])


def test_apl_by_hand(make_task):
    """Equal logits: every class has the same share of the sum, and a probability of a third."""
    for active in ("nce", "nfl"):
        method, net = at("apl", make_task(), {"active": active}, logits=[[0.5] * 3] * 2)
        assert gradient(method, net, [0, 2])[0] == pytest.approx(1 / 3 + 9.21034 * 2 / 3, rel=1e-5)


# ----------------------------------------------------------------------------
# forward, volminnet

T = [[0.632, 0.275, 0.093], [0.1, 0.743, 0.157], [0.232, 0.003, 0.765]]


def corrected(p: np.ndarray, transition: np.ndarray, y: list[int]) -> float:
    return float(-np.log((p @ transition)[np.arange(len(y)), y]).mean())


def test_the_loss_behind_a_transition_matrix():
    """`robust("forward", T)` of giorgiop/loss-correction, commit 15a79de, gives 1.0246328 too.

    They clip p at 1e-7.
    """
    loss = ops.corrected_cross_entropy(torch.tensor(LOGITS), torch.tensor(T), torch.tensor(Y))
    assert loss.item() == pytest.approx(corrected(P, np.array(T), Y), rel=1e-5)
    assert loss.item() == pytest.approx(1.0246328, rel=1e-5)
    by_hand = np.array([[0.25, 0.75]]), np.array([[0.8, 0.2], [0.4, 0.6]])
    loss = ops.corrected_cross_entropy(
        torch.tensor([[0.0, math.log(3)]]), torch.tensor(by_hand[1]).float(), torch.tensor([0])
    )
    assert loss.item() == pytest.approx(-math.log(0.25 * 0.8 + 0.75 * 0.4), rel=1e-5)


def test_the_loss_behind_a_transition_matrix_is_finite_where_a_product_underflows():
    logits = torch.tensor([[300.0, -300.0], [-300.0, 300.0]], requires_grad=True)
    transition = torch.tensor([[1.0, 0.0], [1e-30, 1.0]], requires_grad=True)
    loss = ops.corrected_cross_entropy(logits, transition, torch.tensor([1, 0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert torch.isfinite(transition.grad).all()


ETA = [
    [0.2, -0.2, 1.0],
    [0.2, -0.8, 0.5],
    [2.0, 1.4, -1.1],
    [-1.9, -0.9, 0.1],
    [-3.5, -0.3, -1.9],
    [-1.1, -0.8, -0.5],
]
ETA += [
    [0.6, 1.6, -0.2],
    [2.0, -1.0, 0.5],
    [1.4, 0.1, -1.1],
    [-1.4, -0.7, 0.3],
    [-1.5, -0.3, -0.2],
    [0.8, 0.3, 0.5],
]


@pytest.mark.parametrize(
    ("percentile", "expected"),
    [
        (
            97,
            [
                [0.738216, 0.201187, 0.060596],
                [0.239946, 0.65224, 0.107815],
                [0.117818, 0.237255, 0.644927],
            ],
        ),
        (
            100,
            [
                [0.785597, 0.039113, 0.17529],
                [0.032802, 0.804726, 0.162471],
                [0.090031, 0.244728, 0.665241],
            ],
        ),
    ],
)
def test_forward_estimates_the_matrix_as_the_authors_do(percentile, expected):
    """`NoiseEstimator` of giorgiop/loss-correction, commit 15a79de, with and without its filter."""
    transition = forward.estimate_transition(torch.tensor(ETA).softmax(1), percentile)
    np.testing.assert_allclose(transition, expected, atol=1e-6)


def test_forward_reads_every_row_from_the_predictions_as_they_are():
    """The same estimator zeroes the top of class 0 before it comes to class 1.

    It then has (0, 0.9, 0.1) for the row of class 1.
    """
    p = [
        [0.50, 0.45, 0.05],
        [0.10, 0.80, 0.10],
        [0.30, 0.20, 0.50],
        [0.20, 0.10, 0.70],
        [0.15, 0.25, 0.60],
        [0.25, 0.05, 0.70],
    ]
    transition = forward.estimate_transition(torch.tensor(p), 97)
    np.testing.assert_allclose(transition, [p[2], p[0], p[4]])


def test_forwards_percentile_counts_from_the_top():
    """The 97th percentile of 101 samples is the 98th smallest; the sample below it is taken."""
    first = torch.arange(101) / 200
    p = torch.stack([first, 1 - first], 1)
    transition = forward.estimate_transition(p, 97)
    np.testing.assert_allclose(transition, [p[96], p[4]])


def test_forward_keeps_the_matrix_of_the_epoch_with_the_lowest_held_out_loss(
    make_task, monkeypatch
):
    method = setup("forward", make_task(100), {"forward.held_out": 0.2})
    assert method.held_out.sum() == 20
    trained = torch.cat([batch.index for batch in method.batches()])
    assert sorted(trained.tolist()) == (~method.held_out).nonzero()[:, 0].tolist(), (
        "the held-out samples are not trained on"
    )
    y, generator = method.task.noisy_labels, torch.Generator().manual_seed(0)
    answers, matrices = {}, {}
    for epoch, sharpness in enumerate([1.0, 3.0, 0.2, 2.9]):
        logits = torch.randn(100, 3, generator=generator)
        # the sharper, the lower its loss
        logits[method.held_out] = sharpness * torch.eye(3)[y[method.held_out]]
        answers[epoch] = logits
        monkeypatch.setattr(ops, "per_sample", lambda m, net, score: answers[m.epoch])
        enter(method, epoch)
        method.epoch_end()
        matrices[epoch] = method.transition.clone()
    assert torch.equal(matrices[0], forward.estimate_transition(answers[0].softmax(1), 97))
    assert torch.equal(matrices[1], forward.estimate_transition(answers[1].softmax(1), 97))
    assert torch.equal(matrices[3], matrices[1])
    assert not torch.equal(matrices[1], matrices[0])


def test_forward_trains_a_new_network_through_the_matrix(make_task):
    task = make_task()
    method = setup("forward", task, epochs=240)
    before = method.networks[0].head.weight.clone()
    assert [method.stage for method.epoch in (0, 119, 120, 239)] == [False, False, True, True]
    enter(method, 119)
    assert torch.equal(method.networks[0].head.weight, before)
    enter(method, 120)
    assert not torch.equal(method.networks[0].head.weight, before)
    assert len(next(method.batches()).y) == 16, "all samples, those held out before among them"
    method.networks[0] = Given(LOGITS)
    method.transition.copy_(torch.tensor(T))
    assert method.loss(given_batch(Y)).item() == pytest.approx(1.0246328, rel=1e-5)
    method.epoch = 119
    assert method.loss(given_batch(Y)).item() == pytest.approx(CROSS_ENTROPY.mean(), rel=1e-5)


def test_both_of_forwards_trainings_have_the_whole_schedule(make_task):
    method = setup("forward", make_task(), epochs=240)
    method.recipe = Recipe("tiny_cnn", 240, schedule="step", milestones=(1 / 3, 2 / 3))
    factors = [method.schedule(epoch / 240) for epoch in range(240)]
    once = [1.0] * 40 + [0.1] * 40 + [0.01] * 40
    assert factors == pytest.approx(once * 2)


W = [[-3.06, -4.04, -3.1], [-1.18, -3.46, -2.45], [0.11, -1.15, -0.21]]


def test_volminnet_agrees_with_the_authors(make_task):
    """`sig_t` and the loss of the authors' main.py, commit 06e4167.

    xuefeng-li1/Provably-end-to-end-label-noise-learning-without-anchor-points
    """
    method, net = at("volminnet", make_task(), epochs=80)
    with torch.no_grad():
        method.w.copy_(torch.tensor(W))
    expected = [
        [0.94304, 0.016308, 0.040652],
        [0.178816, 0.760751, 0.060433],
        [0.298351, 0.136026, 0.565623],
    ]
    np.testing.assert_allclose(method.transition_matrix().detach(), expected, atol=1e-6)
    grad = [
        [-0.012598, 0.012048, 0.00055],
        [0.038631, 0.059819, -0.09845],
        [2e-06, -0.003947, 0.003945],
        [0.060751, -0.024128, -0.036623],
        [-0.061572, 0.053519, 0.008053],
    ]
    agrees(method, net, 1.4540873, grad)
    grad_w = [[0.0, -0.121297, -0.000302], [0.001165, 0.0, -0.031766], [0.008818, -0.011841, 0.0]]
    np.testing.assert_allclose(method.w.grad, grad_w, atol=1.1e-6)


def test_volminnet_starts_as_the_authors_do_and_weighs_the_volume(make_task):
    method, net = at("volminnet", make_task(), {"init": 4.5})
    off = 1 / (1 + math.exp(4.5))
    np.testing.assert_allclose(
        method.transition_matrix().detach(),
        (np.eye(3) * (1 - off) + off) / (1 + 2 * off),
        atol=1e-6,
    )
    assert gradient(method, net)[0] == pytest.approx(1.5942552, rel=1e-5)  # theirs
    heavy, net = at("volminnet", make_task(), {"init": 4.5, "weight": 1.0})
    volume = math.log(np.linalg.det(heavy.transition_matrix().detach().double().numpy()))
    assert gradient(heavy, net)[0] == pytest.approx(1.5942552 + (1 - 1e-4) * volume, rel=1e-4)


def test_volminnets_matrix_learns_without_weight_decay(make_task):
    method, _ = at("volminnet", make_task())
    optimizer = method.optimizer(method.param_groups())
    networks, matrix = optimizer.param_groups
    assert matrix["params"] == [method.w]
    assert matrix["weight_decay"] == 0 < networks["weight_decay"]
    assert matrix["lr"] == networks["lr"]


# ----------------------------------------------------------------------------
# cores2

#: `loss_cores` of UCSC-REAL/cores, commit cf0945e, with the noisy prior 0.2, 0.3, 0.5, by epoch:
#: loss, kept samples, gradient.
CORES = {
    5: (1.8622186, [1, 1, 1, 1, 1], CE_GRADIENT),
    10: (1.8622186, [1, 1, 1, 1, 1], CE_GRADIENT),
    20: (
        -0.0041158,
        [1, 1, 1, 1, 1],
        [
            [-0.115292, 0.046068, 0.069223],
            [0.045268, 0.076986, -0.122254],
            [0.027564, -0.098028, 0.070464],
            [0.086991, -0.158378, 0.071387],
            [-0.16112, 0.075307, 0.085813],
        ],
    ),
    35: (
        -6.5560155,
        [1, 0, 1, 0, 0],
        [
            [-0.660797, 0.231269, 0.429528],
            [0.0] * 3,
            [0.172267, -0.594569, 0.422302],
            [0.0] * 3,
            [0.0] * 3,
        ],
    ),
    60: (
        -7.6135774,
        [1, 0, 1, 0, 0],
        [
            [-0.760149, 0.262229, 0.497921],
            [0.0] * 3,
            [0.199828, -0.687769, 0.48794],
            [0.0] * 3,
            [0.0] * 3,
        ],
    ),
}


@pytest.mark.parametrize("epoch", CORES)
def test_cores2_agrees_with_the_authors(make_task, epoch):
    method, net = at("cores2", make_task(), epochs=100, epoch=epoch)
    method.prior.copy_(torch.tensor([0.2, 0.3, 0.5]))
    loss, clean, grad = CORES[epoch]
    agrees(method, net, loss, grad)
    assert method.clean[:5].tolist() == clean
    assert method.clean_probability()[5:].all()


def test_cores2s_ramp_and_learning_rate(make_task):
    """beta and learning rate of `f_beta` and `adjust_learning_rate` of the same commit."""
    method, _ = at("cores2", make_task(), epochs=100)
    assert [method.beta(epoch) for epoch in (0, 10, 11, 20, 35, 39, 40, 99)] == pytest.approx(
        [0, 0, 2 / 29, 20 / 29, 50 / 29, 2, 2, 2]
    )
    method.recipe = Recipe("tiny_cnn", 100, schedule="step", milestones=(0.5,))
    assert [method.schedule(epoch / 100) for epoch in (0, 20, 49, 50)] == pytest.approx(
        [1, 1 / (1 + 20 / 29), 1 / 3, 0.1 / 3]
    )


def test_cores2s_sieve_starts_in_epoch_31(make_task):
    method, _ = at("cores2", make_task(), epochs=100, epoch=30)
    method.loss(given_batch(Y))
    assert method.clean.all()
    method.epoch = 31
    method.loss(given_batch(Y))
    assert method.clean.sum() == 13


def test_cores2s_prior_counts_the_labels_of_what_is_kept(make_task):
    method, _ = at("cores2", make_task(), epochs=100)
    counts = np.bincount(method.task.noisy_labels, minlength=3)
    np.testing.assert_allclose(method.prior, counts / 16, atol=1e-6)
    out = (method.task.noisy_labels == 1).nonzero()[:, 0][:2]
    method.clean[out] = 0
    method.epoch_end()
    np.testing.assert_allclose(method.prior, (counts - [0, 2, 0]) / 14, atol=1e-6)
    method.clean.zero_()
    method.epoch_end()
    assert torch.isfinite(method.prior).all()


def test_a_batch_of_which_cores2_keeps_nothing_trains_nothing(make_task):
    method, net = at("cores2", make_task(), epochs=100, epoch=50)
    wrong = [2, 2, 0, 1, 0]
    loss, grad = gradient(method, net, wrong)
    assert loss == 0
    assert not grad.any()


# ----------------------------------------------------------------------------
# sop

U = [[-0.68], [-0.93], [-0.32], [-0.96], [-0.56]]
V = [
    [0.99, -0.43, 0.21],
    [-0.63, 0.4, -0.89],
    [0.7, -0.18, -0.76],
    [0.62, 0.13, -0.15],
    [-0.62, 0.68, -0.32],
]


def sop(task, settings: dict | None = None, epoch: int = 0) -> tuple[Method, Given]:
    method, net = at("sop", task, settings, epoch=epoch)
    with torch.no_grad():
        method.u[:5], method.v[:5] = torch.tensor(U), torch.tensor(V)
    return method, net


def test_sop_agrees_with_the_authors(make_task):
    """`overparametrization_loss` of shengliu66/SOP, commit 4d991ce, without the terms of SOP+."""
    grad = [
        [-2e-06, 1e-06, 0.0],
        [-0.020682, 0.039143, -0.018461],
        [0.0, -1e-06, 1e-06],
        [0.000809, -0.000842, 3.3e-05],
        [-0.060072, 0.04014, 0.019933],
    ]
    agrees(*sop(make_task()), 0.8243915, grad)


@pytest.mark.parametrize("epoch", [0, 60, 110])
def test_sops_noise_descends_as_the_authors_does_whatever_the_schedule(make_task, epoch):
    """Three steps of SGD with rates 1 and 10 by the same commit, on constant predictions."""
    method, _ = sop(make_task(), {"rate_u": 1.0, "rate_v": 10.0}, epoch)
    optimizer = method.optimizer(method.param_groups())
    factor = method.schedule(epoch / 120)
    assert factor < 1 or epoch == 0
    for group in optimizer.param_groups:
        group["lr"] *= factor  # as the harness does
    optimizer.param_groups[0]["lr"] = 0.0
    untouched = method.u[5:].clone(), method.v[5:].clone()
    for _ in range(3):
        loss = method.update(given_batch(Y), optimizer)
    assert loss.item() == pytest.approx(0.6619171, rel=1e-5)
    np.testing.assert_allclose(
        method.u.detach()[:5, 0],
        [-0.336709, -1.138214, -0.257185, -1.181601, -1.020384],
        rtol=1e-4,
        atol=2e-6,
    )
    after = [[0.99, 0.115912, 0.103396], [1.370376, 3.088, -0.89], [-2.044, -0.18, 2.751808]]
    after += [[3.673376, 0.13, -0.098004], [-0.62, 3.604544, -0.054879]]
    np.testing.assert_allclose(method.v.detach()[:5], after, rtol=1e-4, atol=2e-6)
    assert torch.equal(method.u[5:], untouched[0])
    assert torch.equal(method.v[5:], untouched[1])


def test_sop_starts_near_0_where_it_is_cross_entropy_and_an_error_rate(make_task):
    method, net = at("sop", make_task())
    assert 0 < method.u.abs().max() < 1e-7
    assert 0 < method.v.abs().max() < 1e-7
    wrong = (P.argmax(1) != Y).mean()
    loss, grad = gradient(method, net)
    assert loss == pytest.approx(CROSS_ENTROPY.mean() + 2 * wrong, rel=1e-5)
    np.testing.assert_allclose(grad, CE_GRADIENT, atol=5e-6)  # probabilities below 1e-4 are cut


def test_sops_groups_and_privilege(make_task):
    for kind, rate in (("symmetric", 10), ("asymmetric", 100), ("asymmetric-block", 100)):
        method, _ = at("sop", make_task(facts={"noise_kind": kind}), {"rate_v": "oracle"})
        assert method.privileges == {"noise_kind"}
        assert [group["lr"] for group in method.param_groups()[1:]] == [10, rate]
    method, _ = at("sop", make_task())
    assert method.privileges == frozenset()
    optimizer = method.optimizer(method.param_groups())
    assert [group["params"] for group in optimizer.param_groups[1:]] == [[method.u], [method.v]]
    assert [(group["momentum"], group["weight_decay"]) for group in optimizer.param_groups] == [
        (0.9, 5e-4),
        (0, 0),
        (0, 0),
    ]


def test_sops_clean_probability_falls_with_u(make_task):
    method, _ = sop(make_task())
    expected = 1 - np.array(U)[:, 0] ** 2
    np.testing.assert_allclose(method.clean_probability()[:5], expected, rtol=1e-5)
    with torch.no_grad():
        method.u[0] = 3.0
    assert method.clean_probability()[0] == 0


# ----------------------------------------------------------------------------
# sop_plus

#: Logits of weak and of strong views of three samples of classes 0, 1 and 2 of four.
WEAK = [[2, 0, 0, -1], [0, 1, -1, 0], [1, 1.5, 0, 0.5]]
STRONG = [[1, 0, 0, 0], [0, 2, 0, -1], [0.5, 0.5, 1, 0]]


@pytest.mark.parametrize(
    ("balance", "consistency", "theirs"),
    [
        (0.0, 0.0, 1.029011),
        (0.1, 0.0, 1.225440),
        (0.0, 0.9, 1.227799),
        (0.1, 0.9, 1.424228),
    ],
)
def test_sop_plus_gives_the_authors_numbers(make_task, balance, consistency, theirs):
    """`overparametrization_loss` of shengliu66/SOP, commit 4d991ce, and its `consistency_loss`."""
    settings = {"balance_weight": balance, "consistency_weight": consistency}
    method, _ = at("sop_plus", make_task(num_classes=4), settings, logits=WEAK + STRONG)
    with torch.no_grad():
        method.u[:3] = torch.tensor([[0.1], [0.2], [0.5]])
        method.v[:3] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    images = torch.zeros(3, 1, 8, 8)
    loss = method.loss(Batch((images, images), torch.arange(3), torch.arange(3)))
    assert loss.item() == pytest.approx(theirs, abs=1e-6)


def test_sop_plus_learns_consistency_by_the_strong_views_alone(make_task):
    """The gradient of KL(p || s) by the logits of s is s - p; the weak views' is that of sop."""
    logits = [*WEAK, *STRONG]
    gradients = {}
    for name, weights in (("sop", {}), ("sop_plus", {"balance_weight": 0.0})):
        method, net = at(name, make_task(num_classes=4), weights, logits=logits)
        images = (torch.zeros(3, 1, 8, 8),) * (2 if name == "sop_plus" else 1)
        method.loss(Batch(images, torch.arange(3), torch.arange(3))).backward()
        gradients[name] = net.logits.grad
    expected = 0.9 * (softmax(np.array(STRONG)) - softmax(np.array(WEAK))) / 3
    np.testing.assert_allclose(gradients["sop_plus"][:3], gradients["sop"][:3], atol=1e-6)
    np.testing.assert_allclose(gradients["sop_plus"][3:], expected, atol=1e-6)


def test_sop_pluss_batches_hold_a_weak_and_a_strong_view(make_task):
    task = make_task(num=16, channels=3, batch_size=8)
    method = setup("sop_plus", task)
    for batch in method.batches():
        weak, strong = batch.views
        torch.testing.assert_close(weak, task.batch(batch.index).x)  # nothing is augmented
        # black, normalised, is -2: the square of cutout
        black = (strong == -2).all(1).flatten(1).sum(1)
        assert (black > (weak == -2).all(1).flatten(1).sum(1)).float().mean() > 0.8


# ----------------------------------------------------------------------------
# selc


def test_selc_agrees_with_the_authors(make_task):
    """`SELCLoss` of MacLLL/SELC, commit 69bcf1e, with a turning point of 10.

    The last epoch before it, then three iterations on logits that move on by a class each time.
    """
    method, net = at("selc", make_task(), {"turning_point": 10}, epochs=200, epoch=9)
    method.targets[:5] = torch.tensor(GIVEN).float()
    untouched = method.targets[5:].clone()
    agrees(method, net, 1.8622189, CE_GRADIENT)
    assert method.targets[:5].tolist() == GIVEN.tolist()
    enter(method, 10)
    for step, loss in enumerate([1.7269121, 3.4803555, 2.3520546]):
        method.networks[0] = net = Given(np.roll(LOGITS, step, 1).tolist())
        value, grad = gradient(method, net)
        assert value == pytest.approx(loss, rel=1e-5)
    last = [
        [-0.147186, -0.017041, 0.164227],
        [0.096098, 0.011042, -0.107141],
        [0.175221, -0.157266, -0.017954],
        [-0.015503, -0.156068, 0.171571],
        [-0.055244, 0.036729, 0.018515],
    ]
    np.testing.assert_allclose(grad, last, atol=1.1e-6)
    targets = [
        [0.8114727, 0.0893617, 0.0991656],
        [0.0931728, 0.0862517, 0.8205755],
        [0.0997585, 0.8104584, 0.089783],
        [0.0814254, 0.8193548, 0.0992197],
        [0.8228285, 0.0877949, 0.0893766],
    ]
    np.testing.assert_allclose(method.targets[:5], targets, atol=1e-6)
    assert torch.equal(method.targets[5:], untouched)
    assert method.soft_targets() is method.targets
    expected = method.targets[torch.arange(16), method.task.noisy_labels]
    assert torch.equal(method.clean_probability(), expected)


def test_the_distance_that_selc_watches():
    low, high = np.linspace(0, 0.2, 60), np.linspace(9, 10, 40)
    losses = torch.tensor(np.concatenate([low, high]))
    assert selc.separation(losses).item() == pytest.approx((9.5 - 0.1) / 10, abs=1e-3)
    assert selc.separation(3 * losses + 1).item() == pytest.approx((9.5 - 0.1) / 10, abs=1e-3)
    assert selc.separation(torch.full((9,), 2.0)).item() == 0
    shapes: list[str] = []
    assert selc.separation(losses, shapes) > 0
    assert selc.separation(torch.full((9,), 2.0), shapes) == 0
    assert selc.separation(torch.tensor([1.0, torch.nan, 3.0]), shapes) == 0
    assert shapes == ["two modes", "equal losses", "not finite"]


def test_selc_finds_the_turning_point_that_a_port_finds(make_task, monkeypatch):
    """`estimate_es_m1` of the port in methods/selc.py.

    It takes scikit-learn's GaussianMixture, seed 42, on min-max scaled losses. Its means are
    furthest apart in epoch 18, after which its patience of 12 ends, and it would turn after epoch
    8. Here 40 % of the losses stay high for 18 epochs, then fall at different rates. In the last
    third, where few are left high, EM of at most ten iterations finds other means (0.45 and not
    0.29 in epoch 60); no estimate rests on them.
    """
    i = torch.arange(60).double()
    spread = torch.sin(1.3 * i)

    def losses(epoch: int) -> Tensor:
        clean = 2.3 * math.exp(-epoch / 6) * (1 + 0.5 * spread)
        wrong = (2.6 + 0.3 * spread) * torch.exp(-max(epoch - 18, 0) * (i % 7) / 60)
        return torch.where(i % 5 < 2, wrong, clean)

    theirs = {10: 0.8997, 14: 0.9280, 17: 0.9391, 18: 0.9417, 19: 0.8981, 22: 0.7849, 27: 0.6416}
    distances = {epoch: selc.separation(losses(epoch)).item() for epoch in theirs}
    assert distances == pytest.approx(theirs, abs=5e-4)
    method = setup("selc", make_task(), epochs=200)
    monkeypatch.setattr(ops, "per_sample_loss", lambda m, net: losses(m.epoch + 1))  # epochs from 0
    for epoch in range(30):
        enter(method, epoch)
        method.epoch_end()
    assert method.peak == 17
    assert method.turned == 28, (
        "after ten epochs without a greater distance, with the weights of the eighteenth"
    )


def test_selc_goes_back_to_where_the_losses_were_furthest_apart(make_task, monkeypatch):
    method = setup("selc", make_task(), epochs=200)
    watched = []
    gaps = {8: 5.0, 9: 0.2, 10: 0.5, 11: 0.3, 15: 0.6} | {epoch: 0.1 for epoch in range(16, 60)}
    monkeypatch.setattr(
        ops, "per_sample_loss", lambda m, net: watched.append(m.epoch) or torch.zeros(16)
    )
    monkeypatch.setattr(
        selc, "separation", lambda losses, shapes: torch.tensor(gaps.get(method.epoch, 0.05))
    )
    for epoch in range(40):
        enter(method, epoch)
        assert method.correcting == (epoch >= 26)
        assert method.stage == (epoch >= 26), "a fresh optimiser for the weights gone back to"
        with torch.no_grad():
            method.networks[0].head.bias.fill_(epoch)
        method.epoch_end()
        if epoch == 25:
            assert (method.networks[0].head.bias == 15).all()
    assert watched == list(range(9, 26)), (
        "neither in the first ten epochs nor after the turning point"
    )
    assert (method.networks[0].head.bias == 39).all()


def test_selc_without_a_turning_point_is_cross_entropy_to_the_end(make_task, monkeypatch):
    method = setup("selc", make_task(), epochs=30)
    monkeypatch.setattr(
        selc, "separation", lambda losses, shapes: torch.tensor(float(method.epoch))
    )
    for epoch in range(30):
        enter(method, epoch)
        method.epoch_end()
        assert not method.correcting


def test_selc_resumes_to_the_bit_across_its_turning_point(monkeypatch, tmp_path):
    data = load_dataset("digits", subset=160)
    spec = spec_of("selc", data)
    # turns after two epochs
    monkeypatch.setattr(selc, "separation", lambda losses, shapes: torch.tensor(0.5))
    records: list[dict] = []
    resumed: list[dict] = []
    outcome = run_trial(
        spec, data, report=lambda epochs, restart: records.extend(map(Epoch.to_json, epochs))
    )

    class Killed(BaseException):
        pass

    def kill(epochs, restart):
        if epochs and epochs[-1].epoch == 2:
            raise Killed

    checkpoint = Checkpoint(tmp_path / "state.pt", every_seconds=0)
    with pytest.raises(Killed):
        run_trial(spec, data, report=kill, checkpoint=checkpoint)
    again = run_trial(
        spec,
        data,
        report=lambda epochs, restart: resumed.extend(map(Epoch.to_json, epochs)),
        checkpoint=checkpoint,
    )
    assert [timeless(record) for record in resumed] == [timeless(record) for record in records]
    targets = again.samples["soft_targets"]
    np.testing.assert_array_equal(targets, outcome.samples["soft_targets"])
    assert 0 < targets.min() < targets.max() < 1, "it corrected in the last epoch"


# ----------------------------------------------------------------------------
# all of them

#: Settings and epochs (of the method's own run) in which a method does something of its own.
CASES: list[tuple[str, dict, int]] = [
    ("label_smoothing", {}, 0),
    ("bootstrap", {}, 0),
    ("bootstrap", {"kind": "soft"}, 0),
    ("sce", {}, 0),
    *[("apl", {"active": active, "passive": passive}, 0) for active, passive in APL],
    ("forward", {}, 0),
    ("forward", {}, 200),
    ("volminnet", {}, 0),
    ("cores2", {}, 0),
    ("cores2", {}, 25),
    ("cores2", {}, 90),
    ("sop", {}, 0),
    ("selc", {"turning_point": 20}, 0),
    ("selc", {"turning_point": 20}, 30),
]


@pytest.mark.parametrize(("name", "settings", "epoch"), CASES)
@pytest.mark.parametrize("scale", [1.0, 20.0, 1000.0])
def test_loss_and_gradient_are_finite_where_the_network_is_certain(
    make_task, name, settings, epoch, scale
):
    """Right and wrong, up to float32 probabilities of exactly 0 and 1; each sample twice."""
    sure = [[scale, -scale, 0.0]] * 3 + [[0.0, 0.0, 0.0], [scale, scale, -scale]]
    length = build(name, {}).reference_epochs
    method, net = at(name, make_task(), settings, epochs=length, epoch=epoch, logits=sure)
    for _ in range(2):
        loss, _ = gradient(method, net, [0, 1, 2, 1, 2])
        assert math.isfinite(loss)
        gradients = [
            parameter.grad for parameter in method.parameters() if parameter.grad is not None
        ]
        assert gradients
        assert all(torch.isfinite(grad).all() for grad in gradients)


#: State of each sample, by its key.
STATE_OF_SAMPLES = {
    "bootstrap": {"targets"},
    "cores2": {"clean"},
    "forward": {"held_out"},
    "selc": {"targets"},
    "sop": {"u", "v"},
}


@pytest.mark.parametrize("name", STATE_OF_SAMPLES)
def test_state_of_samples_that_are_not_in_the_batch_stays(make_task, name):
    length = build(name, {}).reference_epochs
    method = setup(name, make_task(), epochs=length, networks=None)
    assert isinstance(method.networks[0], Flat)
    enter(method, length - 1)
    before = {
        key: value.clone()
        for key, value in method.state_dict().items()
        if len(value.shape) and len(value) == 16
    }
    assert set(before) == STATE_OF_SAMPLES[name]
    method.loss(method.task.batch(torch.tensor([3, 1, 7])))
    others = [i for i in range(16) if i not in (3, 1, 7)]
    for key, value in before.items():
        assert torch.equal(method.state_dict()[key][others], value[others]), key


WRONG = {
    "label_smoothing.smoothing": 1.0,
    "bootstrap.beta": 1.5,
    "sce.alpha": -1.0,
    "sce.clamp": 0.0,
    "apl.gamma": -0.5,
    "forward.warmup_epochs": 0,
    "forward.percentile": 101.0,
    "forward.held_out": 0.0,
    "volminnet.weight": -1.0,
    "cores2.ramp_epochs": 0,
    "sop.rate_v": 0.0,
    "sop_plus.rate_u": 0.0,
    "sop_plus.balance_weight": -0.1,
    "pes_semi.unlabelled_weight": -1.0,
    "pes_semi.temperature": 0.0,
    "pes_semi.whole_epochs": 0,
    "selc.momentum": 1.5,
    "selc.turning_point": 0,
    "selc.patience": 0,
}


@pytest.mark.parametrize("key", WRONG)
def test_settings_that_make_no_sense_are_refused_with_what_to_give(key):
    with pytest.raises(InputError, match=r"give (a|an|at least|numbers)\b"):
        build(key.partition(".")[0], {key: WRONG[key]})
