"""Cross-entropy."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.speed.reference import Reference, cast


class Authors(Reference):
    """One pass a sample."""

    def epoch(self) -> None:
        self.rewind()
        for x, y, _ in self.loader:
            x, y = x.to(self.device), y.to(self.device)
            logits = self.networks[0](x)
            self.descend(F.cross_entropy(logits, y), logits, y)

    def compare_with(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        method = self.session.method
        [mine], [other] = method.networks, self.networks
        batch = cast(next(iter(method.batches())), dtype)
        return (
            method.loss(batch),
            F.cross_entropy(other(batch.x.contiguous()), batch.y),
            mine,
            other,
        )
