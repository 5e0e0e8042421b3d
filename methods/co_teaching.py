"""Co-teaching (Han et al., NeurIPS 2018, arXiv 1804.06872): each of two networks learns from the
samples its peer finds easy.

[source] Written from the authors' code (GitHub bhanML/Co-teaching, commit 7c7fbe2). In the
``paper`` recipe, when the rate starts to fall (after 80 of 200 epochs; 100 for CIFAR-100), Adam's
first beta goes from 0.9 to 0.1. Their loss divides the mean over the kept samples by their number
once more, which Adam does not feel; here it is the mean. Not taken over: their CNN of nine layers,
the last batch left out. Their first trained epoch is the second of a ramp that ends an epoch
sooner; [inferred] here the first forgets nothing, since the networks know nothing yet.

The authors forget as many samples as there are wrong labels: ``forget_rate="oracle"``, a privilege.
[inferred] The default estimates that share on the noisy data alone: after each epoch of the ramp,
the weight of the high-loss component of a two-component mixture on both networks' mean loss; it is
kept from then on, since later the networks memorise.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.task import Batch, Task


class CoTeaching(Method):
    """Small-loss selection, crossed between two networks."""

    num_networks = 2
    reference_epochs = 200
    begins = ["ramp_epochs"]
    oracles = {"forget_rate": ["noise_rate"]}
    # what a network selects by is what it learns from; in the ramp the estimate takes all losses,
    # of both
    passes = (2, 0)
    paper = {
        "epochs": 200,
        "augmentation": "none",
        "batch_size": 128,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "linear",
        "milestones": (0.4,),
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors' code."""

        forget_rate: Literal["estimate", "oracle"] | float = "estimate"  # tau
        ramp_epochs: int = 10  # T_k
        # c; the ramp leads to tau^c, and after it the rate is tau, as in the authors' code
        exponent: float = 1.0

        def __post_init__(self) -> None:
            if not isinstance(self.forget_rate, str) and not 0 <= self.forget_rate < 1:
                raise InputError(
                    f"co_teaching.forget_rate is {self.forget_rate:g}: give a rate from 0 up to 1"
                )
            if self.ramp_epochs < 1:
                raise InputError(f"co_teaching.ramp_epochs is {self.ramp_epochs}: give at least 1")

    forget_rate: Tensor
    selected: Tensor
    steps: torch.optim.Optimizer | None = None  # the optimiser of the moment

    def setup(self, task: Task) -> None:
        super().setup(task)
        given = {"estimate": 0.0, "oracle": task.oracle.noise_rate if self.privileges else None}
        rate = given.get(self.hp.forget_rate, self.hp.forget_rate)
        self.register_buffer(
            "forget_rate", torch.tensor(rate, device=task.device, dtype=torch.float32)
        )
        self.register_buffer("selected", torch.ones(task.num_train, device=task.device))

    def epoch_start(self) -> None:
        self.ramp = self.warmup(self.hp.ramp_epochs)
        if self.hp.forget_rate == "estimate" and 1 <= self.epoch <= self.ramp:
            losses = torch.stack([ops.per_sample_loss(self, net) for net in self.networks]).mean(0)
            self.forget_rate.copy_(
                1 - ops.clean_probability(losses, shapes=self.task.mixtures).mean()
            )
        rate = self.forget_rate.item()  # once an epoch
        ramping = (
            self.epoch / self.ramp * rate**self.hp.exponent if self.epoch < self.ramp else rate
        )
        self.keep_share = 1 - ramping
        ops.lower_first_beta(self.steps, self.recipe, self.epoch)

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        self.steps = super().optimizer(groups)
        return self.steps

    def loss(self, batch: Batch) -> Tensor:
        # the share is rounded: 0.8 of 5 has to be 4
        keep = max(1, int(self.keep_share * len(batch.y) + 1e-4))
        losses = [F.cross_entropy(net(batch.x), batch.y, reduction="none") for net in self.networks]
        easy = [loss.detach().topk(keep, largest=False).indices for loss in losses]
        half = torch.full((2 * keep,), 0.5, device=batch.y.device)
        self.selected[batch.index] = torch.zeros(len(batch.y), device=half.device).index_add(
            0, torch.cat(easy), half
        )
        return losses[0][easy[1]].mean() + losses[1][easy[0]].mean()

    def clean_probability(self) -> Tensor:
        """The share of the two networks that chose the sample when they last saw it."""
        return self.selected
