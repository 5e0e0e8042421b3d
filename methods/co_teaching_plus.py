"""Co-teaching+ (Yu et al., ICML 2019, arXiv 1901.04215): Co-teaching that, after some epochs,
selects only among the samples on which the two networks disagree.

The authors forget as many samples as there are wrong labels: ``forget_rate="oracle"``, a privilege.
[inferred] The default estimates the rate as Co-teaching does here. Where so few samples are in
disagreement that none would be kept, all of them are, as in the authors' code. Not repeated from
that code (GitHub xingruiyu/coteaching_plus, commit a68ed61), as slips: in the disagreement phase
the loss takes probabilities for logits, an averaged loss is divided by the number of samples again,
the training sample with index 0 is dropped. [inferred] A batch without disagreement teaches
nothing; the code takes plain cross-entropy there while epoch x batch number is below 5000.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.method import check_at_least
from bench.task import Batch
from methods.co_teaching import CoTeaching, check_forgetting


class CoTeachingPlus(CoTeaching):
    """Small-loss selection among disagreements, crossed between two networks."""

    begins = ["ramp_epochs", "disagreement_start"]

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code for CIFAR-10, but for ``forget_rate``."""

        forget_rate: Literal["estimate", "oracle"] | float = "estimate"  # tau
        ramp_epochs: int = 10  # E_k
        disagreement_start: int = 20  # epochs of plain Co-teaching; 5 for CIFAR-100, 0 for MNIST
        exponent: float = 1.0  # always 1 in the paper; Co-teaching's c

        def __post_init__(self) -> None:
            check_forgetting("co_teaching_plus", self.forget_rate)
            check_at_least(self, 1, "ramp_epochs")
            check_at_least(self, 0, "disagreement_start")

    def loss(self, batch: Batch) -> Tensor:
        if self.epoch < self.warmup(self.hp.disagreement_start):
            return super().loss(batch)
        logits = [net(batch.x).float() for net in self.networks]
        disagree = logits[0].argmax(1) != logits[1].argmax(1)
        losses = [F.cross_entropy(out, batch.y, reduction="none") for out in logits]
        first, second = (easiest(loss.detach(), disagree, self.keep_share) for loss in losses)
        self.selected[batch.index] = (first.float() + second.float()) / 2
        number = first.sum().clamp_min(1)  # the same for both networks
        return ((losses[0] * second).sum() + (losses[1] * first).sum()) / number


def easiest(losses: Tensor, candidates: Tensor, share: float) -> Tensor:
    """Mask (B,) of a share of the candidates, a mask (B,) too: those with the smallest losses (B,).

    Their number is rounded down, and all are taken where it comes to 0. The host never reads that
    number, for which it would wait for the device.
    """
    available = candidates.sum()
    keep = (share * available + 1e-4).floor()  # 0.8 of 5 has to be 4
    keep = torch.where(keep == 0, available, keep)
    rank = losses.masked_fill(~candidates, torch.inf).argsort().argsort()
    return candidates & (rank < keep)
