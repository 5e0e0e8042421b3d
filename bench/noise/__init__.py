"""Label noise: clean labels become noisy labels, by pure functions of data set and specification.

>>> labels = corrupt(load_dataset("digits"), NoiseSpec("symmetric", 0.4, seed=0))  # (N,) int64

========== =======================================================================================
spec       ``NoiseSpec``: kind, rate, seed, sampling and file hash, as one value
kinds      ``KINDS``, the table of kinds; a new kind is a row here
flips      draws that depend on labels alone
pixels     draws that depend on images, with the probabilities of ``classifier``
registry   a name becomes a kind of this or an installed package, and is checked
corruption a data set and a ``NoiseSpec`` become noisy labels
rounding   warning where the realised rate is far from the intended one
measures   transition matrix, realised rate and hash of labels
files      noisy labels in files of the field's formats; ``matching`` brings them to the images
matrices   transition matrices in files
contents   bytes of these files, read once per command
========== =======================================================================================

Each name of a kind has one meaning; where other code uses it for something else, the docstring of
the draw says so. ``python -m bench.noise`` shows, writes and reads noise.
"""

from bench.noise.contents import reading_once
from bench.noise.corruption import corrupt, prepare, rehearse, replaced_images
from bench.noise.kinds import KINDS, NoiseKind
from bench.noise.measures import label_hash, realised_rate, transition_matrix
from bench.noise.registry import (
    check_files,
    check_noise,
    check_rate,
    default_noise,
    fingerprint,
    listing,
    takes_rate,
)
from bench.noise.rounding import rounding_note
from bench.noise.spec import OPENSET, SAMPLINGS, NoiseSpec, generator

__all__ = [
    "KINDS",
    "OPENSET",
    "SAMPLINGS",
    "NoiseKind",
    "NoiseSpec",
    "check_files",
    "check_noise",
    "check_rate",
    "corrupt",
    "default_noise",
    "fingerprint",
    "generator",
    "label_hash",
    "listing",
    "prepare",
    "reading_once",
    "realised_rate",
    "rehearse",
    "replaced_images",
    "rounding_note",
    "takes_rate",
    "transition_matrix",
]
