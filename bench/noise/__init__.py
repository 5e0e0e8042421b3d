"""Label noise: pure functions of clean labels, a rate and a random generator; and noisy labels in files.

Every kind has one meaning here. Where other code uses the same word for something else, the docstring says so. In the
default ``exact`` sampling the number of corrupted labels is the rounded product of rate and count; with ``independent``
sampling each label is corrupted by its own coin flip.

python -m bench.noise show --kind asymmetric --rate 0.4
"""

from bench.noise.files import FORMATS, fingerprint, read_labels, read_matrix, write_labels
from bench.noise.flips import openset
from bench.noise.measures import label_hash, realised_rate, transition_matrix
from bench.noise.registry import (
    KINDS,
    OPENSET,
    SAMPLINGS,
    NoiseKind,
    check_noise,
    comes_with_data,
    corrupt,
    default_noise,
    find_kind,
    generator,
    listing,
    prepare,
    takes_rate,
)
from bench.noise.rounding import rounding_note

__all__ = [
    "FORMATS",
    "KINDS",
    "OPENSET",
    "SAMPLINGS",
    "NoiseKind",
    "check_noise",
    "comes_with_data",
    "corrupt",
    "default_noise",
    "find_kind",
    "fingerprint",
    "generator",
    "label_hash",
    "listing",
    "openset",
    "prepare",
    "read_labels",
    "read_matrix",
    "realised_rate",
    "rounding_note",
    "takes_rate",
    "transition_matrix",
    "write_labels",
]
