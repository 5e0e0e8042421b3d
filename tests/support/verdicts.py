"""Verdicts on records that were written by hand."""

from pathlib import Path
from typing import Any

import msgspec

from bench.records.verdict import CONSISTENT, Verdict, records_hash, verdict_path


def write_verdict(sweep: Path, **fields: Any) -> Verdict:
    """Write a verdict on the records of a sweep that nobody has checked."""
    facts: dict[str, Any] = {
        "outcome": CONSISTENT,
        "records": records_hash(sweep),
        "trials": 1,
        "checked": ["files", "ids"],
        "seed": 7,
        "sample": "1",
        "version": "0.1.0",
        "git_commit": "c0ffee",
        "versions": {},
        "machine": {},
        "date": "2026-01-02T03:04:05+00:00",
    }
    verdict = Verdict(**facts | fields)
    verdict_path(sweep).write_bytes(msgspec.json.encode(verdict))
    return verdict
