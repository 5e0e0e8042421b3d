"""VolMinNet (Li et al., ICML 2021, arXiv 2102.02400): learns the transition matrix with the
network, and prefers the matrix of smallest volume among all that explain the noisy labels.

[source] Written from the authors' code (GitHub
xuefeng-li1/Provably-end-to-end-label-noise-learning-without-anchor-points, commit 06e4167): rows of
T are I + sigmoid(w) off the diagonal, divided by their sum, so that the diagonal is the largest
entry. Its optimiser has the network's learning rate and schedule, and no weight decay. They train T
by SGD on CIFAR-10 and by Adam on CIFAR-100; here the recipe's optimiser trains it. [inferred] The
loss is computed from logarithms: the authors' log of a product is -inf where it underflows.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.method import Method, check_nonnegative
from bench.task import Batch, Task


class VolMinNet(Method):
    """Cross-entropy of p T with the noisy label, plus lambda * log |det T|."""

    reference_epochs = 80
    axes = {"weight": "weight"}
    paper = {
        "backbone": "resnet18",
        "epochs": 80,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (30 / 80, 60 / 80),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors for CIFAR-10."""

        weight: float = 1e-4  # lambda
        init: float = 2.0  # w starts at -init; 4.5 for CIFAR-100

        def __post_init__(self) -> None:
            check_nonnegative(self, "weight")

    def setup(self, task: Task) -> None:
        super().setup(task)
        square = (task.num_classes, task.num_classes)
        self.w = nn.Parameter(torch.full(square, -self.hp.init, device=task.device))

    def param_groups(self) -> list[dict[str, Any]]:
        return [*super().param_groups(), {"params": [self.w], "weight_decay": 0.0}]

    def transition_matrix(self) -> Tensor:
        """Return T (C, C): row i is the distribution of the noisy labels of class i."""
        identity = torch.eye(len(self.w), device=self.w.device)
        return F.normalize(identity + self.w.sigmoid() * (1 - identity), p=1, dim=1)

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        transition = self.transition_matrix()
        volume = transition.slogdet().logabsdet
        loss = ops.corrected_cross_entropy(net(batch.x), transition, batch.y)
        return loss + self.hp.weight * volume
