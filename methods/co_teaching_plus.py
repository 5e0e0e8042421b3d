"""Co-teaching+ (Yu et al., ICML 2019, arXiv 1901.04215): Co-teaching, but after some epochs only on
the samples about which the two networks disagree.

The authors forget as many samples as there are wrong labels: ``forget_rate="oracle"``, a privilege;
[inferred] the default estimates the rate as Co-teaching here does. Where so few disagree that none
would be kept, all of them are, as in the authors' code. Not repeated from that code (GitHub
xingruiyu/coteaching_plus, commit a68ed61), as slips: in the disagreement phase the loss takes
probabilities for logits, an averaged loss is divided by the number of samples again, the training
sample with index 0 is dropped. [inferred] Where nobody in a batch disagrees, nothing is learned
from it; the code takes plain cross-entropy there while epoch x batch number is below 5000.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.errors import InputError
from bench.task import Batch
from methods.co_teaching import CoTeaching


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
            if not isinstance(self.forget_rate, str) and not 0 <= self.forget_rate < 1:
                raise InputError(
                    f"co_teaching_plus.forget_rate is {self.forget_rate:g}: give a rate from 0 up "
                    "to 1"
                )
            if self.ramp_epochs < 1:
                raise InputError(
                    f"co_teaching_plus.ramp_epochs is {self.ramp_epochs}: give at least 1"
                )
            if self.disagreement_start < 0:
                raise InputError(
                    f"co_teaching_plus.disagreement_start is {self.disagreement_start}: give at "
                    "least 0"
                )

    def loss(self, batch: Batch) -> Tensor:
        if self.epoch < self.warmup(self.hp.disagreement_start):
            return super().loss(batch)
        logits = [net(batch.x).float() for net in self.networks]
        disagree = logits[0].argmax(1) != logits[1].argmax(1)
        losses = [F.cross_entropy(out, batch.y, reduction="none") for out in logits]
        first, second = (easiest(loss.detach(), disagree, self.keep_share) for loss in losses)
        self.selected[batch.index] = (first.float() + second.float()) / 2
        kept = first.sum().clamp_min(1)  # the same number for both
        return ((losses[0] * second).sum() + (losses[1] * first).sum()) / kept


def easiest(losses: Tensor, among: Tensor, share: float) -> Tensor:
    """Mask (B,) of that share, rounded down, of the samples in the mask ``among`` (B,) with the
    smallest losses (B,).

    All of ``among`` where the share comes to none. The number is never read by the host, which
    would wait for the device.
    """
    available = among.sum()
    keep = (share * available + 1e-4).floor()  # the share is rounded: 0.8 of 5 has to be 4
    keep = torch.where(keep == 0, available, keep)
    rank = losses.masked_fill(~among, torch.inf).argsort().argsort()
    return among & (rank < keep)
