"""AutoAugment: torchvision's operations and policy, and the policy's probabilities."""

import math

import numpy as np
import pytest
import torch
from batches import column, one_by_one, seeded
from torchvision import transforms
from torchvision.transforms.v2 import functional as tv

from bench.networks.auto_augment import (
    CIFAR10_POLICY,
    OPERATIONS,
    adjust_sharpness,
    auto_augment_cifar10,
    auto_contrast,
    draw_auto_augment,
    equalize,
    operate,
    operate_in_groups,
    operate_on_all,
    posterize,
    rotate,
    shear_y,
    solarize,
    translate_x,
    translate_y,
)

#: torchvision's functions under our names, of an image and a magnitude on the scale of OPERATIONS.
TORCHVISIONS = {
    "identity": lambda image, _: image,
    "shear_y": lambda image, slope: tv.affine(
        image, 0, [0, 0], 1, [0, math.degrees(math.atan(slope))], center=[0, 0]
    ),
    "translate_x": lambda image, share: tv.affine(
        image, 0, [int(share * image.shape[2]), 0], 1, [0, 0]
    ),
    "translate_y": lambda image, share: tv.affine(
        image, 0, [0, int(share * image.shape[1])], 1, [0, 0]
    ),
    "rotate": lambda image, degrees: tv.rotate(image, degrees),
    "brightness": lambda image, change: tv.adjust_brightness(image, 1 + change),
    "colour": lambda image, change: tv.adjust_saturation(image, 1 + change),
    "contrast": lambda image, change: tv.adjust_contrast(image, 1 + change),
    "sharpness": lambda image, change: tv.adjust_sharpness(image, 1 + change),
    # On floats torchvision posterizes to other levels than on bytes, of which ours are.
    "posterize": lambda image, bits: as_floats(tv.posterize(as_bytes(image), round(bits))),
    "solarize": lambda image, threshold: tv.solarize(image, threshold - 1e-6),
    "auto_contrast": lambda image, _: tv.autocontrast(image),
    "equalize": lambda image, _: tv.equalize(image),
    "invert": lambda image, _: tv.invert(image),
}


def as_bytes(images: torch.Tensor) -> torch.Tensor:
    return tv.to_dtype(images, torch.uint8, scale=True)


def as_floats(images: torch.Tensor) -> torch.Tensor:
    return tv.to_dtype(images, torch.float32, scale=True)


def photographs(batch: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Floats of 8-bit levels: waves and noise of every contrast.

    The first is black, and half of the second is of one level.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / width
    phase, speed, gain = rng.uniform(0, 6, (3, batch, channels, 1, 1))
    waves = np.sin(phase + speed * x + (6 - speed) * y) + 0.2 * rng.normal(
        size=(batch, channels, height, width)
    )
    images = torch.tensor(128 + 20 * gain * waves).clamp(0, 255).to(torch.uint8)
    images[0] = 0
    images[1, :, : height // 2] = 200
    return as_floats(images)


MAGNITUDES = {
    "shear_y": [-0.3, -0.1, 0.0, 0.02, 0.1, 0.29],
    "translate_x": [-0.45, -0.15, 0.0, 0.01, 0.15, 0.45],
    "translate_y": [-0.45, -0.15, 0.0, 0.01, 0.15, 0.45],
    "rotate": [-30.0, -7.0, 0.0, 3.0, 10.0, 29.0],
    "brightness": [-0.9, -0.3, 0.0, 0.1, 0.3, 0.9],
    "colour": [-0.9, -0.3, 0.0, 0.1, 0.3, 0.9],
    "contrast": [-0.9, -0.3, 0.0, 0.1, 0.3, 0.9],
    "sharpness": [-0.9, -0.3, 0.0, 0.1, 0.3, 0.9],
    "posterize": [8.0, 7.0, 6.6, 6.0, 5.0, 4.0],
    "solarize": [1.0, 2 / 3, 0.5, 1 / 3, 0.1, 0.0],
}


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (3, 17, 24)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_torchvisions(name, channels, height, width):
    magnitudes = MAGNITUDES.get(name, [0.0] * 6)
    images = photographs(6, channels, height, width)
    result = OPERATIONS[name].apply(images, column(magnitudes))
    expected = one_by_one(TORCHVISIONS[name], images, magnitudes)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
    if name != "identity":
        assert not torch.equal(result, images)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_on_bytes_differ_by_their_rounding_alone(name):
    """Authors' codes run torchvision on bytes, which cuts off fractions of a level."""
    magnitudes = MAGNITUDES.get(name, [0.0] * 6)
    images = photographs(6, 3, 32, 32)
    result = OPERATIONS[name].apply(images, column(magnitudes))
    expected = as_floats(
        one_by_one(BYTES.get(name, TORCHVISIONS[name]), as_bytes(images), magnitudes)
    )
    # Up to 1 from the result; up to 0.9 (the largest change) of what its partner in the blend was
    # rounded by besides.
    levels = {
        "brightness": 1,
        "auto_contrast": 1,
        "colour": 1.9,
        "contrast": 1.9,
        "sharpness": 1.45,
    }.get(name, 0)
    torch.testing.assert_close(result, expected, atol=levels / 255 + 1e-4, rtol=0)


BYTES = {
    "posterize": lambda image, bits: tv.posterize(image, round(bits)),
    "solarize": lambda image, threshold: tv.solarize(image, 255 * threshold - 1e-3),
}


def test_operations_by_hand():
    image = torch.tensor([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]]).view(1, 1, 2, 3)
    half, third = column([0.5]), column([1 / 3 + 1e-3])

    def values(result: torch.Tensor) -> list[list[float]]:
        return [[round(value, 3) for value in row] for row in result[0, 0].tolist()]

    assert values(translate_x(image, third)) == [[0, 0, 0.2], [0, 0.6, 0.8]]
    assert values(translate_x(image, -third)) == [[0.2, 0.4, 0], [0.8, 1, 0]]
    assert values(translate_y(image, half)) == [[0, 0, 0], [0, 0.2, 0.4]]
    assert values(shear_y(image, half)) == [[0, 0.8, 1], [0.6, 0, 0]], (
        "columns move by 1/4, 3/4 and 5/4"
    )
    square = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).view(1, 1, 2, 2)
    assert values(rotate(square, column([90.0]))) == [[0.2, 0.4], [0.1, 0.3]], "counter-clockwise"
    assert values(solarize(image, column([0.6]))) == [[0, 0.2, 0.4], [0.4, 0.2, 0]]
    assert values(posterize(image, column([1.0]))) == [[0, 0, 0], [0.502, 0.502, 0.502]], (
        "0 and 128"
    )
    assert values(auto_contrast(image / 2 + 0.3)) == values(image)
    point = torch.zeros(1, 1, 3, 3)
    point[0, 0, 1, 1] = 0.5
    assert values(adjust_sharpness(point, column([0.0]))) == [
        [0, 0, 0],
        [0, 0.192, 0],
        [0, 0, 0],
    ], "5/13 of a half"
    assert adjust_sharpness(image, half) is image, "all edge"
    # 510 pixels, 255 each of levels 0 and 100: step is 1, and level 100 becomes 255 darker pixels
    # over 1.
    two = torch.tensor([0.0, 100 / 255]).repeat(255).view(1, 1, 17, 30)
    assert torch.equal(equalize(two), (two > 0).float())
    assert torch.equal(equalize(image), image), "too few pixels"


def test_the_policy_is_torchvisions():
    theirs = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10).policies
    names = {name.replace("_", ""): name for name in OPERATIONS} | {"color": "colour"}
    assert tuple(
        tuple((names[name.lower()], chance, level or 0) for name, chance, level in pair)
        for pair in theirs
    ) == (CIFAR10_POLICY)


def test_auto_augments_choices():
    """Each pair of the policy 1 time in 25, and each of its operations with its probability."""
    operation, magnitudes = draw_auto_augment(200_000, seeded())
    names = list(OPERATIONS)
    expected = np.zeros((2, len(names)))
    for pair in CIFAR10_POLICY:
        for step, (name, probability, _) in enumerate(pair):
            expected[step, names.index(name)] += probability / 25
            expected[step, names.index("identity")] += (1 - probability) / 25
    shares = np.stack([numbers.bincount(minlength=len(names)) for numbers in operation]) / 200_000
    np.testing.assert_allclose(shares, expected, atol=5 * (0.25 / 200_000) ** 0.5)
    rotations = magnitudes[0][operation[0] == names.index("rotate")]
    torch.testing.assert_close(rotations.abs(), torch.full_like(rotations, 30 * 2 / 9))
    assert 0.45 < (rotations > 0).float().mean() < 0.55
    bits = magnitudes[1][operation[1] == names.index("posterize")]
    torch.testing.assert_close(bits, torch.full_like(bits, 8 - 4 * 7 / 9))
    # The second pair rotates and moves to one side, so that the two go together more often than by
    # chance.
    moved = operation[1] == names.index("translate_x")
    both = (moved & (operation[0] == names.index("rotate"))).float().mean()
    assert abs(both - 0.7 * 0.3 / 25) < 5 * (0.0084 / 200_000) ** 0.5


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (3, 17, 24)])
def test_auto_augment_is_torchvisions_operations_in_a_row(channels, height, width):
    images = photographs(150, channels, height, width)
    result = auto_augment_cifar10(images, seeded(11))
    names = list(OPERATIONS)
    choices = (part.T.tolist() for part in draw_auto_augment(150, seeded(11)))
    for i, (numbers, magnitudes) in enumerate(zip(*choices, strict=True)):
        expected = images[i]
        for number, magnitude in zip(numbers, magnitudes, strict=True):
            expected = TORCHVISIONS[names[number]](expected, magnitude)
        # Where a value lies on a step of posterize, solarize or equalize, its last bit decides: a
        # few pixels may differ.
        differ = ((result[i] - expected).abs() > 1e-4).float().mean()
        assert differ < 0.01, ([names[number] for number in numbers], magnitudes)


@pytest.mark.parametrize("excess", [1e-7, 1e-5])
def test_levels_end_at_0_and_255_whatever_rounding_left(excess):
    images = photographs(6, 3, 32, 32)
    wider = torch.where(images == 0, -excess, torch.where(images == 1, 1 + excess, images))
    assert not torch.equal(wider, images)
    assert torch.equal(equalize(wider)[2:], equalize(images)[2:])
    assert torch.equal(posterize(wider, column([5.0] * 6)), posterize(images, column([5.0] * 6)))


def test_samples_do_not_see_each_other():
    """A sample comes out the same alone as within a batch, in whatever group of its operation."""
    images = photographs(40, 3, 16, 16)
    operation, magnitude = draw_auto_augment(40, seeded(3))
    whole = operate(images, operation, magnitude)
    alone = [
        operate(images[i : i + 1], operation[:, i : i + 1], magnitude[:, i : i + 1])
        for i in range(40)
    ]
    torch.testing.assert_close(whole, torch.cat(alone), atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_in_groups_or_on_all_samples_operations_do_the_same(channels):
    images = photographs(200, channels, 17, 24)
    for chosen, magnitude in zip(*draw_auto_augment(200, seeded(5)), strict=True):
        values = magnitude.view(-1, 1, 1, 1)
        grouped = operate_in_groups(images, chosen, values)
        masked = operate_on_all(images, chosen, values)
        torch.testing.assert_close(masked, grouped, atol=1e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [1, 3])
def test_auto_augment_on_a_gpu(channels):
    images = photographs(200, channels, 32, 32)
    choices = draw_auto_augment(200, torch.Generator("cuda").manual_seed(0))
    assert choices[0].is_cuda
    result = operate(images.cuda(), *choices).cpu()
    expected = operate(images, *(part.cpu() for part in choices))
    assert ((result - expected).abs() > 1e-4).float().mean() < 1e-3
