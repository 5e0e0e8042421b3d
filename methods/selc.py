"""Self-ensemble label correction (SELC: Lu & He, IJCAI 2022, arXiv 2205.01156): from a turning
point on, before wrong labels are memorised, targets are a running average of the predictions that
starts at the noisy label.

[source] Written from the authors' code (GitHub MacLLL/SELC, commit 69bcf1e): cross-entropy, then in
every iteration t <- 0.9 t + 0.1 p and loss -t log p. Their code has a table of turning points by
noise, 20 to 40 of 200 epochs ("oracle", a privilege; a rate between theirs takes the nearest), but
not the estimate behind it. A third party's port that cites the paper has one (``estimate_es_m1``;
the copy names no repository or commit, and the paper's text was not at hand): train once before,
fit a mixture of two to each epoch's losses, find the epoch in which its means are furthest apart,
and turn 10 epochs earlier.

[inferred] ``turning_point="estimate"`` needs no separate run. When the means have not moved further
apart for ``patience`` epochs, training goes back to the weights of the epoch in which they were
furthest apart, and corrects from there on, with a fresh optimiser. The first ``warmup_epochs`` do
not count. ``clean_probability`` is the target's share at the label.
"""

import copy
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_at_least
from bench.task import Batch, Task


class SELC(Method):
    """Cross-entropy, then soft targets that follow the predictions."""

    reference_epochs = 200
    begins = ["warmup_epochs", "turning_point"]
    oracles = {"turning_point": ["noise_rate", "noise_kind"]}
    # After the turning point; before it, the estimate passes over all samples after each epoch.
    passes = (1, 0)
    paper = {
        "backbone": "resnet34",
        "epochs": 200,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "schedule": "step",
        "milestones": (0.2, 0.4),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors, except those of the estimate."""

        momentum: float = 0.9  # alpha
        # T: the authors have 30 or 40 for CIFAR-10, 20 to 40 for CIFAR-100.
        turning_point: Literal["estimate", "oracle"] | int = "estimate"
        warmup_epochs: int = 10
        patience: int = 10

        def __post_init__(self) -> None:
            if not 0 <= self.momentum <= 1:
                raise InputError(f"selc.momentum is {self.momentum:g}: give a number from 0 to 1")
            check_at_least(self, 1, "turning_point", "warmup_epochs", "patience")

    targets: Tensor
    turned: Tensor
    peak: Tensor
    furthest: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("targets", F.one_hot(task.noisy_labels, task.num_classes).float())
        point = authors_point(task) if self.hp.turning_point == "oracle" else self.hp.turning_point
        turned = -1 if point == "estimate" else self.warmup(point)
        # The first epoch that corrects; -1 while it is not known.
        self.register_buffer("turned", torch.tensor(turned, device=task.device))
        if point == "estimate":
            furthest = torch.tensor(-1.0, dtype=torch.float64, device=task.device)
            self.register_buffer("furthest", furthest)  # distance of the means ...
            self.register_buffer("peak", torch.tensor(0, device=task.device))  # ... in this epoch
            self.early = copy.deepcopy(self.networks[0])

    @property
    def stage(self) -> Hashable:
        return self.hp.turning_point == "estimate" and 0 <= self.turned.item() <= self.epoch

    def epoch_start(self) -> None:
        self.correcting = 0 <= self.turned.item() <= self.epoch

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        logits = net(batch.x).float()
        if not self.correcting:
            return F.cross_entropy(logits, batch.y)
        m, p = self.hp.momentum, logits.detach().softmax(1)
        self.targets[batch.index] = m * self.targets[batch.index] + (1 - m) * p
        return ops.soft_cross_entropy(logits, self.targets[batch.index])

    def epoch_end(self) -> None:
        if self.turned >= 0 or self.epoch + 1 < self.warmup(self.hp.warmup_epochs):
            return
        [net] = self.networks
        distance = separation(ops.per_sample_loss(self, net), self.task.mixtures)
        if distance > self.furthest:
            self.furthest.copy_(distance)
            self.peak.fill_(self.epoch)
            self.early.load_state_dict(net.state_dict())
        elif self.epoch - self.peak >= self.interval(self.hp.patience):
            net.load_state_dict(self.early.state_dict())
            self.turned.fill_(self.epoch + 1)

    def clean_probability(self) -> Tensor:
        return self.targets.gather(1, self.task.noisy_labels[:, None])[:, 0]

    def soft_targets(self) -> Tensor:
        return self.targets


def authors_point(task: Task) -> int:
    """Return the authors' turning point for CIFAR-10 or CIFAR-100, by the number of classes."""
    many = task.num_classes >= 100
    if ops.is_asymmetric(task):
        return 20 if many else 40
    table = {0.2: 30, 0.4: 20, 0.6: 30, 0.8: 40} if many else {0.2: 40, 0.4: 30, 0.6: 30, 0.8: 40}
    return table[ops.nearest(ops.inclusive_rate(task), table)]


def separation(losses: Tensor, shapes: list[str] | None = None) -> Tensor:
    """Distance of the two means of a mixture on losses (N,), scaled to [0, 1]; 0 without a fit.

    ``shapes`` is ``ops.fit_mixture``'s.
    """
    scaled = ops.min_max(losses.double())
    pair = ops.fit_mixture(scaled, shapes=shapes)
    if pair is None:
        return scaled.new_tensor(0.0)
    low = pair.low_posterior(scaled)
    mean_low, mean_high = ((w @ scaled) / w.sum().clamp_min(1e-12) for w in (low, 1 - low))
    return (mean_high - mean_low).abs()
