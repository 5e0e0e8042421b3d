"""Active-passive loss (Ma et al., ICML 2020, arXiv 2006.13554): a normalised loss, robust but slow
to fit, and a second robust loss that helps it along.

[source] Formulas and defaults of the authors' code (GitHub HanxunH/Active-Passive-Losses, commit
04bce53): alpha * active + beta * passive. Active, "nce": cross-entropy divided by its sum over all
classes as labels; "nfl": the same of the focal loss, whose factor (1 - p)^gamma is a constant to
the gradient. Passive, "rce": reverse cross-entropy with A = ln 1e-4; "mae": 1 - p_y. They train an
eight-layer network on CIFAR-10, which is not among ours, and clip the gradient's norm at 5, for
which there is no hook.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.errors import InputError
from bench.method import Method
from bench.task import Batch


class APL(Method):
    """alpha * active + beta * passive."""

    reference_epochs = 120
    static_step = True
    paper = {
        "epochs": 120,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "cosine",
    }

    @dataclass(frozen=True)
    class HParams:
        """The authors' for CIFAR-10; for CIFAR-100 they have alpha 10 and beta 0.1."""

        active: Literal["nce", "nfl"] = "nce"
        passive: Literal["rce", "mae"] = "rce"
        alpha: float = 1.0
        beta: float = 1.0
        gamma: float = 0.5  # of "nfl" alone

        def __post_init__(self) -> None:
            for name in ("alpha", "beta", "gamma"):
                if getattr(self, name) < 0:
                    raise InputError(f"apl.{name} is {getattr(self, name):g}: give a number from 0")

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        log_p = net(batch.x).float().log_softmax(1)
        losses = -log_p  # (B, C): as if each class were the label
        if self.hp.active == "nfl":
            losses = (-torch.expm1(log_p.detach())) ** self.hp.gamma * losses
        own = batch.y[:, None]
        active = losses.gather(1, own) / losses.sum(1, keepdim=True)
        passive = -log_p.gather(1, own).expm1()  # 1 - p_y
        if self.hp.passive == "rce":
            passive = -math.log(1e-4) * passive
        return (self.hp.alpha * active + self.hp.beta * passive).mean()
