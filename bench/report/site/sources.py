"""Boards of a site: records with an accepted verdict, frozen under the hash of the records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.common.text import printable
from bench.errors import InputError
from bench.records.archive import ARCHIVE, opened
from bench.records.verdict import Verdict, read_verdict, records_hash
from bench.report.beside import name_of
from bench.report.board import Board, read_board
from bench.report.leaderboard import NO_REFERENCE

#: Digits of the hash of records that name a version of a board.
_DIGITS = 8


@dataclass(frozen=True)
class Source:
    """One board of the site."""

    name: str
    version: str  # beginning of the hash of its records
    board: Board
    verdict: Verdict
    origin: dict[str, Any]  # content of sweep.json

    @property
    def year(self) -> str:
        """Year in which its last sweep began; that of the verdict where it names none."""
        runs = self.origin.get("runs") or [{}]
        return str(runs[-1].get("started") or self.verdict.date)[:4]

    @property
    def commit(self) -> str:
        """Commit of the code of its last sweep; empty where it is not known."""
        return printable(str(self.origin.get("git_commit") or ""))

    @property
    def software(self) -> str:
        """Version of this package in its last sweep; empty for imported curves."""
        versions = self.origin.get("versions")
        return printable(str(versions.get("lnl-bench", ""))) if isinstance(versions, dict) else ""


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


def refusal(sweep: Path) -> str:
    """Return why a sweep is no board of a site; empty where a verdict accepts its records."""
    verdict = read_verdict(sweep)
    if verdict is None:
        return "it has no verdict"
    if not verdict.accepted:
        return "its verdict rejects it"
    return "" if verdict.records == records_hash(sweep) else "its verdict is of other records"


def read_sources(sweeps: Sequence[Path]) -> Iterator[Source]:
    """Read the boards of sweeps whose verdicts accept them."""
    for sweep in sweeps:
        verdict = read_verdict(sweep)
        assert verdict is not None
        board = read_board([sweep])
        if board.reference not in set(board.leaderboard["method"]):
            board = read_board([sweep], NO_REFERENCE)
        yield Source(name_of(sweep), verdict.records[:_DIGITS], board, verdict, _origin(sweep))


def _origin(sweep: Path) -> dict[str, Any]:
    try:
        content = (opened(sweep) / "sweep.json").read_bytes()
        return msgspec.json.decode(content, type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"the sweep.json of {str(sweep)!r} is damaged ({error}): check it with "
            "python -m bench.verify"
        ) from error
