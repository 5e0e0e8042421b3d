"""eps_softmax, anl, jal, gjs and cdr, and what they share: normalised losses, clipped gradients.

Expected losses are those of the authors' code for the logits W and S, run outside this repository
on the commits that the methods' files name; none of it is here.
"""

import math

import numpy as np
import pytest
import torch
from method_setup import Flat, Given, enter, given_batch, setup
from torch import Tensor, nn

from bench import ops
from bench.task import Batch

W = [[2.0, 0.0, 0.0, -1.0], [0.0, 1.0, -1.0, 0.0], [1.0, 1.5, 0.0, 0.5]]
S = [[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, -1.0], [0.5, 0.5, 1.0, 0.0]]
Y = [0, 1, 2]


def loss_of(name: str, task, settings: dict, logits=W) -> Tensor:
    settings = {f"{name}.{key}": value for key, value in settings.items()}
    method = setup(name, task, settings, networks=[Given(logits)])
    return method.loss(given_batch(Y))


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("eps_softmax", {"alpha": 0.01, "beta": 5.0, "m": 1e5}, 5.401680),
        ("anl", {"alpha": 1.0, "beta": 0.0}, 0.167510),
        ("anl", {"alpha": 0.0, "beta": 1.0}, 0.738186),
        ("anl", {"active": "nfl", "alpha": 1.0, "beta": 0.0}, 0.162202),
        ("anl", {"active": "nfl", "alpha": 0.0, "beta": 1.0}, 0.738149),
        ("anl", {}, 4.528480),
        ("anl", {"alpha": 10.0, "beta": 1.0}, 2.413285),
        ("jal", {}, 218.308182),
        ("jal", {"alpha": 5.0, "a": 20.0}, 96.300377),
    ],
)
def test_losses_are_the_authors(make_task, name, settings, expected):
    if name != "eps_softmax":
        settings = settings | {"delta": 0.0}
    loss = loss_of(name, make_task(num_classes=4), settings)
    assert loss.item() == pytest.approx(expected, abs=2e-6 * max(1, expected))


@pytest.mark.parametrize("name", ["anl", "jal"])
def test_the_l1_norm_of_all_parameters_is_part_of_the_loss(make_task, name):
    task = make_task(num_classes=4)
    added = loss_of(name, task, {"delta": 0.5}) - loss_of(name, task, {"delta": 0.0})
    assert added.item() == pytest.approx(0.5 * np.abs(W).sum(), rel=1e-4)


class TwoViews(nn.Module):
    """Network with the logits W for an image of zeros and S for any other."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor(S if x.any() else W)


@pytest.mark.parametrize(("weight", "expected"), [(0.3, 0.849143), (0.1, 1.258186)])
def test_gjs_is_the_authors(make_task, weight, expected):
    task = make_task(num_classes=4)
    method = setup("gjs", task, {"gjs.label_weight": weight}, networks=[TwoViews()])
    images = torch.zeros(3, 1, 8, 8)
    batch = Batch((images, images + 1), torch.tensor(Y), torch.arange(3))
    assert method.loss(batch).item() == pytest.approx(expected, abs=2e-6)


def test_gjs_sees_two_strong_views_of_each_image(make_task):
    method = setup("gjs", make_task())
    [batch] = method.batches()
    plain = method.task.batch(batch.index).x
    first, second = batch.views
    assert all((a != b).flatten(1).any(1).all() for a, b in [(first, plain), (second, plain)])
    assert (first != second).flatten(1).any(1).all()


SURE = {
    "eps_softmax": [{}, {"m": 0.0}],
    "anl": [{}, {"active": "nfl"}],
    "jal": [{}, {"active": "nfl"}],
    "gjs": [{}],
}


@pytest.mark.parametrize(("name", "settings"), [(n, s) for n, all_ in SURE.items() for s in all_])
@pytest.mark.parametrize("scale", [1.0, 20.0, 1000.0])
def test_loss_and_gradient_are_finite_where_the_network_is_certain(
    make_task, name, settings, scale
):
    """Right and wrong, up to float32 probabilities of exactly 0 and 1."""
    sure = [[scale, -scale, 0.0]] * 3 + [[0.0, 0.0, 0.0], [scale, scale, -scale]]
    net = Given(sure)
    settings = {f"{name}.{key}": value for key, value in settings.items()}
    method = setup(name, make_task(), settings, networks=[net])
    batch = given_batch([0, 1, 2, 1, 2])
    loss = method.loss(Batch(batch.views * 2, batch.y, batch.index) if name == "gjs" else batch)
    loss.backward()
    assert math.isfinite(loss.item()) and torch.isfinite(net.logits.grad).all()


# ----------------------------------------------------------------------------
# gradients between the backward pass and the step


def test_clipping_spares_what_is_not_the_networks():
    nets = [nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)]
    wrapper = nn.Parameter(torch.zeros(1))
    parameters = [nets[0].weight, nets[1].weight, wrapper]
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer = ops.clip_gradients(torch.optim.SGD(parameters, lr=1.0), nets, 1.0)
    for parameter, gradient in zip(parameters, ([[3.0, 0.0]], [[0.0, 4.0]], [7.0]), strict=True):
        parameter.grad = torch.tensor(gradient)
    optimizer.step()
    steps = [(a - b.detach()).flatten().tolist() for a, b in zip(before, parameters, strict=True)]
    assert steps == [pytest.approx([0.6, 0.0]), pytest.approx([0.0, 0.8]), [7.0]]


@pytest.mark.parametrize("name", ["apl", "eps_softmax", "anl", "jal"])
@pytest.mark.parametrize("limit", [0.0, 1e-3])
def test_losses_clip_their_gradients(make_task, name, limit):
    method = setup(name, make_task(), {f"{name}.clip_norm": limit})
    optimizer = method.optimizer(method.param_groups())
    method.update(method.task.batch(torch.arange(16)), optimizer)
    gradients = [parameter.grad for parameter in method.networks[0].parameters()]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    assert norm == pytest.approx(limit, rel=1e-3) if limit else norm > 1e-2


def test_cdr_moves_the_critical_weights_and_lets_the_others_decay(make_task):
    """115 of 192 weights at a noise rate of 0.4, by hand; in the first step of momentum."""
    method = setup("cdr", make_task(), {"cdr.noise_rate": 0.4})
    enter(method, 0)
    [net] = method.networks
    assert isinstance(net, Flat)
    optimizer = method.optimizer(method.param_groups())
    batch = method.task.batch(torch.arange(16))
    method.loss(batch).backward()
    before, bias = net.head.weight.detach().clone(), net.head.bias.detach().clone()
    gradient, bias_gradient = net.head.weight.grad.clone(), net.head.bias.grad.clone()
    method.update(batch, optimizer)
    score = (before * gradient).abs().flatten()
    critical = torch.zeros(192).index_fill(0, score.argsort()[-115:], 1).view_as(before)
    rate, decay = method.recipe.learning_rate, method.recipe.weight_decay
    torch.testing.assert_close(
        net.head.weight.detach(), before - rate * (0.6 * critical * gradient + decay * before)
    )
    torch.testing.assert_close(net.head.bias.detach(), bias - rate * (bias_gradient + decay * bias))


def test_cdr_estimates_its_rate_in_the_ramp(make_task, monkeypatch):
    losses = torch.cat([torch.linspace(0.0, 0.1, 12), torch.linspace(2.0, 2.1, 4)])
    monkeypatch.setattr(ops.passes, "per_sample_loss", lambda method, net: losses)
    method = setup("cdr", make_task(), {"cdr.ramp_epochs": 2}, epochs=200)
    shares = []
    for epoch in range(4):
        enter(method, epoch)
        shares.append(method.critical_share)
        if epoch == 2:
            losses = torch.ones(16)  # nothing would tell labels apart
    assert shares == pytest.approx([1.0, 0.75, 0.75, 0.75], abs=1e-6)
