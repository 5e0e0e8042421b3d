"""Size of Ray's object store: enough for a sweep, no more than the machine can spare."""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.datasets import Dataset
from bench.networks.backbones import build_network
from bench.networks.pretrained import Pretrained
from bench.planning.pretraining import PretrainJob

#: Bytes for results on their way to the driver, and for Ray itself.
SLACK = 256 << 20

#: Share of the machine's memory that the store may take; Ray writes to the disk what does not fit.
SHARE = 0.8

#: Bounds of a store in bytes: the smallest that Ray accepts, the largest outside of shared memory,
#: and the largest on macOS.
MINIMUM, LARGEST_ON_DISK, LARGEST_ON_MACOS = 75 << 20, 10_000_000_000, 2 << 30


def content_bytes(
    dataset: Dataset, jobs: Sequence[PretrainJob] = (), start: Pretrained | None = None
) -> int:
    """Return the bytes of the data set's arrays, of these encoders and of pretrained weights."""
    arrays = [dataset.donors, dataset.train_images, dataset.train_labels, dataset.train_names]
    arrays += [
        *dataset.found.values(),
        *(array for pair in dataset.tests.values() for array in pair),
    ]
    if features := dataset.features:
        arrays += [features.train, features.donors, *features.tests.values()]
    arrays += start.state.values() if start else []
    total = sum(array.nbytes for array in arrays if array is not None)
    return total + sum(_encoder_bytes(job, dataset) for job in jobs)


def _encoder_bytes(job: PretrainJob, dataset: Dataset) -> int:
    size = job.pretrained.size if job.pretrained else None
    with torch.device("meta"):  # shapes alone
        body = build_network(job.backbone, dataset.channels, 2, size).body
    return sum(value.nbytes for value in body.state_dict().values())


def store_bytes(content: int, memory: int, shared: int | None, platform: str = sys.platform) -> int:
    """Return the bytes of a store: twice its content, where there is room.

    Args:
        content: bytes that the sweep puts into it.
        memory: bytes of the machine, or of the container.
        shared: bytes free in /dev/shm; None where there is none.
    """
    size, limit = 2 * content + SLACK, int(SHARE * memory)
    if shared is not None and shared < size:
        limit = min(limit, shared if shared >= content + SLACK else max(shared, LARGEST_ON_DISK))
    if platform == "darwin":
        limit = min(limit, LARGEST_ON_MACOS)
    return max(MINIMUM, min(size, limit))


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container where that has fewer."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        # no container, or one without a limit ("max")
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)


def shared_memory() -> int | None:
    """Return the free bytes of /dev/shm; None where there is none, as on macOS."""
    try:
        state = os.statvfs("/dev/shm")
    except OSError:
        return None
    return state.f_bsize * state.f_bavail
