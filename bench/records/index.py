"""Index of a large sweep's records, from which the next report reads them fast.

It is one file beside the trials, with their spec.json and done.json unchanged, and curves as
arrays. The records stay the truth: a trial is taken from the index only while inode, size and times
of its files are unchanged. The index can be deleted at any time.
"""

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

NAME = ".index.npz"

#: Records of fewer bytes are read as fast as an index is.
WORTHWHILE = 1 << 25

_FILES = ("spec.json", "done.json", "epochs.jsonl")

#: Version of the index's format: an index of another version is not read.
SCHEMA = 1

#: Size, inode, and times of change of content and of inode in ns, for each of a trial's files. No
#: program can set the last one.
Stamp = tuple[int, ...]
_FACTS_OF_FILE = 4


class Entry(NamedTuple):
    """Record of a trial that is over."""

    name: str
    stamp: Stamp
    spec: bytes
    done: bytes
    curves: np.ndarray  # (K, E) of the K figures of the index


def stamp(folder: str) -> Stamp:
    """Return the stamp of a trial's files; empty where one is missing."""
    try:
        files = [os.stat(f"{folder}/{name}") for name in _FILES]
    except OSError:
        return ()
    return tuple(
        value
        for file in files
        for value in (file.st_size, file.st_ino, file.st_mtime_ns, file.st_ctime_ns)
    )


class Index:
    """Reader of a sweep's index, and collector of the entries of a new one."""

    def __init__(self, sweep: Path, figures: tuple[str, ...]) -> None:
        """Read the index; one of other figures counts as none.

        Args:
            figures: keys whose curves are read.
        """
        self.path, self._figures = sweep / NAME, figures
        self._earlier: dict[str, Entry] = {}
        # The file may be absent, or damaged: its readers then raise a dozen types of error.
        with contextlib.suppress(Exception):
            self._earlier = {entry.name: entry for entry in self._read()}
        self._entries: list[Entry] = []
        self._fresh = 0

    def get(self, name: str, stamp: Stamp) -> Entry | None:
        """Return the entry of a trial whose files have not changed, or None."""
        entry = self._earlier.get(name)
        return entry if entry and entry.stamp == stamp else None

    def add(self, entry: Entry) -> None:
        """Add an entry to the new index."""
        self._entries.append(entry)
        if self._earlier.get(entry.name) is not entry and entry.stamp:
            self._fresh += sum(entry.stamp[::_FACTS_OF_FILE])

    def content(self) -> bytes | None:
        """Return the content of the new index; None where it would save too little."""
        if self._fresh < WORTHWHILE:
            return None
        entries = [entry for entry in self._entries if entry.stamp]
        texts = [text for entry in entries for text in (entry.spec, entry.done)]
        columns: dict[str, Any] = {
            "stamps": np.array([entry.stamp for entry in entries]),
            "texts": np.frombuffer(b"".join(texts), np.uint8),
            "lengths": np.array([len(text) for text in texts]),
            "epochs": np.array([entry.curves.shape[1] for entry in entries]),
            "curves": np.concatenate([entry.curves for entry in entries], axis=1),
        }
        header = [SCHEMA, self._figures, [entry.name for entry in entries], _checksum(columns)]
        columns["about"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **columns)
        return buffer.getvalue()

    def _read(self) -> list[Entry]:
        with np.load(self.path, allow_pickle=False) as file:
            schema, figures, names, checksum = json.loads(file["about"].tobytes())
            if schema != SCHEMA or tuple(figures) != self._figures:
                return []
            columns = {name: file[name] for name in file.files if name != "about"}
        if _checksum(columns) != checksum:  # the archive's own checksums leave out parts of it
            return []
        stamps, texts = columns["stamps"].tolist(), columns["texts"].tobytes()
        ends, epochs = (
            np.concatenate([[0], columns[name].cumsum()]).tolist() for name in ("lengths", "epochs")
        )
        entries = []
        for place, name in enumerate(names):
            start, middle, end = ends[2 * place : 2 * place + 3]
            curves = columns["curves"][:, epochs[place] : epochs[place + 1]]
            entries.append(
                Entry(name, tuple(stamps[place]), texts[start:middle], texts[middle:end], curves)
            )
        return entries


def _checksum(columns: dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b()
    for name, column in sorted(columns.items()):
        digest.update(f"{name} {column.dtype} {column.shape} ".encode())
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
