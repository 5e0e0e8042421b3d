"""Files that are whole or absent, and strict JSON."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.text import encodable


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that a reader, or a crash, sees either the old file or the
    whole new one.
    """
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
    """Strict JSON: what is undefined is null, never NaN, and text is what UTF-8 can hold."""
    return json.dumps(_defined(value), indent=indent, allow_nan=False).encode() + b"\n"


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {_defined(key): _defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return encodable(value) if isinstance(value, str) else value
