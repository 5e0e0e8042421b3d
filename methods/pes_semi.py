"""Semi-supervised progressive early stopping (PES, semi; Bai et al., NeurIPS 2021, arXiv
2106.15853): renews the head of an early-stopped network, then learns by MixMatch from the labels
that agree with its predictions, and from the other samples without labels.

[source] Written from the authors' PES_semi.py (GitHub tmllab/2021_NeurIPS_PES, commit ec5290d).
Confident samples are those of ``pes``; their labels stay as they are, weighted by class. Guesses
come from the network in train mode. T1 is 35 for CIFAR-100. At most half of a batch is unlabelled:
the share of the unconfident samples. The authors choose ``unlabelled_weight`` by kind of noise: 150
in the code, 15 for instance-dependent noise and 50 for pair flips in the README, and for people's
labels 5 on CIFAR-10N, 75 on CIFAR-100N. "oracle", a privilege, takes these. As in ``pes``, the
renewed head learns on after T2, and ``freeze_renewed`` repeats the authors' slip.

[inferred] The default weight is that of instance-dependent noise, which comes closest to noise of
an unknown kind; "oracle" takes it for PMD noise too, and for asymmetric noise the weight of pair
flips. T2 counts as epochs of the run and scales as a warm-up. Adam's rate is for the authors' 1,950
steps in T2, and is higher in proportion where there are fewer: a head that stays near its random
start finds almost every sample unconfident. Where fewer than two samples of a batch would be
unlabelled (the authors' code fails at none), an epoch is that of ``pes``: with few unconfident
samples or small batches that is every epoch. The weight has no "estimate": it follows the kind of
noise, which losses do not tell.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.method import check_at_least, check_nonnegative, check_positive
from bench.task import Batch, Task
from methods.pes import PES

#: Authors' weights of the unlabelled loss, by the beginning of the noise kind's name.
AUTHORS_WEIGHTS = {"instance": 15.0, "pmd": 15.0, "pairflip": 50.0, "asymmetric": 50.0}

#: Authors' steps with the renewed head: five epochs of 390 batches.
HEAD_STEPS = 1950

#: Largest factor of Adam's rate: a head that has a few steps alone does not settle at a higher one.
LARGEST_FACTOR = 100.0


class PESSemi(PES):
    """Train all, then the head anew, then MixMatch of confident and unconfident samples."""

    reference_epochs = 300
    linear_head = "it renews the head on trained layers, and a linear head has none before it"
    oracles = {"unlabelled_weight": ["noise_kind"]}
    # For half the samples confident: two views of a whole batch are trained on, and those of its
    # unlabelled half predicted; two views of all samples tell which are confident.
    passes = (2, 3)
    renewed_blocks = 0
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 300,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "restarts",
        "period": 1.0,
        "minimum": 0.01,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Of the authors' code for CIFAR-10, but for the weight and ``freeze_renewed``."""

        whole_epochs: int = 20  # T1
        head_epochs: int = 5  # T2
        learning_rate: float = 1e-4  # of Adam, for HEAD_STEPS steps in T2
        freeze_renewed: bool = False
        temperature: float = 0.5  # T
        mixup_alpha: float = 4.0  # alpha, in the first half of the run
        late_mixup_alpha: float = 0.75  # in the second half
        unlabelled_weight: Literal["oracle"] | float = 15.0  # lambda_u
        ramp_epochs: int = 16

        def __post_init__(self) -> None:
            check_at_least(self, 1, "whole_epochs")
            check_nonnegative(self, "head_epochs", "unlabelled_weight")
            check_positive(self, "learning_rate", "temperature", "mixup_alpha")
            check_positive(self, "late_mixup_alpha", "ramp_epochs")

    targets: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        weight = self.hp.unlabelled_weight
        self.unlabelled_weight = authors_weight(task) if weight == "oracle" else weight
        self.register_buffer("targets", F.one_hot(task.noisy_labels, task.num_classes).float())

    def starts(self) -> list[int]:
        """Return the first epochs of the phases of ``pes``, of which that of the block is empty."""
        head = self.warmup(self.hp.whole_epochs)
        return [head, head, head + self.warmup(self.hp.head_epochs)]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.stage != 2:
            return super().optimizer(groups)
        epoch_steps = math.ceil(self.task.num_train / self.task.batch_size)
        factor = HEAD_STEPS / (self.warmup(self.hp.head_epochs) * epoch_steps)
        factor = min(max(factor, 1.0), LARGEST_FACTOR)
        return torch.optim.Adam(groups, self.hp.learning_rate * factor)

    def epoch_start(self) -> None:
        super().epoch_start()
        self.weights = self.weights.clamp(max=3)

    def batches(self) -> Iterator[Any]:
        sides = [side.nonzero()[:, 0] for side in (self.confident, ~self.confident)]
        size, number = self.task.batch_size, self.task.num_train
        unlabelled_size = int(size * min(0.5, len(sides[1]) / number))
        if self.stage < 3 or min(unlabelled_size, len(sides[1])) < 2:
            yield from super().batches()
            return
        loader = partial(self.task.loader, views=2)
        labelled = partial(loader, sides[0], batch_size=size - unlabelled_size)
        steps = max(1, number // size)
        yield from ops.divisions(
            0,
            islice(ops.forever(labelled), steps),
            partial(loader, sides[1], batch_size=unlabelled_size),
            epoch=self.epoch - self.starts()[-1],
            steps=steps,
            ramp=self.interval(self.hp.ramp_epochs),
        )

    def loss(self, batch: Batch | ops.Division) -> Tensor:
        if isinstance(batch, Batch):
            return super().loss(batch)
        [net] = self.networks
        y = F.one_hot(batch.labelled.y, self.task.num_classes).float()
        with torch.no_grad():
            predicted = ops.mean_prediction([net], batch.unlabelled.views)
        guess = ops.sharpen(predicted, self.hp.temperature)
        self.targets[batch.labelled.index] = y
        self.targets[batch.unlabelled.index] = guess
        late = self.epoch >= self.recipe.epochs / 2
        losses = ops.mix_match(
            self.task,
            net,
            (batch.labelled.views, y),
            (batch.unlabelled.views, guess),
            self.hp.late_mixup_alpha if late else self.hp.mixup_alpha,
            self.weights,
        )
        return losses.labelled + batch.ramp * self.unlabelled_weight * losses.unlabelled

    def soft_targets(self) -> Tensor:
        """Return each sample's most recent target in MixMatch; before the first, its label."""
        return self.targets


def authors_weight(task: Task) -> float:
    """Return the authors' weight of the unlabelled loss for the kind of noise."""
    kind = str(task.oracle.noise_kind)
    if kind.startswith("human"):
        return 5.0 if task.num_classes < 100 else 75.0
    weights = (weight for start, weight in AUTHORS_WEIGHTS.items() if kind.startswith(start))
    return next(weights, 150.0)
