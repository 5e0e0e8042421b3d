"""Features of a data set's images by a frozen network."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


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
    mean: np.ndarray  # (D,) float32, of the plain training images
    std: np.ndarray  # (D,) float32, at least 1e-6
    licence: str  # of the network's weights; "" where nothing is known
    norm: float  # mean Euclidean norm of the plain training features less their mean
