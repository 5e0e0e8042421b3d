"""Contents of files of noise: each is read once per command, and hashed."""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from bench.errors import InputError, reason_of

#: Contents by path, inside ``reading_once``.
_READ: ContextVar[dict[Path, bytes] | None] = ContextVar("read", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Context in which each file is read once, so that a whole plan sees the same content."""
    token = _READ.set({})
    try:
        yield
    finally:
        _READ.reset(token)


class File:
    """Reader of one file; as text, the path in quotes. Its methods raise InputError."""

    def __init__(self, path: Path | str) -> None:
        # pathlib's expanduser raises on a name that only begins with a tilde.
        self.path = Path(os.path.expanduser(path))
        self.ending = self.path.suffix.lower()

    def __str__(self) -> str:
        return repr(str(self.path))

    def content(self) -> bytes:
        """Return the bytes of the file."""
        contents = _READ.get()
        if contents is None:
            return _bytes(self.path)
        if self.path not in contents:
            contents[self.path] = _bytes(self.path)
        return contents[self.path]

    def text(self) -> str:
        """Return the text of the file, which has to be UTF-8."""
        try:
            return self.content().decode("utf-8-sig")  # spreadsheets write a byte order mark
        except UnicodeDecodeError as error:
            raise InputError(f"{self} is no text ({error.reason}): save it as UTF-8") from error

    def array(self) -> np.ndarray:
        """Return the array of a .npy."""
        content = io.BytesIO(self.content())
        try:
            return np.lib.format.read_array(content, allow_pickle=False)
        except Exception as error:  # NumPy raises many types on damaged files
            raise InputError(
                f"{self} is no array of numbers ({reason_of(error)}): save it with numpy.save"
            ) from error


def file_hash(paths: Sequence[Path | str]) -> str:
    """Return a short hash of the content of one file, or of several in their order.

    Raises:
        InputError: where one cannot be read.
    """
    hashes = [hashlib.sha256(File(path).content()) for path in paths]
    if len(hashes) > 1:
        hashes = [hashlib.sha256(b"".join(file.digest() for file in hashes))]
    return hashes[0].hexdigest()[:16]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"there is no file {str(path)!r}: give the path of one that exists"
        ) from None
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error.strerror}): give the path of a file that can"
        ) from error
