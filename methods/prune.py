"""Prune and retrain (confident learning; Northcutt et al., JAIR 2021, arXiv 1911.00068):
out-of-sample predictions estimate how often each class is labelled as each other; that many of the
least likely labels are dropped, and a new network trains on the rest.

The authors' library cleanlab finds the labels to drop. Four folds and weights that give pruned
classes their former size are the authors' on CIFAR-10. [inferred] Cross-validation takes
``validation_share`` of the epochs, the new network the rest, each with a whole schedule (the
authors train both in full).
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_at_least
from bench.task import Batch, Network, Task


class Fold(NamedTuple):
    """A batch for one of the networks: those of the folds, and the final one."""

    student: int
    batch: Batch


class Prune(Method):
    """Cross-validation, pruning of flagged labels, training from scratch."""

    reference_epochs = 700
    # The mean over both phases: three passes with four folds, then one over half of the samples.
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
        """[source] The authors' folds, and cleanlab's default rule.

        Their code is GitHub cgnorthcutt/confidentlearning-reproduce, commit 2f31556.
        """

        folds: int = 4
        rule: Literal["prune_by_noise_rate", "prune_by_class", "both", "confident_learning"] = (
            "prune_by_noise_rate"
        )
        validation_share: float = 0.5
        reweight: bool = True

        def __post_init__(self) -> None:
            check_at_least(self, 2, "folds")
            if not 0 < (share := self.validation_share) < 1:
                raise InputError(
                    f"prune.validation_share is {share:g}: give a share between 0 and 1"
                )

    fold: Tensor
    clean: Tensor

    def setup(self, task: Task) -> None:
        self.networks = torch.nn.ModuleList(task.build_network() for _ in range(self.hp.folds + 1))  # type: ignore[assignment]
        order = torch.randperm(task.num_train, generator=task.generator, device=task.device)
        # Each class is dealt out to the folds in turn.
        order = order[task.noisy_labels[order].argsort(stable=True)]
        fold = torch.empty_like(order)
        fold[order] = torch.arange(len(order), device=task.device) % self.hp.folds
        self.register_buffer("fold", fold)
        clean = torch.ones(task.num_train, dtype=torch.bool, device=task.device)
        self.register_buffer("clean", clean)

    @property
    def boundary(self) -> int:
        """Epoch before which labels are pruned: from 1 to the last, or 1 in a run of one epoch."""
        epochs = self.recipe.epochs
        return max(1, min(epochs - 1, round(self.hp.validation_share * epochs)))

    def grace(self) -> int:
        return self.boundary

    @property
    def stage(self) -> int:
        return int(self.epoch >= self.boundary)

    def param_groups(self) -> list[dict[str, Any]]:
        return [{"params": [weight for net in self.predictors() for weight in net.parameters()]}]

    def schedule(self, progress: float) -> float:
        share = self.boundary / self.recipe.epochs
        if progress < share - 1e-9:  # 13/25 must not fall below itself by rounding
            return self.recipe.rate_factor(progress / share)
        return self.recipe.rate_factor(max(0.0, progress - share) / (1 - share))

    def epoch_start(self) -> None:
        y, classes = self.task.noisy_labels, self.task.num_classes
        if self.epoch == self.boundary:
            clean = ~label_issues(y, self.out_of_sample(), self.hp.rule)
            self.clean = clean if int(clean.sum()) > 1 else torch.ones_like(clean)
        self.weights = torch.ones(classes, device=self.task.device)
        if self.stage and self.hp.reweight:
            before, after = (labels.bincount(minlength=classes) for labels in (y, y[self.clean]))
            self.weights = before / after.clamp_min(1)

    def out_of_sample(self) -> Tensor:
        """Return probabilities (N, C) of each training sample by the network without it."""
        probabilities = [
            ops.per_sample(self, net, lambda logits, y, index: logits.softmax(1))
            for net in self.networks[:-1]
        ]
        numbers = torch.arange(len(self.fold), device=self.fold.device)
        return torch.stack(probabilities)[self.fold, numbers]

    def batches(self) -> Iterator[Fold]:
        folds = self.hp.folds
        for student in [folds] if self.stage else range(folds):
            samples = self.clean if self.stage else self.fold != student
            for batch in self.task.loader(samples.nonzero()[:, 0]):
                yield Fold(student, batch)

    def students(self, batch: Fold) -> Iterable[Network]:
        return [self.networks[batch.student]]

    def loss(self, batch: Fold) -> Tensor:
        logits = self.networks[batch.student](batch.batch.x).float()
        return F.cross_entropy(logits, batch.batch.y, weight=self.weights)

    def predictors(self) -> Sequence[Network]:
        return self.networks[-1:] if self.stage else self.networks[:-1]

    def clean_probability(self) -> Tensor:
        return self.clean.float()


def label_issues(y: Tensor, p: Tensor, rule: str) -> Tensor:
    """Mask (N,) of the labels (N,) that cleanlab flags by out-of-sample probabilities (N, C)."""
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        # cleanlab warns that it leaves one sample of each class, as it should.
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        flagged = find_label_issues(
            y.cpu().numpy(), p.double().cpu().numpy(), filter_by=rule, n_jobs=1
        )
    return torch.from_numpy(flagged).to(y.device)
