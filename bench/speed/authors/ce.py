"""Cross-entropy."""

import torch
from torch.nn import functional as F

from bench.speed.reference import Loss, Reference, cast


class Authors(Reference):
    """One pass a sample."""

    def epoch(self) -> None:
        self.rewind()
        for x, y, _ in self.loader:
            x, y = x.to(self.device), y.to(self.device)
            logits = self.networks[0](x)
            self.descend(F.cross_entropy(logits, y), logits, y)

    def first_losses(self, dtype: torch.dtype) -> tuple[Loss, Loss]:
        method = self.session.method
        [ours], [theirs] = method.networks, self.networks
        batch = cast(next(iter(method.batches())), dtype)
        loss = F.cross_entropy(theirs(batch.x.contiguous()), batch.y)
        return (method.loss(batch), ours), (loss, theirs)
