"""What records and checkpoints add to the epochs of a short trial: "theirs" is an epoch that leaves nothing behind."""

import statistics
import tempfile
from pathlib import Path

from bench.records import TrialWriter
from bench.registry import REFERENCE
from bench.spec import record_of
from bench.speed.measure import Row, Settings, seconds, summary
from bench.speed.networks import CASES
from bench.speed.sessions import Session, dataset_for, specification
from bench.trial import Checkpoint

#: About what the digits have: 25 such epochs are a trial of a few seconds.
IMAGES = 1_300


def sweep(settings: Settings) -> list[Row]:
    """An epoch with evaluation and its record; the same with its share of the checkpoints."""
    case = CASES[settings.device][0]
    data = dataset_for(case, settings.images or IMAGES)
    spec = specification(case, data, REFERENCE, settings, {}, epochs=25)
    session = Session(spec, data, 1)
    record: dict = {}

    def epoch() -> None:
        record.update(session.again() | session.run.evaluate())

    epoch()
    with tempfile.TemporaryDirectory() as folder:
        writer = TrialWriter(Path(folder), spec.id, record_of(spec))
        checkpoint = Checkpoint(Path(folder) / "checkpoint.pt")
        bare = [seconds(epoch) for _ in range(settings.repeats)]
        # Apart, and with the median added to each: what a record costs is less than what epochs differ by.
        written = statistics.median(seconds(lambda: writer.append([record])) for _ in range(20))
        saved = statistics.median(seconds(lambda: checkpoint.save(session.run.state(session.optimizer))) for _ in range(5))
    kept = [took * saved / max(checkpoint.every_seconds, 50 * saved) for took in bare]
    return [
        summary("sweep", "record", [(took + written, took) for took in bare], settings, session.images, case.name),
        summary(
            "sweep",
            "checkpoints",
            [(took + extra, took) for took, extra in zip(bare, kept, strict=True)],
            settings,
            session.images,
            case.name,
        ),
    ]
