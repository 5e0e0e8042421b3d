"""Fixtures that several test files share."""

import shutil
import signal
import warnings

import numpy as np
import pytest
import torch

from bench.datasets import Dataset, load_dataset
from bench.planning.spec import Plan, expand_hparams
from bench.recipe import Recipe
from bench.task import Pixels, Task

pytest.register_assert_rewrite("golden_records", "sweeps")

#: Test files that take longest. They start first, so that they do not end last on one core.
LONGEST = ("test_sweep.py", "test_tuning_sweep.py", "test_contributing.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_configure():
    """Let SIGINT end what tests start, which inherit that a shell's background job ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Compute on one thread: tensors are small, and more threads only slow the tests down."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="session")
def tiny_dataset() -> Dataset:
    """Data set of 60 training and 20 test images: grey, 8x8, random pixels, 4 classes in turn."""
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
    """Function that returns the recipe of a method under `--recipe paper`."""

    def recipe(name: str) -> Recipe:
        [spec] = Plan(recipe="paper").specs(
            tiny_dataset, expand_hparams([name], {}, {}), [0.2], [0]
        )
        return spec.recipe

    return recipe


@pytest.fixture
def make_task():
    """Function that builds a Task of 16 random grey images of 8x8 pixels and 3 classes."""

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


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if not chromium:
        pytest.skip("no chromium on this machine: on Debian, apt install chromium")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with sync_api.sync_playwright() as playwright:
            running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            yield running
            running.close()
