"""Measures of noisy labels: transition matrix, rate and content hash."""

import hashlib

import numpy as np


def transition_matrix(clean: np.ndarray, noisy: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the realised transition matrix (C, C): row = clean class, column = noisy class.

    A class without samples keeps its label. Samples whose clean label is unknown, or none of the
    classes, do not count.
    """
    counts = np.zeros((num_classes, num_classes))
    known = clean >= 0
    np.add.at(counts, (clean[known], noisy[known]), 1)
    empty = counts.sum(1) == 0
    counts[empty, empty] = 1
    return counts / counts.sum(1, keepdims=True)


def realised_rate(clean: np.ndarray, noisy: np.ndarray) -> float | None:
    """Return the share of wrong labels among those with a known clean label; None without any."""
    known = clean >= 0
    return float((noisy != clean)[known].mean()) if known.any() else None


def label_hash(labels: np.ndarray) -> str:
    """Return a short content hash: equal hashes mean that two trials saw the same labels."""
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()[:16]
