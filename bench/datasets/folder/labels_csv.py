"""Reader of labels.csv: one image a line, with its label and, where known, true class and split."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.common.text import printable, shortlist
from bench.datasets.folder.names import class_name, split_of
from bench.errors import InputError

LABELS = "labels.csv"

_COLUMNS = ("path", "label", "clean_label", "split")

#: Spellings of a missing value in pandas, R and spreadsheets.
MISSING = {
    *"nan NaN NAN Nan -nan -NaN NA N/A n/a <NA> #NA #N/A NaT".split(),
    *"NULL Null null None none NONE #NULL! #REF! #NAME? #VALUE! #DIV/0!".split(),
    *"1.#IND -1.#IND 1.#QNAN -1.#QNAN".split(),
    "#N/A N/A",
}


@dataclass(frozen=True)
class Row:
    """One image as labels.csv gives it."""

    line: int  # of the file, where the row begins
    path: str
    label: str
    clean: str | None
    split: str | None  # train, val or test


def read_labels(path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of the file, and sentences about its unused parts.

    InputError names the line that is not clear.
    """
    columns, records = _table(path, _text(path))
    rows, missing = [], dict.fromkeys(("clean_label", "split"), 0)
    for line, fields in records:
        where = f"line {line} of {str(path)!r}"
        if len(fields) != len(columns):
            raise InputError(
                f"{where} has {len(fields)} field{'s' * (len(fields) != 1)} for {len(columns)} "
                "columns: quote a label or path that holds commas, and leave no field out"
            )
        # A file's name can end in a space, a label cannot.
        values = {
            column: field if column == "path" else field.strip()
            for column, field in zip(columns, fields, strict=True)
        }
        for column in missing:
            if values.get(column) in MISSING:
                missing[column] += 1
                values[column] = ""
        rows.append(_row(where, line, values))
    notes = [
        f"lines of {LABELS} where {column} is nan, NA, NULL or the like, read as empty: {count:,}"
        for column, count in missing.items()
        if count
    ]
    if unused := sorted(printable(name) for name in set(columns) - set(_COLUMNS) if name):
        notes.append(f"columns of {LABELS} that are not used: {shortlist(unused)}")
    return rows, notes


def _row(where: str, line: int, values: dict[str, str]) -> Row:
    name, label, clean, split = (values.get(column, "") for column in _COLUMNS)
    if not name.strip() or not label:
        raise InputError(f"{where} lacks a path or a label: fill it in, or delete the line")
    if label in MISSING:
        raise InputError(
            f"{where} has the label {label!r}, as programs write one that is missing: fill it in "
            "or delete the line, or, if a class has this name, give the class another"
        )
    part = split_of(split) if split else None
    if split and part is None:
        raise InputError(f"{where} has the split {split!r}: write train, val or test")
    return Row(line, name, class_name(label), class_name(clean) if clean else None, part)


def _text(path: Path) -> str:
    """Return the file's text: UTF-8, or UTF-16 as spreadsheets write it."""
    try:
        content = path.read_bytes()
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error.strerror}): check its permissions"
        ) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"line {line} of {str(path)!r} has bytes that are no text in UTF-8: save the file as "
            "UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{str(path)!r} cannot be read as CSV (it holds null bytes): save it as UTF-8"
        )
    return text


def _table(path: Path, text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the columns' names, and each row's first line and fields; find the separator."""
    needed = {"path", "label"}
    for separator in (",", ";", "\t"):
        try:
            line, header = next(_records(text, separator), (1, []))
        except csv.Error:
            continue
        columns = [_column(name) for name in header]
        if needed <= set(columns):
            break
    else:
        first_line = text.strip().split("\n", 1)[0].strip()
        absent = needed - {_column(name) for name in first_line.split(",")}
        names = " and ".join(sorted(absent, reverse=True)) or "path and label"
        raise InputError(
            f"{str(path)!r} has no column {names} (it begins with {first_line[:60]!r}): name the "
            "columns in its first line, as path,label"
        )
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise InputError(f"{str(path)!r} names the column {twice[0]} twice: keep one of them")
    rows = []
    try:
        for line, fields in _records(text, separator):
            rows.append((line, fields))
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} cannot be read as CSV after line {line} ({printable(str(error))}): "
            "mend the quotes there"
        ) from error
    return columns, rows[1:]


def _column(name: str) -> str:
    return name.strip().strip('"').lower().replace(" ", "_").replace("-", "_")


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the fields of each row that is not blank."""
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True, skipinitialspace=True)
    line = 1
    for fields in reader:
        if any(field.strip() for field in fields):
            yield line, fields
        line = reader.line_num + 1
