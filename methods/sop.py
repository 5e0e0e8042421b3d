"""Sparse over-parameterisation (SOP: Liu et al., ICML 2022, arXiv 2202.14026): learns the label
noise of each sample as u^2 - v^2, which gradient descent from near 0 keeps sparse.

[source] Written from the authors' code (GitHub shengliu66/SOP, commit 4d991ce): one u a sample, one
v a sample and class. Cross-entropy of the prediction plus the noise trains the network and u. A
squared error of the predicted class plus the noise trains u and v. Both descend by SGD without
momentum, weight decay or schedule. ``sop_plus`` adds the consistency and balance terms. For
asymmetric noise the authors set ``rate_v`` to 100; on CIFAR-100 ``rate_u`` to 1, or 0.1 if
asymmetric (by their README, for the released code; 1 in the paper). "oracle" takes these rates;
there is no estimate, since losses do not tell kinds of noise apart.
[inferred] ``clean_probability`` is 1 - u^2; the weight decay is a port's (GitHub
KlemenVovk/noisy-labels), since the code released for CIFAR-100, 1e-3, is that of SOP+.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.method import Method, check_positive
from bench.task import Batch, Task

#: Smallest probability, which has a finite logarithm.
FLOOR = 1e-4


class SOP(Method):
    """CE(p + u^2 - v^2, y) + squared error of onehot(argmax p) + u^2 - v^2 and y."""

    reference_epochs = 120
    needs_sgd = "its noise is sparse only so"
    oracles = {"rate_u": ["noise_kind"], "rate_v": ["noise_kind"]}
    paper = {
        "backbone": "resnet34",
        "epochs": 120,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "step",
        "milestones": (1 / 3, 2 / 3),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the paper for CIFAR-10 with symmetric noise (table A.1)."""

        rate_u: Literal["oracle"] | float = 10.0  # alpha_u, learning rate
        rate_v: Literal["oracle"] | float = 10.0  # alpha_v
        init_std: float = 1e-8

        def __post_init__(self) -> None:
            check_positive(self, "rate_u", "rate_v", "init_std")

    def setup(self, task: Task) -> None:
        super().setup(task)
        u = torch.randn(task.num_train, 1, device=task.device)
        v = torch.randn(task.num_train, task.num_classes, device=task.device)
        self.u, self.v = (nn.Parameter(self.hp.init_std * part) for part in (u, v))

    def param_groups(self) -> list[dict[str, Any]]:
        rate_u, rate_v = self.hp.rate_u, self.hp.rate_v
        if rate_u == "oracle":
            asymmetric_rate = 0.1 if ops.is_asymmetric(self.task) else 1.0
            rate_u = 10.0 if self.task.num_classes < 100 else asymmetric_rate
        if rate_v == "oracle":
            rate_v = 100.0 if ops.is_asymmetric(self.task) else 10.0
        plain = {"momentum": 0.0, "weight_decay": 0.0}
        noise = [{"params": [self.u], "lr": rate_u}, {"params": [self.v], "lr": rate_v}]
        return [*super().param_groups(), *(group | plain for group in noise)]

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        loss, _ = self.shifted_loss(net(batch.x).float(), batch)
        return loss

    def shifted_loss(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of logits (B, C), and their probabilities shifted by the noise (B, C)."""
        u, v = self.u[batch.index], self.v[batch.index]
        # The harness applies the network's schedule to every group: here its factor is undone.
        factor = self.schedule(self.epoch / self.recipe.epochs)
        for rows in (u, v):
            rows.register_hook(lambda gradient: gradient / factor)
        y = F.one_hot(batch.y, self.task.num_classes).float()
        added, taken = (u**2 * y).clamp(0, 1), (v**2 * (1 - y)).clamp(0, 1)
        p = logits.softmax(1)
        shifted = F.normalize((p + added - taken.detach()).clamp_min(FLOOR), p=1, dim=1, eps=FLOOR)
        shifted = shifted.clamp_min(FLOOR)
        predicted = F.one_hot(p.argmax(1), self.task.num_classes).float()
        error = (predicted + added - taken - y).square().sum(1).mean()
        return F.nll_loss(shifted.log(), batch.y) + error, shifted

    def clean_probability(self) -> Tensor:
        return 1 - (self.u.detach()[:, 0] ** 2).clamp(0, 1)

    def soft_targets(self) -> Tensor:
        y = F.one_hot(self.task.noisy_labels, self.task.num_classes).float()
        corrected = y - self.u.detach() ** 2 * y + self.v.detach() ** 2 * (1 - y)
        return F.normalize(corrected.clamp_min(FLOOR), p=1, dim=1)
