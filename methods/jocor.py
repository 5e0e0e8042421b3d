"""JoCoR (Wei et al., CVPR 2020, arXiv 2003.02752): two networks, pulled towards agreement, learn
together from the samples whose joint loss is small.

The authors forget as many samples as there are wrong labels (half the flip rate for asymmetric
noise, the value of ``task.oracle``): ``forget_rate="oracle"``, a privilege. [inferred] The default
estimates it as Co-teaching does here. A batch keeps at least one sample.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.errors import InputError
from bench.method import check_at_least
from bench.task import Batch
from methods.co_teaching import CoTeaching, check_forgetting


class JoCoR(CoTeaching):
    """Small-loss selection on (1 - lambda) * both cross-entropies + lambda * symmetric KL."""

    @dataclass(frozen=True)
    class HParams:
        """Co-teaching's, and the weight of agreement.

        [source] Defaults of the authors' code (GitHub hongxin001/JoCoR, commit 86db359), except
        ``forget_rate``.
        """

        forget_rate: Literal["estimate", "oracle"] | float = "estimate"  # tau
        ramp_epochs: int = 10  # T_k
        exponent: float = 1.0  # c; as in the authors' code, the ramp leads to tau^c
        co_lambda: float = 0.1  # lambda; 0.1 to 0.9 in the paper

        def __post_init__(self) -> None:
            check_forgetting("jocor", self.forget_rate)
            check_at_least(self, 1, "ramp_epochs")
            if not 0 <= self.co_lambda <= 1:
                raise InputError(f"jocor.co_lambda is {self.co_lambda:g}: give a share from 0 to 1")

    def loss(self, batch: Batch) -> Tensor:
        first, second = (net(batch.x).float() for net in self.networks)
        losses = joint_loss(first, second, batch.y, self.hp.co_lambda)
        easy = losses.topk(self.number_kept(batch), largest=False)
        nowhere = torch.zeros_like(batch.y, dtype=torch.float32)
        self.selected[batch.index] = nowhere.index_fill(0, easy.indices, 1)
        return easy.values.mean()


def joint_loss(first: Tensor, second: Tensor, y: Tensor, co_lambda: float) -> Tensor:
    """Joint loss (B,) of each sample for two networks' logits (B, C)."""
    p, q = first.log_softmax(1), second.log_softmax(1)
    supervised = F.nll_loss(p, y, reduction="none") + F.nll_loss(q, y, reduction="none")
    divergence = ((p.exp() - q.exp()) * (p - q)).sum(1)  # KL(p || q) + KL(q || p)
    return (1 - co_lambda) * supervised + co_lambda * divergence
