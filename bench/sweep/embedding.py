"""Embedding on a cluster: chunks of batches are Ray tasks, with the resources of a trial."""

import math
from collections import deque
from collections.abc import Generator, Mapping, Sequence

import ray
from ray.exceptions import RayError, RayTaskError
from torch import nn

from bench.datasets import Images
from bench.datasets.images.damage import BrokenImage
from bench.embedding.compute import (
    Batch,
    Compute,
    Computed,
    batch_size,
    embed_batches,
    frozen_body,
)
from bench.errors import InputError, one_line
from bench.networks.pretrained import Pretrained, PretrainedNetwork
from bench.sweep.work import Resources

#: Images of a task: a few seconds of work, beside which its start does not count.
TASK_IMAGES = 512


def tasks_of(images: int, device: str) -> int:
    """Return the number of tasks that embed so many images."""
    size = batch_size(device)
    return math.ceil(math.ceil(images / size) / _batches_of_task(device))


def _batches_of_task(device: str) -> int:
    return max(1, TASK_IMAGES // batch_size(device))


def on_cluster(resources: Resources, device: str) -> Compute:
    """Return the computation on the workers of the Ray session that is open.

    Workers get arrays by reference, and read images in files from storage that they share with the
    driver. Ray gives the task of a lost worker to another one.
    """
    threads = max(1, int(resources.cpus_per_trial))
    task = ray.remote(_embed).options(
        num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus_per_trial
    )

    def compute(
        parts: Mapping[str, Images], pretrained: Pretrained, batches: Sequence[Batch]
    ) -> Generator[Computed, None, None]:
        images, network = ray.put(parts), ray.put(pretrained)
        step = _batches_of_task(device)
        tasks = deque(
            task.remote(images, network, batches[start : start + step], device, threads)
            for start in range(0, len(batches), step)
        )
        try:
            while tasks:
                yield from _result(tasks[0])
                tasks.popleft()
        finally:
            for unfinished in tasks:
                ray.cancel(unfinished)

    return compute


def _result(task: ray.ObjectRef) -> list[Computed]:
    """Return the result of a task; an InputError of its worker is raised as it is."""
    try:
        result: list[Computed] = ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise
    except RayError as error:
        reason = one_line(error).partition(". ")[0]
        raise InputError(
            f"the workers that embed images were lost too often ({reason}): run the same command "
            "again, it goes on from here"
        ) from error
    return result


#: Network of the last task of this process, by what it depends on: tasks of a sweep share one.
_last: dict[tuple[PretrainedNetwork, str], nn.Module] = {}


def _embed(
    parts: Mapping[str, Images],
    pretrained: Pretrained,
    batches: Sequence[Batch],
    device: str,
    threads: int,
) -> list[Computed]:
    """Return the vectors of some batches, as a Ray task."""
    key = pretrained.network, device
    if key not in _last:
        _last.clear()
        _last[key] = frozen_body(pretrained, device)
    try:
        return list(embed_batches(_last[key], pretrained.network, parts, batches, device, threads))
    except BrokenImage as error:
        if not error.passing:
            raise
        raise InputError(
            f"{str(error.path)!r} cannot be read on every machine of the cluster "
            f"({error.reason}): put the images on storage that all of them share, or run the "
            "command once without --address, which embeds them on this machine"
        ) from error
