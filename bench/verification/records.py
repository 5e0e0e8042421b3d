"""Strict reading of an archive: a file that cannot be read whole is a fault, not a gap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from bench.common.identity import plain_id, trial_id
from bench.errors import InputError
from bench.planning.spec import TrialSpec
from bench.records.archive import opened
from bench.records.epochs import content_of, lines, unreadable
from bench.records.packing import unpack_numbers
from bench.records.schema import SCHEMA, STATUSES, Done, Epoch, Recorded, SpecFile, present
from bench.records.trials import check_sweep
from bench.records.verdict import Fault

#: Errors of a file that is there: msgspec's are a ValueError.
_DAMAGE = (IsADirectoryError, NotADirectoryError, ValueError, RecursionError)
#: First bytes of every file of gzip.
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Record:
    """Record of one trial that is over."""

    name: str  # of its folder
    raw: dict[str, Any]  # specification as it is on disk
    spec: TrialSpec | None  # None where this version cannot run the trial
    epochs: list[Epoch]
    done: Done
    obstacle: str = ""  # reason why ``spec`` is None


@dataclass(frozen=True)
class Records:
    """Content of an archive."""

    folder: Path
    trials: list[Record]
    faults: list[Fault]
    unfinished: int  # trials that are not over, which no table counts


def read_records(archive: Path) -> Records | Fault:
    """Return the records of an archive, or the fault for which nothing in it can be read.

    Raises:
        InputError: where there is no such file or folder, or no trial in it is over.
    """
    if not archive.exists():
        raise InputError(f"there is no {str(archive)!r}: give a records.tar.gz or a sweep's folder")
    if archive.is_file() and not _is_archive(archive):
        raise InputError(
            f"{str(archive)!r} is no archive: give a records.tar.gz or a sweep's folder"
        )
    try:
        folder = opened(archive)
    except InputError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        if isinstance(error.__cause__, FileExistsError):
            name = Path(str(error.__cause__.filename))
            return Fault("duplicate", f"the archive holds {name.parent.name}/{name.name} twice")
        return Fault("truncated", str(error))
    check_sweep(folder)
    trials, faults, unfinished = [], list[Fault](), 0
    for path in sorted((folder / "trials").iterdir()):
        if path.is_file() and path.name.startswith("."):  # of a file manager
            continue
        record = _read(path)
        if isinstance(record, Record):
            trials.append(record)
            faults += _identity_faults(record)
        elif record is None:
            unfinished += 1
        else:
            faults.append(record)
    if not trials and not faults:
        raise InputError(f"{str(archive)!r} holds no trial that is over: run the sweep first")
    return Records(folder, trials, [*faults, *_repeated(trials)], unfinished)


def _is_archive(file: Path) -> bool:
    """Return whether a file begins as one of gzip does.

    Raises:
        InputError: where it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(len(_GZIP)) == _GZIP
    except OSError as error:
        raise unreadable(file, error) from error


def _read(folder: Path) -> Record | Fault | None:
    """Return the record of a trial's folder, its fault, or None where the trial is not over.

    Raises:
        InputError: where a file cannot be read, which says nothing of the record.
    """
    path = folder / "spec.json"
    if not path.exists():
        return Fault("stray", "it has no spec.json: take it out of trials/", folder.name)
    try:
        file = msgspec.json.decode(content_of(path), type=SpecFile)
        if not (folder / "done.json").exists():
            return None
        path = folder / "epochs.jsonl"
        content = lines(path)
        values = [msgspec.json.decode(line, type=dict[str, Any]) for line in content.splitlines()]
        if content and not content.endswith(b"\n"):
            raise ValueError("its last line has no end")
        path = folder / "done.json"
        ending = msgspec.json.decode(content_of(path), type=dict[str, Any])
    except _DAMAGE as error:
        return Fault("truncated", f"{path.name} is damaged or cut off ({error})", folder.name)
    except OSError as error:
        raise unreadable(path, error) from error
    for name, schema in (
        ("spec.json", present(file.schema)),
        ("epochs.jsonl", values[0].get("schema") if values else None),
        ("done.json", ending.get("schema")),
    ):
        if isinstance(schema, int) and schema > SCHEMA:
            text = f"{name} has schema {schema}, and this version knows {SCHEMA}"
            return Fault("schema", text, folder.name)
    try:
        path = folder / "spec.json"
        msgspec.convert(file.spec, Recorded)
        path = folder / "epochs.jsonl"
        epochs = [Epoch.from_json(line) for line in values]
        _check_packed([epoch.val_predictions for epoch in epochs])
        path = folder / "done.json"
        done = msgspec.convert(ending, Done)
        _check_packed([done.validation_truth])
        if done.status not in STATUSES:
            raise ValueError(f"status {done.status!r}")
    except _DAMAGE as error:
        return Fault("schema", f"{path.name} is no record of this version ({error})", folder.name)
    spec, obstacle = _specification(file.spec)
    return Record(folder.name, file.spec, spec, epochs, done, obstacle)


def _check_packed(texts: Sequence[Any]) -> None:
    """Raise an error where a packed text of a record cannot be read."""
    for text in texts:
        if text not in (None, UNSET):
            unpack_numbers(text)


def _specification(raw: dict[str, Any]) -> tuple[TrialSpec | None, str]:
    try:
        return TrialSpec.from_json(raw), ""
    except InputError as error:
        return None, str(error)


def _identity_faults(record: Record) -> Iterator[Fault]:
    if record.name not in (trial_id(record.raw), plain_id(record.raw)):
        yield Fault(
            "config",
            f"spec.json is not the specification that its folder is named after: it has the id "
            f"{trial_id(record.raw)}",
            record.name,
        )
    code = present(record.done.code)
    parts = set(record.raw["method"].split("+"))
    if isinstance(code, dict) and not code.keys() <= {"harness", *parts}:
        others = sorted(code.keys() - {"harness", *parts})
        yield Fault(
            "method",
            f"done.json says that {', '.join(others)} ran, and spec.json {'+'.join(sorted(parts))}",
            record.name,
        )


def _repeated(trials: list[Record]) -> Iterator[Fault]:
    """Yield a fault for each further folder of one trial."""
    folders: dict[str, str] = {}
    for record in trials:
        first = folders.setdefault(trial_id(record.raw), record.name)
        if first != record.name:
            text = f"the trial has a second record in the folder {first}"
            yield Fault("duplicate", text, record.name)


def schema_of_sweep(folder: Path) -> Iterator[Fault]:
    """Yield the fault of a sweep.json that cannot be read, or is of a later version."""
    try:
        values = msgspec.json.decode(content_of(folder / "sweep.json"), type=dict[str, Any])
    except FileNotFoundError:
        return
    except _DAMAGE as error:
        yield Fault("truncated", f"sweep.json is damaged or cut off ({error})")
        return
    except OSError as error:
        raise unreadable(folder / "sweep.json", error) from error
    schema = values.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        yield Fault("schema", f"sweep.json has schema {schema}, and this version knows {SCHEMA}")
