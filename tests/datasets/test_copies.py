"""Exact copies among images: counted and named, by pixels and by files."""

import warnings

import numpy as np
import pytest
from image_sets import call, own_set
from PIL import Image

from bench.datasets import copies, load_dataset


@pytest.mark.parametrize("memory", ["1", "0.000001"])
def test_copies_across_training_and_test_are_counted_and_named(
    tmp_path, monkeypatch, capsys, memory
):
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", memory)
    own_set(tmp_path / "train")
    own_set(tmp_path / "test", each=12)
    (tmp_path / "test" / "b" / "00.png").write_bytes(
        (tmp_path / "test" / "a" / "00.png").read_bytes()
    )
    (tmp_path / "test" / "a" / "00.png").unlink()
    sentence = (
        "20 of 24 test images are exact copies of training images (as test/b/00.png = "
        "train/a/00.png), 1 of them with another label"
    )
    assert load_dataset(f"folder:{tmp_path}").copies == (sentence,)
    status, text = call(capsys, "check", f"folder:{tmp_path}")
    assert status == 0 and f"copies: {sentence}\n" in text


def test_copies_within_training_with_the_same_and_with_another_label(tmp_path):
    own_set(tmp_path / "train")
    # other images: of numbers from 20 on
    own_set(tmp_path / "test", each=1, classes="cdefghijklmnopqrstuvwxyz")
    for path in (tmp_path / "test").rglob("*.png"):
        target = tmp_path / "test" / "ab"[int(path.stem) % 2] / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target) if int(path.stem) >= 20 else path.unlink()
    for path in (tmp_path / "test").iterdir():
        if path.name not in ("a", "b"):
            path.rmdir()
    train = tmp_path / "train"
    (train / "a" / "50.png").write_bytes((train / "a" / "00.png").read_bytes())
    Image.open(train / "a" / "02.png").save(train / "b" / "51.bmp")  # equal pixels in another file
    assert load_dataset(f"folder:{tmp_path}").copies == (
        "4 of 22 training images are exact copies of each other (as train/a/00.png = "
        "train/a/50.png), 2 of them with another label",
    )


def part(images: list, labels: list[int]) -> copies.Part:
    return copies.Part(np.array(images, np.uint8).reshape(len(images), 1, 2, 2), np.array(labels))


def test_copies_of_arrays_are_counted_as_by_hand():
    blank, one, two = [0, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, 5]
    train = part([blank, one, blank, two, [9, 9, 9, 8]], [0, 1, 1, 1, 0])
    assert copies.describe(train, {"test": part([two, [7, 0, 0, 0], blank], [0, 0, 1])}) == (
        "2 of 3 test images are exact copies of training images (as test image 0 = training image "
        "3), 1 of them with another label; 1 of them are blank",
        "2 of 5 training images are exact copies of each other (as training image 0 = training "
        "image 2), 2 of them with another label; 2 of them are blank",
    )
    assert copies.describe(part([one, two], [0, 1]), {"test": part([[0, 2, 3, 4]], [0])}) == ()


def test_copies_are_found_as_by_comparing_all_pairs():
    rng = np.random.default_rng(3)
    images = rng.integers(0, 2, (200, 1, 4, 4), dtype=np.uint8) * rng.integers(
        0, 2, (200, 1, 1, 1), dtype=np.uint8
    )
    images[150:] = np.repeat(images[100:110], 5, 0)
    train, test = images[:120], images[120:]
    number = sum(any((image == other).all() for other in train) for image in test)
    [first, *_] = copies.describe(
        copies.Part(train, np.zeros(120, int)), {"test": copies.Part(test, np.zeros(80, int))}
    )
    assert first.startswith(f"{number} of 80 test images are exact copies")


def test_a_run_warns_of_copies_in_own_data_only(tmp_path, digits):
    from dataclasses import replace

    from bench.datasets import warn_of_copies

    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(
        tmp_path / "x.npz",
        train_images=images,
        train_labels=labels,
        test_images=images[:4],
        test_labels=labels[:4],
    )
    with pytest.warns(
        UserWarning,
        match=r"^4 of 4 test images are exact copies of training images .* \(they are kept\)$",
    ):
        warn_of_copies(load_dataset(f"npz:{tmp_path / 'x.npz'}"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_copies(
            replace(digits, test_images=digits.train_images, test_labels=digits.train_labels)
        )
