"""Weighted adaptive nearest neighbours (WANN: Di Salvo et al., TMLR 2025, arXiv 2408.14358): each
training sample has the size of the smallest neighbourhood whose majority confirms its label;
predictions are votes in neighbourhoods of such a size, and a label that needed a large one counts
less. It is made for features of a frozen network.

[source] Written from the authors' code (GitHub francescodisalvo05/wann-noisy-labels, commit
314f2ae): features are standardised, distances Euclidean, and sizes odd numbers k of other samples
from 11 to 49, or 51 where none confirms the label. An image has the size of its nearest training
sample, and each vote the weight 1/k. [inferred] Of equal sums of votes the lowest class wins, not
that of the nearest sample. Network, vectors and images are as in ``knn``. The network learns by
cross-entropy weighted by 11/k, which is ``clean_probability`` too: in proportion to the authors'
1/k, and above 1/2 where k is below 22. ``metric="cosine"`` compares directions of standardised
features: in the measurement of ``knn``, test accuracy is 65 % against 51 %, and the AUC of wrong
labels 0.81 against 0.77.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import check_at_least
from bench.task import Batch, Task
from methods import knn


class WANN(knn.KNN):
    """Weighted cross-entropy for the network, and a weighted vote of neighbours."""

    axes = {}

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code."""

        k_min: int = 11
        k_max: int = 51  # the size where no smaller one confirms the label
        metric: Literal["euclidean", "cosine"] = "euclidean"  # as in ``knn``

        def __post_init__(self) -> None:
            check_at_least(self, 1, "k_min")
            if self.k_max <= self.k_min:
                raise InputError(
                    f"wann.k_max is {self.k_max}: give a number above wann.k_min ({self.k_min})"
                )

    sizes: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        sizes = torch.full_like(task.noisy_labels, self.hp.k_min)
        self.register_buffer("sizes", sizes)  # k of each training sample

    def judge(self) -> None:
        """Find the size of each training sample's neighbourhood."""
        y = self.task.noisy_labels
        labels = y[ops.nearest_neighbours(self.bank, self.hp.k_max)]
        self.sizes.copy_(
            confirming_sizes(labels, y, self.task.num_classes, self.hp.k_min, self.hp.k_max)
        )
        self.clean.copy_(self.hp.k_min / self.sizes)

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        weights = self.clean[batch.index]
        losses = F.cross_entropy(net(batch.x).float(), batch.y, reduction="none")
        return (weights * losses).sum() / weights.sum()

    def predict(self, x: Tensor) -> Tensor:
        nearest = ops.nearest_neighbours(self.standardised(x), self.hp.k_max, self.bank)
        sizes = self.sizes[nearest]
        inside = torch.arange(nearest.shape[1], device=x.device) < sizes[:, :1]
        labels = F.one_hot(self.task.noisy_labels[nearest], self.task.num_classes)
        votes = (labels * (inside / sizes)[..., None]).sum(1)
        return votes / votes.sum(1, keepdim=True)


def confirming_sizes(
    neighbours: Tensor, y: Tensor, num_classes: int, k_min: int, k_max: int
) -> Tensor:
    """Smallest k (N,) for which the majority of the k nearest samples has the label.

    Of equally many votes the lowest class wins.

    Args:
        neighbours: labels (N, K) of each sample's neighbours, nearest first.
        y: (N,) labels.
        num_classes: number of classes.
        k_min: smallest k; of the larger ones every other is tried, below ``k_max``.
        k_max: the value where no k confirms the label.
    """
    sizes = torch.full_like(y, k_max)
    votes = y.new_zeros(len(y), num_classes)
    counted = 0
    for k in range(k_min, k_max, 2):
        new = neighbours[:, counted:k]
        votes.scatter_add_(1, new, torch.ones_like(new))
        counted = k
        sizes = torch.where((sizes == k_max) & (votes.argmax(1) == y), k, sizes)
    return sizes
