"""Prune and retrain (confident learning; Northcutt et al., JAIR 2021, arXiv 1911.00068):
out-of-sample predictions say how often each class is labelled as each other; so many of the least
likely labels are dropped, and a new network trains on the rest.

The labels to drop are found by the authors' library cleanlab. Four folds and weights that give
pruned classes their former size are the authors' on CIFAR-10. [inferred] Cross-validation takes
``validation_share`` of the epochs, the new network the rest, each with a whole schedule of its own
(the authors train both in full).
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.errors import InputError
from bench.method import Method
from bench.ops import per_sample
from bench.task import Batch, Network, Task


class Fold(NamedTuple):
    """A batch for one of the networks: those of the folds, then the one that counts."""

    student: int
    batch: Batch


class Prune(Method):
    """Cross-validate, drop what is flagged, train anew."""

    reference_epochs = 700
    # at four folds three while it cross-validates, then one over what is kept: the mean, at a half
    # kept
    passes = (1.75, 0)
    paper = {
        "backbone": "resnet50",
        "epochs": 700,  # 350 for cross-validation, 350 for the new network
        "augmentation": "crop_flip",
        "batch_size": 256,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (150 / 350, 250 / 350),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] The authors' folds (GitHub cgnorthcutt/confidentlearning-reproduce, 2f31556);
        cleanlab's default rule.
        """

        folds: int = 4
        rule: Literal["prune_by_noise_rate", "prune_by_class", "both", "confident_learning"] = (
            "prune_by_noise_rate"
        )
        validation_share: float = 0.5
        reweight: bool = True

        def __post_init__(self) -> None:
            if self.folds < 2:
                raise InputError(f"prune.folds is {self.folds}: give at least 2")
            if not 0 < self.validation_share < 1:
                raise InputError(
                    f"prune.validation_share is {self.validation_share:g}: give a share between 0 "
                    "and 1"
                )

    fold: Tensor
    kept: Tensor

    def setup(self, task: Task) -> None:
        self.networks = torch.nn.ModuleList(task.build_network() for _ in range(self.hp.folds + 1))  # type: ignore[assignment]
        order = torch.randperm(task.num_train, generator=task.generator, device=task.device)
        # class by class, dealt out in turn
        order = order[task.noisy_labels[order].argsort(stable=True)]
        fold = torch.empty_like(order)
        fold[order] = torch.arange(len(order), device=task.device) % self.hp.folds
        self.register_buffer("fold", fold)
        self.register_buffer(
            "kept", torch.ones(task.num_train, dtype=torch.bool, device=task.device)
        )

    @property
    def boundary(self) -> int:
        """The epoch in which pruning is done: never the first, nor beyond the last but in a run of
        one epoch.
        """
        return max(
            1, min(self.recipe.epochs - 1, round(self.hp.validation_share * self.recipe.epochs))
        )

    def grace(self) -> int:
        return self.boundary

    @property
    def stage(self) -> int:
        return int(self.epoch >= self.boundary)

    def param_groups(self) -> list[dict[str, Any]]:
        return [
            {"params": [parameter for net in self.predictors() for parameter in net.parameters()]}
        ]

    def schedule(self, progress: float) -> float:
        share = self.boundary / self.recipe.epochs
        # Rounded: 13/25 must not fall below itself.
        stage = progress >= share - 1e-9
        return self.recipe.rate_factor(
            max(0.0, progress - share) / (1 - share) if stage else progress / share
        )

    def epoch_start(self) -> None:
        if self.epoch == self.boundary:
            kept = ~label_issues(self.task.noisy_labels, self.out_of_sample(), self.hp.rule)
            self.kept = kept if int(kept.sum()) > 1 else torch.ones_like(kept)
        self.weights = torch.ones(self.task.num_classes, device=self.task.device)
        if self.stage and self.hp.reweight:
            y = self.task.noisy_labels
            before, after = (
                labels.bincount(minlength=self.task.num_classes) for labels in (y, y[self.kept])
            )
            self.weights = before / after.clamp_min(1)

    def out_of_sample(self) -> Tensor:
        """Class probabilities (N, C) of each training sample by the network that has not seen it."""
        found = [
            per_sample(self, net, lambda logits, y, index: logits.softmax(1))
            for net in self.networks[:-1]
        ]
        return torch.stack(found)[self.fold, torch.arange(len(self.fold), device=self.fold.device)]

    def batches(self) -> Iterator[Fold]:
        if self.stage:
            yield from (
                Fold(self.hp.folds, batch) for batch in self.task.loader(self.kept.nonzero()[:, 0])
            )
            return
        for student in range(self.hp.folds):
            yield from (
                Fold(student, batch)
                for batch in self.task.loader((self.fold != student).nonzero()[:, 0])
            )

    def students(self, batch: Fold) -> Iterable[Network]:
        return [self.networks[batch.student]]

    def loss(self, batch: Fold) -> Tensor:
        return F.cross_entropy(
            self.networks[batch.student](batch.batch.x).float(), batch.batch.y, weight=self.weights
        )

    def predictors(self) -> Sequence[Network]:
        return self.networks[-1:] if self.stage else self.networks[:-1]

    def clean_probability(self) -> Tensor:
        return self.kept.float()


def label_issues(y: Tensor, p: Tensor, rule: str) -> Tensor:
    """Mask (N,) of the labels (N,) that cleanlab, given out-of-sample probabilities (N, C), calls
    wrong.
    """
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():  # it says that it leaves one sample of each class, as it should
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        flagged = find_label_issues(
            y.cpu().numpy(), p.double().cpu().numpy(), filter_by=rule, n_jobs=1
        )
    return torch.from_numpy(flagged).to(y.device)
