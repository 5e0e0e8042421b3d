"""Damaged image files: one error for all that reading and Pillow raise."""

import ctypes
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import InputError, reason_of

#: Upper bound of a file's size in bytes: a file is read whole, and no photograph comes near it.
LARGEST_FILE = 1 << 30

_TIFF = (
    "it is a damaged TIFF, or of a kind that is not read, such as floats of 64 bits or five "
    "channels"
)

#: First bytes of files that have an image's name, and the reason why they cannot be read.
_NO_IMAGES = (
    (b"version https://git-lfs", "it is a pointer to a file in Git LFS: run git lfs pull"),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
)


class BrokenImage(InputError):
    """A file that is damaged, cut short, or no image."""

    def __init__(self, path: Path, reason: str, passing: bool = False) -> None:
        """Make the error; it is ``passing`` if the machine is the cause: permission, network."""
        super().__init__(
            f"{str(path)!r} is no image that can be read ({reason}): mend or remove it"
        )
        self.path, self.reason, self.passing = path, reason, passing

    def __reduce__(self) -> tuple[Any, ...]:
        return BrokenImage, (self.path, self.reason, self.passing)


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        BrokenImage: if it cannot be read, or is a pipe, a device or the like, which might never
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


@contextmanager
def pillow_errors(path: Path, content: bytes = b"") -> Iterator[None]:
    """Context in which any exception of Pillow becomes a BrokenImage.

    Args:
        content: of a file that is opened; it tells why Pillow does not know it.

    Raises:
        BrokenImage: for any exception but the next.
        InputError: if there is no memory left.
    """
    from PIL import UnidentifiedImageError

    _silence_pillow()
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:
        reasons = (reason for start, reason in _NO_IMAGES if content.startswith(start))
        raise BrokenImage(path, next(reasons, "cannot identify image file")) from error
    # A size that no machine has memory for raises DecompressionBombError. In this case the file may
    # be whole, and the machine is short.
    except MemoryError as error:
        raise InputError(
            f"there is no memory left to read {str(path)!r}: free some, or remove the file if it "
            "is damaged"
        ) from error
    # Pillow's parsers trust a file's bytes, and raise any error that these lead to: beside OSError
    # and SyntaxError also struct.error, ZeroDivisionError, KeyError, IndexError, TypeError,
    # AttributeError, OverflowError, RecursionError, zlib.error and more. No list of them was ever
    # complete. Only Pillow's own work is done within this context.
    except Exception as error:
        raise BrokenImage(path, reason_of(error)) from error


def _silence_pillow() -> None:
    """Keep Pillow's own warnings off the terminal: they name no file, and real damage raises."""
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
    # A library looks names up in the libraries that it is linked to, as well: here libtiff.
    libtiff = ctypes.CDLL(Image.core.__file__)
    for handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if hasattr(libtiff, handler):
            getattr(libtiff, handler)(None)
