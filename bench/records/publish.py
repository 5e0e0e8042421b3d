"""Archive of a sweep's records, as a board below ``results/reference`` holds it."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from bench.common.files import to_json, write_output
from bench.records.archive import ARCHIVE, opened
from bench.records.epochs import content_of, lines, unreadable
from bench.records.trials import results

#: Bytes above which an archive leaves out the predictions on held-out images. They are 95 % of a
#: record with 5,000 such images, and a board's folder is to stay below 5 MB.
LARGEST = 3 << 20


def write_archive(sweep: Path, folder: Path) -> tuple[Path, bool]:
    """Write ``records.tar.gz`` and a copy of ``sweep.json`` into a folder.

    The archive holds every trial that is over, without per-sample results and weights. The same
    records make the same bytes.

    Args:
        sweep: a sweep's folder, or an archive of one.

    Returns:
        The archive's path, and whether it holds the predictions on the held-out images.

    Raises:
        InputError: where sweep.json cannot be read, or the folder not be written.
    """
    sweep = opened(sweep)
    trials = sorted(result.folder for result in results(sweep).values())
    try:
        facts = content_of(sweep / "sweep.json")
    except OSError as error:
        raise unreadable(sweep / "sweep.json", error) from error
    content = _packed([("sweep.json", facts), *_members(trials, predictions=True)])
    complete = len(content) <= LARGEST
    if not complete:
        content = _packed([("sweep.json", facts), *_members(trials, predictions=False)])
    write_output(folder / ARCHIVE, content)
    write_output(folder / "sweep.json", facts)
    return folder / ARCHIVE, complete


def _members(trials: Iterable[Path], predictions: bool) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of the trials' records."""
    for trial in trials:
        epochs = lines(trial / "epochs.jsonl")
        if not predictions:
            epochs = b"".join(map(_without_predictions, epochs.splitlines()))
        yield f"trials/{trial.name}/spec.json", content_of(trial / "spec.json")
        yield f"trials/{trial.name}/epochs.jsonl", epochs
        yield f"trials/{trial.name}/done.json", content_of(trial / "done.json")


def _without_predictions(line: bytes) -> bytes:
    epoch = msgspec.json.decode(line)
    epoch.pop("val_predictions", None)
    return to_json(epoch)


def _packed(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a compressed archive; it has no times, owners or machines."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), 9, mtime=0)
