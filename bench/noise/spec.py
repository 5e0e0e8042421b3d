"""Specification of label noise: one frozen value, from the command line to the trial."""

from dataclasses import dataclass

import numpy as np

#: Ways to draw the corrupted labels: a rounded count, or an independent draw for each label.
SAMPLINGS = ("exact", "independent")

#: Beginning of the names of open-set noise.
OPENSET = "openset:"

#: Random stream of the noise, apart from ``default_rng(0)``, which draws subsets and test sets
#: (and equals ``default_rng([0, 0])``).
STREAM = 1


@dataclass(frozen=True)
class NoiseSpec:
    """Label noise of one trial. Equal specifications give equal labels on equal data.

    >>> corrupt(dataset, NoiseSpec("symmetric", 0.4))
    """

    kind: str  # a name of ``listing``, with its argument: "matrix:T.npy"
    rate: float | None = None  # from 0 to below 1; None for kinds that take no rate
    seed: int = 0
    sampling: str = "exact"  # one of SAMPLINGS
    file_hash: str | None = None  # ``fingerprint`` of the files that the kind reads

    @property
    def replaces_images(self) -> bool:
        """True if images are replaced and labels stay, as in open-set noise."""
        return self.kind.startswith(OPENSET) and bool(self.rate)


def generator(seed: int) -> np.random.Generator:
    """Return the random generator of noise; nothing else that uses the seed shares it."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAM,)))
