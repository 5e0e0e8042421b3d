"""The classifier behind margin-diminishing noise: a linear one on how strongly small patches
respond (Coates & Ng, 2011).

It trains no network and needs no GPU. Where a classifier on the pixels' principal components is
right on 37 % of CIFAR-10's images, this one is right on 69 %, on 88 % of 4,000 of Fashion-MNIST and
on 98 % of the digits; it is as sure as it is right.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

#: Sides in pixels of a patch and, at most, of an image (larger ones are shrunk); filters; cells a
#: side, for averages.
PATCH, SIDE, FILTERS, CELLS = 6, 32, 128, 3

#: Patches by which the filters are chosen; images that are looked at together.
SAMPLE, CHUNK = 20_000, 64

#: Parts, each predicted by a classifier that was fitted on the others; inverse weight of its
#: penalty; steps of the fit.
FOLDS, STRENGTH, STEPS = 5, 0.01, 60

#: Contrast of a patch that counts as none; smallest variance in whitening; response that counts as
#: none.
EVEN, FLOOR, SILENT = 10 / 255, 0.1, 0.25

#: To be raised when other probabilities come out.
VERSION = 1

Steps = Callable[[Iterable[Any]], Iterable[Any]]


def out_of_fold(
    images: np.ndarray, labels: np.ndarray, num_classes: int, shown: Steps = iter
) -> np.ndarray:
    """Class probabilities (N, C) of images, each by a classifier that was not fitted on it.

    The k-th image of a class is in part k modulo 5. An image takes about 10 KB of memory.

    Args:
        images: uint8 (N, channels, height, width).
        labels: (N,), at least two classes with two images each.
        shown: passes the steps through, to show how far it got.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    parts = np.empty(len(labels), dtype=np.int64)
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        parts[members] = np.arange(len(members)) % FOLDS
    probabilities = np.zeros((len(labels), num_classes))
    # the order of a sum would depend on the number of threads
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is a setting
        rows = features(images, shown)
        for part in shown(np.unique(parts)):
            held_out = parts == part
            model: Any = LogisticRegression(C=STRENGTH, max_iter=STEPS).fit(
                rows[~held_out], labels[~held_out]
            )
            probabilities[np.ix_(held_out, model.classes_)] = model.predict_proba(rows[held_out])
    return probabilities / probabilities.sum(1, keepdims=True)


def features(images: np.ndarray, shown: Steps = iter) -> np.ndarray:
    """Standardised features (N, D) float32: in each cell of an image, the mean response to each
    filter and to its negative.
    """
    images = _shrunk(images)
    size = min(PATCH, *images.shape[2:])
    weights, offset = _filters(images, size)
    down, across = (_bounds(side - size + 1) for side in images.shape[2:])
    areas = (np.diff(down)[:, None] * np.diff(across)).astype(np.float32)
    rows = np.empty((len(images), 2, len(offset), *areas.shape), dtype=np.float32)
    for start in shown(range(0, len(images), CHUNK)):
        patches = _patches(images[start : start + CHUNK], size)
        # the filters leave a patch's mean out
        responses = (patches @ weights) / _contrast(patches) - offset
        for sign in (0, 1):
            active = np.maximum((responses, -responses)[sign] - SILENT, 0)
            sums = np.add.reduceat(np.add.reduceat(active, down[:-1], 1), across[:-1], 2)
            rows[start : start + CHUNK, sign] = sums.transpose(0, 3, 1, 2) / areas
    rows = np.sqrt(rows, out=rows).reshape(len(images), -1)
    rows -= rows.mean(0)
    rows /= rows.std(0) + 1e-6
    return rows


def _shrunk(images: np.ndarray) -> np.ndarray:
    """The images at no more than ``SIDE`` pixels a side: means over squares of pixels, uint8."""
    factor = -(-max(images.shape[2:]) // SIDE)
    if factor == 1:
        return images
    height, width = (max(1, side // factor) for side in images.shape[2:])
    small = np.empty((*images.shape[:2], height, width), dtype=np.uint8)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK, :, : height * factor, : width * factor]
        squares = chunk.reshape(*chunk.shape[:2], height, -1, width, chunk.shape[3] // width)
        small[start : start + CHUNK] = squares.mean((3, 5)).round()
    return small


def _bounds(places: int) -> np.ndarray:
    """Bounds of ``CELLS`` cells, or as many as can be, of about the same length."""
    return np.linspace(0, places, min(CELLS, places) + 1).round().astype(int)


def _patches(images: np.ndarray, size: int) -> np.ndarray:
    """All patches (B, rows, columns, pixels) of images, as values in [0, 1]."""
    windows = np.lib.stride_tricks.sliding_window_view(
        images.astype(np.float32) / 255, (size, size), axis=(2, 3)
    )
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(images), *windows.shape[2:4], -1)


def _contrast(patches: np.ndarray) -> np.ndarray:
    """Standard deviation (..., 1) of patches (..., pixels), somewhat more where it is small."""
    variance = (patches**2).mean(-1, keepdims=True) - patches.mean(-1, keepdims=True) ** 2
    return np.sqrt(variance.clip(0) + EVEN**2)


def _filters(images: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (pixels, K), and what is subtracted from their responses (K,): random patches,
    whitened, of length 1.

    The random generator is the function's own: the noise of every seed has the same classifier.
    """
    rng = np.random.default_rng(0)
    number, top, left = (
        rng.integers(0, n, SAMPLE)
        for n in (len(images), *(side - size + 1 for side in images.shape[2:]))
    )
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
    patches = windows[number, :, top, left].reshape(SAMPLE, -1).astype(np.float32) / 255
    if (uneven := patches.std(1) > EVEN).sum() >= FILTERS:  # a filter of nothing would say nothing
        patches = patches[uneven]
    patches = (patches - patches.mean(1, keepdims=True)) / _contrast(patches)
    mean = patches.mean(0)
    variances, directions = np.linalg.eigh(np.cov((patches - mean).T))
    whitening = (directions / np.sqrt(variances.clip(0) + FLOOR)) @ directions.T
    chosen = (patches[:FILTERS] - mean) @ whitening
    weights = whitening @ (chosen / np.linalg.norm(chosen, axis=1, keepdims=True).clip(1e-6)).T
    return (weights - weights.mean(0)).astype(np.float32), (mean @ weights).astype(np.float32)
