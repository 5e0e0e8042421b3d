"""Cache of decoded images: one memory-mapped uint8 array for all images of a set.

A cache is named after the content of its files and the size of its images. An interrupted cache is
continued. One process makes a cache while others wait. A cache with a wrong checksum is made anew.
"""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.common.files import to_json, write_atomically
from bench.common.progress import track
from bench.datasets.images.cache_folder import (
    cache_folder,
    locked,
    readable_folders,
    unwritable,
)
from bench.datasets.images.damage import BrokenImage
from bench.datasets.images.decoding import decode
from bench.datasets.images.files import ImageFiles
from bench.datasets.images.survey import (
    VERSION,
    Survey,
    check_any_readable,
    check_unchanged,
    survey,
)
from bench.errors import InputError

#: Number of images decoded between two writes of the progress.
CHUNK = 512


@dataclass(frozen=True)
class Decoded:
    """Images in memory, and the files that they are of."""

    images: np.ndarray  # uint8 (M, 3, side, side)
    positions: np.ndarray  # (M,) positions of the files that could be read
    broken: dict[str, str]  # file -> what is wrong with it


def decoded(files: ImageFiles, known: Survey | None = None) -> Decoded:
    """Return the images of the files from the cache, which is made if need be.

    Args:
        known: survey of the files, if the caller has it.

    Raises:
        InputError: if the cache cannot be written, or no file can be read.
    """
    known = known or survey(files, decoding=False)
    files = files if files.extremes else replace(files, extremes=known.extremes)
    key = _key(files, known)
    for folder in readable_folders():
        if finished := _open(folder / f"images-{key}", files, key):
            return finished
    place = cache_folder() / f"images-{key}"
    try:
        place.mkdir(exist_ok=True)
        with locked(place):
            finished = _open(place, files, key)  # another process may have made it meanwhile
            if finished is None:
                _make(place, files, key, known)
                finished = _open(place, files, key)
    except OSError as error:
        raise unwritable(place.parent, error) from error
    assert finished is not None
    return finished


def _key(files: ImageFiles, known: Survey) -> str:
    """Return the name of a cache: the hash of all that decoding depends on."""
    extremes = f" {files.extremes}" if files.extremes else ""
    content = hashlib.sha256(f"{VERSION} {files.side}{extremes}".encode())
    content.update(b"".join(known.digests))
    return content.hexdigest()[:16]


def _open(place: Path, files: ImageFiles, key: str) -> Decoded | None:
    """Return the finished cache, or None if there is none that can be trusted."""
    manifest, data = place / "manifest.json", place / "images.u8"
    # os.path, because pathlib raises in a folder that is closed to the user.
    if not os.path.exists(manifest):
        return None
    try:
        facts = json.loads(manifest.read_bytes())
        broken = facts["broken"]
        if facts["content"] != key:
            raise ValueError("they are of other files")
        shape = (len(files) - len(broken), *files.shape[1:])
        # As a plain array: Ray's copy of a memmap would claim to be writable, and each trial would
        # copy it once more.
        images = np.memmap(data, np.uint8, "r", shape=shape).view(np.ndarray)
        is_complete = data.stat().st_size == images.size
        if not is_complete or hashlib.sha256(images.data).hexdigest() != facts["sha256"]:
            raise ValueError("their checksum is wrong")
    except (ValueError, KeyError, TypeError, OSError) as error:
        warnings.warn(
            f"the decoded images in {place} are damaged ({error}); they are made anew", stacklevel=2
        )
        with contextlib.suppress(OSError):  # nothing can be removed from a read-only folder
            for path in (manifest, data):
                path.unlink(missing_ok=True)
        return None
    # Positions, not names: files of equal content share a cache, whatever their names.
    positions = _readable(files, broken)
    reasons = {str(files.names[int(position)]): reason for position, reason in broken.items()}
    return Decoded(images, positions, reasons)


def _readable(files: ImageFiles, broken: Mapping[str, str]) -> np.ndarray:
    """Return the positions (M,) of the files that are not broken."""
    return np.setdiff1d(np.arange(len(files)), np.array([*map(int, broken)], dtype=np.int64))


def _make(place: Path, files: ImageFiles, key: str, known: Survey) -> None:
    """Decode all files; continue an interrupted attempt."""
    partial_file, progress = place / "images.partial", place / "progress.json"
    start, broken = _resume(partial_file, progress, int(np.prod(files.shape)))
    images = np.memmap(partial_file, np.uint8, "r+", shape=files.shape)
    decode_one = partial(_decode_into, images, files, known)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in track(range(start, len(files), CHUNK), "decoding images"):
            positions = range(first, min(first + CHUNK, len(files)))
            for position, reason in zip(positions, pool.map(decode_one, positions), strict=True):
                if reason is not None:
                    broken[str(position)] = reason
            images.flush()
            write_atomically(progress, to_json({"done": positions.stop, "broken": broken}))
    check_unchanged(files, known.stamp)
    check_any_readable(files, {int(position): reason for position, reason in broken.items()})
    end = 0
    for position in _readable(files, broken):  # close the gaps that broken files leave
        if end < position:
            images[end] = images[position]
        end += 1
    images.flush()
    checksum = hashlib.sha256(images[:end].data).hexdigest()
    os.truncate(partial_file, images[:end].size)
    os.replace(partial_file, place / "images.u8")
    facts = {"content": key, "sha256": checksum, "shape": (end, *files.shape[1:]), "broken": broken}
    write_atomically(place / "manifest.json", to_json(facts))
    progress.unlink(missing_ok=True)


def _resume(partial_file: Path, progress: Path, size: int) -> tuple[int, dict[str, str]]:
    """Return the first position to decode and the broken files before it; reserve the space."""
    try:
        state: dict[str, Any] = json.loads(progress.read_bytes())
        start, broken = int(state["done"]), dict(state["broken"])
        if partial_file.stat().st_size != size:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        _reserve(partial_file, size)
        return 0, {}
    return start, broken


def _reserve(path: Path, size: int) -> None:
    """Make a file of that many bytes; on a full disk, writing to the map would end the process."""
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _decode_into(images: np.ndarray, files: ImageFiles, known: Survey, position: int) -> str | None:
    """Decode one file into its place; return what is wrong with it, or None."""
    try:
        images[position] = decode(files.path(position), files.side, extremes=files.extremes)
    except BrokenImage as error:
        if error.passing and position not in known.broken:  # a cache must not remember it
            raise InputError(
                f"{str(error.path)!r} could be read before, but not now ({error.reason}): put it "
                "back, then run the same command again"
            ) from error
        images[position] = 0
        return error.reason
    return None
