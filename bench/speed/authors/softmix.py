"""Mixing with the nearest neighbour under soft targets, after MixNN's code (GitHub MacLLL/MixNN,
commit 99e4b12).

Its HNSW index is scikit-learn's search here, which takes half as long on a batch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from bench.speed.measure import Settings
from bench.speed.networks import Case
from bench.speed.pieces import gaussian_by_sklearn, mixed_one_by_one, nearest_by_index
from bench.speed.reference import Reference, cast
from bench.speed.sessions import Session


class Authors(Reference):
    """Each step passes the batch through the network twice with gradients: the first time for
    features and no loss.
    """

    # targets change every tenth epoch only: not in the one that is timed
    changes = {"softmix.update_every": 300}

    def __init__(self, session: Session, case: Case, settings: Settings) -> None:
        super().__init__(session, case, settings)
        targets = session.method.soft_targets()
        assert targets is not None
        self.targets = targets.clone()

    def divide(self) -> list[tuple[Tensor, Any]]:
        ours = self.session.method.clean_probability()
        assert ours is not None
        return [(ours, self.clean())]

    def clean(self) -> Any:
        """How likely each sample is clean; from our start, so that what is timed is what has been
        compared.
        """
        return gaussian_by_sklearn(self.losses(self.networks[0]), same_start=True)

    def loss(self, x: Tensor, index: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        net: Any = self.networks[0]
        features = net.forward_features(x)
        self.unused = net.head(features)  # with its graph, until the next step, as in their loop
        nearest = nearest_by_index(features.detach().cpu().numpy(), 1, self.settings.threads)
        mixed, lam, partner = mixed_one_by_one(x, nearest, clean[index])
        logits = net(mixed)
        predicted = logits.log_softmax(1)
        own = -(predicted * self.targets[index]).sum(1)
        other = -(predicted * self.targets[index[partner]]).sum(1)
        return (lam * own + (1 - lam) * other).mean(), logits

    def epoch(self) -> None:
        self.rewind()
        clean = torch.from_numpy(self.clean()).float().to(self.device)
        for x, y, index in self.loader:
            x, y, index = x.to(self.device), y.to(self.device), index.to(self.device)
            loss, logits = self.loss(x, index, clean)
            self.descend(loss, logits, y)

    def compare_with(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        method = self.session.method
        batch = cast(next(iter(method.batches())), dtype)
        clean = method.clean_probability()
        assert clean is not None
        [mine], [other] = method.networks, self.networks
        return (
            method.loss(batch),
            self.loss(batch.x.contiguous(), batch.index, clean)[0],
            mine,
            other,
        )
