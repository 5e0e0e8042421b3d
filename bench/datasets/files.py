"""Images in files: decoded one by one, and all in the same way."""

import ctypes
import hashlib
import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

#: Share of the resized image that a network sees: 224 of 256 pixels, as everywhere in the field.
WINDOW = 0.875

#: An image longer than so many times its shorter side loses its ends before it is resized: only the
#: middle is kept anyway.
LONGEST = 8

#: Upper bound of a file's size in bytes: a file is read whole, and no photograph comes near it.
LARGEST_FILE = 1 << 30

#: Pillow's modes of more than 8 bits a value.
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")

#: Floats from here on stand for missing data: the lowest float32 is the usual mark.
_NO_DATA = 1e30

# TIFF tags
_BITS, _PHOTOMETRIC, _MAX_VALUE, _SAMPLE_FORMAT, _GDAL_NO_DATA = 258, 262, 281, 339, 42113

_ORIENTATION = 0x0112

#: First bytes of JPEG, GIF and WebP, which have no more than 8 bits a value.
_SHALLOW = (b"\xff\xd8\xff", b"GIF8", b"RIFF")

_TIFF = "it is a damaged TIFF, or of a kind that is not read, such as floats of 64 bits or five channels"

#: First bytes of files that have an image's name, and what is wrong with them.
_NO_IMAGES = (
    (b"version https://git-lfs", "it is a pointer to a file in Git LFS: run git lfs pull"),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
)

Range = tuple[float, float]


class BrokenImage(InputError):
    """A file that is damaged, cut short, or no image."""

    def __init__(self, path: Path, reason: str, passing: bool = False) -> None:
        """``passing``: the cause is the machine (permission, network), so that the same file may be
        read later.
        """
        super().__init__(
            f"{str(path)!r} is no image that can be read ({reason}): mend or remove it"
        )
        self.path, self.reason, self.passing = path, reason, passing

    def __reduce__(self) -> tuple[Any, ...]:
        return BrokenImage, (self.path, self.reason, self.passing)


@dataclass(frozen=True)
class Extremes:
    """Lowest and highest value of the images of more than 8 bits, of integers and of floats; None
    where there are none.
    """

    integers: Range | None = None
    floats: Range | None = None

    def __or__(self, other: "Extremes") -> "Extremes":
        return Extremes(_union(self.integers, other.integers), _union(self.floats, other.floats))

    def __bool__(self) -> bool:
        return self != Extremes()


def _union(one: Range | None, other: Range | None) -> Range | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


@dataclass(frozen=True)
class ImageFiles:
    """Images that stay in their files, for sets that do not fit into memory; read like an array's
    first axis.

    A file becomes a colour image whose shorter side has ``padded`` pixels, of which the square in
    the middle is kept. A network sees ``side`` of them: anywhere when it trains, the middle when it
    is evaluated.
    """

    root: str
    names: np.ndarray  # (N,) paths below ``root``
    side: int
    # of the whole data set, so that its images of 16 bits keep their relative brightness
    extremes: Extremes = Extremes()

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
        return replace(self, names=self.names[chosen])

    def path(self, position: int) -> Path:
        """Path of one file."""
        return Path(self.root) / str(self.names[position])

    def decode(self, position: int) -> np.ndarray:
        """One image, uint8 (3, padded, padded)."""
        return decode(self.path(position), self.padded, extremes=self.extremes)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names below ``root`` and sizes of the files: the same wherever the folder lies."""
        digest = hashlib.sha256(f"{self.side}".encode())
        for name in self.names:
            path = Path(self.root) / str(name)
            below = os.path.relpath(path, self.root) if os.path.isabs(str(name)) else str(name)
            try:
                digest.update(as_bytes(f"{below} {path.stat().st_size}\n"))
            except OSError as error:
                raise InputError(
                    f"{str(path)!r} cannot be read ({error.strerror}): put it back, or fetch the "
                    "set again"
                ) from error
        return digest.hexdigest()


def as_bytes(name: str) -> bytes:
    """UTF-8 of a file's name; bytes that are no UTF-8 stay what they are on the disk."""
    return name.encode("utf-8", "surrogateescape")


def decode(path: Path, side: int, channels: int = 3, extremes: Extremes = Extremes()) -> np.ndarray:
    """Return the square in the middle of an image, resized to ``side`` pixels: uint8 (channels,
    side, side).

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
        BrokenImage: where the file cannot be read.
        InputError: where there is no memory left for it.
    """
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import functional as F

    image = read(path, read_bytes(path), channels, extremes)
    with _damage(path):
        if image.size != (side, side):
            image = F.center_crop(v2.Resize(side, antialias=True)(image), [side, side])
        return F.pil_to_tensor(image).numpy()


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        BrokenImage: where it cannot be read, or is a pipe, a device or the like, which might never
            end.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise BrokenImage(path, "it is no file, but a folder, a pipe or a device")
            if facts.st_size > LARGEST_FILE:
                raise BrokenImage(path, f"it is larger than {LARGEST_FILE >> 30} GB")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BrokenImage(path, error.strerror or str(error), passing=True) from error
    if not content:
        raise BrokenImage(path, "the file is empty")
    return content


def read(
    path: Path, content: bytes, channels: int = 3, extremes: Extremes = Extremes()
) -> "PillowImage":
    """Return the image in its own size, in Pillow's mode RGB, or L for one channel; see ``decode``."""
    from torchvision.transforms.v2 import functional as F

    with _damage(path, content):
        image = _loaded(path, content)
    if image.mode in DEEP:
        image = _scaled(path, image, extremes)
    with _damage(path):
        image = _opaque(image)
        if image.mode == "LAB" and channels == 1:
            image = image.convert("RGB")
        image = image.convert("L" if channels == 1 else "RGB")
        short = min(image.size)
        if max(image.size) > LONGEST * short:  # or resizing a thin line would take gigabytes
            image = F.center_crop(
                image, [min(image.height, LONGEST * short), min(image.width, LONGEST * short)]
            )
    return image


def extremes_of(path: Path, content: bytes) -> Extremes:
    """Return the extremes of an image of more than 8 bits; of any other, and of a damaged one,
    none.
    """
    from PIL import Image

    if content.startswith(_SHALLOW) or (
        content.startswith(b"\x89PNG") and content[24:25] <= b"\x08"
    ):
        return Extremes()  # most files; asking Pillow takes a millisecond
    try:
        with _damage(path):
            with Image.open(io.BytesIO(content)) as header:
                if header.mode not in DEEP:
                    return Extremes()
            image = _loaded(path, content)
        return _values(path, image)[1]
    except BrokenImage:
        return Extremes()  # named when it is decoded


# -------------------------------------------------------------------------------------------------------------
# Pillow


@contextmanager
def _damage(path: Path, content: bytes = b"") -> Iterator[None]:
    """Context in which whatever Pillow raises becomes a BrokenImage; ``content`` of a file that is
    opened tells why.
    """
    from PIL import UnidentifiedImageError

    _silence_pillow()
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:
        reason = next(
            (reason for start, reason in _NO_IMAGES if content.startswith(start)),
            "cannot identify image file",
        )
        raise BrokenImage(path, reason) from error
    # Sizes that no machine has memory for raise DecompressionBombError: this one is whole, perhaps,
    # and the machine is short.
    except MemoryError as error:
        raise InputError(
            f"there is no memory left to read {str(path)!r}: free some, or remove the file if it "
            "is damaged"
        ) from error
    # Pillow's parsers take a file's bytes at their word, and raise what these lead to: beside
    # OSError and SyntaxError also struct.error, ZeroDivisionError, KeyError, IndexError, TypeError,
    # AttributeError, OverflowError, RecursionError, zlib.error and more. No list of them was ever
    # complete; only Pillow's own work is done within this context.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BrokenImage(path, reason or type(error).__name__) from error


def _silence_pillow() -> None:
    """Keep Pillow's own warnings, which name no file, off the terminal: what keeps an image from
    being read raises.
    """
    ours = ("ignore", None, Warning)
    first = warnings.filters[0] if warnings.filters else (None,) * 5
    if first[:3] != ours or getattr(first[3], "pattern", None) != r"PIL\.":
        warnings.filterwarnings("ignore", module=r"PIL\.")
    _silence_libraries()


@cache
def _silence_libraries() -> None:
    """Keep Pillow's log and libtiff's own lines off the terminal."""
    from PIL import Image

    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    # which looks names up in the libraries that it is linked to, as well
    libtiff = ctypes.CDLL(Image.core.__file__)
    for handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if hasattr(libtiff, handler):
            getattr(libtiff, handler)(None)


def _loaded(path: Path, content: bytes) -> "PillowImage":
    """The first frame, upright."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content))
    except MemoryError as error:  # a header needs hardly any: it gives a length that is wrong
        raise BrokenImage(path, "its header is damaged") from error
    if image.mode not in DEEP and _tag(image, _SAMPLE_FORMAT) == 2:
        # Pillow would wrap those below 0
        raise BrokenImage(path, "its values are signed and of 8 bits: save unsigned ones")
    _mend_transparency(image)
    image.load()
    return _upright(image)


def _upright(image: "PillowImage") -> "PillowImage":
    """The image with a camera's rotation undone, where its metadata can be read."""
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
    except Exception:
        # as many kinds as in ``_damage``; the pixels are whole, so that they are taken as they are
        # stored
        return image
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    if turn is None:
        return image
    turned = image.transpose(turn)
    for name in ("tag_v2", "format"):  # which ``transpose`` drops, and scaling needs
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
    """The image on white, where it is transparent."""
    from PIL import Image

    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


# -----------------------------------------------------------------------------------------------
# more than 8 bits


def _scaled(path: Path, image: "PillowImage", extremes: Extremes) -> "PillowImage":
    """An image of more than 8 bits brought to 8, by the range of the data set."""
    from PIL import Image

    values, own = _values(path, image)
    extremes |= own  # a file may have changed since the set was looked through
    transparent = image.info.get("transparency")
    clear = values == transparent if isinstance(transparent, int) else None
    if values.dtype.kind == "f":  # all in place: an image of 10,000 pixels a side takes 800 MB here
        low, high = _float_range(*(extremes.floats or (0.0, 1.0)))
        np.nan_to_num(values, copy=False, nan=low).clip(low, high, out=values)
        values -= low
        values *= 255 / ((high - low) or 1)
        values.round(out=values)
    else:
        first, last = _integer_range(*map(int, extremes.integers or (0, 0)))
        values.clip(first, last, out=values)
        values -= first
        values *= 256
        values //= last - first + 1
    grey = values.astype(np.uint8)
    if _tag(image, _PHOTOMETRIC) == 0:  # white is zero; Pillow turns only images of 8 bits round
        grey = 255 - grey
    if clear is not None:
        grey[clear] = 255
    return Image.fromarray(grey)


def _values(path: Path, image: "PillowImage") -> tuple[np.ndarray, Extremes]:
    """Pixels as int64 or float64 (H, W), missing ones as NaN or the lowest value, and their
    extremes.
    """
    with _damage(path):
        values = np.asarray(image)
        if image.mode == "I" and _tag(image, _BITS) == 32 and _tag(image, _SAMPLE_FORMAT) == 1:
            values = values.view(np.uint32)  # which Pillow keeps as signed integers
        with np.errstate(invalid="ignore"):  # of NaNs, which are refused below
            values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
        missing = _missing(image, values)
    present = values if missing is None else values[~missing]
    if not present.size:
        return np.zeros_like(values), Extremes()
    with np.errstate(invalid="ignore"):
        low, high = present.min().item(), present.max().item()
    if values.dtype.kind == "f" and not -_NO_DATA < low <= high < _NO_DATA:  # false of NaN, too
        raise BrokenImage(
            path, "it has values that are no numbers, infinite or beyond 1e30: replace them"
        )
    if missing is not None:
        values[missing] = low if values.dtype.kind != "f" else np.nan
    if values.dtype.kind == "f":
        return values, Extremes(floats=(low, high))
    return values, Extremes(integers=(low, max(high, _declared(image))))


def _missing(image: "PillowImage", values: np.ndarray) -> np.ndarray | None:
    """Mask of the pixels that a GeoTIFF marks as having no data."""
    marked = _tag(image, _GDAL_NO_DATA)
    try:
        value = float(str(marked).strip("\0 "))
    except ValueError:
        return None
    return np.isnan(values) if np.isnan(value) else values == np.asarray(value, np.float32)


def _declared(image: "PillowImage") -> int:
    """The highest value that the file says it can have, or 0."""
    if image.format in ("PPM", "JPEG2000"):
        return 65535  # Pillow has stretched the values to 16 bits
    bits, highest = _tag(image, _BITS), _tag(image, _MAX_VALUE)
    declared = (1 << bits) - 1 if isinstance(bits, int) and 8 < bits < 16 else 0
    return max(declared, highest) if isinstance(highest, int) and highest < 1 << 32 else declared


def _tag(image: "PillowImage", number: int) -> Any:
    """A TIFF tag's value, the first of several; None without it."""
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) and value else value


def _integer_range(low: int, high: int) -> tuple[int, int]:
    return (0, (1 << max(8, high.bit_length())) - 1) if low >= 0 else (low, high)


def _float_range(low: float, high: float) -> Range:
    usual = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
    return next(
        ((first, last) for first, last in usual if first <= low and high <= last), (low, high)
    )
