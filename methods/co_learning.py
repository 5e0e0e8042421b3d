"""Co-learning (Tan et al., ACM MM 2021, arXiv 2108.04063): one encoder learns from noisy labels
under mixup and, without labels, from pairs of views; the classifier's outputs are to have the same
structure as the self-supervised features.

Written from the authors' code (GitHub chengtan9907/Co-learning, commit 9d709ed). For CIFAR-100 they
use kernel "student". [inferred] They step the classifier on the structure loss first, with an
optimiser of its own; here that loss is added and reaches the classifier alone, which for SGD is the
same to first order, while their second Adam would scale its gradient apart. (That optimiser is made
with a fifth of the learning rate, but set to the whole rate before each epoch.) In the ``paper``
recipe Adam's first beta goes from 0.9 to 0.1 when the rate starts to fall. Strong views are this
project's (SimSiam's, with blur), weak ones the recipe's instead of a resized crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.task import Batch, Task


class CoLearning(Method):
    """Mixup cross-entropy, NT-Xent on a projection head, and structure matching of the classifier."""

    reference_epochs = 200
    # mixed images for the head, two strong views; one more view to compare structures with
    passes = (3, 1)
    paper = {
        "backbone": "resnet18",
        "epochs": 200,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "linear",
        "milestones": (0.4,),
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code for CIFAR-10."""

        mixup_alpha: float = 5.0
        temperature: float = 0.5  # T of NT-Xent
        structure_weight: float = 1.0
        kernel: Literal["gaussian", "student"] = "gaussian"

        def __post_init__(self) -> None:
            for name in ("mixup_alpha", "temperature"):
                if getattr(self, name) <= 0:
                    raise InputError(
                        f"co_learning.{name} is {getattr(self, name):g}: give a number above 0"
                    )
            if self.structure_weight < 0:
                raise InputError(
                    f"co_learning.structure_weight is {self.structure_weight:g}: give a number "
                    "from 0"
                )

    steps: torch.optim.Optimizer | None = None  # the optimiser of the moment

    def setup(self, task: Task) -> None:
        super().setup(task)
        width = self.networks[0].num_features
        layers = (
            nn.Linear(width, width, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
        )
        self.projection = task.place(nn.Sequential(*layers))

    def param_groups(self) -> list[dict[str, Any]]:
        return [*super().param_groups(), {"params": list(self.projection.parameters())}]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        self.steps = super().optimizer(groups)
        return self.steps

    def epoch_start(self) -> None:
        ops.lower_first_beta(self.steps, self.recipe, self.epoch)

    def batches(self) -> Iterator[Batch]:
        return self.task.loader(
            augmentations=(self.task.augment, self.task.strong_augment, self.task.strong_augment)
        )

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        weak, *strong = batch.views
        with torch.no_grad():
            features = net.forward_features(weak)
            projected = self.projection(features).float()
        structure = structure_loss(projected, net.head(features).float(), self.hp.kernel)

        first, second = (self.projection(net.forward_features(x)) for x in strong)
        contrast = ops.nt_xent(first, second, self.hp.temperature)

        lam = ops.beta_sample(self.hp.mixup_alpha, self.task.rng)
        partner = torch.randperm(len(batch.y), generator=self.task.generator, device=batch.y.device)
        logits = net(lam * weak + (1 - lam) * weak[partner]).float()
        supervised = lam * F.cross_entropy(logits, batch.y) + (1 - lam) * F.cross_entropy(
            logits, batch.y[partner]
        )
        return supervised + contrast + self.hp.structure_weight * structure


def structure_loss(teacher: Tensor, student: Tensor, kernel: str) -> Tensor:
    """Cross-entropy between similarities within a batch, of features (B, D) and of logits (B, C);
    mean over the pairs.
    """
    return -(similarities(teacher, kernel) * (similarities(student, kernel) + 1e-12).log()).mean()


def similarities(features: Tensor, kernel: str) -> Tensor:
    """Similarity (B, B) of each pair: exp(-d^2), or Student's t density (1 degree of freedom, not
    scaled) of d^2.
    """
    squares = features.square().sum(1)
    with torch.autocast(features.device.type, enabled=False):
        distances = (squares[:, None] + squares - 2 * features @ features.T).clamp_min(1e-12)
    distances = distances.masked_fill(
        torch.eye(len(features), dtype=torch.bool, device=features.device), 1e-12
    )
    return torch.exp(-distances) if kernel == "gaussian" else 1 / (1 + distances**2)
