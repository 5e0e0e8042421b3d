"""SOP+ (Liu et al., ICML 2022, arXiv 2202.14026): sparse over-parameterisation with two more terms,
which balance the classes and pull the predictions on strong views towards those on weak ones.

[source] Written from the authors' code (GitHub shengliu66/SOP, commit 4d991ce): the loss of ``sop``
on the weak views; the cross-entropy of the uniform distribution and the batch's mean prediction,
shifted by the noise; the KL divergence of the strong views' predictions from the weak views', which
are constants. Both views pass in one batch. ``rate_u`` and ``rate_v`` are as in ``sop``, "oracle"
included. A port (GitHub KlemenVovk/noisy-labels) has a weight decay of 5e-4. Not repeated, as
slips: for CIFAR-100 strong views are normalised by the statistics of CIFAR-10, and validation
images are trained on. [inferred] Strong views are the recipe's augmentation, AutoAugment for
CIFAR-10 and a black square of cutout, in this order (theirs: AutoAugment first, and a square of the
mean colour). On vectors they are the task's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.method import check_nonnegative
from bench.task import Batch
from methods.sop import SOP


class SOPPlus(SOP):
    """SOP + balance * CE(uniform, mean q) + consistency * KL(p(weak) || p(strong))."""

    reference_epochs = 300
    passes = (2, 0)
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 300,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "schedule": "restarts",
        "period": 1.0,
        "minimum": 0.01,  # eta_min 2e-4
    }

    @dataclass(frozen=True)
    class HParams(SOP.HParams):
        """[source] Defaults of the authors' code; rates are the paper's for CIFAR-10."""

        balance_weight: float = 0.1
        consistency_weight: float = 0.9

        def __post_init__(self) -> None:
            super().__post_init__()
            check_nonnegative(self, "balance_weight", "consistency_weight")

    def batches(self) -> Iterator[Batch]:
        strong = ops.auto_augmentation(self.task, with_cutout=True)
        return self.task.loader(augmentations=(self.task.augment, strong))

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        weak, strong = net(torch.cat(batch.views)).float().chunk(2)
        loss, shifted = self.shifted_loss(weak, batch)
        balance = -shifted.mean(0).log().mean()
        consistency = F.kl_div(
            strong.log_softmax(1), weak.detach().softmax(1), reduction="batchmean"
        )
        return loss + self.hp.balance_weight * balance + self.hp.consistency_weight * consistency
