"""Co-learning (Tan et al., ACM MM 2021, arXiv 2108.04063): one encoder learns from noisy labels
under mixup and, without labels, from pairs of views; the classifier's outputs are pulled towards
the structure of the self-supervised features.

Written from the authors' code (GitHub chengtan9907/Co-learning, commit 9d709ed). For CIFAR-100 they
use kernel "student". [inferred] They step the classifier on the structure loss first, with a
separate optimiser. Here that loss is added and reaches the classifier alone: for SGD this is the
same to first order, while their second Adam would scale its gradient apart. (That optimiser is made
with a fifth of the learning rate, but set to the whole rate before each epoch.) In the ``paper``
recipe Adam's first beta goes from 0.9 to 0.1 when the rate starts to fall. Strong views are this
project's (SimSiam's, with blur). Weak views are the recipe's instead of a resized crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench import ops
from bench.method import Method, check_nonnegative, check_positive
from bench.task import Batch, Task


class CoLearning(Method):
    """Mixup cross-entropy, NT-Xent on a projection head, and the classifier's structure loss."""

    reference_epochs = 200
    # Mixed images and two strong views train; the weak view gives the structures to compare.
    passes = (3, 1)
    linear_head = "it contrasts two strong views, which there would train its projection alone"
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
            check_positive(self, "mixup_alpha", "temperature")
            check_nonnegative(self, "structure_weight")

    adam: torch.optim.Optimizer | None = None  # the current optimiser, if the recipe's is Adam

    def setup(self, task: Task) -> None:
        super().setup(task)
        width = self.networks[0].num_features
        first, last = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.projection = task.place(nn.Sequential(first, nn.ReLU(inplace=True), last))

    def param_groups(self) -> list[dict[str, Any]]:
        return [*super().param_groups(), {"params": list(self.projection.parameters())}]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        self.adam = super().optimizer(groups)
        return self.adam

    def epoch_start(self) -> None:
        ops.lower_first_beta(self.adam, self.recipe, self.epoch)

    def batches(self) -> Iterator[Batch]:
        weak, strong = self.task.augment, self.task.strong_augment
        return self.task.loader(augmentations=(weak, strong, strong))

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        weak, *strong = batch.views
        with torch.no_grad():
            features = net.forward_features(weak)
            projected = self.projection(features).float()
        structure = structure_loss(projected, net.head(features).float(), self.hp.kernel)

        first, second = (self.projection(net.forward_features(x)) for x in strong)
        contrast = ops.nt_xent(first, second, self.hp.temperature)

        mix = ops.draw_mix(self.task, len(batch.y), self.hp.mixup_alpha)
        supervised = mix.cross_entropy(net(mix(weak)).float(), batch.y)
        return supervised + contrast + self.hp.structure_weight * structure


def structure_loss(teacher: Tensor, student: Tensor, kernel: str) -> Tensor:
    """Mean cross-entropy between similarities of features (B, D) and those of logits (B, C)."""
    return -(similarities(teacher, kernel) * (similarities(student, kernel) + 1e-12).log()).mean()


def similarities(features: Tensor, kernel: str) -> Tensor:
    """Similarity (B, B) of each pair of rows at distance d.

    It is exp(-d^2), or the density of Student's t at d^2 (1 degree of freedom, not scaled).
    """
    squares = features.square().sum(1)
    with torch.autocast(features.device.type, enabled=False):
        distances = (squares[:, None] + squares - 2 * features @ features.T).clamp_min(1e-12)
    diagonal = torch.eye(len(features), dtype=torch.bool, device=features.device)
    distances = distances.masked_fill(diagonal, 1e-12)
    return torch.exp(-distances) if kernel == "gaussian" else 1 / (1 + distances**2)
