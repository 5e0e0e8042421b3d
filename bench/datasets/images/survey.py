"""Survey of a set's files: digest, extremes and damage of each, from reading it once.

Surveys are kept in the cache. An interrupted one is continued.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from bench.common.files import write_atomically
from bench.common.progress import track
from bench.datasets.images.cache_folder import cache_folder, readable_folders
from bench.datasets.images.damage import BrokenImage, read_bytes
from bench.datasets.images.decoding import extremes_of, read
from bench.datasets.images.depth import NO_EXTREMES, Extremes
from bench.datasets.images.files import ImageFiles, as_bytes
from bench.errors import InputError

#: Version of decoding, raised when files are decoded differently. 2: images of more than 8 bits are
#: scaled by the data set's range.
VERSION = 2

#: Number of files between two looks at the clock.
CHUNK = 512

#: Seconds between two writes of an unfinished survey.
SAVE_SECONDS = 30.0


class Survey(msgspec.Struct):
    """Findings from reading every file of a set once."""

    stamp: str  # hash of names, sizes and times
    digests: list[bytes] = []  # SHA-256 of each file
    extremes: Extremes = NO_EXTREMES
    # position -> what is wrong; without decoding, only errors of reading
    broken: dict[int, str] = {}


def survey(files: ImageFiles, decoding: bool) -> Survey:
    """Return the survey of the files, from the cache if names, sizes and times are unchanged.

    Args:
        decoding: find the images that cannot be decoded, too: for sets too large for memory.

    Raises:
        InputError: if a file is not there, or changes meanwhile.
    """
    stamp = _stamp(files)
    memo = f"{'read' if decoding else 'seen'}-{stamp}"
    result = _remembered(memo, stamp, len(files))
    start, saved, lasting = len(result.digests), time.monotonic(), True
    if start == len(files):
        return result
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for first in track(range(start, len(files), CHUNK), "reading images"):
                positions = range(first, min(first + CHUNK, len(files)))
                examined = list(pool.map(partial(_examine, files, decoding), positions))
                for position, (digest, extremes, error) in zip(positions, examined, strict=True):
                    result.extremes |= extremes
                    if error is not None:
                        result.broken[position] = error.reason
                        lasting = lasting and not error.passing
                    result.digests.append(digest)
                if lasting and time.monotonic() - saved > SAVE_SECONDS:
                    _remember(memo, result)
                    saved = time.monotonic()
    finally:
        # If a file has gone meanwhile, the check below says so, unless the user interrupts.
        with contextlib.suppress(InputError):
            if lasting and _stamp(files) == stamp:
                _remember(memo, result)
    check_unchanged(files, stamp)
    return result


def _examine(
    files: ImageFiles, decoding: bool, position: int
) -> tuple[bytes, Extremes, BrokenImage | None]:
    """Read one file; return its digest, its extremes and its damage."""
    path = files.path(position)
    try:
        content = read_bytes(path)
    except BrokenImage as error:
        return hashlib.sha256(error.reason.encode()).digest(), NO_EXTREMES, error
    digest, extremes = hashlib.sha256(content).digest(), extremes_of(path, content)
    try:
        if decoding:
            read(path, content, extremes=extremes)
    except BrokenImage as error:
        return digest, NO_EXTREMES, error
    return digest, extremes, None


def check_unchanged(files: ImageFiles, stamp: str) -> None:
    """Raise InputError unless names, sizes and times are those of the stamp."""
    if _stamp(files) != stamp:
        raise InputError(
            f"files below {files.root!r} changed while they were read: run the same command again"
        )


def check_any_readable(files: ImageFiles, broken: Mapping[int, str]) -> None:
    """Raise InputError if every file is among the broken ones, position -> reason."""
    if len(broken) == len(files):
        position, reason = next(iter(broken.items()))
        raise InputError(
            f"none of the {len(files)} images below {files.root!r} can be read (as "
            f"{files.names[position]}: {reason}): mend them"
        )


def _stamp(files: ImageFiles) -> str:
    """Return the hash of the names, sizes and times of all files."""
    digest = hashlib.sha256(as_bytes(f"{VERSION} {files.root}"))
    for position, name in enumerate(files.names):
        path = files.path(position)
        try:
            facts = path.stat()
        except OSError as error:
            raise InputError(
                f"{str(path)!r} cannot be read ({error.strerror}): put it back"
            ) from error
        digest.update(as_bytes(f"{name} {facts.st_size} {facts.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _remember(memo: str, survey: Survey) -> None:
    with contextlib.suppress(OSError, InputError):  # without it the next survey takes longer
        write_atomically(cache_folder() / memo, msgspec.msgpack.encode(survey))


def _remembered(memo: str, stamp: str, count: int) -> Survey:
    """Return the survey as far as it went; an empty one if none can be trusted."""
    for folder in readable_folders():
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            survey = msgspec.msgpack.decode((folder / memo).read_bytes(), type=Survey)
            if survey.stamp == stamp and len(survey.digests) <= count:
                return survey
    return Survey(stamp)
