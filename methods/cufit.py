"""CUFIT (Yu et al., NeurIPS 2024, arXiv 2412.00150): a linear probe on features of a pretrained
network, which wrong labels hardly mislead, chooses samples for a first adapter, and this one for a
second, which predicts.

[source] Written from the authors' code (GitHub gist-ailab/CUFIT, commit 5a521cd): in every step the
probe learns from all labels, the first adapter from those that the probe predicts, and the second
from those that the first predicts. Losses are cross-entropies, summed over the selected samples and
divided by the size of the whole batch. In the ``paper`` recipe all learn by Adam. [inferred] The
authors' adapters are small layers inside of a vision transformer whose weights are frozen. Here an
adapter is a network of the recipe: on vectors, such as features of a frozen network, an MLP beside
a linear probe. There the probe follows the benchmark's practical recipe for linear heads: it reads
vectors of length 1 in the mean, and learns 100 times as fast as the MLP. On standardised vectors it
would memorise wrong labels itself, and choose nearly all samples. On images the probe reads the
first adapter's penultimate features, and sends no gradient into them. ``clean_probability`` is the
share of the two choices, by probe and first adapter, that took the sample when it was last seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.method import Method, check_positive
from bench.task import Batch, Network, Task


class CUFIT(Method):
    """Three classifiers, each of which learns from the samples that the one before it predicts."""

    num_networks = 2
    reference_epochs = 100
    passes = (2, 0)
    linear_head = "its adapters have a hidden layer, which a linear head lacks"
    paper = {
        "epochs": 100,
        "augmentation": "crop_flip",
        "batch_size": 32,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 1e-5,
        "schedule": "step",
        "milestones": (0.5, 0.75, 0.9),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[inferred] The authors' have none."""

        probe_rate: float = 100.0  # SGD's for the probe on vectors, over the recipe's

        def __post_init__(self) -> None:
            check_positive(self, "probe_rate")

    selected: Tensor
    norm: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        width = task.channels if task.on_vectors else self.networks[0].num_features
        self.probe = task.place(nn.Linear(width, task.num_classes))
        self.register_buffer("selected", torch.ones(task.num_train, device=task.device))
        self.register_buffer("norm", torch.ones((), device=task.device))  # of vectors, the mean
        if task.on_vectors:
            norms = torch.cat([batch.x.norm(dim=1) for batch in task.loader(train=False)])
            self.norm.copy_(norms.mean())

    def param_groups(self) -> list[dict[str, Any]]:
        probe: dict[str, Any] = {"params": list(self.probe.parameters())}
        if self.task.on_vectors and self.recipe.optimizer == "sgd":
            probe |= {"lr": self.hp.probe_rate * self.recipe.learning_rate, "weight_decay": 0.0}
        return [*super().param_groups(), probe]

    def loss(self, batch: Batch) -> Tensor:
        first, second = self.networks
        features = first.forward_features(batch.x)
        logits = first.head(features)
        probed = self.probe(batch.x / self.norm if self.task.on_vectors else features.detach())
        easy, agreed = (
            (outputs.detach().argmax(1) == batch.y).float() for outputs in (probed, logits)
        )
        self.selected[batch.index] = (easy + agreed) / 2
        losses = (
            F.cross_entropy(outputs.float(), batch.y, reduction="none")
            for outputs in (probed, logits, second(batch.x))
        )
        whole, by_probe, by_first = losses
        return (whole + easy * by_probe + agreed * by_first).mean()

    def predictors(self) -> Sequence[Network]:
        """Return the second adapter alone."""
        return self.networks[1:]

    def clean_probability(self) -> Tensor:
        return self.selected
