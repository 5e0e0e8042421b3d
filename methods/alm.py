"""Average logit margin: how far, on average over training, the logit of a sample's label lies above
the highest of the others (the score of AUM; Pleiss et al., NeurIPS 2020, arXiv 2001.10528).

[source] The margin is taken in training mode as the sample passes by, and averaged over all epochs,
as in the authors' code (GitHub asappresearch/aum, commit 892e76e). [inferred] Their threshold by
samples of an additional class, and the second training without what lies below it, are left out:
the order of the samples is what an audit needs, and ``clean_probability`` is the logistic function
of the margin. Everything else is cross-entropy.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.method import Method
from bench.task import Batch, Task


class AverageMargin(Method):
    """Cross-entropy that keeps the average margin of every sample."""

    reference_epochs = 150
    static_step = True
    paper = {
        "epochs": 150,
        "batch_size": 64,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "constant",
    }

    total: Tensor
    count: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        for name in ("total", "count"):
            self.register_buffer(name, torch.zeros(task.num_train, device=task.device))

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        logits = net(batch.x).float()
        with torch.no_grad():
            given = logits.gather(1, batch.y[:, None])
            others = logits.scatter(1, batch.y[:, None], -torch.inf).amax(1)
            self.total.index_add_(0, batch.index, given[:, 0] - others)
            self.count.index_add_(0, batch.index, torch.ones_like(others))
        return F.cross_entropy(logits, batch.y)

    def clean_probability(self) -> Tensor:
        return (self.total / self.count.clamp_min(1)).sigmoid()
