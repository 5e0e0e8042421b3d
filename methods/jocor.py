"""JoCoR (Wei et al., CVPR 2020, arXiv 2003.02752): two networks that should agree learn together
from the samples whose joint loss is small.

The authors forget as many samples as there are wrong labels (half the flip rate for asymmetric
noise, which is what ``task.oracle`` has): ``forget_rate="oracle"``, a privilege. [inferred] The
default estimates it as Co-teaching here does. A batch keeps at least one sample.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.errors import InputError
from bench.task import Batch
from methods.co_teaching import CoTeaching


class JoCoR(CoTeaching):
    """Small-loss selection on (1 - co_lambda) * both cross-entropies + co_lambda * the symmetric KL
    divergence.
    """

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code (GitHub hongxin001/JoCoR, commit 86db359), but for
        ``forget_rate``.
        """

        forget_rate: Literal["estimate", "oracle"] | float = "estimate"  # tau
        ramp_epochs: int = 10  # T_k
        exponent: float = 1.0  # c; the rate is ramped up to tau^c, as in the authors' code
        co_lambda: float = 0.1  # lambda; 0.1 to 0.9 in the paper

        def __post_init__(self) -> None:
            if not isinstance(self.forget_rate, str) and not 0 <= self.forget_rate < 1:
                raise InputError(
                    f"jocor.forget_rate is {self.forget_rate:g}: give a rate from 0 up to 1"
                )
            if self.ramp_epochs < 1:
                raise InputError(f"jocor.ramp_epochs is {self.ramp_epochs}: give at least 1")
            if not 0 <= self.co_lambda <= 1:
                raise InputError(f"jocor.co_lambda is {self.co_lambda:g}: give a share from 0 to 1")

    def loss(self, batch: Batch) -> Tensor:
        # the share is rounded: 0.8 of 5 has to be 4
        keep = max(1, int(self.keep_share * len(batch.y) + 1e-4))
        logits = [net(batch.x).float() for net in self.networks]
        easy = joint_loss(logits[0], logits[1], batch.y, self.hp.co_lambda).topk(
            keep, largest=False
        )
        self.selected[batch.index] = torch.zeros_like(batch.y, dtype=torch.float32).index_fill(
            0, easy.indices, 1
        )
        return easy.values.mean()


def joint_loss(first: Tensor, second: Tensor, y: Tensor, co_lambda: float) -> Tensor:
    """Each sample's loss (B,) for two networks' logits (B, C)."""
    p, q = first.log_softmax(1), second.log_softmax(1)
    supervised = F.nll_loss(p, y, reduction="none") + F.nll_loss(q, y, reduction="none")
    divergence = ((p.exp() - q.exp()) * (p - q)).sum(1)  # KL(p || q) + KL(q || p)
    return (1 - co_lambda) * supervised + co_lambda * divergence
