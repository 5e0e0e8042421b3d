"""Data path from stored images to batches: tensors on the device against PIL and a DataLoader."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator
from torch.utils.data import DataLoader, Dataset

from bench.networks import augment
from bench.speed.measure import Row, Settings, Work, compare, require_same
from bench.task import Pixels

BATCH = 128


@dataclass(frozen=True)
class Format:
    """Shape of images, and their augmentation by its name in ``bench.networks.augment.weak``."""

    side: int
    channels: int
    augmentation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"{self.augmentation} {self.side}x{self.side}x{self.channels}"


FORMATS = (
    Format(32, 3, "crop_flip", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    Format(28, 1, "crop", (0.2860,), (0.3530,)),
)


class Pictures(Dataset):
    """Array (N, H, W, C), of which each access makes a PIL image, as in authors' codes.

    An item is ``views`` augmented views of an image, its label and its position.
    """

    def __init__(
        self,
        form: Format,
        images: np.ndarray,
        labels: np.ndarray,
        views: int = 1,
        positions: np.ndarray | None = None,
    ) -> None:
        self.form, self.images, self.labels, self.views = form, images, labels, views
        self.positions = np.arange(len(images)) if positions is None else positions
        self.transform = pipeline(form)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, item: int) -> tuple[Any, ...]:
        from PIL import Image

        index = int(self.positions[item])
        image = Image.fromarray(self.images[index].squeeze())
        views = (self.transform(image) for _ in range(self.views))
        return *views, int(self.labels[index]), index


def pipeline(form: Format) -> Any:
    """Return torchvision's transforms for ``form``, in the order of authors' codes."""
    from torchvision import transforms

    steps: list[Any] = []
    if "crop" in form.augmentation:
        steps.append(transforms.RandomCrop(form.side, padding=form.side // 8))
    if "flip" in form.augmentation:
        steps.append(transforms.RandomHorizontalFlip())
    normalize = transforms.Normalize(form.mean, form.std)
    return transforms.Compose([*steps, transforms.ToTensor(), normalize])


def loader_of(pictures: Pictures, settings: Settings, shuffle: bool, size: int) -> DataLoader:
    """Return the DataLoader of authors' codes.

    PIL computes on one thread, so that further threads become worker processes. They outlive a
    pass, which is kinder than most authors' codes.
    """
    workers = settings.threads if settings.threads > 1 else 0
    return DataLoader(pictures, size, shuffle, num_workers=workers, persistent_workers=workers > 0)


def synthetic(form: Format, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images (N, H, W, C) uint8 and labels (N,)."""
    rng = np.random.default_rng(0)
    shape = (number, form.side, form.side, form.channels)
    return rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 10, number)


def pixels_of(form: Format, images: np.ndarray, device: str) -> Pixels:
    """Return the same images as this package holds them."""
    stored = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)
    mean, std = (torch.tensor(values, device=device) for values in (form.mean, form.std))
    return Pixels(stored, mean, std)


def difference(form: Format, number: int = 64, device: str = "cpu") -> float:
    """Return the largest difference of a value between both sides for equal crops and flips."""
    images, labels = synthetic(form, number)
    augmentation = augment.weak(form.augmentation, form.side)
    index, generator = torch.arange(number, device=device), Generator().manual_seed(0)
    ours = pixels_of(form, images, device)(index, augmentation, generator).cpu()
    # The draws of random_crop and random_flip again.
    replay = Generator().manual_seed(0)
    offsets = torch.randint(0, 2 * (form.side // 8) + 1, (2, number), generator=replay).T.tolist()
    flips = (torch.rand(number, generator=replay) < 0.5).tolist()
    theirs = Pictures(form, images, labels)
    crop, flip, *_ = theirs.transform.transforms
    errors = []
    for image, (top, left) in enumerate(offsets):
        crop.get_params = lambda *_, place=(top, left, form.side, form.side): place
        flip.p = float(flips[image])  # without effect on a step that is no flip
        errors.append((theirs[image][0] - ours[image]).abs().max())
    return torch.stack(errors).max().item()  # NaN where one is


def data(settings: Settings) -> Iterator[Row]:
    """Compare passes over shuffled, augmented, normalised batches."""
    device, number = settings.device, settings.images or 10_000
    for form in FORMATS:
        bound = 1e-6 if device == "cpu" else 1e-5  # a GPU multiplies by the reciprocal
        require_same(form.name, "the two ways", difference(form, device=device), bound)
        images, labels = synthetic(form, number)
        pixels, targets = pixels_of(form, images, device), torch.from_numpy(labels).to(device)
        augmentation = augment.weak(form.augmentation, form.side)
        generator = Generator(device).manual_seed(0)
        loader = loader_of(Pictures(form, images, labels), settings, shuffle=True, size=BATCH)

        def ours(pixels=pixels, targets=targets, draw=augmentation, generator=generator) -> None:
            order = torch.randperm(len(targets), generator=generator, device=device)
            for index in order.split(BATCH):
                pixels(index, draw, generator), targets[index]

        def theirs(loader=loader) -> None:
            for x, y, _ in loader:
                x.to(device), y.to(device)

        # Every byte is read, every float for the network is written.
        work = Work("copy", number * form.channels * form.side**2 * 5)
        yield compare("data", form.name, ours, theirs, settings, number, work)
