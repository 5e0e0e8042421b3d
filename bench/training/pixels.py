"""Images of a trial on its device, or on their way there."""

import warnings

import numpy as np
import torch
from torch import Tensor

from bench.datasets import Dataset, ImageFiles
from bench.planning.labels import Replacements
from bench.planning.pretraining import PretrainJob
from bench.planning.spec import TrialSpec
from bench.task import Pixels, SharedPixels
from bench.training.stream import StreamedPixels

#: Images copied to the device at a time.
COPY_BATCH = 4096


def pixels_for(
    dataset: Dataset,
    spec: "TrialSpec | PretrainJob",
    images: np.ndarray | ImageFiles | None = None,
    positions: np.ndarray | None = None,
) -> Pixels:
    """Return images of the data set as the networks of a trial read them.

    Memory that is read-only, such as Ray's object store or a decoded cache, is shared and not
    copied: it may hold gigabytes.

    Args:
        images: the data set's training images by default.
        positions: (N,) selects images, in this order; their copies are the trial's own.
    """
    images = dataset.train_images if images is None else images
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=spec.device)
        for values in dataset.pixel_statistics
    )
    if isinstance(images, ImageFiles):
        files = images if positions is None else images[positions]
        return StreamedPixels(files, mean, std, torch.device(spec.device), workers=spec.threads - 1)
    if positions is None:
        return Pixels(on_device(images, spec.device), mean, std)
    if spec.device == "cpu" and not images.flags.writeable:
        return SharedPixels(images, positions, mean, std)
    copies = torch.empty((len(positions), *images.shape[1:]), dtype=torch.uint8, device=spec.device)
    for start in range(0, len(positions), COPY_BATCH):
        batch = np.take(images, positions[start : start + COPY_BATCH], axis=0)
        copies[start : start + COPY_BATCH].copy_(torch.from_numpy(batch))
    return Pixels(copies, mean, std)


def replaced(dataset: Dataset, replacements: Replacements | None) -> np.ndarray | ImageFiles:
    """Return the training images, those that open-set noise replaces as their donors."""
    if replacements is None:
        return dataset.train_images
    assert isinstance(dataset.train_images, np.ndarray) and dataset.donors is not None
    positions, donors = replacements
    images = dataset.train_images.copy()
    images[positions] = dataset.donors[donors]
    return images


def on_device(array: np.ndarray, device: str) -> Tensor:
    """Return an array as a tensor; on a CPU they share memory."""
    with warnings.catch_warnings():
        # Arrays shared between processes are read-only, and no tensor of them is written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)
