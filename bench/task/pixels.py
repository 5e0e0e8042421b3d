"""Images on the device as uint8; batches are index slices, augmented and normalised there.

No DataLoader workers and no PIL in the loop: a pass over the whole set is then nearly free.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.networks import augment

#: Upper bound of the evaluation batch size.
EVALUATION_BATCH = 512


def evaluation_batch(side: int, device: torch.device) -> int:
    """Evaluation batch size for images ``side`` pixels wide and high.

    On a CPU, a batch is small enough that a layer's activations stay in its cache, and in memory
    that has been used before: images of 32x32 take the small CNN 1.7 times as long in batches of
    512 as of 128.
    """
    if device.type == "cuda":
        return EVALUATION_BATCH
    return min(EVALUATION_BATCH, max(32, 2**17 // side**2))


class Pixels:
    """Images as uint8, from which augmented and normalised views are made."""

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
        """Evaluation batch size for these images."""
        return evaluation_batch(self.side, self.device)

    def weak(self, name: str) -> augment.Augmentation:
        """Return the recipe's augmentation of that name."""
        return augment.weak(name, self.side)

    def strong(self, flips: bool) -> augment.Augmentation:
        """Return the augmentation of self-supervised learning."""
        return augment.strong(self.channels, flips)

    def raw(self, index: Tensor) -> Tensor:
        """Return the images at ``index`` (B,) unchanged, uint8."""
        return self.images.index_select(0, index)  # a tenth of the time that indexing takes

    def stream(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images of one batch after another."""
        return map(self.raw, indices)

    def view(
        self,
        raw: Tensor,
        augmentation: augment.Augmentation = augment.identity,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return images from ``raw``, augmented and normalised: (B, C, side, side) float32."""
        if augmentation is augment.identity:
            images = self._normalised(raw)
        else:
            assert generator is not None
            if isinstance(augmentation, augment.Geometric):
                # Bytes are moved, not floats: a quarter of the memory.
                images = self._normalised(augmentation(raw, generator))
            else:
                images = augmentation(raw.float().div_(255), generator) * self.scale - self.shift
        # The memory format comes last: on CPUs too, convolutions and pooling are up to twice as
        # fast this way, but scaling is several times slower.
        return images.contiguous(memory_format=torch.channels_last)

    def _normalised(self, raw: Tensor) -> Tensor:
        return raw.float().mul_(self.scale / 255).sub_(self.shift)

    def __call__(
        self,
        index: Tensor,
        augmentation: augment.Augmentation = augment.identity,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return a view of the images at ``index``."""
        return self.view(self.raw(index), augmentation, generator)


class SharedPixels(Pixels):
    """``Pixels`` in ordinary memory that other trials read too, in an order of this trial's.

    Images are looked up through NumPy, which takes as long and refuses to write to memory that is
    read-only.
    """

    def __init__(
        self, memory: np.ndarray, positions: np.ndarray, mean: Tensor, std: Tensor
    ) -> None:
        """``memory``: read-only uint8 (M, C, H, W); ``positions``: (N,) of the images in it."""
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
