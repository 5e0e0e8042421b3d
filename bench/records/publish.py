"""Archive of a sweep's records, as a board below ``results/reference`` holds it."""

import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import UNSET

from bench.common.files import to_json, write_output
from bench.records.archive import ARCHIVE, opened
from bench.records.epochs import content_of, lines, read_epochs, unreadable
from bench.records.trials import read_done, results

#: Bytes above which an archive leaves out the predictions on held-out images. They are 95 % of a
#: record with 5,000 such images, and a board's folder is to stay below 5 MB.
LARGEST = 3 << 20

#: An absolute path, as a word of a command line, or behind ``--out=`` or schemes as ``npz:``.
_PLACE = re.compile(r"((?:--[a-z-]+=)?(?:[a-z-]+:)*)(/.*[^/])/*", re.DOTALL)


def write_archive(sweep: Path, folder: Path, complete: bool = False) -> tuple[Path, bool]:
    """Write ``records.tar.gz`` and a copy of ``sweep.json`` into a folder.

    The archive holds every trial that is over, without per-sample results and weights. The same
    records make the same bytes. Of absolute paths in ``sweep.json`` and specifications only the
    last name is kept: where a machine holds a file is nobody else's business, and no part of what a
    trial is (``bench.common.identity``).

    Args:
        sweep: a sweep's folder, or an archive of one.
        complete: keep the predictions on held-out images in an archive of any size.

    Returns:
        The archive's path, and whether it holds the predictions on the held-out images.

    Raises:
        InputError: where sweep.json or a record cannot be read, or the folder not be written.
    """
    facts = _without_places(check_archivable(sweep))
    sweep = opened(sweep)
    folders = {name: result.folder for name, result in results(sweep).items()}
    trials = dict(sorted(folders.items(), key=_by_split))
    # A search by true labels of some held-out images cannot be checked without predictions.
    complete = complete or any(
        b"clean-val:" in content_of(t / "spec.json") for t in trials.values()
    )
    content = _packed([("sweep.json", facts), *_members(trials, predictions=True)])
    complete = complete or len(content) <= LARGEST
    if not complete:
        content = _packed([("sweep.json", facts), *_members(trials, predictions=False)])
    write_output(folder / ARCHIVE, content)
    write_output(folder / "sweep.json", facts)
    return folder / ARCHIVE, complete


def check_archivable(sweep: Path) -> bytes:
    """Return the content of a sweep's ``sweep.json``.

    Raises:
        InputError: where it cannot be read.
    """
    path = opened(sweep) / "sweep.json"
    try:
        return content_of(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _without_places(facts: bytes) -> bytes:
    """Return the content of a file of JSON with the last names of absolute paths."""
    try:
        content = json.loads(facts)
    except ValueError:
        return facts
    shortened = _shortened(content)
    return facts if shortened == content else to_json(shortened)


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, str) and (place := _PLACE.fullmatch(value)):
        return place[1] + PurePosixPath(place[2]).name
    return value


def _by_split(trial: tuple[str, Path]) -> tuple[str, str]:
    """Order trials, by id and folder, so that those with the same held-out images are neighbours.

    Their true labels, which are most of ``done.json``, compress to nothing then.
    """
    name, folder = trial
    return str(read_done(folder).validation_truth), name


def _members(trials: Mapping[str, Path], predictions: bool) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of the trials' records, by their ids.

    A folder that an earlier version named after a path would not fit the shortened path.
    Files of one kind are neighbours: they are alike, and compress by a twentieth more.
    """
    epochs = lines if predictions else _without_predictions
    files = {"spec.json": _specification, "done.json": content_of, "epochs.jsonl": epochs}
    for name, read in files.items():
        for trial, folder in trials.items():
            yield f"trials/{trial}/{name}", read(folder / name)


def _specification(path: Path) -> bytes:
    return _without_places(content_of(path))


def _without_predictions(path: Path) -> bytes:
    epochs = read_epochs(path)
    for epoch in epochs:
        epoch.val_predictions = UNSET
    return b"".join(to_json(epoch.to_json()) for epoch in epochs)


def _packed(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a compressed archive; it has no times, owners or machines."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), 9, mtime=0)
