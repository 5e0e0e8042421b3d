"""Layers for CPUs without bfloat16 units compute the same as PyTorch's in bfloat16."""

import pytest
import torch
from torch import nn

from bench import task
from bench.networks.bfloat16 import RoundedConv2d, RoundedLinear, round_layers

LAYERS = {
    "convolution": (
        lambda bias: nn.Conv2d(8, 16, 3, padding=1, bias=bias),
        (4, 8, 9, 9),
        RoundedConv2d,
    ),
    "strided convolution": (
        lambda bias: nn.Conv2d(8, 16, 3, 2, padding=1, bias=bias),
        (4, 8, 9, 9),
        RoundedConv2d,
    ),
    "linear": (lambda bias: nn.Linear(40, 16, bias=bias), (32, 40), RoundedLinear),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bias", [False, True])
def test_result_and_gradients_are_exact_sums_of_rounded_numbers(name, bias):
    torch.manual_seed(0)
    make, shape, kind = LAYERS[name]
    layer = make(bias)
    x = torch.randn(shape, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        theirs = layer(x)
        round_layers(layer)
        ours = layer(x)
    assert type(layer) is kind and ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=1e-3)  # a unit in the last place

    upstream = torch.randn(ours.shape).bfloat16()
    gradients = torch.autograd.grad(ours, [x, *layer.parameters()], upstream)
    rounded = [
        tensor.detach().bfloat16().double().requires_grad_() for tensor in (x, *layer.parameters())
    ]
    names = [name for name, _ in layer.named_parameters()]
    exact = torch.func.functional_call(
        layer.double(), dict(zip(names, rounded[1:], strict=True)), rounded[0]
    )
    expected = torch.autograd.grad(exact, rounded, upstream.double())
    for mine, other in zip([ours, *gradients], [exact, *expected], strict=True):
        torch.testing.assert_close(mine.float(), other.bfloat16().float(), rtol=2**-7, atol=1e-3)
    in_float32 = layer.float()(x)
    assert (ours - in_float32).abs().max() > 1e-3  # which it is not


def test_without_autocast_nothing_is_rounded():
    conv = nn.Conv2d(3, 4, 3)
    x = torch.randn(2, 3, 8, 8)
    before = conv(x)
    round_layers(conv)
    assert torch.equal(conv(x), before)


def test_a_pass_without_gradients_keeps_no_weights_for_the_next(make_task):
    """PyTorch up to about 2.11 kept rounded weights for the next pass.

    They got no gradients there.
    """
    with make_task(precision="bf16").autocast():
        assert torch.is_autocast_enabled("cpu") and not torch.is_autocast_cache_enabled()


def test_trials_use_it_where_the_cpu_has_no_units(monkeypatch, make_task):
    for fast, kinds in ((True, {nn.Conv2d, nn.Linear}), (False, {RoundedConv2d, RoundedLinear})):
        monkeypatch.setattr(task.task, "bfloat16_units", lambda fast=fast: fast)
        net = make_task(precision="bf16").build_network()
        assert {
            type(module) for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)
        } == kinds
