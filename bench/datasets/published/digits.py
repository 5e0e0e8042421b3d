"""Digits: 1,797 small grey images that come with scikit-learn."""

from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Source, stratified_choice

#: Digit -> the digit that it is mistaken for, as Patrini et al. (2017) define it for MNIST.
FLIPS = {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}

CLASSES = tuple("0123456789")


def load(data_dir: Path, side: int | None) -> Dataset:
    """Return the digits, values from 0 to 16 scaled to bytes; a stratified fifth is for testing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    test = np.sort(stratified_choice(labels, 360, np.random.default_rng(0)))
    train = np.setdiff1d(np.arange(len(labels)), test)
    parts = images[train], labels[train], images[test], labels[test]
    return Dataset("digits", *parts, CLASSES, FLIPS)


SOURCES = {
    "digits": Source(
        "1,797 grey 8x8 digits, embedded in scikit-learn (360 for testing)",
        load,
        size="1,437 + 360 images, 8x8, grey",
        classes="10 digits",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI",
        url="https://archive.ics.uci.edu/dataset/80",
        access="comes with scikit-learn",
        content="f954d9b34a827706",
        images=1437,
    ),
}
