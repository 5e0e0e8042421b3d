"""Boards of a site: records with an accepted verdict, frozen under a hash of what they hold."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.common.text import printable
from bench.errors import InputError
from bench.records.archive import ARCHIVE, opened
from bench.records.verdict import Verdict, read_verdict, records_hash, verdict_path
from bench.report.beside import name_of
from bench.report.board import Board, read_board
from bench.report.leaderboard import NO_REFERENCE

#: Digits of the hash that name a version of a board.
_DIGITS = 8


class _Run(msgspec.Struct, frozen=True):
    """Run of a sweep, as sweep.json names it."""

    started: str | None = None


class Origin(msgspec.Struct, frozen=True):
    """Part of sweep.json that a site shows."""

    runs: list[_Run] = []
    git_commit: str | None = None
    versions: dict[str, str] | None = None


@dataclass(frozen=True)
class Source:
    """One board of the site."""

    name: str
    version: str  # beginning of a hash of its records, sweep.json and verdict
    board: Board
    verdict: Verdict
    origin: Origin

    @property
    def year(self) -> str:
        """Year in which its last sweep began; that of the verdict where it names none."""
        started = self.origin.runs[-1].started if self.origin.runs else None
        return (started or self.verdict.date)[:4]

    @property
    def commit(self) -> str:
        """Commit of the code of its last sweep; empty where it is not known."""
        return printable(self.origin.git_commit or "")

    @property
    def software(self) -> str:
        """Version of this package in its last sweep; empty for imported curves."""
        return printable((self.origin.versions or {}).get("lnl-bench", ""))


def sweeps_below(folder: Path) -> list[Path]:
    """Return the sweeps of a folder: itself, or the folders in it that hold records.

    Raises:
        InputError: where it holds none.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}: give one with archives of records")
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    sweeps = [path for path in places if (path / "trials").is_dir() or (path / ARCHIVE).is_file()]
    if not sweeps:
        raise InputError(f"{str(folder)!r} holds no {ARCHIVE}, and no folder in it does")
    return sweeps


def read_sources(sweeps: Sequence[Path]) -> Iterator[Source]:
    """Read the boards of sweeps whose verdicts accept them.

    Raises:
        InputError: as ``read_source``.
    """
    yield from map(read_source, sweeps)


def read_source(sweep: Path) -> Source:
    """Read the board of a sweep.

    Raises:
        InputError: where no verdict accepts its records, or a file of it is damaged.
    """
    verdict = read_verdict(sweep)
    if reason := _refusal(sweep, verdict):
        raise InputError(f"{reason}; python -m bench.verify {sweep} writes one")
    assert verdict is not None
    content = _content(sweep)
    try:
        origin = msgspec.json.decode(content, type=Origin) if content else Origin()
    except ValueError as error:  # msgspec's errors, too
        raise InputError(
            f"the sweep.json of {str(sweep)!r} is damaged ({error}): check it with "
            "python -m bench.verify"
        ) from error
    board = read_board([sweep])
    if board.reference not in set(board.leaderboard["method"]):
        board = read_board([sweep], NO_REFERENCE)
    digest = hashlib.sha256(verdict.records.encode())
    digest.update(content + verdict_path(sweep).read_bytes())
    return Source(name_of(sweep), digest.hexdigest()[:_DIGITS], board, verdict, origin)


def _refusal(sweep: Path, verdict: Verdict | None) -> str:
    """Return why a sweep is no board of a site; empty where a verdict accepts its records."""
    if verdict is None:
        return "it has no verdict"
    if not verdict.accepted:
        return "its verdict rejects it"
    return "" if verdict.records == records_hash(sweep) else "its verdict is of other records"


def _content(sweep: Path) -> bytes:
    """Return the content of a sweep.json; nothing where there is none."""
    try:
        return (opened(sweep) / "sweep.json").read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InputError(
            f"the sweep.json of {str(sweep)!r} cannot be read ({error.strerror}): make it readable"
        ) from error
