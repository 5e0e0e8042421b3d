"""Reading of labels.csv: one image a line, with its label and, where known, its true class and
split.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.common.text import printable
from bench.datasets.account import shortlist
from bench.errors import InputError

LABELS = "labels.csv"

#: Usual names of the three parts of a data set, in lower case.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}

#: A split's name within a longer one, such as train_images, val2017 or testset.
_SPLIT_WORD = re.compile(
    rf"(?:^|[\W\d_])({'|'.join(sorted(SPLITS, key=len, reverse=True))})(?=$|[\W\d_]|sets?|data|images?|imgs?)"
)

#: Parts of a name that say nothing of a class.
_GENERIC = re.compile(r"[\W\d_]|images?|imgs?|data|sets?|folder|split")

_COLUMNS = ("path", "label", "clean_label", "split")

#: How pandas, R and spreadsheets write that a value is missing.
MISSING = {
    *(
        "nan",
        "NaN",
        "NAN",
        "Nan",
        "-nan",
        "-NaN",
        "NA",
        "N/A",
        "n/a",
        "<NA>",
        "#NA",
        "#N/A",
        "#N/A N/A",
        "NaT",
    ),
    *(
        "NULL",
        "Null",
        "null",
        "None",
        "none",
        "NONE",
        "#NULL!",
        "#REF!",
        "#NAME?",
        "#VALUE!",
        "#DIV/0!",
    ),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
}


@dataclass(frozen=True)
class Row:
    """One image as labels.csv gives it."""

    line: int  # of the file, where the row begins
    path: str
    label: str
    clean: str | None
    split: str | None  # train, val or test


def split_of(name: str) -> str | None:
    """Return train, val or test if the name is a usual one of them."""
    return SPLITS.get(name.strip().lower())


def split_within(name: str) -> tuple[str, str] | None:
    """Return the split that a longer name names, and what else it says: train and cat for
    cat_train.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    word = _SPLIT_WORD.search(words)
    return word and (SPLITS[word[1]], _GENERIC.sub("", words[: word.start()] + words[word.end() :]))


def class_name(text: str) -> str:
    """Return the class of a label or folder: one spelling for all Unicode normal forms, fit for
    printing.
    """
    return unicodedata.normalize("NFC", printable(text))


def read_labels(path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of the file, and sentences about what is not used of it.

    Raises:
        InputError: where a line is not clear; it names the line.
    """
    text = _text(path)
    columns, records = _table(path, text)
    rows, missing = [], dict.fromkeys(("clean_label", "split"), 0)
    for line, fields in records:
        where = f"line {line} of {str(path)!r}"
        if len(fields) != len(columns):
            raise InputError(
                f"{where} has {len(fields)} field{'s' * (len(fields) != 1)} for {len(columns)} "
                "columns: quote a label or path that holds commas, and leave no field out"
            )
        values = {
            # A file's name can end in a space, a label cannot.
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
    """The file's text: UTF-8, or UTF-16 as spreadsheets write it."""
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
    """The columns' names, and each row's first line and fields; separated by commas, semicolons or
    tabs.
    """
    needed = {"path", "label"}
    for separator in (",", ";", "\t"):
        try:
            first = next(_records(text, separator), (1, []))
        except csv.Error:
            continue
        columns = [_column(name) for name in first[1]]
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
    line = first[0]
    try:
        rows = []
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
    """First line and fields of each row that is not blank."""
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True, skipinitialspace=True)
    line = 1
    for fields in reader:
        if any(field.strip() for field in fields):
            yield line, fields
        line = reader.line_num + 1
