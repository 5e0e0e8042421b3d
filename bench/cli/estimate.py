"""What a sweep would cost: a few measured steps of the network, times what the methods say they
need.
"""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
from rich.console import Console
from torch.nn import functional as F

from bench.cli import terminal
from bench.cli.progress import duration
from bench.datasets import UNKNOWN, Dataset
from bench.networks.backbones import Network
from bench.planning.labels import Labels
from bench.planning.pretraining import pretrain_job
from bench.planning.registry import display, load_method, split_name
from bench.planning.searches import SearchKind
from bench.planning.spec import TrialSpec, relative_cost
from bench.sweep.run import other_code, pending
from bench.task import Batch, Task
from bench.training.isolation import use_threads
from bench.training.pixels import pixels_for
from bench.training.scoring import PROBES
from bench.tuning.plan import Tuning


@dataclass(frozen=True)
class EpochImages:
    """Images that an epoch takes through one network, for every method alike."""

    trained: int
    evaluated: int

    @classmethod
    def of(cls, spec: TrialSpec, dataset: Dataset, labels: Labels) -> "EpochImages":
        """Count them: validation and test images and probes are predicted, and a last batch of a
        single sample is left out.
        """
        training, known = len(labels.train), int((labels.truth[labels.train] != UNKNOWN).sum())
        tests = [dataset.test_labels, *(labels for _, labels in dataset.extra_tests.values())]
        evaluated = len(labels.validation) + sum(map(len, tests)) + min(PROBES, known)
        return cls(training - (training % spec.recipe.batch_size == 1), evaluated)


def step_seconds(spec: TrialSpec, dataset: Dataset, steps: int = 3) -> tuple[float, float]:
    """Seconds of a training sample and of an evaluated one, measured on a few batches of plain
    cross-entropy.

    Where an epoch has fewer than ``steps`` batches, whole epochs are measured: the last batch is
    smaller, and its samples take longer.
    """
    labels = Labels.of(spec, dataset)
    task = _task(spec, dataset, labels)
    batches = math.ceil(EpochImages.of(spec, dataset, labels).trained / spec.recipe.batch_size)
    if not batches:
        return 0.0, 0.0
    if batches <= steps:
        steps = batches * math.ceil(steps / batches)
    training = evaluating = 0.0
    samples = 0
    with use_threads(spec.threads):
        net = task.build_network()
        _step_seconds(net, task, next(task.loader()))  # the first one warms up
        for batch in islice(chain.from_iterable(task.loader() for _ in range(steps)), steps):
            trained, inferred = _step_seconds(net, task, batch)
            training, evaluating, samples = (
                training + trained,
                evaluating + inferred,
                samples + len(batch.y),
            )
    return training / samples, evaluating / samples


def _step_seconds(net: Network, task: Task, batch: Batch) -> tuple[float, float]:
    """Seconds of a training step on a batch, and of its prediction."""
    start = time.perf_counter()
    with task.autocast():
        F.cross_entropy(net(batch.x), batch.y).backward()
    if task.device.type == "cuda":
        torch.cuda.synchronize()
    middle = time.perf_counter()
    with torch.inference_mode(), task.autocast():
        net(batch.x).argmax().item()  # waits for the device
    return middle - start, time.perf_counter() - middle


def _task(spec: TrialSpec, dataset: Dataset, labels: Labels) -> Task:
    device = torch.device(spec.device)
    task = Task(
        pixels_for(dataset, spec, positions=labels.train),
        torch.from_numpy(labels.noisy[labels.train]).to(device),
        dataset.num_classes,
        epochs=spec.recipe.epochs,
        batch_size=spec.recipe.batch_size,
        backbone=spec.recipe.backbone,
        augmentation=spec.recipe.augmentation,
        device=device,
        precision=spec.precision,
    )
    task.seed(0)
    return task


def epoch_seconds(spec: TrialSpec, images: EpochImages, sample: float, prediction: float) -> float:
    """Rough seconds of an epoch of the trial's method.

    Args:
        sample: seconds of a training sample in plain cross-entropy.
        prediction: seconds of an evaluated one.
    """
    networks = load_method(split_name(spec.method)[-1]).num_networks
    return relative_cost(spec) * images.trained * sample + networks * images.evaluated * prediction


def print_plan(
    console: Console,
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    out: Path,
    cpus_per_trial: float,
    gpus_per_trial: float,
    max_concurrent: int | None,
    tuning: Tuning | None = None,
) -> None:
    """The trials that would run, and a rough estimate of the time they take on this machine."""
    later: list[tuple[TrialSpec, int]] = []
    if tuning:
        tuning.resume(out)
        specs = list({spec.id: spec for spec in [*specs, *tuning.follow()]}.values())
        later = tuning.planned()
    todo = pending(specs, out)
    missing = {spec.id for spec in todo}
    for spec in specs:
        done = "" if spec.id in missing else "  (on record)"
        terminal.line(console, f"{spec.id}  {spec.label}{done}")
    on_record = len(specs) - len(todo)
    terminal.line(
        console,
        f"{len(specs)} trial{'s' * (len(specs) != 1)}, {on_record} of them on record in {out}",
    )
    if made_otherwise := other_code(specs, out):
        terminal.line(console, made_otherwise)
    for base, count in later:
        tracks = " ".join(base.stage.split(" ")[1:])
        text = f"tuning        {display(base.method)} · {base.noise} ({tracks}): {count} trials, those of its pick included"
        terminal.line(console, text)
    if later:
        budget = any(SearchKind.of(base.stage).track == "budget" for base, _ in later)
        count = sum(count for _, count in later)
        bound = "least" if budget else "most"
        terminal.line(console, f"{count} trials of tuning, at {bound}, none of them on record")
    if not todo and not later:
        return
    labels = Labels.of((todo or [base for base, _ in later])[0], dataset)  # of all trials as many
    speeds: dict[tuple[str, str, int], tuple[float, float]] = {}
    seconds: defaultdict[str, float] = defaultdict(float)
    jobs = {}
    for spec, count in [*((spec, 1) for spec in todo), *later]:
        kind = (spec.recipe.backbone, spec.recipe.augmentation, spec.recipe.batch_size)
        if kind not in speeds:
            speeds[kind] = step_seconds(spec, dataset)
        sample, prediction = speeds[kind]
        epoch = epoch_seconds(spec, EpochImages.of(spec, dataset, labels), sample, prediction)
        seconds["tuning" if spec.is_search else "trials"] += count * epoch * spec.recipe.epochs
        if (job := pretrain_job(spec)) and job.key not in jobs:
            jobs[job.key] = job
            epoch = 2.5 * len(dataset.train_labels) * sample  # two views, strongly augmented
            seconds["pretraining"] += epoch * job.settings.epochs
    pieces = len(todo) + sum(count for _, count in later)
    fitting = [torch.get_num_threads() / cpus_per_trial]
    if gpus_per_trial:
        fitting.append(torch.cuda.device_count() / gpus_per_trial)
    slots = max(1, int(min([*fitting, max_concurrent or pieces, pieces])))
    parts = ", ".join(f"{name} {duration(value)}" for name, value in seconds.items())
    terminal.line(
        console,
        f"estimate: {duration(sum(seconds.values()) / slots)} on this machine, {slots} at a time "
        f"({parts} of work); rough, from a few measured steps",
    )
