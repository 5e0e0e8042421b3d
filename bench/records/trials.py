"""What a trial leaves on disk, and reading it back.

``trials/<id>/`` holds ``spec.json``, ``epochs.jsonl`` (one line an epoch), and, once the trial is
over, ``samples.npz`` and ``done.json``. The last one is written last and marks the trial as over:
whatever its status, it is a row. These files are the truth; whatever else a sweep keeps can be
thrown away.
"""

import base64
import contextlib
import errno
import json
import os
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from bench.common.files import to_json, write_atomically
from bench.common.identity import identity, plain_id, trial_id
from bench.common.version import git_commit
from bench.errors import InputError
from bench.records.index import Entry, Index, stamp
from bench.records.schema import COMPLETED, LOST, RETRIED, STATUSES, SUCCEEDED


@contextlib.contextmanager
def lock(out: Path) -> Iterator[None]:
    """Keep a second driver out of a sweep's folder. The lock goes with the process, however that
    ends.
    """
    import fcntl  # not on every platform: here a command has checked it

    with (out / ".lock").open("w") as file:
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


def pack_classes(classes: np.ndarray) -> str:
    """Predicted classes (N,) as a short string."""
    return base64.b64encode(zlib.compress(classes.astype("<u2").tobytes(), 6)).decode()


def unpack_classes(text: str) -> np.ndarray:
    """The classes that ``pack_classes`` wrote."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2").astype(np.int64)


def unpack_truth(text: str | None) -> np.ndarray | None:
    """True classes that ``pack_classes`` wrote: negative ones come back from 16 bits without a sign
    as the largest numbers.
    """
    if text is None:
        return None
    classes = unpack_classes(text)
    return np.where(classes >= 1 << 15, classes - (1 << 16), classes)


def kept(models: bool, features: bool) -> frozenset[str]:
    """What a trial is asked to keep: its final "models", "features" of up to ``scoring.PROBES``
    samples of known truth.
    """
    return frozenset(
        name for name, wanted in (("models", models), ("features", features)) if wanted
    )


class TrialWriter:
    """Writes one trial's folder. The driver of a sweep holds one for each running trial."""

    def __init__(
        self, sweep: Path, name: str, spec: dict[str, Any], draw: int | None = None
    ) -> None:
        """``draw``: of a search's trial, how many its search had drawn before it."""
        self.folder = sweep / "trials" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "spec.json"
        if path.exists():
            try:
                msgspec.json.decode(path.read_bytes())
            except msgspec.DecodeError:
                warnings.warn(f"{path} is damaged; it is written again", stacklevel=2)
                path.unlink()
        if path.exists():
            check_specification(sweep, name, spec)
        else:
            write_atomically(
                path, to_json(spec if draw is None else spec | {"draw": draw}, indent=1)
            )

    def restart(self, epochs: Iterable[dict[str, Any]] = ()) -> None:
        """Cut the record back to these epochs: none, or those before the checkpoint that the trial
        goes on from.
        """
        for name in ("done.json", "samples.npz", "model.safetensors"):
            (self.folder / name).unlink(missing_ok=True)
        write_atomically(self.folder / "epochs.jsonl", b"".join(map(to_json, epochs)))

    def append(self, epochs: Iterable[dict[str, Any]]) -> None:
        """Add epochs; they are on disk when this returns."""
        with (self.folder / "epochs.jsonl").open("ab") as file:
            file.write(b"".join(map(to_json, epochs)))
            file.flush()
            os.fsync(file.fileno())

    def finish(
        self, facts: dict[str, Any], samples: bytes | None = None, weights: bytes | None = None
    ) -> None:
        """Mark the trial as over, and say by which code: a folder may grow over many commits."""
        if samples is not None:
            write_atomically(self.folder / "samples.npz", samples)
        if weights is not None:
            write_atomically(self.folder / "model.safetensors", weights)
        write_atomically(
            self.folder / "done.json", to_json({"git_commit": git_commit()} | facts, indent=1)
        )


@dataclass(frozen=True)
class Trial:
    """A trial that is over, read lazily."""

    folder: Path
    spec: dict[str, Any]
    done: dict[str, Any]
    # with results of the same specification in other folders: see bench/records/merge.py
    conflicts: tuple[str, ...] = ()
    known: Mapping[str, np.ndarray] = field(default_factory=dict)  # curves that were read with it

    @cached_property
    def id(self) -> str:
        """Hash of its identity. Folders that an earlier version has named after a path keep their
        names.
        """
        spec = self.spec.get("spec", {})
        return self.folder.name if identity(spec) is spec else trial_id(spec)

    @property
    def succeeded(self) -> bool:
        return self.done["status"] in SUCCEEDED

    @property
    def lost(self) -> bool:
        """True where the machine ended the trial, so that it says nothing of the method."""
        return self.done["status"] == LOST

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """One dictionary an epoch."""
        return read_epochs(self.folder / "epochs.jsonl")

    def curve(self, key: str) -> np.ndarray:
        """One figure over epochs, (E,) float; NaN where it is undefined."""
        return (
            self.known[key]
            if key in self.known
            else np.array([epoch.get(key) for epoch in self.epochs], dtype=float)
        )

    def samples(self) -> dict[str, np.ndarray]:
        """Final per-sample results."""
        return read_samples(self.folder)


def read_samples(folder: Path, names: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Final per-sample results of a trial's folder: all of them, or these; nothing where one of
    these is missing.
    """
    if names and not (folder / "samples.npz").exists():
        return {}
    with np.load(folder / "samples.npz", allow_pickle=False) as archive:
        if not set(names) <= set(archive.files):
            return {}
        return {key: archive[key] for key in names or archive.files}


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Lines of an ``epochs.jsonl``; a torn last line is dropped with a warning."""
    try:
        content = _lines(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _epochs(content, path)


def _unreadable(path: str | Path, error: OSError) -> InputError:
    return InputError(
        f"cannot read {str(path)!r} ({error.strerror}): make it readable, or move its folder away"
    )


def _content(path: str | Path) -> bytes:
    # a buffer takes longer than the reading, and a report reads thousands
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _lines(path: str | Path) -> bytes:
    """Content of an ``epochs.jsonl``; nothing where there is none."""
    try:
        return _content(path)
    except FileNotFoundError:
        return b""


def _epochs(content: bytes, path: Path) -> list[dict[str, Any]]:
    lines = content.rstrip().splitlines()
    # all at once, which is fast; what is wrong is found line by line
    with contextlib.suppress(msgspec.DecodeError):
        if len(epochs := _ANY_LINE.decode_lines(content)) == len(lines):  # it skips empty ones
            return epochs
    epochs = []
    for number, line in enumerate(lines, 1):
        try:
            epochs.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise InputError(
                    f"line {number} of {str(path)!r} is damaged: delete its folder and run again"
                ) from None
            warnings.warn(f"dropped a torn last line of {path}", stacklevel=2)
    return epochs


_ANY_LINE = msgspec.json.Decoder(dict[str, Any])


def _curves(content: bytes, path: Path, keys: tuple[str, ...], epochs: int | None) -> np.ndarray:
    """These K figures over epochs, (K, E), of the content of an ``epochs.jsonl`` of so many epochs,
    where that is known.
    """
    try:
        figures = _figures(content, path, keys)
        whole = epochs in (None, len(figures))  # empty lines are skipped
    except msgspec.DecodeError:
        whole = False
    if not whole:  # line by line, which names what is damaged
        figures = _figures(b"".join(map(to_json, _epochs(content, path))), path, keys)
    return np.ascontiguousarray(figures.T)


def _figures(content: bytes, path: Path, keys: tuple[str, ...]) -> np.ndarray:
    """As ``_curves``, but (E, K), of content without damage; DecodeError where there is some."""
    try:
        lines = _decoder(keys).decode_lines(content)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{str(path)!r} is no trial's record ({error}): delete its folder and run again"
        ) from error
    return np.array([msgspec.structs.astuple(line) for line in lines], dtype=float).reshape(
        -1, len(keys)
    )


@cache
def _decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Of lines from which these figures are taken: all else is skipped, which is most of the work."""
    return msgspec.json.Decoder(
        msgspec.defstruct("Line", [(key, float | None, None) for key in keys], gc=False)
    )


def _read_json(path: Path) -> tuple[Any, bytes]:
    """A JSON file's value and text."""
    try:
        text = _content(path)
        return msgspec.json.decode(text), text
    except (ValueError, OSError) as error:
        raise InputError(
            f"{str(path)!r} is damaged ({error}): delete its folder and run again"
        ) from error


def check_specification(sweep: Path, name: str, spec: dict[str, Any]) -> None:
    """Raise InputError where the spec.json of the trial ``name`` is of another trial than ``spec``:
    somebody has changed it.

    A trial without a folder of that name is on record in one that an earlier version has named; see
    ``results``.
    """
    path = sweep / "trials" / name / "spec.json"
    if not path.parent.exists():
        return
    found, _ = _read_json(path)
    values = found.get("spec") if isinstance(found, dict) else None
    if not isinstance(values, dict) or trial_id(values) != trial_id(spec["spec"]):
        raise InputError(
            f"{str(path)!r} is not the specification its folder is named after: move the folder "
            "away"
        )


def _names(sweep: Path) -> list[str]:
    """Names of the trials' folders, in a stable order."""
    try:
        return sorted(os.listdir(sweep / "trials"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(sweep / "trials", error) from error


def _read_over(folder: str) -> tuple[dict[str, Any], bytes, bytes] | None:
    """Value and text of a trial's done.json, and the content of its record; None of a trial that is
    not over.

    One whose record is torn counts as not over, with a warning.
    """
    path = f"{folder}/done.json"
    try:
        text = _content(path)
        done = msgspec.json.decode(text)
        if done["status"] not in STATUSES:
            raise ValueError
        path = f"{folder}/epochs.jsonl"
        content = _lines(path)
        if (
            done["status"] in COMPLETED
            and "epochs" in done
            and content.count(b"\n") != done["epochs"]
        ):
            raise ValueError
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, TypeError):
        warnings.warn(
            f"{path} is damaged; the trial is run again with its sweep, and left out until then",
            stacklevel=4,
        )
        return None
    return done, text, content


def _over(sweep: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and done.json of every trial that is over."""
    for name in _names(sweep):
        if found := _read_over(f"{sweep}/trials/{name}"):
            yield sweep / "trials" / name, found[0]


class Result(NamedTuple):
    """Folder and status of a trial that is over, and the hashes of the code that made it, where its
    record has them.
    """

    folder: Path
    status: str
    code: Mapping[str, str] | None


def results(sweep: Path) -> dict[str, Result]:
    """Every trial that is over, by id; of several records of one trial one that is not to be run
    again.
    """
    found: dict[str, Result] = {}
    for folder, done in _over(sweep):
        code = done.get("code")
        result = Result(folder, done["status"], code if isinstance(code, dict) else None)
        name = _id_of(folder)
        if name not in found or _merit(result.status) > _merit(found[name].status):
            found[name] = result
    return found


def _merit(status: str) -> int:
    """Rank of a record among several of one trial: a result, then a failure, then what its machine
    ended.
    """
    return 2 * (status in COMPLETED) + (status in RETRIED)


def finished_statuses(sweep: Path) -> dict[str, str]:
    """Status of every trial that is over, by id."""
    return {name: result.status for name, result in results(sweep).items()}


def _id_of(folder: Path) -> str:
    """The trial's id by its spec.json; the folder's name where that does not fit it."""
    try:
        spec, _ = _specification(folder)
    except InputError:
        return folder.name
    return trial_id(spec["spec"])


def check_sweep(sweep: Path) -> None:
    """Raise InputError where a folder holds no sweep."""
    try:
        os.scandir(sweep / "trials").close()
    except (FileNotFoundError, NotADirectoryError):
        if not sweep.is_dir():
            raise InputError(
                f"there is no folder {str(sweep)!r}: give one that python -m bench.run wrote"
            ) from None
        raise InputError(
            f"{str(sweep)!r} holds no sweep: give a folder that python -m bench.run wrote"
        ) from None
    except OSError as error:
        raise _unreadable(sweep / "trials", error) from error


def read_trials(sweep: Path, curves: Sequence[str] = ()) -> Iterator[Trial]:
    """All trials of a sweep's folder that are over, one after another, in a stable order.

    Args:
        curves: figures over epochs to read with them, which is many times as fast as from
            ``Trial.epochs``; of a large sweep they are kept in an index (``bench.records.index``).
    """
    check_sweep(sweep)
    if not curves:
        for folder, done in _over(sweep):
            yield Trial(folder, _specification(folder)[0], done)
        return
    keys = tuple(curves)
    index = Index(sweep, keys)
    for name in _names(sweep):
        folder, own = sweep / "trials" / name, f"{sweep}/trials/{name}"
        now = stamp(own)
        if entry := index.get(name, now):
            spec, done = msgspec.json.decode(entry.spec), msgspec.json.decode(entry.done)
        elif found := _read_over(own):
            done, text, content = found
            spec, about = _specification(folder)
            epochs = done.get("epochs") if done["status"] in COMPLETED else None
            entry = Entry(
                name, now, about, text, _curves(content, folder / "epochs.jsonl", keys, epochs)
            )
        else:
            continue
        index.add(entry)
        yield Trial(folder, spec, done, known=dict(zip(keys, entry.curves, strict=True)))
    if (columns := index.content()) is not None:
        with contextlib.suppress(OSError):  # a folder that takes no file goes without one
            write_atomically(index.path, columns)


def _specification(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Value and text of a trial's spec.json."""
    spec, text = _read_json(folder / "spec.json")
    _check_folder(folder, spec)
    return spec, text


def _check_folder(folder: Path, spec: Any) -> None:
    values = spec.get("spec") if isinstance(spec, dict) else None
    if not isinstance(values, dict) or folder.name not in (trial_id(values), plain_id(values)):
        raise InputError(
            f"{str(folder / 'spec.json')!r} is not the specification that its folder is named "
            f"after, {folder.name}: move the folder away, or give it back its name"
        )


def read_begun(sweep: Path) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any] | None]]:
    """Folder, spec.json and, of those that are over, done.json of every trial that was ever
    started.

    A trial with several records comes once: with a result before a failure, and with either before
    none.
    """
    over = dict(_over(sweep))
    best: dict[str, tuple[int, Path, dict[str, Any]]] = {}
    for path in sorted((sweep / "trials").glob("*/spec.json")):
        try:
            content, _ = _read_json(path)
        except InputError:
            if path.parent in over:
                raise
            continue  # whoever runs the trial writes it again
        _check_folder(path.parent, content)
        done = over.get(path.parent)
        merit = 0 if done is None else 1 + _merit(done["status"])
        name = trial_id(content["spec"])
        if name not in best or best[name][0] < merit:
            best[name] = merit, path.parent, content
    for _, folder, content in best.values():
        yield folder, content, over.get(folder)


def without_weights(sweep: Path, names: Collection[str]) -> int:
    """Count the trials that have a result, but no final weights."""
    over = results(sweep)
    ended = [over[name].folder for name in names if name in over and over[name].status in SUCCEEDED]
    return sum(not (folder / "model.safetensors").exists() for folder in ended)
