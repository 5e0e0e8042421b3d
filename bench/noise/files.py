"""Noisy labels in files: the field's formats, read and written."""

import csv
import io
import json
import re
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.files import write_output
from bench.datasets import integer_pickles
from bench.datasets.folder.labels_csv import MISSING
from bench.errors import InputError, first_line, unknown
from bench.noise.contents import File

#: Ending of the files of each format that is written.
FORMATS = {"dividemix": ".json", "npy": ".npy", "pt": ".pt", "csv": ".csv"}


@dataclass(frozen=True)
class OrderedLabels:
    """Labels in the order of the images."""

    source: str  # name of the file, for people
    labels: np.ndarray  # int64 (N,)
    lines: Sequence[int] | None = None  # line of each label, in files that have lines

    def where(self, position: int) -> str:
        """Return the place of a label in the file, for people."""
        return f"at index {position}" if self.lines is None else f"in line {self.lines[position]}"


@dataclass(frozen=True)
class NamedLabels:
    """Labels by the path of their image."""

    source: str  # name of the file, for people
    rows: Sequence[tuple[int, str, str]]  # line, path, and label as written


def read_file(path: Path | str, key: str | None = None) -> OrderedLabels | NamedLabels:
    """Return the labels of a file, by its ending.

    ``.json`` is DivideMix's list of integers. ``.npy`` is an array of integers. ``.pt`` or ``.pth``
    is a tensor or array, or a dict of them (CIFAR-10N); no code in its pickle runs. ``.csv`` or
    ``.txt`` has a label a line, or a header with the columns index and label, or path and label;
    others beside path and label are ignored.

    Args:
        key: name of the labels in a .pt that holds several.

    Raises:
        InputError: where the file is missing, damaged, or holds anything else.
    """
    file = File(path)
    if key is not None and file.ending not in (".pt", ".pth"):
        raise InputError(f"{file} holds one list of labels and no {key!r}: leave out --key")
    if file.ending in (".csv", ".txt"):
        return _csv(file)
    if file.ending in (".pt", ".pth"):
        labels = _pt(file, key)
    elif file.ending == ".json":
        labels = _json(file)
    elif file.ending == ".npy":
        labels = file.array()
    else:
        raise InputError(
            f"{file} has no known ending: labels are read from .json (DivideMix's), .npy, .pt, "
            ".pth, .csv or .txt"
        )
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise InputError(
            f"{file} holds {labels.dtype} of shape {labels.shape}: give a file with one integer "
            "for each training image"
        )
    return OrderedLabels(str(file), labels.astype(np.int64))


def write_labels(path: Path, labels: np.ndarray, file_format: str) -> None:
    """Write labels (N,) in one of ``FORMATS``; ``read_file`` reads them back.

    Raises:
        InputError: where the path does not have the format's ending, or cannot be written to.
    """
    if file_format not in FORMATS:
        raise unknown("format of labels", file_format, FORMATS)
    ending = FORMATS[file_format]
    if not path.name:
        raise InputError(f"the file for the labels has no name: write for example labels{ending}")
    if path.suffix != ending:
        raise InputError(
            f"{str(path)!r} is to be in the format {file_format}: name it "
            f"{path.with_suffix(ending).name!r}"
        )
    write_output(path, _encoded(labels, file_format))


def _encoded(labels: np.ndarray, file_format: str) -> bytes:
    if file_format == "dividemix":
        return json.dumps(labels.tolist()).encode()
    if file_format == "csv":
        lines = [f"{index},{label}\n" for index, label in enumerate(labels)]
        return "".join(["index,label\n", *lines]).encode()
    buffer = io.BytesIO()
    if file_format == "npy":
        np.save(buffer, labels, allow_pickle=False)
    else:
        import torch

        torch.save(torch.from_numpy(labels.copy()), buffer)
    return buffer.getvalue()


# ----------------------------------------------------------------------------------------------
# JSON and .pt


def _json(file: File) -> np.ndarray:
    try:
        labels = json.loads(file.text())
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file} is no JSON ({error}): give DivideMix's format, as [3, 0, 7]"
        ) from error
    if not _are_integers(labels):
        raise InputError(f"{file} is no list of integers: give DivideMix's format, as [3, 0, 7]")
    return np.array(labels, dtype=np.int64)


def _are_integers(labels: object) -> bool:
    return isinstance(labels, list) and all(
        type(label) is int and abs(label) < 2**31 for label in labels
    )


def _pt(file: File, key: str | None) -> np.ndarray:
    """Return the tensor or array of a .pt, and refuse other types: a pickle can run any code."""
    import torch

    labels = _unpickled(file)
    if isinstance(labels, dict):
        if key is None and len(labels) > 1:
            raise InputError(
                f"{file} holds {', '.join(map(str, labels))}: choose one with python -m "
                f"bench.noise import {shlex.quote(str(file.path))} --key NAME --out labels.npy"
            )
        if key is not None and key not in labels:
            raise unknown(f"entry of {file}", key, map(str, labels))
        labels = labels[key] if key is not None else next(iter(labels.values()), None)
    elif key is not None:
        raise InputError(f"{file} holds one list of labels and no {key!r}: leave out --key")
    if isinstance(labels, np.ndarray):
        return labels
    if isinstance(labels, torch.Tensor):
        is_integer = not (labels.is_floating_point() or labels.is_complex() or labels.is_quantized)
        if not is_integer or labels.is_meta or labels.layout != torch.strided:
            raise InputError(
                f"{file} holds a tensor of {labels.dtype}: give one with one integer for each image"
            )
        return labels.numpy()
    if _are_integers(labels):
        return np.array(labels, dtype=np.int64)
    raise InputError(
        f"{file} holds a {type(labels).__name__} instead of labels: save them as a tensor, or as "
        ".npy"
    )


def _unpickled(file: File) -> Any:
    import torch

    content = file.content()
    try:
        return integer_pickles.read_pt(content)  # arrays of NumPy, as in CIFAR-N
    except integer_pickles.UNREADABLE:
        pass
    try:
        with warnings.catch_warnings():
            # PyTorch's advice to developers, on files that are refused anyway
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types on damaged files
        # PyTorch's next sentences say how to read the file all the same.
        reason = first_line(error).partition(". ")[0]
        raise InputError(
            f"{file} is damaged, or holds more than tensors and arrays of integers, which is not "
            f"read since it could run any program ({reason[:120]}): save the labels as a tensor, "
            "or as .npy"
        ) from error


# ----------------------------------------------------------------------------------------------
# CSV

_Rows = list[tuple[int, list[str]]]  # number of the line, and its fields


def _csv(file: File) -> OrderedLabels | NamedLabels:
    reader = csv.reader(io.StringIO(file.text(), newline=""))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{file} cannot be read as CSV ({error}): give a label a line") from error
    while rows and not any(map(str.strip, rows[-1][1])):  # empty lines at the end
        rows.pop()
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    if {"path", "label"} <= set(header):
        return _named(file, header, rows[1:])
    if len(header) == 1 and re.fullmatch(r"(path|index)\s*[;\t]\s*label.*", header[0]):
        raise InputError(f"the columns of {file} are not separated by commas: save it with commas")
    if header == ["index", "label"]:
        labels = _indexed(file, rows[1:])
    else:
        labels = [(line, _integers(file, line, row, 1)[0]) for line, row in rows]
    if not labels:
        raise InputError(f"{file} holds no labels: give a label a line")
    lines, numbers = zip(*labels, strict=True)
    return OrderedLabels(str(file), np.array(numbers), lines)


def _indexed(file: File, rows: _Rows) -> list[tuple[int, int]]:
    """Return line and label of each index, in the order of the indices."""
    labels: dict[int, tuple[int, int]] = {}
    for line, row in rows:
        if not row:
            continue
        index, label = _integers(file, line, row, 2)
        if index in labels:
            raise InputError(
                f"lines {labels[index][0]} and {line} of {file} have the index {index}: give each "
                "one line"
            )
        labels[index] = line, label
    if sorted(labels) != list(range(len(labels))):
        raise InputError(
            f"the indices of {file} are not 0 to {len(labels) - 1}, each once: give a line for "
            "each image"
        )
    return [labels[index] for index in range(len(labels))]


def _named(file: File, header: list[str], rows: _Rows) -> NamedLabels:
    if twice := [name for name in ("path", "label") if header.count(name) > 1]:
        raise InputError(f"{file} has the column {twice[0]} twice: leave one out")
    path, label = header.index("path"), header.index("label")
    rows = [(line, row) for line, row in rows if row]
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"line {line} of {file} has {len(row)} fields for {len(header)} columns: "
                f"put a field that holds a comma into quotes"
            )
    if not rows:
        raise InputError(f"{file} names no image: give a line path,label for each")
    return NamedLabels(str(file), [(line, row[path], row[label].strip()) for line, row in rows])


def _integers(file: File, line: int, row: list[str], count: int) -> list[int]:
    """Return the integers of a row that has ``count`` of them."""
    texts = [item.strip() for item in row]
    if len(texts) == count and all(re.fullmatch("-?[0-9]{1,9}", text) for text in texts):
        return [int(text) for text in texts]
    start = repr(",".join(row)[:40])
    if not texts or texts[-1] in ("", *MISSING):
        raise InputError(f"line {line} of {file} has no label ({start}): give each image one")
    raise InputError(
        f"{file}, line {line}, is {start}: give a label a line, or index,label under that header, "
        "as whole numbers, or path,label"
    )
