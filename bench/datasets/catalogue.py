"""Catalogue of data sets: a name leads to its source."""

import os
from importlib.metadata import EntryPoint

from bench.common import plugins
from bench.datasets import npz
from bench.datasets.dataset import Source
from bench.datasets.folder import loader as folder
from bench.datasets.published import (
    animal10n,
    cifar,
    cifar_n,
    clothing1m,
    digits,
    food101n,
    mnist,
    red_mini_imagenet,
    webvision,
)
from bench.errors import InputError, unknown

#: Data sets of this package, by name.
PUBLISHED = {
    **digits.SOURCES,
    **mnist.SOURCES,
    **cifar.SOURCES,
    **cifar_n.SOURCES,
    **animal10n.SOURCES,
    **clothing1m.SOURCES,
    **webvision.SOURCES,
    **food101n.SOURCES,
    **red_mini_imagenet.SOURCES,
}

#: Data of the user's own, written as SCHEME:PATH.
SCHEMES = {"npz": npz.SOURCE, "folder": folder.SOURCE}

#: Placeholders for the path of each scheme.
_PLACEHOLDERS = {"npz": "FILE", "folder": "DIR"}

#: Bounds of --image-size in pixels: a decoded image of the largest size takes 64 MB.
_SIDES = 8, 4096


def sources() -> dict[str, Source]:
    """Return all data sets with a name: of this package, and of entry points ``bench.datasets``.

    A broken entry point hides no other: its summary says what is wrong.
    """
    known = dict(PUBLISHED)
    for name in packaged():
        try:
            known[name] = _load(name)
        except InputError as error:
            known[name] = Source(f"[broken: {error}]", digits.load)
    return known


def packaged() -> dict[str, list[EntryPoint]]:
    """Return the entry points of data sets in other packages, by name."""
    return plugins.points_by_name("bench.datasets")


def _load(name: str) -> Source:
    """Return the source that another package offers under this name."""
    point = plugins.single_point(packaged()[name], "data sets", name in PUBLISHED)
    return plugins.load(point, Source, "data set")


def find_source(name: str) -> tuple[Source, str]:
    """Return the source of that name, and the path in a name SCHEME:PATH, else "".

    Raises:
        InputError: if there is no such source.
    """
    scheme, colon, path = name.partition(":")
    if colon and scheme in SCHEMES:
        if not path:
            kind = "file" if scheme == "npz" else "folder"
            raise InputError(f"{name} names no {kind}: write {scheme}:{_PLACEHOLDERS[scheme]}")
        return SCHEMES[scheme], path
    others = packaged()
    if name in others:
        return _load(name), ""
    if name in PUBLISHED:
        return PUBLISHED[name], ""
    if os.path.exists(name):
        kind, scheme = ("folder", "folder") if os.path.isdir(name) else ("file", "npz")
        raise InputError(
            f"there is no data set {name!r}: for the {kind} of that name, write {scheme}:{name}"
        )
    raise unknown("data set", name, [*PUBLISHED, *others, "npz:FILE", "folder:DIR"])


def check_dataset(name: str, image_size: int | None = None) -> None:
    """Raise InputError unless there is a data set of that name, and images can have that size."""
    find_source(name)
    if image_size is not None and not _SIDES[0] <= image_size <= _SIDES[1]:
        raise InputError(
            f"--image-size is {image_size}: give at least {_SIDES[0]} pixels and at most "
            f"{_SIDES[1]}"
        )
