"""Images of more than 8 bits a value: their extremes, and scaling to 8 bits."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.datasets.images.damage import BrokenImage, pillow_errors

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

#: Pillow's modes of more than 8 bits a value.
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")

#: Floats from here on stand for missing data: the lowest float32 is the usual mark.
_NO_DATA = 1e30

# TIFF tags
SAMPLE_FORMAT = 339
_BITS, _PHOTOMETRIC, _MAX_VALUE, _GDAL_NO_DATA = 258, 262, 281, 42113

Range = tuple[float, float]
N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Extremes:
    """Lowest and highest value of the images of more than 8 bits; None where there are none."""

    integers: tuple[int, int] | None = None
    floats: Range | None = None

    def __or__(self, other: "Extremes") -> "Extremes":
        return Extremes(_union(self.integers, other.integers), _union(self.floats, other.floats))

    def __bool__(self) -> bool:
        return self != Extremes()


#: Extremes of images of 8 bits.
NO_EXTREMES = Extremes()


def _union(first: tuple[N, N] | None, second: tuple[N, N] | None) -> tuple[N, N] | None:
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])


def scaled(path: Path, image: "PillowImage", extremes: Extremes) -> "PillowImage":
    """Return an image of more than 8 bits brought to 8, by the range of the data set."""
    from PIL import Image

    values, image_extremes = read_values(path, image)
    extremes |= image_extremes  # a file may have changed since the survey of the set
    transparent = image.info.get("transparency")
    clear = values == transparent if isinstance(transparent, int) else None
    # All in place: an image of 10,000 pixels a side takes 800 MB here.
    if values.dtype.kind == "f":
        low, high = _float_range(*(extremes.floats or (0.0, 1.0)))
        np.nan_to_num(values, copy=False, nan=low).clip(low, high, out=values)
        values -= low
        values *= 255 / ((high - low) or 1)
        values.round(out=values)
    else:
        first, last = _integer_range(*(extremes.integers or (0, 0)))
        values.clip(first, last, out=values)
        values -= first
        values *= 256
        values //= last - first + 1
    grey = values.astype(np.uint8)
    if read_tag(image, _PHOTOMETRIC) == 0:  # white is zero; Pillow inverts only images of 8 bits
        grey = 255 - grey
    if clear is not None:
        grey[clear] = 255
    return Image.fromarray(grey)


def read_values(path: Path, image: "PillowImage") -> tuple[np.ndarray, Extremes]:
    """Return pixels as int64 or float64 (H, W), missing ones NaN or the lowest; and extremes."""
    with pillow_errors(path):
        values = np.asarray(image)
        unsigned = read_tag(image, SAMPLE_FORMAT) == 1
        if image.mode == "I" and read_tag(image, _BITS) == 32 and unsigned:
            values = values.view(np.uint32)  # Pillow keeps them as signed integers
        with np.errstate(invalid="ignore"):  # NaNs are refused below
            values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
        missing = _missing(image, values)
    present = values if missing is None else values[~missing]
    if not present.size:
        return np.zeros_like(values), NO_EXTREMES
    with np.errstate(invalid="ignore"):
        low, high = present.min().item(), present.max().item()
    floats = values.dtype.kind == "f"
    if floats and not -_NO_DATA < low <= high < _NO_DATA:  # false for NaN, too
        raise BrokenImage(
            path, "it has values that are no numbers, infinite or beyond 1e30: replace them"
        )
    if missing is not None:
        values[missing] = np.nan if floats else low
    if floats:
        return values, Extremes(floats=(low, high))
    return values, Extremes(integers=(low, max(high, _declared(image))))


def _missing(image: "PillowImage", values: np.ndarray) -> np.ndarray | None:
    """Return the mask of the pixels that a GeoTIFF marks as having no data."""
    try:
        value = float(str(read_tag(image, _GDAL_NO_DATA)).strip("\0 "))
    except ValueError:
        return None
    return np.isnan(values) if np.isnan(value) else values == np.asarray(value, np.float32)


def _declared(image: "PillowImage") -> int:
    """Return the highest value that the file declares to be possible, or 0."""
    if image.format in ("PPM", "JPEG2000"):
        return 65535  # Pillow has stretched the values to 16 bits
    bits, highest = read_tag(image, _BITS), read_tag(image, _MAX_VALUE)
    declared = (1 << bits) - 1 if isinstance(bits, int) and 8 < bits < 16 else 0
    return max(declared, highest) if isinstance(highest, int) and highest < 1 << 32 else declared


def read_tag(image: "PillowImage", number: int) -> Any:
    """Return a TIFF tag's value, the first of several; None without it."""
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) and value else value


def _integer_range(low: int, high: int) -> tuple[int, int]:
    return (0, (1 << max(8, high.bit_length())) - 1) if low >= 0 else (low, high)


def _float_range(low: float, high: float) -> Range:
    usual = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
    fitting = ((first, last) for first, last in usual if first <= low and high <= last)
    return next(fitting, (low, high))
