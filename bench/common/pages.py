"""Pages of HTML that open from disk: a template, and data that stands safely in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import InputError


def refuse_another(path: Path, title: str) -> None:
    """Raise InputError where something is there that is no page of this title."""
    mark = f"<title>{title}</title>".encode()
    if path.exists() and not (path.is_file() and mark in path.read_bytes()):
        raise InputError(
            f"{str(path)!r} is no page of this command, and would be lost: choose another --out"
        )


def embedded(data: Any) -> str:
    """Return JSON that can stand in a page: it can neither end its element nor begin another."""
    text = msgspec.json.encode(data, enc_hook=lambda value: value.tolist()).decode()  # NumPy's
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def filled(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with ``{{name}}`` replaced by the part of that name."""
    # In one pass, because parts may hold braces, too.
    page, *pieces = template.split("{{")
    for piece in pieces:
        name, _, rest = piece.partition("}}")
        page += parts[name] + rest
    return page
