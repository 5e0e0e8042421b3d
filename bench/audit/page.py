"""The page ``clean.html``: the suspects of an audit, to be decided on in a browser.

It opens from disk and loads nothing from elsewhere. Decisions stay in the browser until they are
downloaded as decisions.csv, which ``decisions.py`` reads.
"""

import base64
import hashlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from bench.audit.audit import BLANK, CONFLICT, DARK, LEAK, TEST, TINY, Audit
from bench.audit.samples import root_of
from bench.audit.thumbnails import Thumbnails
from bench.common.files import write_atomically
from bench.common.identity import short_name
from bench.common.pages import embedded, filled
from bench.common.text import encodable
from bench.datasets import Dataset

ASSETS = Path(__file__).parent / "assets"

#: Name of the page, and of the folder of its thumbnails where these are many.
PAGE, THUMBNAILS = "clean.html", "clean-thumbnails"

#: Upper bounds of the number of thumbnails in the page itself, and in the folder.
EMBEDDED, IN_FOLDER = 2_000, 20_000

#: Number of the most suspicious samples that have a thumbnail, flagged or not.
_FIRST = 500

#: Issues of samples that have a tab of the page.
_SHOWN = {BLANK, CONFLICT, DARK, LEAK, TINY}


def write_page(audit: Audit, dataset: Dataset, out: Path) -> Path:
    """Write the page of an audit into a folder, and its thumbnails beside it if they are many.

    Args:
        dataset: the data set that was audited; its images are what thumbnails are made of.
        out: folder to write to; it exists.

    Returns:
        The path of the page.
    """
    order = audit.order
    images = [] if dataset.on_vectors else _pictured(audit)
    parts = [(str(audit.split[position]), int(audit.index[position])) for position in order[images]]
    webps = Thumbnails(dataset).webps(parts)
    thumbnails = {row: webp for row, webp in zip(images, webps, strict=True) if webp}
    in_folder = len(thumbnails) > EMBEDDED
    if in_folder:
        pictures = _write_thumbnails(out / THUMBNAILS, thumbnails)
    else:
        pictures = {row: base64.b64encode(webp).decode() for row, webp in thumbnails.items()}
    data = page_data(audit) | {
        **_links(audit, dataset, out),
        "folder": THUMBNAILS if in_folder else None,
    }
    script, style = _asset("clean.js"), _asset("clean.css")
    contents = {
        "script": script,
        "style": style,
        "script.hash": _source_hash(script),
        "style.hash": _source_hash(style),
        "data": embedded(data),
        "pictures": embedded(pictures),
    }
    path = out / PAGE
    write_atomically(path, filled(_asset("clean.html"), contents).encode())
    if in_folder:
        _remove_unused(out / THUMBNAILS, set(pictures.values()))
    return path


def page_data(audit: Audit) -> dict[str, Any]:
    """Return the audit as clean.js reads it: one entry a sample, the most suspicious first."""
    order = audit.order
    return {
        "dataset": encodable(short_name(audit.dataset)),
        "hash": audit.data_hash,
        "classes": [encodable(name) for name in audit.classes],
        "names": [encodable(audit.names[position]) for position in order],
        "test": [int(audit.parts[position] == TEST) for position in order],
        "given": audit.given[order],
        "suggested": audit.suggested[order],
        "second": audit.second[order],
        "third": audit.third[order],
        "p_wrong": np.round(audit.p_wrong[order].astype(float), 4),
        "p_suggested": np.round(audit.p_suggested[order].astype(float), 3),
        "flagged": int(audit.flagged.sum()),
        "nearest": audit.rank[audit.nearest[order]] - 1,
        "group": audit.duplicate_group[order],
        "outlier": np.flatnonzero(audit.outlier[order]),
        "issues": {
            row: audit.issues[position]
            for row, position in enumerate(order)
            if audit.issues[position]
        },
        "rate": audit.rate,
        "notes": [encodable(note) for note in audit.notes],
    }


def _pictured(audit: Audit) -> list[int]:
    """Return the rows of the page that have a thumbnail: suspects, and then their neighbours."""
    order = audit.order
    if len(order) <= EMBEDDED:
        return list(range(len(order)))
    shown = np.array([bool(_SHOWN & set(issues)) for issues in audit.issues])
    suspects = np.flatnonzero(
        (audit.flagged | audit.outlier | shown)[order] | (audit.rank[order] <= _FIRST)
    )
    neighbours = audit.rank[audit.nearest[order[suspects]]].ravel() - 1
    rows = dict.fromkeys([*suspects.tolist(), *neighbours.tolist()])
    return list(rows)[:IN_FOLDER]


def _write_thumbnails(folder: Path, thumbnails: Mapping[int, bytes]) -> dict[int, str]:
    """Write thumbnails into a folder; return the name of each file, by row.

    Files are named by their content: an earlier page that is still open shows no other sample.
    """
    folder.mkdir(exist_ok=True)
    names = {}
    for row, webp in thumbnails.items():
        names[row] = f"{hashlib.sha256(webp).hexdigest()[:16]}.webp"
        path = folder / names[row]
        if not path.exists() or path.stat().st_size != len(webp):
            path.write_bytes(webp)
    return names


def _remove_unused(folder: Path, names: Collection[str]) -> None:
    """Remove the thumbnails of earlier pages, some of which are named by rows."""
    for path in folder.glob("*.webp"):
        if path.name not in names and re.fullmatch("[0-9a-f]{16}|[0-9]+", path.stem):
            path.unlink()


def _links(audit: Audit, dataset: Dataset, out: Path) -> dict[str, Any]:
    """Return the address of the images' folder from the page's, and those of odd names by row."""
    folder = root_of(dataset)
    if folder is None:
        return {"root": None, "links": {}}
    root, page = os.path.realpath(folder), os.path.realpath(out)
    odd = {
        row: _address(os.path.join(root, audit.names[position]), page)
        for row, position in enumerate(audit.order)
        if _is_odd(audit.names[position])
    }
    return {"root": _address(root, page), "links": odd}


def _is_odd(name: str) -> bool:
    """Return True if clean.js cannot make a file's address from its name."""
    return os.path.isabs(name) or encodable(name) != name


def _address(path: str, page: str) -> str:
    return quote(os.fsencode(os.path.relpath(path, page)))


def _source_hash(text: str) -> str:
    """Return the source of a Content-Security-Policy that allows an element with this text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
