"""Tiny frozen network, in place of a library's, and the content of stores of its vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.datasets import Dataset
from bench.embedding import compute
from bench.embedding.store import Store
from bench.networks.pretrained import Pretrained, PretrainedNetwork

WIDTH = 8


class Tiny(nn.Module):
    """Convolution, batch norm and pooling: ``WIDTH`` features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, WIDTH, 4, stride=4), nn.BatchNorm2d(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).relu().mean((2, 3))


def install(patch=None) -> None:
    """Let networks be tiny ones, until the end of a test or of this process."""
    patch = patch or pytest.MonkeyPatch()
    patch.setattr(compute, "build_body", lambda name, channels, size: (Tiny(), WIDTH))


def frozen(*, views: int = 0, gain: float = 1.0, **changes) -> Pretrained:
    """Return a tiny network; its features are multiplied by ``gain``."""
    torch.manual_seed(0)
    body = Tiny()
    body.layers[1].weight.data *= gain
    settings = {
        "network": "timm:tiny",
        "weights": "0" * 64,
        "data": "nothing",
        "size": 16,
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
        "interpolation": "bilinear",
    }
    network = PretrainedNetwork(**(settings | changes), frozen=True, views=views)
    state = {name: value.numpy() for name, value in body.state_dict().items()}
    return Pretrained(network, state, WIDTH, "MIT")


def dataset() -> Dataset:
    """Return 600 training and 40 test images of noise."""
    images = np.random.default_rng(0).integers(0, 256, (640, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(640) % 2
    return Dataset("noise", images[:600], labels[:600], images[600:], labels[600:], ("a", "b"))


def vectors_file(cache: Path) -> Path:
    """Return the file of the only store in a cache folder."""
    [path] = cache.glob("embeddings-*/vectors")
    return path


def records(cache: Path) -> np.ndarray:
    """Return the whole records of the only store in a cache folder."""
    content, record = vectors_file(cache).read_bytes(), Store(frozen()).record
    return np.frombuffer(content[: len(content) // record.itemsize * record.itemsize], record)
