"""Images in files: decoded one by one, and all in the same way."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import InputError

#: Share of the resized image that a network sees: 224 of 256 pixels, as everywhere in the field.
WINDOW = 0.875

#: How names are hashed that are no UTF-8: as the bytes that they are, and so alike in every locale.
AS_BYTES = "surrogateescape"

#: An image longer than so many times its shorter side loses its ends before it is resized: only the middle is kept anyway.
LONGEST = 8


class BrokenImage(InputError):
    """A file that is damaged, cut short, or no image."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{str(path)!r} is no image that can be read ({reason}): mend or remove it")
        self.reason = reason


@dataclass(frozen=True)
class ImageFiles:
    """Images that stay in their files, for sets that do not fit into memory; read like an array's first axis.

    A file becomes a colour image whose shorter side has ``padded`` pixels, of which the square in the middle is kept. A
    network sees ``side`` of them: anywhere when it trains, the middle when it is evaluated.
    """

    root: str
    names: np.ndarray  # (N,) paths below ``root``
    side: int

    @property
    def padded(self) -> int:
        """Side of a decoded image in pixels."""
        return round(self.side / WINDOW)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.names), 3, self.side, self.side

    @property
    def nbytes(self) -> int:
        """Memory that they take: none, until they are asked for."""
        return 0

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, chosen: Any) -> "ImageFiles":
        return ImageFiles(self.root, self.names[chosen], self.side)

    def decode(self, position: int) -> np.ndarray:
        """One image, uint8 (3, padded, padded)."""
        return decode(Path(self.root) / str(self.names[position]), self.padded)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names and sizes of the files."""
        digest = hashlib.sha256(f"{self.side}".encode())
        for name in self.names:
            path = Path(self.root) / str(name)
            try:
                digest.update(f"{name} {path.stat().st_size}\n".encode(errors=AS_BYTES))
            except OSError as error:
                raise InputError(
                    f"{str(path)!r} cannot be read ({error.strerror}): put it back, or fetch the set again"
                ) from error
        return digest.hexdigest()


def decode(path: Path, side: int, channels: int = 3) -> np.ndarray:
    """The square in the middle of an image, resized to ``side`` pixels: uint8 (channels, side, side).

    Grey images get three equal channels, transparency becomes white, palettes and 16 bits are converted, and a camera's
    rotation is undone.

    Raises:
        BrokenImage: where the file cannot be read.
    """
    from PIL import Image, ImageOps
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional as F

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
            elif image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("L" if channels == 1 else "RGB")
            short = min(image.size)
            if max(image.size) > LONGEST * short:  # or resizing a thin line would take gigabytes
                image = F.center_crop(image, [min(image.height, LONGEST * short), min(image.width, LONGEST * short)])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what PIL raises on damaged files
        reason = " ".join(str(error).split()).replace(str(path), "").replace("''", "").strip() or type(error).__name__
        raise BrokenImage(path, reason) from error
    if image.size != (side, side):
        image = F.center_crop(v2.Resize(side, antialias=True)(image), [side, side])
    return F.pil_to_tensor(image).numpy()
