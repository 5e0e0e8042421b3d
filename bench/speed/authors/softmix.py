"""Mixing with the nearest neighbour under soft targets, after MixNN's code.

Source: GitHub MacLLL/MixNN, commit 99e4b12. Its HNSW index is scikit-learn's search here, which
takes half as long on a batch.
"""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.speed.pieces import gaussian_by_sklearn, mixed_one_by_one, nearest_by_sklearn
from bench.speed.reference import Loss, Reference, cast


class Authors(Reference):
    """Two passes with gradients a step: the first for features alone, without a loss."""

    # Targets change every tenth epoch only, and not in the timed one.
    hparams = {"softmix.update_every": 300}

    @cached_property
    def targets(self) -> Tensor:
        """Soft targets (N, C) at the start."""
        targets = self.session.method.soft_targets()
        assert targets is not None
        return targets.clone()

    def divide(self) -> list[tuple[Tensor, np.ndarray]]:
        ours = self.session.method.clean_probability()
        assert ours is not None
        return [(ours, self.clean())]

    def clean(self) -> np.ndarray:
        """Return the clean probability (N,), from our start: the timed division is the checked."""
        return gaussian_by_sklearn(self.losses(self.networks[0]), same_start=True)

    def loss(self, x: Tensor, index: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of a batch."""
        net: Any = self.networks[0]
        features = net.forward_features(x)
        self.unused = net.head(features)  # with its graph, until the next step, as in their loop
        nearest = nearest_by_sklearn(features.detach().cpu().numpy(), 1, self.settings.threads)
        mixed, lam, partner = mixed_one_by_one(x, nearest, clean[index])
        logits = net(mixed)
        predicted = logits.log_softmax(1)
        first = -(predicted * self.targets[index]).sum(1)
        second = -(predicted * self.targets[index[partner]]).sum(1)
        return (lam * first + (1 - lam) * second).mean(), logits

    def epoch(self) -> None:
        self.rewind()
        clean = torch.from_numpy(self.clean()).float().to(self.device)
        for x, y, index in self.loader:
            x, y, index = x.to(self.device), y.to(self.device), index.to(self.device)
            loss, logits = self.loss(x, index, clean)
            self.descend(loss, logits, y)

    def first_losses(self, dtype: torch.dtype) -> tuple[Loss, Loss]:
        method = self.session.method
        batch = cast(next(iter(method.batches())), dtype)
        clean = method.clean_probability()
        assert clean is not None
        [ours], [theirs] = method.networks, self.networks
        loss, _ = self.loss(batch.x.contiguous(), batch.index, clean)
        return (method.loss(batch), ours), (loss, theirs)
