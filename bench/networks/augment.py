"""Augmentations as batched tensor code, with random parameters for each sample.

Images come and go as float tensors (B, C, H, W) with values in [0, 1], not yet normalised. All
random draws come from the generator that is passed in, on its own device. There is no loop over
samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

Augmentation = Callable[[Tensor, Generator], Tensor]


@cache
def constant(
    numbers: tuple[Any, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return numbers (or tuples of them) as a tensor, which must not be changed.

    It is copied to a GPU once, since the copy has to be waited for.
    """
    return torch.tensor(numbers, device=device, dtype=dtype)


def identity(images: Tensor, generator: Generator) -> Tensor:
    """Return the images unchanged."""
    return images


def uniform(batch: int, low: float, high: float, like: Tensor, generator: Generator) -> Tensor:
    """Draw one number a sample, (B, 1, 1, 1), uniform between ``low`` and ``high``."""
    draws = torch.rand(batch, 1, 1, 1, generator=generator, device=generator.device)
    return (low + (high - low) * draws).to(like.device, like.dtype)


def random_crop(
    images: Tensor, generator: Generator, padding: int, reflect: bool = False
) -> Tensor:
    """Pad on every side, then cut out the old size at a random place.

    The border is black, or with ``reflect`` the mirror image. torchvision's RandomCrop does the
    same.
    """
    padded = reflected(images, padding) if reflect else F.pad(images, [padding] * 4)
    return random_window(padded, generator, *images.shape[2:])


def reflected(images: Tensor, padding: int) -> Tensor:
    """Pad on every side by the mirror image, in which the edge itself is not repeated.

    torch's own padding takes no bytes. The images have more pixels a side than the padding.
    """
    for axis in (2, 3):
        last = images.shape[axis] - 1
        places = torch.arange(-padding, last + padding + 1, device=images.device).abs()
        images = images.index_select(axis, last - (last - places).abs())
    return images


def random_window(images: Tensor, generator: Generator, height: int, width: int) -> Tensor:
    """Cut out a window of that size at a random place; as much is cut off in height as in width."""
    batch, channels, rows, columns = images.shape
    places = columns - width + 1
    corners = torch.randint(0, places, (2, batch), generator=generator, device=generator.device)
    top, left = corners.to(images.device)
    # All stretches of a row's width are a view, from which the rows are picked: index_select copies
    # each at once, indexing value by value.
    stretches = images.reshape(-1).unfold(0, width, 1)
    planes = torch.arange(batch * channels, device=images.device).view(batch, channels, 1)
    inside = torch.arange(height, device=images.device) * columns
    starts = planes * (rows * columns) + (top * columns + left)[:, None, None] + inside
    return stretches.index_select(0, starts.flatten()).view(batch, channels, height, width)


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror half of the images, at random, left to right."""
    draws = torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device)
    flip, mirrored = (draws < 0.5).to(images.device), images.flip(3)
    if images.dtype == torch.uint8:
        # The choice is made by bits: `where` takes bytes one at a time, ten times as long.
        return images ^ ((images ^ mirrored) & -flip.to(torch.uint8))
    return torch.where(flip, mirrored, images)


def random_resized_crop(
    images: Tensor,
    generator: Generator,
    scale: tuple[float, float] = (0.2, 1.0),
    log_ratio: float = 0.288,
) -> Tensor:
    """Cut out a random share of the area at a random aspect ratio and resize it back, bilinearly.

    ``log_ratio`` bounds the logarithm of the aspect ratio; 0.288 is torchvision's 3/4 to 4/3.
    """
    batch = len(images)
    area = uniform(batch, *scale, images, generator).flatten()
    ratio = uniform(batch, -log_ratio, log_ratio, images, generator).flatten().exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    shift = 2 * torch.rand(2, batch, generator=generator, device=generator.device).to(images) - 1
    zero = torch.zeros_like(width)
    rows = (
        torch.stack([width, zero, shift[0] * (1 - width)], 1),
        torch.stack([zero, height, shift[1] * (1 - height)], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def dropout(vectors: Tensor, generator: Generator) -> Tensor:
    """Set half of the entries of normalised vectors (B, D) to 0, at random, and double the rest."""
    draws = torch.rand(vectors.shape, generator=generator, device=generator.device)
    return vectors * (draws < 0.5).to(vectors.device) * 2


def cached_view(stored: Tensor, generator: Generator) -> Tensor:
    """Return one of the augmented vectors of each sample, at random, (B, D).

    ``stored`` (B, 1 + V, D) has the plain vector of each sample first.
    """
    size, count = len(stored), stored.shape[1]
    views = torch.randint(1, count, (size,), generator=generator, device=generator.device)
    return stored[torch.arange(size, device=stored.device), views.to(stored.device)]


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black; 1 changes nothing."""
    return (images * factor).clamp(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with each image's mean grey; 1 changes nothing."""
    mean = to_grey(images).mean((1, 2, 3), keepdim=True)
    return (factor * images + (1 - factor) * mean).clamp(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image; 1 changes nothing."""
    return (factor * images + (1 - factor) * to_grey(images)).clamp(0, 1)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue by ``turn`` of the colour circle (-0.5 to 0.5), in HSV space.

    torchvision does the same.
    """
    red, green, blue = images.unbind(1)
    value, smallest = images.amax(1), images.amin(1)
    spread = value - smallest
    safe = torch.where(spread == 0, 1, spread)
    hue = torch.where(value == red, (green - blue) / safe, 2 + (blue - red) / safe)
    only_blue = (value == blue) & (value != red) & (value != green)
    hue = torch.where(only_blue, 4 + (red - green) / safe, hue)
    hue = (hue / 6 + turn.flatten()[:, None, None]) % 1
    # Each channel is a piecewise linear function of the hue (the standard HSV formula with n = 5,
    # 3, 1).
    offsets = constant((5.0, 3.0, 1.0), images.device, images.dtype)[:, None, None]
    position = (offsets + 6 * hue[:, None]) % 6
    return value[:, None] - spread[:, None] * torch.minimum(position, 4 - position).clamp(0, 1)


def to_grey(images: Tensor) -> Tensor:
    """Luma (ITU-R 601), one channel; grey images stay as they are."""
    if images.shape[1] == 1:
        return images
    weights = constant((0.2989, 0.587, 0.114), images.device, images.dtype)[:, None, None]
    return (images * weights).sum(1, keepdim=True)


def colour_jitter(
    images: Tensor, generator: Generator, strength: float = 0.4, probability: float = 0.8
) -> Tensor:
    """Change brightness, contrast, saturation and hue of some images, in this order.

    Random amounts go up to SimSiam's 0.4, 0.4, 0.4 and 0.1. Grey images have no saturation or hue
    to change.
    """

    def factor() -> Tensor:
        return uniform(len(images), 1 - strength, 1 + strength, images, generator)

    jittered = adjust_contrast(adjust_brightness(images, factor()), factor())
    if images.shape[1] == 3:
        jittered = adjust_saturation(jittered, factor())
        turn = uniform(len(images), -strength / 4, strength / 4, images, generator)
        jittered = adjust_hue(jittered, turn)
    chosen = uniform(len(images), 0, 1, images, generator) < probability
    return torch.where(chosen, jittered, images)


def random_grey(images: Tensor, generator: Generator, probability: float = 0.2) -> Tensor:
    """Take the colour out of some images."""
    chosen = uniform(len(images), 0, 1, images, generator) < probability
    return torch.where(chosen, to_grey(images).expand_as(images), images)


def random_blur(images: Tensor, generator: Generator, probability: float = 0.5) -> Tensor:
    """Blur some images by a Gaussian 3x3 kernel with a sigma from 0.1 to 1 pixel."""
    sigma = uniform(len(images), 0.1, 1.0, images, generator)
    side = torch.exp(-0.5 / sigma**2)  # weight of a neighbour, relative to the centre
    total = 1 + 2 * side
    padded = F.pad(images, [1, 1, 1, 1], mode="replicate")
    rows = (side * (padded[:, :, :-2] + padded[:, :, 2:]) + padded[:, :, 1:-1]) / total
    blurred = (side * (rows[..., :-2] + rows[..., 2:]) + rows[..., 1:-1]) / total
    chosen = uniform(len(images), 0, 1, images, generator) < probability
    return torch.where(chosen, blurred, images)


def cutout(
    images: Tensor, generator: Generator, share: float | Tensor = 0.25, level: float = 0
) -> Tensor:
    """Set a square of ``share`` of the area, centred anywhere, to ``level``: black, or brighter.

    The share may differ between samples, (B, 1, 1, 1). After DeVries & Taylor, 2017.
    """
    batch, _, height, width = images.shape
    half_height, half_width = height * share**0.5 / 2, width * share**0.5 / 2
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1) + 0.5
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1) + 0.5
    inside_y = (y - uniform(batch, 0, height, images, generator)).abs() <= half_height
    inside_x = (x - uniform(batch, 0, width, images, generator)).abs() <= half_width
    return images.masked_fill(inside_y & inside_x, level)


@dataclass(frozen=True)
class Geometric:
    """Random crops and flips, which move pixels and change none: of bytes as well as of floats."""

    padding: int = 0  # pixels on every side before a crop; 0 for no crop
    flips: bool = False
    reflect: bool = False  # the border of a crop mirrors the image

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        if self.padding:
            images = random_crop(images, generator, self.padding, self.reflect)
        return random_flip(images, generator) if self.flips else images


def weak(name: str, side: int) -> Augmentation:
    """Return a recipe's augmentation by name, for images of ``side`` pixels.

    Crops pad by an eighth of the side.
    """
    if name == "none":
        return identity
    padding = max(1, side // 8) if "crop" in name else 0
    return Geometric(padding, "flip" in name, "reflect" in name)


def strong(channels: int, flips: bool) -> Augmentation:
    """Return the augmentation of self-supervised learning: resized crop, jitter, grey, blur.

    SimSiam (Chen & He, 2021) relies on colour to make its views differ. On grey images cutout takes
    that part: with crops alone, the representation of digits gets worse than that of random
    weights.
    """
    flip: list[Augmentation] = [random_flip] if flips else []
    colourless = random_grey if channels == 3 else cutout
    return chain(random_resized_crop, *flip, colour_jitter, colourless, random_blur)


def chain(*steps: Augmentation) -> Augmentation:
    """Return the augmentation that applies these, one after the other."""

    def augment(images: Tensor, generator: Generator) -> Tensor:
        for step in steps:
            images = step(images, generator)
        return images

    return augment
