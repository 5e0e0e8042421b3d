"""Computation of vectors: batches of images through the frozen network, on this machine."""

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from bench.datasets.dataset import Images
from bench.embedding.inputs import Item, inputs
from bench.networks.body import load_arrays
from bench.networks.pretrained import Pretrained, PretrainedNetwork, build_body

Batch = Sequence[Item]

#: Vectors of a batch, float32 (n, D), and the seconds that computing them took.
Computed = tuple[np.ndarray, float]

#: Computation of batches, in their order, from the images by part.
Compute = Callable[
    [Mapping[str, Images], Pretrained, Sequence[Batch]], Generator[Computed, None, None]
]

#: Images of a batch. On CPUs 32 are faster than 64, because they fit into the caches.
BATCH_ON_CPU, BATCH_ON_GPU = 32, 128


def batch_size(device: str) -> int:
    """Return the number of images of a batch."""
    return BATCH_ON_CPU if device == "cpu" else BATCH_ON_GPU


def on_this_machine(device: str, threads: int) -> Compute:
    """Return the computation by that many threads, each of which decodes and embeds a batch."""

    def compute(
        parts: Mapping[str, Images], pretrained: Pretrained, batches: Sequence[Batch]
    ) -> Generator[Computed, None, None]:
        body = frozen_body(pretrained, device)
        yield from embed_batches(body, pretrained.network, parts, batches, device, threads)

    return compute


def embed_batches(
    body: nn.Module,
    network: PretrainedNetwork,
    parts: Mapping[str, Images],
    batches: Sequence[Batch],
    device: str,
    threads: int,
) -> Generator[Computed, None, None]:
    """Yield the vectors of each batch and its share of the time; ``threads`` batches go on at once.

    One thread a batch is faster than several threads for one batch.
    """

    # Vectors are kept, and their cost with them: on a CPU it is the thread's own time, which does
    # not depend on what else the machine does.
    clock = time.thread_time if device == "cpu" else time.perf_counter
    # On a GPU one batch at a time: its memory holds the activations of one batch.
    turn = contextlib.nullcontext() if device == "cpu" else threading.Lock()

    def vectors_of(batch: Batch) -> Computed:
        start = clock()
        images = inputs(parts, batch, network.size, network.interpolation)
        with turn:
            vectors = forward(body, network, images, device)
        return vectors, (clock() - start) / threads

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(vectors_of, batches)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


def frozen_body(pretrained: Pretrained, device: str) -> nn.Module:
    """Return the network with its weights, in evaluation mode."""
    body, _ = build_body(pretrained.network.network, 3, pretrained.network.size)
    load_arrays(body, pretrained.state)
    return body.eval().to(device).to(memory_format=torch.channels_last)


@torch.inference_mode()
def forward(
    body: nn.Module, network: PretrainedNetwork, images: np.ndarray, device: str
) -> np.ndarray:
    """Return the vectors (n, D), float32, of at most a batch of images, uint8 (n, 3, size, size).

    The network always gets a whole batch, filled up with the last image: the size of a batch may
    change the last bits of its vectors.
    """
    whole = np.pad(images, ((0, batch_size(device) - len(images)), *[(0, 0)] * 3), "edge")
    pixels = torch.from_numpy(whole).to(device).to(memory_format=torch.channels_last)
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in (network.mean, network.std)
    )
    features: torch.Tensor = body((pixels / 255 - mean) / std)
    return features[: len(images)].float().cpu().numpy()
