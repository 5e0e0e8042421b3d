"""Seeds of what is random in a trial besides noise and split, from which neither of those can be
told.

The noise is drawn from a small number, by default the one that training is given too. A method sees
the seeds of its own generators. Were they that number, or could they be traced back to it by trying
small ones, it could draw the noise again.
"""

import hashlib

import numpy as np

from bench.datasets import Dataset


def hidden_seed(purpose: str, seed: int, dataset: Dataset) -> int:
    """128-bit seed of the random streams that serve ``purpose``: a hash of ``seed``, keyed with
    labels that no method sees.

    The key is made of the true labels and of those of the test images, so that whoever does not
    know these cannot try seeds one after another. Equal specifications and data give equal seeds,
    on any machine.

    Args:
        purpose: at most 16 letters; different purposes get unrelated seeds.
        seed: of the specification.
    """
    labels = hashlib.blake2b()
    for array in (dataset.train_labels, dataset.test_labels):
        labels.update(np.asarray(array, dtype="<i8").tobytes())
    keyed = hashlib.blake2b(
        str(seed).encode(), digest_size=16, key=labels.digest(), person=purpose.encode()
    )
    return int.from_bytes(keyed.digest(), "little")


def shuffled(count: int, seed: int) -> np.ndarray:
    """A random order of ``count`` things."""
    return np.random.default_rng(seed).permutation(count)
