"""AutoAugment's policy for CIFAR-10, as batched tensor code.

Images come and go as in ``augment``: float tensors (B, C, H, W) with values in [0, 1].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bench.networks.augment import adjust_brightness, adjust_contrast, adjust_saturation, constant


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Take each pixel of the result from the input at ``matrix`` (B, 2, 3) times (x, y, 1).

    That is the nearest pixel, or black outside. Coordinates are in pixels from the image's centre,
    x to the right and y down, as in torchvision.
    """
    height, width = images.shape[2:]
    # The grid's coordinates run from -1 to 1.
    half = constant((width / 2, height / 2, 1.0), images.device, images.dtype)
    theta = matrix * half / half[:2, None]
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", align_corners=False)


def upright(images: Tensor) -> Tensor:
    """Return the matrices (B, 2, 3) of a warp that changes nothing."""
    return torch.eye(2, 3, device=images.device, dtype=images.dtype).repeat(len(images), 1, 1)


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
    """Blend with an image smoothed by a 3x3 kernel; 1 changes nothing.

    The kernel's centre has five times the weight of a neighbour. The edge stays as it is, and so do
    images of fewer than three pixels a side.
    """
    if min(images.shape[2:]) < 3:
        return images
    inner = images[..., 1:-1, 1:-1]
    # Sums of slices are several times faster than pooling.
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    smooth = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner) / 13
    result = images.clone()
    result[..., 1:-1, 1:-1] = (factor * inner + (1 - factor) * smooth).clamp(0, 1)
    return result


def eight_bits(images: Tensor) -> Tensor:
    """Return levels from 0 to 255 as whole floats, rounded down as torchvision does."""
    # A resize may leave values beyond 0 and 1 by their last bit.
    return (images * 255.999).floor().clamp(0, 255)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest ``bits`` (rounded, from 0 to 8) of each value's eight."""
    step = 2 ** (8 - bits.round())
    return (eight_bits(images) / step).floor() * step / 255


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert pixels at the threshold or brighter."""
    # Thresholds often fall on one of 255 levels: rounding must not decide whether that level is in.
    return torch.where(images >= threshold - 1e-6, 1 - images, images)


def auto_contrast(images: Tensor) -> Tensor:
    """Stretch each channel to the whole range; a channel of one value stays."""
    darkest, brightest = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    spread = brightest - darkest
    stretched = (images - darkest) / torch.where(spread == 0, 1, spread)
    return torch.where(spread == 0, images, stretched)


def equalize(images: Tensor) -> Tensor:
    """Flatten the histogram of each channel's 256 levels, by the integer rule of PIL.

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
    """An operation to choose from, and the ends of its scale of magnitudes."""

    apply: Callable[[Tensor, Tensor], Tensor]  # images (B, C, H, W), magnitudes (B, 1, 1, 1)
    weakest: float = 0
    strongest: float = 0
    signed: bool = False  # negate the magnitude half of the time


def _blend(adjust: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """Operation that changes an image by a factor from 0.1 to 1.9."""
    return Operation(lambda images, change: adjust(images, 1 + change), 0, 0.9, signed=True)


#: Ranges as in torchvision: 150 of 331 pixels is how far the authors moved their images.
OPERATIONS = {
    "identity": Operation(lambda images, _: images),
    "shear_y": Operation(shear_y, 0, 0.3, signed=True),
    "translate_x": Operation(translate_x, 0, 150 / 331, signed=True),
    "translate_y": Operation(translate_y, 0, 150 / 331, signed=True),
    "rotate": Operation(rotate, 0, 30, signed=True),
    "brightness": _blend(adjust_brightness),
    "colour": _blend(adjust_saturation),
    "contrast": _blend(adjust_contrast),
    "sharpness": _blend(adjust_sharpness),
    "posterize": Operation(posterize, 8, 4),
    "solarize": Operation(solarize, 1, 0),
    "auto_contrast": Operation(lambda images, _: auto_contrast(images)),
    "equalize": Operation(lambda images, _: equalize(images)),
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

#: The policy with numbers of operations for names.
CIFAR10_PAIRS = tuple(
    tuple((NUMBER[name], *rest) for name, *rest in pair) for pair in CIFAR10_POLICY
)


def draw_auto_augment(batch: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw a pair of operations for each sample: their numbers and magnitudes, both (2, B).

    An operation that its probability leaves out becomes the identity.
    """
    device = generator.device
    policy = torch.randint(0, len(CIFAR10_PAIRS), (batch,), generator=generator, device=device)
    operation, probability, level = constant(CIFAR10_PAIRS, device)[policy].permute(2, 1, 0)
    happens = torch.rand(2, batch, generator=generator, device=device) < probability
    operation = torch.where(happens, operation, NUMBER["identity"]).long()
    weakest, strongest, signed = constant(SCALES, device)[operation].unbind(-1)
    negative = torch.rand(2, batch, generator=generator, device=device) < 0.5
    magnitude = weakest + (strongest - weakest) * (level / 9)
    return operation, magnitude * (1 - 2 * signed * negative)


def operate(
    images: Tensor,
    operation: Tensor,
    magnitude: Tensor,
    pool: Mapping[str, Operation] = OPERATIONS,
) -> Tensor:
    """Apply operations to each sample, one after the other.

    Their places in the pool and their magnitudes are (S, B).
    """
    # The host does not know the sizes of groups before a GPU has been waited for.
    step = operate_in_groups if images.device.type == "cpu" else operate_on_all
    magnitude = magnitude.to(images.device, images.dtype)
    for chosen, values in zip(operation.to(images.device), magnitude, strict=True):
        images = step(images, chosen, values.view(-1, 1, 1, 1), pool)
    return images


def operate_in_groups(
    images: Tensor,
    chosen: Tensor,
    magnitude: Tensor,
    pool: Mapping[str, Operation] = OPERATIONS,
) -> Tensor:
    """Apply each operation to the samples that chose it, and to no other."""
    order, sizes = chosen.argsort(), chosen.bincount(minlength=len(pool)).tolist()
    # index_select is several times as fast as indexing with a tensor.
    groups, strengths = (part.index_select(0, order).split(sizes) for part in (images, magnitude))
    steps = zip(pool.values(), groups, strengths, strict=True)
    pieces = [step.apply(group, strength) for step, group, strength in steps if len(group)]
    return torch.cat(pieces).index_select(0, order.argsort())


def operate_on_all(
    images: Tensor,
    chosen: Tensor,
    magnitude: Tensor,
    pool: Mapping[str, Operation] = OPERATIONS,
) -> Tensor:
    """Apply each operation to all samples; those that chose it take the result."""
    result = images
    for number, step in enumerate(pool.values()):
        mask = (chosen == number).view(-1, 1, 1, 1)
        result = torch.where(mask, step.apply(images, magnitude), result)
    return result


def auto_augment_cifar10(images: Tensor, generator: Generator) -> Tensor:
    """Apply AutoAugment (Cubuk et al., 2019, arXiv 1805.09501) by its CIFAR-10 policy."""
    return operate(images, *draw_auto_augment(len(images), generator))
