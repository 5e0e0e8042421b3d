"""Images or vectors of a trial on its device, or on their way there."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.datasets import Dataset, ImageFiles
from bench.errors import Unavailable
from bench.planning.labels import Replacements
from bench.planning.pretraining import PretrainJob
from bench.planning.spec import TrialSpec
from bench.task import Pixels, SharedPixels, Vectors
from bench.training.stream import StreamedPixels

#: Images copied to the device at a time.
COPY_BATCH = 4096


@dataclass(frozen=True)
class Inputs:
    """Samples of a data set as trials read them: its images, or vectors (N, D) or (N, 1 + V, D)."""

    train: np.ndarray | ImageFiles
    tests: Mapping[str, np.ndarray | ImageFiles]
    donors: np.ndarray | None

    @classmethod
    def of(cls, dataset: Dataset, spec: TrialSpec | PretrainJob) -> "Inputs":
        """Return the features of the images where the trial has a frozen network, else the images.

        Raises:
            Unavailable: where the features were not computed.
        """
        pretrained = spec.pretrained
        if pretrained is None or not pretrained.frozen:
            tests = {name: images for name, (images, _) in dataset.tests.items()}
            return cls(dataset.train_images, tests, dataset.donors)
        if dataset.features is None:
            raise Unavailable(
                f"the trial needs features of {pretrained.network}: embed the images first"
            )
        return cls(dataset.features.train, dataset.features.tests, dataset.features.donors)


def pixels_for(
    dataset: Dataset,
    spec: TrialSpec | PretrainJob,
    images: np.ndarray | ImageFiles | None = None,
    positions: np.ndarray | None = None,
) -> Pixels | Vectors:
    """Return samples of the data set as the networks of a trial read them.

    Memory that is read-only, such as Ray's object store or a decoded cache, is shared and not
    copied: it may hold gigabytes.

    Args:
        images: arrays or files of ``Inputs``; those for training by default.
        positions: (N,) selects samples, in this order; copies of images are the trial's own.
    """
    images = Inputs.of(dataset, spec).train if images is None else images
    if isinstance(images, np.ndarray) and images.ndim < 4:
        return Vectors(images, *_scale(dataset, spec), positions)
    network = spec.pretrained
    statistics = network.statistics(dataset.channels) if network else dataset.pixel_statistics
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=spec.device) for values in statistics
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


def _scale(dataset: Dataset, spec: TrialSpec | PretrainJob) -> tuple[Tensor, Tensor]:
    """Return the mean of the training vectors, and the factor that their deviations get.

    An MLP gets standardised vectors. A linear head gets vectors of length 1 in the mean: on
    standardised ones it memorises nearly all wrong labels, and is 18 points worse.
    """
    features = dataset.features
    statistics = features.statistics if features else dataset.vector_statistics
    wide = isinstance(spec, TrialSpec) and spec.recipe.backbone == "linear"
    factor = 1 / (statistics.norm if wide else statistics.std)
    mean, scale = (
        torch.as_tensor(values, dtype=torch.float32, device=spec.device)
        for values in (statistics.mean, factor)
    )
    return mean, scale


def replaced(inputs: Inputs, replacements: Replacements | None) -> np.ndarray | ImageFiles:
    """Return the training samples, those that open-set noise replaces as their donors."""
    if replacements is None:
        return inputs.train
    assert isinstance(inputs.train, np.ndarray) and inputs.donors is not None
    positions, donors = replacements
    samples = inputs.train.copy()
    # A donor has no augmented vectors: its plain one takes their place.
    samples[positions] = (
        inputs.donors[donors] if samples.ndim != 3 else inputs.donors[donors][:, None]
    )
    return samples


def on_device(array: np.ndarray, device: str) -> Tensor:
    """Return an array as a tensor; on a CPU they share memory."""
    with warnings.catch_warnings():
        # Arrays shared between processes are read-only, and no tensor of them is written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)
