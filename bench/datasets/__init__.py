"""Data sets: a name becomes images and labels."""

import errno
import os
import warnings
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np

from bench.common import plugins
from bench.datasets import arrays, copies, folder, human, small, web
from bench.datasets.base import (
    FOUND,
    OUTSIDE,
    UNKNOWN,
    Dataset,
    Images,
    Source,
    from_arrays,
    stratified_choice,
)
from bench.datasets.checks import load_checked
from bench.datasets.files import ImageFiles
from bench.datasets.reading import UNREADABLE, read_images
from bench.errors import InputError, unknown

__all__ = [
    "FOUND",
    "OUTSIDE",
    "SCHEMES",
    "UNKNOWN",
    "UNREADABLE",
    "Dataset",
    "ImageFiles",
    "Images",
    "Source",
    "check_dataset",
    "find_source",
    "from_arrays",
    "in_memory",
    "load_dataset",
    "open_dataset",
    "read_images",
    "sources",
    "stratified_choice",
    "warn_of_copies",
    "with_donors",
]

_OWN = {**small.SOURCES, **human.SOURCES, **web.SOURCES}

#: Data sets of one's own, as SCHEME:PATH.
SCHEMES = {"npz": arrays.SOURCE, "folder": folder.SOURCE}

#: Bounds of --image-size in pixels: a decoded image of the largest size takes 64 MB.
_SIDES = 8, 4096


def sources() -> dict[str, Source]:
    """All data sets with a name: those of this package and those of other people's (entry points
    ``bench.datasets``).

    An entry point names a ``Source``. One that is broken says so in its summary, and hides no
    other.
    """
    found = dict(_OWN)
    for name in _packaged():
        try:
            found[name] = _load(name)
        except InputError as error:
            found[name] = Source(f"[broken: {error}]", small.SOURCES["digits"].load)
    return found


def _packaged() -> dict[str, list[EntryPoint]]:
    return plugins.points_by_name("bench.datasets")


def _load(name: str) -> Source:
    """The source that an installed package offers under this name."""
    return plugins.load(
        plugins.single_point(_packaged()[name], "data sets", name in _OWN), Source, "data set"
    )


def find_source(name: str) -> tuple[Source, str]:
    """The source of that name, and the path that the name gives, if any.

    Raises:
        InputError: where there is none.
    """
    scheme, colon, path = name.partition(":")
    if colon and scheme in SCHEMES:
        if not path:
            what = "file" if scheme == "npz" else "folder"
            raise InputError(
                f"{name} names no {what}: write {scheme}:{'FILE' if scheme == 'npz' else 'DIR'}"
            )
        return SCHEMES[scheme], path
    packaged = _packaged()
    if name in packaged:
        return _load(name), ""
    if name in _OWN:
        return _OWN[name], ""
    if os.path.exists(name):
        what, scheme = ("folder", "folder") if os.path.isdir(name) else ("file", "npz")
        raise InputError(
            f"there is no data set {name!r}: for the {what} of that name, write {scheme}:{name}"
        )
    raise unknown("data set", name, [*_OWN, *packaged, "npz:FILE", "folder:DIR"])


def check_dataset(name: str, image_size: int | None = None) -> None:
    """Raise InputError unless ``name`` can be asked for, at that size."""
    find_source(name)
    if image_size is not None and not _SIDES[0] <= image_size <= _SIDES[1]:
        raise InputError(
            f"--image-size is {image_size}: give at least {_SIDES[0]} pixels and at most "
            f"{_SIDES[1]}"
        )


def load_dataset(
    name: str,
    data_dir: Path | str = "data",
    subset: int | None = None,
    image_size: int | None = None,
) -> Dataset:
    """The data set of that name.

    Args:
        data_dir: holds its files, or is where they are downloaded to.
        subset: keep a stratified part of that many training images.
        image_size: side in pixels that images are brought to.
    """
    dataset = open_dataset(name, data_dir, image_size)
    return in_memory(dataset if subset is None else dataset.subset(subset))


def open_dataset(
    name: str, data_dir: Path | str = "data", image_size: int | None = None
) -> Dataset:
    """The data set of that name, images in files not yet decoded; arguments as for
    ``load_dataset``.
    """
    check_dataset(name, image_size)
    source, path = find_source(name)
    try:
        place = Path(path or data_dir).expanduser()
    except RuntimeError as error:  # a user without a home folder, or with a name that nobody has
        raise InputError(
            f"there is no home folder for {str(path or data_dir)!r}: write the path without ~"
        ) from error
    try:
        dataset = (
            load_checked(source, place, image_size, name)
            if name in _packaged()
            else source.load(place, image_size)
        )
    except OSError as error:
        # such as a folder in one that is closed to the user, or a name that is too long
        if error.filename is None or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{str(error.filename)!r} cannot be opened ({error.strerror}): check the path and its "
            "permissions"
        ) from error
    if (
        source.content
        and len(dataset.train_labels) == source.images
        and dataset.content_hash != source.content
    ):
        raise InputError(
            f"the files of {name} are not the published ones (content {dataset.content_hash}, not "
            f"{source.content}): fetch them again, or give changed data as npz:FILE"
        )
    names = (
        dataset.train_images.names
        if isinstance(dataset.train_images, ImageFiles)
        else dataset.train_names
    )
    dataset = replace(dataset, name=name, train_names=names)
    if image_size is not None and isinstance(dataset.train_images, np.ndarray):
        dataset = resized(dataset, image_size)
    return dataset


def resized(dataset: Dataset, side: int) -> Dataset:
    """The data set with its images brought to ``side`` pixels."""
    return replace(
        dataset,
        train_images=_resize(dataset.train_images, (side, side)),
        test_images=_resize(dataset.test_images, (side, side)),
        extra_tests={
            name: (_resize(images, (side, side)), labels)
            for name, (images, labels) in dataset.extra_tests.items()
        },
    )


def with_donors(dataset: Dataset, other: Dataset) -> Dataset:
    """The data set with images of another one at hand, for open-set noise: brought to the same size
    and colours.
    """
    import torch
    from torchvision.transforms.v2 import functional as F

    if isinstance(dataset.train_images, ImageFiles) or isinstance(other.train_images, ImageFiles):
        raise InputError(
            f"open-set noise needs images in memory, but {dataset.name} or {other.name} is read "
            "from files"
        )
    images = _resize(other.train_images, dataset.train_images.shape[2:])
    if dataset.channels == 3 and other.channels == 1:
        images = images.repeat(3, axis=1)
    elif dataset.channels == 1 and other.channels == 3:
        images = F.rgb_to_grayscale(torch.from_numpy(images)).numpy()
    if images.shape == dataset.train_images.shape and (images == dataset.train_images).all():
        raise InputError(
            f"the images of {other.name} are those of {dataset.name}: put the files of "
            f"{other.name} into a folder of that name below --data-dir"
        )
    return replace(dataset, donors=images)


def _resize(images: Images, size: tuple[int, ...]) -> np.ndarray:
    """uint8 images (N, C, H, W) brought to (H', W'), bilinearly and without aliasing."""
    import torch
    from torchvision.transforms.v2 import functional as F

    assert isinstance(images, np.ndarray)
    if images.shape[2:] == size:
        return images
    chunks = torch.from_numpy(np.array(images)).split(1000)
    return torch.cat([F.resize(chunk, list(size), antialias=True) for chunk in chunks]).numpy()


def warn_of_copies(dataset: Dataset) -> None:
    """Give one warning of exact copies in a data set of the user's own; published sets are used as
    they are.
    """
    if dataset.name not in _OWN and (sentences := copies.of_dataset(dataset)):
        warnings.warn(f"{'; '.join(sentences)} (they are kept)", stacklevel=2)


def in_memory(dataset: Dataset, warn: bool = True) -> Dataset:
    """Return the data set with its images decoded and in memory, where they fit; unreadable images
    are left out.

    Without ``warn``, they are left out silently: the caller names them.
    """
    dataset, broken = read_images(dataset)
    if broken and warn:
        shown = "; ".join(f"{name} ({reason})" for name, reason in sorted(broken.items())[:5])
        more = (
            f"; and {len(broken) - 5} more (python -m bench.data check)" if len(broken) > 5 else ""
        )
        number = (
            "1 image cannot be read and is"
            if len(broken) == 1
            else f"{len(broken):,} images cannot be read and are"
        )
        warnings.warn(f"{number} left out: {shown}{more}", stacklevel=2)
    return dataset
