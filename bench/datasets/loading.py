"""Loading of a data set: from its name to images and labels."""

import errno
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets import copies
from bench.datasets.catalogue import PUBLISHED, check_dataset, find_source, packaged
from bench.datasets.dataset import Dataset, Source
from bench.datasets.images.files import ImageFiles
from bench.datasets.plugin_checks import load_checked
from bench.datasets.readable import count_unreadable, read_images
from bench.datasets.resizing import resized
from bench.errors import InputError

#: Number of unreadable images that a warning names.
_NAMED = 5


def load_dataset(
    name: str,
    data_dir: Path | str = "data",
    subset: int | None = None,
    image_size: int | None = None,
) -> Dataset:
    """Return the data set of that name, its images in memory where they fit.

    Args:
        data_dir: folder that holds its files, or that they are downloaded to.
        subset: keep a stratified part of that many training images.
        image_size: side in pixels that images are brought to.

    Raises:
        InputError: if there is no such data set, or its files are missing or damaged.
    """
    dataset = open_dataset(name, data_dir, image_size)
    return in_memory(dataset if subset is None else dataset.subset(subset))


def open_dataset(
    name: str, data_dir: Path | str = "data", image_size: int | None = None
) -> Dataset:
    """Return the data set of that name, images in files not yet decoded; see ``load_dataset``."""
    check_dataset(name, image_size)
    source, path = find_source(name)
    dataset = _open(name, source, _expanded(path or data_dir), image_size)
    published = source.content and len(dataset.train_labels) == source.images
    if published and dataset.content_hash != source.content:
        raise InputError(
            f"the files of {name} are not the published ones (content {dataset.content_hash}, not "
            f"{source.content}): fetch them again, or give changed data as npz:FILE"
        )
    images = dataset.train_images
    names = images.names if isinstance(images, ImageFiles) else dataset.train_names
    dataset = replace(dataset, name=name, train_names=names)
    if image_size is not None and isinstance(images, np.ndarray):
        dataset = resized(dataset, image_size)
    return dataset


def _expanded(path: Path | str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # the user has no home folder, or is unknown
        raise InputError(
            f"there is no home folder for {str(path)!r}: write the path without ~"
        ) from error


def _open(name: str, source: Source, place: Path, image_size: int | None) -> Dataset:
    try:
        if name in packaged():
            return load_checked(source, place, image_size, name)
        return source.load(place, image_size)
    except OSError as error:
        # such as a folder that is closed to the user, or a name that is too long
        if error.filename is None or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{str(error.filename)!r} cannot be opened ({error.strerror}): check the path and its "
            "permissions"
        ) from error


def in_memory(dataset: Dataset, warn: bool = True) -> Dataset:
    """Return the data set without unreadable images, decoded into memory where it fits.

    Args:
        warn: warn of unreadable images; False for a caller that names them itself.
    """
    dataset, broken = read_images(dataset)
    if broken and warn:
        examples = sorted(broken.items())[:_NAMED]
        listed = "; ".join(f"{name} ({reason})" for name, reason in examples)
        others = len(broken) - _NAMED
        more = f"; and {others} more (python -m bench.data check)" if others > 0 else ""
        count = count_unreadable(len(broken))
        warnings.warn(f"{count} left out: {listed}{more}", stacklevel=2)
    return dataset


def warn_of_copies(dataset: Dataset) -> None:
    """Warn of exact copies in a user's own data set; published sets are used as they are."""
    if dataset.name not in PUBLISHED and (sentences := copies.of_dataset(dataset)):
        warnings.warn(f"{'; '.join(sentences)} (they are kept)", stacklevel=2)
