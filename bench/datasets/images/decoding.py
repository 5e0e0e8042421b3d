"""Decoding of one image file into a square of uint8 pixels."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets.images.damage import BrokenImage, pillow_errors, read_bytes
from bench.datasets.images.depth import (
    DEEP,
    NO_EXTREMES,
    SAMPLE_FORMAT,
    Extremes,
    read_tag,
    read_values,
    scaled,
)

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

#: A longer image than this, in multiples of its shorter side, loses its ends before resizing.
LONGEST = 8

#: EXIF tag of a camera's rotation.
_ORIENTATION = 0x0112

#: First bytes of JPEG, GIF and WebP, which have no more than 8 bits a value.
_SHALLOW = (b"\xff\xd8\xff", b"GIF8", b"RIFF")


def decode(
    path: Path, side: int, channels: int = 3, extremes: Extremes = NO_EXTREMES
) -> np.ndarray:
    """Return the square in the middle of an image, resized: uint8 (channels, side, side).

    Grey images get three equal channels, transparency becomes white, palettes are converted, a
    camera's rotation is undone, and of several frames the first is taken. Images of 16 or 32 bits
    and of floats are scaled to 8 bits by one range for the whole data set, so that a dark image
    stays darker than a bright one:

    - integers from 0 on: 0 to the highest value of the fewest bits, at least 8, that hold every
      value of the set or that a file declares (TIFF BitsPerSample or MaxSampleValue). 12-bit values
      in 16-bit files span 0 to 4095; those that need all 16 bits keep their upper 8.
    - floats: 0 to 1, -1 to 1, or 0 to 255 where the set stays within; otherwise, like integers
      below 0, the set's lowest to highest value.
    - pixels that GDAL_NODATA marks become black. A file with other values that are no numbers,
      infinite or beyond 1e30 is refused.

    Args:
        extremes: lowest and highest value in the data set; by default the image stands alone.

    Raises:
        BrokenImage: if the file cannot be read.
        InputError: if there is no memory left for it.
    """
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional as F

    image = read(path, read_bytes(path), channels, extremes)
    with pillow_errors(path):
        if image.size != (side, side):
            image = F.center_crop(v2.Resize(side, antialias=True)(image), [side, side])
        return F.pil_to_tensor(image).numpy()


def read(
    path: Path, content: bytes, channels: int = 3, extremes: Extremes = NO_EXTREMES
) -> "PillowImage":
    """Return the image in its own size, in Pillow's mode RGB, or L for one channel; see decode."""
    from torchvision.transforms.v2 import functional as F

    with pillow_errors(path, content):
        image = _first_frame(path, content)
    if image.mode in DEEP:
        image = scaled(path, image, extremes)
    with pillow_errors(path):
        image = _opaque(image)
        if image.mode == "LAB" and channels == 1:
            image = image.convert("RGB")
        image = image.convert("L" if channels == 1 else "RGB")
        longest = LONGEST * min(image.size)
        if max(image.size) > longest:  # resizing a thin line whole would take gigabytes
            image = F.center_crop(image, [min(image.height, longest), min(image.width, longest)])
    return image


def extremes_of(path: Path, content: bytes) -> Extremes:
    """Return the extremes of an image of more than 8 bits; none for others and for damage."""
    from PIL import Image

    shallow_png = content.startswith(b"\x89PNG") and content[24:25] <= b"\x08"
    if shallow_png or content.startswith(_SHALLOW):  # most files; Pillow takes a millisecond
        return NO_EXTREMES
    try:
        with pillow_errors(path):
            with Image.open(io.BytesIO(content)) as header:
                if header.mode not in DEEP:
                    return NO_EXTREMES
            image = _first_frame(path, content)
        return read_values(path, image)[1]
    except BrokenImage:
        return NO_EXTREMES  # decoding names the damage


def _first_frame(path: Path, content: bytes) -> "PillowImage":
    """Return the first frame, upright."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content))
    except MemoryError as error:  # a header needs hardly any memory: its length is wrong
        raise BrokenImage(path, "its header is damaged") from error
    if image.mode not in DEEP and read_tag(image, SAMPLE_FORMAT) == 2:
        # Pillow would wrap those below 0.
        raise BrokenImage(path, "its values are signed and of 8 bits: save unsigned ones")
    _mend_transparency(image)
    image.load()
    return _upright(image)


def _upright(image: "PillowImage") -> "PillowImage":
    """Return the image with a camera's rotation undone, where its metadata can be read."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # of any type; the pixels are whole, and are taken as they are stored
        return image
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    turned = image.transpose(turn)
    for name in ("tag_v2", "format"):  # ``transpose`` drops them, and scaling needs them
        if hasattr(image, name):
            setattr(turned, name, getattr(image, name))
    return turned


def _mend_transparency(image: "PillowImage") -> None:
    """Give the transparent value of a PNG the depth that Pillow gives its pixels."""
    value = image.info.get("transparency")
    layout = getattr(image, "tile", None)
    rawmode = layout[0].args if image.format == "PNG" and layout else None
    if isinstance(value, int) and rawmode in ("L;2", "L;4"):
        image.info["transparency"] = value * {"L;2": 85, "L;4": 17}[rawmode]
    elif isinstance(value, tuple) and rawmode == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in value)


def _opaque(image: "PillowImage") -> "PillowImage":
    """Return the image on white, where it is transparent."""
    from PIL import Image

    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
