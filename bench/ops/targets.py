"""Distributions over the classes that networks are trained towards."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def distributions(targets: Tensor, y: Tensor) -> Tensor:
    """Targets (N, C), not negative, divided by their sums.

    A row whose sum is 0 becomes its label (N,) as a one-hot vector.
    """
    sums = targets.sum(1, keepdim=True)
    labels = F.one_hot(y, targets.shape[1]).to(targets.dtype)
    tiny = torch.finfo(targets.dtype).tiny
    return torch.where(sums > tiny, targets / sums.clamp_min(tiny), labels)


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Distributions (B, C) raised to 1 / temperature and normalised again."""
    powers = probabilities ** (1 / temperature)
    sums = powers.sum(1, keepdim=True)
    # At low temperatures all powers of a row can underflow: then relative to its largest.
    relative = (probabilities / probabilities.amax(1, keepdim=True)) ** (1 / temperature)
    return torch.where(sums > 0, powers / sums, relative / relative.sum(1, keepdim=True))


def mean_prediction(nets: Iterable[nn.Module], views: Sequence[Tensor]) -> Tensor:
    """Mean class probabilities (B, C) over networks and views of the same images.

    Networks pass in the order given, each over all views: in train mode, batch norm follows.
    """
    return torch.stack([net(x).float().softmax(1) for net in nets for x in views]).mean(0)
