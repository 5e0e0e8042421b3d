"""Images that show nothing: blank, nearly black, or tiny."""

import numpy as np

from bench.audit.audit import BLANK, DARK, TINY
from bench.datasets import Dataset, ImageFiles

#: Standard deviation of the pixels, of 255, below which an image is blank.
LEAST_SPREAD = 3.0

#: Value of 255 below which nearly all pixels of a dark image lie.
DARKEST, SHARE = 26, 0.98

#: Side in pixels below which an image file is tiny, in a set of larger images.
SMALLEST = 16

#: Images looked at together.
_CHUNK = 1024


def image_issues(dataset: Dataset) -> list[list[str]]:
    """Return the issues of the images of a data set, training part first; none for vectors.

    Pixels are those that trials see; images that do not fit into memory are read at that size.
    """
    parts = {"train": dataset.train_images, "test": dataset.test_images}
    issues: list[list[str]] = []
    for name, images in parts.items():
        if dataset.on_vectors:
            issues += [[] for _ in range(len(images))]
        else:
            issues += _of_part(images, dataset.files.get(name))
    return issues


def _of_part(images: np.ndarray | ImageFiles, files: ImageFiles | None) -> list[list[str]]:
    issues: list[list[str]] = []
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        pixels = chunk if isinstance(chunk, np.ndarray) else _decoded(chunk)
        flat = pixels.reshape(len(pixels), -1)
        blank = flat.std(1, dtype=np.float32) < LEAST_SPREAD
        # The digits of a black sheet are bright: their images are not dark.
        dark = (flat < DARKEST).mean(1) >= SHARE
        issues += [
            [BLANK] * bool(is_blank) + [DARK] * bool(is_dark and not is_blank)
            for is_blank, is_dark in zip(blank, dark, strict=True)
        ]
    if files is not None:
        for position, side in enumerate(_sides(files)):
            if side < SMALLEST:
                issues[position].append(TINY)
    return issues


def _decoded(files: ImageFiles) -> np.ndarray:
    return np.stack([files.decode(position) for position in range(len(files))])


def _sides(files: ImageFiles) -> list[int]:
    """Return the shorter side of each image file, in pixels; only headers are read."""
    from PIL import Image

    sides = []
    for position in range(len(files)):
        try:
            with Image.open(files.path(position)) as image:
                sides.append(min(image.size))
        except OSError:  # it was readable before: another part of the audit says so
            sides.append(SMALLEST)
    return sides if sides and np.median(sides) >= 2 * SMALLEST else [SMALLEST] * len(files)
