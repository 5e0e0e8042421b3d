"""Archives of records, ``records.tar.gz``, which are read in the place of a sweep's folder."""

import errno
import gzip
import tarfile
import tempfile
import zlib
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

from bench.errors import InputError, reason_of

#: Name of the archive in a folder of reference results.
ARCHIVE = "records.tar.gz"

#: An archive that unpacks to more than this many times its size is refused, unless it is small.
#: Records have 3 to 12 times the size of their archive.
_RATIO, _SMALL = 100, 1 << 26

_CHUNK = 1 << 20
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)

#: Archives by the folders that they were unpacked to.
_SOURCES: dict[Path, Path] = {}


def opened(sweep: Path) -> Path:
    """Return the folder of a sweep; that of an archive lives as long as this process.

    An archive stands for a sweep as a file of any name, or as ``records.tar.gz`` in a folder
    without ``trials``.

    Raises:
        InputError: where an archive is damaged, unpacks to too much, or holds links, sparse files,
            or paths that lead out of it.
    """
    archive = sweep
    if sweep.is_dir() and not (sweep / "trials").exists():
        archive = sweep / ARCHIVE
    if not archive.is_file():
        return sweep
    facts = archive.stat()
    return _unpacked(archive.absolute(), facts.st_mtime_ns, facts.st_size)


def source_of(folder: Path) -> Path:
    """Return the archive of a folder that ``opened`` returned; any other folder as it is."""
    return _SOURCES.get(folder, folder)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    """Return the folder of all unpacked archives, which the end of the process removes."""
    return tempfile.TemporaryDirectory(prefix="lnl-bench-")


@cache
def _unpacked(archive: Path, changed: int, size: int) -> Path:
    # The page shows the last part of a sweep's path.
    folder = Path(tempfile.mkdtemp(dir=_temporary().name)) / (archive.parent.name or "records")
    folder.mkdir()
    try:
        _unpack(archive, folder)
    except InputError:
        raise
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{str(archive)!r} is no archive of records, or is damaged ({reason_of(error)}): get "
            "it again, or give the sweep's folder"
        ) from error
    if not (folder / "trials").is_dir():
        raise InputError(
            f"{str(archive)!r} holds no sweep: pack one with python -m bench.report SWEEP "
            "--archive --out DIR"
        )
    _SOURCES[folder] = archive
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Write the records of an archive below a folder; other files of it are passed over."""
    _check_size(archive)
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            path = _place(archive, member)
            content = members.extractfile(member)
            if content and (path.parts == ("sweep.json",) or path.parts[:1] == ("trials",)):
                _copy(content, folder / path)


def _check_size(archive: Path) -> None:
    """Read an archive to its checksum, which tarfile does not; refuse one that grows too much."""
    limit = max(_RATIO * archive.stat().st_size, _SMALL)
    with gzip.open(archive) as stream:
        while stream.read(_CHUNK):
            if stream.tell() > limit:
                raise InputError(
                    f"{str(archive)!r} unpacks to more than {limit >> 20:,} MB, too much for "
                    "records: get it from a source that you trust, or give the sweep's folder"
                )


def _place(archive: Path, member: tarfile.TarInfo) -> PurePosixPath:
    """Return the relative path of a plain file or folder."""
    path = PurePosixPath(member.name)
    plain = (member.isfile() and not member.issparse()) or member.isdir()
    if not plain or path.is_absolute() or ".." in path.parts:
        raise InputError(
            f"{str(archive)!r} holds {member.name!r}, which is a link or sparse, or leads out of "
            "the archive: get it from a source that you trust"
        )
    return path


def _copy(content: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)
