"""CORES2 (Cheng et al., ICLR 2021, arXiv 2010.02347): a regulariser that wants confident
predictions, and a sieve that keeps the samples whose loss is below what other labels would get.

[source] Written from the authors' code (GitHub UCSC-REAL/cores, commit cf0945e, phase 1): beta is 0
for 10 epochs, rises to 2 over 30, and divides the learning rate by 1 + beta; the sieve begins in
their epoch 31 (from 0) and judges each batch as it comes; the prior is the share of each noisy
label among the samples kept in the epoch before. Their second phase, which trains on the rejected
samples without labels (CORES2*), is another method and left out. Where a batch keeps nothing, their
code returns a loss without its second result and stops; here that batch's loss is 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.errors import InputError
from bench.method import Method
from bench.task import Batch, Task


class CORES2(Method):
    """Mean over kept samples of l(y) - beta * E_prior[l], with l the cross-entropy."""

    reference_epochs = 100
    begins = ["sieve_start"]
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
            for name, least in (
                ("weight", 0),
                ("ramp_start", 0),
                ("ramp_epochs", 1),
                ("sieve_start", 0),
            ):
                if getattr(self, name) < least:
                    raise InputError(
                        f"cores2.{name} is {getattr(self, name):g}: give at least {least}"
                    )

    kept: Tensor
    prior: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("kept", torch.ones(task.num_train, device=task.device))
        self.register_buffer("prior", torch.zeros(task.num_classes, device=task.device))
        self.epoch_end()

    def beta(self, epoch: int) -> float:
        """Weight of the regulariser; the ramp's first epoch has 0 and its last the whole."""
        steps = max(1, self.interval(self.hp.ramp_epochs) - 1)
        return self.hp.weight * min(1.0, max(0, epoch - self.phase(self.hp.ramp_start)) / steps)

    def schedule(self, progress: float) -> float:
        return super().schedule(progress) / (1 + self.beta(round(progress * self.recipe.epochs)))

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        log_p = net(batch.x).float().log_softmax(1)
        loss = F.nll_loss(log_p, batch.y, reduction="none")
        # (B, C): the loss that each class would get as the label
        others = -(log_p.exp() + 1e-8).log()
        keep = torch.ones_like(loss)
        if self.epoch >= self.warmup(self.hp.sieve_start):
            keep = (loss <= others.mean(1)).float()
        self.kept[batch.index] = keep
        return (
            keep * (loss - self.beta(self.epoch) * others @ self.prior)
        ).sum() / keep.sum().clamp_min(1)

    def epoch_end(self) -> None:
        counts = torch.bincount(self.task.noisy_labels, self.kept, minlength=self.task.num_classes)
        self.prior.copy_(counts / counts.sum().clamp_min(1))

    def clean_probability(self) -> Tensor:
        return self.kept
