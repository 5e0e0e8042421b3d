"""Forward correction (Patrini et al., CVPR 2017, arXiv 1609.03683): estimates the transition matrix
with one network, then trains another whose predictions pass through it.

[source] Authors' code: GitHub giorgiop/loss-correction, commit 15a79de. Both networks train for 120
epochs. The first one's epoch is that with the lowest loss on a tenth of the samples, held out with
their noisy labels. Row i of T is the prediction for the sample whose probability of class i is the
largest below the 97th percentile (the largest of all for CIFAR-100). Their estimate zeroes, in
place, the probabilities above one class's percentile before it reads the next class's row; here all
rows are read from unchanged predictions.

The ``paper`` recipe has the paper's weight decay; the gradient of that penalty in their Keras code
is twice as large. [inferred] The two trainings share the run, half and half, each with the recipe's
whole schedule. The loss is computed from logarithms, which stay finite where p T underflows.
"""

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_at_least
from bench.task import Batch, Task


class Forward(Method):
    """Cross-entropy, then cross-entropy of p T with the noisy label."""

    reference_epochs = 240
    begins = ["warmup_epochs"]
    # The mean over both trainings: nine tenths and a pass over all samples, then one pass.
    passes = (0.95, 0.5)
    paper = {
        "epochs": 240,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (1 / 3, 2 / 3),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors for CIFAR-10."""

        warmup_epochs: int = 120  # of the first network
        percentile: float = 97.0  # 100 for CIFAR-100
        held_out: float = 0.1  # share of the samples that choose the first network's epoch

        def __post_init__(self) -> None:
            check_at_least(self, 1, "warmup_epochs")
            if not 0 < self.percentile <= 100:
                raise InputError(
                    f"forward.percentile is {self.percentile:g}: give a number above 0 and at most "
                    "100"
                )
            if not 0 < self.held_out < 1:
                raise InputError(
                    f"forward.held_out is {self.held_out:g}: give a share between 0 and 1"
                )

    transition: Tensor
    lowest: Tensor
    held_out: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("transition", torch.eye(task.num_classes, device=task.device))
        self.register_buffer("lowest", torch.tensor(torch.inf, device=task.device))
        order = torch.randperm(task.num_train, generator=task.generator, device=task.device)
        self.register_buffer("held_out", order < max(1, round(self.hp.held_out * task.num_train)))

    @property
    def stage(self) -> Hashable:
        return self.epoch >= self.warmup(self.hp.warmup_epochs)

    def schedule(self, progress: float) -> float:
        epoch, boundary = round(progress * self.recipe.epochs), self.warmup(self.hp.warmup_epochs)
        start, end = (0, boundary) if epoch < boundary else (boundary, self.recipe.epochs)
        return self.recipe.rate_factor((epoch - start) / (end - start))

    def epoch_start(self) -> None:
        if self.epoch == self.warmup(self.hp.warmup_epochs):
            [net] = self.networks
            net.load_state_dict(self.task.build_network().state_dict())

    def batches(self) -> Iterator[Batch]:
        return self.task.loader(None if self.stage else (~self.held_out).nonzero()[:, 0])

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        if self.stage:
            return ops.corrected_cross_entropy(net(batch.x), self.transition, batch.y)
        return F.cross_entropy(net(batch.x), batch.y)

    def epoch_end(self) -> None:
        if self.stage:
            return
        [net] = self.networks
        logits = ops.per_sample(self, net, lambda logits, y, index: logits)
        loss = F.cross_entropy(logits[self.held_out], self.task.noisy_labels[self.held_out])
        if loss < self.lowest:
            self.lowest.copy_(loss)
            self.transition.copy_(estimate_transition(logits.softmax(1), self.hp.percentile))

    def transition_matrix(self) -> Tensor:
        return self.transition


def estimate_transition(probabilities: Tensor, percentile: float) -> Tensor:
    """Estimate T (C, C) from predictions (N, C).

    Row i is the prediction whose probability of class i is the largest below the percentile.
    """
    below = probabilities
    if percentile < 100:
        index = math.ceil((len(probabilities) - 1) * (percentile / 100))  # numpy's "higher"
        below = probabilities.where(probabilities < probabilities.sort(0).values[index], 0)
    return probabilities[below.argmax(0)]
