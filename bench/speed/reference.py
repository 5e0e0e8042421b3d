"""Common base of epochs in authors' style."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bench.planning.spec import Scalar
from bench.speed.data import Format, Pictures, loader_of
from bench.speed.measure import Settings
from bench.speed.networks import Case
from bench.speed.sessions import Session
from bench.task import Batch

#: A loss, and the network whose parameters it depends on.
Loss = tuple[Tensor, nn.Module]


def cast(batch: Batch, dtype: torch.dtype) -> Batch:
    """Return the batch with images of this precision."""
    return replace(batch, views=tuple(view.to(dtype) for view in batch.views))


class Reference:
    """Epoch in authors' style, from the weights at the start of the session's epoch."""

    batch_size: ClassVar[int] = 128
    #: Hyper-parameters that bring the main phase about within a few epochs.
    hparams: ClassVar[Mapping[str, Scalar]] = {}

    def __init__(self, session: Session, case: Case, settings: Settings) -> None:
        run, recipe = session.run, session.run.spec.recipe
        self.session, self.settings, self.device = session, settings, settings.device
        dataset, positions = run.data.dataset, run.data.positions
        assert isinstance(dataset.train_images, np.ndarray)
        self.images = dataset.train_images[positions].transpose(0, 2, 3, 1)
        self.labels = run.data.labels.noisy[positions]
        mean, std = dataset.pixel_statistics
        plain = Format(case.side, case.channels, "none", tuple(mean), tuple(std))
        self.form = replace(plain, augmentation=recipe.augmentation)
        self.loader = self.load()
        self.evaluation = self.load(form=plain, shuffle=False)
        self.networks = nn.ModuleList(
            copy.deepcopy(net).to(memory_format=torch.contiguous_format)
            for net in session.method.networks
        )
        self.optimizer = torch.optim.SGD(
            self.networks.parameters(),
            recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self.rng = np.random.default_rng(0)
        self._weights = copy.deepcopy(self.networks.state_dict())

    def load(
        self,
        views: int = 1,
        positions: np.ndarray | None = None,
        form: Format | None = None,
        shuffle: bool = True,
    ) -> DataLoader:
        """Return a DataLoader of views, labels and positions."""
        pictures = Pictures(form or self.form, self.images, self.labels, views, positions)
        return loader_of(pictures, self.settings, shuffle, self.batch_size)

    def rewind(self) -> None:
        """Return to the start of the epoch."""
        self.networks.load_state_dict(self._weights)
        self.networks.train()

    def divide(self) -> list[tuple[Tensor, np.ndarray]]:
        """Return the clean probabilities (N,) of each mixture at the start, ours and theirs."""
        return []

    def first_losses(self, dtype: torch.dtype) -> tuple[Loss, Loss]:
        """Return the loss of the session's first batch in this precision, ours and theirs."""
        raise NotImplementedError

    def epoch(self) -> None:
        """Train the epoch."""
        raise NotImplementedError

    def descend(self, loss: Tensor, logits: Tensor, y: Tensor) -> tuple[float, float]:
        """Take a step, and read loss and accuracy for the log."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item(), (logits.argmax(1) == y).sum().item()

    def losses(self, net: nn.Module) -> np.ndarray:
        """Return the loss (N,) of every sample, stored one by one."""
        net.eval()
        losses = torch.zeros(len(self.labels))
        with torch.no_grad():
            for x, y, index in self.evaluation:
                loss = F.cross_entropy(net(x.to(self.device)), y.to(self.device), reduction="none")
                for b in range(len(x)):
                    losses[index[b]] = loss[b]
        net.train()
        return losses.numpy()
