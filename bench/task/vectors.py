"""Vectors on the device, such as features of a frozen network; batches are slices, normalised."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.networks import augment
from bench.task.pixels import EVALUATION_BATCH


class Vectors:
    """Vectors with the interface of ``Pixels``: augmented and normalised views of samples.

    They may be held as float16. Augmented vectors that were computed beforehand lie beside the
    plain one of each sample.
    """

    side = 1

    def __init__(
        self, memory: np.ndarray, mean: Tensor, scale: Tensor, positions: np.ndarray | None = None
    ) -> None:
        """Keep vectors in shared memory on a CPU, and copy them to another device.

        Args:
            memory: float (M, D), or (M, 1 + V, D) with V augmented vectors of each sample.
            mean: (D,), subtracted.
            scale: (D,) or a scalar, multiplied with.
            positions: (N,) of the samples in memory, by default all.
        """
        stored = memory[:, None] if memory.ndim == 2 else memory
        self.device = mean.device
        self.channels, self.cached_views = stored.shape[2], stored.shape[1] - 1
        self._mean, self._scale = mean, scale
        self._positions = np.arange(len(stored)) if positions is None else positions.copy()
        self._memory: np.ndarray | Tensor = stored
        if self.device.type != "cpu":
            self._memory = torch.from_numpy(stored[self._positions]).to(self.device)

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def evaluation_batch(self) -> int:
        """Evaluation batch size."""
        return EVALUATION_BATCH

    def weak(self, name: str) -> augment.Augmentation:
        """Return the recipe's augmentation of that name."""
        return augment.dropout if name == "dropout" else augment.identity

    def strong(self, flips: bool) -> augment.Augmentation:
        """Return a random augmented vector where there are any, else dropout."""
        return augment.cached_view if self.cached_views else augment.dropout

    def raw(self, index: Tensor) -> Tensor:
        """Return the vectors at ``index`` (B,) as they are stored, (B, 1 + V, D)."""
        if isinstance(self._memory, Tensor):
            return self._memory.index_select(0, index)
        # NumPy refuses to write to memory that is read-only, and takes rows as fast as torch.
        return torch.from_numpy(np.take(self._memory, self._positions[index.numpy()], axis=0))

    def stream(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the vectors of one batch after another."""
        return map(self.raw, indices)

    def view(
        self,
        raw: Tensor,
        augmentation: augment.Augmentation = augment.identity,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return vectors from ``raw``, normalised and augmented: (B, D) float32."""
        if augmentation is augment.cached_view:
            assert generator is not None
            return self._normalised(augmentation(raw, generator))
        vectors = self._normalised(raw[:, 0])
        if augmentation is augment.identity:
            return vectors
        assert generator is not None
        return augmentation(vectors, generator)

    def _normalised(self, vectors: Tensor) -> Tensor:
        return vectors.float().sub_(self._mean).mul_(self._scale)

    def __call__(
        self,
        index: Tensor,
        augmentation: augment.Augmentation = augment.identity,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return a view of the vectors at ``index``."""
        return self.view(self.raw(index), augmentation, generator)
