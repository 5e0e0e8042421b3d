"""Driver of a sweep without training: its CPU seconds and memory for each trial, and the report's.

Every trial sends the messages of one real trial. The driver is called as Ray Tune does, with a
display, and writes true records; or workers of Ray Tune send the messages.
"""

import hashlib
import io
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from rich.console import Console

from bench.cli.progress import Display, rate_of
from bench.cli.terminal import echo
from bench.datasets import Dataset, load_dataset
from bench.planning.registry import display
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.records.schema import Epoch
from bench.speed.overhead import results
from bench.sweep.driver import Driver
from bench.sweep.environment import prepare_environment
from bench.sweep.messages import Ended, Epochs, Message
from bench.sweep.work import Resources, Settings, Work
from bench.training.trial import run_trial

#: Methods and noise rates of the trials; seeds make up their number.
METHODS = ("ce", "elr", "gce", "sce", "softmix", "mixup", "bootstrap", "forward", "knn", "sop")
RATES = (0.2, 0.5)

#: Number of images of the real trial, and of different trials that are made of it.
IMAGES, SCRIPTS = 300, 8

#: Number of trials between two lines of the table.
STEP = 1000


@dataclass(frozen=True)
class Script:
    """Messages of a trial."""

    messages: tuple[Message, ...]

    def __post_init__(self) -> None:
        for number, message in enumerate(self.messages):
            message.number = number + 1


@dataclass(frozen=True)
class Load:
    """Size of the sweep."""

    trials: int
    epochs: int
    messages: int  # of epochs, from each trial
    parallel: int  # trials at a time
    megabytes: float  # of samples.npz, beside its content


def plan_of(load: Load) -> tuple[Dataset, list[TrialSpec]]:
    """Return the data set, and the specifications of the trials."""
    dataset = load_dataset("digits", subset=IMAGES)
    plan = Plan(overrides=(("epochs", load.epochs),), subset=IMAGES)
    seeds = -(-load.trials // (len(METHODS) * len(RATES)))
    specs = plan.specs(dataset, expand_hparams(METHODS, {}, {}), RATES, list(range(seeds)))
    return dataset, specs[: load.trials]


def scripts(spec: TrialSpec, dataset: Dataset, load: Load) -> list[Script]:
    """Train one trial, and return its messages, with other accuracies in each script."""
    epochs: list[Epoch] = []
    outcome = run_trial(spec, dataset, report=lambda new, restart: epochs.extend(new))
    samples = (outcome.samples_bytes() or b"") + bytes(int(load.megabytes * (1 << 20)))
    each = -(-len(epochs) // load.messages)
    made = []
    for number in range(SCRIPTS):
        shift = number / 100
        varied = [
            msgspec.structs.replace(epoch, test_accuracy=(epoch.test_accuracy or 0) * (1 - shift))
            for epoch in epochs
        ]
        parts = [varied[start : start + each] for start in range(0, len(varied), each)]
        begin = Epochs(epochs=[], restart=True, peak_memory_bytes=1)
        middle = [Epochs(epochs=part, restart=False, peak_memory_bytes=1) for part in parts]
        end = Ended(done=outcome.done(), samples=samples, weights=None)
        made.append(Script((begin, *middle, end)))
    return made


def script_of(key: str, choice: Sequence[Script]) -> Script:
    """Return the script of a trial."""
    return choice[int(hashlib.sha256(key.encode()).hexdigest(), 16) % len(choice)]


def shown(specs: Sequence[TrialSpec]) -> Display:
    """Return the display of a terminal, whose output goes nowhere."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    rates = {spec.id: rate_of(spec) for spec in specs}
    return Display(console, rates, {spec.id: display(spec.method) for spec in specs})


def cpu_seconds(children: bool = False) -> float:
    """Return the CPU seconds of this process so far, or of its children that are over."""
    import resource  # not on every platform: here a command has checked it

    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_megabytes() -> float:
    """Return the largest memory of this process so far."""
    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def drive(driver: Driver, choice: Sequence[Script]) -> Iterator[int]:
    """Call the driver as Ray Tune does, message by message, and yield the trials that are over."""
    running: deque[tuple[Work, Iterator[Message]]] = deque()
    over = 0
    while True:
        while len(running) < driver.parallel and (work := driver.next()):
            driver.started(work, lambda: None)
            running.append((work, iter(script_of(work.key, choice).messages)))
        if not running:
            return
        work, messages = running.popleft()
        driver.received(work, next(messages))
        driver.tick()
        if work.over:
            over += 1
            yield over
        else:
            running.append((work, messages))


def without_ray(
    specs: list[TrialSpec], dataset: Dataset, out: Path, load: Load, choice: list[Script]
) -> list[str]:
    """Return what the driver, its writer and its display take, in steps of trials."""
    lines = []
    with shown(specs) as observer:
        driver = Driver(specs, dataset, out, Settings(), observer)
        driver.parallel = load.parallel
        observer.begin([(work.key, work.cost) for work in driver.work.values()], load.parallel)
        cpu, wall = cpu_seconds(), time.perf_counter()
        for over in drive(driver, choice):
            if over % STEP and over != len(specs):
                continue
            new_cpu, new_wall = cpu_seconds(), time.perf_counter()
            lines.append(line(over, over % STEP or STEP, new_cpu - cpu, new_wall - wall))
            cpu, wall = new_cpu, new_wall
    return lines


def line(over: int, count: int, cpu: float, wall: float) -> str:
    """Return a line of the table: what the last trials took, ``count`` of those that are over."""
    return (
        f"{over:7,} trials: {1000 * cpu / count:6.2f} ms of CPU a trial, "
        f"{count / wall:6.1f} trials/s, {10_000 * cpu / count / 3600:6.1%} of a core at 10,000 an "
        f"hour, {peak_megabytes():,.0f} MB"
    )


def replaying(choice: list[Script]) -> Callable[..., None]:
    """Return a worker that sends the messages of trials, in place of ``bench.sweep.worker.train``.

    Ray pickles it by value, with its scripts.
    """

    def replay(config: dict[str, Any], dataset: Any, duties: Any, start: Any = None) -> None:
        from bench.sweep import worker

        for message in script_of(config["key"], choice).messages:
            worker.tune.report({"message": (message,)})

    return replay


def under_ray(
    specs: list[TrialSpec], dataset: Dataset, out: Path, load: Load, choice: list[Script]
) -> list[str]:
    """Return what a sweep takes whose workers send messages alone."""
    prepare_environment()
    from bench.networks.cpu import processors
    from bench.sweep import tuner
    from bench.sweep.run import run_sweep

    settings = Settings(Resources(cpus_per_trial=processors() / load.parallel))
    cpu, others, wall = cpu_seconds(), cpu_seconds(children=True), time.perf_counter()
    with patch.object(tuner, "train", replaying(choice)), shown(specs) as observer:
        run_sweep(specs, dataset, out, settings=settings, observer=observer)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    others = cpu_seconds(children=True) - others
    return [
        line(len(specs), len(specs), cpu, wall),
        f"Ray and its workers: {1000 * others / len(specs):.2f} ms of CPU a trial",
    ]


def report(out: Path) -> None:
    """Print the time of the first report of all records, and of a later one."""
    from bench.report.writer import write_report

    for name in ("first", "later"):
        cpu, wall = cpu_seconds(), time.perf_counter()
        write_report([out], out, plots=False)
        cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
        echo(f"{name} report: {cpu:.1f} s of CPU, {wall:.1f} s, {peak_megabytes():,.0f} MB")


def size_of(out: Path, trials: int) -> str:
    """Return bytes and files of a trial's record."""
    files = [path.stat().st_size for path in (out / "trials").rglob("*") if path.is_file()]
    return f"{sum(files) / trials / 1000:,.1f} kB in {len(files) / trials:.0f} files a trial"


def measure(load: Load, ray: bool, out: Path | None) -> None:
    """Print what the trials take, and what the report of them takes.

    Args:
        ray: whether workers of Ray Tune send the messages.
        out: an empty folder for the records; by default one that is removed.
    """
    dataset, specs = plan_of(load)
    with nullcontext(out) if out else results() as folder:
        (folder / "trials").mkdir()
        choice = scripts(specs[0], dataset, load)
        for text in (under_ray if ray else without_ray)(specs, dataset, folder, load, choice):
            echo(text)
        echo(size_of(folder, len(specs)))
        if not load.megabytes:
            report(folder)
