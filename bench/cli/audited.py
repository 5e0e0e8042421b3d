"""Data set and labels of an audit, the same for the audit and for decisions on it."""

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from bench.audit.files import SUMMARY
from bench.audit.samples import numbered
from bench.cli.plan import decode
from bench.datasets import Dataset, open_dataset
from bench.errors import InputError
from bench.noise import NoiseSpec, check_noise, corrupt, fingerprint, takes_rate


@dataclass(frozen=True)
class LabelOptions:
    """Options that audited samples and labels depend on, as ``summary.json`` keeps them."""

    data_dir: str = "data"
    image_size: int | None = None
    subset: int | None = None  # number of training samples; None keeps all
    noise: float | None = None  # rate
    noise_kind: str | None = None  # None where labels stay as delivered
    noise_seed: int = 0


@dataclass(frozen=True)
class Audited:
    """Data set of an audit, and the options of its labels."""

    dataset: str
    options: LabelOptions = LabelOptions()


def audited(
    dataset: str, options: LabelOptions, remarks: bool = True
) -> tuple[Dataset, np.ndarray]:
    """Return a data set in memory, where it fits, and its training labels to audit (N,).

    Args:
        remarks: print remarks on the data.
    """
    kind, rate = options.noise_kind, options.noise
    whole = open_dataset(dataset, options.data_dir, options.image_size)
    if kind is not None and takes_rate(kind) and rate is None:
        raise InputError(f"{kind} noise needs a rate: add --noise R")
    data = decode(whole, kind, [rate], options.subset, options.data_dir, remarks)
    data = numbered(replace(data, all_names=whole.all_names), whole)  # which noise drops
    if kind is None:
        return data, data.delivered_labels
    check_noise(kind, rate, data)
    spec = NoiseSpec(kind, rate, options.noise_seed, file_hash=fingerprint(kind))
    if spec.replaces_images:
        raise InputError(f"{kind} replaces images and no labels: choose another --noise-kind")
    return data, corrupt(data, spec)


def audit_beside(file: Path, dataset: str | None) -> Audited:
    """Return what the audit beside a file of decisions was of; without one, the images there.

    Args:
        dataset: the data set that the command line names.
    """
    beside = file.parent / SUMMARY
    try:
        return msgspec.json.decode(beside.read_bytes(), type=Audited)
    except FileNotFoundError:
        return Audited(f"folder:{file.parent}")
    except (OSError, ValueError, RecursionError) as error:
        if dataset:
            return Audited(dataset)
        raise InputError(
            f"{str(beside)!r} does not say which data set was audited: name it with --dataset"
        ) from error
