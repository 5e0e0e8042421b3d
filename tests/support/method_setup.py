"""Methods set up by hand on small networks, and their formulas in NumPy."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from bench.method import Method
from bench.planning.registry import build
from bench.recipe import Recipe
from bench.task import Batch, Task


class Flat(nn.Module):
    """Network that NumPy can follow: features are the pixels, and logits are linear in them."""

    def __init__(self, num_classes: int = 3, pixels: int = 64) -> None:
        super().__init__()
        self.head = nn.Linear(pixels, num_classes)
        self.num_features = pixels

    def forward_features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


class Given(nn.Module):
    """Network with fixed logits for any input."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[: len(x)]


def setup(
    name: str,
    task: Task,
    settings: dict | None = None,
    epochs: int = 300,
    networks: list[nn.Module] | None = None,
) -> Method:
    """Return a method as the harness sets it up, with these networks or linear ones."""
    method = build(name, settings or {})
    supply = iter(networks or [])
    task.build_network = lambda: next(supply) if networks else Flat(task.num_classes)
    torch.manual_seed(0)
    for part in method.parts():
        part.recipe, part.task = Recipe("tiny_cnn", epochs), task
        part.setup(task)
    return method.train()


def given_batch(y: list[int], index: list[int] | None = None) -> Batch:
    return Batch(
        (torch.zeros(len(y), 1, 8, 8),), torch.tensor(y), torch.tensor(index or list(range(len(y))))
    )


def whole_batch(task: Task) -> Batch:
    """Return a batch of all samples, in a fixed order that is not that of the set."""
    return task.batch(torch.tensor([*range(3, task.num_train), 0, 1, 2]))


def enter(method: Method, epoch: int) -> None:
    for part in method.parts():
        part.epoch = epoch
    method.epoch_start()


def numbers(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().double().numpy() for tensor in tensors]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def answer(net: Flat, x: np.ndarray) -> np.ndarray:
    """Return the class probabilities of a linear network."""
    weight, bias = numbers(net.head.weight, net.head.bias)
    return softmax(x.reshape(len(x), -1) @ weight.T + bias)


def cross_entropy(p: np.ndarray, targets: np.ndarray) -> float:
    return float(-(targets * np.log(p)).sum(1).mean())


def one_hot(y: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.eye(classes)[y.astype(int)]


def draws(task: Task, alpha: float, count: int) -> tuple[float, np.ndarray]:
    """Return lambda and the partners of the next mixing, without drawing them."""
    generator = torch.Generator()
    generator.set_state(task.generator.get_state())
    return copy.deepcopy(task.rng).beta(alpha, alpha), torch.randperm(
        count, generator=generator
    ).numpy()
