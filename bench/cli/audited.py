"""Data set and labels of an audit, the same for the audit and for decisions on it."""

from dataclasses import replace

import numpy as np

from bench.audit.samples import numbered
from bench.cli.plan import decode
from bench.datasets import Dataset, open_dataset
from bench.errors import InputError
from bench.noise import NoiseSpec, check_noise, corrupt, fingerprint, takes_rate


def audited(
    dataset: str,
    *,
    data_dir: str = "data",
    image_size: int | None = None,
    subset: int | None = None,
    noise: float | None = None,
    noise_kind: str | None = None,
    noise_seed: int = 0,
    remarks: bool = True,
) -> tuple[Dataset, np.ndarray]:
    """Return a data set in memory, where it fits, and its training labels to audit (N,).

    Args:
        subset: number of training samples; None keeps all.
        noise: rate of the noise.
        noise_kind: None where labels stay as delivered.
        remarks: print remarks on the data.
    """
    whole = open_dataset(dataset, data_dir, image_size)
    if noise_kind is not None and takes_rate(noise_kind) and noise is None:
        raise InputError(f"{noise_kind} noise needs a rate: add --noise R")
    data = decode(whole, noise_kind, [noise], subset, data_dir, remarks)
    data = numbered(replace(data, all_names=whole.all_names), whole)  # which noise drops
    if noise_kind is None:
        return data, data.delivered_labels
    check_noise(noise_kind, noise, data)
    spec = NoiseSpec(noise_kind, noise, noise_seed, file_hash=fingerprint(noise_kind))
    if spec.replaces_images:
        raise InputError(f"{noise_kind} replaces images and no labels: choose another --noise-kind")
    return data, corrupt(data, spec)
