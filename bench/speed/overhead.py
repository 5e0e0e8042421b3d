"""What is added to the work of short trials: by records and checkpoints, and by a sweep under Ray.

For records the calls themselves are timed, and "theirs" is the same trial without them: run twice,
with records and without, a trial differs by several times as much from one time to the next as
these take. For a sweep it is what its trials worked, as they say themselves; "ours" is the time
that each took of the sweep's, Ray's start included.
"""

import importlib.util
import io
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.cli.recorded import run_recorded
from bench.common.importing import module_command
from bench.planning.registry import REFERENCE
from bench.records.writer import TrialWriter
from bench.speed.measure import Row, Settings, seconds, summary
from bench.speed.networks import CASES
from bench.speed.sessions import dataset_for, specification
from bench.training.checkpoint import Checkpoint
from bench.training.loop import Run
from bench.training.outcome import Outcome

#: About what the digits have: so many such epochs are a trial of a few seconds.
IMAGES, EPOCHS = 1_300, 25

#: Seconds between the checkpoints of either kind of trial. No checkpoint falls into a trial of a
#: few seconds as it is.
KINDS = {"record": 30.0, "record, a checkpoint a second": 1.0}

#: What a trial does for its record and its checkpoints alone; none of these calls another.
RECORDING: tuple[tuple[type, str], ...] = (
    *((TrialWriter, name) for name in ("__init__", "restart", "append", "finish")),
    *((Outcome, name) for name in ("samples_bytes", "weights_bytes")),
    (Run, "state"),
    *((Checkpoint, name) for name in ("save", "remove")),
)

#: A sweep of a minute or more, of trials of a few seconds.
TRIALS, TRIAL_EPOCHS = 60, 20

#: Seconds after which that sweep hangs.
PATIENCE = 3600

#: Where records are written: on the disk that sweeps write to, if it can be told.
PLACE = Path("results")


def sweep(settings: Settings) -> list[Row]:
    """The trial as ``bench.training.trial`` runs it, after one that is not counted; where Ray is,
    also a sweep.
    """
    whole = [under_ray(settings)] if importlib.util.find_spec("ray") else []
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
                took = seconds(
                    partial(run_recorded, spec, data, Path(folder), checkpoint_seconds=every)
                )
            if repeat:
                times[name].append((took, took - sum(spent)))
    images = EPOCHS * len(data.train_labels)
    return [
        summary("sweep", name, pairs, settings, images, case.name) for name, pairs in times.items()
    ] + whole


def under_ray(settings: Settings) -> Row:
    """One sweep of digits as ``bench.run`` does it, a core a trial on a CPU: it is long enough to
    be measured once.
    """
    with tempfile.TemporaryDirectory(dir=PLACE if PLACE.is_dir() else None) as folder:
        command = [
            *module_command("bench.run"),
            "--methods",
            REFERENCE,
            "--noise",
            "0.5",
            "--seeds",
            str(TRIALS),
        ]
        command += [
            "--epochs",
            str(TRIAL_EPOCHS),
            "--device",
            settings.device,
            "--no-plots",
            "--out",
            f"{folder}/sweep",
        ]
        try:
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
        except subprocess.SubprocessError as error:
            raise RuntimeError(f"{error} {error.stderr or ''}") from error  # type: ignore[attr-defined]
        facts = json.loads(Path(folder, "sweep", "sweep.json").read_bytes())
        lines = (
            next(Path(folder, "sweep", "trials").glob("*/epochs.jsonl")).read_text().splitlines()
        )
    worked, took = (
        facts["work_seconds"] / TRIALS,
        facts["wall_seconds"] * facts["parallel_trials"] / TRIALS,
    )
    images = sum(json.loads(line)["samples_trained"] for line in lines)
    name = f"{TRIALS} trials under Ray, {facts['parallel_trials']} at a time, a thread each"
    return summary(
        "sweep", name, [(took, worked)], replace(settings, threads=1), images, CASES["cpu"][0].name
    )


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
