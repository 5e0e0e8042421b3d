"""What a method may see: images, noisy labels, networks. Never clean labels, test data, or the
noise itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bench.networks import augment
from bench.networks.backbones import Network as Network
from bench.networks.backbones import build_network
from bench.networks.bfloat16 import round_layers
from bench.networks.cpu import bfloat16_units

AnyModule = TypeVar("AnyModule", bound=nn.Module)

#: Most images of a batch that teaches nothing.
EVALUATION_BATCH = 512

#: What a method may ask for beyond images and noisy labels, as ``task.oracle.NAME``.
PRIVILEGES = ("noise_rate", "noise_kind")

#: Random stream of a pretraining; those of a method's parts are 0 (the host), 1, 2, ...
PRETRAINING = 1000


def evaluation_batch(side: int, device: torch.device) -> int:
    """Images, ``side`` pixels wide and high, of a batch that teaches nothing.

    On a CPU no more than leave a layer's activations in its cache, and in memory that has been used
    before: images of 32x32 take the small CNN 1.7 times as long in batches of 512 as of 128.
    """
    return (
        EVALUATION_BATCH
        if device.type == "cuda"
        else min(EVALUATION_BATCH, max(32, 2**17 // side**2))
    )


def stream_seed(*key: int) -> int:
    """A 63-bit seed from any tuple of non-negative integers; different tuples give unrelated
    streams.
    """
    # The length goes in too: SeedSequence takes (1, 0) for (1,).
    return int(np.random.SeedSequence((len(key), *key)).generate_state(1, np.uint64)[0]) >> 1


@dataclass(frozen=True)
class Batch:
    """A batch of training samples."""

    views: tuple[Tensor, ...]  # each (B, C, H, W), normalised; every view is augmented on its own
    y: Tensor  # (B,) noisy labels
    #: (B,) numbers of the samples, for per-sample state. They are given at random, and say nothing
    #: of the data set's order.
    index: Tensor

    @property
    def x(self) -> Tensor:
        """The first view."""
        return self.views[0]


class Pixels:
    """Images on the device as uint8; batches are index slices, augmented and normalised there.

    No DataLoader workers and no PIL in the loop: a pass over the whole set is then nearly free.
    """

    def __init__(self, images: Tensor, mean: Tensor, std: Tensor) -> None:
        """``images``: uint8 (N, C, H, W); ``mean`` and ``std``: (C,), of values in [0, 1]."""
        self.images = images
        self.device = images.device
        self.channels, self.side = images.shape[1], images.shape[-1]
        self._set_scale(mean, std)

    def _set_scale(self, mean: Tensor, std: Tensor) -> None:
        self.scale = (1 / std).view(1, -1, 1, 1)
        self.shift = (mean / std).view(1, -1, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def evaluation_batch(self) -> int:
        """Images of a batch that teaches nothing."""
        return evaluation_batch(self.side, self.device)

    def raw(self, index: Tensor) -> Tensor:
        """The images at ``index`` (B,) as they are, uint8."""
        return self.images.index_select(0, index)  # a tenth of the time that indexing takes

    def stream(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images of one batch after another."""
        return map(self.raw, indices)

    def view(
        self,
        raw: Tensor,
        augmentation: augment.Augmentation = augment.identity,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Images from ``raw``, augmented and normalised: (B, C, side, side) float32."""
        if augmentation is augment.identity or isinstance(augmentation, augment.Geometric):
            if augmentation is not augment.identity:
                assert generator is not None
                # bytes are moved, not floats: a quarter of the memory
                raw = augmentation(raw, generator)
            images = raw.float().mul_(self.scale / 255).sub_(self.shift)
        else:
            assert generator is not None
            images = augmentation(raw.float().div_(255), generator) * self.scale - self.shift
        # Last: on CPUs too, convolutions and pooling are up to twice as fast this way, but scaling
        # is several times slower.
        return images.contiguous(memory_format=torch.channels_last)

    def __call__(
        self,
        index: Tensor,
        augmentation: augment.Augmentation = augment.identity,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """A view of the images at ``index``."""
        return self.view(self.raw(index), augmentation, generator)


class SharedPixels(Pixels):
    """``Pixels`` in ordinary memory that other trials read too, a part of it in an order of its
    own.

    Images are looked up through NumPy, which takes as long and refuses to write to memory that is
    read-only.
    """

    def __init__(
        self, memory: np.ndarray, positions: np.ndarray, mean: Tensor, std: Tensor
    ) -> None:
        """``memory``: read-only uint8 (M, C, H, W); ``positions``: (N,) the images in it that these
        are.
        """
        self._memory = np.asarray(memory)
        self._positions = positions.copy()
        self._positions.flags.writeable = False
        self.device = mean.device
        self.channels, self.side = memory.shape[1], memory.shape[-1]
        self._set_scale(mean, std)

    def __len__(self) -> int:
        return len(self._positions)

    def raw(self, index: Tensor) -> Tensor:
        return torch.from_numpy(np.take(self._memory, self._positions[index.numpy()], axis=0))


class Oracle:
    """Privileged information. Reading what the method did not declare in ``privileges`` is an
    error.
    """

    def __init__(self, facts: dict[str, object]) -> None:
        self.__dict__.update(facts)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"task.oracle.{name} is privileged or unknown: a method that reads it lists {name!r} "
            "in its `privileges`"
        )


class Task:
    """A noisy training set and the means to learn from it. It shares no memory that can be written
    to with the harness.

    Each part of a method (host and wrappers) has a Task of its own, which differs in nothing but
    its random streams: that is why ``rmd+ce`` trains on exactly the batches that ``ce`` sees.
    """

    def __init__(
        self,
        pixels: Pixels,
        noisy_labels: Tensor,
        num_classes: int,
        *,
        epochs: int,
        batch_size: int,
        backbone: str,
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
        self.device = device
        self.precision = precision
        self.oracle = Oracle(facts or {})
        self._encoder = encoder
        self.augment = augment.weak(augmentation, pixels.side)
        self.strong_augment = augment.strong(self.channels, flips=augmentation.endswith("flip"))
        self.generator = torch.Generator(device)  # for everything random that is a tensor
        # what the epoch's mixture fits came to, for the record: see ``ops.fit_mixture``
        self.mixtures: list[str] = []
        # for random numbers that Python needs, such as one lambda a batch
        self.rng = np.random.default_rng()

    @property
    def num_train(self) -> int:
        """Training samples, N."""
        return len(self.noisy_labels)

    @property
    def evaluation_batch(self) -> int:
        """Images of a batch that teaches nothing."""
        return self._pixels.evaluation_batch

    @property
    def channels(self) -> int:
        """Colour channels of an image: 1 or 3."""
        return self._pixels.channels

    def seed(self, *key: int) -> None:
        """Start both random streams anew, from any tuple of non-negative integers."""
        self.generator.manual_seed(stream_seed(*key))
        self.rng = np.random.default_rng(stream_seed(*key))

    def loader(
        self,
        indices: Tensor | None = None,
        views: int = 1,
        train: bool = True,
        *,
        batch_size: int | None = None,
        augmentations: tuple[augment.Augmentation, ...] | None = None,
    ) -> Iterator[Batch]:
        """Batches of the training set, or of the samples at ``indices`` (M,).

        Training batches are shuffled and augmented, each of ``views`` (or ``augmentations``, one a
        view) on its own; a last batch of a single sample is left out, since batch normalisation
        cannot take it. With ``train=False`` they come whole, in order, as the images are.
        """
        if indices is None:
            indices = torch.arange(self.num_train, device=self.device)
        if train:
            indices = indices[
                torch.randperm(len(indices), generator=self.generator, device=self.device)
            ]
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
        """The samples at ``indices`` (B,), in that order; one view for each augmentation, by
        default the recipe's.
        """
        return self._batch(indices, self._pixels.raw(indices), augmentations or (self.augment,))

    def _batch(
        self, indices: Tensor, raw: Tensor, augmentations: tuple[augment.Augmentation, ...]
    ) -> Batch:
        views = tuple(self._pixels.view(raw, step, self.generator) for step in augmentations)
        return Batch(views, self.noisy_labels[indices], indices)

    def build_network(self, num_outputs: int | None = None) -> Network:
        """A freshly initialised network of the recipe's kind, on the device."""
        net = build_network(self.backbone, self.channels, num_outputs or self.num_classes)
        return self.place(net)

    def place(self, module: AnyModule) -> AnyModule:
        """Any module of a method's own, moved to where and how the trial computes."""
        if self.precision == "bf16" and self.device.type == "cpu" and not bfloat16_units():
            round_layers(module)
        return module.to(self.device).to(memory_format=torch.channels_last)

    def encoder(self) -> Callable[[Tensor], Tensor]:
        """Features (B, D) of normalised images, from the frozen encoder that the method's
        ``pretraining`` asked for.
        """
        if self._encoder is None:
            raise RuntimeError(
                "there is no pretrained encoder: a method asks for one by overriding `pretraining`"
            )
        return self._encoder

    def autocast(self) -> AbstractContextManager:
        """The context in which networks compute: bfloat16 where the trial's precision says so."""
        # Weights are rounded for each pass: those that a pass without gradients has kept would get
        # none in the next one.
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False
        )
