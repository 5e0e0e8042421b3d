"""Cross-entropy on the noisy labels: what every other method has to beat."""

from torch import Tensor
from torch.nn import functional as F

from bench.method import Method
from bench.task import Batch


class CrossEntropy(Method):
    """Trains on the labels as they are."""

    reference_epochs = 120
    static_step = True

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        return F.cross_entropy(net(batch.x), batch.y)
