"""Changes to an optimiser: of its settings in the course of a run, of gradients before a step."""

from collections.abc import Iterable

import torch
from torch import nn

from bench.recipe import Recipe


def lower_first_beta(optimizer: torch.optim.Optimizer | None, recipe: Recipe, epoch: int) -> None:
    """Set Adam's first beta from 0.9 to 0.1 once a linear schedule falls, as in Co-teaching.

    A method calls it in every epoch, so that nothing has to be restored on resuming.
    """
    falling = recipe.schedule == "linear" and epoch / recipe.epochs >= recipe.milestones[0]
    if isinstance(optimizer, torch.optim.Adam) and falling:
        for group in optimizer.param_groups:
            group["betas"] = (0.1, group["betas"][1])


def clip_gradients(
    optimizer: torch.optim.Optimizer, networks: Iterable[nn.Module], limit: float
) -> torch.optim.Optimizer:
    """Clip the norm of the networks' gradients, all together, before each step of an optimiser.

    The optimiser may train further parameters, such as a wrapper's: their gradients stay. Without
    a limit, which is 0 then, nothing is clipped.
    """
    parameters = [parameter for net in networks for parameter in net.parameters()]

    def clip(*_: object) -> None:
        nn.utils.clip_grad_norm_(parameters, limit)

    if limit:
        optimizer.register_step_pre_hook(clip)
    return optimizer
