"""mixup (Zhang et al., ICLR 2018, arXiv 1710.09412): trains on convex combinations of pairs of
samples and labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.task import Batch


class Mixup(Method):
    """One lambda ~ Beta(alpha, alpha) a batch; partners from a random permutation of the batch."""

    reference_epochs = 200
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 200,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (0.5, 0.75),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Default of Zhang et al. on CIFAR-10 (GitHub facebookresearch/mixup-cifar10,
        commit eaff31a).
        """

        alpha: float = 1.0

        def __post_init__(self) -> None:
            if self.alpha <= 0:
                raise InputError(f"mixup.alpha is {self.alpha:g}: give a number above 0")

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        lam = ops.beta_sample(self.hp.alpha, self.task.rng)
        partner = torch.randperm(len(batch.y), generator=self.task.generator, device=batch.y.device)
        logits = net(lam * batch.x + (1 - lam) * batch.x[partner])
        return lam * F.cross_entropy(logits, batch.y) + (1 - lam) * F.cross_entropy(
            logits, batch.y[partner]
        )
