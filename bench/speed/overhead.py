"""Time that records, checkpoints and Ray add to the work of short trials.

The calls for records are timed themselves, and "theirs" is the same trial without them: two runs
of a trial differ by several times as much as these calls take. For a sweep, "theirs" is the work
of its trials by their own records, and "ours" the time that each takes of the sweep, with Ray's
start.
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
from bench.speed.measure import Row, Settings, seconds, summary, timed
from bench.speed.networks import CASES
from bench.speed.sessions import dataset_for, specification
from bench.training.checkpoint import Checkpoint
from bench.training.loop import Run
from bench.training.outcome import Outcome

#: Size of a trial of a few seconds, about that of the digits.
IMAGES, EPOCHS = 1_300, 25

#: Seconds between checkpoints. At the default of 30, such a trial writes none.
KINDS = {"record": 30.0, "record, a checkpoint a second": 1.0}

#: Calls that a trial makes for its record and its checkpoints alone; none of them calls another.
RECORDING: tuple[tuple[type, str], ...] = (
    *((TrialWriter, name) for name in ("__init__", "restart", "append", "finish")),
    *((Outcome, name) for name in ("samples_bytes", "weights_bytes")),
    (Run, "state"),
    *((Checkpoint, name) for name in ("save", "remove")),
)

#: Size of a sweep of a minute or more, and the seconds until it counts as hanging.
TRIALS, TRIAL_EPOCHS, PATIENCE = 60, 20, 3600


def sweep(settings: Settings) -> Iterator[Row]:
    """Compare recorded trials with the same without records, and a sweep with its trials' work."""
    sweep_row = under_ray(settings) if importlib.util.find_spec("ray") else None
    case = CASES[settings.device][0]
    data = dataset_for(case, settings.images or IMAGES)
    spec = specification(case, data, REFERENCE, settings, epochs=EPOCHS)
    for name, interval in KINDS.items():

        def pair(interval=interval) -> tuple[float, float]:
            with results() as out, redirect_stdout(io.StringIO()), recording() as spent:
                total = seconds(partial(run_recorded, spec, data, out, checkpoint_seconds=interval))
            return total, total - sum(spent)

        yield timed("sweep", name, pair, settings, EPOCHS * len(data.train_labels), case.name)
    if sweep_row:
        yield sweep_row


@contextmanager
def results() -> Iterator[Path]:
    """Create a temporary folder, on the disk of ``results`` where that exists."""
    place = "results" if Path("results").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


@contextmanager
def recording() -> Iterator[list[float]]:
    """Collect the seconds of each call of ``RECORDING`` in this context."""
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


def under_ray(settings: Settings) -> Row:
    """Measure one sweep of the digits by ``bench.run``, which is long enough without repeats."""
    with results() as folder:
        out = folder / "sweep"
        command = [*module_command("bench.run"), "--methods", REFERENCE, "--noise", "0.5"]
        command += ["--seeds", str(TRIALS), "--epochs", str(TRIAL_EPOCHS)]
        command += ["--device", settings.device, "--no-plots", "--out", str(out)]
        try:
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
        except subprocess.SubprocessError as error:
            raise RuntimeError(f"{error} {getattr(error, 'stderr', None) or ''}") from error
        facts = json.loads((out / "sweep.json").read_bytes())
        epochs = next(out.glob("trials/*/epochs.jsonl")).read_text().splitlines()
    parallel = facts["parallel_trials"]
    times = [(facts["wall_seconds"] * parallel / TRIALS, facts["work_seconds"] / TRIALS)]
    images = sum(json.loads(line)["samples_trained"] for line in epochs)
    name = f"{TRIALS} trials under Ray, {parallel} at a time, a thread each"
    network = CASES["cpu"][0].name
    return summary("sweep", name, times, replace(settings, threads=1), images, network)
