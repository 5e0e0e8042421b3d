"""Co-divide, co-refine, co-guess and MixMatch, after DivideMix's code (GitHub
LiJunnan1992/DivideMix, commit d9d3058).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import ops
from bench.speed.measure import Settings
from bench.speed.networks import CLASSES, Case
from bench.speed.pieces import gaussian_by_sklearn
from bench.speed.reference import Reference, Samples, cast
from bench.speed.sessions import Session


class Authors(Reference):
    """A DataLoader for either side of the division, made anew for either network; a mixture for
    each.
    """

    batch_size = 64
    temperature = 0.5
    alpha = 4.0
    weight = 25.0

    def __init__(self, session: Session, case: Case, settings: Settings) -> None:
        super().__init__(session, case, settings)
        self.rng = np.random.default_rng(0)

    def divide(self) -> list[tuple[Tensor, np.ndarray]]:
        method: Any = self.session.method
        return list(zip(method.clean, self.mixtures(), strict=True))

    def mixtures(self) -> list[np.ndarray]:
        """How likely each sample is clean, by the losses of either network.

        From our start: how many samples are taken as clean decides on the number of steps, and both
            have to take as many.
        """
        return [gaussian_by_sklearn(self.losses(net), same_start=True) for net in self.networks]

    def loss(
        self,
        student: int,
        # two views, labels, how likely these are right
        labelled: tuple[Tensor, Tensor, Tensor, Tensor],
        unlabelled: tuple[Tensor, Tensor],
        ramp: float,
        lam: float,
        order: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        net, peer = self.networks[student], self.networks[1 - student]
        x1, x2, y, w = labelled
        u1, u2 = unlabelled
        given = torch.zeros(len(y), CLASSES, device=y.device).scatter_(1, y.view(-1, 1), 1)
        with torch.no_grad():
            guessed = sum(n(u).softmax(1) for n in (net, peer) for u in (u1, u2)) / 4
            guessed = guessed ** (1 / self.temperature)
            guessed = guessed / guessed.sum(1, keepdim=True)
            refined = (
                w.view(-1, 1) * given
                + (1 - w.view(-1, 1)) * (net(x1).softmax(1) + net(x2).softmax(1)) / 2
            )
            refined = refined ** (1 / self.temperature)
            refined = refined / refined.sum(1, keepdim=True)
        x, targets = torch.cat([x1, x2, u1, u2]), torch.cat([refined, refined, guessed, guessed])
        order = torch.randperm(len(x)) if order is None else order
        mixed, mixed_targets = (
            lam * x + (1 - lam) * x[order],
            lam * targets + (1 - lam) * targets[order],
        )
        logits = net(mixed)
        boundary = 2 * len(x1)
        known = -(mixed_targets[:boundary] * logits[:boundary].log_softmax(1)).sum(1).mean()
        guess = ((logits[boundary:].softmax(1) - mixed_targets[boundary:]) ** 2).mean()
        prior, mean = (
            torch.full((CLASSES,), 1 / CLASSES, device=x.device),
            logits.softmax(1).mean(0),
        )
        return known + ramp * self.weight * guess + (prior * (prior / mean).log()).sum(), logits[
            : len(y)
        ]

    def epoch(self) -> None:
        self.rewind()
        clean = self.mixtures()
        for student in (0, 1):
            self.networks[student].train()
            self.networks[1 - student].eval()
            probability = clean[1 - student]
            sides = [side.nonzero()[0] for side in (probability > 0.5, probability <= 0.5)]
            labelled, unlabelled = (self.load(Samples(self.pictures, 2, side)) for side in sides)
            others = iter(unlabelled)
            for x1, x2, y, index in labelled:
                try:
                    u1, u2, *_ = next(others)
                except StopIteration:
                    others = iter(unlabelled)
                    u1, u2, *_ = next(others)
                w = torch.from_numpy(probability).float()[index].to(self.device)
                lam = self.rng.beta(self.alpha, self.alpha)
                x1, x2, y, u1, u2 = (tensor.to(self.device) for tensor in (x1, x2, y, u1, u2))
                loss, logits = self.loss(student, (x1, x2, y, w), (u1, u2), 0.1, max(lam, 1 - lam))
                self.descend(loss, logits, y)

    def compare_with(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        method: Any = self.session.method
        batch = next(iter(method.batches()))
        batch = batch._replace(
            labelled=cast(batch.labelled, dtype), unlabelled=cast(batch.unlabelled, dtype)
        )
        probability = method.clean[1 - batch.student, batch.labelled.index]
        # The same random numbers for both: drawn once here, then the streams start anew.
        method.task.seed(1)
        lam = ops.beta_sample(self.alpha, method.task.rng)
        total = 2 * (len(batch.labelled.y) + len(batch.unlabelled.y))
        order = torch.randperm(total, generator=method.task.generator, device=self.device)
        method.task.seed(1)
        for theirs, ours in zip(self.networks, method.networks, strict=True):
            theirs.train(ours.training)
        known, unknown = (
            [view.contiguous() for view in part.views]
            for part in (batch.labelled, batch.unlabelled)
        )
        theirs_loss, _ = self.loss(
            batch.student,
            (known[0], known[1], batch.labelled.y, probability),
            (unknown[0], unknown[1]),
            batch.ramp,
            max(lam, 1 - lam),
            order,
        )
        return (
            method.loss(batch),
            theirs_loss,
            method.networks[batch.student],
            self.networks[batch.student],
        )
