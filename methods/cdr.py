"""CDR (Xia et al., ICLR 2021, "Robust early-learning: hindering the memorization of noisy labels"):
only the weights that matter most for the fit follow their gradients; the others decay.

[source] Written from the authors' code (GitHub xiaoboxia/CDR, commit 6665a8b). A weight of a layer
matters by |gradient * weight|. In each step the top share of all such weights, 1 - tau, keeps its
gradient, times 1 - tau; the gradients of the others become 0, so that weight decay and momentum
alone move them. Biases and normalisation follow their gradients. tau is the noise rate: "oracle",
a privilege. Their schedule, by which tau rises over the first epochs, is overwritten in the code,
and not taken over. They train a ResNet-50 for small images, which is not among this project's.

[inferred] The default estimates tau as Co-teaching does here, before each epoch of a ramp as long
as the authors' unused schedule; the last estimate stays. The first epoch holds nothing back.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_at_least
from bench.task import Batch, Task


class CDR(Method):
    """Cross-entropy, whose gradients reach the critical weights alone."""

    reference_epochs = 200
    begins = ["ramp_epochs"]
    oracles = {"noise_rate": ["noise_rate"]}
    # The estimate's passes, in the ramp, do not count.
    passes = (1, 0)
    paper = {
        "epochs": 200,
        "augmentation": "crop_flip",
        "batch_size": 64,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "schedule": "step",
        "milestones": (0.2, 0.4),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """The ramp is the authors' schedule for CIFAR."""

        noise_rate: Literal["estimate", "oracle"] | float = "estimate"  # tau
        ramp_epochs: int = 20  # of the estimate alone

        def __post_init__(self) -> None:
            if not isinstance(self.noise_rate, str) and not 0 <= self.noise_rate < 1:
                raise InputError(
                    f"cdr.noise_rate is {self.noise_rate:g}: give a rate from 0 up to 1"
                )
            check_at_least(self, 1, "ramp_epochs")

    noise_rate: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        rate = self.hp.noise_rate
        if rate == "oracle":
            rate = task.oracle.noise_rate
        rate = torch.tensor(0.0 if rate == "estimate" else rate, dtype=torch.float64)
        self.register_buffer("noise_rate", rate.to(task.device))

    def grace(self) -> int:
        return super().grace() if self.hp.noise_rate == "estimate" else 0

    def epoch_start(self) -> None:
        if self.hp.noise_rate == "estimate" and 1 <= self.epoch <= self.warmup(self.hp.ramp_epochs):
            self.noise_rate.fill_(ops.estimated_rate(self))
        self.critical_share = 1 - self.noise_rate.item()  # read once an epoch

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        optimizer = super().optimizer(groups)
        optimizer.register_step_pre_hook(self.hold_back)
        return optimizer

    @torch.no_grad()
    def hold_back(self, *hook: object) -> None:
        """Set the gradients of the weights that matter least to 0, and shrink the others."""
        share = self.critical_share
        parameters = [parameter for net in self.networks for parameter in net.parameters()]
        pairs = [
            (weight, weight.grad)
            for weight in parameters
            if weight.dim() in (2, 4) and weight.grad is not None
        ]
        scores = [(weight * gradient).abs() for weight, gradient in pairs]
        all_scores = torch.cat([score.flatten() for score in scores])
        critical = max(1, int(share * len(all_scores)))
        threshold = all_scores.kthvalue(len(all_scores) - critical + 1).values
        for (_weight, gradient), score in zip(pairs, scores, strict=True):
            gradient.mul_(share * (score >= threshold))

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        return F.cross_entropy(net(batch.x), batch.y)

    def figures(self) -> dict[str, float]:
        return {"noise_rate": self.noise_rate.item()}
