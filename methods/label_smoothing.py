"""Label smoothing (Szegedy et al., CVPR 2016, arXiv 1512.00567; on noisy labels: Lukasik et al.,
ICML 2020, arXiv 2003.02819): cross-entropy with a share of each label spread over all classes.

[source] The share is spread over all classes, the labelled one among them. [inferred] The ``paper``
recipe is ce's: Szegedy et al. train on ImageNet.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from bench.errors import InputError
from bench.method import Method
from bench.task import Batch
from methods.ce import CrossEntropy


class LabelSmoothing(Method):
    """Cross-entropy against (1 - smoothing) * onehot(y) + smoothing / C."""

    reference_epochs = 120
    static_step = True
    paper = CrossEntropy.paper

    @dataclass(frozen=True)
    class HParams:
        """Default of Szegedy et al."""

        smoothing: float = 0.1  # epsilon

        def __post_init__(self) -> None:
            if not 0 <= self.smoothing < 1:
                advice = "give a share from 0 up to 1"
                raise InputError(f"label_smoothing.smoothing is {self.smoothing:g}: {advice}")

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        return F.cross_entropy(net(batch.x), batch.y, label_smoothing=self.hp.smoothing)
