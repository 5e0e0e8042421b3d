"""Sparse over-parameterisation (SOP: Liu et al., ICML 2022, arXiv 2202.14026): learns the label
noise of each sample as u^2 - v^2, which gradient descent from near 0 keeps sparse.

[source] Written from the authors' code (GitHub shengliu66/SOP, commit 4d991ce): one u a sample, one
v a sample and class; cross-entropy of the prediction plus the noise trains the network and u, a
squared error of the predicted class plus the noise trains u and v. Both descend by SGD without
momentum, weight decay or schedule. Without the consistency and balance terms of SOP+. For
asymmetric noise the authors set ``rate_v`` to 100; on CIFAR-100 ``rate_u`` to 1, or 0.1 if
asymmetric (by their README, for the released code; 1 in the paper). "oracle" takes theirs.
[inferred] ``clean_probability`` is 1 - u^2; the weight decay is a port's (GitHub
KlemenVovk/noisy-labels), since the code released for CIFAR-100, 1e-3, is that of SOP+.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.task import Batch, Task

FLOOR = 1e-4  # of probabilities


class SOP(Method):
    """CE(p + u^2 - v^2, y) + squared error of onehot(argmax p) + u^2 - v^2 and y."""

    reference_epochs = 120
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
        """The paper's for CIFAR-10 with symmetric noise (table A.1)."""

        rate_u: Literal["oracle"] | float = 10.0  # alpha_u, learning rate
        rate_v: Literal["oracle"] | float = 10.0  # alpha_v
        init_std: float = 1e-8

        def __post_init__(self) -> None:
            for name in ("rate_u", "rate_v", "init_std"):
                if not isinstance(value := getattr(self, name), str) and value <= 0:
                    raise InputError(f"sop.{name} is {value:g}: give a number above 0")

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.u = nn.Parameter(self.hp.init_std * torch.randn(task.num_train, 1, device=task.device))
        self.v = nn.Parameter(
            self.hp.init_std * torch.randn(task.num_train, task.num_classes, device=task.device)
        )

    def param_groups(self) -> list[dict[str, Any]]:
        asymmetric = bool(self.privileges) and ops.is_asymmetric(self.task)
        theirs = (
            10.0 if self.task.num_classes < 100 else 0.1 if asymmetric else 1.0,
            100.0 if asymmetric else 10.0,
        )
        pairs = zip((self.u, self.v), (self.hp.rate_u, self.hp.rate_v), theirs, strict=True)
        noise = [
            {"params": [part], "lr": own if rate == "oracle" else rate} for part, rate, own in pairs
        ]
        return [
            *super().param_groups(),
            *(group | {"momentum": 0.0, "weight_decay": 0.0} for group in noise),
        ]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.recipe.optimizer != "sgd":
            raise InputError(
                "sop's noise is sparse under plain SGD alone: leave the recipe's optimizer at sgd"
            )
        return super().optimizer(groups)

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        u, v = self.u[batch.index], self.v[batch.index]
        factor = self.schedule(self.epoch / self.recipe.epochs)
        # the schedule is the network's: the harness applies it to every group, so undo it here
        for rows in (u, v):
            rows.register_hook(lambda gradient: gradient / factor)
        y = F.one_hot(batch.y, self.task.num_classes).float()
        added, taken = (u**2 * y).clamp(0, 1), (v**2 * (1 - y)).clamp(0, 1)
        p = net(batch.x).float().softmax(1)
        shifted = F.normalize((p + added - taken.detach()).clamp_min(FLOOR), p=1, dim=1, eps=FLOOR)
        predicted = F.one_hot(p.argmax(1), self.task.num_classes).float()
        error = (predicted + added - taken - y).square().sum(1).mean()
        return F.nll_loss(shifted.clamp_min(FLOOR).log(), batch.y) + error

    def clean_probability(self) -> Tensor:
        return 1 - (self.u.detach()[:, 0] ** 2).clamp(0, 1)

    def soft_targets(self) -> Tensor:
        y = F.one_hot(self.task.noisy_labels, self.task.num_classes).float()
        return F.normalize(
            (y - self.u.detach() ** 2 * y + self.v.detach() ** 2 * (1 - y)).clamp_min(FLOOR),
            p=1,
            dim=1,
        )
