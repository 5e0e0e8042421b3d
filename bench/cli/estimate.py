"""Cost of a planned sweep: a few measured steps of the network, times what each method needs."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
import torch
from rich.console import Console
from torch.nn import functional as F

from bench.cli.placement import look_at, print_placement
from bench.cli.plan import PlannedSweep
from bench.cli.progress import duration
from bench.cli.terminal import line
from bench.datasets import Dataset
from bench.datasets.features import Features, VectorStatistics
from bench.embedding import embedding_seconds
from bench.networks.backbones import Network
from bench.networks.pretrained import Pretrained
from bench.planning.labels import Labels
from bench.planning.pretraining import pretrain_job
from bench.planning.registry import display, load_method, split_name
from bench.planning.searches import SearchKind
from bench.planning.spec import TrialSpec, relative_cost
from bench.sweep.run import other_code, pending
from bench.sweep.work import Resources
from bench.task import Batch, Task
from bench.training.data import predicted_samples
from bench.training.isolation import use_threads
from bench.training.pixels import pixels_for


@dataclass(frozen=True)
class EpochImages:
    """Numbers of images that an epoch takes through one network, whatever the method."""

    trained: int
    evaluated: int

    @classmethod
    def of(cls, spec: TrialSpec, dataset: Dataset, labels: Labels) -> "EpochImages":
        """Count training images, without a last batch of one, and images that are predicted.

        The latter are validation images, test images and some training images.
        """
        training, predicted = len(labels.train), np.union1d(*predicted_samples(labels))
        tests = [dataset.test_labels, *(labels for _, labels in dataset.extra_tests.values())]
        evaluated = len(labels.validation) + sum(map(len, tests)) + len(predicted)
        return cls(training - (training % spec.recipe.batch_size == 1), evaluated)


def step_seconds(
    spec: TrialSpec, dataset: Dataset, steps: int = 3, start: Pretrained | None = None
) -> tuple[float, float]:
    """Measure seconds of a training sample and of an evaluated one, with plain cross-entropy.

    Where an epoch has fewer than ``steps`` batches, whole epochs are measured: the last batch is
    smaller, and its samples take longer.
    """
    labels = Labels.of(spec, dataset)
    task = _task(spec, dataset, labels, start)
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
            training += trained
            evaluating += inferred
            samples += len(batch.y)
    return training / samples, evaluating / samples


def _step_seconds(net: Network, task: Task, batch: Batch) -> tuple[float, float]:
    """Return seconds of a training step on a batch, and of its prediction."""
    start = time.perf_counter()
    with task.autocast():
        F.cross_entropy(net(batch.x), batch.y).backward()
    if task.device.type == "cuda":
        torch.cuda.synchronize()
    middle = time.perf_counter()
    with torch.inference_mode(), task.autocast():
        net(batch.x).argmax().item()  # waits for the device
    return middle - start, time.perf_counter() - middle


def _task(spec: TrialSpec, dataset: Dataset, labels: Labels, start: Pretrained | None) -> Task:
    device = torch.device(spec.device)
    task = Task(
        pixels_for(dataset, spec, positions=labels.train),
        torch.from_numpy(labels.noisy[labels.train]).to(device),
        dataset.num_classes,
        epochs=spec.recipe.epochs,
        batch_size=spec.recipe.batch_size,
        backbone=spec.recipe.backbone,
        start=start,
        augmentation=spec.recipe.augmentation,
        device=device,
        precision=spec.precision,
    )
    task.seed(0)
    return task


def epoch_seconds(spec: TrialSpec, images: EpochImages, sample: float, prediction: float) -> float:
    """Estimate the seconds of an epoch of the trial's method.

    Args:
        sample: seconds of a training sample in plain cross-entropy.
        prediction: seconds of an evaluated one.
    """
    networks = load_method(split_name(spec.method)[-1]).num_networks
    return relative_cost(spec) * images.trained * sample + networks * images.evaluated * prediction


def work_seconds(
    trials: Sequence[tuple[TrialSpec, int]], dataset: Dataset, start: Pretrained | None = None
) -> defaultdict[str, float]:
    """Estimate the seconds of work in trials, in tuning and in pretraining.

    Args:
        trials: each as (specification, how many like it).
        start: the network that trials fine-tune.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    labels = Labels.of(trials[0][0], dataset)  # all trials have as many
    speeds: dict[tuple[str, str, int], tuple[float, float]] = {}
    pretrained = set()
    for spec, count in trials:
        recipe = spec.recipe
        kind = (recipe.backbone, recipe.augmentation, recipe.batch_size)
        if kind not in speeds:
            speeds[kind] = step_seconds(spec, dataset, start=start if spec.pretrained else None)
        sample, prediction = speeds[kind]
        epoch = epoch_seconds(spec, EpochImages.of(spec, dataset, labels), sample, prediction)
        seconds["tuning" if spec.is_search else "trials"] += count * epoch * recipe.epochs
        if (job := pretrain_job(spec)) and job.key not in pretrained:
            pretrained.add(job.key)
            epoch = 2.5 * len(dataset.train_labels) * sample  # two views, strongly augmented
            seconds["pretraining"] += epoch * job.settings.epochs
    return seconds


def print_plan(console: Console, sweep: PlannedSweep) -> None:
    """Print the trials that would run, where on a cluster, and an estimate of their time."""
    address = sweep.resources.address
    survey = look_at(address) if address else None
    specs, searches = _print_trials(console, sweep)
    retry_failed = sweep.request.resources.retry_failed
    trials = [*((spec, 1) for spec in pending(specs, sweep.folder, retry_failed)), *searches]
    slots = _slots(sweep.resources, sum(count for _, count in trials))
    if survey:
        slots = print_placement(console, sweep, survey, trials)
    if not trials:
        return
    if specs[0].device == "cuda" and not torch.cuda.is_available():
        line(console, "no estimate of the time: the trials run on GPUs, and this machine has none")
        return
    data, start, embedding = sweep.data, sweep.network, 0.0
    if start and start.network.frozen:
        embedding = embedding_seconds(data, start, device=specs[0].device)
        data, start = _with_blank_features(data, start), None
    seconds = work_seconds(trials, data, start)
    parts = ", ".join(f"{name} {duration(value)}" for name, value in seconds.items())
    machine = "at the speed of this machine" if survey else "on this machine"
    total = embedding + sum(seconds.values()) / slots
    first = f", after {duration(embedding)} of embedding images" if embedding else ""
    bound = "at least " * (sweep.tuning is not None and sweep.tuning.open_ended)
    line(
        console,
        f"estimate: {bound}{duration(total)} {machine}, {slots} at a time "
        f"({parts} of work{first}); rough, from a few measured steps",
    )


def _with_blank_features(dataset: Dataset, network: Pretrained) -> Dataset:
    """Return the data set with zeros for features, on which a step takes as long."""
    width = network.num_features
    train = np.zeros((len(dataset.train_labels), 1 + network.network.views, width), np.float16)
    tests = {
        name: np.zeros((len(labels), width), np.float16)
        for name, (_, labels) in dataset.tests.items()
    }
    zeros, ones = np.zeros(width, np.float32), np.ones(width, np.float32)
    scale = VectorStatistics(zeros, ones, 1.0)
    return replace(dataset, features=Features(train, tests, None, 0.0, "", scale, ""))


def _print_trials(
    console: Console, sweep: PlannedSweep
) -> tuple[list[TrialSpec], list[tuple[TrialSpec, int]]]:
    """Print the trials; return those that are known, and what each search is still to draw."""
    retry_failed = sweep.request.resources.retry_failed
    specs: list[TrialSpec] = sweep.specs
    searches: list[tuple[TrialSpec, int]] = []
    if sweep.tuning:
        sweep.tuning.resume(sweep.folder, retry_failed)
        specs = list({spec.id: spec for spec in [*specs, *sweep.tuning.follow()]}.values())
        searches = sweep.tuning.planned()
    missing = {spec.id for spec in pending(specs, sweep.folder, retry_failed)}
    for spec in specs:
        line(console, f"{spec.id}  {spec.label}{'' if spec.id in missing else '  (on record)'}")
    trials, on_record = len(specs), len(specs) - len(missing)
    line(
        console,
        f"{trials} trial{'s' * (trials != 1)}, {on_record} of them on record in {sweep.folder}",
    )
    if sentence := other_code(specs, sweep.folder):
        line(console, sentence)
    for base, count in searches:
        search = f"{display(base.method)} · {base.noise} ({' '.join(base.stage.split(' ')[1:])})"
        line(console, f"tuning        {search}: {count} trials, those of its pick included")
    if searches:
        budget = any(SearchKind.of(base.stage).track == "budget" for base, _ in searches)
        count, bound = sum(count for _, count in searches), "least" if budget else "most"
        line(console, f"{count} trials of tuning, at {bound}, none of them on record")
    return specs, searches


def _slots(resources: Resources, pieces: int) -> int:
    """Return the number of trials that run at a time on this machine."""
    fitting = [torch.get_num_threads() / resources.cpus_per_trial]
    if resources.gpus_per_trial:
        fitting.append(torch.cuda.device_count() / resources.gpus_per_trial)
    return max(1, int(min([*fitting, resources.max_concurrent or pieces, pieces])))
