"""Reading of trials' records.

``trials/<id>/`` holds ``spec.json``, ``epochs.jsonl`` (one line an epoch), and, once the trial is
over, ``samples.npz`` and ``done.json``. The last one is written last and marks the trial as over:
whatever its status, it is a row. These files are the truth; whatever else a sweep keeps can be
thrown away.
"""

import contextlib
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from bench.common.files import write_atomically
from bench.common.identity import identity, plain_id, trial_id
from bench.errors import InputError, reason_of
from bench.records.archive import ARCHIVE, opened
from bench.records.epochs import content_of, curves, lines, read_epochs, unreadable
from bench.records.index import Entry, Index, stamp
from bench.records.schema import (
    AUDIT_OF,
    COMPLETED,
    LOST,
    RETRIED,
    STATUSES,
    SUCCEEDED,
    Done,
    Ending,
    Epoch,
    Recorded,
    SpecFile,
)

_DONE, _ENDING = msgspec.json.Decoder(Done), msgspec.json.Decoder(Ending)
_FILE = msgspec.json.Decoder(SpecFile)


def sweep_facts(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's sweep.json; empty where it is missing or damaged."""
    try:
        return msgspec.json.decode((folder / "sweep.json").read_bytes(), type=dict[str, Any])
    except (OSError, ValueError, RecursionError):
        return {}


@dataclass(frozen=True)
class Trial:
    """Trial that is over; its epochs and samples are read when they are needed."""

    folder: Path
    file: SpecFile  # content of spec.json
    done: Done
    # with results of the same specification in other folders: see ``bench.records.merge``
    conflicts: tuple[str, ...] = ()
    known: Mapping[str, np.ndarray] = field(default_factory=dict)  # curves that were read with it

    @cached_property
    def id(self) -> str:
        """Hash of its identity, or the folder's name, which earlier versions made from a path."""
        values = self.file.spec
        return self.folder.name if identity(values) is values else trial_id(values)

    @cached_property
    def spec(self) -> Recorded:
        """Its specification.

        Raises:
            InputError: where a field is missing, or has another type.
        """
        try:
            return msgspec.convert(self.file.spec, Recorded)
        except msgspec.ValidationError as error:
            raise _no_record(self.folder, error) from error

    @property
    def succeeded(self) -> bool:
        """True where it has results to rank."""
        return self.done.status in SUCCEEDED

    @property
    def lost(self) -> bool:
        """True where its machine ended it, which says nothing of the method."""
        return self.done.status == LOST

    @cached_property
    def epochs(self) -> list[Epoch]:
        """Records of its epochs."""
        return read_epochs(self.folder / "epochs.jsonl")

    def curve(self, key: str) -> np.ndarray:
        """Return one figure over epochs, (E,) float; NaN where it is undefined."""
        if key in self.known:
            return self.known[key]
        return np.array([epoch.figure(key) for epoch in self.epochs], dtype=float)


def read_samples(folder: Path, names: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Return final per-sample results of a trial's folder.

    Args:
        names: arrays to read, by default all. Where one of them is missing, nothing is returned.

    Raises:
        InputError: where the file is damaged, or missing without ``names``.
    """
    path = folder / "samples.npz"
    if names and not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not set(names) <= set(archive.files):
                return {}
            return {key: archive[key] for key in names or archive.files}
    except Exception as error:  # NumPy raises many types on damaged files
        missing = isinstance(error, FileNotFoundError)
        if isinstance(error, MemoryError) or (
            isinstance(error, OSError) and error.errno and not missing
        ):
            raise  # the machine's fault, not the file's
        reason = "missing" if missing else "damaged"
        raise InputError(
            f"{str(path)!r} is {reason} ({reason_of(error)}): delete the trial's folder "
            f"{str(folder)!r} and run again"
        ) from error


def check_specification(sweep: Path, name: str, file: SpecFile) -> None:
    """Check that the folder of the trial ``name`` holds the specification of ``file``.

    A trial without such a folder is on record in one that an earlier version has named: see
    ``results``.

    Raises:
        InputError: where its spec.json was changed.
    """
    path = sweep / "trials" / name / "spec.json"
    if not path.parent.exists():
        return
    present = _file(_read_json(path)[0])
    if present is None or trial_id(present.spec) != trial_id(file.spec):
        raise InputError(
            f"{str(path)!r} is not the specification its folder is named after: move the folder "
            "away"
        )


def check_sweep(sweep: Path) -> None:
    """Raise InputError where a folder, or an archive, holds no sweep."""
    sweep = opened(sweep)
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
        raise unreadable(sweep / "trials", error) from error


#: Files without trials beside them that are no sweep's, and that its report would overwrite, or
#: contradict.
_OF_OTHERS = (ARCHIVE, "leaderboard.md", "leaderboard.csv", "index.html")


def check_own(sweep: Path) -> None:
    """Raise InputError where a folder holds what is not a sweep's own, to which it may not add.

    That is a board, or somebody's page, without trials; or trials that were imported, or are an
    audit's. A folder with these holds no others, so that the first one decides.
    """
    if not (sweep / "trials").is_dir():
        if (sweep / "trials").exists():
            raise InputError(
                f"{str(sweep)!r} holds a file 'trials', where a sweep has a folder: choose another "
                "--out"
            )
        for name in _OF_OTHERS:
            if (sweep / name).exists():
                raise InputError(
                    f"{str(sweep)!r} holds {name}, but no trials that a sweep could add to: choose "
                    "another --out"
                )
    for name in _names(sweep):
        try:
            file = _file(_read_json(sweep / "trials" / name / "spec.json")[0])
        except InputError:  # a later reader says so
            continue
        if file and "imported" in file.spec:
            raise InputError(
                f"{str(sweep)!r} holds imported trials, which other people ran: choose another "
                "--out, and give both folders to python -m bench.report"
            )
        if file and str(file.spec.get("dataset")).startswith(AUDIT_OF):
            raise InputError(
                f"{str(sweep)!r} holds the trials of an audit of labels: choose another --out"
            )
        return


class Result(NamedTuple):
    """Folder and status of a trial that is over, and the hashes of its code, where it has them."""

    folder: Path
    status: str
    code: Mapping[str, str] | None


def results(sweep: Path) -> dict[str, Result]:
    """Return every trial that is over, by id.

    Where a trial has several records, one that is not to be run again wins.
    """
    best: dict[str, Result] = {}
    for folder, ending in _over(sweep):
        code = ending.code if isinstance(ending.code, dict) else None
        result = Result(folder, ending.status, code)
        name = _id_of(folder)
        if name not in best or _merit(result.status) > _merit(best[name].status):
            best[name] = result
    return best


def finished_statuses(sweep: Path) -> dict[str, str]:
    """Return the status of every trial that is over, by id."""
    return {name: result.status for name, result in results(sweep).items()}


def _merit(status: str) -> int:
    """Rank a record among several of one trial: a result, a failure, a lost trial."""
    return 2 * (status in COMPLETED) + (status in RETRIED)


def without_weights(sweep: Path, names: Collection[str]) -> int:
    """Count the trials of these ids that have a result, but no final weights."""
    over = results(sweep)
    succeeded = [over[name] for name in names if name in over and over[name].status in SUCCEEDED]
    return sum(not (result.folder / "model.safetensors").exists() for result in succeeded)


def read_trials(
    sweep: Path, keys: Sequence[str] = (), *, skip_damaged: bool = False
) -> Iterator[Trial]:
    """Yield all trials of a sweep's folder that are over, in a stable order.

    Args:
        sweep: the folder, or an archive of it (``bench.records.archive``).
        keys: figures whose curves are read too, which is many times as fast as from
            ``Trial.epochs``; those of a large sweep are kept in an index (``bench.records.index``).
        skip_damaged: whether a trial without a valid specification or ending is left out, with a
            warning; only without ``keys``.

    Raises:
        InputError: where there is no sweep, or such a trial is not to be left out.
    """
    check_sweep(sweep)
    sweep = opened(sweep)
    if not keys:
        for name in _names(sweep):
            if record := _read_over(f"{sweep}/trials/{name}"):
                folder = sweep / "trials" / name
                try:
                    trial = Trial(folder, _specification(folder)[0], _done(record.text, folder))
                except InputError:
                    if not skip_damaged:
                        raise
                    warn_of_damage(folder)
                    continue
                yield trial
        return
    index = Index(sweep, tuple(keys))
    for name in _names(sweep):
        if (entry := _indexed(index, sweep, name, tuple(keys))) is None:
            continue
        index.add(entry)
        folder, known = sweep / "trials" / name, dict(zip(keys, entry.curves, strict=True))
        yield Trial(folder, _FILE.decode(entry.spec), _done(entry.done, folder), known=known)
    if (columns := index.content()) is not None:
        with contextlib.suppress(OSError):  # a folder that takes no file goes without one
            write_atomically(index.path, columns)


def warn_of_damage(folder: Path) -> None:
    """Warn that the trial of a folder, of somebody else's sweep, is left out."""
    warnings.warn(f"{str(folder)!r} is no trial's record, and is left out", stacklevel=3)


def _indexed(index: Index, sweep: Path, name: str, keys: tuple[str, ...]) -> Entry | None:
    """Return a trial's entry, from the index or from its files; None where it is not over."""
    folder, place = sweep / "trials" / name, f"{sweep}/trials/{name}"
    now = stamp(place)
    if entry := index.get(name, now):
        return entry
    if (record := _read_over(place)) is None:
        return None
    _, spec = _specification(folder)
    count = record.ending.epochs if _has_count(record.ending) else None
    figures = curves(record.epochs, folder / "epochs.jsonl", keys, count)
    return Entry(name, now, spec, record.text, figures)


def read_begun(sweep: Path) -> Iterator[tuple[Path, SpecFile, str | None]]:
    """Yield every trial that was ever started: folder, spec.json and, if it is over, its status.

    A trial with several records comes once. A result is preferred to a failure, and a failure to a
    record that is not over.
    """
    over = dict(_over(sweep))
    best: dict[str, tuple[int, Path, SpecFile]] = {}
    for path in sorted((sweep / "trials").glob("*/spec.json")):
        try:
            content, _ = _read_json(path)
        except InputError:
            if path.parent in over:
                raise
            continue  # the next run of the trial writes it again
        file = _checked(path.parent, content)
        merit = 1 + _merit(over[path.parent].status) if path.parent in over else 0
        name = trial_id(file.spec)
        if name not in best or best[name][0] < merit:
            best[name] = merit, path.parent, file
    for _, folder, file in best.values():
        yield folder, file, over[folder].status if folder in over else None


def read_done(folder: Path) -> Done:
    """Return how the trial of a folder ended.

    Raises:
        InputError: where its done.json cannot be read, or holds values of other types.
    """
    path = folder / "done.json"
    try:
        return _done(content_of(path), folder)
    except OSError as error:
        raise unreadable(path, error) from error


class _Record(NamedTuple):
    """Files of a trial that is over."""

    ending: Ending
    text: bytes  # of done.json
    epochs: bytes  # content of epochs.jsonl


def _read_over(folder: str) -> _Record | None:
    """Return the record of a trial; None where it is not over.

    A damaged record counts as not over, with a warning.
    """
    path = f"{folder}/done.json"
    try:
        text = content_of(path)
        ending = _ENDING.decode(text)
        if ending.status not in STATUSES:
            raise ValueError
        path = f"{folder}/epochs.jsonl"
        content = lines(path)
        if _has_count(ending) and content.count(b"\n") != ending.epochs:
            raise ValueError
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError:  # msgspec's errors, too
        warnings.warn(
            f"{path} is damaged; the trial is run again with its sweep, and left out until then",
            stacklevel=4,
        )
        return None
    return _Record(ending, text, content)


def _has_count(ending: Ending) -> bool:
    """Return whether done.json says how many epochs the record holds."""
    return ending.status in COMPLETED and ending.epochs is not UNSET


def _done(text: bytes, folder: Path) -> Done:
    try:
        return _DONE.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_record(folder, error) from error


def _no_record(folder: Path, error: Exception) -> InputError:
    return InputError(f"{str(folder)!r} is no trial's record ({error}): delete it and run again")


def _over(sweep: Path) -> Iterator[tuple[Path, Ending]]:
    """Yield the folder of every trial that is over, and how it ended."""
    for name in _names(sweep):
        if record := _read_over(f"{sweep}/trials/{name}"):
            yield sweep / "trials" / name, record.ending


def _names(sweep: Path) -> list[str]:
    """Return the names of the trials' folders, in a stable order."""
    try:
        return sorted(os.listdir(sweep / "trials"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(sweep / "trials", error) from error


def _id_of(folder: Path) -> str:
    """Return the trial's id by its spec.json; the folder's name where that does not fit it."""
    try:
        file, _ = _specification(folder)
    except InputError:
        return folder.name
    return trial_id(file.spec)


def _specification(folder: Path) -> tuple[SpecFile, bytes]:
    """Return value and text of a trial's spec.json."""
    content, text = _read_json(folder / "spec.json")
    return _checked(folder, content), text


def _file(content: Any) -> SpecFile | None:
    """Return the content of a spec.json; None where it is none."""
    try:
        return msgspec.convert(content, SpecFile)
    except msgspec.ValidationError:
        return None


def _checked(folder: Path, content: Any) -> SpecFile:
    """Return the content of a folder's spec.json, whose id is the folder's name."""
    file = _file(content)
    if file is None or folder.name not in (trial_id(file.spec), plain_id(file.spec)):
        raise InputError(
            f"{str(folder / 'spec.json')!r} is not the specification that its folder is named "
            f"after, {folder.name}: move the folder away, or give it back its name"
        )
    return file


def _read_json(path: Path) -> tuple[Any, bytes]:
    """Return value and text of a JSON file."""
    try:
        text = content_of(path)
        return msgspec.json.decode(text), text
    except (ValueError, OSError) as error:
        raise InputError(
            f"{str(path)!r} is damaged ({error}): delete its folder and run again"
        ) from error
