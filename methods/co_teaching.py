"""Co-teaching (Han et al., NeurIPS 2018, arXiv 1804.06872): each of two networks learns from the
samples that have a small loss in the other.

[source] Written from the authors' code (GitHub bhanML/Co-teaching, commit 7c7fbe2). In the
``paper`` recipe, when the rate starts to fall (after 80 of 200 epochs; 100 for CIFAR-100), Adam's
first beta goes from 0.9 to 0.1. Their loss divides the mean over the selected samples by their
number once more, which Adam does not feel while all batches have one size; here it is the mean. Not
taken over: their CNN of nine layers, the last batch left out. Their first trained epoch is the
second of a ramp that ends an epoch sooner; [inferred] here the first forgets nothing, since the
networks know nothing yet.

The authors forget as many samples as there are wrong labels: ``forget_rate="oracle"``, a privilege.
[inferred] The default estimates that share on the noisy data alone: after each epoch of the ramp it
is the weight of the high-loss component of a two-component mixture on both networks' mean loss. The
last estimate stays, since the networks memorise after the ramp.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_at_least
from bench.task import Batch, Task


class CoTeaching(Method):
    """Small-loss selection, crossed between two networks."""

    num_networks = 2
    reference_epochs = 200
    begins = ["ramp_epochs"]
    oracles = {"forget_rate": ["noise_rate"]}
    # The same pass selects samples and trains. The estimate's passes, in the ramp, do not count.
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
        # c: the ramp leads to tau^c, and after it the rate is tau, as in the authors' code.
        exponent: float = 1.0

        def __post_init__(self) -> None:
            check_forgetting("co_teaching", self.forget_rate)
            check_at_least(self, 1, "ramp_epochs")

    forget_rate: Tensor
    selected: Tensor
    adam: torch.optim.Optimizer | None = None  # the current optimiser, if the recipe's is Adam

    def setup(self, task: Task) -> None:
        super().setup(task)
        rate = self.hp.forget_rate
        if rate == "oracle":
            rate = task.oracle.noise_rate
        rate = torch.tensor(0.0 if rate == "estimate" else rate, dtype=torch.float32)
        self.register_buffer("forget_rate", rate.to(task.device))
        self.register_buffer("selected", torch.ones(task.num_train, device=task.device))

    def epoch_start(self) -> None:
        self.ramp = self.warmup(self.hp.ramp_epochs)
        if self.hp.forget_rate == "estimate" and 1 <= self.epoch <= self.ramp:
            self.forget_rate.copy_(ops.estimated_rate(self))
        rate = self.forget_rate.item()  # read once an epoch, since a GPU has to be waited for
        if self.epoch < self.ramp:
            rate = self.epoch / self.ramp * rate**self.hp.exponent
        self.keep_share = 1 - rate
        ops.lower_first_beta(self.adam, self.recipe, self.epoch)

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        self.adam = super().optimizer(groups)
        return self.adam

    def loss(self, batch: Batch) -> Tensor:
        keep = self.number_kept(batch)
        losses = [F.cross_entropy(net(batch.x), batch.y, reduction="none") for net in self.networks]
        easy = [loss.detach().topk(keep, largest=False).indices for loss in losses]
        half = torch.full((2 * keep,), 0.5, device=batch.y.device)
        nowhere = torch.zeros(len(batch.y), device=batch.y.device)
        self.selected[batch.index] = nowhere.index_add(0, torch.cat(easy), half)
        return losses[0][easy[1]].mean() + losses[1][easy[0]].mean()

    def number_kept(self, batch: Batch) -> int:
        """Return the number of samples that a batch keeps: at least one."""
        # The small number is for rounding: 0.8 of 5 has to be 4.
        return max(1, int(self.keep_share * len(batch.y) + 1e-4))

    def clean_probability(self) -> Tensor:
        """Return the share of the two networks that selected the sample when they last saw it."""
        return self.selected

    def figures(self) -> dict[str, float]:
        return {"forget_rate": self.forget_rate.item()}


def check_forgetting(method: str, rate: str | float) -> None:
    """Raise InputError unless a forget rate is a word or a share below 1."""
    if not isinstance(rate, str) and not 0 <= rate < 1:
        raise InputError(f"{method}.forget_rate is {rate:g}: give a rate from 0 up to 1")
