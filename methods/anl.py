"""Active negative loss (ANL: Ye et al., NeurIPS 2023; extended in arXiv 2412.02373): adds to a
normalised loss one that pushes the other classes' probabilities down, and keeps weights small.

[source] Written from the authors' code (GitHub Virusdoll/Active-Negative-Loss, commit 0c50009):
alpha * active + beta * negative + delta * L1 norm of all parameters. Active is apl's "nce" or
"nfl". Negative is 1 - (A - l_y) / sum_k (A - l_k), where l_k is the same loss with label k and with
probabilities of at least 1e-7, and A = ln 1e7 is its largest value. Gradients are clipped at a norm
of 5. The authors train without weight decay, as the ``paper`` recipe does; by a data set's recipe
its weight decay acts beside the L1 norm. On CIFAR-10 they train an eight-layer network, which is
not among this project's. Their later entropy term (ANL-CE-ER) is left out: its configurations lack
a flag and fail.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bench import ops
from bench.method import check_nonnegative
from bench.task import Batch
from methods.apl import APL

#: Largest cross-entropy, A: of the smallest probability.
LARGEST = math.log(1e7)


class ANL(APL):
    """alpha * active + beta * negative + delta * |weights|."""

    paper = APL.paper | {"weight_decay": 0.0}

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors for CIFAR-10; for CIFAR-100 they have 10, 1 and 5e-7."""

        active: Literal["nce", "nfl"] = "nce"
        alpha: float = 5.0
        beta: float = 5.0
        delta: float = 5e-5  # weight of the L1 norm
        gamma: float = 0.5  # of "nfl" alone
        clip_norm: float = 5.0  # 0: no clipping

        def __post_init__(self) -> None:
            check_nonnegative(self, "alpha", "beta", "delta", "gamma", "clip_norm")

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        log_p = net(batch.x).float().log_softmax(1)
        active = ops.normalised_loss(ops.focal_losses(log_p, self.gamma), batch.y)
        losses = ops.focal_losses(log_p.clamp_min(-LARGEST), self.gamma)
        negative = 1 - ops.normalised_loss(LARGEST - losses, batch.y)
        fit = (self.hp.alpha * active + self.hp.beta * negative).mean()
        return fit + self.hp.delta * ops.l1_norm(self.networks)
