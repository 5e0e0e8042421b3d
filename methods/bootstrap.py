"""Bootstrapping (Reed et al., ICLR workshop 2015, arXiv 1412.6596): trains towards a mean of
the label and the network's own prediction.

[source] ``hard`` takes the predicted class, ``soft`` the predicted distribution, through which the
gradient flows too: it is cross-entropy plus a penalty on the entropy. [inferred] ``hard`` is the
default. There is no warm-up. The ``paper`` recipe is ce's, since theirs, for other data, is not
known.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.task import Batch, Task
from methods.ce import CrossEntropy


class Bootstrap(Method):
    """-sum (beta * onehot(y) + (1 - beta) * z) log p, with z the prediction or its class."""

    reference_epochs = 120
    static_step = True
    paper = CrossEntropy.paper

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the paper, whose code is not known.

        A port is GitHub giorgiop/loss-correction, commit 15a79de.
        """

        kind: Literal["hard", "soft"] = "hard"
        beta: float | None = None  # weight of the label; None is the paper's, 0.8 or 0.95 by kind

        def __post_init__(self) -> None:
            if self.beta is not None and not 0 <= self.beta <= 1:
                raise InputError(f"bootstrap.beta is {self.beta:g}: give a weight from 0 to 1")

    targets: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("targets", F.one_hot(task.noisy_labels, task.num_classes).float())

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        logits = net(batch.x).float()
        beta = {"hard": 0.8, "soft": 0.95}[self.hp.kind] if self.hp.beta is None else self.hp.beta
        if self.hp.kind == "hard":
            predicted_class = logits.argmax(1)
            z = F.one_hot(predicted_class, logits.shape[1])
            self_loss = F.cross_entropy(logits, predicted_class)
        else:
            z = logits.softmax(1)
            self_loss = ops.soft_cross_entropy(logits, z)
        label = F.one_hot(batch.y, logits.shape[1])
        self.targets[batch.index] = beta * label + (1 - beta) * z.detach()
        return beta * F.cross_entropy(logits, batch.y) + (1 - beta) * self_loss

    def soft_targets(self) -> Tensor:
        """Return each sample's most recent training target."""
        return self.targets
