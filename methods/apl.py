"""Active-passive loss (Ma et al., ICML 2020, arXiv 2006.13554): adds a robust passive loss to a
normalised active one, which is robust but fits slowly by itself.

[source] Formulas and defaults are those of the authors' code (GitHub HanxunH/Active-Passive-Losses,
commit 04bce53): alpha * active + beta * passive. Active losses are "nce", cross-entropy divided by
its sum over all classes as labels, and "nfl", the focal loss normalised in the same way, whose
factor (1 - p)^gamma is a constant to the gradient. Passive losses are "rce", reverse cross-entropy
with A = ln 1e-4, and "mae", 1 - p_y. The authors train an eight-layer network on CIFAR-10, which is
not among this project's, and clip the gradient's norm at 5; by default nothing is clipped here.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bench import ops
from bench.method import Method, added, check_nonnegative
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
        """Defaults of the authors for CIFAR-10; for CIFAR-100 they have alpha 10 and beta 0.1."""

        active: Literal["nce", "nfl"] = "nce"
        passive: Literal["rce", "mae"] = "rce"
        alpha: float = 1.0
        beta: float = 1.0
        gamma: float = 0.5  # of "nfl" alone
        clip_norm: float = added(0.0, neutral=0.0)  # 0: no clipping; the authors have 5

        def __post_init__(self) -> None:
            check_nonnegative(self, "alpha", "beta", "gamma", "clip_norm")

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return ops.clip_gradients(super().optimizer(groups), self.networks, self.hp.clip_norm)

    @property
    def gamma(self) -> float:
        """Exponent of the focal loss; 0 makes it cross-entropy."""
        return self.hp.gamma if self.hp.active == "nfl" else 0.0

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        log_p = net(batch.x).float().log_softmax(1)
        active = ops.normalised_loss(ops.focal_losses(log_p, self.gamma), batch.y)
        passive = -log_p.gather(1, batch.y[:, None])[:, 0].expm1()  # 1 - p_y
        if self.hp.passive == "rce":
            passive = -math.log(1e-4) * passive
        return (self.hp.alpha * active + self.hp.beta * passive).mean()
