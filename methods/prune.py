"""Prune and retrain (confident learning; Northcutt et al., JAIR 2021, arXiv 1911.00068): out-of-sample predictions say how
often each class is labelled as each other; so many of the least likely labels are dropped, and a new network trains on the
rest.

The rules are those of the cleanlab library (commit 7506257 read; it is not needed here): thresholds are each class's mean
probability on the samples labelled so, the confident joint counts samples above them and is scaled to the label counts, and
a label that is also the prediction is never flagged. Four folds and weights that give pruned classes their former size are
the authors' on CIFAR-10. [inferred] Cross-validation takes ``validation_share`` of the epochs, the new network the rest, each
with a whole schedule of its own (the authors train both in full); labels whose prediction is as high as the best within
rounding, which cleanlab spares too, are not told apart from the others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.backbones import Network
from bench.errors import InputError
from bench.method import Method
from bench.ops import per_sample
from bench.task import Batch, Task


class Fold(NamedTuple):
    """A batch for one of the networks: those of the folds, then the one that counts."""

    student: int
    batch: Batch


class Prune(Method):
    """Cross-validate, drop what is flagged, train anew."""

    reference_epochs = 700
    relative_cost = 2.0
    paper = {
        "backbone": "resnet50",
        "epochs": 700,  # 350 for cross-validation, 350 for the new network
        "augmentation": "crop_flip",
        "batch_size": 256,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (150 / 350, 250 / 350),
    }

    @dataclass(frozen=True)
    class HParams:
        """The authors' folds; cleanlab's default rule."""

        folds: int = 4
        rule: Literal["noise_rate", "class", "both", "confusion"] = "noise_rate"
        validation_share: float = 0.5
        reweight: bool = True

        def __post_init__(self) -> None:
            if self.folds < 2:
                raise InputError(f"prune.folds is {self.folds}: give at least 2")
            if not 0 < self.validation_share < 1:
                raise InputError(f"prune.validation_share is {self.validation_share:g}: give a share between 0 and 1")

    fold: Tensor
    kept: Tensor

    def setup(self, task: Task) -> None:
        self.networks = torch.nn.ModuleList(task.build_network() for _ in range(self.hp.folds + 1))  # type: ignore[assignment]
        order = torch.randperm(task.num_train, generator=task.generator, device=task.device)
        order = order[task.noisy_labels[order].argsort(stable=True)]  # class by class, dealt out in turn
        fold = torch.empty_like(order)
        fold[order] = torch.arange(len(order), device=task.device) % self.hp.folds
        self.register_buffer("fold", fold)
        self.register_buffer("kept", torch.ones(task.num_train, dtype=torch.bool, device=task.device))

    @property
    def boundary(self) -> int:
        """The epoch in which pruning is done: never the first, nor beyond the last but in a run of one epoch."""
        return max(1, min(self.recipe.epochs - 1, round(self.hp.validation_share * self.recipe.epochs)))

    def grace(self) -> int:
        return self.boundary

    @property
    def stage(self) -> int:
        return int(self.epoch >= self.boundary)

    def param_groups(self) -> list[dict[str, Any]]:
        nets = self.networks[-1:] if self.stage else self.networks[:-1]
        return [{"params": [parameter for net in nets for parameter in net.parameters()]}]

    def schedule(self, progress: float) -> float:
        share = self.boundary / self.recipe.epochs
        # Rounded: 13/25 must not fall below itself.
        stage = progress >= share - 1e-9
        return self.recipe.rate_factor(max(0.0, progress - share) / (1 - share) if stage else progress / share)

    def epoch_start(self) -> None:
        if self.epoch == self.boundary:
            kept = ~label_issues(self.task.noisy_labels, self.out_of_sample(), self.hp.rule)
            self.kept = kept if int(kept.sum()) > 1 else torch.ones_like(kept)
        self.weights = torch.ones(self.task.num_classes, device=self.task.device)
        if self.stage and self.hp.reweight:
            y = self.task.noisy_labels
            before, after = (labels.bincount(minlength=self.task.num_classes) for labels in (y, y[self.kept]))
            self.weights = before / after.clamp_min(1)

    def out_of_sample(self) -> Tensor:
        """Class probabilities (N, C) of each training sample by the network that has not seen it."""
        found = [per_sample(self, net, lambda logits, y, index: logits.softmax(1)) for net in self.networks[:-1]]
        return torch.stack(found)[self.fold, torch.arange(len(self.fold), device=self.fold.device)]

    def batches(self) -> Iterator[Fold]:
        if self.stage:
            yield from (Fold(self.hp.folds, batch) for batch in self.task.loader(self.kept.nonzero()[:, 0]))
            return
        for student in range(self.hp.folds):
            yield from (Fold(student, batch) for batch in self.task.loader((self.fold != student).nonzero()[:, 0]))

    def students(self, batch: Fold) -> Iterable[Network]:
        return [self.networks[batch.student]]

    def loss(self, batch: Fold) -> Tensor:
        return F.cross_entropy(self.networks[batch.student](batch.batch.x).float(), batch.batch.y, weight=self.weights)

    def predict(self, x: Tensor) -> Tensor:
        nets = self.networks[-1:] if self.stage else self.networks[:-1]
        return torch.stack([net(x).float().softmax(1) for net in nets]).mean(0)

    def clean_probability(self) -> Tensor:
        return self.kept.float()


def confident_joint(y: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Counts (C, C) of samples by label and by confident class, from labels (N,) and probabilities (N, C).

    And the confident class (N,) of each sample: the likeliest of those whose threshold it reaches; -1 where there is none.
    """
    classes = p.shape[1]
    given = F.one_hot(y, classes).to(p.dtype)
    sizes = given.sum(0)
    thresholds = torch.where(sizes > 0, (given * p).sum(0) / sizes.clamp_min(1), 2)  # an absent class is never reached
    reached = p >= thresholds - 1e-6
    several = reached.sum(1) > 1  # then, as in cleanlab, the likeliest of all classes
    best = torch.where(several, p.argmax(1), reached.long().argmax(1)).masked_fill(~reached.any(1), -1)
    sure = best >= 0
    counts = (y[sure] * classes + best[sure]).bincount(minlength=classes**2).view(classes, classes)
    return counts, best


def label_issues(y: Tensor, p: Tensor, rule: str) -> Tensor:
    """Mask (N,) of the labels (N,) that out-of-sample probabilities (N, C) call wrong; at least one of each class stays."""
    classes = p.shape[1]
    counts, best = confident_joint(y, p)
    if rule == "confusion":
        flagged = (best >= 0) & (best != y)
        return flagged & (p.argmax(1) != y)
    counts.diagonal().clamp_(min=1)
    sizes = y.bincount(minlength=classes)
    joint = whole_rows(counts * (sizes / counts.sum(1))[:, None].double())  # rows: given label; columns: true class
    by_rate, by_class = torch.zeros_like(y, dtype=torch.bool), torch.zeros_like(y, dtype=torch.bool)
    for k in range(classes):
        own = (y == k).nonzero()[:, 0]
        if len(own) < 2:
            continue
        wrong = joint[k].clone()
        wrong[k] = 0
        excess = int(wrong.sum()) - (len(own) - 1)
        if excess > 0:  # leave one
            wrong[wrong.argmax()] -= excess
        by_class[own[p[own, k].argsort()[: int(wrong.sum())]]] = True
        for j in range(classes):
            margin = p[own, j] - p[own, k]
            by_rate[own[margin.argsort(descending=True)[: int(wrong[j])]]] = True
    flagged = {"noise_rate": by_rate, "class": by_class, "both": by_rate & by_class}[rule]
    return flagged & (p.argmax(1) != y)


def whole_rows(matrix: Tensor) -> Tensor:
    """Whole numbers near ``matrix`` (C, C) whose rows have the same sums: the largest remainders are rounded up."""
    low = matrix.floor()
    missing = (matrix.sum(1).round() - low.sum(1)).round().long()
    rank = (low - matrix).argsort(dim=1, stable=True).argsort(1)
    return (low + (rank < missing[:, None])).long()
