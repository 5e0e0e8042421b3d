"""Decisions of a reviewer: decisions.csv of the page, checked against the data set.

::

    path,given_label,decision,label,data,decisions
    cat/001.jpg,cat,relabel,dog,0123456789abcdef,2
    cat/002.jpg,cat,drop,,0123456789abcdef,2

``data`` is the hash of the names and labels that were audited, ``decisions`` the number of lines
under the header, so that neither another data set nor half a file goes unnoticed.
"""

import csv
import io
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.audit.samples import Samples
from bench.common.text import encodable, printable, shortlist
from bench.errors import InputError

COLUMNS = ("path", "given_label", "decision", "label", "data", "decisions")

#: Decisions: the given label is right, it is another, the sample is of no use, or none was made.
KEEP, RELABEL, DROP, SKIP = "keep", "relabel", "drop", "skip"

#: First characters of what a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@")

#: Largest file that is read, in bytes; a million decisions take a tenth of it.
_LARGEST = 1 << 30

_AGAIN = "download decisions.csv from the page again"


@dataclass(frozen=True)
class Review:
    """Decisions about samples, by the position of the sample."""

    labels: dict[int, int]  # right class: the given one was kept, or another was chosen
    dropped: frozenset[int]
    skipped: frozenset[int]


def read_decisions(path: Path, samples: Samples) -> Review:
    """Return the decisions of a file.

    Raises:
        InputError: if the file is damaged or not whole, belongs to other data, or has a line that
            does not fit the data set.
    """
    lines = _records(path, COLUMNS)
    if not lines:
        raise InputError(f"{str(path)!r} holds no decisions: {_AGAIN}")
    places = _Places(samples)
    labels: dict[int, int] = {}
    others: dict[str, set[int]] = {DROP: set(), SKIP: set()}
    for line, fields in lines:
        where = f"line {line} of {str(path)!r}"
        name, given, decision, label, data, total = fields
        if data != samples.data_hash:
            raise InputError(
                f"{where} belongs to other data (audited: {data[:40]!r}, here: "
                f"{samples.data_hash!r}): name the data set that was audited with --dataset, and "
                "--subset as then; if its files or labels were changed since, audit it again"
            )
        if total != str(len(lines)):
            raise InputError(
                f"{str(path)!r} has {len(lines):,} of its {total[:20]} decisions: it is not whole, "
                f"{_AGAIN}"
            )
        position = places.position(where, name, given)
        if decision in others:
            _check_empty(where, decision, label)
            others[decision].add(position)
        else:
            labels[position] = _label(where, decision, given, label, samples)
    warn_of_formulas([fields[0] for _, fields in lines])
    return Review(labels, frozenset(others[DROP]), frozenset(others[SKIP]))


def read_flagged(path: Path, samples: Samples) -> frozenset[int]:
    """Return the positions of the samples that suspects.csv of an audit flags.

    Raises:
        InputError: if the file is damaged, or does not fit the data set.
    """
    places = _Places(samples)
    flagged = set()
    for line, (name, given, flag) in _records(path, ("path", "given_label", "flagged")):
        where = f"line {line} of {str(path)!r}"
        position = places.position(where, name, given)
        if flag.lower() not in ("true", "false", "1", "0"):
            raise InputError(
                f"{where} has {flag!r} as flagged: give suspects.csv as it was written"
            )
        if flag.lower() in ("true", "1"):
            flagged.add(position)
    return frozenset(flagged)


def warn_of_formulas(texts: Iterable[str]) -> None:
    """Warn of names that a spreadsheet would take for formulas; each counts once."""
    formulas = [printable(text) for text in dict.fromkeys(texts) if text.startswith(_FORMULA)]
    if formulas:
        warnings.warn(
            f"names that begin with =, +, - or @ are formulas to a spreadsheet "
            f"({shortlist(formulas, 2)}): do not open these files in one",
            stacklevel=2,
        )


class _Places:
    """Positions of samples by the names that files give them, each once."""

    def __init__(self, samples: Samples) -> None:
        self.positions = {encodable(name): place for place, name in enumerate(samples.names)}
        self.given = [encodable(samples.classes[label]) for label in samples.given]
        self.lines: dict[int, str] = {}

    def position(self, where: str, name: str, given: str) -> int:
        """Return the position of a sample; raise InputError unless name and label are its own."""
        position = self.positions.get(name)
        if position is None:
            out = ".." in name.replace("\\", "/").split("/") or os.path.isabs(name)
            reason = "leads out of the data set" if out else "is not in the data set"
            raise InputError(f"{where} names {name[:200]!r}, which {reason}: {_AGAIN}")
        if position in self.lines:
            raise InputError(
                f"{where} names {name!r}, as {self.lines[position]} does: keep one decision for it"
            )
        self.lines[position] = where
        if given != self.given[position]:
            raise InputError(
                f"{where} says that the given label is {given[:200]!r}, and it is "
                f"{self.given[position]!r}: leave the column given_label as it was"
            )
        return position


def _label(where: str, decision: str, given: str, label: str, samples: Samples) -> int:
    """Return the class of a decision that has one."""
    if decision not in (KEEP, RELABEL):
        raise InputError(
            f"{where} has the decision {decision[:40]!r}: write {KEEP}, {RELABEL}, {DROP} or {SKIP}"
        )
    classes = [encodable(name) for name in samples.classes]
    if label not in classes:
        raise InputError(
            f"{where} has the label {label[:200]!r}, which is no class of the data set: choose "
            f"from {shortlist(classes, 12)}"
        )
    if (decision == KEEP) != (label == given):
        other = RELABEL if decision == KEEP else KEEP
        raise InputError(
            f"{where} has the decision {decision} with the label {label!r}, and the given label is "
            f"{given!r}: write {other}, or correct the label"
        )
    return classes.index(label)


def _check_empty(where: str, decision: str, label: str) -> None:
    if label:
        raise InputError(
            f"{where} has the decision {decision} and the label {label[:200]!r}: leave the label "
            f"empty, or write {RELABEL}"
        )


def _records(path: Path, columns: tuple[str, ...]) -> list[tuple[int, list[str]]]:
    """Return line number and the values of these columns for each row below the header."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows = []
    try:
        for row in reader:
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} cannot be read as CSV after line {reader.line_num} ({error}): it is "
            "not whole, or was edited; take the file as it was written"
        ) from error
    header = rows[0][1] if rows else []
    if missing := [name for name in columns if header.count(name) != 1]:
        raise InputError(
            f"{str(path)!r} lacks the column {shortlist(missing)}: take the file as it was "
            "written, with commas between its columns"
        )
    places = [header.index(name) for name in columns]
    records = []
    for line, row in rows[1:]:
        if not row:
            continue
        if len(row) != len(header):
            raise InputError(
                f"line {line} of {str(path)!r} has {len(row)} fields for {len(header)} columns: "
                "the file is not whole, or was edited; take it as it was written"
            )
        records.append((line, [row[place] for place in places]))
    return records


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{str(path)!r} is larger than 1 GB: give the file of a review")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error.strerror}): give the path of the file"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(path)!r} is no text in UTF-8: take the file as it was written"
        ) from error


def summary(review: Review, samples: Samples) -> str:
    """Return the numbers of decisions of each kind in one line."""
    given = np.asarray(samples.given)
    kept = sum(given[position] == label for position, label in review.labels.items())
    undecided = len(given) - len(review.labels) - len(review.dropped)
    return (
        f"labels: {kept:,} kept, {len(review.labels) - kept:,} changed; samples: "
        f"{len(review.dropped):,} dropped, {undecided:,} undecided"
    )
