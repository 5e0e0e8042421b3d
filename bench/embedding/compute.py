"""Computation of vectors: batches of images through the frozen network, on this machine."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from bench.datasets.dataset import Images
from bench.embedding.inputs import Item, inputs
from bench.networks.pretrained import Pretrained, build_body

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
        yield from embed_batches(body, pretrained, parts, batches, device, threads)

    return compute


def embed_batches(
    body: nn.Module,
    pretrained: Pretrained,
    parts: Mapping[str, Images],
    batches: Sequence[Batch],
    device: str,
    threads: int,
) -> Generator[Computed, None, None]:
    """Yield the vectors of each batch and its share of the time; ``threads`` batches go on at once.

    One thread a batch is faster than several threads for one batch.
    """

    def vectors_of(batch: Batch) -> Computed:
        start = time.perf_counter()
        vectors = embed_batch(body, pretrained, parts, batch, device)
        return vectors, (time.perf_counter() - start) / threads

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
    body.load_state_dict({name: torch.tensor(value) for name, value in pretrained.state.items()})
    return body.eval().to(device).to(memory_format=torch.channels_last)


@torch.inference_mode()
def embed_batch(
    body: nn.Module,
    pretrained: Pretrained,
    parts: Mapping[str, Images],
    batch: Batch,
    device: str,
) -> np.ndarray:
    """Return the vectors of a batch, float32 (n, D).

    The network always gets a whole batch, filled up with the last image: the size of a batch may
    change the last bits of its vectors.
    """
    network = pretrained.network
    images = inputs(parts, batch, network.size, network.interpolation)
    images = np.pad(images, ((0, batch_size(device) - len(batch)), *[(0, 0)] * 3), "edge")
    pixels = torch.from_numpy(images).to(device).to(memory_format=torch.channels_last)
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in (network.mean, network.std)
    )
    return body((pixels / 255 - mean) / std)[: len(batch)].float().cpu().numpy()
