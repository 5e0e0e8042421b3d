"""Images decoded once, kept as one memory-mapped uint8 array.

A cache is named after the content of the files it was made from, and after the size they were brought to. Making one can be
interrupted and goes on where it was; two processes do not get in each other's way; one that was damaged is noticed by its
checksum, and made anew.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.files import AS_BYTES, BrokenImage, ImageFiles, decode
from bench.errors import InputError
from bench.records import to_json, write_atomically

#: To be raised when files are decoded differently.
VERSION = 1

#: Images decoded between two notes of how far it got.
CHUNK = 512

#: Decoded images up to this many bytes are kept in memory; more are streamed from their files.
MEMORY = 4 << 30


@dataclass(frozen=True)
class Decoded:
    """Images in memory, and which files they are."""

    images: np.ndarray  # uint8 (M, 3, side, side)
    kept: np.ndarray  # (M,) positions of the files that could be read
    broken: dict[str, str]  # file -> what is wrong with it


def folder() -> Path:
    """Where caches are: LNL_BENCH_CACHE, or lnl-bench in the user's cache folder."""
    if chosen := os.environ.get("LNL_BENCH_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lnl-bench"


def keep_library_caches() -> None:
    """Let libraries that keep files for later (Matplotlib its fonts, torch its kernels) do so in our cache, nowhere else."""
    for variable, name in (("MPLCONFIGDIR", "matplotlib"), ("TORCHINDUCTOR_CACHE_DIR", "torch")):
        os.environ.setdefault(variable, str(folder() / name))


def fits(files: ImageFiles) -> bool:
    """Whether the decoded images are few enough for memory."""
    given = os.environ.get("LNL_BENCH_MEMORY_GB") or MEMORY / 2**30
    try:
        limit = float(given) * 2**30
    except ValueError as error:
        raise InputError(f"LNL_BENCH_MEMORY_GB is {given!r}: give a number of gigabytes") from error
    return int(np.prod(files.shape)) <= limit


def decoded(files: ImageFiles) -> Decoded:
    """The images of the files, from the cache, which is made if need be.

    Raises:
        InputError: where the cache cannot be written, or no file can be read.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True)
        key = _content(files)
        place = folder() / f"images-{key}"
        place.mkdir(exist_ok=True)
        found = _open(place, files, key)
        if found is None:
            with _lock(place):
                found = _open(place, files, key)  # another process may have made it meanwhile
                if found is None:
                    _make(place, files, key)
                    found = _open(place, files, key)
    except OSError as error:
        raise _unwritable(error) from error
    assert found is not None
    return found


def _unwritable(error: OSError) -> InputError:
    return InputError(
        f"cannot keep decoded images in {str(folder())!r} ({error.strerror or error}): "
        f"name another folder in the environment variable LNL_BENCH_CACHE"
    )


def unreadable(files: ImageFiles) -> dict[str, str]:
    """Files that cannot be decoded, with the reason: for those too many to keep decoded."""

    def one(name: str) -> str | None:
        try:
            decode(Path(files.root) / name, files.side)
        except BrokenImage as error:
            return error.reason
        return None

    broken: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in _shown(range(0, len(files), CHUNK), "reading"):
            names = [str(name) for name in files.names[first : first + CHUNK]]
            broken |= {name: reason for name, reason in zip(names, pool.map(one, names), strict=True) if reason is not None}
    return broken


def note(subject: str, content: str) -> None:
    """Remember the content hash of something, to notice later that it has changed."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        write_atomically(_note(subject), content.encode())
    except OSError as error:
        raise _unwritable(error) from error


def noted(subject: str) -> str | None:
    """The content hash that was noted, if any."""
    return _note(subject).read_text(errors="replace") if _note(subject).exists() else None


def _note(subject: str) -> Path:
    return folder() / f"noted-{hashlib.sha256(subject.encode(errors=AS_BYTES)).hexdigest()[:16]}"


def _content(files: ImageFiles) -> str:
    """Hash of all files' bytes; read again only where a file's size or time has changed."""
    digest = hashlib.sha256(f"{VERSION} {files.side} {files.root}".encode(errors=AS_BYTES))
    for name, stat in zip(files.names, _stats(files), strict=True):
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors=AS_BYTES))
    memo = folder() / f"seen-{digest.hexdigest()[:16]}"
    if memo.exists() and (known := re.fullmatch(rb"[0-9a-f]{16}", memo.read_bytes())):
        return known[0].decode()
    content = hashlib.sha256(f"{VERSION} {files.side}".encode())
    for name in _shown(files.names, "reading"):
        content.update(hashlib.sha256((Path(files.root) / str(name)).read_bytes()).digest())
    key = content.hexdigest()[:16]
    with contextlib.suppress(OSError):  # it saves time, no more
        write_atomically(memo, key.encode())
    return key


def _stats(files: ImageFiles) -> Iterator[os.stat_result]:
    for name in files.names:
        path = Path(files.root) / str(name)
        try:
            yield path.stat()
        except OSError as error:
            raise InputError(f"{str(path)!r} cannot be read ({error.strerror}): put it back") from error


@contextmanager
def _lock(place: Path) -> Iterator[None]:
    """One process makes a cache, the others wait for it."""
    with (place / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open(place: Path, files: ImageFiles, key: str) -> Decoded | None:
    """The finished cache, or None where there is none that can be trusted."""
    manifest, data = place / "manifest.json", place / "images.u8"
    if not manifest.exists():
        return None
    try:
        facts = json.loads(manifest.read_bytes())
        broken = facts["broken"]
        if facts["content"] != key:
            raise ValueError("they are of other files")
        shape = (len(files) - len(broken), *files.shape[1:])
        images = np.memmap(data, np.uint8, "r", shape=shape)
        if data.stat().st_size != images.size or hashlib.sha256(images.data).hexdigest() != facts["sha256"]:
            raise ValueError("their checksum is wrong")
    except (ValueError, KeyError, TypeError, OSError) as error:
        warnings.warn(f"the decoded images in {place} are damaged ({error}); they are made anew", stacklevel=2)
        for path in (manifest, data):
            path.unlink(missing_ok=True)
        return None
    # Positions, not names: files of equal content share a cache, whatever they are called.
    kept = np.array([position for position in range(len(files)) if str(position) not in broken], dtype=np.int64)
    named = {str(files.names[int(position)]): reason for position, reason in broken.items()}
    return Decoded(images, kept, named)


def _make(place: Path, files: ImageFiles, key: str) -> None:
    """Decode all files; goes on where an interrupted attempt stopped."""
    partial, progress = place / "images.partial", place / "progress.json"
    try:
        state = json.loads(progress.read_bytes())
        start, broken = int(state["done"]), dict(state["broken"])
        if partial.stat().st_size != int(np.prod(files.shape)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        start, broken = 0, {}
        with partial.open("wb") as file:
            file.truncate(int(np.prod(files.shape)))
    images = np.memmap(partial, np.uint8, "r+", shape=files.shape)

    def one(position: int) -> str | None:
        try:
            images[position] = decode(Path(files.root) / str(files.names[position]), files.side)
        except BrokenImage as error:
            images[position] = 0
            return error.reason
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in _shown(range(start, len(files), CHUNK), "decoding"):
            positions = range(first, min(first + CHUNK, len(files)))
            for position, reason in zip(positions, pool.map(one, positions), strict=True):
                if reason is not None:
                    broken[str(position)] = reason
            images.flush()
            write_atomically(progress, to_json({"done": positions.stop, "broken": broken}))
    if len(broken) == len(files):
        position, reason = next(iter(broken.items()))
        raise InputError(
            f"none of the {len(files)} images below {files.root!r} can be read (as {files.names[int(position)]}: {reason}): "
            f"mend them"
        )
    end = 0
    for position in range(len(files)):  # those that can be read close ranks
        if str(position) not in broken:
            if end < position:
                images[end] = images[position]
            end += 1
    images.flush()
    checksum = hashlib.sha256(images[:end].data).hexdigest()
    os.truncate(partial, images[:end].size)
    os.replace(partial, place / "images.u8")
    facts = {"content": key, "sha256": checksum, "shape": (end, *files.shape[1:]), "broken": broken}
    write_atomically(place / "manifest.json", to_json(facts))
    progress.unlink(missing_ok=True)


def _shown(items: Any, verb: str) -> Iterator:
    """The items, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(track(items, f"{verb} images", console=console, transient=True, disable=not console.is_terminal))
