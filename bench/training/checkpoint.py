"""Checkpoints: a trial's state in one file, whole or absent, with a checksum."""

import hashlib
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.errors import first_line, one_line
from bench.planning.code_hash import code_of
from bench.planning.spec import TrialSpec
from bench.training.storage import StoredFile, write_whole

#: Length of the checksum at the start of a file.
CHECKSUM_BYTES = 32


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


class Checkpoint:
    """State of a trial on disk, replaced as a whole.

    The state holds the record so far, so that the two cannot disagree. The state before it is kept
    as well: an unreadable file costs the epochs in between, not the trial.
    """

    def __init__(
        self,
        path: Path | StoredFile,
        every_seconds: float = 30.0,
        warn: Callable[[str], None] = _warn,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        """Keep the state of a trial at ``path``.

        Args:
            warn: receives a sentence for each problem; none of them ends the trial.
            allowed: called before each write; it returns False once another run of the sweep has
                taken over.
        """
        self.path = path
        self.previous = path.with_name(f"{path.name.removesuffix('.pt')}.before.pt")
        self.every_seconds = every_seconds
        self.warn = warn
        self.allowed = allowed
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Return whether ``every_seconds`` have passed since the last checkpoint."""
        return time.monotonic() - self._saved >= self.every_seconds

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` atomically; where that fails, the trial goes on without it."""
        start = time.monotonic()
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        try:
            if self.allowed():
                write_whole(self.path, _checksum(content) + content, self.previous)
        except Exception as error:  # stores raise errors of many types
            self.warn(
                f"cannot write the checkpoint {self.path} ({one_line(error)}): the trial goes on "
                "without it"
            )
        self._saved = time.monotonic()
        if self.every_seconds:
            # On a slow disk, checkpoints take at most a fiftieth of the time.
            self.every_seconds = max(self.every_seconds, 50 * (self._saved - start))

    def load(self, spec: TrialSpec) -> dict[str, Any] | None:
        """Return the latest usable state, or None."""
        for path, fallback in (
            (self.path, "the one before is used, if there is one"),
            (self.previous, "the trial starts anew"),
        ):
            try:
                if not path.exists():
                    continue
                state = _read(path)
                if state["id"] == spec.id and state.get("code") == code_of(spec.method):
                    return state
                if state["id"] == spec.id:
                    self.warn(
                        f"the checkpoint {path} was made by other code than today's: the trial "
                        "starts anew"
                    )
                    return None  # the previous one is older still
                reason = "it belongs to another trial"
            except Exception as error:  # torch.load raises many kinds on damaged files
                reason = first_line(error)[:100]
            self.warn(f"cannot use the checkpoint {path} ({reason}): {fallback}")
        return None

    def remove(self) -> None:
        """Delete the files of a trial that is over and on record."""
        try:
            for path in (self.path, self.previous):
                path.unlink(missing_ok=True)
        except Exception as error:  # a store out of reach
            self.warn(
                f"cannot remove the checkpoint {self.path} ({one_line(error)}): do so by hand"
            )


def _read(path: Path | StoredFile) -> dict[str, Any]:
    content = path.read_bytes()
    checksum, content = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
    if checksum != _checksum(content):  # torch.load would not notice a changed weight
        raise ValueError("its checksum is wrong")
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
