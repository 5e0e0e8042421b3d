"""Augmentations as batched tensor code: one set of random parameters a sample, no loop over
samples.

Images come and go as float tensors (B, C, H, W) with values in [0, 1], not yet normalised. All
random draws come from the generator that is passed in, on its own device.
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
    """These numbers (or tuples of them) as a tensor that nobody may change; copied to a GPU once,
    since it is waited for.
    """
    return torch.tensor(numbers, device=device, dtype=dtype)


def identity(images: Tensor, generator: Generator) -> Tensor:
    """The images as they are."""
    return images


def uniform(batch: int, low: float, high: float, like: Tensor, generator: Generator) -> Tensor:
    """One number a sample, (B, 1, 1, 1), uniform between ``low`` and ``high``."""
    draws = torch.rand(batch, 1, 1, 1, generator=generator, device=generator.device)
    return (low + (high - low) * draws).to(like.device, like.dtype)


def random_crop(images: Tensor, generator: Generator, padding: int) -> Tensor:
    """Pad with black on every side, then cut out the old size at a random place, as torchvision's
    RandomCrop does.
    """
    return random_window(F.pad(images, [padding] * 4), generator, *images.shape[2:])


def random_window(images: Tensor, generator: Generator, height: int, width: int) -> Tensor:
    """Cut out a window of that size at a random place; as much is cut off in height as in width."""
    batch, channels, rows, columns = images.shape
    places = columns - width + 1
    top, left = torch.randint(
        0, places, (2, batch), generator=generator, device=generator.device
    ).to(images.device)
    # Row by row out of all stretches of that width, a view: index_select copies each at once,
    # indexing value by value.
    planes = torch.arange(batch * channels, device=images.device).view(batch, channels, 1) * (
        rows * columns
    )
    starts = (
        planes
        + (top * columns + left)[:, None, None]
        + torch.arange(height, device=images.device) * columns
    )
    stretches = images.reshape(-1).unfold(0, width, 1)
    return stretches.index_select(0, starts.flatten()).view(batch, channels, height, width)


def random_flip(images: Tensor, generator: Generator, probability: float = 0.5) -> Tensor:
    """Mirror each image left to right with some probability."""
    flip = (
        torch.rand(len(images), 1, 1, 1, generator=generator, device=generator.device) < probability
    )
    flip, mirrored = flip.to(images.device), images.flip(3)
    # a choice by bits: `where` takes bytes one at a time, ten times as long
    if images.dtype == torch.uint8:
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
    """Rotate the hue by ``turn`` of the colour circle (-0.5 to 0.5), in HSV space as torchvision
    does.
    """
    red, green, blue = images.unbind(1)
    value, smallest = images.amax(1), images.amin(1)
    spread = value - smallest
    safe = torch.where(spread == 0, 1, spread)
    hue = torch.where(value == red, (green - blue) / safe, 2 + (blue - red) / safe)
    hue = torch.where(
        (value == blue) & (value != red) & (value != green), 4 + (red - green) / safe, hue
    )
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
    """Brightness, contrast, saturation and hue, each by a random amount (SimSiam's 0.4, 0.4, 0.4,
    0.1), in this order.

    Grey images have no saturation or hue to change.
    """
    batch = len(images)
    low, high = 1 - strength, 1 + strength
    jittered = adjust_brightness(images, uniform(batch, low, high, images, generator))
    jittered = adjust_contrast(jittered, uniform(batch, low, high, images, generator))
    if images.shape[1] == 3:
        jittered = adjust_saturation(jittered, uniform(batch, low, high, images, generator))
        jittered = adjust_hue(
            jittered, uniform(batch, -strength / 4, strength / 4, images, generator)
        )
    chosen = uniform(batch, 0, 1, images, generator) < probability
    return torch.where(chosen, jittered, images)


def random_grey(images: Tensor, generator: Generator, probability: float = 0.2) -> Tensor:
    """Take the colour out of some images."""
    chosen = uniform(len(images), 0, 1, images, generator) < probability
    return torch.where(chosen, to_grey(images).expand_as(images), images)


def random_blur(images: Tensor, generator: Generator, probability: float = 0.5) -> Tensor:
    """Gaussian blur with a 3x3 kernel and a sigma from 0.1 to 1 pixel, for some images."""
    sigma = uniform(len(images), 0.1, 1.0, images, generator)
    side = torch.exp(-0.5 / sigma**2)  # weight of a neighbour, relative to the centre
    total = 1 + 2 * side
    padded = F.pad(images, [1, 1, 1, 1], mode="replicate")
    rows = (side * (padded[:, :, :-2] + padded[:, :, 2:]) + padded[:, :, 1:-1]) / total
    blurred = (side * (rows[..., :-2] + rows[..., 2:]) + rows[..., 1:-1]) / total
    chosen = uniform(len(images), 0, 1, images, generator) < probability
    return torch.where(chosen, blurred, images)


def cutout(images: Tensor, generator: Generator, share: float = 0.25) -> Tensor:
    """Black out a square that covers ``share`` of the area, centred anywhere (DeVries & Taylor,
    2017).
    """
    batch, _, height, width = images.shape
    half_height, half_width = height * share**0.5 / 2, width * share**0.5 / 2
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1) + 0.5
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1) + 0.5
    inside_y = (y - uniform(batch, 0, height, images, generator)).abs() <= half_height
    inside_x = (x - uniform(batch, 0, width, images, generator)).abs() <= half_width
    return images.masked_fill(inside_y & inside_x, 0)


# -------------------------------------------------------------------------------------------
# RandAugment, AutoAugment


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Each pixel of the result is the input's at ``matrix`` (B, 2, 3) times (x, y, 1); the nearest
    one, black outside.

    Coordinates are in pixels from the image's centre, x to the right and y down, as in torchvision.
    """
    height, width = images.shape[2:]
    # grids run from -1 to 1
    half = constant((width / 2, height / 2, 1.0), images.device, images.dtype)
    theta = matrix * half / half[:2, None]
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", align_corners=False)


def upright(images: Tensor) -> Tensor:
    """The matrices (B, 2, 3) of a warp that changes nothing."""
    return torch.eye(2, 3, device=images.device, dtype=images.dtype).repeat(len(images), 1, 1)


def shear_x(images: Tensor, slope: Tensor) -> Tensor:
    """Move each row to the left by ``slope`` times its distance from the top."""
    matrix, slope = upright(images), slope.flatten()
    matrix[:, 0, 1], matrix[:, 0, 2] = slope, slope * images.shape[2] / 2
    return warp(images, matrix)


def shear_y(images: Tensor, slope: Tensor) -> Tensor:
    """Move each column up by ``slope`` times its distance from the left."""
    matrix, slope = upright(images), slope.flatten()
    matrix[:, 1, 0], matrix[:, 1, 2] = slope, slope * images.shape[3] / 2
    return warp(images, matrix)


def translate_x(images: Tensor, share: Tensor) -> Tensor:
    """Move to the right by a share of the width, in whole pixels (rounded towards 0)."""
    matrix = upright(images)
    matrix[:, 0, 2] = -(share.flatten() * images.shape[3]).trunc()
    return warp(images, matrix)


def translate_y(images: Tensor, share: Tensor) -> Tensor:
    """Move down by a share of the height, in whole pixels (rounded towards 0)."""
    matrix = upright(images)
    matrix[:, 1, 2] = -(share.flatten() * images.shape[2]).trunc()
    return warp(images, matrix)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn around the centre, counter-clockwise."""
    matrix, angle = upright(images), degrees.flatten().deg2rad()
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos(), -angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin(), angle.cos()
    return warp(images, matrix)


def adjust_sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with a smoothed image (3x3, the centre five times the weight of a neighbour); 1 changes
    nothing.

    The edge stays as it is, and so images of fewer than three pixels a side.
    """
    if min(images.shape[2:]) < 3:
        return images
    inner = images[..., 1:-1, 1:-1]
    # several times faster than pooling
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    smooth = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner) / 13
    result = images.clone()
    result[..., 1:-1, 1:-1] = (factor * inner + (1 - factor) * smooth).clamp(0, 1)
    return result


def eight_bits(images: Tensor) -> Tensor:
    """Levels from 0 to 255, as whole floats; in between, the lower one, as torchvision converts."""
    # a resize may leave values beyond 0 and 1 by their last bit
    return (images * 255.999).floor().clamp(0, 255)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest ``bits`` (rounded to 0 to 8) of each value's eight."""
    step = 2 ** (8 - bits.round())
    return (eight_bits(images) / step).floor() * step / 255


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at the threshold or brighter."""
    # Thresholds often fall on one of 255 levels: rounding must not decide whether that level is in.
    return torch.where(images >= threshold - 1e-6, 1 - images, images)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch each channel to the whole range; a channel of one value stays."""
    darkest, brightest = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    spread = brightest - darkest
    return torch.where(
        spread == 0, images, (images - darkest) / torch.where(spread == 0, 1, spread)
    )


def equalize(images: Tensor) -> Tensor:
    """Flatten the histogram of each channel's 256 levels, with the whole-number rule of PIL and
    torchvision.

    A level becomes the number of darker pixels in units of ``step``: a 255th of all pixels but the
    brightest level's. Where that is less than one pixel, the channel stays.
    """
    levels = eight_bits(images).long().flatten(2)
    pixels = torch.zeros(*levels.shape[:2], 256, device=images.device, dtype=torch.long)
    pixels.scatter_add_(2, levels, torch.ones_like(levels))
    darker = pixels.cumsum(2) - pixels
    step = (levels.shape[2] - pixels.gather(2, levels.amax(2, keepdim=True))) // 255
    table = ((darker + step // 2) // step.clamp(min=1)).clamp(max=255).to(images.dtype) / 255
    return torch.where(step == 0, images.flatten(2), table.gather(2, levels)).view_as(images)


@dataclass(frozen=True)
class Operation:
    """An operation that RandAugment and AutoAugment choose from, with the ends of its scale of
    magnitudes.
    """

    apply: Callable[[Tensor, Tensor], Tensor]  # images (B, C, H, W), magnitudes (B, 1, 1, 1)
    weakest: float = 0
    strongest: float = 0
    signed: bool = False  # whether the magnitude is negated half of the time


#: Ranges as in torchvision: 150 of 331 pixels is how far the authors moved their images.
OPERATIONS = {
    "identity": Operation(lambda images, _: images),
    "shear_x": Operation(shear_x, 0, 0.3, signed=True),
    "shear_y": Operation(shear_y, 0, 0.3, signed=True),
    "translate_x": Operation(translate_x, 0, 150 / 331, signed=True),
    "translate_y": Operation(translate_y, 0, 150 / 331, signed=True),
    "rotate": Operation(rotate, 0, 30, signed=True),
    "brightness": Operation(
        lambda images, change: adjust_brightness(images, 1 + change), 0, 0.9, signed=True
    ),
    "colour": Operation(
        lambda images, change: adjust_saturation(images, 1 + change), 0, 0.9, signed=True
    ),
    "contrast": Operation(
        lambda images, change: adjust_contrast(images, 1 + change), 0, 0.9, signed=True
    ),
    "sharpness": Operation(
        lambda images, change: adjust_sharpness(images, 1 + change), 0, 0.9, signed=True
    ),
    "posterize": Operation(posterize, 8, 4),
    "solarize": Operation(solarize, 1, 0),
    "auto_contrast": Operation(lambda images, _: auto_contrast(images)),
    "equalize": Operation(lambda images, _: equalize(images)),
    # last, since RandAugment chooses from all but this one
    "invert": Operation(lambda images, _: 1 - images),
}
NUMBER = {name: number for number, name in enumerate(OPERATIONS)}
SCALES = tuple((step.weakest, step.strongest, step.signed) for step in OPERATIONS.values())

#: AutoAugment's policy for CIFAR-10 (Cubuk et al., 2019, appendix): pairs of operation,
#: probability, magnitude from 0 to 9.
CIFAR10_POLICY = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("colour", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("colour", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("auto_contrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("colour", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("colour", 0.9, 9), ("equalize", 0.6, 0)),
    (("auto_contrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("colour", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 0)),
)


#: The same by numbers of operations.
CIFAR10_PAIRS = tuple(
    tuple((NUMBER[name], *rest) for name, *rest in pair) for pair in CIFAR10_POLICY
)


def signed_magnitude(operation: Tensor, level: Tensor | float, generator: Generator) -> Tensor:
    """Magnitudes of the operations (any shape) at a ``level`` from 0 to 1 of their scales, with
    random signs where signed.
    """
    weakest, strongest, signed = constant(SCALES, operation.device)[operation].unbind(-1)
    negative = torch.rand(operation.shape, generator=generator, device=generator.device) < 0.5
    return (weakest + (strongest - weakest) * level) * (1 - 2 * signed * negative)


def draw_rand_augment(
    batch: int, generator: Generator, num_ops: int = 2, magnitude: float = 10
) -> tuple[Tensor, Tensor]:
    """RandAugment's choices: numbers of OPERATIONS and their magnitudes, both (num_ops, B), on the
    generator's device.
    """
    operation = torch.randint(
        0, NUMBER["invert"], (num_ops, batch), generator=generator, device=generator.device
    )
    return operation, signed_magnitude(operation, magnitude / 30, generator)


def draw_auto_augment(batch: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """AutoAugment's choices, in the form of RandAugment's; what a sub-policy's coin leaves out is
    the identity.
    """
    device = generator.device
    policy = torch.randint(0, len(CIFAR10_POLICY), (batch,), generator=generator, device=device)
    # each (2, B)
    operation, probability, level = constant(CIFAR10_PAIRS, device)[policy].permute(2, 1, 0)
    happens = torch.rand(2, batch, generator=generator, device=device) < probability
    operation = torch.where(happens, operation, NUMBER["identity"]).long()
    return operation, signed_magnitude(operation, level / 9, generator)


def operate(images: Tensor, operation: Tensor, magnitude: Tensor) -> Tensor:
    """Apply to each sample operations of its own, one after the other; ``operation`` and
    ``magnitude`` are (S, B).
    """
    # Sizes of groups are not known to the host before a GPU has been waited for.
    step = operate_in_groups if images.device.type == "cpu" else operate_on_all
    magnitude = magnitude.to(images.device, images.dtype)
    for chosen, values in zip(operation.to(images.device), magnitude, strict=True):
        images = step(images, chosen, values.view(-1, 1, 1, 1))
    return images


def operate_in_groups(images: Tensor, chosen: Tensor, magnitude: Tensor) -> Tensor:
    """One step of it: each operation computes the samples that chose it."""
    order, sizes = chosen.argsort(), chosen.bincount(minlength=len(OPERATIONS)).tolist()
    # index_select is several times as fast as indexing with a tensor.
    groups, strengths = (part.index_select(0, order).split(sizes) for part in (images, magnitude))
    steps = zip(OPERATIONS.values(), groups, strengths, strict=True)
    pieces = [step.apply(group, strength) for step, group, strength in steps if len(group)]
    return torch.cat(pieces).index_select(0, order.argsort())


def operate_on_all(images: Tensor, chosen: Tensor, magnitude: Tensor) -> Tensor:
    """The same with as many launches: each operation computes all samples, of which those that
    chose it keep the result.
    """
    result = images
    for number, step in enumerate(OPERATIONS.values()):
        result = torch.where(
            (chosen == number).view(-1, 1, 1, 1), step.apply(images, magnitude), result
        )
    return result


def rand_augment(
    images: Tensor, generator: Generator, num_ops: int = 2, magnitude: float = 10
) -> Tensor:
    """RandAugment (Cubuk et al., 2020, arXiv 1909.13719): operations at random, all of one
    magnitude.

    ``magnitude`` runs from 0 to 30, on the scale of 31 steps that torchvision has.
    """
    return operate(images, *draw_rand_augment(len(images), generator, num_ops, magnitude))


def auto_augment_cifar10(images: Tensor, generator: Generator) -> Tensor:
    """AutoAugment (Cubuk et al., 2019, arXiv 1805.09501) with the 25 pairs of operations that it
    found on CIFAR-10.
    """
    return operate(images, *draw_auto_augment(len(images), generator))


# ----------------------------------------------------------------------------------------------------------
# whole views


@dataclass(frozen=True)
class Geometric:
    """An augmentation that moves pixels and changes none: crops and flips, of bytes as well as of
    floats.
    """

    padding: int = 0  # crop after padding by so many pixels
    flips: bool = False

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        if self.padding:
            images = random_crop(images, generator, self.padding)
        return random_flip(images, generator) if self.flips else images


def weak(name: str, side: int) -> Augmentation:
    """A recipe's augmentation by name, for images of ``side`` pixels: crops pad by an eighth of the
    side.
    """
    if name == "none":
        return identity
    return Geometric(max(1, side // 8) if "crop" in name else 0, "flip" in name)


def strong(channels: int, flips: bool) -> Augmentation:
    """The views of self-supervised learning: resized crop, jitter, grey, blur and, for grey images,
    cutout.

    SimSiam (Chen & He, 2021) relies on colour to make its views differ; on grey images cutout takes
    that part, since with crops alone the representation of digits gets worse than that of random
    weights.
    """
    steps: list[Augmentation] = [random_resized_crop]
    if flips:
        steps.append(random_flip)
    steps.append(colour_jitter)
    steps += [random_grey] if channels == 3 else [cutout]
    steps.append(random_blur)

    def augment(images: Tensor, generator: Generator) -> Tensor:
        for step in steps:
            images = step(images, generator)
        return images

    return augment
