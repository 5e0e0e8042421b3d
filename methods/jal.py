"""Joint asymmetric loss (JAL: Wang et al., ICCV 2025, arXiv 2507.17692): adds the squared distance
of predictions from a magnified label, which is robust, to a normalised loss.

[source] Written from the authors' code (GitHub cswjl/joint-asymmetric-loss, commit 0f9eb7b):
alpha * active + beta * mean over classes of (p - a y)^2 + delta * L1 norm of all parameters. Active
is apl's "nce" (their JAL-CE) or "nfl" (JAL-FL). Gradients are clipped at a norm of 5. The authors
train without weight decay, as the ``paper`` recipe does; by a data set's recipe its weight decay
acts beside the L1 norm. On CIFAR-10 they train an eight-layer network, which is not among this
project's.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bench import ops
from bench.method import check_nonnegative
from bench.task import Batch
from methods.apl import APL


class JAL(APL):
    """alpha * active + beta * mean over classes of (p - a y)^2 + delta * |weights|."""

    paper = APL.paper | {"weight_decay": 0.0}

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors for CIFAR-10; for CIFAR-100 they have 5, 1, 20 and 5e-6."""

        active: Literal["nce", "nfl"] = "nce"
        alpha: float = 1.0
        beta: float = 1.0
        a: float = 30.0  # what the label is multiplied by
        delta: float = 5e-5  # weight of the L1 norm
        gamma: float = 0.5  # of "nfl" alone
        clip_norm: float = 5.0  # 0: no clipping

        def __post_init__(self) -> None:
            check_nonnegative(self, "alpha", "beta", "a", "delta", "gamma", "clip_norm")

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        log_p = net(batch.x).float().log_softmax(1)
        active = ops.normalised_loss(ops.focal_losses(log_p, self.gamma), batch.y)
        p, a = log_p.exp(), self.hp.a
        p_y = p.gather(1, batch.y[:, None])[:, 0]
        distance = (p.square().sum(1) - 2 * a * p_y + a**2) / p.shape[1]
        fit = (self.hp.alpha * active + self.hp.beta * distance).mean()
        return fit + self.hp.delta * ops.l1_norm(self.networks)
