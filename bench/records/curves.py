"""Other people's curves: a CSV file with a row an epoch, read and checked.

Lines such as ``# source: NAME`` may stand before the row of column names.
"""

import csv
import gzip
import hashlib
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.errors import InputError, unknown

REQUIRED = (
    "method dataset noise_kind noise_rate seed epoch noisy_val_accuracy test_accuracy".split()
)
OPTIONAL = ("seconds", "passes")

#: Keys of the lines before the column names.
HEADER = ("source", "code", "licence", "unit", "backbone", "validation_share")

#: Units of accuracies, and the highest accuracy in each.
UNITS = {"fraction": 1.0, "percent": 100.0}

#: Names in a report's tables. A colon would make a name a path, and a sign in front a formula.
_NAME = re.compile(r"\w[\w .+()/-]*")
_NETWORK = re.compile(r"\w[\w .+()/:-]*")


class RunKey(NamedTuple):
    """Identity of one run within its source."""

    method: str
    dataset: str
    noise_kind: str
    noise_rate: float | None  # None where it is unknown
    seed: int

    def __str__(self) -> str:
        rate = "" if self.noise_rate is None else f" {self.noise_rate:g}"
        return f"{self.method} on {self.dataset}, {self.noise_kind}{rate}, seed {self.seed}"


class Point(NamedTuple):
    """Figures of one epoch: accuracies as fractions; None where a figure is missing."""

    noisy_val_accuracy: float | None
    test_accuracy: float
    seconds: float | None  # of training
    passes: float | None  # of an average sample, forward and backward


@dataclass(frozen=True)
class Curves:
    """Content of a file of curves."""

    header: dict[str, str]
    validation_share: float | None  # None where it is not told
    runs: dict[RunKey, list[Point]]  # an entry an epoch, from epoch 0
    sha256: str  # of the file's bytes


def read_curves(path: Path, given: Mapping[str, str]) -> Curves:
    """Read a CSV file of curves, which may be compressed (.gz).

    Args:
        given: values that go before those of the file's header, by key.

    Raises:
        InputError: where the file cannot be read, lacks a column, a seed or an epoch, names no
            source, or holds a value that is none.
    """
    content = _content(path)  # read once: it may be a pipe
    lines = _lines(path, content)
    try:
        header, start = _header(lines)
        header |= given
        runs = _runs(lines, start, _unit(header))
        backbone = header.get("backbone")
        if backbone and not _NETWORK.fullmatch(backbone):
            raise InputError(
                f"backbone is {backbone!r}: give a name of letters, digits, spaces and . + - / : "
                "( )"
            )
        if not header.get("source"):
            raise InputError("it does not say who ran this: add # source: NAME, or give --source")
        share = _share(header.get("validation_share", ""))
        return Curves(header, share, runs, hashlib.sha256(content).hexdigest())
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {str(path)!r} ({error.strerror}): give a CSV file of curves"
        ) from error


def _lines(path: Path, content: bytes) -> list[str]:
    try:
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{str(path)!r} is no text in UTF-8: save it as UTF-8") from None
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise InputError(f"{str(path)!r} is no whole gzip file: compress the CSV again") from None


def _header(lines: Sequence[str]) -> tuple[dict[str, str], int]:
    """Return keys and values before the column names, and the number of those lines."""
    header: dict[str, str] = {}
    start = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    for line in lines[:start]:
        key, colon, value = (part.strip() for part in line.lstrip("#").partition(":"))
        if not colon:
            raise InputError(f"{line!r} is no header line: write # key: value")
        if key not in HEADER:
            raise unknown("key of a header line", key, HEADER)
        if key in header:
            raise InputError(f"# {key} is given twice: give it once")
        header[key] = value
    return header, start


def _unit(header: Mapping[str, str]) -> str:
    unit = header.get("unit", "fraction")
    if unit not in UNITS:
        raise unknown("unit of accuracies", unit, UNITS)
    return unit


def _share(text: str) -> float | None:
    try:
        share = float(text) if text else None
    except ValueError:
        share = -1.0
    if share is not None and not 0 < share < 1:
        raise InputError(
            f"validation_share is {text!r}: give a number between 0 and 1, or leave it out"
        )
    return share


def _rows(lines: Sequence[str], start: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line below the column names, and its values by column."""
    table = csv.reader(lines[start:], strict=True)
    try:
        columns = [name.strip() for name in next(table, [])]
        _check_columns(columns)
        for row in table:
            number = start + table.line_num
            if row and len(row) != len(columns):
                raise InputError(
                    f"line {number} has {len(row)} values for {len(columns)} columns: give each "
                    "column one"
                )
            if row:  # no empty line
                yield number, {key: row[n].strip() for n, key in enumerate(columns)}
    except csv.Error as error:
        raise InputError(
            f"line {start + table.line_num} is no CSV ({error}): save the table as CSV again"
        ) from None


def _check_columns(columns: Sequence[str]) -> None:
    if not any(columns):
        raise InputError(f"it is empty: give it the columns {', '.join(REQUIRED)}")
    for name in REQUIRED:
        if name not in columns:
            raise InputError(f"it has no column {name}: give it {', '.join(REQUIRED)}")
    for name in columns:
        if name not in (*REQUIRED, *OPTIONAL):
            raise unknown("column of curves", name, [*REQUIRED, *OPTIONAL])
        if columns.count(name) > 1:
            raise InputError(f"it has two columns {name}: leave one out")


def _runs(lines: Sequence[str], start: int, unit: str) -> dict[RunKey, list[Point]]:
    """Return the points of each run in the order of epochs; all of it checked."""
    points: dict[RunKey, dict[int, Point]] = {}
    for number, row in _rows(lines, start):
        try:
            key, epoch = _key(row), _whole(row, "epoch")
            if epoch in points.setdefault(key, {}):
                raise InputError(f"it repeats epoch {epoch} of {key}: give each epoch once")
            points[key][epoch] = _point(row, unit)
        except InputError as error:
            raise InputError(f"line {number}: {error}") from None
    if not points:
        raise InputError("it has no rows: give it one an epoch")
    _check_unit(points, unit)
    return {key: _in_order(key, by_epoch) for key, by_epoch in points.items()}


def _key(row: Mapping[str, str]) -> RunKey:
    for name in ("method", "dataset", "noise_kind"):
        if not _NAME.fullmatch(row[name]):
            raise InputError(
                f"{name} is {row[name]!r}: give a name of letters, digits, spaces and . + - / ( )"
            )
    return RunKey(
        row["method"],
        row["dataset"],
        row["noise_kind"],
        _figure(row, "noise_rate", 0, 1, "a fraction from 0 to 1, or nothing where it is unknown"),
        _whole(row, "seed"),
    )


def _whole(row: Mapping[str, str], name: str) -> int:
    if not row[name]:
        raise InputError(f"{name} is missing: give a whole number from 0")
    if not re.fullmatch("[0-9]{1,18}", row[name]):
        raise InputError(f"{name} is {row[name]!r}: give a whole number from 0")
    return int(row[name])


def _point(row: Mapping[str, str], unit: str) -> Point:
    most = UNITS[unit]
    hint = f"a number from 0 to {most:g}"
    if unit == "fraction":
        hint += ", or the header line # unit: percent"
    accuracies = {}
    for name in ("noisy_val_accuracy", "test_accuracy"):
        value = _figure(row, name, 0, most, hint)
        # Rounded, as 93.1 / 100 is not 0.931.
        accuracies[name] = None if value is None else round(value / most, 12)
    if (test := accuracies["test_accuracy"]) is None:
        raise InputError("test_accuracy is missing: give one of each epoch, or leave the run out")
    seconds, passes = (
        _figure(row, name, 0, math.inf, "a number from 0") if name in row else None
        for name in OPTIONAL
    )
    return Point(accuracies["noisy_val_accuracy"], test, seconds, passes)


def _figure(
    row: Mapping[str, str], name: str, least: float, most: float, hint: str
) -> float | None:
    """Return a number in these bounds; None for an empty value, or NaN."""
    try:
        value = float(row[name]) if row[name] else math.nan
    except ValueError:
        raise InputError(f"{name} is {row[name]!r}: give {hint}") from None
    if math.isnan(value):
        return None
    if not least <= value <= most or math.isinf(value):
        raise InputError(f"{name} is {row[name]}: give {hint}")
    return value


def _check_unit(points: Mapping[RunKey, Mapping[int, Point]], unit: str) -> None:
    best = max(point.test_accuracy for run in points.values() for point in run.values())
    if unit == "percent" and UNITS[unit] * best <= 1:
        raise InputError(
            f"its test accuracies reach {UNITS[unit] * best:g} %, which looks like fractions: give "
            "# unit: fraction"
        )


def _in_order(key: RunKey, by_epoch: Mapping[int, Point]) -> list[Point]:
    missing = next((epoch for epoch in range(len(by_epoch)) if epoch not in by_epoch), None)
    if missing == 0:
        raise InputError(f"{key} begins at epoch {min(by_epoch)}: count epochs from 0")
    if missing is not None:
        raise InputError(f"{key} lacks epoch {missing}: give all epochs, or leave the run out")
    points = [by_epoch[epoch] for epoch in range(len(by_epoch))]
    if all(point.noisy_val_accuracy is None for point in points):
        raise InputError(
            f"{key} has no noisy_val_accuracy, by which epochs are selected: leave the run out"
        )
    return points


def uneven(runs: Mapping[RunKey, Sequence[Point]]) -> list[str]:
    """Return a sentence on each method and cell whose seeds differ in their number of epochs."""
    lengths: dict[RunKey, set[int]] = {}
    for key, points in runs.items():
        lengths.setdefault(key._replace(seed=0), set()).add(len(points))
    return [
        f"seeds of {str(key).rpartition(', ')[0]} differ in length: "
        f"{' and '.join(map(str, sorted(counts)))} epochs"
        for key, counts in lengths.items()
        if len(counts) > 1
    ]
