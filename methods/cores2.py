"""CORES2 (Cheng et al., ICLR 2021, arXiv 2010.02347): a regulariser rewards confident
predictions, and a sieve keeps the samples whose loss is below the mean loss of all possible labels.

[source] Written from the authors' code (GitHub UCSC-REAL/cores, commit cf0945e, phase 1). beta is 0
for 10 epochs, rises to 2 over 30, and divides the learning rate by 1 + beta. The sieve begins in
their epoch 31 (from 0) and judges each batch as it comes. The prior is the share of each noisy
label among the samples kept in the epoch before. Their second phase, which trains on the rejected
samples without labels (CORES2*), is another method and left out. Where a batch keeps nothing, their
code returns a loss without its second result and stops; here that batch's loss is 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.method import Method, check_at_least
from bench.task import Batch, Task


class CORES2(Method):
    """Mean over sieved samples of l(y) - beta * E_prior[l], with l the cross-entropy."""

    reference_epochs = 100
    begins = ["sieve_start"]
    axes = {"weight": "weight"}
    paper = {
        "backbone": "resnet34",
        "epochs": 100,
        "augmentation": "crop_flip",
        "batch_size": 64,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "schedule": "step",
        "milestones": (0.5,),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors' code."""

        weight: float = 2.0  # beta at its end
        ramp_start: int = 10
        ramp_epochs: int = 30
        sieve_start: int = 31

        def __post_init__(self) -> None:
            check_at_least(self, 0, "weight", "ramp_start", "sieve_start")
            check_at_least(self, 1, "ramp_epochs")

    clean: Tensor
    prior: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("clean", torch.ones(task.num_train, device=task.device))
        self.register_buffer("prior", torch.zeros(task.num_classes, device=task.device))
        self.epoch_end()

    def beta(self, epoch: int) -> float:
        """Return the weight of the regulariser, which the ramp raises from 0 in its first epoch."""
        steps = max(1, self.interval(self.hp.ramp_epochs) - 1)
        return self.hp.weight * min(1.0, max(0, epoch - self.phase(self.hp.ramp_start)) / steps)

    def schedule(self, progress: float) -> float:
        return super().schedule(progress) / (1 + self.beta(round(progress * self.recipe.epochs)))

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        log_p = net(batch.x).float().log_softmax(1)
        loss = F.nll_loss(log_p, batch.y, reduction="none")
        losses = -(log_p.exp() + 1e-8).log()  # (B, C): column k is the loss if k were the label
        clean = torch.ones_like(loss)
        if self.epoch >= self.warmup(self.hp.sieve_start):
            clean = (loss <= losses.mean(1)).float()
        self.clean[batch.index] = clean
        regularised = loss - self.beta(self.epoch) * losses @ self.prior
        return (clean * regularised).sum() / clean.sum().clamp_min(1)

    def epoch_end(self) -> None:
        counts = torch.bincount(self.task.noisy_labels, self.clean, minlength=self.task.num_classes)
        self.prior.copy_(counts / counts.sum().clamp_min(1))

    def clean_probability(self) -> Tensor:
        return self.clean
