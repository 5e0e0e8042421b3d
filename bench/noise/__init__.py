"""Label noise: pure functions of clean labels, a rate and a random generator; and noisy labels in
files.

Every kind has one meaning here. Where other code uses the same word for something else, the
docstring says so. In the default ``exact`` sampling the number of corrupted labels is the rounded
product of rate and count; with ``independent`` sampling each label is corrupted by its own coin
flip.

python -m bench.noise show --kind asymmetric --rate 0.4
"""

from bench.noise.files import FORMATS, read_labels, read_matrix, reading_once, write_labels
from bench.noise.flips import openset
from bench.noise.measures import label_hash, realised_rate, transition_matrix
from bench.noise.registry import (
    KINDS,
    OPENSET,
    SAMPLINGS,
    NoiseKind,
    check_noise,
    check_rate,
    comes_with_data,
    corrupt,
    default_noise,
    find_kind,
    fingerprint,
    generator,
    listing,
    prepare,
    rehearse,
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
    "check_rate",
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
    "reading_once",
    "realised_rate",
    "rehearse",
    "rounding_note",
    "takes_rate",
    "transition_matrix",
    "write_labels",
]
