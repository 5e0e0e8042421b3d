"""What a sweep would cost: a few measured steps of the network, times what the methods say they need."""

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch.nn import functional as F

from bench import terminal
from bench.datasets import Dataset
from bench.progress import duration
from bench.registry import display
from bench.searches import SearchKind
from bench.spec import TrialSpec, relative_cost
from bench.sweep.run import pending
from bench.task import Task
from bench.trial import Labels, pixels_for, pretrain_job, use_threads
from bench.tuning import Tuning


def step_seconds(spec: TrialSpec, dataset: Dataset, steps: int = 3) -> tuple[float, float]:
    """Seconds of a training sample and of an evaluated one, measured on a few batches of plain cross-entropy."""
    labels = Labels.of(spec, dataset)
    pixels = pixels_for(dataset, spec, positions=labels.train)
    device = torch.device(spec.device)
    task = Task(
        pixels,
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
    with use_threads(spec.threads):
        net = task.build_network()
        batches = task.loader()
        training = evaluating = 0.0
        for step in range(steps + 1):
            start = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            with task.autocast():
                F.cross_entropy(net(batch.x), batch.y).backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            middle = time.perf_counter()
            with torch.inference_mode(), task.autocast():
                net(batch.x).argmax().item()  # waits for the device
            if step:  # the first one warms up
                training += (middle - start) / len(batch.y) / steps
                evaluating += (time.perf_counter() - middle) / len(batch.y) / steps
    return training, evaluating


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
    terminal.line(console, f"{len(specs)} trial{'s' * (len(specs) != 1)}, {on_record} of them on record in {out}")
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
    speeds: dict[tuple[str, str], tuple[float, float]] = {}
    seconds: defaultdict[str, float] = defaultdict(float)
    jobs = {}
    for spec, count in [*((spec, 1) for spec in todo), *later]:
        kind = (spec.recipe.backbone, spec.recipe.augmentation)
        if kind not in speeds:
            speeds[kind] = step_seconds(spec, dataset)
        training, evaluating = speeds[kind]
        images = len(dataset.train_labels)
        held_out = len(dataset.test_labels) + spec.validation_share * images
        epoch = relative_cost(spec) * (1 - spec.validation_share) * images * training + held_out * evaluating
        seconds["tuning" if spec.is_search else "trials"] += count * epoch * spec.recipe.epochs
        if (job := pretrain_job(spec)) and job.key not in jobs:
            jobs[job.key] = job
            seconds["pretraining"] += 2.5 * images * training * job.settings.epochs  # two views, strongly augmented
    pieces = len(todo) + sum(count for _, count in later)
    fitting = [torch.get_num_threads() / cpus_per_trial]
    if gpus_per_trial:
        fitting.append(torch.cuda.device_count() / gpus_per_trial)
    slots = max(1, int(min([*fitting, max_concurrent or pieces, pieces])))
    parts = ", ".join(f"{name} {duration(value)}" for name, value in seconds.items())
    terminal.line(
        console,
        f"estimate: {duration(sum(seconds.values()) / slots)} on this machine, {slots} at a time ({parts} of work); "
        f"rough, from a few measured steps",
    )
