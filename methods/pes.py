"""Progressive early stopping (PES; Bai et al., NeurIPS 2021, arXiv 2106.15853): later layers
memorise noise first, so they are stopped, renewed and retrained on top of the frozen earlier ones;
then the network learns from the labels it agrees with.

From the authors' PES_cs.py (GitHub tmllab/2021_NeurIPS_PES, commit ec5290d), which trains without
semi-supervision: T1 epochs of the whole network, T2 of a renewed last block and head, T3 of a
renewed head, each by Adam; then, each epoch, weighted cross-entropy on the confident samples: those
whose label is the mean prediction over two augmented views. T1 is 30 for CIFAR-100. In that code
the optimiser of the last phase never hears of the renewed layers, which stay as they are, surely by
a slip: here they learn on; ``freeze_renewed`` repeats it. [inferred] T2 and T3 count as epochs of
the run and, since they teach layers from scratch, scale as warm-ups do; where fewer than two
samples are confident, all are used. The last block is a ResNet's last stage, or the last
convolution. The last phase's SGD is a new one (theirs is the first phase's, with its momentum). The
authors' T3 is 1,755 steps: on a small data set it is few, Adam's 1e-4 leaves the new head near its
start, and ``learning_rate`` has to rise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import InputError
from bench.method import Method
from bench.task import Batch, Task


class PES(Method):
    """Train all, then the last parts anew, then on the confident samples."""

    reference_epochs = 200
    begins = ["whole_epochs"]
    # the confident, here half of the samples; two views of all say which these are
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
            for name, least in (("whole_epochs", 1), ("block_epochs", 0), ("head_epochs", 0)):
                if getattr(self, name) < least:
                    raise InputError(f"pes.{name} is {getattr(self, name)}: give at least {least}")
            if self.learning_rate <= 0:
                raise InputError(
                    f"pes.learning_rate is {self.learning_rate:g}: give a number above 0"
                )

    confident: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer(
            "confident", torch.ones(task.num_train, dtype=torch.bool, device=task.device)
        )

    def starts(self) -> list[int]:
        """First epochs of the phases after the first one."""
        starts = [0]
        for epochs in (self.hp.whole_epochs, self.hp.block_epochs, self.hp.head_epochs):
            starts.append(starts[-1] + self.warmup(epochs))
        return starts[1:]

    @property
    def stage(self) -> int:
        return sum(self.epoch >= start for start in self.starts())

    def last_parts(self, count: int) -> nn.ModuleList:
        """The head and the ``count`` blocks before it."""
        [net] = self.networks
        return nn.ModuleList(module for block in net.blocks()[-1 - count :] for module in block)

    def trained(self) -> list[nn.Parameter]:
        everything = list(self.networks[0].parameters())
        if self.stage in (1, 2):
            return list(self.last_parts(2 - self.stage).parameters())
        if self.stage == 3 and self.hp.freeze_renewed:
            renewed = {id(parameter) for parameter in self.last_parts(1).parameters()}
            return [parameter for parameter in everything if id(parameter) not in renewed]
        return everything

    def param_groups(self) -> list[dict[str, Any]]:
        return [{"params": self.trained()}]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return (
            torch.optim.Adam(groups, self.hp.learning_rate)
            if self.stage in (1, 2)
            else super().optimizer(groups)
        )

    def schedule(self, progress: float) -> float:
        return 1.0 if self.stage in (1, 2) else super().schedule(progress)

    def epoch_start(self) -> None:
        trained = {id(parameter) for parameter in self.trained()}
        for parameter in self.networks[0].parameters():
            parameter.requires_grad_(id(parameter) in trained)
        stage = self.stage
        if stage in (1, 2) and self.epoch == self.starts()[stage - 1]:
            renew(self.last_parts(2 - stage))
        self.weights = torch.ones(self.task.num_classes, device=self.task.device)
        if stage == 3:
            agreed = self.predicted() == self.task.noisy_labels
            self.confident = agreed if int(agreed.sum()) > 1 else torch.ones_like(agreed)
            self.weights = class_weights(
                self.task.noisy_labels[self.confident], self.task.num_classes
            )

    @torch.no_grad()
    def predicted(self) -> Tensor:
        """Class (N,) of each training sample by the mean over two augmented views."""
        [net] = self.networks
        net.eval()
        found = []
        for index in torch.arange(self.task.num_train, device=self.task.device).split(
            self.task.evaluation_batch
        ):
            views = self.task.batch(index, (self.task.augment,) * 2).views
            with self.task.autocast():
                found.append(
                    torch.stack([net(view).float().softmax(1) for view in views]).sum(0).argmax(1)
                )
        net.train()
        return torch.cat(found)

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
    """Mean class size over each class's size (C,), from labels (M,); 0 for a class that has
    vanished.
    """
    sizes = labels.bincount(minlength=num_classes).float()
    return torch.where(sizes > 0, sizes.sum() / (sizes > 0).sum() / sizes.clamp_min(1), 0)
