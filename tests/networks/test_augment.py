"""Augmentations: the same as torchvision's where it has them, and reproducible sample by sample."""

import numpy as np
import pytest
import torch
from batches import column, one_by_one, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as tv

from bench.networks import augment
from bench.networks.augment import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    colour_jitter,
    cutout,
    identity,
    random_blur,
    random_crop,
    random_flip,
    random_grey,
    random_resized_crop,
    strong,
    to_grey,
    weak,
)
from bench.networks.auto_augment import auto_augment_cifar10
from bench.networks.rand_augment import disc_augment, fixmatch_augment
from bench.task import Pixels

SHAPES = [(1, 1, 8, 8), (5, 1, 8, 12), (4, 3, 9, 7), (1, 3, 16, 16), (6, 3, 8, 8)]
STEPS = {
    "random_crop": lambda images, generator: random_crop(images, generator, padding=2),
    "random_flip": random_flip,
    "random_resized_crop": random_resized_crop,
    "colour_jitter": colour_jitter,
    "random_grey": random_grey,
    "random_blur": random_blur,
    "cutout": cutout,
    "weak crop": weak("crop", 8),
    "weak crop_flip": weak("crop_flip", 8),
    "weak reflect_crop": weak("reflect_crop", 8),
    "strong": lambda images, generator: strong(images.shape[1], flips=True)(images, generator),
    "auto_augment_cifar10": auto_augment_cifar10,
    "disc_augment": disc_augment,
    "fixmatch_augment": fixmatch_augment,
}


def pictures(
    batch: int, channels: int = 3, height: int = 8, width: int = 10, seed: int = 0
) -> torch.Tensor:
    """Random images with HSV's special cases: grey, black, white and pure colours."""
    images = torch.rand(batch, channels, height, width, generator=seeded(seed))
    images[:, :, 0, 0], images[:, :, 0, 1], images[:, :, 0, 2] = 0, 1, 0.4
    if channels == 3:
        for place, colour in enumerate(
            ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0.7, 0.7, 0.1], [0.7, 0.1, 0.7], [0.1, 0.7, 0.7])
        ):
            images[:, :, 1, place] = torch.tensor(colour, dtype=torch.float32)
    return images


# ----------------------------------------------------------------------------
# the same as torchvision's


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adjust_brightness, tv.adjust_brightness),
        (adjust_contrast, tv.adjust_contrast),
        (adjust_saturation, tv.adjust_saturation),
    ],
)
def test_blends_are_torchvisions(ours, theirs, channels):
    factors = [0.0, 0.3, 0.6, 1.0, 1.4, 3.0]
    images = pictures(6, channels)
    torch.testing.assert_close(
        ours(images, column(factors)), one_by_one(theirs, images, factors), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(ours(images, column([1.0] * 6)), images, atol=1e-6, rtol=0)


def test_hue_is_torchvisions():
    turns = [-0.5, -0.27, -0.1, 0.0, 0.04, 0.1, 1 / 3, 0.5]
    images = pictures(8)
    torch.testing.assert_close(
        adjust_hue(images, column(turns)),
        one_by_one(tv.adjust_hue, images, turns),
        atol=1e-5,
        rtol=0,
    )


def test_hue_by_hand():
    """A third of the circle turns red into green into blue into red, and leaves grey alone."""
    colours = torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5], [0.8, 0.2, 0.2]]
    ).view(5, 3, 1, 1)
    turned = adjust_hue(colours, column([1 / 3] * 5)).view(5, 3)
    expected = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0], [0.5, 0.5, 0.5], [0.2, 0.8, 0.2]])
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_grey_is_torchvisions():
    images = pictures(4)
    torch.testing.assert_close(to_grey(images), tv.rgb_to_grayscale(images), atol=1e-6, rtol=0)
    grey = pictures(4, 1)
    assert to_grey(grey) is grey


@pytest.mark.parametrize("padding", [1, 3])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 6, 9)])
def test_crop_is_torchvisions_pad_and_crop(channels, height, width, padding):
    images = pictures(40, channels, height, width)
    cropped = random_crop(images, seeded(3), padding)
    top, left = torch.randint(0, 2 * padding + 1, (2, 40), generator=seeded(3))
    expected = [
        tv.crop(tv.pad(image, [padding] * 4), int(t), int(s), height, width)
        for image, t, s in zip(images, top, left, strict=True)
    ]
    assert torch.equal(cropped, torch.stack(expected))
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > padding, (
        "the places differ between samples"
    )


@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
@pytest.mark.parametrize("padding", [1, 3])
def test_reflected_borders_are_torchvisions(kind, padding):
    images = (255 * pictures(40, 3, 6, 9)).to(kind)
    cropped = random_crop(images, seeded(3), padding, reflect=True)
    top, left = torch.randint(0, 2 * padding + 1, (2, 40), generator=seeded(3))
    expected = [
        tv.crop(tv.pad(image, [padding] * 4, padding_mode="reflect"), int(t), int(s), 6, 9)
        for image, t, s in zip(images, top, left, strict=True)
    ]
    assert torch.equal(cropped, torch.stack(expected))
    assert not torch.equal(cropped, random_crop(images, seeded(3), padding))


def test_crop_reaches_every_place():
    """A white pixel amid 3x3, padding 1, ends up in each of the nine places equally often."""
    images = torch.zeros(9000, 1, 3, 3)
    images[:, :, 1, 1] = 1
    counts = random_crop(images, seeded(), 1).sum((0, 1))
    assert (counts - 1000).abs().max() < 5 * 30


def test_flip_is_torchvisions_for_half_of_the_images():
    images = pictures(400)
    flipped = random_flip(images, seeded(4))
    chosen = torch.rand(400, 1, 1, 1, generator=seeded(4)).flatten() < 0.5
    assert torch.equal(flipped[chosen], tv.horizontal_flip(images[chosen]))
    assert torch.equal(flipped[~chosen], images[~chosen])
    assert 150 < chosen.sum() < 250


def test_jitter_is_torchvisions_with_the_same_amounts():
    images = pictures(30)
    jittered = colour_jitter(images, seeded(5))
    generator = seeded(5)

    def draw(low: float, high: float) -> list[float]:
        return (
            (low + (high - low) * torch.rand(30, 1, 1, 1, generator=generator)).flatten().tolist()
        )

    expected = one_by_one(tv.adjust_brightness, images, draw(0.6, 1.4))
    expected = one_by_one(tv.adjust_contrast, expected, draw(0.6, 1.4))
    expected = one_by_one(tv.adjust_saturation, expected, draw(0.6, 1.4))
    expected = one_by_one(tv.adjust_hue, expected, draw(-0.1, 0.1))
    chosen = torch.tensor(draw(0, 1)) < 0.8
    assert 0 < (~chosen).sum() < 15
    torch.testing.assert_close(jittered[chosen], expected[chosen], atol=1e-4, rtol=0)
    assert torch.equal(jittered[~chosen], images[~chosen])


def test_jitter_of_grey_images_is_brightness_and_contrast_alone():
    images = pictures(30, 1)
    jittered = colour_jitter(images, seeded(5), probability=1.1)
    bright, contrast = (0.6 + 0.8 * torch.rand(2, 30, generator=seeded(5))).tolist()
    expected = one_by_one(
        tv.adjust_contrast, one_by_one(tv.adjust_brightness, images, bright), contrast
    )
    torch.testing.assert_close(jittered, expected, atol=1e-4, rtol=0)


def test_grey_takes_the_colour_out_of_a_fifth_of_the_images():
    images = pictures(500)
    mixed = random_grey(images, seeded(6))
    chosen = torch.rand(500, 1, 1, 1, generator=seeded(6)).flatten() < 0.2
    assert 60 < chosen.sum() < 140
    torch.testing.assert_close(
        mixed[chosen], tv.rgb_to_grayscale(images[chosen], num_output_channels=3), atol=1e-6, rtol=0
    )
    assert torch.equal(mixed[~chosen], images[~chosen])


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_is_torchvisions_but_for_the_edge(channels):
    images = pictures(30, channels)
    blurred = random_blur(images, seeded(7))
    generator = seeded(7)
    sigma = 0.1 + 0.9 * torch.rand(30, 1, 1, 1, generator=generator).flatten()
    chosen = torch.rand(30, 1, 1, 1, generator=generator).flatten() < 0.5
    assert 5 < chosen.sum() < 25
    expected = torch.stack(
        [
            tv.gaussian_blur(image, [3, 3], [float(s)] * 2)
            for image, s in zip(images, sigma, strict=True)
        ]
    )
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(blurred[chosen][inner], expected[chosen][inner], atol=1e-5, rtol=0)
    assert torch.equal(blurred[~chosen], images[~chosen])
    constant = torch.full((8, channels, 5, 5), 0.3)
    torch.testing.assert_close(random_blur(constant, seeded(), 1.1), constant, atol=1e-6, rtol=0)


def test_pixels_are_normalised_as_by_torchvision():
    images = torch.randint(0, 256, (20, 3, 8, 8), generator=seeded(), dtype=torch.uint8)
    mean, std = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])
    index = torch.tensor([3, 3, 19, 0])
    expected = tv.normalize(
        tv.to_dtype(images[index], torch.float32, scale=True), mean.tolist(), std.tolist()
    )
    torch.testing.assert_close(Pixels(images, mean, std)(index), expected, atol=1e-6, rtol=0)


# ----------------------------------------------------------------------------
# resized crop


def bilinear(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Resize a box (top, left, height, width, in pixels) to its image's size (C, H, W), in NumPy.

    The centre of output pixel i lies at top + (i + 1/2) * height / H - 1/2 in the input; beyond the
    edge, the edge goes on.
    """
    _, rows, columns = image.shape
    top, left, height, width = box

    def weights(start: float, length: float, size: int) -> np.ndarray:
        matrix = np.zeros((size, size))
        for i in range(size):
            at = min(max(start + (i + 0.5) * length / size - 0.5, 0), size - 1)
            low = min(int(at), size - 2)
            matrix[i, low], matrix[i, low + 1] = 1 - (at - low), at - low
        return matrix

    return np.einsum(
        "ij,cjk,lk->cil", weights(top, height, rows), image, weights(left, width, columns)
    )


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 9, 14)])
def test_resized_crop_is_a_bilinear_resize_of_a_box_within_the_image(channels, height, width):
    images = pictures(50, channels, height, width)
    cropped = random_resized_crop(images, seeded(8))
    generator = seeded(8)
    area = (0.2 + 0.8 * torch.rand(50, 1, 1, 1, generator=generator).flatten()).double().numpy()
    ratio = np.exp(
        (-0.288 + 0.576 * torch.rand(50, 1, 1, 1, generator=generator).flatten()).double().numpy()
    )
    shift = torch.rand(2, 50, generator=generator).double().numpy()
    box_width, box_height = (
        np.minimum(np.sqrt(area * ratio), 1),
        np.minimum(np.sqrt(area / ratio), 1),
    )
    left, top = shift[0] * (1 - box_width), shift[1] * (1 - box_height)
    for i in range(50):
        box = (top[i] * height, left[i] * width, box_height[i] * height, box_width[i] * width)
        assert box[0] + box[2] <= height + 1e-6
        assert box[1] + box[3] <= width + 1e-6
        np.testing.assert_allclose(
            cropped[i].numpy(), bilinear(images[i].double().numpy(), box), atol=1e-4
        )


@pytest.mark.parametrize(("corner", "draw"), [(0, 0.0), (4, 0.5)])
def test_resized_crop_of_a_box_of_whole_pixels_is_torchvisions(monkeypatch, corner, draw):
    images = pictures(4, 3, 16, 16)
    monkeypatch.setattr(augment.torch, "rand", lambda *shape, **options: torch.full(shape, draw))
    cropped = random_resized_crop(images, seeded(), scale=(0.25, 0.25), log_ratio=0)
    expected = tv.resized_crop(images, corner, corner, 8, 8, [16, 16], antialias=False)
    # at its edge, torchvision does not look beyond the box
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(cropped[inner], expected[inner], atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_resized_crop_of_everything_is_the_identity(shape):
    images = torch.rand(shape, generator=seeded())
    torch.testing.assert_close(
        random_resized_crop(images, seeded(1), scale=(1.0, 1.0), log_ratio=0),
        images,
        atol=1e-5,
        rtol=0,
    )


# ----------------------------------------------------------------------------
# cutout


@pytest.mark.parametrize(
    ("height", "width", "share"), [(8, 8, 0.25), (28, 28, 0.25), (16, 8, 0.25), (20, 20, 0.16)]
)
def test_cutout_blacks_out_one_rectangle_of_that_share(height, width, share):
    images = torch.ones(300, 3, height, width)
    black = cutout(images, seeded(9), share) == 0
    assert torch.equal(black.any(1), black.all(1)), "every channel alike"
    generator = seeded(9)
    centre_y, centre_x = (
        torch.rand(300, 1, 1, 1, generator=generator).flatten() * side for side in (height, width)
    )
    half_y, half_x = height * share**0.5 / 2, width * share**0.5 / 2
    inside = (
        (centre_y > half_y)
        & (centre_y < height - half_y)
        & (centre_x > half_x)
        & (centre_x < width - half_x)
    )
    area = black[:, 0].sum((1, 2))
    assert 0 < inside.sum() < 300
    assert (area[inside] == round(share * height * width)).all()
    assert (area[~inside] <= round(share * height * width)).all()
    rows, columns = black[:, 0].any(2), black[:, 0].any(1)
    assert torch.equal(black[:, 0], rows[:, :, None] & columns[:, None, :]), "a rectangle"
    positions = torch.arange(height) + 0.5
    assert torch.equal(
        rows, ((positions - centre_y[:, None]).abs() <= half_y) & columns.any(1, keepdim=True)
    )


def test_cutout_leaves_the_rest_as_it_is():
    images = pictures(50) + 0.01
    cut = cutout(images, seeded())
    assert torch.equal(torch.where(cut == 0, images, cut), images)
    assert (cut == 0).any()


# ----------------------------------------------------------------------------
# what holds for all


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", STEPS)
def test_every_step_keeps_shape_and_dtype_and_leaves_its_input_alone(name, shape):
    images = torch.rand(shape, generator=seeded())
    before = images.clone()
    result = STEPS[name](images, seeded(1))
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert torch.equal(images, before)


@given(
    name=st.sampled_from(sorted(STEPS)), shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**31)
)
@settings(max_examples=150, deadline=None)
def test_values_stay_within_0_and_1(name, shape, seed):
    images = pictures(*shape[:2], max(shape[2], 2), max(shape[3], 6), seed)
    result = STEPS[name](images, seeded(seed))
    assert torch.isfinite(result).all()
    assert result.min() >= -1e-5
    assert result.max() <= 1 + 1e-5


@pytest.mark.parametrize("name", STEPS)
def test_the_generator_alone_decides(name):
    images = pictures(16)
    torch.manual_seed(1)
    first = STEPS[name](images, seeded(2))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(STEPS[name](images, seeded(2)), first)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not touched"
    assert not torch.equal(STEPS[name](images, seeded(3)), first)
    generator = seeded(2)
    STEPS[name](images, generator)
    assert not torch.equal(STEPS[name](images, generator), first), "a second view differs"


@pytest.mark.parametrize("name", STEPS)
def test_samples_have_parameters_of_their_own(name):
    same = pictures(1).expand(64, -1, -1, -1)
    assert len(torch.unique(STEPS[name](same, seeded()).flatten(1), dim=0)) > 1


@pytest.mark.parametrize(("side", "padding"), [(4, 1), (8, 1), (28, 3), (32, 4)])
def test_recipes_crop_with_an_eighth_of_the_side(side, padding):
    images = pictures(20, 3, side, max(side, 6))
    assert torch.equal(
        weak("crop", side)(images, seeded(1)), random_crop(images, seeded(1), padding)
    )


def test_recipes_augmentations():
    images = pictures(20)
    assert weak("none", 8) is identity
    assert identity(images, seeded()) is images
    generator = seeded(1)
    expected = random_flip(random_crop(images, generator, 1), generator)
    assert torch.equal(weak("crop_flip", 8)(images, seeded(1)), expected)
    generator = seeded(1)
    expected = random_flip(random_crop(images, generator, 1, reflect=True), generator)
    assert torch.equal(weak("reflect_crop_flip", 8)(images, seeded(1)), expected)
    assert torch.equal(
        weak("reflect_crop", 8)(images, seeded(1)), random_crop(images, seeded(1), 1, reflect=True)
    )


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_strong_views_are_made_of_these_steps(channels, flips):
    images = pictures(20, channels)
    generator = seeded(1)
    expected = random_resized_crop(images, generator)
    if flips:
        expected = random_flip(expected, generator)
    expected = colour_jitter(expected, generator)
    expected = random_grey(expected, generator) if channels == 3 else cutout(expected, generator)
    expected = random_blur(expected, generator)
    assert torch.equal(strong(channels, flips)(images, seeded(1)), expected)
