"""Symmetric cross-entropy (Wang et al., ICCV 2019, arXiv 1908.06112): adds reverse
cross-entropy, in which label and prediction change places, to cross-entropy.

[source] alpha * CE + beta * RCE. In the reverse term log 0 has to be a number A: the authors' code
clamps the one-hot label at 1e-4, so that A = ln 1e-4 = -9.21, while the paper's text has A = -4.
The code is followed, since its alpha and beta go with it. RCE is then -A * (1 - p_y). The authors
train an eight-layer network on CIFAR-10, which is not among this project's.

The ``paper`` recipe is that of the reproduction that the authors' README names (GitHub
HanxunH/SCELoss-Reproduce, commit c81fb33), but for its Nesterov momentum and the decay of 0.01 on
one layer. The authors' own code (commit ec778df) makes its optimiser with a rate of 0.1, which a
scheduler sets to 0.01 on CIFAR-10 before the first step; it falls a little after every step
besides, and only that one layer decays.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from bench.errors import InputError
from bench.method import Method
from bench.task import Batch


class SCE(Method):
    """alpha * CE(y, p) + beta * CE(p, y)."""

    reference_epochs = 120
    static_step = True
    paper = {
        "epochs": 120,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "step",
        "milestones": (1 / 3, 2 / 3),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the paper for CIFAR-10; for CIFAR-100 alpha 6 and beta 0.1.

        Their code is GitHub YisenWang/symmetric_cross_entropy_for_noisy_labels.
        """

        alpha: float = 0.1  # weight of cross-entropy
        beta: float = 1.0  # weight of reverse cross-entropy
        clamp: float = 1e-4  # zeros of the one-hot label; its logarithm is A

        def __post_init__(self) -> None:
            if self.alpha < 0 or self.beta < 0:
                raise InputError("sce.alpha and sce.beta are weights: give numbers from 0")
            if not 0 < self.clamp < 1:
                raise InputError(f"sce.clamp is {self.clamp:g}: give a number between 0 and 1")

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        cross_entropy = F.cross_entropy(net(batch.x).float(), batch.y, reduction="none")
        reverse = math.log(self.hp.clamp) * (-cross_entropy).expm1()  # -A * (1 - p_y)
        return (self.hp.alpha * cross_entropy + self.hp.beta * reverse).mean()
