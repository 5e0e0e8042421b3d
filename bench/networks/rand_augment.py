"""RandAugment as FixMatch and its descendants have it: every operation has a range of its own.

Images come and go as in ``augment``: float tensors (B, C, H, W) with values in [0, 1].
"""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from bench.networks.augment import constant, cutout, uniform
from bench.networks.auto_augment import (
    OPERATIONS,
    Operation,
    operate,
    shear_y,
    solarize,
    upright,
    warp,
)


def shear_x(images: Tensor, slope: Tensor) -> Tensor:
    """Move each row to the left by ``slope`` times its distance from the top."""
    matrix, slope = upright(images), slope.flatten()
    matrix[:, 0, 1], matrix[:, 0, 2] = slope, slope * images.shape[2] / 2
    return warp(images, matrix)


def solarize_add(images: Tensor, change: Tensor) -> Tensor:
    """Add to all pixels, then invert those of level 128 or brighter."""
    return solarize((images + change).clamp(0, 1), torch.full_like(change, 128 / 255))


def _ranged(name: str, weakest: float = 0, strongest: float = 0, signed: bool = False) -> Operation:
    """Operation of AutoAugment with another range of magnitudes."""
    return Operation(OPERATIONS[name].apply, weakest, strongest, signed)


#: Ranges of FixMatch (Sohn et al., 2020, arXiv 2001.07685). Brightness, colour, contrast and
#: sharpness are multiplied by 1 plus the magnitude. Bits are rounded here and cut off there, so
#: that the range of posterize lies half a bit lower.
FIXMATCH_POOL = {
    **{name: _ranged(name) for name in ("identity", "auto_contrast", "equalize")},
    **{
        name: _ranged(name, -0.95, -0.05)
        for name in ("brightness", "colour", "contrast", "sharpness")
    },
    "posterize": _ranged("posterize", 3.5, 7.5),
    "rotate": _ranged("rotate", -30, 30),
    "shear_x": Operation(shear_x, -0.3, 0.3),
    "shear_y": Operation(shear_y, -0.3, 0.3),
    "solarize": _ranged("solarize", 0, 256 / 255),
    "translate_x": _ranged("translate_x", -0.3, 0.3),
    "translate_y": _ranged("translate_y", -0.3, 0.3),
}

#: Ranges of DISC (Li et al., CVPR 2023), which moves images less and changes colours more. Its
#: cutout of at most a tenth of the side is the identity here: a larger one follows in any case.
DISC_POOL = {
    **{name: _ranged(name) for name in ("identity", "auto_contrast", "equalize", "invert")},
    **{
        name: _ranged(name, -0.9, 0.9) for name in ("brightness", "colour", "contrast", "sharpness")
    },
    "posterize": _ranged("posterize", 3.5, 7.5),
    "rotate": _ranged("rotate", 0, 30, signed=True),
    "shear_x": Operation(shear_x, 0, 0.1, signed=True),
    "shear_y": Operation(shear_y, 0, 0.1, signed=True),
    "solarize": _ranged("solarize", 256 / 255, 0),
    "solarize_add": Operation(solarize_add, 0, 110 / 255, signed=True),
    "translate_x": _ranged("translate_x", 0, 0.05, signed=True),
    "translate_y": _ranged("translate_y", 0, 0.05, signed=True),
}


def draw_rand_augment(
    batch: int,
    generator: Generator,
    pool: Mapping[str, Operation],
    num_ops: int,
    probability: float = 1.0,
    magnitude: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw operations for each sample: their places in the pool and magnitudes, (num_ops, B).

    Args:
        batch: number of samples, B.
        generator: source of all draws, on whose device the result is.
        pool: operations to choose from, with replacement. One of them is the "identity".
        num_ops: operations for each sample.
        probability: of each operation; otherwise it becomes the identity.
        magnitude: from 2 to 11. Magnitudes are then a whole number of tenths of each range, at
            least one and fewer than this. By default they are anywhere within it.
    """
    shape, device = (num_ops, batch), generator.device
    operation = torch.randint(0, len(pool), shape, generator=generator, device=device)
    happens = torch.rand(shape, generator=generator, device=device) < probability
    operation = torch.where(happens, operation, list(pool).index("identity"))
    if magnitude is None:
        level = torch.rand(shape, generator=generator, device=device)
    else:
        level = torch.randint(1, magnitude, shape, generator=generator, device=device) / 10
    scales = tuple((step.weakest, step.strongest, step.signed) for step in pool.values())
    weakest, strongest, signed = constant(scales, device)[operation].unbind(-1)
    negative = torch.rand(shape, generator=generator, device=device) < 0.5
    return operation, (weakest + (strongest - weakest) * level) * (1 - 2 * signed * negative)


def rand_augment(
    images: Tensor,
    generator: Generator,
    pool: Mapping[str, Operation],
    num_ops: int,
    probability: float = 1.0,
    magnitude: int | None = None,
) -> Tensor:
    """Apply RandAugment (Cubuk et al., 2020, arXiv 1909.13719); see ``draw_rand_augment``."""
    drawn = draw_rand_augment(len(images), generator, pool, num_ops, probability, magnitude)
    return operate(images, *drawn, pool)


def fixmatch_augment(images: Tensor, generator: Generator) -> Tensor:
    """Apply three operations of FixMatch's, then grey out a square of up to half the side.

    Every magnitude and the side are uniform, as in ProMix (Xiao et al., IJCAI 2023).
    """
    images = rand_augment(images, generator, FIXMATCH_POOL, num_ops=3)
    side = uniform(len(images), 0, 0.5, images, generator)
    return cutout(images, generator, side**2, level=0.5)


def disc_augment(images: Tensor, generator: Generator, magnitude: int = 5) -> Tensor:
    """Apply up to two operations of DISC's, then grey out a square of 0.15 of the side.

    ``magnitude`` is that of ``draw_rand_augment``; the authors take 10 for CIFAR-100.
    """
    images = rand_augment(images, generator, DISC_POOL, 2, 0.5, magnitude)
    return cutout(images, generator, 0.15**2, level=0.5)
