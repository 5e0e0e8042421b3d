"""Files that are whole or absent, and strict JSON."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.text import encodable


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, leaves either the old or the whole new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
