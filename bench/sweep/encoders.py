"""Pretrained encoders of a sweep: kept in its folder, and shared with its workers."""

import warnings
from pathlib import Path
from typing import Any

from bench.common.files import write_atomically
from bench.errors import one_line
from bench.training.encoders import by_this_code, load_encoder


class Encoders:
    """Encoders by the key of their pretraining."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.references: dict[str, Any] = {}  # into Ray's object store, of those that are shared
        self.seconds: dict[str, float] = {}  # of their pretraining

    def path(self, key: str) -> Path:
        """Return the file of an encoder."""
        return self.folder / f"{key}.safetensors"

    def on_disk(self, key: str) -> bytes | None:
        """Return the encoder that an earlier run has trained, or None.

        A file that cannot be used is removed, with a warning: it is trained again.
        """
        path = self.path(key)
        if not path.exists():
            return None
        content = path.read_bytes()
        try:
            load_encoder(content)
            if by_this_code(content):
                return content
            reason = "was made by other code than today's"
        except Exception as error:  # safetensors, JSON and missing arrays have errors of their own
            reason = f"is damaged ({one_line(error)})"
        warnings.warn(f"{path} {reason}; it is trained again", stacklevel=2)
        path.unlink()
        return None

    def keep(self, key: str, content: bytes) -> None:
        """Write an encoder to disk and share it."""
        self.folder.mkdir(exist_ok=True)
        write_atomically(self.path(key), content)
        self.share(key, content)

    def share(self, key: str, content: bytes) -> None:
        """Put an encoder into Ray's object store, from which workers take it."""
        import ray

        self.seconds[key] = load_encoder(content).train_seconds
        self.references[key] = ray.put(content)
