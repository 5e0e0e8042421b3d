"""Source of a data set: the function that loads it, and the facts that a user has to know."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.dataset import Dataset

#: Loader: folder of the files, side of the images in pixels or None for the usual one -> data set.
Loader = Callable[[Path, int | None], Dataset]


@dataclass(frozen=True)
class Source:
    """Data set with a name: how to load it, its size, licence, citation and where to get it."""

    summary: str  # one line
    load: Loader
    size: str = ""  # such as "50,000 + 10,000 images, 32x32, colour"
    classes: str = ""
    licence: str = ""
    citation: str = ""
    url: str = ""
    access: str = ""  # how to get it
    content: str = ""  # content hash of the published set, whole
    images: int = 0  # training images of the published set
    downloads: bool = False  # ``load`` fetches missing files
