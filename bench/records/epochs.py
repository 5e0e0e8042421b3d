"""Reading of ``epochs.jsonl``: whole records, or a few figures of each epoch, fast."""

import contextlib
import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.common.files import to_json
from bench.errors import InputError
from bench.records.schema import Epoch

_ANY_LINE = msgspec.json.Decoder(dict[str, Any])


def read_epochs(path: Path) -> list[Epoch]:
    """Return the epochs of a record; a torn last line is dropped with a warning.

    Raises:
        InputError: where another line is damaged, or the file is no record.
    """
    try:
        content = lines(path)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        return [Epoch.from_json(line) for line in _decoded(content, path)]
    except msgspec.ValidationError as error:
        raise _no_record(path, error) from error


def curves(content: bytes, path: Path, keys: tuple[str, ...], epochs: int | None) -> np.ndarray:
    """Return K figures over E epochs, (K, E), NaN where undefined.

    Args:
        content: of the ``epochs.jsonl`` at ``path``.
        epochs: their number, where that is known.
    """
    try:
        figures = _figures(content, path, keys)
        whole = epochs in (None, len(figures))  # empty lines are skipped
    except (msgspec.DecodeError, UnicodeDecodeError):
        whole = False
    if not whole:  # line by line, which names what is damaged
        figures = _figures(b"".join(map(to_json, _decoded(content, path))), path, keys)
    return np.ascontiguousarray(figures.T)


def lines(path: str | Path) -> bytes:
    """Return the content of an ``epochs.jsonl``; nothing where there is none."""
    try:
        return content_of(path)
    except FileNotFoundError:
        return b""


def content_of(path: str | Path) -> bytes:
    """Return the content of a file, without a buffer: a report reads thousands."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def unreadable(path: str | Path, error: OSError) -> InputError:
    """Return the error of a file that cannot be read."""
    return InputError(
        f"cannot read {str(path)!r} ({error.strerror}): make it readable, or move its folder away"
    )


def _no_record(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{str(path)!r} is no trial's record ({error}): delete its folder and run again"
    )


def _decoded(content: bytes, path: Path) -> list[dict[str, Any]]:
    texts = content.rstrip().splitlines()
    # all at once, which is fast; what is wrong is found line by line
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        if len(epochs := _ANY_LINE.decode_lines(content)) == len(texts):  # it skips empty ones
            return epochs
    epochs = []
    for number, text in enumerate(texts, 1):
        try:
            epochs.append(_object(text))
        except msgspec.ValidationError as error:
            raise _no_record(path, error) from error
        except ValueError:
            if number < len(texts):
                raise InputError(
                    f"line {number} of {str(path)!r} is damaged: delete its folder and run again"
                ) from None
            warnings.warn(f"dropped a torn last line of {path}", stacklevel=3)
    return epochs


def _object(text: bytes) -> dict[str, Any]:
    """Return the object of a line; ValidationError where it holds another value."""
    return msgspec.convert(json.loads(text), dict[str, Any])


def _figures(content: bytes, path: Path, keys: tuple[str, ...]) -> np.ndarray:
    """Return figures (E, K) of content without damage; DecodeError where there is some."""
    try:
        decoded = _decoder(keys).decode_lines(content)
    except msgspec.ValidationError as error:
        raise _no_record(path, error) from error
    rows = [msgspec.structs.astuple(line) for line in decoded]
    return np.array(rows, dtype=float).reshape(-1, len(keys))


@cache
def _decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of these figures alone: skipping the rest saves most of the work."""
    fields = [(key, float | None, None) for key in keys]
    return msgspec.json.Decoder(msgspec.defstruct("Line", fields, gc=False))
