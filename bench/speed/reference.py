"""What epochs in authors' style have in common: DataLoaders that make PIL images one at a time, and
a plain step of SGD.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bench.planning.spec import Scalar
from bench.speed.data import Format, Pictures, loader_of, pipeline
from bench.speed.measure import Settings
from bench.speed.networks import Case
from bench.speed.sessions import Session
from bench.task import Batch


class Samples(Pictures):
    """Pictures in some views, with label and position; ``chosen`` are the positions that are in."""

    def __init__(self, source: Pictures, views: int = 1, chosen: np.ndarray | None = None) -> None:
        super().__init__(source.images, source.labels, source.transform)
        self.views = views
        self.chosen = np.arange(len(source)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, position: int) -> Any:
        index = int(self.chosen[position])
        return (
            *(Pictures.__getitem__(self, index)[0] for _ in range(self.views)),
            int(self.labels[index]),
            index,
        )


def cast(batch: Batch, dtype: torch.dtype) -> Batch:
    """The same images in this precision."""
    return replace(batch, views=tuple(view.to(dtype) for view in batch.views))


class Reference:
    """An epoch in authors' style, from the weights that the session starts it with."""

    #: What the method's trials take here: a batch, and hyper-parameters that bring its main phase
    #: about within a few epochs.
    batch_size: ClassVar[int] = 128
    changes: ClassVar[Mapping[str, Scalar]] = {}

    def __init__(self, session: Session, case: Case, settings: Settings) -> None:
        from torchvision import transforms

        run, recipe = session.run, session.run.spec.recipe
        self.session, self.settings, self.device = session, settings, settings.device
        assert isinstance(run.data.dataset.train_images, np.ndarray)
        images = run.data.dataset.train_images[run.data.positions].transpose(0, 2, 3, 1)
        mean, std = run.data.dataset.pixel_statistics
        form = Format(case.side, case.channels, recipe.augmentation, tuple(mean), tuple(std))
        plain = Format(case.side, case.channels, "none", tuple(mean), tuple(std))
        labels = run.data.labels.noisy[run.data.positions]
        self.pictures = Pictures(images, labels, transforms.Compose(pipeline(form)))
        self.loader = self.load(Samples(self.pictures))
        self.evaluation = self.load(
            Samples(Pictures(images, labels, transforms.Compose(pipeline(plain)))), shuffle=False
        )
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
        self._weights = copy.deepcopy(self.networks.state_dict())

    def load(self, samples: Samples, shuffle: bool = True) -> DataLoader:
        return loader_of(samples, self.settings, shuffle, self.batch_size)

    def rewind(self) -> None:
        """Back to the start of the epoch."""
        self.networks.load_state_dict(self._weights)
        self.networks.train()

    def divide(self) -> list[tuple[Tensor, np.ndarray]]:
        """For each mixture that the epoch begins with: how likely each sample is clean, ours and
        theirs.
        """
        return []

    def compare_with(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        """Losses of the session's first batch, ours and theirs, and the networks that they train,
        which are of this dtype.
        """
        raise NotImplementedError

    def epoch(self) -> None:
        """Train."""
        raise NotImplementedError

    def descend(self, loss: Tensor, logits: Tensor, y: Tensor) -> tuple[float, float]:
        """A step, and what is printed of it."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item(), (logits.argmax(1) == y).sum().item()

    def losses(self, net: nn.Module) -> np.ndarray:
        """Of every sample with its label, written down one by one."""
        net.eval()
        found = torch.zeros(len(self.pictures))
        with torch.no_grad():
            for x, y, index in self.evaluation:
                loss = F.cross_entropy(net(x.to(self.device)), y.to(self.device), reduction="none")
                for b in range(len(x)):
                    found[index[b]] = loss[b]
        net.train()
        return found.numpy()
