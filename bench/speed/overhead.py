"""What records and checkpoints add to a short trial: "theirs" is the same trial without what it spent on them.

The calls themselves are timed. The same trial run twice, with records and without, differs by several times as much from one
time to the next as these take.
"""

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.records import TrialWriter
from bench.registry import REFERENCE
from bench.speed.measure import Row, Settings, seconds, summary
from bench.speed.networks import CASES
from bench.speed.sessions import dataset_for, specification
from bench.trial import Checkpoint, Outcome, Run, run_recorded

#: About what the digits have: so many such epochs are a trial of a few seconds.
IMAGES, EPOCHS = 1_300, 25

#: Seconds between the checkpoints of either kind of trial. No checkpoint falls into a trial of a few seconds as it is.
KINDS = {"record": 30.0, "record, a checkpoint a second": 1.0}

#: What a trial does for its record and its checkpoints alone; none of these calls another.
RECORDING: tuple[tuple[type, str], ...] = (
    *((TrialWriter, name) for name in ("__init__", "restart", "append", "finish")),
    *((Outcome, name) for name in ("samples_bytes", "weights_bytes")),
    (Run, "state"),
    *((Checkpoint, name) for name in ("save", "remove")),
)

#: Where records are written: on the disk that sweeps write to, if it can be told.
PLACE = Path("results")


def sweep(settings: Settings) -> list[Row]:
    """The trial as ``bench.trial`` runs it, after one that is not counted."""
    case = CASES[settings.device][0]
    data = dataset_for(case, settings.images or IMAGES)
    spec = specification(case, data, REFERENCE, settings, {}, epochs=EPOCHS)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in KINDS}
    for repeat in range(1 + settings.repeats):
        for name, every in KINDS.items():
            with (
                tempfile.TemporaryDirectory(dir=PLACE if PLACE.is_dir() else None) as folder,
                redirect_stdout(io.StringIO()),
                recording() as spent,
            ):
                took = seconds(partial(run_recorded, spec, data, Path(folder), checkpoint_seconds=every))
            if repeat:
                times[name].append((took, took - sum(spent)))
    images = EPOCHS * len(data.train_labels)
    return [summary("sweep", name, pairs, settings, images, case.name) for name, pairs in times.items()]


@contextmanager
def recording() -> Iterator[list[float]]:
    """Seconds of each call of ``RECORDING`` within this context."""
    spent: list[float] = []

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent.append(time.perf_counter() - start)

        return wrapped

    with ExitStack() as stack:
        for owner, name in RECORDING:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        yield spent
