"""Changes to an optimiser in the course of a run."""

import torch

from bench.recipe import Recipe


def lower_first_beta(optimizer: torch.optim.Optimizer | None, recipe: Recipe, epoch: int) -> None:
    """Set Adam's first beta from 0.9 to 0.1 once a linear schedule falls, as in Co-teaching.

    A method calls it in every epoch, so that nothing has to be restored on resuming.
    """
    falling = recipe.schedule == "linear" and epoch / recipe.epochs >= recipe.milestones[0]
    if isinstance(optimizer, torch.optim.Adam) and falling:
        for group in optimizer.param_groups:
            group["betas"] = (0.1, group["betas"][1])
