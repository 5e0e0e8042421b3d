"""Code that made a record, as its done.json names it: hashes by part, compared between records."""

import json
from collections.abc import Iterable
from typing import Any

#: Stands for the parts of a record without hashes: a version older than the hashes wrote it.
EARLIER = "an earlier version"


def to_text(code: Any) -> str:
    """Return the hashes of a record as one text; empty where an earlier version kept none."""
    if not isinstance(code, dict):
        return ""
    return json.dumps({part: str(value) for part, value in code.items()}, sort_keys=True)


def differing(texts: Iterable[str]) -> list[str]:
    """Return the parts whose code differs between records, and ``EARLIER`` for lacking hashes.

    Args:
        texts: made by ``to_text``.
    """
    hashes: dict[str, set[str]] = {}
    different = set(texts)
    for text in different - {""}:
        for part, value in json.loads(text).items():
            hashes.setdefault(part, set()).add(value)
    parts = sorted(part for part, values in hashes.items() if len(values) > 1)
    return [*parts, EARLIER] if "" in different and len(different) > 1 else parts
