"""The way from stored images to a batch that a network can take: tensors on the device against PIL
and a DataLoader.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from bench.networks import augment
from bench.speed.measure import Different, Row, Settings, Work, compare
from bench.task import Pixels

BATCH = 128


@dataclass(frozen=True)
class Format:
    """Images of one kind, and how a recipe augments them (the names of
    ``bench.networks.augment.weak``).
    """

    side: int
    channels: int
    augmentation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def name(self) -> str:
        """As in the rows: ``crop_flip 32x32x3``."""
        return f"{self.augmentation} {self.side}x{self.side}x{self.channels}"


FORMATS = (
    Format(32, 3, "crop_flip", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    Format(28, 1, "crop", (0.2860,), (0.3530,)),
)


class Pictures(Dataset):
    """Images as authors' codes hold them: an array (N, H, W, C), of which each access makes a PIL
    image.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, transform: Callable[[Any], Tensor]
    ) -> None:
        self.images = images
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index].squeeze())), int(
            self.labels[index]
        )


def pipeline(form: Format) -> list[Any]:
    """torchvision's transforms for what ``form`` says, in the order of authors' codes."""
    from torchvision import transforms

    crop = (
        [transforms.RandomCrop(form.side, padding=form.side // 8)]
        if "crop" in form.augmentation
        else []
    )
    flip = [transforms.RandomHorizontalFlip()] if "flip" in form.augmentation else []
    return [*crop, *flip, transforms.ToTensor(), transforms.Normalize(form.mean, form.std)]


def synthetic(form: Format, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images (N, H, W, C) uint8 and labels (N,)."""
    rng = np.random.default_rng(0)
    return rng.integers(
        0, 256, (number, form.side, form.side, form.channels), dtype=np.uint8
    ), rng.integers(0, 10, number)


def pixels_of(form: Format, images: np.ndarray, device: str = "cpu") -> Pixels:
    """The same images as this package holds them."""
    stored = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return Pixels(
        stored.to(device),
        torch.tensor(form.mean, device=device),
        torch.tensor(form.std, device=device),
    )


def loader_of(
    pictures: Pictures, settings: Settings, shuffle: bool, batch_size: int = BATCH
) -> DataLoader:
    """Authors' DataLoader. One thread needs no worker; more can only be worker processes, since PIL
    computes in one.

    They stay between the passes, which is kinder than most authors' codes.
    """
    workers = settings.threads if settings.threads > 1 else 0
    return DataLoader(
        pictures, batch_size, shuffle, num_workers=workers, persistent_workers=workers > 0
    )


def difference(form: Format, number: int = 64, device: str = "cpu") -> float:
    """The largest difference of a value between the two ways, ours on this device, given the same
    crops and flips.
    """
    from torchvision import transforms

    images, labels = synthetic(form, number)
    generator = Generator().manual_seed(0)  # wherever the images are
    pixels = pixels_of(form, images, device)
    ours = pixels(
        torch.arange(number, device=device), augment.weak(form.augmentation, form.side), generator
    ).cpu()
    # The draws of random_crop and random_flip again, one for one.
    replay = Generator().manual_seed(0)
    places = torch.randint(0, 2 * (form.side // 8) + 1, (2, number), generator=replay).T.tolist()
    flips = (torch.rand(number, generator=replay) < 0.5).tolist()
    steps = pipeline(form)
    theirs = Pictures(images, labels, transforms.Compose(steps))
    largest = torch.zeros(())
    for index, ((top, left), flip) in enumerate(zip(places, flips, strict=True)):
        steps[0].get_params = lambda *_, place=(top, left, form.side, form.side): place
        if form.augmentation == "crop_flip":
            steps[1].p = float(flip)
        # which does not lose a NaN
        largest = torch.maximum(largest, (theirs[index][0] - ours[index]).abs().max())
    return largest.item()


def passes(form: Format, settings: Settings) -> Row:
    """A pass over shuffled, augmented, normalised batches: tensors on the device against PIL and a
    DataLoader.
    """
    from torchvision import transforms

    # A GPU divides by multiplying with a reciprocal.
    if not (error := difference(form, device=settings.device)) <= (
        1e-6 if settings.device == "cpu" else 1e-5
    ):
        raise Different(form.name, f"the two ways differ by {error:g}")
    number = settings.images or 10_000
    images, labels = synthetic(form, number)
    device = settings.device
    pixels, targets = pixels_of(form, images, device), torch.from_numpy(labels).to(device)
    augmentation, generator = (
        augment.weak(form.augmentation, form.side),
        Generator(device).manual_seed(0),
    )
    loader = loader_of(
        Pictures(images, labels, transforms.Compose(pipeline(form))), settings, shuffle=True
    )

    def ours() -> None:
        for index in torch.randperm(len(targets), generator=generator, device=device).split(BATCH):
            pixels(index, augmentation, generator), targets[index]

    def theirs() -> None:
        for x, y in loader:
            x.to(device), y.to(device)

    # Every byte is read, every float that the network gets is written.
    work = Work("copy", number * form.channels * form.side**2 * 5)
    return compare("data", form.name, ours, theirs, settings, number, work=work)


def data(settings: Settings) -> list[Row]:
    """A pass over images of each format."""
    return [passes(form, settings) for form in FORMATS]
