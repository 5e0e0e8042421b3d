"""Images decoded once, kept as one memory-mapped uint8 array.

A cache is named after the content of the files it was made from, and after the size they were
brought to. Making one can be interrupted and goes on where it was; two processes do not get in each
other's way; one that was damaged is noticed by its checksum, and made anew.
"""

import contextlib
import hashlib
import io
import json
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bench.common.files import to_json, write_atomically
from bench.common.progress import track
from bench.datasets import pickled
from bench.datasets.files import (
    BrokenImage,
    Extremes,
    ImageFiles,
    as_bytes,
    decode,
    extremes_of,
    read,
    read_bytes,
)
from bench.errors import InputError

#: To be raised when files are decoded differently. 2: images of more than 8 bits are scaled by the
#: data set's range.
VERSION = 2

#: Images decoded between two notes of how far it got.
CHUNK = 512

#: Seconds between two notes of which files were read.
SAVE_SECONDS = 30.0

#: Decoded images up to this many bytes are kept in memory; more are streamed from their files.
MEMORY = 4 << 30

#: Environment variable that names the folder of caches.
VARIABLE = "LNL_BENCH_CACHE"


@dataclass(frozen=True)
class Decoded:
    """Images in memory, and which files they are."""

    images: np.ndarray  # uint8 (M, 3, side, side)
    kept: np.ndarray  # (M,) positions of the files that could be read
    broken: dict[str, str]  # file -> what is wrong with it


@dataclass
class Survey:
    """Findings from reading every file once."""

    stamp: str  # hash of names, sizes and times
    digests: np.ndarray  # uint8 (N, 32): SHA-256 of each file
    extremes: Extremes = field(default_factory=Extremes)
    # position -> what is wrong; only read errors without decoding
    broken: dict[int, str] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------------------
# folders


def preferred() -> Path | None:
    """Folder where caches are to be: LNL_BENCH_CACHE, or lnl-bench in the user's cache folder; None
    without a home.
    """
    if given := os.environ.get(VARIABLE):
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError as error:
            raise InputError(
                f"{VARIABLE} is {given!r}, but there is no home folder: give a path without ~"
            ) from error
    try:
        shared = Path(os.environ.get("XDG_CACHE_HOME") or "").expanduser()
        if shared.is_absolute():  # a relative one is to be ignored, says the XDG specification
            return shared / "lnl-bench"
    except RuntimeError:  # it begins with ~, and there is no home folder
        pass
    try:
        home = Path.home()
    except RuntimeError:  # a user whom the system does not know, as in containers
        return None
    return home / ".cache" / "lnl-bench" if os.path.isdir(home) else None


def folder() -> Path:
    """Return the folder that caches are written to: ``preferred``, or a temporary one of the user's
    where that is read-only.

    Raises:
        InputError: where LNL_BENCH_CACHE names a folder that cannot be written, or there is no
            other.
    """
    place = preferred()
    reason = "there is no home folder" if place is None else _refusal(place)
    if place is not None and reason is None:
        return place
    if os.environ.get(VARIABLE):
        raise InputError(
            f"cannot keep files in {str(place)!r} ({reason}): name another folder in {VARIABLE}"
        )
    return scratch()


def scratch() -> Path:
    """Return the user's own temporary folder for caches, the same at every call.

    Raises:
        InputError: where it cannot be made, or others could have put files there.
    """
    place = None
    try:
        place = Path(tempfile.gettempdir()) / f"lnl-bench-{os.getuid()}"
        place.mkdir(mode=0o700, exist_ok=True)
        facts = place.lstat()  # of the name itself: it may be somebody's link
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
            raise PermissionError(1, "it is not a folder that is yours alone")
        if reason := _refusal(place):
            raise PermissionError(1, reason)
    except OSError as error:
        where = "" if place is None else f" in {str(place)!r}"
        raise InputError(
            f"cannot keep files{where} ({error.strerror or error}): name a folder in the "
            f"environment variable {VARIABLE}"
        ) from error
    return place


def _refusal(place: Path) -> str | None:
    """Make the folder; return why nothing can be written there, or None."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return None if os.access(place, os.W_OK | os.X_OK) else "it is read-only"


def _folders() -> list[Path]:
    """Folders that may hold what was kept earlier, the preferred one first."""
    places = [] if (place := preferred()) is None else [place]
    with contextlib.suppress(InputError):
        if not places or not os.access(places[0], os.W_OK):
            places.append(scratch())
    return places


def keep_library_caches() -> None:
    """Let libraries that keep files for later (Matplotlib its fonts, torch its kernels) do so in
    our cache, nowhere else.
    """
    try:
        place = folder()
    except InputError:  # the images' cache may be read-only, and yet all that is needed
        place = scratch()
    for variable, name in (("MPLCONFIGDIR", "matplotlib"), ("TORCHINDUCTOR_CACHE_DIR", "torch")):
        os.environ.setdefault(variable, str(place / name))


def fits(files: ImageFiles) -> bool:
    """Whether the decoded images are few enough for memory."""
    given = os.environ.get("LNL_BENCH_MEMORY_GB") or MEMORY / 2**30
    try:
        limit = float(given) * 2**30
        if not limit >= 0:
            raise ValueError
    except ValueError as error:
        raise InputError(f"LNL_BENCH_MEMORY_GB is {given!r}: give a number of gigabytes") from error
    return int(np.prod(files.shape)) <= limit


# -------------------------------------------------------------------------------------------------------------
# images


def decoded(files: ImageFiles, seen: Survey | None = None) -> Decoded:
    """Return the images of the files, from the cache, which is made if need be.

    Args:
        seen: their survey, where the caller has it.

    Raises:
        InputError: where the cache cannot be written, or no file can be read.
    """
    seen = seen or survey(files, decoding=False)
    files = files if files.extremes else replace(files, extremes=seen.extremes)
    key = _key(files, seen)
    for root in _folders():
        if finished := _open(root / f"images-{key}", files, key):
            return finished
    place = folder() / f"images-{key}"
    try:
        place.mkdir(exist_ok=True)
        with _lock(place):
            finished = _open(place, files, key)  # another process may have made it meanwhile
            if finished is None:
                _make(place, files, key, seen)
                finished = _open(place, files, key)
    except OSError as error:
        raise _unwritable(place.parent, error) from error
    assert finished is not None
    return finished


def _unwritable(place: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot keep decoded images in {str(place)!r} ({error.strerror or error}): "
        f"name another folder in the environment variable {VARIABLE}"
    )


def survey(files: ImageFiles, decoding: bool) -> Survey:
    """Read every file once; from memory where names, sizes and times are what they were.

    Args:
        decoding: find the images that cannot be decoded, too: for those too many to keep decoded.

    Raises:
        InputError: where a file is not there, or changes meanwhile.
    """
    stamp = _stamp(files)
    memo = f"{'read' if decoding else 'seen'}-{stamp}"
    seen, lasting = _remembered(memo, stamp, len(files)), True

    def examine(position: int) -> tuple[bytes, Extremes, BrokenImage | None]:
        path = files.path(position)
        try:
            content = read_bytes(path)
        except BrokenImage as error:
            return hashlib.sha256(error.reason.encode()).digest(), Extremes(), error
        digest, extremes = hashlib.sha256(content).digest(), extremes_of(path, content)
        try:
            if decoding:
                read(path, content, extremes=extremes)
        except BrokenImage as error:
            return digest, Extremes(), error
        return digest, extremes, None

    begin, saved = len(seen.digests), time.monotonic()
    if begin == len(files):
        return seen
    parts = [seen.digests]
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for first in track(range(begin, len(files), CHUNK), "reading images"):
                positions = range(first, min(first + CHUNK, len(files)))
                examined = list(pool.map(examine, positions))
                for position, (_, extremes, error) in zip(positions, examined, strict=True):
                    seen.extremes |= extremes
                    if error is not None:
                        seen.broken[position] = error.reason
                        lasting = lasting and not error.passing
                parts.append(
                    np.frombuffer(b"".join(digest for digest, *_ in examined), np.uint8).reshape(
                        -1, 32
                    )
                )
                if lasting and time.monotonic() - saved > SAVE_SECONDS:
                    seen.digests, saved = np.concatenate(parts), time.monotonic()
                    _remember(memo, seen)
    finally:
        seen.digests = np.concatenate(parts)
        # a file has gone meanwhile: said below, unless the user interrupts
        with contextlib.suppress(InputError):
            if lasting and _stamp(files) == stamp:
                _remember(memo, seen)
    _check_unchanged(files, stamp)
    return seen


def _check_unchanged(files: ImageFiles, stamp: str) -> None:
    if _stamp(files) != stamp:
        raise InputError(
            f"files below {files.root!r} changed while they were read: run the same command again"
        )


def _stamp(files: ImageFiles) -> str:
    """Hash of the names, sizes and times of all files."""
    digest = hashlib.sha256(as_bytes(f"{VERSION} {files.root}"))
    for name, facts in zip(files.names, _stats(files), strict=True):
        digest.update(as_bytes(f"{name} {facts.st_size} {facts.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _key(files: ImageFiles, seen: Survey) -> str:
    """Name of a cache: hash of all files' bytes and of all else that decoding depends on."""
    extremes = f" {files.extremes}" if files.extremes else ""
    content = hashlib.sha256(f"{VERSION} {files.side}{extremes}".encode())
    content.update(seen.digests.tobytes())
    return content.hexdigest()[:16]


def _remember(memo: str, seen: Survey) -> None:
    facts = {
        "integers": seen.extremes.integers,
        "floats": seen.extremes.floats,
        "broken": list(seen.broken.items()),
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        digests=seen.digests,
        facts=np.frombuffer(to_json(facts), np.uint8),
        stamp=np.array(seen.stamp),
    )
    with contextlib.suppress(OSError, InputError):  # it saves time, no more
        write_atomically(folder() / memo, buffer.getvalue())


def _remembered(memo: str, stamp: str, count: int) -> Survey:
    """The survey as far as it went; an empty one where there is none that can be trusted."""
    for root in _folders():
        try:
            with np.load(io.BytesIO((root / memo).read_bytes()), allow_pickle=False) as archive:
                digests, facts = archive["digests"], json.loads(archive["facts"].tobytes())
                known = str(archive["stamp"])
            if (
                known != stamp
                or digests.dtype != np.uint8
                or digests.shape[1:] != (32,)
                or len(digests) > count
            ):
                continue
            ranges = (
                None if facts[kind] is None else (facts[kind][0], facts[kind][1])
                for kind in ("integers", "floats")
            )
            broken = {int(position): str(reason) for position, reason in facts["broken"]}
            return Survey(stamp, digests, Extremes(*ranges), broken)
        except (*pickled.UNREADABLE, SyntaxError):
            continue
    return Survey(stamp, np.zeros((0, 32), np.uint8))


def note(subject: str, content: str) -> None:
    """Remember the content hash of something, to notice later that it has changed."""
    place = folder()
    try:
        write_atomically(place / _note(subject), content.encode())
    except OSError as error:
        raise _unwritable(place, error) from error


def noted(subject: str) -> str | None:
    """The content hash that was noted, if any."""
    for root in _folders():
        with contextlib.suppress(OSError):
            return (root / _note(subject)).read_text(errors="replace")
    return None


def _note(subject: str) -> str:
    return f"noted-{hashlib.sha256(as_bytes(subject)).hexdigest()[:16]}"


def _stats(files: ImageFiles) -> Iterator[os.stat_result]:
    for position in range(len(files)):
        path = files.path(position)
        try:
            yield path.stat()
        except OSError as error:
            raise InputError(
                f"{str(path)!r} cannot be read ({error.strerror}): put it back"
            ) from error


@contextmanager
def _lock(place: Path) -> Iterator[None]:
    """One process makes a cache, the others wait for it."""
    import fcntl  # not on every platform: here a command has checked it

    with (place / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open(place: Path, files: ImageFiles, key: str) -> Decoded | None:
    """The finished cache, or None where there is none that can be trusted."""
    manifest, data = place / "manifest.json", place / "images.u8"
    # False, too, in a folder that is closed to the user, where pathlib raises
    if not os.path.exists(manifest):
        return None
    try:
        facts = json.loads(manifest.read_bytes())
        broken = facts["broken"]
        if facts["content"] != key:
            raise ValueError("they are of other files")
        shape = (len(files) - len(broken), *files.shape[1:])
        # As a plain array: Ray's copy of a memmap would claim to be writable, and each trial copy
        # it once more.
        images = np.memmap(data, np.uint8, "r", shape=shape).view(np.ndarray)
        if (
            data.stat().st_size != images.size
            or hashlib.sha256(images.data).hexdigest() != facts["sha256"]
        ):
            raise ValueError("their checksum is wrong")
    except (ValueError, KeyError, TypeError, OSError) as error:
        warnings.warn(
            f"the decoded images in {place} are damaged ({error}); they are made anew", stacklevel=2
        )
        with contextlib.suppress(OSError):  # of a folder that is read-only, nothing is removed
            for path in (manifest, data):
                path.unlink(missing_ok=True)
        return None
    # Positions, not names: files of equal content share a cache, whatever they are called.
    kept = np.array(
        [position for position in range(len(files)) if str(position) not in broken], dtype=np.int64
    )
    named = {str(files.names[int(position)]): reason for position, reason in broken.items()}
    return Decoded(images, kept, named)


def _make(place: Path, files: ImageFiles, key: str, seen: Survey) -> None:
    """Decode all files; goes on where an interrupted attempt stopped."""
    partial, progress = place / "images.partial", place / "progress.json"
    try:
        state = json.loads(progress.read_bytes())
        start, broken = int(state["done"]), dict(state["broken"])
        if partial.stat().st_size != int(np.prod(files.shape)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        start, broken = 0, {}
        _reserve(partial, int(np.prod(files.shape)))
    images = np.memmap(partial, np.uint8, "r+", shape=files.shape)

    def one(position: int) -> str | None:
        try:
            images[position] = decode(files.path(position), files.side, extremes=files.extremes)
        except BrokenImage as error:
            if error.passing and position not in seen.broken:  # a cache must not remember it
                raise InputError(
                    f"{str(error.path)!r} could be read before, but not now ({error.reason}): "
                    f"put it back, then run the same command again"
                ) from error
            images[position] = 0
            return error.reason
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in track(range(start, len(files), CHUNK), "decoding images"):
            positions = range(first, min(first + CHUNK, len(files)))
            for position, reason in zip(positions, pool.map(one, positions), strict=True):
                if reason is not None:
                    broken[str(position)] = reason
            images.flush()
            write_atomically(progress, to_json({"done": positions.stop, "broken": broken}))
    _check_unchanged(files, seen.stamp)
    check_some(files, {int(position): reason for position, reason in broken.items()})
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


def _reserve(path: Path, size: int) -> None:
    """Make a file of that many bytes, for which there is room."""
    try:
        with path.open("wb") as file:
            # on a full disk, writing to the map would end the process
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            file.truncate(size)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def check_some(files: ImageFiles, broken: dict[int, str]) -> None:
    """Raise InputError where every file is among the broken ones, position -> reason."""
    if len(broken) == len(files):
        position, reason = next(iter(broken.items()))
        raise InputError(
            f"none of the {len(files)} images below {files.root!r} can be read (as "
            f"{files.names[position]}: {reason}): mend them"
        )
