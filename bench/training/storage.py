"""Stores of checkpoints: a folder, or one that a whole cluster reaches, such as s3://bucket/path."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bench.common.files import write_atomically
from bench.errors import InputError, reason_of
from bench.records.schema import COMPLETED

if TYPE_CHECKING:
    import pyarrow.fs


@dataclass(frozen=True)
class StoredFile:
    """File in a store, with the methods of a ``Path`` that a checkpoint needs."""

    system: "pyarrow.fs.FileSystem"
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        return self.path

    def with_name(self, name: str) -> "StoredFile":
        return StoredFile(self.system, f"{self.path.rpartition('/')[0]}/{name}")

    def exists(self) -> bool:
        import pyarrow.fs

        return self.system.get_file_info(self.path).type == pyarrow.fs.FileType.File

    def read_bytes(self) -> bytes:
        with self.system.open_input_stream(self.path) as stream:
            return stream.read()

    def write_bytes(self, content: bytes) -> None:
        with self.system.open_output_stream(self.path) as stream:
            stream.write(content)

    def replace(self, target: "StoredFile") -> None:
        self.system.move(self.path, target.path)

    def unlink(self, missing_ok: bool = False) -> None:
        if not missing_ok or self.exists():
            self.system.delete_file(self.path)


def write_whole(
    file: Path | StoredFile, content: bytes, previous: Path | StoredFile | None = None
) -> None:
    """Write ``content`` to ``file``, all or nothing; an older file moves to ``previous``."""
    fresh: Any = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        if isinstance(file, Path):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(fresh, content)
        else:
            fresh.write_bytes(content)
        if previous is not None and file.exists():
            file.replace(previous)  # type: ignore[arg-type]  # both are of one kind
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def sweep_place(storage: str, out: Path) -> str:
    """Return a sweep's own folder in a store that several sweeps share."""
    # The options of an address follow a question mark.
    path, mark, query = storage.partition("?") if "://" in storage else (storage, "", "")
    # The hash tells sweeps of the same name apart.
    folder = f"{out.name}-{hashlib.sha256(os.fsencode(out)).hexdigest()[:6]}"
    return f"{path.rstrip('/')}/{folder}{mark}{query}"


#: File that names the run of the sweep whose workers may write to the store.
OWNER = ".owner"


class Store:
    """Checkpoints of one sweep."""

    def __init__(self, place: str | Path) -> None:
        """Open a folder, or an address that pyarrow or fsspec understands.

        Raises:
            InputError: where there is no such kind of store.
        """
        self.place = str(place)  # for a worker to open
        self.folder: Path | None = None
        scheme, separator, rest = self.place.partition("://")
        if not separator and re.match(r"[a-z][a-z0-9]+:", self.place):
            raise InputError(
                f"--storage {self.place!r} is neither a folder nor an address: write for example "
                "s3://bucket/path"
            )
        if not separator:
            self.folder = Path(self.place).expanduser().resolve()
            self.place = str(self.folder)
        elif scheme == "file":
            self.folder = Path(unquote(urlsplit(self.place).path))
        else:
            self.system, self.root = _file_system(self.place, scheme, rest)

    def file(self, key: str) -> Path | StoredFile:
        """Return the file of the trial ``key``."""
        return self._at(f"{key}.pt")

    def _at(self, name: str) -> Path | StoredFile:
        return self.folder / name if self.folder else StoredFile(self.system, f"{self.root}/{name}")

    def claim(self, run: str) -> None:
        """Let only workers of ``run`` write: those of a killed driver may still be alive."""
        write_whole(self._at(OWNER), run.encode())

    def owner(self) -> str | None:
        """Return the latest run that claimed the store; None once it is over.

        It is None as well on a machine that lacks the folder.
        """
        file = self._at(OWNER)
        return file.read_bytes().decode() if file.exists() else None

    def check(self) -> None:
        """Raise InputError unless the store can be written to."""
        probe = self.file(f".probe-{os.getpid()}")
        try:
            if not self.folder:
                self.system.create_dir(self.root, recursive=True)
            write_whole(probe, b"")
            probe.unlink()
        except Exception as error:  # stores raise errors of many types
            raise InputError(
                f"cannot write to --storage ({reason_of(error)}): check its address and your "
                "credentials"
            ) from error

    def tidy(self, statuses: Mapping[str, str]) -> None:
        """Remove torn files, and states of completed trials, that a killed process left."""
        for file in self._files():
            torn = file.name.startswith(".") and file.name != OWNER
            if torn or statuses.get(file.name.partition(".")[0]) in COMPLETED:
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder unless it holds the state of a trial."""
        if any(file.name != OWNER for file in self._files()):
            return
        if not self.folder:
            self.system.delete_dir(self.root)
        elif self.folder.is_dir():
            (self.folder / OWNER).unlink(missing_ok=True)
            self.folder.rmdir()

    def _files(self) -> list[Any]:
        if self.folder:
            return list(self.folder.glob("*"))
        import pyarrow.fs

        selector = pyarrow.fs.FileSelector(self.root, allow_not_found=True)
        return [StoredFile(self.system, info.path) for info in self.system.get_file_info(selector)]


def _file_system(place: str, scheme: str, rest: str) -> "tuple[pyarrow.fs.FileSystem, str]":
    """Open an address with pyarrow, or with fsspec where pyarrow does not know its scheme."""
    import pyarrow
    import pyarrow.fs

    try:
        system, root = pyarrow.fs.FileSystem.from_uri(place)
        return system, root.rstrip("/")
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        if "nrecognized filesystem" not in str(error):  # a known scheme with a wrong address
            raise InputError(
                f"--storage {place!r} is no address ({error}): write for example s3://bucket/path"
            ) from error
    except OSError as error:
        raise InputError(
            f"cannot reach --storage {place!r} ({error}): check its address and your credentials"
        ) from error
    import fsspec

    try:
        system = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fsspec.filesystem(scheme)))
    except (ValueError, ImportError) as error:
        raise InputError(
            f"--storage cannot be {place!r} ({error}): use a folder, s3:// or gs://"
        ) from error
    return system, rest.rstrip("/")
