"""ELR+ (Liu et al., NeurIPS 2020, arXiv 2007.00151): early-learning regularisation with two
networks, mixup, and targets that each takes from the weight average of the other.

[source] Defaults are the authors' for CIFAR-10 (GitHub shengliu66/ELR, commit 934af53); for
CIFAR-100 they use momentum 0.9, weight 7, weight_ramp_epochs 102 (40,000 steps of 391 an epoch, of
250 epochs) and labels multiplied by the targets (``refine_labels``). "oracle" takes their momentum
and weight, as in ``elr``. Their ramps count steps; here they are shares of the run. As in their
code, averages run over the parameters alone, predict in train mode, and are not used for
evaluation, for which the two networks' logits are averaged. [inferred] An average starts as a copy
of its network (theirs at weights of its own, which the low initial factor forgets in one step).
``clean_probability`` is the share at the given label of both networks' targets, with which
``refine_labels`` multiplies it.
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
from bench.method import Method
from bench.task import Batch, Network, Task
from methods.elr import ELR, chosen


class Step(NamedTuple):
    """A batch for one of the two networks."""

    student: int
    batch: Batch
    weight: float  # of the regulariser


class ELRPlus(Method):
    """Cross-entropy plus weight * log(1 - <t, p>) on mixed samples; t from the other network's
    weight average.
    """

    num_networks = 2
    reference_epochs = 200
    oracles = ELR.oracles
    passes = (2, 2)  # two networks on mixed images, and the averages of both on the unmixed ones
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

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' CIFAR-10 configuration (GitHub shengliu66/ELR, commit
        934af53).
        """

        weight: Literal["oracle"] | float = 3.0  # lambda
        momentum: Literal["oracle"] | float = 0.7  # beta, of the targets
        mixup_alpha: float = 1.0
        averaging: float = 0.997  # gamma, of the weights; reached at the end of its ramp
        averaging_ramp_epochs: int = 102  # 40,000 steps
        weight_ramp_epochs: int = 0
        refine_labels: bool = False

        def __post_init__(self) -> None:
            for name in ("weight", "averaging_ramp_epochs", "weight_ramp_epochs"):
                if not isinstance(value := getattr(self, name), str) and value < 0:
                    raise InputError(f"elr_plus.{name} is {value:g}: give a number from 0")
            for name in ("momentum", "averaging"):
                if not isinstance(value := getattr(self, name), str) and not 0 <= value < 1:
                    raise InputError(f"elr_plus.{name} is {value:g}: give a number from 0 up to 1")
            if self.mixup_alpha <= 0:
                raise InputError(
                    f"elr_plus.mixup_alpha is {self.mixup_alpha:g}: give a number above 0"
                )

    targets: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.weight, self.momentum = chosen(self, task)
        self.averages = nn.ModuleList(copy.deepcopy(net) for net in self.networks).requires_grad_(
            False
        )
        self.register_buffer(
            "targets", torch.zeros(2, task.num_train, task.num_classes, device=task.device)
        )

    def batches(self) -> Iterator[Step]:
        steps = math.ceil(self.task.num_train / self.task.batch_size)
        for student in (0, 1):
            for step, batch in enumerate(self.task.loader(), start=1):
                done = self.epoch + step / steps  # epochs of this run
                yield Step(
                    student, batch, self.weight * ramp(done, self.phase(self.hp.weight_ramp_epochs))
                )
                # Here the step has been taken: the next batch is asked for.
                factor = self.hp.averaging * ramp(done, self.phase(self.hp.averaging_ramp_epochs))
                self.average(student, factor)

    @torch.no_grad()
    def average(self, student: int, factor: float) -> None:
        """Move the weight average towards its network."""
        pairs = zip(
            self.averages[student].parameters(), self.networks[student].parameters(), strict=True
        )
        for average, own in pairs:
            average.lerp_(own, 1 - factor)

    def students(self, batch: Step) -> Iterable[Network]:
        return [self.networks[batch.student]]

    def loss(self, batch: Step) -> Tensor:
        student, (x, y, index) = batch.student, (batch.batch.x, batch.batch.y, batch.batch.index)
        lam = ops.beta_sample(self.hp.mixup_alpha, self.task.rng)
        lam = max(lam, 1 - lam)
        partner = torch.randperm(len(y), generator=self.task.generator, device=y.device)
        with torch.no_grad():
            seen = self.averages[1 - student](x).float().softmax(1)
        target = self.momentum * self.targets[student, index] + (1 - self.momentum) * seen
        self.targets[student, index] = target

        logits = self.networks[student](lam * x + (1 - lam) * x[partner]).float()
        labels = F.one_hot(y, self.task.num_classes).float()
        labels, target = (lam * t + (1 - lam) * t[partner] for t in (labels, target))
        if self.hp.refine_labels:
            labels = F.normalize(labels * target, p=1, dim=1)
        agreement = (target * logits.softmax(1).clamp(1e-4, 1 - 1e-4)).sum(1)
        return ops.soft_cross_entropy(logits, labels) + batch.weight * (1 - agreement).log().mean()

    def predict(self, x: Tensor) -> Tensor:
        return torch.stack([net(x).float() for net in self.networks]).mean(0).softmax(1)

    def clean_probability(self) -> Tensor:
        return self.soft_targets().gather(1, self.task.noisy_labels[:, None])[:, 0]

    def soft_targets(self) -> Tensor:
        """The mean of both networks' averages as distributions, since they start at 0."""
        return ops.distributions(self.targets.mean(0), self.task.noisy_labels)


def ramp(done: float, length: float) -> float:
    """From exp(-5) to 1 over ``length``, along half a bell."""
    return math.exp(-5 * (1 - min(1.0, done / length)) ** 2) if length else 1.0
