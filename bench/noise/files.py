"""Noisy labels and transition matrices in files: the field's formats in, and out again."""

import csv
import hashlib
import io
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from bench.datasets import pickled
from bench.errors import InputError, first_line, unknown

#: Format -> ending of its files.
FORMATS = {"dividemix": ".json", "npy": ".npy", "pt": ".pt", "csv": ".csv"}

_ENDINGS = ".json (DivideMix's), .npy, .pt, .pth, .csv or .txt"

#: How far a row of a matrix may be from 1: such as thirds, written with three digits.
TOLERANCE = 1e-2


def read_labels(path: Path | str, key: str | None = None) -> np.ndarray:
    """Labels (N,) int64 from a file, by its ending.

    ``.json`` is DivideMix's list of integers; ``.npy`` an array of integers; ``.pt`` or ``.pth`` a tensor or array, or a
    dict of them (CIFAR-10N), which is read without running what a pickle may hold; ``.csv`` or ``.txt`` has a label a line,
    or the columns index and label under that header.

    Args:
        key: name of the labels in a .pt that holds several.

    Raises:
        InputError: where the file is missing, damaged, or holds anything else.
    """
    path = Path(path).expanduser()
    readers = {".json": _json, ".npy": _npy, ".csv": _csv, ".txt": _csv}
    if key is not None and path.suffix not in (".pt", ".pth"):
        raise InputError(f"{str(path)!r} holds one list of labels and no {key!r}: leave out --key")
    if path.suffix in (".pt", ".pth"):
        found = _pt(path, _content(path), key)
    elif path.suffix in readers:
        found = readers[path.suffix](path, _content(path))
    else:
        raise InputError(f"{str(path)!r} has no known ending: labels are read from {_ENDINGS}")
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu":
        raise InputError(
            f"{str(path)!r} holds {found.dtype} of shape {found.shape}: give a file with one integer for each training image"
        )
    return found.astype(np.int64)


def write_labels(path: Path, labels: np.ndarray, file_format: str) -> None:
    """Labels (N,) to a file in one of ``FORMATS``, whose ending it has to have, so that it can be read back."""
    from bench.records import write_atomically

    if file_format not in FORMATS:
        raise unknown("format of labels", file_format, FORMATS)
    if path.suffix != (ending := FORMATS[file_format]):
        raise InputError(f"{str(path)!r} is to be in the format {file_format}: name it {path.with_suffix(ending).name!r}")
    buffer = io.BytesIO()
    if file_format == "dividemix":
        buffer.write(json.dumps(labels.tolist()).encode())
    elif file_format == "npy":
        np.save(buffer, labels, allow_pickle=False)
    elif file_format == "csv":
        lines = (f"{index},{label}\n" for index, label in enumerate(labels))
        buffer.write(("index,label\n" + "".join(lines)).encode())
    else:
        import torch

        torch.save(torch.from_numpy(labels.copy()), buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r} ({error.strerror}): choose another --out") from error


def read_matrix(path: Path | str) -> np.ndarray:
    """A row-stochastic transition matrix (C, C) from a .npy, or from text with a row a line, commas or spaces between.

    Rows that sum to 1 within a hundredth are scaled to it.

    Raises:
        InputError: where the file is missing, damaged, or no such matrix.
    """
    path = Path(path).expanduser()
    if path.suffix == ".npy":
        found = _npy(path, _content(path))
    elif path.suffix in (".csv", ".txt"):
        rows = _text(path, _content(path)).replace(",", " ").splitlines()
        numbers = [row.split() for row in rows if row.strip()]
        try:
            found = np.array(numbers, dtype=np.float64)
        except ValueError as error:
            raise InputError(f"{str(path)!r} is no table of numbers ({error}): give a row a line, without a header") from error
    else:
        raise InputError(f"{str(path)!r} has no known ending: a matrix is read from .npy, .csv or .txt")
    if found.ndim != 2 or found.shape[0] != found.shape[1] or len(found) < 2:
        raise InputError(f"{str(path)!r} holds an array of shape {found.shape}: give a row and a column for each class")
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"{str(path)!r} is no matrix of probabilities: give numbers from 0 to 1, without gaps")
    found = found.astype(np.float64)
    sums = found.sum(1)
    if (wrong := np.flatnonzero(np.abs(sums - 1) > TOLERANCE)).size:
        columns = " (its columns do: transpose it)" if (np.abs(found.sum(0) - 1) <= TOLERANCE).all() else ""
        raise InputError(
            f"row {wrong[0]} of {str(path)!r} sums to {sums[wrong[0]]:g}{columns}: "
            f"give in each row, of a true class, the probabilities of all labels, which sum to 1"
        )
    return found / sums[:, None]


def file_hash(paths: Sequence[Path]) -> str:
    """Short hash of the content of a file, or of several in their order.

    Raises:
        InputError: where one cannot be read.
    """
    hashes = [hashlib.sha256(_content(path.expanduser())) for path in paths]
    whole = hashes[0] if len(hashes) == 1 else hashlib.sha256(b"".join(one.digest() for one in hashes))
    return whole.hexdigest()[:16]


#: Contents of files within ``reading_once``.
_READ: ContextVar[dict[Path, bytes] | None] = ContextVar("read", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Context in which each file is read once, so that all of a command's planning sees the same content."""
    token = _READ.set({})
    try:
        yield
    finally:
        _READ.reset(token)


def _content(path: Path) -> bytes:
    contents = _READ.get()
    if contents is None:
        return _bytes(path)
    if path not in contents:
        contents[path] = _bytes(path)
    return contents[path]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {str(path)!r}: give the path of one that exists") from None
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read ({error.strerror}): give the path of a file that can") from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # spreadsheets begin with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is no text ({error.reason}): save it as UTF-8") from error


def _json(path: Path, content: bytes) -> np.ndarray:
    try:
        found = json.loads(_text(path, content))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is no JSON ({error}): give DivideMix's format, as [3, 0, 7]") from error
    if not isinstance(found, list) or not all(type(label) is int and abs(label) < 2**31 for label in found):
        raise InputError(f"{str(path)!r} is no list of integers: give DivideMix's format, as [3, 0, 7]")
    return np.array(found, dtype=np.int64)


def _npy(path: Path, content: bytes) -> np.ndarray:
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise InputError(f"{str(path)!r} is no array of numbers ({error}): save it with numpy.save") from error


def _csv(path: Path, content: bytes) -> np.ndarray:
    try:
        rows = [(number, row) for number, row in enumerate(csv.reader(_text(path, content).splitlines()), 1) if any(row)]
    except csv.Error as error:
        raise InputError(f"{str(path)!r} cannot be read as CSV ({error}): give a label a line") from error
    indexed = bool(rows) and [name.strip().lower() for name in rows[0][1]] == ["index", "label"]
    try:
        columns = np.array([_numbers(number, row, 1 + indexed) for number, row in rows[indexed:]], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{str(path)!r}, {error}: give a label a line, or index,label under that header") from error
    if not indexed:
        return columns.reshape(-1)
    if not len(columns):
        return np.empty(0, dtype=np.int64)
    indices, labels = columns.T
    if (np.sort(indices) != np.arange(len(indices))).any():
        raise InputError(
            f"the indices of {str(path)!r} are not 0 to {len(indices) - 1}, each once: give a line for each image"
        )
    return labels[np.argsort(indices)]


def _numbers(line: int, row: list[str], wanted: int) -> list[int]:
    if len(row) != wanted or not all(item.strip().lstrip("-").isdigit() for item in row):
        raise ValueError(f"line {line}, is {','.join(row)[:40]!r}")
    return [int(item) for item in row]


def _pt(path: Path, content: bytes, key: str | None) -> np.ndarray:
    """The tensor or array of a .pt; never unpickles anything else, since a pickle can run any program."""
    import torch

    try:
        found = pickled.read_pt(content)  # NumPy's arrays, as CIFAR-N's
    except pickled.UNREADABLE:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # advice for torch's developers on files that are refused anyway
                found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises many kinds on damaged files
            raise _unsafe(path, error) from error
    if isinstance(found, dict):
        if key is None and len(found) > 1:
            raise InputError(
                f"{str(path)!r} holds {', '.join(map(str, found))}: choose one with "
                f"python -m bench.noise import {path} --key NAME --out labels.npy"
            )
        if key is not None and key not in found:
            raise unknown(f"entry of {str(path)!r}", key, map(str, found))
        found = found[key] if key is not None else next(iter(found.values()), None)
    elif key is not None:
        raise InputError(f"{str(path)!r} holds one list of labels and no {key!r}: leave out --key")
    if isinstance(found, np.ndarray):
        return found
    if isinstance(found, torch.Tensor):
        unfit = found.is_floating_point() or found.is_complex() or found.is_quantized or found.is_meta
        if unfit or found.layout != torch.strided:
            raise InputError(f"{str(path)!r} holds a tensor of {found.dtype}: give one with one integer for each image")
        return found.numpy()
    if isinstance(found, list) and all(type(label) is int and abs(label) < 2**31 for label in found):
        return np.array(found, dtype=np.int64)
    raise InputError(f"{str(path)!r} holds a {type(found).__name__} instead of labels: save them as a tensor, or as .npy")


def _unsafe(path: Path, error: Exception) -> InputError:
    first = first_line(error)
    return InputError(
        f"{str(path)!r} is damaged, or holds more than tensors and arrays of integers, which is not read since it could run "
        f"any program ({first[:120]}): save the labels as a tensor, or as .npy"
    )
