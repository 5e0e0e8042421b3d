"""Features of data sets: which images are embedded, how often, and in which order they come."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from frozen import WIDTH, Tiny, frozen, records
from image_sets import own_set, save
from PIL import Image

from bench.common import progress
from bench.datasets import Dataset, load_dataset, with_donors
from bench.embedding import embed
from bench.embedding.inputs import digests
from bench.errors import InputError


def embedded(dataset: Dataset, **settings) -> Dataset:
    return embed(dataset, frozen(**settings), device="cpu", threads=2)


def expected(images: np.ndarray, size: int = 16) -> np.ndarray:
    """Return the features of square images, one at a time, by Pillow's and torch's own words."""
    pretrained, body = frozen(), Tiny().eval()
    body.load_state_dict({name: torch.tensor(value) for name, value in pretrained.state.items()})
    features = []
    for image in images:
        picture = Image.fromarray(image.transpose(1, 2, 0).squeeze()).convert("RGB")
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
        pixels = torch.tensor(np.array(picture)).permute(2, 0, 1)[None] / 255
        mean, std = torch.tensor(pretrained.network.mean), torch.tensor(pretrained.network.std)
        with torch.inference_mode():
            features.append(body((pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1))[0].numpy())
    return np.array(features)


def test_every_part_has_features_in_the_order_of_its_images(tiny_dataset):
    other = replace(tiny_dataset, train_images=255 - tiny_dataset.train_images[:7])
    dataset = replace(
        with_donors(tiny_dataset, other),
        extra_tests={"more": (tiny_dataset.test_images[::-1], tiny_dataset.test_labels[::-1])},
    )
    features = embedded(dataset).features
    assert features.train.shape == (60, 1, WIDTH) and features.train.dtype == np.float16
    assert list(features.tests) == ["test", "more"]
    close = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(features.train[:, 0], expected(dataset.train_images), **close)
    np.testing.assert_allclose(features.tests["test"], expected(dataset.test_images), **close)
    np.testing.assert_array_equal(features.tests["more"], features.tests["test"][::-1])
    np.testing.assert_allclose(features.donors, expected(dataset.donors), **close)
    assert features.seconds > 0 and features.licence == "MIT"
    np.testing.assert_allclose(
        features.statistics.mean, features.train[:, 0].astype(float).mean(0), rtol=1e-6
    )
    with pytest.raises(ValueError, match="read-only"):
        features.train[0] = 0


def test_data_noise_and_split_do_not_change(tiny_dataset):
    dataset = embedded(tiny_dataset)
    assert dataset.content_hash == tiny_dataset.content_hash
    assert dataset.train_images is tiny_dataset.train_images


def test_no_image_is_embedded_twice(tiny_dataset, cache, opened):
    copies = replace(
        tiny_dataset,
        train_images=np.concatenate([tiny_dataset.train_images, tiny_dataset.test_images[:5]]),
        train_labels=np.arange(65) % 4,
    )
    whole = embedded(copies)
    assert len(opened) == 80 == len(set(records(cache)["content"].tolist()))
    np.testing.assert_array_equal(whole.features.train[60:, 0], whole.features.tests["test"][:5])
    opened.clear()
    again = embedded(copies).features
    assert again.checksum == whole.features.checksum and again.seconds == whole.features.seconds
    part = copies.subset(20)
    order = [
        int(np.flatnonzero((copies.train_images == image).all((1, 2, 3)))[0])
        for image in part.train_images
    ]
    np.testing.assert_array_equal(embedded(part).features.train, whole.features.train[order])
    assert embedded(part).features.checksum != again.checksum
    assert not opened


def test_a_part_has_no_features_of_the_whole(tiny_dataset):
    assert embedded(tiny_dataset).subset(20).features is None


def test_another_network_weights_or_input_has_another_store(tiny_dataset, cache, opened):
    embedded(tiny_dataset)
    changes = [
        {"network": "timm:other"},
        {"weights": "1" * 64},
        {"size": 32},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
        {"interpolation": "bicubic"},
    ]
    for change in changes:
        opened.clear()
        embedded(tiny_dataset, **change)
        assert len(opened) == 80, change
    assert len(list(cache.glob("embeddings-*"))) == 7
    opened.clear()
    embedded(tiny_dataset, data="something")
    assert not opened, "what the weights were trained on changes no vector"


def test_batches_and_threads_change_nothing(tiny_dataset, tmp_path, monkeypatch):
    whole = embedded(tiny_dataset).features
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "in parts"))
    for start in range(0, 60, 7):
        embedded(
            replace(
                tiny_dataset,
                train_images=tiny_dataset.train_images[start : start + 7],
                train_labels=tiny_dataset.train_labels[start : start + 7],
            )
        )
    parts = embed(tiny_dataset, frozen(), device="cpu", threads=1).features
    assert parts.checksum == whole.checksum
    assert torch.get_num_threads() == 1, "as it was before"


def test_progress_is_shown(tiny_dataset, monkeypatch):
    shown = []

    def track(items, description):
        shown.append((len(items), description))
        return items

    monkeypatch.setattr(progress, "_tracker", track)
    embedded(tiny_dataset)
    embedded(tiny_dataset)
    assert shown == [(3, "embedding images")]


def test_files_are_read_at_the_networks_size(tmp_path, opened):
    root = own_set(tmp_path / "set")
    small = load_dataset(f"folder:{root}", image_size=8)
    features = embedded(small).features
    large = load_dataset(f"folder:{root}", image_size=16)  # the files' own size
    np.testing.assert_allclose(features.train[:, 0], expected(large.train_images), rtol=1e-3)
    assert len(opened) == 20
    arrays = replace(large, files={})
    assert embedded(arrays).features.checksum == features.checksum, "arrays give the same vectors"
    assert len(opened) == 40, "but an array is no file"


def test_images_in_a_subset_of_files_keep_their_places(tmp_path, opened):
    root = own_set(tmp_path / "set")
    whole = embedded(load_dataset(f"folder:{root}"))
    names = whole.train_names.tolist()
    opened.clear()
    for part in (
        load_dataset(f"folder:{root}", subset=6),
        load_dataset(f"folder:{root}").subset(6),
    ):
        rows = [names.index(name) for name in part.train_names]
        np.testing.assert_array_equal(embedded(part).features.train, whole.features.train[rows])
    assert not opened


def test_images_streamed_from_files_are_embedded(tmp_path, monkeypatch, opened):
    root = own_set(tmp_path / "set")
    checksum = embedded(load_dataset(f"folder:{root}")).features.checksum
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", "0")
    opened.clear()
    assert embedded(load_dataset(f"folder:{root}")).features.checksum == checksum and not opened


def test_a_broken_file_is_left_out(tmp_path):
    root = own_set(tmp_path / "set")
    whole = embedded(load_dataset(f"folder:{root}"))
    victim = str(whole.train_names[3])
    (root / victim).write_bytes((root / victim).read_bytes()[:60])
    with pytest.warns(UserWarning, match="1 image cannot be read"):
        dataset = embedded(load_dataset(f"folder:{root}"))
    rows = np.delete(np.arange(len(whole.train_names)), 3)
    np.testing.assert_array_equal(dataset.features.train, whole.features.train[rows])


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path):
    root = own_set(tmp_path / "set")
    dataset = load_dataset(f"folder:{root}")
    save(root / str(dataset.train_names[3]), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(InputError, match=r"png' changed while it was read: run the same command"):
        embedded(dataset)
    (root / str(dataset.train_names[3])).unlink()
    with pytest.raises(InputError, match="No such file or directory"):
        embedded(dataset)


def test_images_of_16_bits_keep_their_brightness_in_the_set(tmp_path, opened):
    for number in range(20):
        pixels = np.full((16, 16), 40 + number, np.uint16)
        save(tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png", pixels)
    dark = embedded(load_dataset(f"folder:{tmp_path / 'set'}"))
    save(tmp_path / "set" / "a" / "99.png", np.full((16, 16), 60_000, np.uint16))
    bright = embedded(load_dataset(f"folder:{tmp_path / 'set'}"))
    assert len(opened) == 41, "the range of the set changes every image of it"
    position = bright.train_names.tolist().index(dark.train_names[0])
    assert (bright.features.train[position] != dark.features.train[0]).any()


def test_donors_are_read_from_their_files(tmp_path, opened):
    inside, outside = own_set(tmp_path / "in"), own_set(tmp_path / "out", each=12, classes="cd")
    for path in outside.rglob("*.png"):
        save(path, 255 - np.asarray(Image.open(path)))
    donors = load_dataset(f"folder:{outside}")
    dataset = embedded(with_donors(load_dataset(f"folder:{inside}"), donors))
    assert dataset.features.donors.shape == (len(donors.train_images), WIDTH)
    opened.clear()
    np.testing.assert_array_equal(embedded(donors).features.train[:, 0], dataset.features.donors)
    assert len(opened) == len(donors.test_images), "the training images are in the store already"


def test_views_are_of_training_images_and_depend_on_the_image_alone(tiny_dataset, opened):
    few = embedded(tiny_dataset, views=1).features
    assert few.train.shape == (60, 2, WIDTH) and few.tests["test"].shape == (20, WIDTH)
    order = np.random.default_rng(0).permutation(60)
    shuffled = replace(
        tiny_dataset,
        train_images=tiny_dataset.train_images[order],
        train_labels=tiny_dataset.train_labels[order],
    )
    opened.clear()
    more = embedded(shuffled, views=3).features
    assert len(opened) == 60, "the plain images and the first views are in the store already"
    np.testing.assert_array_equal(more.train[:, :2], few.train[order])
    plain = embedded(tiny_dataset).features
    np.testing.assert_array_equal(plain.train[:, 0], few.train[:, 0])
    differing = [
        (more.train[:, one] != more.train[:, other]).any(1).mean()
        for one in range(4)
        for other in range(one)
    ]
    assert min(differing) > 0.9


def test_views_computed_alone_are_those_computed_together(tiny_dataset, tmp_path, monkeypatch):
    together = embedded(tiny_dataset, views=3).features
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "other"))
    for position in (5, 3):
        image = replace(
            tiny_dataset,
            train_images=tiny_dataset.train_images[[position]],
            train_labels=tiny_dataset.train_labels[[position]],
        )
        alone = embedded(image, views=3).features
        np.testing.assert_array_equal(alone.train[0], together.train[position])


@pytest.mark.parametrize("gain", [1e6, np.nan])
def test_features_beyond_float16_are_refused(tiny_dataset, cache, gain):
    with pytest.raises(InputError, match="features of timm:tiny are not finite, or beyond 65,504"):
        embedded(tiny_dataset, gain=gain)
    assert not len(records(cache))


def test_the_shape_of_an_image_is_part_of_its_digest():
    images = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    assert digests(images) != digests(images.reshape(1, 1, 4, 16))
