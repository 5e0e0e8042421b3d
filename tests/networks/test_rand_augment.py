"""RandAugment: torchvision's operations, the authors' ranges, and how often what is drawn."""

import math

import numpy as np
import pytest
import torch
from batches import column, one_by_one, seeded
from torchvision.transforms.v2 import functional as tv

from bench.networks import augment, rand_augment
from bench.networks.augment import cutout, uniform
from bench.networks.rand_augment import (
    DISC_POOL,
    FIXMATCH_POOL,
    disc_augment,
    draw_rand_augment,
    fixmatch_augment,
    shear_x,
    solarize_add,
)

POOLS = {"fixmatch": FIXMATCH_POOL, "disc": DISC_POOL}


def levels(batch: int, channels: int = 3, side: int = 16) -> torch.Tensor:
    """Floats of 8-bit levels, away from the steps of solarize."""
    values = torch.randint(0, 64, (batch, channels, side, side), generator=seeded()) * 4 + 1
    return values / 255


@pytest.mark.parametrize("slope", [-0.3, -0.1, 0.0, 0.02, 0.29])
def test_shear_along_x_is_torchvisions(slope):
    images = levels(2)
    expected = one_by_one(
        lambda image, each: tv.affine(
            image, 0, [0, 0], 1, [math.degrees(math.atan(each)), 0], center=[0, 0]
        ),
        images,
        [slope] * 2,
    )
    torch.testing.assert_close(shear_x(images, column([slope] * 2)), expected)


def test_shear_along_x_by_hand():
    image = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]).view(1, 1, 2, 3)
    sheared = shear_x(image, column([0.9]))[0, 0]
    expected = torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.6, 0.0]])  # rows move by 0.45 and 1.35
    torch.testing.assert_close(sheared, expected)


def test_solarize_add_by_hand():
    image = (torch.tensor([0.0, 50, 120, 127, 128, 250]) / 255).view(1, 1, 1, 6)
    for change, expected in {
        11: [11, 61, 255 - 131, 255 - 138, 255 - 139, 0],
        -11: [0, 39, 109, 116, 117, 255 - 239],
    }.items():
        result = solarize_add(image, column([change / 255])) * 255
        torch.testing.assert_close(result.flatten(), torch.tensor(expected).float())


def strengths(pool: str, name: str, magnitude: int) -> list[float]:
    """Magnitudes without sign of an operation, by the number of tenths."""
    operation, drawn = draw_rand_augment(40_000, seeded(), POOLS[pool], 1, magnitude=magnitude)
    values = drawn[operation == list(POOLS[pool]).index(name)]
    return sorted({round(abs(value), 4) for value in values.tolist()})


def test_disc_takes_the_authors_magnitudes():
    """``RandAugmentwogeo`` of JackYFL/DISC, commit a21e910, with its magnitudes of 5 and 10."""
    factors = [0.1 + 0.18 * tenths for tenths in range(1, 5)]
    for name in ("brightness", "colour", "contrast", "sharpness"):
        assert strengths("disc", name, 5) == pytest.approx(sorted(1 - each for each in factors))
    assert strengths("disc", "rotate", 5) == [3, 6, 9, 12]
    assert strengths("disc", "shear_x", 5) == pytest.approx([0.01, 0.02, 0.03, 0.04])
    assert strengths("disc", "translate_y", 5) == pytest.approx([0.005, 0.01, 0.015, 0.02])
    added = [int(110 * tenths / 10) / 255 for tenths in range(1, 5)]
    assert strengths("disc", "solarize_add", 5) == pytest.approx(added, abs=1e-4)
    # Pixels at the threshold or brighter are inverted, so that the next whole level is the same.
    cutoffs = [math.ceil(255 * each - 0.05) for each in strengths("disc", "solarize", 10)]
    assert cutoffs == [256 - int(25.6 * tenths) for tenths in range(9, 0, -1)]
    bits = [int(torch.tensor(each).round()) for each in strengths("disc", "posterize", 10)]
    assert bits == [4 + int(0.4 * tenths) for tenths in range(1, 10)]


def test_fixmatchs_ranges_are_covered():
    operation, drawn = draw_rand_augment(60_000, seeded(1), FIXMATCH_POOL, 3)
    ends = {"brightness": (-0.95, -0.05), "rotate": (-30, 30), "shear_y": (-0.3, 0.3)}
    for name, (low, high) in ends.items():
        values = drawn[operation == list(FIXMATCH_POOL).index(name)]
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    bits = drawn[operation == list(FIXMATCH_POOL).index("posterize")].round()
    shares = bits.long().bincount(minlength=8) / len(bits)
    np.testing.assert_allclose(shares, [0] * 4 + [0.25] * 4, atol=0.02)


@pytest.mark.parametrize(("pool", "probability"), [("fixmatch", 1.0), ("disc", 0.5)])
def test_every_operation_is_drawn_as_often_and_each_on_its_own(pool, probability):
    operation, magnitude = draw_rand_augment(60_000, seeded(2), POOLS[pool], 2, probability)
    count = len(POOLS[pool])
    assert operation.shape == magnitude.shape == (2, 60_000)
    expected = np.full(count, probability / count)
    expected[list(POOLS[pool]).index("identity")] += 1 - probability
    pairs = (count * operation[0] + operation[1]).bincount(minlength=count**2) / 60_000
    bound = 5 * (expected.max() ** 2 / 60_000) ** 0.5
    np.testing.assert_allclose(pairs.view(count, count), np.outer(expected, expected), atol=bound)
    signs = magnitude[operation == list(POOLS["disc"]).index("rotate")] > 0
    assert pool == "fixmatch" or 0.45 < signs.float().mean() < 0.55


def test_the_pools_are_the_authors():
    shared = {"identity", "auto_contrast", "equalize", "posterize", "rotate", "solarize"}
    shared |= {"brightness", "colour", "contrast", "sharpness"}
    shared |= {f"{name}_{axis}" for name in ("shear", "translate") for axis in "xy"}
    assert set(FIXMATCH_POOL) == shared
    assert set(DISC_POOL) == shared | {"invert", "solarize_add"}


@pytest.mark.parametrize("pool", POOLS)
def test_operations_follow_one_another(pool):
    images = levels(60)
    result = rand_augment.rand_augment(images, seeded(4), POOLS[pool], 3)
    steps = list(POOLS[pool].values())
    drawn = draw_rand_augment(60, seeded(4), POOLS[pool], 3)
    for i, (numbers, magnitudes) in enumerate(
        zip(*(part.T.tolist() for part in drawn), strict=True)
    ):
        expected = images[i : i + 1]
        for number, magnitude in zip(numbers, magnitudes, strict=True):
            expected = steps[number].apply(expected, column([magnitude]))
        # The last bit of a value on a step decides: a few pixels may differ.
        assert ((result[i] - expected[0]).abs() > 1e-4).float().mean() < 0.01


@pytest.mark.parametrize("magnitude", [5, 10])
def test_discs_view_ends_with_a_grey_square(magnitude):
    images = levels(40, side=32)
    generator = seeded(5)
    expected = rand_augment.rand_augment(images, generator, DISC_POOL, 2, 0.5, magnitude)
    expected = cutout(expected, generator, 0.0225, 0.5)
    assert torch.equal(disc_augment(images, seeded(5), magnitude), expected)


def test_promixs_view_ends_with_a_grey_square_of_up_to_half_the_side(monkeypatch):
    monkeypatch.setattr(rand_augment, "rand_augment", lambda images, *_, **__: images)
    images = torch.zeros(400, 1, 40, 40)
    grey = fixmatch_augment(images, seeded(6))
    assert set(grey.unique().tolist()) == {0.0, 0.5}
    widths = (grey[:, 0] > 0).any(1).sum(1)
    assert 19 <= widths.max() <= 20
    generator = seeded(6)
    side = uniform(400, 0, 0.5, images, generator)
    centre = torch.rand(2, 400, generator=generator) * 40
    within = ((centre > 10) & (centre < 30)).all(0)
    np.testing.assert_allclose(widths[within], 40 * side.flatten()[within], atol=1)
    assert augment.cutout(images, seeded(), level=0.3).max() == pytest.approx(0.3)
