"""SimiFeat (Zhu et al., ICML 2022, arXiv 2110.06283): detects wrong labels by the labels of nearby
features, without training for it, and learns from the other samples. It is made for features of a
frozen network.

[source] Written from the authors' code (GitHub UCSC-REAL/SimiFeat, commit 534af48). Neighbours are
the nearest by cosine. The sample and its k - 1 neighbours vote with weights of 1 - distance; the
sample's own distance is extrapolated as twice the first neighbour's less the second's. By "vote" a
label is wrong where another class has more weight. By "rank" the samples of a class whose label has
the least share are wrong, as many as HOC's estimate says: the transition matrix and class shares
that explain how often each triple of labels occurs in a sample and its two nearest neighbours. Each
of 21 rounds sees other augmented views; a sample is clean if it is so in most. [inferred] Where the
recipe has no augmentation, one round is all. HOC counts all triples, not those of random parts of
15,000 samples, and starts from equal class shares. Vectors are normalised as the head sees them. On
images the network learns from all labels first, and its penultimate features of that time are
compared; on vectors there is no such warm-up. ``clean_probability`` is the label's weight over the
sum of its own and the largest other one, the mean over all rounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.method import Method, check_at_least
from bench.task import Batch, Task


class SimiFeat(Method):
    """Cross-entropy on the samples whose labels their neighbours confirm."""

    begins = ["warmup_epochs"]
    # Half of the samples are taken as clean. The rounds' passes, in one epoch, do not count.
    passes = (0.5, 0)
    axes = {"k": "k"}

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code, but for the warm-up, which it has not."""

        rule: Literal["vote", "rank"] = "vote"
        k: int = 10  # samples that vote, the sample itself included
        rounds: int = 21
        warmup_epochs: int = 30  # on images

        def __post_init__(self) -> None:
            check_at_least(self, 3, "k")
            check_at_least(self, 1, "rounds", "warmup_epochs")

    selected: Tensor
    clean: Tensor
    transition: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        samples, classes = task.num_train, task.num_classes
        self.register_buffer("clean", torch.ones(samples, device=task.device))
        selected = torch.ones(samples, dtype=torch.bool, device=task.device)
        self.register_buffer("selected", selected)
        self.register_buffer("transition", torch.eye(classes, device=task.device))

    def grace(self) -> int:
        return 0 if self.recipe.on_vectors else super().grace()

    def epoch_start(self) -> None:
        if self.epoch == (0 if self.task.on_vectors else self.warmup(self.hp.warmup_epochs)):
            self.detect()

    def detect(self) -> None:
        """Select the samples that are clean in most rounds."""
        y, classes = self.task.noisy_labels, self.task.num_classes
        rounds = self.hp.rounds if self.recipe.augmentation != "none" else 1
        times, self.clean = torch.zeros_like(self.clean), torch.zeros_like(self.clean)
        consensus = None
        for _ in range(rounds):
            features = F.normalize(self.augmented_features(), dim=1)
            nearest = ops.nearest_neighbours(features, max(2, self.hp.k - 1))
            votes = weighted_votes(features, nearest, y, classes)
            self.clean += margin(votes, y) / rounds
            if self.hp.rule == "vote":
                times += votes.argmax(1) == y
                continue
            consensus = solve_consensus(label_triples(y, nearest, classes), consensus)
            self.transition, shares = (logits.softmax(-1) for logits in consensus)
            counts = y.bincount(minlength=classes).clamp_min(1)
            right = self.transition.diagonal() * shares * len(y) / counts
            jitter = self.task.rng.uniform(-0.05, 0.05, classes)  # the authors', in each round
            right = right + torch.from_numpy(jitter).to(right)
            confidence = F.normalize(votes, dim=1).gather(1, y[:, None])[:, 0]
            times += ~worst_share(confidence, y, 1 - right.clamp(max=1))
        selected = times > rounds / 2
        self.selected = selected if int(selected.sum()) > 1 else torch.ones_like(selected)

    @torch.no_grad()
    def augmented_features(self) -> Tensor:
        """Return features (N, D) of one augmented view of each sample, in eval mode."""
        [net] = self.networks
        net.eval()
        numbers = torch.arange(self.task.num_train, device=self.task.device)
        features = []
        with self.task.autocast():
            for index in numbers.split(self.task.evaluation_batch):
                x = self.task.batch(index).x
                features.append(x if self.task.on_vectors else net.forward_features(x))
        net.train()
        return torch.cat(features).float()

    def batches(self) -> Iterator[Batch]:
        return self.task.loader(self.selected.nonzero()[:, 0])

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        return F.cross_entropy(net(batch.x), batch.y)

    def clean_probability(self) -> Tensor:
        return self.clean

    def transition_matrix(self) -> Tensor | None:
        """Return HOC's estimate, with which "rank" works."""
        return self.transition if self.hp.rule == "rank" else None


def weighted_votes(features: Tensor, nearest: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Weights (N, C) of the classes among each sample and its neighbours.

    Args:
        features: (N, D) of length 1.
        nearest: (N, K) positions of neighbours, nearest first, at least two.
        y: (N,) labels.
        num_classes: C.
    """
    weights = torch.cat(
        [
            (rows[:, None] * features[others]).sum(2)  # cosines: 1 - distance
            for rows, others in zip(features.split(1000), nearest.split(1000), strict=True)
        ]
    )
    weights = torch.cat([2 * weights[:, :1] - weights[:, 1:2], weights], 1)
    labels = torch.cat([y[:, None], y[nearest]], 1)
    return weights.new_zeros(len(y), num_classes).scatter_add_(1, labels, weights)


def margin(votes: Tensor, y: Tensor) -> Tensor:
    """Weight of the label (N,) over the sum of its own and the largest other weight, of (N, C).

    It is 1/2 where both are 0.
    """
    votes = votes.clamp_min(1e-8)
    own = votes.gather(1, y[:, None])[:, 0]
    others = votes.scatter(1, y[:, None], 0).amax(1)
    return own / (own + others)


def worst_share(confidence: Tensor, y: Tensor, shares: Tensor) -> Tensor:
    """Mask (N,) of the samples of each class that have the smallest confidence (N,).

    Args:
        confidence: (N,) of the label.
        y: (N,) labels.
        shares: (C,) of each class's samples to mask; kept from 0.05 to 0.95 as the authors do:
            what is 0 or below becomes 0.05, and what is 1 or above 0.95.
    """
    shares = torch.where(shares <= 0, 0.05, torch.where(shares >= 1, 0.95, shares))
    mask = torch.zeros_like(y, dtype=torch.bool)
    for label, share in enumerate(shares.tolist()):
        members = y == label
        if members.any():
            scores = -(confidence[members].clamp_min(0) + 1e-8).log()
            mask[members] = scores >= scores.quantile(1 - share)
    return mask


def label_triples(y: Tensor, nearest: Tensor, num_classes: int) -> Tensor:
    """Shares (C, C, C) of the label triples of each sample and its two nearest neighbours."""
    first, second = y[nearest[:, 0]], y[nearest[:, 1]]
    triples = (y * num_classes + first) * num_classes + second
    return (triples.bincount(minlength=num_classes**3) / len(y)).view((num_classes,) * 3)


def solve_consensus(
    triples: Tensor, start: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Logits of the transition matrix (C, C) and of class shares (C,) that explain label triples.

    They minimise the sum of distances between the shares (C, C, C) of triples, of pairs and of
    single labels and those that follow if a sample and its two neighbours are of one true class.
    As in the authors' code, Adam takes 399 steps, or from a ``start`` 19 small ones.
    """
    classes = len(triples)
    steps, rate = (19, 0.01) if start else (399, 0.1)
    start = start or (5 * torch.eye(classes) - 1, torch.zeros(classes))
    matrix, shares = (logits.detach().to(triples).clone().requires_grad_() for logits in start)
    optimizer = torch.optim.Adam([matrix, shares], rate)
    for _ in range(steps):
        rows = matrix.softmax(1)
        joint = shares.softmax(0)[:, None] * rows
        loss = (triples.sum((1, 2)) - joint.sum(0)).norm()
        loss = loss + (triples.sum(2) - joint.T @ rows).norm()
        loss = loss + (triples - torch.einsum("ia,ib,ic->abc", joint, rows, rows)).norm()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return matrix.detach(), shares.detach()
