"""Verdict on the records of a sweep: what ``python -m bench.verify`` has checked and observed.

It lies beside the archive, or in the sweep's folder, as verdict.json. It names the records by their
hash, so that a verdict on other records is told apart.
"""

import hashlib
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bench.errors import InputError
from bench.records.archive import ARCHIVE, opened, source_of

#: Name of the file beside ``records.tar.gz``.
NAME = "verdict.json"
#: Version of the format of verdicts.
SCHEMA = 1

#: Outcomes: trials were run again and agree; nothing contradicts the records, but no trial could be
#: compared with a new run of the same code; at least one fault.
VERIFIED: Final = "verified"
CONSISTENT: Final = "consistent"
REJECTED: Final = "rejected"
Outcome = Literal["verified", "consistent", "rejected"]

#: Agreement of a new run with its record: to the bit, within the tolerance, or not.
EXACT: Final = "exact"
CLOSE: Final = "close"
APART: Final = "apart"
#: No statement: both begin alike, and are later further apart than rounding explains for most
#: methods.
DRIFTED: Final = "drifted"
#: No statement: other code made the record, so that a new run is another draw.
OTHER_CODE: Final = "other code"
Agreement = Literal["exact", "close", "apart", "drifted", "other code"]

#: Kinds of fault, and their names for people.
FAULTS = {
    "truncated": "truncated or damaged file",
    "stray": "not a trial",
    "schema": "future or unknown schema",
    "duplicate": "duplicate",
    "config": "changed configuration",
    "method": "swapped method",
    "data": "wrong data hash",
    "labels": "labels of another seed",
    "clean-labels": "clean labels",
    "epochs": "dropped epochs",
    "accuracy": "edited accuracy",
    "leaderboard": "table that does not follow from the records",
    "rerun": "result that a new run does not give",
}

#: Files of a trial that the hash of the records covers.
_HASHED = ("spec.json", "epochs.jsonl", "done.json")


class Fault(msgspec.Struct, frozen=True):
    """Contradiction within the records, or between them and a new run."""

    kind: str  # of ``FAULTS``
    text: str
    trial: str = ""  # id; empty where it concerns the archive as a whole


class Rerun(msgspec.Struct, frozen=True):
    """Trial that was run again, beside its record; differences are fractions."""

    trial: str
    method: str
    agreement: Agreement
    at_end: float | None  # difference of mean test accuracies over the last tenth of the epochs
    first_loss: float | None  # relative difference of the first epoch's training losses
    seconds: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Content of ``verdict.json``."""

    schema: int = SCHEMA
    outcome: Outcome
    records: str  # ``records_hash``; empty where the archive cannot be read
    trials: int
    checked: list[str] = []  # parts of all records that were checked
    faults: list[Fault] = []
    unchecked: list[str] = []  # what could not be checked, and why
    seed: int  # of the choice of trials to run again
    sample: str  # as given: a number, "all", or ids
    reruns: list[Rerun] = []
    tolerance: dict[str, float] = {}  # largest differences that count as agreement
    version: str
    git_commit: str | None
    versions: dict[str, str]
    machine: dict[str, Any]
    date: str  # ISO 8601

    @property
    def accepted(self) -> bool:
        """True without faults."""
        return self.outcome in (VERIFIED, CONSISTENT)


def records_hash(sweep: Path) -> str:
    """Return a hash of the records of a sweep, the same for its folder and an archive of it."""
    trials, digest = opened(sweep) / "trials", hashlib.sha256()
    for path in sorted(trials.glob("*/*")):
        if path.name in _HASHED:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(trials).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def verdict_path(sweep: Path) -> Path:
    """Return where the verdict on a sweep lies, or is to be written.

    Args:
        sweep: folder of a sweep, or of its archive, or an archive of any name.
    """
    place = source_of(sweep)
    if place.is_dir():
        return place / NAME
    name = NAME if place.name == ARCHIVE else f"{place.name.removesuffix('.tar.gz')}.{NAME}"
    return place.with_name(name)


def check_replaceable(path: Path) -> None:
    """Raise InputError where a verdict would overwrite a file of something else."""
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        msgspec.json.decode(path.read_bytes(), type=Verdict)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--out {str(path)!r} is a file that holds no verdict: give the name of a new one"
        ) from error


def read_verdict(sweep: Path) -> Verdict | None:
    """Return the verdict on a sweep; None where there is none.

    Raises:
        InputError: where the file is no verdict, or of a later version.
    """
    path = verdict_path(sweep)
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        schema = values.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise ValueError(f"schema {schema}, and this version knows {SCHEMA}")
        return msgspec.convert(values, Verdict)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{str(path)!r} is no verdict ({error}): write it again with python -m bench.verify"
        ) from error
