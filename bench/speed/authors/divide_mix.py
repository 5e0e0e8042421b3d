"""Co-divide, co-refine, co-guess and MixMatch, after DivideMix's code.

Source: GitHub LiJunnan1992/DivideMix, commit d9d3058.
"""

from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import ops
from bench.speed.networks import CLASSES
from bench.speed.pieces import gaussian_by_sklearn
from bench.speed.reference import Loss, Reference, cast


class Authors(Reference):
    """A mixture for each network, and new DataLoaders for each side of its division."""

    batch_size = 64
    temperature = 0.5
    alpha = 4.0
    weight = 25.0

    def divide(self) -> list[tuple[Tensor, np.ndarray]]:
        method: Any = self.session.method
        return list(zip(method.clean, self.mixtures(), strict=True))

    def mixtures(self) -> list[np.ndarray]:
        """Return the clean probability (N,) by the losses of either network.

        The start is ours, because the number of clean samples decides on the number of steps.
        """
        return [gaussian_by_sklearn(self.losses(net), same_start=True) for net in self.networks]

    def sharpened(self, targets: Tensor) -> Tensor:
        targets = targets ** (1 / self.temperature)
        return targets / targets.sum(1, keepdim=True)

    def loss(
        self,
        student: int,
        # two views, labels (B,), their clean probability (B,)
        labelled: tuple[Tensor, Tensor, Tensor, Tensor],
        unlabelled: tuple[Tensor, Tensor],  # two views
        ramp: float,
        lam: float,
        order: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the student's loss, and its logits of the labelled samples."""
        net, peer = self.networks[student], self.networks[1 - student]
        x1, x2, y, w = labelled
        u1, u2 = unlabelled
        given = torch.zeros(len(y), CLASSES, device=y.device).scatter_(1, y.view(-1, 1), 1)
        with torch.no_grad():
            guessed = self.sharpened(
                sum(n(u).softmax(1) for n in (net, peer) for u in (u1, u2)) / 4
            )
            predicted = (net(x1).softmax(1) + net(x2).softmax(1)) / 2
            refined = self.sharpened(w.view(-1, 1) * given + (1 - w.view(-1, 1)) * predicted)
        x, targets = torch.cat([x1, x2, u1, u2]), torch.cat([refined, refined, guessed, guessed])
        order = torch.randperm(len(x)) if order is None else order
        mixed_targets = lam * targets + (1 - lam) * targets[order]
        logits = net(lam * x + (1 - lam) * x[order])
        n = 2 * len(x1)
        known = -(mixed_targets[:n] * logits[:n].log_softmax(1)).sum(1).mean()
        guess = ((logits[n:].softmax(1) - mixed_targets[n:]) ** 2).mean()
        prior = torch.full((CLASSES,), 1 / CLASSES, device=x.device)
        penalty = (prior * (prior / logits.softmax(1).mean(0)).log()).sum()
        return known + ramp * self.weight * guess + penalty, logits[: len(y)]

    def epoch(self) -> None:
        self.rewind()
        clean = self.mixtures()
        for student in (0, 1):
            self.networks[student].train()
            self.networks[1 - student].eval()
            probability = clean[1 - student]
            sides = (side.nonzero()[0] for side in (probability > 0.5, probability <= 0.5))
            labelled, unlabelled = (self.load(views=2, positions=side) for side in sides)
            others = chain.from_iterable(repeat(unlabelled))
            for (x1, x2, y, index), (u1, u2, *_) in zip(labelled, others, strict=False):
                w = torch.from_numpy(probability).float()[index].to(self.device)
                lam = self.rng.beta(self.alpha, self.alpha)
                x1, x2, y, u1, u2 = (tensor.to(self.device) for tensor in (x1, x2, y, u1, u2))
                loss, logits = self.loss(student, (x1, x2, y, w), (u1, u2), 0.1, max(lam, 1 - lam))
                self.descend(loss, logits, y)

    def first_losses(self, dtype: torch.dtype) -> tuple[Loss, Loss]:
        method: Any = self.session.method
        batch = next(iter(method.batches()))
        labelled, unlabelled = cast(batch.labelled, dtype), cast(batch.unlabelled, dtype)
        batch = batch._replace(labelled=labelled, unlabelled=unlabelled)
        # Both sides get the same random numbers: drawn once here, then the streams start anew.
        method.task.seed(1)
        lam = ops.beta_sample(self.alpha, method.task.rng)
        total = 2 * (len(labelled.y) + len(unlabelled.y))
        order = torch.randperm(total, generator=method.task.generator, device=self.device)
        method.task.seed(1)
        for theirs, ours in zip(self.networks, method.networks, strict=True):
            theirs.train(ours.training)
        x1, x2 = (view.contiguous() for view in labelled.views)
        u1, u2 = (view.contiguous() for view in unlabelled.views)
        known = x1, x2, labelled.y, method.clean[1 - batch.student, labelled.index]
        student, lam = batch.student, max(lam, 1 - lam)
        loss, _ = self.loss(student, known, (u1, u2), batch.ramp, lam, order)
        return (method.loss(batch), method.networks[student]), (loss, self.networks[student])
