"""ELR+ (Liu et al., NeurIPS 2020, arXiv 2007.00151): early-learning regularisation with mixup
and two networks, each of which takes its targets from the weight average of the other.

[source] Defaults are the authors' for CIFAR-10 (GitHub shengliu66/ELR, commit 934af53); for
CIFAR-100 they use momentum 0.9, weight 7, weight_ramp_epochs 102 (40,000 steps of 391 an epoch, of
250 epochs) and labels multiplied by the targets (``refine_labels``). "oracle" takes their momentum
and weight, as in ``elr``; there is no estimate. Their ramps count steps; here they are shares of
the run. As in their code, averages run over the parameters alone, predict in train mode, and are
not used for evaluation, for which the two networks' logits are averaged. [inferred] An average
starts as a copy of its network (theirs at other weights, which the low initial factor forgets in
one step). ``clean_probability`` is the share at the given label of both networks' targets, with
which ``refine_labels`` multiplies it.

[source] For Clothing1M they start from torchvision's ImageNet weights of ResNet-50
(config_clothing1m.json). An epoch of theirs is 3,000 batches of a draw with as many images of each
class; they train for 15 such epochs, and the rate falls after 7. [inferred] Here an epoch is all of
the million images, so that 3 are as many steps. They also set ``averaging`` to 0.9999.
"""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_nonnegative, check_positive
from bench.task import Batch, Network, Task
from methods.elr import ELR, weight_and_momentum


class Step(NamedTuple):
    """A batch for one of the two networks."""

    student: int
    batch: Batch
    weight: float  # of the regulariser


class ELRPlus(Method):
    """Cross-entropy plus lambda * log(1 - <t, p>) on mixed samples, t by the peer's average."""

    num_networks = 2
    reference_epochs = 200
    oracles = ELR.oracles
    axes = ELR.axes
    passes = (2, 2)  # two networks on mixed images, the averages of both on unmixed ones
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 200,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "step",
        "milestones": (0.75,),
        "gamma": 0.1,
    }
    papers = {
        "clothing1m": {
            **paper,
            "backbone": "torchvision:resnet50.IMAGENET1K_V1",
            "epochs": 3,  # 15 of 3,000 batches
            "batch_size": 64,
            "learning_rate": 0.002,
            "weight_decay": 1e-3,
            "milestones": (7 / 15,),
        }
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' CIFAR-10 configuration."""

        weight: Literal["oracle"] | float = 3.0  # lambda
        momentum: Literal["oracle"] | float = 0.7  # beta, of the targets
        mixup_alpha: float = 1.0
        averaging: float = 0.997  # gamma, of the weights; reached at the end of its ramp
        averaging_ramp_epochs: int = 102  # 40,000 steps
        weight_ramp_epochs: int = 0
        refine_labels: bool = False

        def __post_init__(self) -> None:
            check_nonnegative(self, "weight", "averaging_ramp_epochs", "weight_ramp_epochs")
            for name in ("momentum", "averaging"):
                if not isinstance(value := getattr(self, name), str) and not 0 <= value < 1:
                    raise InputError(f"elr_plus.{name} is {value:g}: give a number from 0 up to 1")
            check_positive(self, "mixup_alpha")

    targets: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.weight, self.momentum = weight_and_momentum(self, task)
        copies = nn.ModuleList(copy.deepcopy(net) for net in self.networks)
        self.averages = copies.requires_grad_(False)
        targets = torch.zeros(2, task.num_train, task.num_classes, device=task.device)
        self.register_buffer("targets", targets)

    def batches(self) -> Iterator[Step]:
        steps = math.ceil(self.task.num_train / self.task.batch_size)
        for student in (0, 1):
            for step, batch in enumerate(self.task.loader(), start=1):
                progress = self.epoch + step / steps  # in epochs of this run
                weight_ramp = ramp(progress, self.phase(self.hp.weight_ramp_epochs))
                yield Step(student, batch, self.weight * weight_ramp)
                # The step has been taken when the harness asks for the next batch.
                averaging_ramp = ramp(progress, self.phase(self.hp.averaging_ramp_epochs))
                self.average(student, self.hp.averaging * averaging_ramp)

    @torch.no_grad()
    def average(self, student: int, factor: float) -> None:
        """Move the weight average towards its network."""
        modules = self.averages[student], self.networks[student]
        for average, weight in zip(*(module.parameters() for module in modules), strict=True):
            average.lerp_(weight, 1 - factor)

    def students(self, batch: Step) -> Iterable[Network]:
        return [self.networks[batch.student]]

    def loss(self, batch: Step) -> Tensor:
        student, (x, y, index) = batch.student, (batch.batch.x, batch.batch.y, batch.batch.index)
        mix = ops.draw_mix(self.task, len(y), self.hp.mixup_alpha, larger=True)
        with torch.no_grad():
            predicted = self.averages[1 - student](x).float().softmax(1)
        target = self.momentum * self.targets[student, index] + (1 - self.momentum) * predicted
        self.targets[student, index] = target

        logits = self.networks[student](mix(x)).float()
        labels, target = mix(F.one_hot(y, self.task.num_classes).float()), mix(target)
        if self.hp.refine_labels:
            labels = F.normalize(labels * target, p=1, dim=1)
        agreement = (target * logits.softmax(1).clamp(1e-4, 1 - 1e-4)).sum(1)
        return ops.soft_cross_entropy(logits, labels) + batch.weight * (1 - agreement).log().mean()

    def predict(self, x: Tensor) -> Tensor:
        return torch.stack([net(x).float() for net in self.networks]).mean(0).softmax(1)

    def clean_probability(self) -> Tensor:
        return self.soft_targets().gather(1, self.task.noisy_labels[:, None])[:, 0]

    def soft_targets(self) -> Tensor:
        """Return the mean of both networks' targets as distributions: they start at 0."""
        return ops.distributions(self.targets.mean(0), self.task.noisy_labels)


def ramp(progress: float, length: float) -> float:
    """Rise from exp(-5) to 1 while progress goes from 0 to ``length``, along half a bell."""
    return math.exp(-5 * (1 - min(1.0, progress / length)) ** 2) if length else 1.0
