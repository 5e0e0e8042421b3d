"""Fixtures that several test files share."""

import numpy as np
import pytest
import torch

from bench.datasets import Dataset, load_dataset
from bench.planning.spec import Plan, expand_hparams
from bench.recipe import Recipe
from bench.task import Pixels, Task


def pytest_collection_modifyitems(items):
    """Tests that take longest begin first, so that nobody waits for them at the end where tests run
    side by side.
    """
    items.sort(
        key=lambda item: (
            item.path.name not in ("test_sweep.py", "test_tuning_sweep.py", "test_contributing.py")
        )
    )


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small tensors: more threads only make the tests slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="session")
def tiny_dataset() -> Dataset:
    """60 training and 20 test images of noise, 8x8, grey, 4 classes in turn."""
    rng = np.random.default_rng(0)
    return Dataset(
        "tiny",
        rng.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8),
        np.arange(60) % 4,
        rng.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8),
        np.arange(20) % 4,
        tuple("abcd"),
        {0: 1, 1: 2},
    )


@pytest.fixture(scope="session")
def paper_recipe(tiny_dataset):
    """The recipe with which a method is trained under --recipe paper."""

    def recipe(name: str) -> Recipe:
        [spec] = Plan(recipe="paper").specs(
            tiny_dataset, expand_hparams([name], {}, {}), [0.2], [0]
        )
        return spec.recipe

    return recipe


@pytest.fixture
def make_task():
    """Builds a Task of 16 random images, 8x8, grey, 3 classes; keywords replace the defaults of
    Task.
    """

    def make(num: int = 16, channels: int = 1, **changes) -> Task:
        generator = torch.Generator().manual_seed(7)
        images = torch.randint(
            0, 256, (num, channels, 8, 8), generator=generator, dtype=torch.uint8
        )
        labels = torch.randint(0, 3, (num,), generator=generator)
        settings = {
            "num_classes": 3,
            "epochs": 300,
            "batch_size": num,
            "backbone": "tiny_cnn",
            "augmentation": "none",
            "device": torch.device("cpu"),
            "precision": "fp32",
        } | changes
        pixels = Pixels(images, torch.full((channels,), 0.5), torch.full((channels,), 0.25))
        task = Task(pixels, labels, **settings)
        task.seed(0)
        return task

    return make
