"""A method's view of its trial: images, noisy labels, networks.

It holds no clean labels, no test data, and nothing of the noise but privileges that were granted.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bench.networks import augment
from bench.networks.backbones import Network, build_network
from bench.networks.bfloat16 import round_layers
from bench.networks.body import load_arrays
from bench.networks.cpu import bfloat16_units
from bench.networks.pretrained import Pretrained
from bench.task.pixels import Pixels
from bench.task.vectors import Vectors

AnyModule = TypeVar("AnyModule", bound=nn.Module)

#: Facts beyond images and noisy labels that a method may declare, as ``task.oracle.NAME``.
PRIVILEGES = ("noise_rate", "noise_kind")

#: Random stream of a pretraining; those of a method's parts are 0 (the host), 1, 2, ...
PRETRAINING = 1000


def stream_seed(*key: int) -> int:
    """Return a 63-bit seed for a tuple of non-negative integers.

    Different tuples give unrelated streams. The length goes in too, since SeedSequence takes (1, 0)
    for (1,).
    """
    return int(np.random.SeedSequence((len(key), *key)).generate_state(1, np.uint64)[0]) >> 1


@dataclass(frozen=True)
class Batch:
    """A batch of training samples."""

    # each (B, C, H, W), or (B, D) for vectors; normalised, and augmented independently
    views: tuple[Tensor, ...]
    y: Tensor  # (B,) noisy labels
    #: (B,) numbers of the samples, for per-sample state. They are given at random, and say nothing
    #: of the data set's order.
    index: Tensor

    @property
    def x(self) -> Tensor:
        """The first view."""
        return self.views[0]


class Oracle:
    """Privileged information: the facts that a method declared in ``privileges``, and no other."""

    def __init__(self, facts: dict[str, object]) -> None:
        self.__dict__.update(facts)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"task.oracle.{name} is privileged or unknown: a method that reads it lists {name!r} "
            "in its `privileges`"
        )


class FrozenEncoder:
    """Features (B, D) of normalised images, without gradients.

    It is no module, so that no method's state includes it.
    """

    def __init__(self, network: Network, task: "Task") -> None:
        self.network = network.eval().requires_grad_(False)  # its passes are counted
        self.task = task

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        with self.task.autocast():
            return self.network.forward_features(x).float()


class Task:
    """A noisy training set and the means to learn from it.

    It shares no memory that can be written to with the harness. Each part of a method (host and
    wrappers) has another Task, which differs in its random streams alone: that is why ``rmd+ce``
    trains on exactly the batches of ``ce``.
    """

    def __init__(
        self,
        pixels: Pixels | Vectors,
        noisy_labels: Tensor,
        num_classes: int,
        *,
        epochs: int,
        batch_size: int,
        backbone: str,
        start: Pretrained | None = None,
        augmentation: str,
        device: torch.device,
        precision: str,
        encoder: Callable[[Tensor], Tensor] | None = None,
        facts: dict[str, object] | None = None,
    ) -> None:
        self._pixels = pixels
        self.noisy_labels = noisy_labels  # (N,) int64
        self.num_classes = num_classes
        self.epochs = epochs
        self.batch_size = batch_size
        self.backbone = backbone
        self._start = start
        self.frozen_networks: list[Network] = []  # of this part; their passes are counted
        self.device = device
        self.precision = precision
        self.oracle = Oracle(facts or {})
        self._encoder = encoder
        self.augment = pixels.weak(augmentation)
        self.strong_augment = pixels.strong(flips=augmentation.endswith("flip"))
        self.generator = torch.Generator(device)  # for everything random that is a tensor
        self.rng = np.random.default_rng()  # for numbers that Python needs, such as mixup's lambda
        self.mixtures: list[str] = []  # shapes of this epoch's fits, see ``ops.fit_mixture``

    @property
    def num_train(self) -> int:
        """Number of training samples, N."""
        return len(self.noisy_labels)

    @property
    def evaluation_batch(self) -> int:
        """Evaluation batch size."""
        return self._pixels.evaluation_batch

    @property
    def channels(self) -> int:
        """Number of colour channels of an image, 1 or 3, or the width of a vector."""
        return self._pixels.channels

    @property
    def on_vectors(self) -> bool:
        """True where samples are vectors: batches hold (B, D) instead of images."""
        return isinstance(self._pixels, Vectors)

    def seed(self, *key: int) -> None:
        """Start both random streams anew from a tuple of non-negative integers."""
        self.generator.manual_seed(stream_seed(*key))
        self.rng = np.random.default_rng(stream_seed(*key))

    def loader(
        self,
        indices: Tensor | None = None,
        views: int = 1,
        train: bool = True,
        *,
        shuffle: bool = True,
        batch_size: int | None = None,
        augmentations: tuple[augment.Augmentation, ...] | None = None,
    ) -> Iterator[Batch]:
        """Yield batches of the training set, or of the samples at ``indices`` (M,).

        Training batches are shuffled, and each view is augmented independently: ``views`` of them
        by the recipe, or one for each of ``augmentations``. Without ``shuffle`` the samples come in
        the order of ``indices``. A last batch of a single sample is left out, since batch
        normalisation cannot take it. With ``train=False`` batches hold every sample, in order,
        without augmentation.
        """
        if indices is None:
            indices = torch.arange(self.num_train, device=self.device)
        if train:
            if shuffle:
                order = torch.randperm(len(indices), generator=self.generator, device=self.device)
                indices = indices[order]
            steps = augmentations or (self.augment,) * views
        else:
            steps = (augment.identity,)
        chunks = indices.split(batch_size or (self.batch_size if train else self.evaluation_batch))
        chunks = [chunk for chunk in chunks if len(chunk) > 1 or not train]
        for chunk, raw in zip(chunks, self._pixels.stream(chunks), strict=True):
            yield self._batch(chunk, raw, steps)

    def batch(
        self, indices: Tensor, augmentations: tuple[augment.Augmentation, ...] | None = None
    ) -> Batch:
        """Return the samples at ``indices`` (B,), in that order.

        There is one view for each augmentation, by default the recipe's.
        """
        return self._batch(indices, self._pixels.raw(indices), augmentations or (self.augment,))

    def _batch(
        self, indices: Tensor, raw: Tensor, augmentations: tuple[augment.Augmentation, ...]
    ) -> Batch:
        views = tuple(self._pixels.view(raw, step, self.generator) for step in augmentations)
        return Batch(views, self.noisy_labels[indices], indices)

    def build_network(self, num_outputs: int | None = None) -> Network:
        """Return a new network of the recipe's kind, on the device.

        Its body has the pretrained weights that the trial starts from, if it has any. All other
        weights are freshly initialised.
        """
        size = self._start.network.size if self._start else None
        outputs = num_outputs or self.num_classes
        net = build_network(self.backbone, self.channels, outputs, size)
        if self._start:
            load_arrays(net.body, self._start.state)
        return self.place(net)

    def pretrained_encoder(self) -> Callable[[Tensor], Tensor]:
        """Return the pretrained network that the trial starts from, frozen.

        It turns normalised images (B, C, H, W) into features (B, D). It is no module, so that no
        method's state includes it.

        Raises:
            RuntimeError: where the trial starts from random weights.
        """
        if self._start is None:
            raise RuntimeError(
                "the trial starts from random weights: there is no pretrained network"
            )
        encoder = FrozenEncoder(self.build_network(1), self)
        self.frozen_networks.append(encoder.network)
        return encoder

    def place(self, module: AnyModule) -> AnyModule:
        """Move a module to the device, memory format and precision of the trial."""
        if self.precision == "bf16" and self.device.type == "cpu" and not bfloat16_units():
            round_layers(module)
        return module.to(self.device).to(memory_format=torch.channels_last)

    def encoder(self) -> Callable[[Tensor], Tensor]:
        """Return the frozen encoder that the method's ``pretraining`` describes.

        It turns normalised images (B, C, H, W) into features (B, D).

        Raises:
            RuntimeError: where the method describes none.
        """
        if self._encoder is None:
            raise RuntimeError(
                "there is no pretrained encoder: a method asks for one by overriding `pretraining`"
            )
        return self._encoder

    def autocast(self) -> AbstractContextManager:
        """Return the context in which networks compute: bfloat16 if that is the precision."""
        # Weights are rounded for each pass: a cached rounding from a pass without gradients would
        # have none in the next pass.
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False
        )
