"""Images that stay in their files."""

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.images.decoding import decode
from bench.datasets.images.depth import NO_EXTREMES, Extremes
from bench.errors import InputError

#: Share of the decoded image that a network sees: 224 of 256 pixels, the usual crop of the field.
WINDOW = 0.875


@dataclass(frozen=True)
class ImageFiles:
    """Images of a set that does not fit into memory; read like an array's first axis.

    A file becomes a colour image whose shorter side has ``padded`` pixels, of which the square in
    the middle is kept. A network sees ``side`` of them: anywhere in training, the middle in
    evaluation.
    """

    root: str
    names: np.ndarray  # (N,) paths below ``root``
    side: int
    extremes: Extremes = NO_EXTREMES  # of the whole set: its images keep their relative brightness
    # (N, 32) uint8, SHA-256 of each file's content, where the files have been read
    digests: np.ndarray | None = None

    @property
    def padded(self) -> int:
        """Side of a decoded image in pixels."""
        return round(self.side / WINDOW)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.names), 3, self.side, self.side

    @property
    def nbytes(self) -> int:
        """Memory in bytes: none, because every access decodes anew."""
        return 0

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, positions: Any) -> "ImageFiles":
        digests = None if self.digests is None else self.digests[positions]
        return replace(self, names=self.names[positions], digests=digests)

    def path(self, position: int) -> Path:
        """Return the path of one file."""
        return Path(self.root) / str(self.names[position])

    def decode(self, position: int) -> np.ndarray:
        """Return one image, uint8 (3, padded, padded)."""
        return decode(self.path(position), self.padded, extremes=self.extremes)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names below ``root`` and of sizes: the same wherever the folder lies."""
        digest = hashlib.sha256(f"{self.side}".encode())
        for name in map(str, self.names):
            path = Path(self.root) / name
            below = os.path.relpath(path, self.root) if os.path.isabs(name) else name
            try:
                digest.update(as_bytes(f"{below} {path.stat().st_size}\n"))
            except OSError as error:
                raise InputError(
                    f"{str(path)!r} cannot be read ({error.strerror}): put it back, or fetch the "
                    "set again"
                ) from error
        return digest.hexdigest()


def as_bytes(name: str) -> bytes:
    """Return a file's name in UTF-8; bytes that are no UTF-8 stay as they are on the disk."""
    return name.encode("utf-8", "surrogateescape")
