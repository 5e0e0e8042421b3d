"""Files that are whole or absent, and strict JSON."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench.common.text import encodable
from bench.errors import InputError


@contextlib.contextmanager
def writing_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file that always has either the old or the whole new content, even after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write the content of a file as ``writing_atomically`` does."""
    with writing_atomically(path) as file:
        file.write(content)


@contextlib.contextmanager
def writing_output(path: Path) -> Iterator[BinaryIO]:
    """Open a file that a user named with ``--out``, in a folder that is made if absent.

    A device such as /dev/null, or a pipe, is written into, and so is the file that a link names.

    Raises:
        InputError: where it cannot be written.
    """
    named, path = path, Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        special = path.exists() and not (path.is_file() or path.is_dir())
        with path.open("wb") if special else writing_atomically(path) as file:
            yield file
    except OSError as error:
        raise InputError(
            f"cannot write {str(named)!r} ({error.strerror}): choose another --out"
        ) from error


def write_output(path: Path, content: bytes) -> None:
    """Write the content of a file as ``writing_output`` does."""
    with writing_output(path) as file:
        file.write(content)


def to_json(value: Any, indent: int | None = None) -> bytes:
    """Return strict JSON with a line end: NaN and infinities are null, all text is valid UTF-8."""
    return json.dumps(_strict(value), indent=indent, allow_nan=False).encode() + b"\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {_strict(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return encodable(value) if isinstance(value, str) else value
