"""Writing of records: one driver at a time, and nothing half written."""

import contextlib
import errno
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from bench.common.files import to_json, write_atomically
from bench.common.version import git_commit
from bench.errors import InputError
from bench.records.schema import Done, Epoch, SpecFile
from bench.records.trials import check_specification


@contextlib.contextmanager
def lock(out: Path) -> Iterator[None]:
    """Keep a second driver out of a sweep's folder; the lock ends with the process.

    Raises:
        InputError: where another driver holds it, or the file system has no locks.
    """
    import fcntl  # not on every platform: here a command has checked it

    try:
        file = (out / ".lock").open("w")
    except IsADirectoryError as error:
        raise InputError(
            f"cannot write {str(out / '.lock')!r} ({error.strerror}): choose another --out"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another command is writing to {str(out)!r}: wait for it, or choose another --out"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            raise InputError(
                f"the file system of {str(out)!r} has no locks ({error.strerror}): choose an --out "
                "on another one, or have it mounted with the option flock"
            ) from None
        yield


def extra_results(models: bool, features: bool) -> frozenset[str]:
    """Return the names of the results that a trial keeps beside its record.

    "models" are the final weights. "features" are those of up to ``scoring.PROBES`` samples whose
    true class is known.
    """
    return frozenset(["models"] * models + ["features"] * features)


class TrialWriter:
    """Writer of one trial's folder. A sweep's driver holds one for each running trial."""

    def __init__(self, sweep: Path, name: str, file: SpecFile, draw: int | None = None) -> None:
        """Write spec.json, or check the one that is there.

        Args:
            draw: number of configurations that the trial's search had drawn before it.
        """
        self.folder = sweep / "trials" / name
        self._imported = "imported" in file.spec
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "spec.json"
        if path.exists():
            try:
                msgspec.json.decode(path.read_bytes())
            except (msgspec.DecodeError, UnicodeDecodeError):
                warnings.warn(f"{path} is damaged; it is written again", stacklevel=2)
                path.unlink()
        if path.exists():
            check_specification(sweep, name, file)
        else:
            if draw is not None:
                file = msgspec.structs.replace(file, draw=draw)
            write_atomically(path, to_json(msgspec.to_builtins(file), indent=1))

    def restart(self, epochs: Iterable[Epoch] = ()) -> None:
        """Cut the record back to the epochs before a checkpoint, by default to none."""
        for name in ("done.json", "samples.npz", "model.safetensors"):
            (self.folder / name).unlink(missing_ok=True)
        write_atomically(self.folder / "epochs.jsonl", _lines(epochs))

    def append(self, epochs: Iterable[Epoch]) -> None:
        """Add epochs; they are on disk when this returns."""
        with (self.folder / "epochs.jsonl").open("ab") as file:
            file.write(_lines(epochs))
            file.flush()
            os.fsync(file.fileno())

    def finish(
        self, done: Done, samples: bytes | None = None, weights: bytes | None = None
    ) -> None:
        """Mark the trial as over, with today's commit: a folder may grow over many commits.

        An imported trial gets no commit, as this code did not run it.
        """
        if samples is not None:
            write_atomically(self.folder / "samples.npz", samples)
        if weights is not None:
            write_atomically(self.folder / "model.safetensors", weights)
        if not self._imported:
            done = msgspec.structs.replace(done, git_commit=git_commit())
        write_atomically(self.folder / "done.json", to_json(msgspec.to_builtins(done), indent=1))


def _lines(epochs: Iterable[Epoch]) -> bytes:
    return b"".join(to_json(epoch.to_json()) for epoch in epochs)
