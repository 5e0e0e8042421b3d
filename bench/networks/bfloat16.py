"""bfloat16 on CPUs that have no units for it: the same roundings, with the sums that such units
keep in float32.

There PyTorch's own convolution in bfloat16 takes ten times as long as the one in float32, and a
linear layer up to ninety. These take as long as in float32, so that what the precision does to
accuracy can be seen on any machine.
"""

import torch
from torch import Tensor, nn


class RoundedConv2d(nn.Conv2d):
    """A convolution that, under autocast to bfloat16, rounds operands, result and all gradients,
    and sums in float32.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not _to_bfloat16(input):
            return super()._conv_forward(input, weight, bias)
        with torch.autocast(input.device.type, enabled=False):
            return (
                super()
                ._conv_forward(_rounded(input), _rounded(weight), _rounded_bias(bias))
                .bfloat16()
            )


class RoundedLinear(nn.Linear):
    """A linear layer of the same kind."""

    def forward(self, input: Tensor) -> Tensor:
        """The features (..., out) of (..., in)."""
        if not _to_bfloat16(input):
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return nn.functional.linear(
                _rounded(input), _rounded(self.weight), _rounded_bias(self.bias)
            ).bfloat16()


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
    """Make all plain convolutions and linear layers below ``module`` such ones; their weights stay
    what they are.
    """
    for own in module.modules():
        if type(own) in _ROUNDED:
            own.__class__ = _ROUNDED[type(own)]
