"""Epsilon-softmax (Wang et al., NeurIPS 2024, arXiv 2508.02387): cross-entropy of predictions that
are pushed towards one-hot vectors, plus mean absolute error.

[source] Written from the authors' code (GitHub cswjl/eps-softmax, commit f81685c), their ECE+MAE:
p' = (p + m at the class of the largest p) / (m + 1), and the loss -alpha log p'_y + beta ||p - y||
(the L1 norm, 2 - 2 p_y). Gradients are clipped at a norm of 5. They choose alpha, beta and m by
kind of noise, and on CIFAR-100 alpha by its rate: "oracle", a privilege. A rate between theirs
takes the nearest; their code has 0.00125 for the paper's 0.0125 at 60 %. [inferred] The defaults
are what they use for people's labels (CIFAR-N), whose noise nobody told them. There, cross-entropy
weighs 250 times as much against the absolute error as on CIFAR-10: on digits with 50 % symmetric
noise the last epoch has memorised 90 % of the wrong labels (``ce``: 86 %; two seeds), and 9 % with
what "oracle" takes. There is no "estimate": on 10 classes the kind alone decides, on 100 the kind
and the rate, and losses do not tell kinds apart. The authors train an eight-layer network on
CIFAR-10, which is not among this project's.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bench import ops
from bench.method import Method, check_nonnegative
from bench.task import Batch, Task


class EpsSoftmax(Method):
    """-alpha * log p'_y + 2 * beta * (1 - p_y)."""

    reference_epochs = 120
    static_step = True
    oracles = {
        "alpha": ["noise_rate", "noise_kind"],
        "beta": ["noise_kind"],
        "m": ["noise_kind"],
    }
    paper = {
        "epochs": 120,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "cosine",
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors for CIFAR-10N and CIFAR-100N."""

        alpha: Literal["oracle"] | float = 0.5  # weight of cross-entropy
        beta: Literal["oracle"] | float = 1.0  # weight of mean absolute error
        m: Literal["oracle"] | float = 1e4  # added to the largest probability
        clip_norm: float = 5.0  # 0: no clipping

        def __post_init__(self) -> None:
            check_nonnegative(self, "alpha", "beta", "m", "clip_norm")

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.alpha, self.beta, self.m = (
            authors_choice(task, name) if value == "oracle" else value
            for name, value in vars(self.hp).items()
            if name in self.oracles
        )

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return ops.clip_gradients(super().optimizer(groups), self.networks, self.hp.clip_norm)

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        p = net(batch.x).float().softmax(1)
        p_y = p.gather(1, batch.y[:, None])[:, 0]
        pushed = (p_y + self.m * (p.argmax(1) == batch.y)) / (self.m + 1)
        return (-self.alpha * pushed.clamp_min(1e-8).log() + 2 * self.beta * (1 - p_y)).mean()


#: Alpha, beta and m on CIFAR-10 by the beginning of the noise's name.
BY_KIND = {
    "": (0.01, 5.0, 1e5),
    "asymmetric": (0.02, 5.0, 1e3),
    "instance": (0.045, 10.0, 1e5),
    "human": (0.5, 1.0, 1e4),
}
#: Alpha on CIFAR-100 by noise rate, of asymmetric noise and of other synthetic noise.
BY_RATE_ASYMMETRIC = {0.1: 0.015, 0.2: 0.007, 0.3: 0.005, 0.4: 0.004}
BY_RATE = {0.0: 0.1, 0.2: 0.05, 0.4: 0.03, 0.6: 0.0125, 0.8: 0.0075}


def authors_choice(task: Task, name: str) -> float:
    """Return what the authors take for alpha, beta or m, by kind of noise, classes and rate."""
    kind = str(task.oracle.noise_kind)
    family = max((known for known in BY_KIND if kind.startswith(known)), key=len)
    choice = dict(zip(("alpha", "beta", "m"), BY_KIND[family], strict=True))
    if task.num_classes >= 100 and family != "human":
        asymmetric = family == "asymmetric"
        choice |= {"beta": 1.0, "m": 1e2 if asymmetric else 1e4}
        if name == "alpha":
            by_rate = BY_RATE_ASYMMETRIC if asymmetric else BY_RATE
            return by_rate[ops.nearest(float(task.oracle.noise_rate), by_rate)]  # type: ignore[arg-type]  # a fact
    return choice[name]
