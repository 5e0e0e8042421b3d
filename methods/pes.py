"""Progressive early stopping (PES; Bai et al., NeurIPS 2021, arXiv 2106.15853): later layers
memorise noise first, so they are stopped, renewed and retrained on top of the frozen earlier ones;
then the network learns from the labels that agree with its predictions.

From the authors' PES_cs.py (GitHub tmllab/2021_NeurIPS_PES, commit ec5290d), which trains without
semi-supervision. It trains the whole network for T1 epochs, then a renewed last block and head for
T2 and a renewed head for T3, both by Adam. After that, each epoch, it trains by weighted
cross-entropy on the confident samples: those whose label is the mean prediction over two augmented
views. T1 is 30 for CIFAR-100. In that code the optimiser of the last phase lacks the renewed
layers, which therefore stay frozen, surely by a slip: here they learn on; ``freeze_renewed``
repeats it. [inferred] T2 and T3 count as epochs of the run and, since they train layers from
scratch, scale as warm-ups do. Where fewer than two samples are confident, all are used. The last
block is a ResNet's last stage, or the last convolution. The last phase's SGD is a new one (theirs
is the first phase's, with its momentum). The authors' T3 is 1,755 steps. On a small data set it is
few, Adam's 1e-4 leaves the new head near its start, and ``learning_rate`` has to rise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.method import Method, check_at_least, check_positive
from bench.task import Batch, Task


class PES(Method):
    """Train all, then the last parts anew, then on the confident samples."""

    reference_epochs = 200
    begins = ["whole_epochs"]
    linear_head = "it renews the blocks before the head, and a linear head has none"
    # Half of the samples are taken as confident; two views of all tell which they are.
    passes = (0.5, 2)
    paper = {
        "backbone": "resnet18",
        "epochs": 200,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (0.5, 0.75),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code for CIFAR-10, but for ``freeze_renewed``."""

        whole_epochs: int = 25  # T1
        block_epochs: int = 7  # T2
        head_epochs: int = 5  # T3
        learning_rate: float = 1e-4  # of Adam, in T2 and T3
        freeze_renewed: bool = False

        def __post_init__(self) -> None:
            check_at_least(self, 1, "whole_epochs")
            check_at_least(self, 0, "block_epochs", "head_epochs")
            check_positive(self, "learning_rate")

    #: Blocks before the head that are renewed with it.
    renewed_blocks: ClassVar[int] = 1

    confident: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        confident = torch.ones(task.num_train, dtype=torch.bool, device=task.device)
        self.register_buffer("confident", confident)

    def starts(self) -> list[int]:
        """Return the first epochs of all phases but the first."""
        starts = [0]
        for epochs in (self.hp.whole_epochs, self.hp.block_epochs, self.hp.head_epochs):
            starts.append(starts[-1] + self.warmup(epochs))
        return starts[1:]

    @property
    def stage(self) -> int:
        return sum(self.epoch >= start for start in self.starts())

    def last_parts(self, count: int) -> nn.ModuleList:
        """Return the head and the ``count`` blocks before it."""
        [net] = self.networks
        return nn.ModuleList(module for block in net.blocks()[-1 - count :] for module in block)

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that this phase trains."""
        parameters = list(self.networks[0].parameters())
        if self.stage in (1, 2):
            return list(self.last_parts(2 - self.stage).parameters())
        if self.stage == 3 and self.hp.freeze_renewed:
            parts = self.last_parts(self.renewed_blocks)
            renewed = {id(parameter) for parameter in parts.parameters()}
            return [parameter for parameter in parameters if id(parameter) not in renewed]
        return parameters

    def param_groups(self) -> list[dict[str, Any]]:
        return [{"params": self.trained()}]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.stage in (1, 2):
            return torch.optim.Adam(groups, self.hp.learning_rate)
        return super().optimizer(groups)

    def schedule(self, progress: float) -> float:
        return 1.0 if self.stage in (1, 2) else super().schedule(progress)

    def epoch_start(self) -> None:
        trained = {id(parameter) for parameter in self.trained()}
        for parameter in self.networks[0].parameters():
            parameter.requires_grad_(id(parameter) in trained)
        stage, y = self.stage, self.task.noisy_labels
        if stage in (1, 2) and self.epoch == self.starts()[stage - 1]:
            renew(self.last_parts(2 - stage))
        self.weights = torch.ones(self.task.num_classes, device=self.task.device)
        if stage == 3:
            agrees = self.predicted() == y
            self.confident = agrees if int(agrees.sum()) > 1 else torch.ones_like(agrees)
            self.weights = class_weights(y[self.confident], self.task.num_classes)

    @torch.no_grad()
    def predicted(self) -> Tensor:
        """Return the class (N,) of each training sample by the mean over two augmented views."""
        [net] = self.networks
        net.eval()
        classes = []
        numbers = torch.arange(self.task.num_train, device=self.task.device)
        for index in numbers.split(self.task.evaluation_batch):
            views = self.task.batch(index, (self.task.augment,) * 2).views
            with self.task.autocast():
                probabilities = torch.stack([net(view).float().softmax(1) for view in views])
            classes.append(probabilities.sum(0).argmax(1))
        net.train()
        return torch.cat(classes)

    def batches(self) -> Iterator[Batch]:
        return self.task.loader(self.confident.nonzero()[:, 0] if self.stage == 3 else None)

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        return F.cross_entropy(net(batch.x).float(), batch.y, weight=self.weights)

    def clean_probability(self) -> Tensor:
        return self.confident.float()


def renew(parts: nn.Module) -> None:
    """Draw all weights anew."""
    for module in parts.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()


def class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Mean class size over each class's size (C,), from labels (M,); 0 for an empty class."""
    sizes = labels.bincount(minlength=num_classes).float()
    return torch.where(sizes > 0, sizes.sum() / (sizes > 0).sum() / sizes.clamp_min(1), 0)
