"""Classes of many images as one short text of a record."""

import base64
import zlib

import numpy as np


def pack_classes(classes: np.ndarray) -> str:
    """Return classes (N,) as a short text."""
    return base64.b64encode(zlib.compress(classes.astype("<u2").tobytes(), 6)).decode()


def unpack_classes(text: str) -> np.ndarray:
    """Return the classes (N,) that ``pack_classes`` wrote."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2").astype(np.int64)


def unpack_truth(text: str | None) -> np.ndarray | None:
    """Return true classes (N,) that ``pack_classes`` wrote, or None.

    It keeps 16 bits without a sign: negative numbers, of unknown classes, come back as large ones.
    """
    if text is None:
        return None
    classes = unpack_classes(text)
    return np.where(classes >= 1 << 15, classes - (1 << 16), classes)
