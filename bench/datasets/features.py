"""Vectors: features of a data set's images by a frozen network, and statistics of vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: Vectors in a chunk of the computation.
_CHUNK = 4096

#: Scale below which vectors or columns count as constant.
_LEAST = 1e-6


@dataclass(frozen=True)
class VectorStatistics:
    """Statistics of training vectors, by which vectors are normalised."""

    mean: np.ndarray  # (D,) float32
    std: np.ndarray  # (D,) float32; 1 where it is below 1e-6, as in a constant column
    norm: float  # mean Euclidean norm of the vectors less their mean; 1 where it is below 1e-6


@dataclass(frozen=True)
class Features:
    """Features of all images of a data set, in the order of its images.

    They are float16, and read-only where processes share them.
    """

    train: np.ndarray  # (N, 1 + V, D): of the plain image, then of V augmented views
    tests: Mapping[str, np.ndarray]  # test set, as in ``Dataset.tests`` -> (T, D)
    donors: np.ndarray | None  # (M, D)
    seconds: float  # time that computing them took, whenever that was
    checksum: str  # SHA-256 of all of them
    statistics: VectorStatistics  # of the plain training features
    licence: str  # of the network's weights; "" where nothing is known


def statistics_of(vectors: np.ndarray) -> VectorStatistics:
    """Return the statistics of vectors (N, D), computed in float64."""
    mean = vectors.mean(0, dtype=np.float64)
    squares, norms = np.zeros_like(mean), 0.0
    for start in range(0, len(vectors), _CHUNK):
        centred = vectors[start : start + _CHUNK] - mean
        squares += (centred**2).sum(0)
        norms += float(np.sqrt((centred**2).sum(1)).sum())
    std, norm = np.sqrt(squares / len(vectors)), norms / len(vectors)
    std[std < _LEAST] = 1.0
    return VectorStatistics(
        mean.astype(np.float32), std.astype(np.float32), norm if norm >= _LEAST else 1.0
    )
