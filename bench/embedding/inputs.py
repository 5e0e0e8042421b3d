"""Inputs of a frozen network: an image at the network's size, or an augmented view of it.

An input depends on the content of the image alone. Neither the order of the images nor the other
images of a batch change it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets.dataset import Images
from bench.datasets.images.damage import pillow_errors, read_bytes
from bench.datasets.images.decoding import read
from bench.datasets.images.files import ImageFiles
from bench.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

#: Version of the inputs, raised when images become other inputs.
VERSION = 1

#: Share of the image's area that a view shows, and the view's width over its height: bounds of
#: uniform draws, that of the second on a logarithmic scale.
AREA, RATIO = (0.25, 1.0), (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Item:
    """Input of the network: an image of a part, or a view of it."""

    part: str
    position: int
    view: int = 0  # 0: the plain image


def digests(images: Images) -> list[bytes]:
    """Return the SHA-256 of each image: of its file's content, or of its shape and pixels.

    Images whose values are scaled by the range of their set count as others in another set.
    """
    if isinstance(images, ImageFiles):
        assert images.digests is not None
        scale = repr(images.extremes).encode() if images.extremes else b""
        contents = [row.tobytes() for row in images.digests]
        return [hashlib.sha256(key + scale).digest() for key in contents] if scale else contents
    shape = repr(images.shape[1:]).encode()
    return [hashlib.sha256(shape + image.tobytes()).digest() for image in images]


def digest_of_view(content: bytes, view: int) -> bytes:
    """Return the digest of a view; that of view 0, the plain image, is the image's."""
    return hashlib.sha256(b"view %d of " % view + content).digest() if view else content


def inputs(parts: Mapping[str, Images], items: Sequence[Item], size: int, kind: str) -> np.ndarray:
    """Return the inputs of these items, uint8 (n, 3, size, size).

    Args:
        kind: interpolation, "bilinear" or "bicubic".

    Raises:
        InputError: if a file cannot be read any more, or has changed.
    """
    arrays = []
    for (part, position), group in groupby(items, lambda item: (item.part, item.position)):
        images = parts[part]
        image = open_image(images, position)
        path = images.path(position) if isinstance(images, ImageFiles) else Path(part)
        with pillow_errors(path):
            for item in group:
                if item.view:
                    [content] = digests(images[position : position + 1])
                    shown = random_view(image, size, kind, digest_of_view(content, item.view))
                else:
                    shown = middle(image, size, kind)
                arrays.append(np.asarray(shown))
    return np.stack(arrays).transpose(0, 3, 1, 2)


def open_image(images: Images, position: int) -> "PillowImage":
    """Return an image in its own size, in Pillow's mode RGB."""
    from PIL import Image

    if not isinstance(images, ImageFiles):
        pixels = np.broadcast_to(images[position], (3, *images.shape[2:]))
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    path, content = images.path(position), read_bytes(images.path(position))
    assert images.digests is not None
    if hashlib.sha256(content).digest() != images.digests[position].tobytes():
        raise InputError(f"{str(path)!r} changed while it was read: run the same command again")
    return read(path, content, extremes=images.extremes)


def middle(image: "PillowImage", size: int, kind: str) -> "PillowImage":
    """Return the square in the middle of an image, its shorter side brought to ``size``."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), _filter(kind))
    return resized.crop((left, top, left + size, top + size))


def random_view(image: "PillowImage", size: int, kind: str, seed: bytes) -> "PillowImage":
    """Return a random part of an image, brought to ``size`` and in half of all cases mirrored."""
    from PIL.Image import Transpose

    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    area = image.width * image.height * rng.uniform(*AREA)
    ratio = np.exp(rng.uniform(*np.log(RATIO)))
    width = int(np.clip(round(np.sqrt(area * ratio)), 1, image.width))
    height = int(np.clip(round(np.sqrt(area / ratio)), 1, image.height))
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    box = (left, top, left + width, top + height)
    view = image.resize((size, size), _filter(kind), box=box)
    return view.transpose(Transpose.FLIP_LEFT_RIGHT) if rng.integers(2) else view


def _filter(kind: str) -> int:
    """Return Pillow's filter of that name; both average over the pixels when an image shrinks."""
    from PIL.Image import Resampling

    return Resampling[kind.upper()]
