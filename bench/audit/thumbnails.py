"""Thumbnails of samples: small WebP images without the metadata of their files."""

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from bench.audit.audit import TEST, TRAIN
from bench.common.progress import track
from bench.datasets import Dataset, ImageFiles
from bench.datasets.images.damage import BrokenImage, pillow_errors, read_bytes
from bench.datasets.images.decoding import read
from bench.networks.cpu import processors

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

#: Longer side of a thumbnail in pixels.
SIDE = 96

#: Images up to this many pixels a side are kept without loss.
SMALL = 48

_QUALITY = 70
_JPEG = b"\xff\xd8\xff"


class Thumbnails:
    """Makes thumbnails of a data set's images, from their files where there are files."""

    def __init__(self, dataset: Dataset) -> None:
        self.images = {TRAIN: dataset.train_images, TEST: dataset.test_images}
        self.files: dict[str, ImageFiles] = {}
        for part, images in self.images.items():
            files = images if isinstance(images, ImageFiles) else dataset.files.get(part)
            if files is not None:
                self.files[part] = files

    def webp(self, part: str, index: int) -> bytes | None:
        """Return the thumbnail of one image; None if it cannot be made."""
        try:
            image = self._image(part, index)
        except BrokenImage:  # a file that was changed since the audit
            return None
        small = max(image.size) <= SMALL
        image.thumbnail((SIDE, SIDE))
        stream = io.BytesIO()
        image.save(stream, "WEBP", quality=_QUALITY, lossless=small)
        return stream.getvalue()

    def webps(self, samples: Iterable[tuple[str, int]]) -> list[bytes | None]:
        """Return the thumbnails of samples, each a part and an index in it."""
        with ThreadPoolExecutor(processors()) as pool:
            made = [pool.submit(self.webp, part, index) for part, index in samples]
            return [thumbnail.result() for thumbnail in track(made, "Making thumbnails")]

    def _image(self, part: str, index: int) -> "PillowImage":
        from PIL import Image

        if part in self.files:
            return _from_file(self.files[part], index)
        pixels = np.asarray(self.images[part][index])
        if len(pixels) == 1:
            return Image.fromarray(pixels[0])
        return Image.fromarray(np.ascontiguousarray(pixels[:3].transpose(1, 2, 0)))


def _from_file(files: ImageFiles, index: int) -> "PillowImage":
    from PIL import Image, ImageOps

    path = files.path(index)
    content = read_bytes(path)
    if not content.startswith(_JPEG):
        return read(path, content, extremes=files.extremes)
    with pillow_errors(path, content):
        image = Image.open(io.BytesIO(content))
        image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a large photograph opens seven times as fast
        return ImageOps.exif_transpose(image).convert("RGB")
