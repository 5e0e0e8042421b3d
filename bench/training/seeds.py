"""Seeds of training, which do not reveal the noise.

The noise is drawn from a small number, by default the seed of training as well. A method sees the
seeds of its own generators. If small numbers led to them, it could try each and draw the noise
again.
"""

import hashlib

import numpy as np

from bench.datasets import Dataset


def hidden_seed(purpose: str, seed: int, dataset: Dataset) -> int:
    """Return a 128-bit hash of ``seed``, keyed with the true labels and those of the test set.

    A method does not know the key, and so cannot try one seed after another. Equal specifications
    and data give equal seeds, on any machine.

    Args:
        purpose: at most 16 letters; different purposes get unrelated seeds.
        seed: a seed of the specification.
    """
    labels = hashlib.blake2b()
    for array in (dataset.train_labels, dataset.test_labels):
        labels.update(np.asarray(array, dtype="<i8").tobytes())
    keyed = hashlib.blake2b(
        str(seed).encode(), digest_size=16, key=labels.digest(), person=purpose.encode()
    )
    return int.from_bytes(keyed.digest(), "little")


def shuffled(count: int, seed: int) -> np.ndarray:
    """Return a random permutation of ``count`` indices."""
    return np.random.default_rng(seed).permutation(count)
