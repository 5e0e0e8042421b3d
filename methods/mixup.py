"""mixup (Zhang et al., ICLR 2018, arXiv 1710.09412): trains on convex combinations of pairs of
images and of their labels.
"""

from dataclasses import dataclass

from torch import Tensor

from bench import ops
from bench.method import Method, check_positive
from bench.task import Batch


class Mixup(Method):
    """One lambda ~ Beta(alpha, alpha) a batch; partners from a random permutation of the batch."""

    reference_epochs = 200
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 200,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (0.5, 0.75),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Default for CIFAR-10 (GitHub facebookresearch/mixup-cifar10, commit eaff31a)."""

        alpha: float = 1.0

        def __post_init__(self) -> None:
            check_positive(self, "alpha")

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        mix = ops.draw_mix(self.task, len(batch.y), self.hp.alpha)
        return mix.cross_entropy(net(mix(batch.x)), batch.y)
