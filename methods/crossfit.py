"""Cross-fitting through an estimated transition matrix: the probability that a label is wrong,
judged by networks that never saw it.

[inferred] A combination of known parts. Each of ``folds`` networks trains without one fold of the
samples, first by cross-entropy. Their predictions on what they did not see give a confident joint
(Northcutt et al., JAIR 2021, arXiv 1911.00068), and this a transition matrix. New networks then
train through the matrix, by the forward correction (Patrini et al., CVPR 2017, arXiv 1609.03683),
so that they predict true classes. Bayes' rule turns their predictions and the matrix into the
probability of each class, given a sample's features and its label: ``soft_targets``, and
``clean_probability`` for the label itself. A part of what the matrix has beside its diagonal is
spread evenly over the classes: a network that trains through a matrix with two similar rows may
exchange their classes. Samples that are nearly equal share a fold, since a copy would vouch for a
wrong label. One of a vector's ten nearest neighbours is a copy if their cosine is at least
``duplicate``; images are compared by their pixels, less the mean image.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_at_least
from bench.task import Batch, Network, Task

#: Nearest neighbours among which copies of a sample are looked for.
NEIGHBOURS = 10


class Fold(NamedTuple):
    """A batch for the network of one fold."""

    student: int
    batch: Batch


class CrossFit(Method):
    """Networks that each leave out a fold, trained plainly and then through a matrix."""

    reference_epochs = 60
    passes = (4, 0)

    @dataclass(frozen=True)
    class HParams:
        """[inferred] Chosen by measurement; see results/reference/audit."""

        folds: int = 5
        spread: float = 0.3  # share of the errors that is spread evenly over the classes
        duplicate: float = 0.97  # cosine from which a near neighbour counts as a copy

        def __post_init__(self) -> None:
            check_at_least(self, 2, "folds")
            if not 0 <= self.spread <= 1:
                raise InputError(f"crossfit.spread is {self.spread:g}: give a share from 0 to 1")
            if not self.duplicate > 0:
                raise InputError(f"crossfit.duplicate is {self.duplicate:g}: give a cosine above 0")

    fold: Tensor
    transition: Tensor
    targets: Tensor

    def setup(self, task: Task) -> None:
        self.networks = torch.nn.ModuleList(task.build_network() for _ in range(self.hp.folds))  # type: ignore[assignment]
        groups = duplicate_groups(self._vectors(task), self.hp.duplicate)
        order = torch.randperm(task.num_train, generator=task.generator, device=task.device)
        # Each class is dealt out to the folds in turn; a group goes where its first member goes.
        order = order[task.noisy_labels[order].argsort(stable=True)]
        fold = torch.empty_like(order)
        fold[order] = torch.arange(len(order), device=task.device) % self.hp.folds
        self.register_buffer("fold", fold[groups])
        self.register_buffer("transition", torch.eye(task.num_classes, device=task.device))
        targets = F.one_hot(task.noisy_labels, task.num_classes).float()
        self.register_buffer("targets", targets)

    def _vectors(self, task: Task) -> Tensor:
        vectors = torch.cat([batch.x.flatten(1) for batch in task.loader(train=False)])
        return vectors - vectors.mean(0)

    @property
    def boundary(self) -> int:
        """Epoch from which the networks train through the matrix."""
        return max(1, self.recipe.epochs // 2)

    def grace(self) -> int:
        return self.boundary

    @property
    def stage(self) -> int:
        return int(self.epoch >= self.boundary)

    def schedule(self, progress: float) -> float:
        share = self.boundary / self.recipe.epochs
        if progress < share - 1e-9:
            return self.recipe.rate_factor(progress / share)
        return self.recipe.rate_factor(max(0.0, progress - share) / (1 - share))

    def epoch_start(self) -> None:
        if self.epoch == self.boundary:
            for net in self.networks:
                net.load_state_dict(self.task.build_network().state_dict())

    def batches(self) -> Iterator[Fold]:
        for student in range(self.hp.folds):
            for batch in self.task.loader((self.fold != student).nonzero()[:, 0]):
                yield Fold(student, batch)

    def students(self, batch: Fold) -> Iterable[Network]:
        return [self.networks[batch.student]]

    def loss(self, batch: Fold) -> Tensor:
        logits = self.networks[batch.student](batch.batch.x).float()
        if self.stage:
            return ops.corrected_cross_entropy(logits, self.transition, batch.batch.y)
        return F.cross_entropy(logits, batch.batch.y)

    def epoch_end(self) -> None:
        if self.epoch + 1 not in (self.boundary, self.recipe.epochs):
            return
        y, p = self.task.noisy_labels, self.out_of_sample()
        if self.epoch + 1 == self.boundary:
            matrix = confident_transition(y, p)
            self.transition.copy_(spread_errors(matrix, self.hp.spread))
        posterior = p * self.transition[:, y].T
        self.targets.copy_(posterior / posterior.sum(1, keepdim=True).clamp_min(1e-12))

    def out_of_sample(self) -> Tensor:
        """Return probabilities (N, C) of each training sample by the network without it."""
        probabilities = [
            ops.per_sample(self, net, lambda logits, y, index: logits.float().softmax(1))
            for net in self.networks
        ]
        numbers = torch.arange(len(self.fold), device=self.fold.device)
        return torch.stack(probabilities)[self.fold, numbers]

    def clean_probability(self) -> Tensor:
        return self.targets.gather(1, self.task.noisy_labels[:, None])[:, 0]

    def soft_targets(self) -> Tensor:
        return self.targets

    def transition_matrix(self) -> Tensor:
        return self.transition


def duplicate_groups(vectors: Tensor, cosine: float) -> Tensor:
    """Return for each row (N, D) the position (N,) of the first member of its group.

    A row is in the groups of those of its nearest neighbours whose cosine is at least ``cosine``.
    One neighbour is not enough: four copies may be two pairs of nearest neighbours.
    """
    unit = F.normalize(vectors, dim=1)
    columns = ops.nearest_neighbours(unit, NEIGHBOURS).unbind(1)
    nearness = [(unit * unit[nearest]).sum(1) >= cosine for nearest in columns]
    first = torch.arange(len(unit), device=unit.device)
    while True:
        lower = first
        for nearest, near in zip(columns, nearness, strict=True):
            lower = torch.where(near, torch.minimum(lower, lower[nearest]), lower)
            lower = lower.scatter_reduce(0, nearest[near], lower[near], "amin")
        if torch.equal(lower, first):
            return first
        first = lower


def confident_transition(y: Tensor, p: Tensor) -> Tensor:
    """Estimate T (C, C) by the confident joint of labels (N,) and out-of-sample p (N, C).

    Row i holds the probability of each label for samples of class i. A sample counts for the most
    probable class among those whose probability is at least the mean that samples with that label
    have. A class that no sample counts for keeps its labels.
    """
    classes = p.shape[1]
    given = F.one_hot(y, classes).to(p.dtype)
    sizes = given.sum(0)
    thresholds = torch.where(sizes > 0, (given * p).sum(0) / sizes.clamp_min(1), torch.inf)
    confident = p.where(p >= thresholds - 1e-6, -torch.inf)
    counted = confident.isfinite().any(1)
    joint = torch.zeros(classes, classes, dtype=p.dtype, device=p.device)
    joint.index_put_((y[counted], confident[counted].argmax(1)), p.new_ones(()), accumulate=True)
    joint = joint / joint.sum(1, keepdim=True).clamp_min(1) * sizes[:, None]
    columns = joint.sum(0)
    eye = torch.eye(classes, dtype=p.dtype, device=p.device)
    return torch.where(columns[:, None] > 0, joint.T / columns[:, None].clamp_min(1e-12), eye)


def spread_errors(matrix: Tensor, share: float) -> Tensor:
    """Spread a share of what each row (C, C) has beside the diagonal evenly over all others."""
    classes = len(matrix)
    diagonal = matrix.diagonal().clamp(1 / classes, 1)
    off = 1 - torch.eye(classes, dtype=matrix.dtype, device=matrix.device)
    errors = matrix * off
    errors = errors / errors.sum(1, keepdim=True).clamp_min(1e-12)
    mixed = (1 - share) * errors + share * off / (classes - 1)
    mixed = mixed / mixed.sum(1, keepdim=True)
    return diagonal.diag() + (1 - diagonal)[:, None] * mixed
