"""Selection of samples that are taken as clean."""

import torch
from torch import Tensor


def smallest_of_each_class(values: Tensor, y: Tensor, count: int, num_classes: int) -> Tensor:
    """Mask (N,) of the samples with the smallest values (N,) among those of their label (N,).

    There are ``count`` of each class, or all of a smaller one.
    """
    order = values.argsort(stable=True)
    order = order[y[order].argsort(stable=True)]  # by class, the smallest value first
    sizes = y.bincount(minlength=num_classes)
    rank = torch.arange(len(y), device=y.device) - (sizes.cumsum(0) - sizes)[y[order]]
    selected = torch.zeros_like(y, dtype=torch.bool)
    selected[order] = rank < count
    return selected
