"""Noisy labels and transition matrices in files: the field's formats in, and out again."""

import csv
import hashlib
import io
import json
import os
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets import integer_pickles
from bench.datasets.folder.labels_csv import MISSING
from bench.errors import InputError, first_line, unknown

#: Format -> ending of its files.
FORMATS = {"dividemix": ".json", "npy": ".npy", "pt": ".pt", "csv": ".csv"}

_ENDINGS = ".json (DivideMix's), .npy, .pt, .pth, .csv or .txt"

#: How far a row of a matrix may be from 1: such as thirds, written with three digits.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class OrderedLabels:
    """Labels in the order of the images."""

    source: str  # name of the file, for people
    labels: np.ndarray  # int64 (N,)
    lines: Sequence[int] | None = None  # where each label stands, in files that have lines

    def where(self, position: int) -> str:
        """Say where the label at this position stands."""
        return f"at index {position}" if self.lines is None else f"in line {self.lines[position]}"


@dataclass(frozen=True)
class NamedLabels:
    """Labels by the path of their image."""

    source: str  # name of the file, for people
    rows: Sequence[tuple[int, str, str]]  # line, path, and label as it is written


def read_labels(path: Path | str, key: str | None = None) -> np.ndarray:
    """Labels (N,) int64 from a file that has them in order; see ``read_file``.

    Raises:
        InputError: as ``read_file``, and where the file names images by their paths.
    """
    content = read_file(path, key)
    if isinstance(content, NamedLabels):
        raise InputError(
            f"{content.source} names images by their paths: give it with the data set that has them"
        )
    return content.labels


def read_file(path: Path | str, key: str | None = None) -> OrderedLabels | NamedLabels:
    """Labels from a file, by its ending.

    ``.json`` is DivideMix's list of integers; ``.npy`` an array of integers; ``.pt`` or ``.pth`` a
    tensor or array, or a dict of them (CIFAR-10N), which is read without running what a pickle may
    hold; ``.csv`` or ``.txt`` has a label a line, or under a header the columns index and label, or
    path and label, and others, which are passed over.

    Args:
        key: name of the labels in a .pt that holds several.

    Raises:
        InputError: where the file is missing, damaged, or holds anything else.
    """
    path = _expanded(path)
    ending = path.suffix.lower()
    if key is None and ending in (".csv", ".txt"):
        return _csv(path, _content(path))
    readers = {".json": _json, ".npy": _npy}
    if key is not None and ending not in (".pt", ".pth"):
        raise InputError(f"{str(path)!r} holds one list of labels and no {key!r}: leave out --key")
    if ending in (".pt", ".pth"):
        found = _pt(path, _content(path), key)
    elif ending in readers:
        found = readers[ending](path, _content(path))
    else:
        raise InputError(f"{str(path)!r} has no known ending: labels are read from {_ENDINGS}")
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu":
        raise InputError(
            f"{str(path)!r} holds {found.dtype} of shape {found.shape}: give a file with one "
            "integer for each training image"
        )
    return OrderedLabels(repr(str(path)), found.astype(np.int64))


def write_labels(path: Path, labels: np.ndarray, file_format: str) -> None:
    """Labels (N,) to a file in one of ``FORMATS``, whose ending it has to have, so that it can be
    read back.
    """
    from bench.common.files import write_atomically

    if file_format not in FORMATS:
        raise unknown("format of labels", file_format, FORMATS)
    if not path.name:
        raise InputError(
            f"the file for the labels has no name: write for example labels{FORMATS[file_format]}"
        )
    if path.suffix != (ending := FORMATS[file_format]):
        raise InputError(
            f"{str(path)!r} is to be in the format {file_format}: name it "
            f"{path.with_suffix(ending).name!r}"
        )
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
        raise InputError(
            f"cannot write {str(path)!r} ({error.strerror}): choose another --out"
        ) from error


def read_matrix(path: Path | str) -> np.ndarray:
    """A row-stochastic transition matrix (C, C) from a .npy, or from text with a row a line, commas
    or spaces between.

    Rows that sum to 1 within a hundredth are scaled to it.

    Raises:
        InputError: where the file is missing, damaged, or no such matrix.
    """
    path = _expanded(path)
    if path.suffix.lower() == ".npy":
        found = _npy(path, _content(path))
    elif path.suffix.lower() in (".csv", ".txt"):
        rows = _text(path, _content(path)).replace(",", " ").splitlines()
        numbers = [row.split() for row in rows if row.strip()]
        try:
            found = np.array(numbers, dtype=np.float64)
        except ValueError as error:
            raise InputError(
                f"{str(path)!r} is no table of numbers ({error}): give a row a line, without a "
                "header"
            ) from error
    else:
        raise InputError(
            f"{str(path)!r} has no known ending: a matrix is read from .npy, .csv or .txt"
        )
    if found.ndim != 2 or found.shape[0] != found.shape[1] or len(found) < 2:
        raise InputError(
            f"{str(path)!r} holds an array of shape {found.shape}: give a row and a column for "
            "each class"
        )
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all() or (found < 0).any():
        raise InputError(
            f"{str(path)!r} is no matrix of probabilities: give numbers from 0 to 1, without gaps"
        )
    found = found.astype(np.float64)
    sums = found.sum(1)
    if (wrong := np.flatnonzero(np.abs(sums - 1) > TOLERANCE)).size:
        columns = (
            " (its columns do: transpose it)"
            if (np.abs(found.sum(0) - 1) <= TOLERANCE).all()
            else ""
        )
        raise InputError(
            f"row {wrong[0]} of {str(path)!r} sums to {sums[wrong[0]]:g}{columns}: "
            f"give in each row, of a true class, the probabilities of all labels, which sum to 1"
        )
    return found / sums[:, None]


def _expanded(path: Path | str) -> Path:
    """The path with ``~`` as the home folder; a name that only begins so stays, where pathlib would
    raise.
    """
    return Path(os.path.expanduser(path))


def file_hash(paths: Sequence[Path]) -> str:
    """Short hash of the content of a file, or of several in their order.

    Raises:
        InputError: where one cannot be read.
    """
    hashes = [hashlib.sha256(_content(_expanded(path))) for path in paths]
    whole = (
        hashes[0] if len(hashes) == 1 else hashlib.sha256(b"".join(one.digest() for one in hashes))
    )
    return whole.hexdigest()[:16]


#: Contents of files within ``reading_once``.
_READ: ContextVar[dict[Path, bytes] | None] = ContextVar("read", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Context in which each file is read once, so that all of a command's planning sees the same
    content.
    """
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
        raise InputError(
            f"there is no file {str(path)!r}: give the path of one that exists"
        ) from None
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error.strerror}): give the path of a file that can"
        ) from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")  # spreadsheets begin with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is no text ({error.reason}): save it as UTF-8") from error


def _json(path: Path, content: bytes) -> np.ndarray:
    try:
        found = json.loads(_text(path, content))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{str(path)!r} is no JSON ({error}): give DivideMix's format, as [3, 0, 7]"
        ) from error
    if not isinstance(found, list) or not all(
        type(label) is int and abs(label) < 2**31 for label in found
    ):
        raise InputError(
            f"{str(path)!r} is no list of integers: give DivideMix's format, as [3, 0, 7]"
        )
    return np.array(found, dtype=np.int64)


def _npy(path: Path, content: bytes) -> np.ndarray:
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise InputError(
            f"{str(path)!r} is no array of numbers ({error}): save it with numpy.save"
        ) from error


_Rows = list[tuple[int, list[str]]]  # number of the line, and its fields


def _csv(path: Path, content: bytes) -> OrderedLabels | NamedLabels:
    reader = csv.reader(io.StringIO(_text(path, content), newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} cannot be read as CSV ({error}): give a label a line"
        ) from error
    while rows and not any(map(str.strip, rows[-1][1])):  # the end of the file
        rows.pop()
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    if {"path", "label"} <= set(header):
        return _named(path, header, rows[1:])
    if len(header) == 1 and re.fullmatch(r"(path|index)\s*[;\t]\s*label.*", header[0]):
        raise InputError(
            f"the columns of {str(path)!r} are not separated by commas: save it with commas"
        )
    indexed = header == ["index", "label"]
    labels = (
        _indexed(path, rows[1:])
        if indexed
        else [(line, *_numbers(path, line, row, 1)) for line, row in rows]
    )
    if not labels:
        raise InputError(f"{str(path)!r} holds no labels: give a label a line")
    return OrderedLabels(
        repr(str(path)), np.array([label for _, label in labels]), [line for line, _ in labels]
    )


def _indexed(path: Path, rows: _Rows) -> list[tuple[int, int]]:
    """Line and label of each index, in their order."""
    lines: dict[int, tuple[int, int]] = {}
    for line, row in rows:
        if not row:
            continue
        index, label = _numbers(path, line, row, 2)
        if index in lines:
            raise InputError(
                f"lines {lines[index][0]} and {line} of {str(path)!r} have the index {index}: give "
                "each one line"
            )
        lines[index] = line, label
    if sorted(lines) != list(range(len(lines))):
        raise InputError(
            f"the indices of {str(path)!r} are not 0 to {len(lines) - 1}, each once: give a line "
            "for each image"
        )
    return [lines[index] for index in range(len(lines))]


def _named(path: Path, header: list[str], rows: _Rows) -> NamedLabels:
    if twice := [name for name in ("path", "label") if header.count(name) > 1]:
        raise InputError(f"{str(path)!r} has the column {twice[0]} twice: leave one out")
    place, label = header.index("path"), header.index("label")
    for line, row in rows:
        if row and len(row) != len(header):
            raise InputError(
                f"line {line} of {str(path)!r} has {len(row)} fields for {len(header)} columns: "
                f"put a field that holds a comma into quotes"
            )
    named = [(line, row[place], row[label].strip()) for line, row in rows if row]
    if not named:
        raise InputError(f"{str(path)!r} names no image: give a line path,label for each")
    return NamedLabels(repr(str(path)), named)


def _numbers(path: Path, line: int, row: list[str], wanted: int) -> list[int]:
    texts = [item.strip() for item in row]
    if len(texts) == wanted and all(re.fullmatch("-?[0-9]{1,9}", text) for text in texts):
        return [int(text) for text in texts]
    if not texts or texts[-1] in ("", *MISSING):
        raise InputError(
            f"line {line} of {str(path)!r} has no label ({','.join(row)[:40]!r}): give each image "
            "one"
        )
    raise InputError(
        f"{str(path)!r}, line {line}, is {','.join(row)[:40]!r}: give a label a line, or "
        "index,label under that header, as whole numbers, or path,label"
    )


def _pt(path: Path, content: bytes, key: str | None) -> np.ndarray:
    """The tensor or array of a .pt; never unpickles anything else, since a pickle can run any
    program.
    """
    import torch

    try:
        found = integer_pickles.read_pt(content)  # NumPy's arrays, as CIFAR-N's
    except integer_pickles.UNREADABLE:
        try:
            with warnings.catch_warnings():
                # advice for torch's developers on files that are refused anyway
                warnings.simplefilter("ignore")
                found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises many kinds on damaged files
            raise _unsafe(path, error) from error
    if isinstance(found, dict):
        if key is None and len(found) > 1:
            raise InputError(
                f"{str(path)!r} holds {', '.join(map(str, found))}: choose one with "
                f"python -m bench.noise import {shlex.quote(str(path))} --key NAME --out labels.npy"
            )
        if key is not None and key not in found:
            raise unknown(f"entry of {str(path)!r}", key, map(str, found))
        found = found[key] if key is not None else next(iter(found.values()), None)
    elif key is not None:
        raise InputError(f"{str(path)!r} holds one list of labels and no {key!r}: leave out --key")
    if isinstance(found, np.ndarray):
        return found
    if isinstance(found, torch.Tensor):
        unfit = (
            found.is_floating_point() or found.is_complex() or found.is_quantized or found.is_meta
        )
        if unfit or found.layout != torch.strided:
            raise InputError(
                f"{str(path)!r} holds a tensor of {found.dtype}: give one with one integer for "
                "each image"
            )
        return found.numpy()
    if isinstance(found, list) and all(
        type(label) is int and abs(label) < 2**31 for label in found
    ):
        return np.array(found, dtype=np.int64)
    raise InputError(
        f"{str(path)!r} holds a {type(found).__name__} instead of labels: save them as a tensor, "
        "or as .npy"
    )


def _unsafe(path: Path, error: Exception) -> InputError:
    # torch goes on with how to read the file all the same
    first = first_line(error).partition(". ")[0]
    return InputError(
        f"{str(path)!r} is damaged, or holds more than tensors and arrays of integers, which is "
        f"not read since it could run any program ({first[:120]}): save the labels as a tensor, or "
        "as .npy"
    )
