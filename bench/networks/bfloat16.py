"""Layers for CPUs without bfloat16 units: the same roundings, and sums in float32 as in such units.

On these CPUs, PyTorch's convolution in bfloat16 takes ten times as long as in float32, and a linear
layer up to ninety times. The layers here take as long as in float32, so that the effect of the
precision on accuracy can be seen on any machine.
"""

import torch
from torch import Tensor, nn


class RoundedConv2d(nn.Conv2d):
    """A convolution that, under autocast to bfloat16, rounds as bfloat16 units do.

    Operands, result and all gradients are rounded; sums are in float32.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not _to_bfloat16(input):
            return super()._conv_forward(input, weight, bias)
        with torch.autocast(input.device.type, enabled=False):
            operands = _rounded(input), _rounded(weight), _rounded_bias(bias)
            return super()._conv_forward(*operands).bfloat16()


class RoundedLinear(nn.Linear):
    """A linear layer that, under autocast to bfloat16, rounds as bfloat16 units do."""

    def forward(self, input: Tensor) -> Tensor:
        """Return features (..., out) of features (..., in)."""
        if not _to_bfloat16(input):
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            operands = _rounded(input), _rounded(self.weight), _rounded_bias(self.bias)
            return nn.functional.linear(*operands).bfloat16()


_ROUNDED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: RoundedConv2d,
    nn.Linear: RoundedLinear,
}


def _to_bfloat16(tensor: Tensor) -> bool:
    device = tensor.device.type
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16


def _rounded(tensor: Tensor) -> Tensor:
    return tensor.bfloat16().float()


def _rounded_bias(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else _rounded(bias)


def round_layers(module: nn.Module) -> None:
    """Turn all plain convolutions and linear layers of a module into rounding ones, in place.

    Their weights stay unchanged.
    """
    for layer in module.modules():
        if type(layer) in _ROUNDED:
            layer.__class__ = _ROUNDED[type(layer)]
