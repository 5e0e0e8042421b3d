"""Whole numbers, such as the classes of many images, as one short text of a record."""

import base64
import zlib

import numpy as np


def pack_numbers(numbers: np.ndarray) -> str:
    """Return whole numbers (N,) from 0 to 65,535 as a short text."""
    return base64.b64encode(zlib.compress(numbers.astype("<u2").tobytes(), 6)).decode()


def unpack_numbers(text: str) -> np.ndarray:
    """Return the numbers (N,) that ``pack_numbers`` wrote.

    Raises:
        ValueError: where the text is damaged.
    """
    try:
        packed = zlib.decompress(base64.b64decode(text))
        return np.frombuffer(packed, "<u2").astype(np.int64)
    except zlib.error as error:
        raise ValueError(f"its packed numbers are damaged: {error}") from error


def unpack_truth(text: str | None) -> np.ndarray | None:
    """Return true classes (N,) that ``pack_numbers`` wrote, or None.

    Its numbers have no sign: negative ones, of unknown classes, come back from above 32,767.
    """
    if text is None:
        return None
    classes = unpack_numbers(text)
    return np.where(classes >= 1 << 15, classes - (1 << 16), classes)
