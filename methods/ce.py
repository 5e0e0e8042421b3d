"""Cross-entropy on the noisy labels: the baseline, which does nothing about noise.

[inferred] It has no authors: the ``paper`` recipe is the field's usual one on CIFAR.
"""

from torch import Tensor
from torch.nn import functional as F

from bench.method import Method
from bench.task import Batch


class CrossEntropy(Method):
    """Cross-entropy with the labels as given."""

    reference_epochs = 120
    static_step = True
    paper = {
        "epochs": 120,
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "cosine",
    }

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        return F.cross_entropy(net(batch.x), batch.y)
