"""Losses and steps of each method, against its formula worked out anew with NumPy."""

import copy
import math

import numpy as np
import pytest
import torch
from method_setup import (
    Given,
    answer,
    cross_entropy,
    draws,
    enter,
    given_batch,
    numbers,
    one_hot,
    setup,
    softmax,
    whole_batch,
)
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.ops import Division, PlainStep
from bench.planning.pretraining import PretrainJob
from bench.planning.registry import build
from bench.recipe import SimSiam
from bench.task import Batch, Pixels, Task, stream_seed
from bench.training.pretrain import (
    COLLAPSED,
    CollapseError,
    _Learner,
    _neighbours,
    pretrain,
    spread,
)
from methods.rmd import correlation, distance_loss, row_divergence, strongest


def test_random_streams_of_different_keys_are_unrelated(make_task):
    """Keys that differ in length differ too: for NumPy alone (1,), (1, 0) and (1, 0, 0) agree."""
    keys = [(1,), (1, 0), (1, 0, 0), (0, 1), (0, 1, 0), (0,), (0, 0), (0, 0, 0), (1, 2), (2, 1)]
    assert len({stream_seed(*key) for key in keys}) == len(keys)
    assert all(0 <= stream_seed(*key) < 2**63 for key in keys)
    task = make_task()
    draws = set()
    for key in keys:
        task.seed(*key)
        first = task.rng.random(), torch.rand((), generator=task.generator).item()
        task.seed(*key)
        assert (task.rng.random(), torch.rand((), generator=task.generator).item()) == first
        draws |= {*first, np.random.default_rng(key).random()}
    assert len(draws) == 2 * len(keys) + 5, (
        "nor are they the streams of noise and split, which NumPy seeds directly"
    )


LOGITS = [[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0], [0.3, 0.2, -0.7]]
Y = [0, 2, 0, 1]
P = softmax(np.array(LOGITS))


# ----------------------------------------------------------------------------
# ce, gce


def test_ce(make_task):
    method = setup("ce", make_task(), networks=[Given(LOGITS)])
    assert method.loss(given_batch(Y)).item() == pytest.approx(
        cross_entropy(P, one_hot(np.array(Y))), rel=1e-5
    )


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_gce(make_task, q):
    method = setup("gce", make_task(), {"gce.q": q}, networks=[Given(LOGITS)])
    p = P[np.arange(4), Y]
    assert method.loss(given_batch(Y)).item() == pytest.approx(((1 - p**q) / q).mean(), rel=1e-5)


def test_gce_has_the_papers_gradient_and_a_finite_one_where_p_is_0(make_task):
    logits = [[1000.0, -1000.0, 0.0], [0.0, 30.0, -90.0], [1.0, 2.0, 0.5]]
    net = Given(logits)
    method = setup("gce", make_task(), networks=[net])
    loss = method.loss(given_batch([1, 2, 0]))
    loss.backward()
    assert torch.isfinite(net.logits.grad).all()
    assert torch.isfinite(loss)
    p = softmax(np.array(logits))
    y = one_hot(np.array([1, 2, 0]))
    p_label = (p * y).sum(1, keepdims=True)
    # p^q times cross-entropy's
    np.testing.assert_allclose(net.logits.grad, p_label**0.7 * (p - y) / 3, atol=1e-6)


def test_truncated_gce_prunes_after_its_warm_up(make_task):
    net = Given(LOGITS)
    method = setup("gce", make_task(), {"gce.truncated": True}, epochs=120, networks=[net])
    p = P[np.arange(4), Y]
    assert ((p > 0.5) == [True, False, False, False]).all()
    for epoch, clean in ((39, [1, 1, 1, 1]), (40, [1, 0, 0, 0]), (119, [1, 0, 0, 0])):
        enter(method, epoch)
        net.logits.grad = None
        loss = method.loss(given_batch(Y))
        loss.backward()
        assert loss.item() == pytest.approx((clean * (1 - p**0.7) / 0.7).mean(), rel=1e-5)
        assert net.logits.grad.any(1).tolist() == [bool(k) for k in clean]


# ----------------------------------------------------------------------------
# elr


def elr_regulariser(p: np.ndarray, targets: np.ndarray) -> float:
    return float(np.log(1 - (targets * p).sum(1)).mean())


def test_elr_over_two_steps_on_the_same_samples(make_task):
    first, second = Given(LOGITS), Given([row[::-1] for row in LOGITS])
    method = setup("elr", make_task(), networks=[first])
    assert not method.targets.any()
    batch = given_batch(Y, [5, 0, 9, 2])
    targets = 0.3 * P
    expected = cross_entropy(P, one_hot(np.array(Y))) + 3 * elr_regulariser(P, targets)
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(method.targets[batch.index], targets, atol=1e-6)

    method.networks[0] = second
    other = P[:, ::-1]
    targets = 0.7 * targets + 0.3 * other
    expected = cross_entropy(other, one_hot(np.array(Y))) + 3 * elr_regulariser(other, targets)
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(method.targets[batch.index], targets, atol=1e-6)
    untouched = np.setdiff1d(np.arange(16), [5, 0, 9, 2])
    assert not method.targets[untouched].any()
    averages, labels = method.soft_targets(), method.task.noisy_labels
    np.testing.assert_allclose(averages[batch.index], targets / 0.51, atol=1e-6)  # of 1 - 0.7^2
    assert torch.equal(averages[untouched], F.one_hot(labels, 3).float()[untouched]), "not seen yet"
    clean = method.clean_probability()
    np.testing.assert_allclose(
        clean[batch.index], (targets / 0.51)[range(4), labels[batch.index]], atol=1e-6
    )
    assert (clean[untouched] == 1).all()


def test_elrs_targets_are_constants_to_the_gradient(make_task):
    net = Given(LOGITS)
    method = setup("elr", make_task(), {"elr.weight": 2.0, "elr.momentum": 0.0}, networks=[net])
    method.loss(given_batch(Y)).backward()

    def value(logits: np.ndarray) -> float:  # the targets stay those of the original logits
        p = softmax(logits)
        return cross_entropy(p, one_hot(np.array(Y))) + 2 * elr_regulariser(p, P)

    numeric = np.zeros((4, 3))
    for place in np.ndindex(4, 3):
        step = np.zeros((4, 3))
        step[place] = 1e-5
        numeric[place] = (value(LOGITS + step) - value(LOGITS - step)) / 2e-5
    np.testing.assert_allclose(net.logits.grad, numeric, atol=1e-5)


def test_elr_stays_finite_when_the_network_is_certain(make_task):
    net = Given([[500.0, -500.0, 0.0]] * 2)
    method = setup("elr", make_task(), {"elr.momentum": 0.0}, networks=[net])
    for _ in range(3):
        loss = method.loss(given_batch([0, 1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(net.logits.grad).all()


# ----------------------------------------------------------------------------
# mixup


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_mixup(make_task, alpha):
    task = make_task()
    method = setup("mixup", task, {"mixup.alpha": alpha})
    batch = whole_batch(task)
    for _ in range(2):
        lam, partner = draws(task, alpha, 16)
        x, y = numbers(batch.x, batch.y)
        p = answer(method.networks[0], lam * x + (1 - lam) * x[partner])
        expected = lam * cross_entropy(p, one_hot(y)) + (1 - lam) * cross_entropy(
            p, one_hot(y[partner])
        )
        assert method.loss(batch).item() == pytest.approx(expected, rel=1e-4)
        assert (partner != np.arange(16)).any()


# ----------------------------------------------------------------------------
# co-teaching

#: Losses of class 0 for logits (0, a, -1000): log(1 + e^a).
EASY_FOR_FIRST, EASY_FOR_SECOND = [0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0, 0.0]


def co_teaching(task: Task, settings: dict, epochs: int = 200) -> Method:
    nets = [
        Given([[0.0, a, -1000.0] for a in values]) for values in (EASY_FOR_FIRST, EASY_FOR_SECOND)
    ]
    return setup("co_teaching", task, settings, epochs, nets)


@pytest.mark.parametrize(
    ("rate", "keep"), [(0.2, 4), (0.4, 3), (0.6, 2), (0.8, 1), (0.95, 1), (0.0, 5), (0.5, 2)]
)
def test_co_teaching_learns_from_what_the_peer_finds_easy_and_averages_once(make_task, rate, keep):
    method = co_teaching(make_task(), {"co_teaching.forget_rate": rate})
    enter(method, 150)
    first, second = (np.log1p(np.exp(values)) for values in (EASY_FOR_FIRST, EASY_FOR_SECOND))
    # The first network takes the samples that are easy for the second, which are the last ones; and
    # the other way round.
    expected = first[-keep:].mean() + second[:keep].mean()
    loss = method.loss(given_batch([0] * 5))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    taken = [net.logits.grad.any(1).tolist() for net in method.networks]
    assert taken == [[i >= 5 - keep for i in range(5)], [i < keep for i in range(5)]]


def test_co_teachings_ramp(make_task):
    method = co_teaching(make_task(), {"co_teaching.forget_rate": 0.4})
    shares = []
    for epoch in (0, 1, 5, 10, 11, 199):
        enter(method, epoch)
        shares.append(method.keep_share)
    assert shares == pytest.approx([1, 0.96, 0.8, 0.6, 0.6, 0.6], abs=1e-6)


def test_co_teachings_exponent_is_that_of_the_rate(make_task):
    method = co_teaching(make_task(), {"co_teaching.forget_rate": 0.4, "co_teaching.exponent": 2.0})
    enter(method, 5)
    assert method.keep_share == pytest.approx(1 - 0.5 * 0.4**2, abs=1e-6)
    enter(method, 10)
    assert method.keep_share == pytest.approx(1 - 0.4, abs=1e-6), (
        "after the ramp it is the rate itself"
    )


def test_only_the_oracle_rate_of_co_teaching_is_a_privilege(make_task):
    task = make_task(facts={"noise_rate": 0.37})
    oracle = co_teaching(task, {"co_teaching.forget_rate": "oracle"})
    assert oracle.privileges == {"noise_rate"}
    assert oracle.forget_rate.item() == pytest.approx(0.37)
    for rate in ("estimate", 0.3):
        assert co_teaching(make_task(), {"co_teaching.forget_rate": rate}).privileges == frozenset()
    with pytest.raises(AttributeError, match=r"task.oracle.noise_rate is privileged or unknown"):
        co_teaching(make_task(), {"co_teaching.forget_rate": "oracle"})


def test_co_teaching_estimates_the_rate_during_the_ramp_and_keeps_it(make_task, monkeypatch):
    method = co_teaching(make_task(), {})
    assert "forget_rate" in method.state_dict()
    low, high = np.linspace(0, 0.1, 12), np.linspace(2, 2.1, 4)
    first, second = np.concatenate([low, high]), np.zeros(16)
    monkeypatch.setattr(
        ops.passes,
        "per_sample_loss",
        lambda m, net: torch.tensor(first if net is m.networks[0] else second),
    )
    enter(method, 0)
    assert method.forget_rate == 0, "nothing has been learnt yet"
    enter(method, 1)
    assert method.forget_rate.item() == pytest.approx(4 / 16, abs=1e-3)
    second += first[::-1]  # now the mean is high for another four, too
    enter(method, 10)
    assert method.forget_rate.item() == pytest.approx(8 / 16, abs=1e-3)
    second *= 0
    enter(method, 11)
    assert method.forget_rate.item() == pytest.approx(8 / 16, abs=1e-3)


# ----------------------------------------------------------------------------
# divide_mix


def division(task: Task, student: int, ramp: float = 0.4) -> Division:
    """Four labelled and three unlabelled samples; the two views of each differ."""

    def views(index: list[int]) -> Batch:
        batch = task.batch(torch.tensor(index))
        return Batch((batch.x, batch.x.flip(3)), batch.y, batch.index)

    return Division(student, views([2, 7, 1, 11]), views([5, 3, 14]), ramp)


@pytest.mark.parametrize("student", [0, 1])
def test_divide_mix_refines_and_guesses(make_task, student):
    task = make_task()
    method = setup("divide_mix", task)
    method.clean.copy_(torch.rand(2, 16, generator=torch.Generator().manual_seed(3)))
    batch = division(task, student)
    labelled, unlabelled = method.guess(batch)
    net, peer = method.networks[student], method.networks[1 - student]
    predictions = [answer(net, x) for x in numbers(*batch.labelled.views)]
    [w] = numbers(method.clean[1 - student, batch.labelled.index][:, None])  # the peer's division
    refined = (
        w * one_hot(batch.labelled.y.numpy()) + (1 - w) * (predictions[0] + predictions[1]) / 2
    )
    guessed = sum(answer(n, x) for n in (net, peer) for x in numbers(*batch.unlabelled.views)) / 4
    for result, expected in ((labelled, refined), (unlabelled, guessed)):
        np.testing.assert_allclose(
            result, expected**2 / (expected**2).sum(1, keepdims=True), atol=1e-5
        )
        assert not result.requires_grad


@pytest.mark.parametrize("student", [0, 1])
def test_divide_mixs_three_terms(make_task, student):
    task = make_task()
    method = setup("divide_mix", task, {"divide_mix.unlabelled_weight": 25.0})
    method.clean.copy_(torch.rand(2, 16, generator=torch.Generator().manual_seed(3)))
    batch = division(task, student)
    targets_labelled, targets_unlabelled = numbers(*method.guess(batch))
    lam, partner = draws(task, 4.0, 14)
    lam = max(lam, 1 - lam)
    x = np.concatenate(numbers(*batch.labelled.views, *batch.unlabelled.views))
    targets = np.concatenate(
        [targets_labelled, targets_labelled, targets_unlabelled, targets_unlabelled]
    )
    p = answer(method.networks[student], lam * x + (1 - lam) * x[partner])
    mixed = lam * targets + (1 - lam) * targets[partner]
    supervised = cross_entropy(p[:8], mixed[:8])
    consistency = ((p[8:] - mixed[8:]) ** 2).mean()
    prior = np.full(3, 1 / 3)
    penalty = (prior * np.log(prior / p.mean(0))).sum()
    loss = method.loss(batch)
    assert loss.item() == pytest.approx(supervised + 0.4 * 25 * consistency + penalty, rel=1e-4)
    loss.backward()
    assert method.networks[student].head.weight.grad.any()
    assert method.networks[1 - student].head.weight.grad is None, "the peer only guesses"
    assert list(method.students(batch)) == [method.networks[student]]


def test_divide_mixs_targets_are_kept(make_task):
    task = make_task()
    method = setup("divide_mix", task)
    batch = division(task, 0)
    labelled, unlabelled = method.guess(batch)
    method.loss(batch)
    assert torch.equal(method.soft_targets()[[2, 7, 1, 11]], labelled)
    assert torch.equal(method.soft_targets()[[5, 3, 14]], unlabelled)
    assert torch.equal(method.soft_targets()[0], F.one_hot(task.noisy_labels, 3)[0].float()), (
        "not seen yet"
    )


def test_divide_mixs_loss_is_finite_where_no_sample_is_of_a_class(make_task):
    task = make_task()
    certain = [Given([[900.0, -900.0, 0.0]] * 14), Given([[900.0, -900.0, 0.0]] * 14)]
    method = setup("divide_mix", task, networks=certain)
    method.guess = lambda batch: (torch.eye(3)[[0, 1, 2, 0]], torch.eye(3)[[1, 0, 2]])  # type: ignore[method-assign]
    loss = method.loss(division(task, 0))
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(certain[0].logits.grad).all()


@pytest.mark.parametrize("penalty", [False, True])
def test_divide_mixs_warm_up(make_task, penalty):
    nets = [Given(LOGITS), Given([row[::-1] for row in LOGITS])]
    method = setup(
        "divide_mix", make_task(), {"divide_mix.confidence_penalty": penalty}, networks=nets
    )
    for student, p in enumerate((P, P[:, ::-1])):
        expected = cross_entropy(p, one_hot(np.array(Y)))
        if penalty:
            expected += (P * np.log(P)).sum(1).mean()  # minus the entropy
        batch = PlainStep(student, given_batch(Y))
        assert method.loss(batch).item() == pytest.approx(expected, rel=1e-5)
        assert list(method.students(batch)) == [method.networks[student]]


def test_in_divide_mixs_warm_up_each_network_has_a_pass_of_its_own_with_twice_the_batch(make_task):
    method = setup("divide_mix", make_task(batch_size=4))
    enter(method, 9)
    steps = list(method.batches())
    assert [(step.student, len(step.batch.y)) for step in steps] == [(0, 8), (0, 8), (1, 8), (1, 8)]
    first, second = (
        torch.cat([step.batch.index for step in steps if step.student == s]) for s in (0, 1)
    )
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(16))
    assert not torch.equal(first, second)


def test_divide_mix_divides_after_its_warm_up(make_task, monkeypatch):
    method = setup("divide_mix", make_task())
    low, high = [0.1] * 9 + [0.12], [2.0] * 5 + [2.3]
    losses = {0: torch.tensor(low + high), 1: torch.tensor(high + low)}
    monkeypatch.setattr(
        ops, "per_sample_loss", lambda m, net: losses[0 if net is m.networks[0] else 1]
    )
    enter(method, 9)
    assert (method.clean == 1).all()
    assert all(isinstance(batch, PlainStep) for batch in method.batches())
    enter(method, 10)
    assert (method.clean[0] > 0.5).tolist() == [True] * 10 + [False] * 6
    assert (method.clean[1] > 0.5).tolist() == [False] * 6 + [True] * 10
    assert torch.equal(method.clean_probability(), method.clean.mean(0))


def test_divide_mix_averages_losses_over_its_window(make_task, monkeypatch):
    method = setup("divide_mix", make_task(), {"divide_mix.loss_window": 3})
    losses = []
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        ops,
        "per_sample_loss",
        lambda m, net: losses.append(torch.rand(16, generator=generator)) or losses[-1],
    )
    for epoch in range(10, 15):
        enter(method, epoch)
        recent = torch.stack([ops.min_max(values) for values in losses[0::2]][-3:]).mean(0).double()
        # the mean is not scaled once more
        expected = ops.fit_gaussians(recent).low_posterior(recent)
        torch.testing.assert_close(method.clean[0].double(), expected, atol=1e-5, rtol=0)


def test_divide_mixs_batches(make_task):
    task = make_task(batch_size=4)
    method = setup("divide_mix", task)
    method.epoch, method.first = 12, 10
    clean = torch.zeros(2, 16)
    clean[1, :9] = 0.9  # the division for the first network is the second one's
    clean[0, 4:] = 0.9
    method.clean.copy_(clean)
    steps = []
    for batch in method.batches():
        steps.append(batch)
        modes = [net.training for net in method.networks]
        assert modes == [batch.student == 0, batch.student == 1], "the peer guesses in eval mode"
    for student, labelled, total in ((0, set(range(9)), 9), (1, set(range(4, 16)), 12)):
        divisions = [step for step in steps if step.student == student]
        # 9 samples are 4, 4 and a single one, which is left out.
        assert sum(len(step.labelled.index) for step in divisions) == total - total % 4
        assert set(torch.cat([step.labelled.index for step in divisions]).tolist()) <= labelled
        assert not set(torch.cat([step.unlabelled.index for step in divisions]).tolist()) & labelled
        assert all(
            len(step.labelled.views) == len(step.unlabelled.views) == 2 for step in divisions
        )
        # Two epochs after the warm-up of ten; 16 epochs of ramp; the authors count len // batch
        # size + 1 steps.
        assert [step.ramp for step in divisions] == pytest.approx(
            [(2 + i / (total // 4 + 1)) / 16 for i in range(len(divisions))]
        )
    method.epoch = 40
    assert {step.ramp for step in method.batches()} == {1.0}


@pytest.mark.parametrize("clean_samples", [0, 1, 15, 16])
def test_where_nothing_is_divided_that_network_alone_takes_a_plain_epoch(make_task, clean_samples):
    task = make_task(batch_size=4)
    method = setup("divide_mix", task)
    method.epoch, method.first = 12, 10
    method.clean.zero_()
    method.clean[0, :8] = 1  # the second network has its division
    method.clean[1, :clean_samples] = 1
    steps = list(method.batches())
    plain = [step for step in steps if isinstance(step, PlainStep)]
    assert [step.student for step in plain] == [0, 0]
    assert torch.cat([step.batch.index for step in plain]).sort().values.tolist() == list(range(16))
    assert [step.student for step in steps if isinstance(step, Division)] == [1, 1]
    net, peer = method.networks
    x, y = numbers(plain[0].batch.x, plain[0].batch.y)
    loss = method.loss(plain[0])
    assert loss.item() == pytest.approx(cross_entropy(answer(net, x), one_hot(y)), rel=1e-4)
    loss.backward()
    assert net.head.weight.grad is not None
    assert peer.head.weight.grad is None
    assert list(method.students(plain[0])) == [net]


# ----------------------------------------------------------------------------
# softmix


def random_mixture(terms: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(6, terms, 1, 4, 4, generator=generator)
    targets = torch.rand(6, terms, 3, generator=generator).softmax(2)
    return images, torch.rand(6, terms, generator=generator), targets


def mixed(images: Tensor, weights: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mix each row of images (B, terms, C, H, W) as softmix does."""
    return ops.mix_with_neighbours(
        images.flatten(0, 1), torch.arange(weights.numel()).view_as(weights), weights, targets
    )


def test_mixing_two_is_the_authors_formula():
    images, weights, targets = random_mixture(2)
    weights[0] = torch.tensor([1e-9, 1e-9])
    weights[1] = torch.tensor([0.0, 1.0])
    weights[2] = torch.tensor([1.0, 0.0])
    weights[3] = 0
    x, t = mixed(images, weights, targets)
    w = weights.double()
    # With all weights zero, this formula gives 1/1: the sample itself.
    lam = (w[:, 0] + 1e-10) / (w[:, 0] + w[:, 1] + 1e-10)
    np.testing.assert_allclose(lam[3], 1)
    expected = (
        lam[:, None, None, None] * images[:, 0] + (1 - lam[:, None, None, None]) * images[:, 1]
    )
    torch.testing.assert_close(x.double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        t.double(),
        lam[:, None] * targets[:, 0] + (1 - lam[:, None]) * targets[:, 1],
        atol=1e-6,
        rtol=0,
    )


def test_mixing_three_by_hand():
    images = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1, 1)
    targets = torch.eye(3)[None]
    x, t = mixed(images, torch.tensor([[0.5, 0.3, 0.2]]), targets)
    assert x.item() == pytest.approx(0.5 + 3 + 20, rel=1e-5)
    np.testing.assert_allclose(t, [[0.5, 0.3, 0.2]], atol=1e-6)
    x, t = mixed(images, torch.tensor([[0.2, 0.1, 0.1]]), targets)
    assert x.item() == pytest.approx((0.2 + 1 + 10) / 0.4, rel=1e-5)
    np.testing.assert_allclose(t, [[0.5, 0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize("terms", [2, 3, 9])
def test_mixing_with_weights_of_zero_leaves_the_sample_itself(terms):
    images, weights, targets = random_mixture(terms)
    x, t = mixed(images, weights * 0, targets)
    torch.testing.assert_close(x, images[:, 0])
    torch.testing.assert_close(t, targets[:, 0])


def test_mixing_keeps_the_places_of_pixels_and_colours():
    """Images that share partners, in either layout; neither square nor grey."""
    images = torch.rand(4, 3, 2, 5, generator=torch.Generator().manual_seed(0))
    group, weights = torch.tensor([[0, 3], [1, 3]]), torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    expected = torch.stack([(images[0] + images[3]) / 2, (images[1] + 3 * images[3]) / 4])
    for layout in (torch.contiguous_format, torch.channels_last):
        x, _ = ops.mix_with_neighbours(
            images.contiguous(memory_format=layout), group, weights, torch.rand(2, 2, 3)
        )
        torch.testing.assert_close(x, expected)
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_mixing_is_as_exact_under_autocast():
    images, weights, targets = random_mixture(3)
    expected = mixed(images, weights, targets)
    with torch.autocast("cpu", torch.bfloat16):
        result = mixed(images, weights, targets)
    for ours, theirs in zip(result, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def neighbour_loss(
    method: Method,
    x: np.ndarray,
    bank: np.ndarray,
    positions: np.ndarray,
    index: np.ndarray,
    k: int,
) -> float:
    """Mixing each of x with its k nearest others of the bank: positions ``own`` in the bank,
    ``index`` in the set.
    """
    flat, others = x.reshape(len(x), -1), bank.reshape(len(bank), -1)
    distances = ((flat[:, None] - others[None]) ** 2).sum(2)
    distances[np.arange(len(x)), positions] = np.inf
    # (B, 1 + k), positions in the bank
    terms = np.concatenate([positions[:, None], distances.argsort(1)[:, :k]], 1)
    clean, targets = numbers(method.clean, method.targets)
    weights = clean[index[terms]]
    weights[:, 0] += 1e-10
    shares = weights / weights.sum(1, keepdims=True)
    mixed_x = np.einsum("bk,bkchw->bchw", shares, bank[terms])
    mixed_t = np.einsum("bk,bkc->bc", shares, targets[index[terms]])
    return cross_entropy(answer(method.networks[0], mixed_x), mixed_t)


def test_softmixs_phases_over_300_epochs(make_task):
    """Epochs as the authors count them, from 1: what the loss is, and when targets change."""
    task = make_task()
    method = setup("softmix", task)
    batch = whole_batch(task)
    x, y = numbers(batch.x, batch.y)
    index = batch.index.numpy()
    labels = one_hot(y)
    p = answer(method.networks[0], x)
    given = method.targets.clone()
    np.testing.assert_array_equal(given, one_hot(task.noisy_labels.numpy()))
    for epoch in (1, 2, 9, 10, 11, 35, 58, 59, 60, 61, 62, 69, 70, 71, 79, 80, 150, 299, 300):
        enter(method, epoch - 1)
        before = method.targets.clone()
        lam, partner = draws(task, 1.0, 16)
        loss = method.loss(batch)
        updates = epoch >= 60 and epoch % 10 == 0
        if updates:
            [old] = numbers(before[batch.index])
            np.testing.assert_allclose(method.targets[batch.index], 0.9 * old + 0.1 * p, atol=1e-6)
            assert not torch.equal(method.targets, before)
        else:
            assert torch.equal(method.targets, before), epoch
        mixed = answer(method.networks[0], lam * x + (1 - lam) * x[partner])
        if epoch <= 9:
            expected = cross_entropy(p, labels)
        elif epoch <= 59:
            labelled, others = ((mixed * t).sum(1).mean() for t in (labels, labels[partner]))
            expected = -(lam * labelled + (1 - lam) * others)
        elif epoch == 60:
            [soft] = numbers(method.targets[batch.index])
            expected = cross_entropy(mixed, lam * soft + (1 - lam) * soft[partner])
        else:
            expected = neighbour_loss(method, x, x, np.arange(16), index, 1)
        assert loss.item() == pytest.approx(expected, rel=1e-4), epoch
    assert torch.equal(method.soft_targets(), method.targets)


def test_softmixs_targets_follow_the_networks_predictions_in_train_mode(make_task):
    """With the real tiny network: its batch norms see the batch, as in the authors' code."""
    task = make_task()
    plain = Task.build_network
    method = setup("softmix", task, {"softmix.momentum": 0.8}, networks=[plain(task)])
    [net] = method.networks
    batch = whole_batch(task)
    enter(method, 69)
    with torch.no_grad():
        expected = 0.8 * method.targets[batch.index] + 0.2 * copy.deepcopy(net).train()(
            batch.x
        ).softmax(1)
    assert net.training
    method.loss(batch).backward()
    torch.testing.assert_close(method.targets[batch.index], expected)
    torch.testing.assert_close(method.targets.sum(1), torch.ones(16))
    assert not method.targets.requires_grad


def test_softmixs_early_loss_may_be_cross_entropy(make_task):
    task = make_task()
    method = setup("softmix", task, {"softmix.early_loss": "ce", "softmix.mixup_alpha": 2.0})
    batch = whole_batch(task)
    enter(method, 30)
    lam, partner = draws(task, 2.0, 16)
    x, y = numbers(batch.x, batch.y)
    mixed = answer(method.networks[0], lam * x + (1 - lam) * x[partner])
    expected = cross_entropy(mixed, lam * one_hot(y) + (1 - lam) * one_hot(y)[partner])
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("k", [1, 2, 4, 100])
def test_softmix_mixes_with_k_neighbours_of_the_batch(make_task, k):
    task = make_task()
    method = setup("softmix", task, {"softmix.k": k})
    enter(method, 75)
    method.clean.copy_(torch.rand(16, generator=torch.Generator().manual_seed(1)))
    batch = task.batch(torch.tensor([4, 9, 0, 15, 7, 2]))
    [x] = numbers(batch.x)
    expected = neighbour_loss(method, x, x, np.arange(6), batch.index.numpy(), min(k, 5))
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_softmix_of_the_data_set_takes_neighbours_from_the_whole_set(make_task, k):
    task = make_task()
    method = setup("softmix", task, {"softmix.k": k, "softmix.scope": "dataset"})
    enter(method, 75)
    method.clean.copy_(torch.rand(16, generator=torch.Generator().manual_seed(1)))
    batch = task.batch(torch.tensor([4, 9, 0]))
    [x], [bank] = numbers(batch.x), numbers(task.batch(torch.arange(16)).x)
    expected = neighbour_loss(method, x, bank, batch.index.numpy(), np.arange(16), k)
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-4)
    assert not torch.isin(method.neighbours[batch.index], batch.index).all(), (
        "the batch alone would not have done"
    )


def test_softmix_weighs_by_the_loss_on_the_hardened_targets(make_task):
    task = make_task()
    method = setup("softmix", task)
    method.targets.copy_(torch.rand(16, 3, generator=torch.Generator().manual_seed(5)).softmax(1))
    assert (method.targets.argmax(1) != task.noisy_labels).any()
    [x] = numbers(task.batch(torch.arange(16)).x)
    p = answer(method.networks[0], x)
    losses = -np.log(p[np.arange(16), method.targets.argmax(1).numpy()])
    enter(method, 8)
    assert (method.clean == 1).all(), "during warm-up there are no weights yet"
    enter(method, 9)
    scaled = torch.from_numpy((losses - losses.min()) / (losses.max() - losses.min()))
    expected = ops.fit_gaussians(scaled).low_posterior(scaled)
    torch.testing.assert_close(method.clean.double(), expected, atol=1e-4, rtol=0)
    agrees = method.targets.argmax(1) == task.noisy_labels
    assert torch.equal(method.clean_probability(), torch.where(agrees, method.clean, 0)), (
        "a corrected label was wrong"
    )


def test_softmix_averages_losses_over_its_window(make_task, monkeypatch):
    method = setup("softmix", make_task(), {"softmix.loss_window": 2, "softmix.mixture": "bmm"})
    losses = []
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        ops,
        "per_sample",
        lambda m, net, score: losses.append(torch.rand(16, generator=generator)) or losses[-1],
    )
    for epoch in range(9, 13):
        enter(method, epoch)
        recent = torch.stack([ops.min_max(values) for values in losses[-2:]]).mean(0)
        # the mean is not scaled once more
        expected = ops.fit_betas(recent.double()).low_posterior(recent.double())
        torch.testing.assert_close(method.clean.double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("epochs", [5, 25, 50])
def test_softmix_reaches_every_phase_but_mixup_in_short_runs(make_task, epochs):
    task = make_task()
    method = setup("softmix", task, epochs=epochs)
    changed = []
    for epoch in range(epochs):
        enter(method, epoch)
        before = method.targets.clone()
        assert torch.isfinite(method.loss(whole_batch(task)))
        changed.append(not torch.equal(method.targets, before))
    warmup = {5: 1, 25: 5, 50: 2}[epochs]
    # 59/300 of the run, and no earlier than the end of the warm-up
    start = {5: 1, 25: 5, 50: 10}[epochs]
    every = {5: 1, 25: 1, 50: 2}[epochs]
    assert method.first == warmup
    assert [epoch for epoch in range(epochs) if changed[epoch]] == list(range(start, epochs, every))


# ----------------------------------------------------------------------------
# rmd


def features(batch: int = 7, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(batch, width, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.corrcoef(x, y)[: len(x), len(x) :]


def kept_by_hand(relations: np.ndarray, k: int) -> np.ndarray:
    mask = np.zeros(relations.shape, bool)
    for row in range(len(relations)):
        others = [column for column in range(len(relations)) if column != row]
        others.sort(key=lambda column, row=row: -relations[row, column])
        mask[row, others[: k or None]] = True
    return mask


def divergence_by_hand(
    teacher: np.ndarray, student: np.ndarray, masks: np.ndarray, temperature: float
) -> float:
    rows = []
    for t, s, mask in zip(teacher, student, masks, strict=True):
        p, q = (
            np.exp(row[mask] / temperature) / np.exp(row[mask] / temperature).sum()
            for row in (t, s)
        )
        rows.append(stats.entropy(p, q))
    return float(np.mean(rows))


def distances_by_hand(x: np.ndarray) -> np.ndarray:
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(2))
    return distances / distances[distances > 0].mean()


def rkd_by_hand(teacher: np.ndarray, student: np.ndarray, mask: np.ndarray) -> float:
    gap = np.abs(distances_by_hand(teacher) - distances_by_hand(student))[mask]
    return float(np.where(gap < 1, gap**2 / 2, gap - 0.5).mean())


def test_correlation_is_pearsons():
    x, y = features(seed=1), features(seed=2)
    np.testing.assert_allclose(correlation(x, y), pearson(*numbers(x, y)), atol=1e-6)
    np.testing.assert_allclose(correlation(x, 3 * x + 5).diagonal(), np.ones(7), atol=1e-6)
    assert torch.equal(correlation(torch.ones(2, 4), x[:, :4]), torch.zeros(2, 7)), (
        "constant features are related to nothing"
    )


def test_a_row_keeps_its_k_strongest_relations_but_never_its_own():
    relations = torch.tensor(
        [[1.0, 0.2, 0.9, -0.5], [0.2, 1.0, 0.1, 0.0], [0.9, 0.1, 1.0, 0.3], [-0.5, 0.0, 0.3, 1.0]]
    )
    by_hand = {
        1: [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]],
        2: [[0, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]],
        0: [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]],
    }
    for k, expected in by_hand.items():
        assert strongest(relations, k).int().tolist() == expected
    for k in (3, 4, 100):
        assert strongest(relations, k).int().tolist() == by_hand[0]


@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_row_divergence_is_the_mean_kl_of_rows_without_their_diagonal(temperature, k):
    teacher, student = (
        correlation(features(seed=1), features(seed=1)),
        correlation(features(seed=2), features(seed=2)),
    )
    mask = strongest(teacher, k)
    assert (mask.numpy() == kept_by_hand(*numbers(teacher), k)).all()
    expected = divergence_by_hand(*numbers(teacher, student), mask.numpy(), temperature)
    divergence = row_divergence(teacher, student, mask, temperature)
    assert divergence.item() == pytest.approx(expected, abs=1e-6)
    assert (divergence > 1e-3) == (k != 1), "a single relation is the whole distribution"
    assert row_divergence(teacher, teacher, mask, temperature).item() == pytest.approx(0, abs=1e-6)
    shifted = teacher + torch.eye(7) * 5
    assert row_divergence(shifted, student, mask, temperature).item() == pytest.approx(
        expected, abs=1e-6
    )


def test_row_divergence_has_a_finite_gradient():
    x = features().requires_grad_()
    teacher = correlation(features(seed=3), features(seed=3))
    row_divergence(teacher, correlation(x, x), strongest(teacher, 2), 0.1).backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.any()


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("k", [0, 2])
def test_distance_loss_is_relational_knowledge_distillations(k, scale):
    teacher, student = features(16, 40, seed=1) * scale + scale, features(16, 9, seed=2) * scale
    mask = strongest(correlation(teacher, teacher), k)
    expected = rkd_by_hand(*numbers(teacher, student), mask.numpy())
    assert expected > 0.01
    assert distance_loss(teacher, student, mask).item() == pytest.approx(expected, rel=1e-3)
    assert distance_loss(teacher, 7 * teacher, mask).item() == pytest.approx(0, abs=1e-6), (
        "the scale does not matter"
    )


def test_distance_loss_is_finite_for_samples_that_coincide():
    x = torch.ones(4, 3, requires_grad=True)
    loss = distance_loss(features(4, 3), x, strongest(torch.eye(4), 0))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    twins = features(6, 3)
    twins[1] = twins[0]
    twins.requires_grad_()
    distance_loss(features(6, 3, seed=4), twins, strongest(torch.eye(6), 0)).backward()
    assert torch.isfinite(twins.grad).all()


def encode(x: Tensor) -> Tensor:
    """A teacher of 5 features."""
    return x.flatten(1)[:, 3:8] * 2


def rmd(task: Task, settings: dict, host: str = "ce", epochs: int = 300) -> Method:
    return setup(f"rmd+{host}", task, settings, epochs)


def relation_by_hand(
    teacher: np.ndarray, student: np.ndarray, relation: str, k: int, temperature: float = 0.5
) -> float:
    between, edges = pearson(teacher, teacher), pearson(student, student)
    mask = kept_by_hand(between, k)
    if relation == "rkd":
        return 0.3 * rkd_by_hand(teacher, student, mask)
    size = len(teacher)
    node = np.linalg.norm(pearson(teacher, student) - np.eye(size)) / size
    if relation == "ega":
        edge = np.linalg.norm(np.where(mask, between - edges, 0)) / size
    else:
        edge = divergence_by_hand(between, edges, mask, temperature)
    return node + 0.3 * edge


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("relation", ["kl", "ega", "rkd"])
def test_rmds_relation_losses(make_task, relation, k):
    method = rmd(make_task(encoder=encode), {"rmd.relation": relation, "rmd.k": k})
    teacher, student = features(12, 5, seed=1), features(12, 5, seed=2)
    loss = method.relation_loss(teacher, student).item()
    assert loss == pytest.approx(
        relation_by_hand(*numbers(teacher, student), relation, k), rel=1e-4
    )


def test_rmds_temperature_is_that_of_the_rows(make_task):
    method = rmd(make_task(encoder=encode), {"rmd.temperature": 0.1})
    teacher, student = features(12, 5, seed=1), features(12, 5, seed=2)
    expected = relation_by_hand(*numbers(teacher, student), "kl", 0, temperature=0.1)
    assert method.relation_loss(teacher, student).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("divide_mix.warmup_epochs", -3, "give a number from 0"),
        ("divide_mix.unlabelled_weight", -5.0, "give a number from 0"),
        ("divide_mix.clean_threshold", 7.0, "give a number from 0 to 1"),
        ("promix.warmup_epochs", -5, "give a number from 0"),
        ("gjs.label_weight", 1e-20, "give a number from 0.001 up to 1"),
    ],
)
def test_settings_out_of_range_are_refused(setting, value, message):
    with pytest.raises(InputError, match=f"{setting} is {value:g}: {message}"):
        build(setting.partition(".")[0], {setting: value})


@pytest.mark.parametrize("relation", ["ega", "rkd"])
def test_a_temperature_that_does_nothing_is_refused(relation):
    with pytest.raises(
        InputError,
        match=f"rmd.temperature does nothing with rmd.relation={relation}: leave it out, or use kl",
    ):
        build("rmd", {"rmd.relation": relation, "rmd.temperature": 0.1})
    build("rmd", {"rmd.relation": relation})
    build("rmd", {"rmd.relation": "kl", "rmd.temperature": 0.1})


@pytest.mark.parametrize("host", ["ce", "co_teaching", "divide_mix"])
def test_rmd_adds_its_term_to_each_network_that_learns(make_task, host):
    task = make_task(encoder=encode)
    method = rmd(task, {"rmd.weight": 2.0}, host)
    enter(method, 12)
    hosts = division(task, 1) if host == "divide_mix" else whole_batch(task)
    second = task.batch(torch.arange(10))
    state = task.rng.bit_generator.state, task.generator.get_state()
    alone = method.base.loss(hosts).item()
    task.rng.bit_generator.state = state[0]
    task.generator.set_state(state[1])
    expected = alone
    teacher = numbers(encode(second.x))[0]
    nets = list(zip(method.networks, method.projections, strict=True))
    for net, projection in nets[1:] if host == "divide_mix" else nets:
        weight, bias = numbers(projection.weight, projection.bias)
        [x] = numbers(net.forward_features(second.x))
        expected += 2 * relation_by_hand(teacher, x @ weight.T + bias, "kl", 0)
    loss = method.loss((hosts, second))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    learning = [projection.weight.grad is not None for projection in method.projections]
    assert learning == ([False, True] if host == "divide_mix" else [True] * len(nets))


def test_rmd_trains_its_projections_with_the_networks(make_task):
    method = rmd(make_task(encoder=encode), {}, "co_teaching")
    trained = {id(p) for group in method.param_groups() for p in group["params"]}
    assert trained == {id(p) for p in method.parameters()}
    assert len(list(method.projections.parameters())) == 4
    assert all((p.in_features, p.out_features) == (64, 5) for p in method.projections)


def test_rmds_teacher_is_no_part_of_its_state(make_task):
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5)).eval()
    method = rmd(make_task(encoder=lambda x: teacher(x).detach()), {})
    assert set(method.state_dict()) == {
        *(f"base.networks.0.head.{name}" for name in ("weight", "bias")),
        *(f"projections.0.{name}" for name in ("weight", "bias")),
    }
    method.train()
    assert not teacher[2].training


def test_rmd_pairs_every_batch_of_the_host_with_one_of_its_own(make_task):
    task = make_task(encoder=encode, batch_size=5)
    method = rmd(task, {}, "divide_mix")
    enter(method, 0)
    pairs = list(method.batches())
    assert [len(hosts.batch.index) for hosts, _ in pairs] == [10, 6, 10, 6]
    assert all(isinstance(second, Batch) for _, second in pairs)


@pytest.mark.parametrize("relation", ["kl", "ega", "rkd"])
def test_rmds_relations_are_as_exact_under_autocast(make_task, relation):
    task = make_task(encoder=lambda x: x.flatten(1)[:, :40] * 3 + 20, precision="bf16")
    method = rmd(task, {"rmd.relation": relation})
    method.base.loss = lambda hosts: torch.zeros(())
    batch = task.batch(torch.arange(16))
    with torch.autocast("cpu", torch.bfloat16):
        loss = method.loss((batch, batch))
        student = method.projections[0](method.networks[0].forward_features(batch.x)).float()
    expected = method.relation_loss(task.encoder()(batch.x), student)
    assert loss.item() == pytest.approx(method.hp.weight * expected.item(), rel=1e-5)


def test_rmds_encoder_is_trained_in_proportion_to_the_run(make_task):
    for epochs, expected in ((300, 800), (25, 67), (1, 3)):
        assert rmd(make_task(encoder=encode), {}, epochs=epochs).pretraining() == SimSiam(
            epochs=expected
        )


# ----------------------------------------------------------------------------
# SimSiam


def learner(make_task, layers: int = 2) -> _Learner:
    torch.manual_seed(0)
    return _Learner(Task.build_network(make_task()), layers).train()


def pair() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 12, 1, 8, 8, generator=torch.Generator().manual_seed(0)).unbind(0)


@pytest.mark.parametrize("layers", [2, 3])
def test_simsiams_loss_is_the_papers(make_task, layers):
    """L = D(p1, z2)/2 + D(p2, z1)/2 with D the negative cosine similarity."""
    model = learner(make_task, layers)
    views = pair()
    z1, z2 = (model.projector(model.network.forward_features(view)) for view in views)
    p1, p2 = model.predictor(z1), model.predictor(z2)

    def d(p: np.ndarray, z: np.ndarray) -> float:
        return float(
            -((p * z).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(z, axis=1)).mean()
        )

    n1, m1, n2, m2 = numbers(p1, z1, p2, z2)
    loss, projections = model.loss(*views)
    assert loss.item() == pytest.approx(d(n1, m2) / 2 + d(n2, m1) / 2, abs=1e-5)
    assert -1 <= loss.item() <= 1
    torch.testing.assert_close(projections, z1)
    assert not projections.requires_grad
    assert sum(isinstance(module, nn.Linear) for module in model.projector) == layers


def test_simsiam_learns_to_agree(make_task):
    model = learner(make_task)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    losses = []
    for _ in range(15):
        loss, _ = model.loss(*pair())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1, "towards -1"


def test_no_gradient_of_simsiam_flows_through_the_targets(make_task):
    model = learner(make_task)

    class Constant(nn.Module):
        """A predictor without input: gradients reach the projections through z alone."""

        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.randn(12, 256))

        def forward(self, z: Tensor) -> Tensor:
            return self.value

    model.predictor = Constant()
    loss, _ = model.loss(*pair())
    loss.backward()
    assert model.predictor.value.grad.any()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == [
        "predictor.value"
    ]


def test_simsiams_gradient_reaches_the_encoder_through_both_views(make_task):
    model = learner(make_task)
    model.loss(*pair())[0].backward()
    assert all(p.grad is not None for p in model.network.body.parameters())
    assert model.network.head.weight.grad is None, "the head for labels takes no part"


def test_spread_is_1_for_directions_at_random_and_0_for_one_direction():
    generator = torch.Generator().manual_seed(0)
    scattered = torch.randn(2000, 128, generator=generator)
    assert spread(scattered) == pytest.approx(1, abs=0.02)
    assert spread(1000 * scattered) == pytest.approx(spread(scattered), rel=1e-5)
    assert spread(torch.ones(100, 64)) == 0
    assert (
        spread(torch.rand(100, 1, generator=generator) * torch.randn(1, 64, generator=generator))
        < 1e-5
    )
    assert spread(torch.zeros(100, 64)) == 0
    nearly = torch.randn(1, 128, generator=generator) + 0.05 * scattered
    assert spread(nearly) < COLLAPSED


def job(epochs: int = 2, **changes) -> PretrainJob:
    values = {
        "settings": SimSiam(epochs=epochs, batch_size=16),
        "data_hash": "x",
        "backbone": "tiny_cnn",
        "augmentation": "none",
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }
    return PretrainJob(**values | changes)


def pixels(images: Tensor) -> Pixels:
    return Pixels(images, torch.tensor([0.5]), torch.tensor([0.25]))


def random_images(count: int = 40) -> Tensor:
    return torch.randint(
        0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )


def test_a_collapsed_representation_is_an_error():
    with pytest.raises(
        CollapseError, match=r"SimSiam collapsed in epoch 0: spread of the projections 0.00"
    ):
        pretrain(job(), pixels(torch.zeros(40, 1, 8, 8, dtype=torch.uint8)))


def test_a_spread_that_is_not_a_number_is_a_collapse(monkeypatch):
    monkeypatch.setattr("bench.training.pretrain.spread", lambda projections: float("nan"))
    with pytest.raises(CollapseError):
        pretrain(job(), pixels(random_images()))


def test_pretraining_is_a_pure_function_of_the_job():
    beats = []
    torch.manual_seed(1)
    first = pretrain(
        job(), pixels(random_images()), lambda epoch, loss: beats.append((epoch, loss))
    )
    torch.manual_seed(2)
    again = pretrain(job(), pixels(random_images()))
    other = pretrain(job(seed=1), pixels(random_images()))
    assert all(np.array_equal(first.weights[name], again.weights[name]) for name in first.weights)
    assert any(
        not np.array_equal(first.weights[name], other.weights[name]) for name in first.weights
    )
    assert (first.spread, first.loss) == (again.spread, again.loss)
    assert first.spread > COLLAPSED
    assert [epoch for epoch, _ in beats] == [0, 1]
    assert beats[-1][1] == first.loss
    assert all(math.isfinite(loss) for _, loss in beats)
    assert first.neighbours_after.shape == (40, 10)


def test_neighbours_of_a_probe_are_never_itself_twins_included(make_task):
    images = random_images(20)
    images[1:15] = images[0]  # more twins than neighbours
    task = make_task()
    task._pixels, task.noisy_labels = pixels(images), torch.zeros(20, dtype=torch.long)
    neighbours = _neighbours(Task.build_network(task), task, np.arange(20), k=5)
    assert neighbours.shape == (20, 5)
    assert (neighbours != np.arange(20)[:, None]).all()
    assert all(len(set(row)) == 5 for row in neighbours.tolist())
    assert (neighbours[:15] < 15).all()


def test_knn_accuracy_by_hand():
    encoder = pretrain(job(epochs=1), pixels(random_images()))
    encoder.probes = np.array([0, 3])
    encoder.neighbours_before = np.array([[1, 2, 3], [0, 1, 2]])
    encoder.neighbours_after = np.array([[4, 5, 1], [4, 5, 0]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert encoder.knn_accuracy(labels, 2) == (0.5, 0.5)
    assert encoder.knn_accuracy(np.array([0, 0, 0, 0, 1, 1]), 2) == (1.0, 0.0)


def test_the_key_of_an_encoder_depends_on_everything_that_makes_it():
    changes = {
        "settings": SimSiam(epochs=3),
        "data_hash": "y",
        "backbone": "small_cnn",
        "augmentation": "crop",
        "seed": 1,
        "device": "cuda",
        "precision": "bf16",
        "threads": 2,
    }
    keys = {job().key, *(job(**{name: value}).key for name, value in changes.items())}
    assert len(keys) == 9
    assert job().key == job().key
