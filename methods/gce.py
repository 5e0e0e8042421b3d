"""Generalised cross-entropy (Zhang & Sabuncu, NeurIPS 2018, arXiv 1805.07836): a loss
between cross-entropy and mean absolute error.

The plain form is the default. ``truncated`` adds the paper's pruning: samples whose probability is
at most ``threshold`` get no gradient. [inferred] The authors alternate between pruning by whole
epochs and training; here the current prediction prunes, after a warm-up (their first 40 of 120
epochs).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.task import Batch, Task


class GCE(Method):
    """L_q = (1 - p^q) / q of the noisy label's probability p."""

    reference_epochs = 120
    static_step = True
    paper = {
        "backbone": "resnet34",
        "epochs": 120,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (1 / 3, 2 / 3),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the paper, whose code is not known.

        A port is GitHub AlanChou/Truncated-Loss, commit fef5908.
        """

        q: float = 0.7  # 0 is cross-entropy, 1 mean absolute error
        truncated: bool = False
        threshold: float = 0.5  # k
        warmup_epochs: int = 40

        def __post_init__(self) -> None:
            if not 0 < self.q <= 1:
                raise InputError(f"gce.q is {self.q:g}: give a number above 0 and at most 1")
            if not 0 < self.threshold < 1:
                advice = "give a number between 0 and 1"
                raise InputError(f"gce.threshold is {self.threshold:g}: {advice}")

    clean: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("clean", torch.ones(task.num_train, device=task.device))

    def grace(self) -> int:
        return self.warmup(self.hp.warmup_epochs) if self.hp.truncated else 0

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        log_p = -F.cross_entropy(net(batch.x), batch.y, reduction="none")
        loss = ops.generalised_cross_entropy(log_p, self.hp.q)
        if self.hp.truncated and self.epoch >= self.warmup(self.hp.warmup_epochs):
            self.clean[batch.index] = clean = (log_p.detach().exp() > self.hp.threshold).float()
            loss = loss * clean
        return loss.mean()

    def clean_probability(self) -> Tensor | None:
        return self.clean if self.hp.truncated else None
