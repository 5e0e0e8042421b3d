"""Data sets of vectors: npz:FILE with train_features, checked, described, and written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_sets import call

from bench.datasets import (
    Dataset,
    copies,
    from_arrays,
    load_dataset,
    warn_of_copies,
)
from bench.datasets.features import Features, statistics_of
from bench.datasets.vector_files import write_vectors
from bench.errors import InputError


def arrays(**changes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "train_features": rng.normal(size=(12, 5)),
        "train_labels": np.arange(12) % 3,
        "test_features": rng.normal(size=(6, 5)),
        "test_labels": np.arange(6) % 3,
    } | changes


def save(folder: Path, **contents) -> str:
    np.savez(folder / "my.npz", **contents)
    return f"npz:{folder / 'my.npz'}"


@pytest.fixture
def load(tmp_path):
    return lambda **contents: load_dataset(save(tmp_path, **contents))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f8"])
def test_vectors_of_any_float_type_become_float32(load, dtype):
    given = arrays()
    dataset = load(
        **given | {key: given[key].astype(dtype) for key in ("train_features", "test_features")}
    )
    assert dataset.on_vectors and dataset.unit == "vector"
    assert (dataset.channels, dataset.side, dataset.num_classes) == (5, 1, 3)
    for images, key in [
        (dataset.train_images, "train_features"),
        (dataset.test_images, "test_features"),
    ]:
        assert images.dtype == np.float32
        assert (images == given[key].astype(dtype).astype(np.float32)).all()


def test_images_are_no_vectors(digits):
    assert not digits.on_vectors and digits.unit == "image"


def test_vectors_have_labels_as_images_do(load):
    given = arrays(noisy_labels_worst=np.arange(12)[::-1] % 3, classes=np.array(["a", "b", "c"]))
    del given["train_labels"]
    dataset = load(**given, noisy_labels=np.arange(12) % 3)
    assert list(dataset.found) == ["human-worst", "found"] and dataset.classes == ("a", "b", "c")
    assert (dataset.train_labels == -1).all() and not dataset.noisy_test and dataset.flips is None


def test_flips_and_noisy_test_labels_are_read(load):
    dataset = load(**arrays(), flips=np.array([[0, 2], [1, 0]]), noisy_test=np.array(True))
    assert dataset.flips == {0: 2, 1: 0} and dataset.noisy_test
    for flips in (np.array([[0, 3]]), np.array([0, 1]), np.array([[0.0, 1.0]])):
        with pytest.raises(InputError, match=r"flips of .* give integers of shape \(K, 2\), each"):
            load(**arrays(), flips=flips)


def with_value(value: float, *rows: int) -> np.ndarray:
    features = arrays()["train_features"]
    features[[*rows], 2] = value
    return features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_features": with_value(np.nan, 4, 7)},
            "2 of 12 training vectors of .* hold NaN or infinity as float32, first in row 4: ",
        ),
        ({"test_features": np.full((6, 5), -np.inf)}, "6 of 6 test vectors .* first in row 0: "),
        ({"train_features": with_value(1e39, 11)}, "1 of 12 training .* first in row 11: replace"),
        (
            {"test_features": np.zeros((6, 4))},
            "training vectors of .* have 5 elements and the test vectors 4: compute both",
        ),
        (
            {"train_features": np.zeros(12)},
            r"float64 of shape \(12,\): give floats .*, such as features.reshape\(len",
        ),
        ({"train_features": np.zeros((12, 4, 5))}, r"shape \(12, 4, 5\): .* features.reshape"),
        ({"train_features": np.zeros((12, 0))}, r"shape \(12, 0\): give each at least one element"),
        (
            {"test_features": np.zeros((0, 5)), "test_labels": np.zeros(0, int)},
            "has no test vectors: give at least",
        ),
        ({"train_features": np.zeros((12, 5), int)}, r"int64 .*, such as features.astype\('float"),
        ({"test_features": np.zeros((6, 5), bool)}, r"bool .*, such as features.astype\('float32"),
        (
            {"train_features": np.zeros((12, 5), complex)},
            r"complex128 .*: give floats .* \(N, D\)$",
        ),
        (
            {"train_features": np.zeros((12, 5)).astype(object)},
            r"train_features of .* Python objects.*: save train_features.astype\('float32'\)",
        ),
        (
            {"test_images": np.zeros((6, 8, 8), np.uint8)},
            r"both images and features \(test_images, train_features, test_features\): keep those",
        ),
        ({"train_labels": np.arange(11) % 3}, r"labels of shape \(11,\) .* for 12 samples"),
    ],
)
def test_vectors_that_do_not_fit_are_one_sentence(load, changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        load(**arrays(**changes))
    assert "\n" not in str(refusal.value)


def test_vectors_named_images_are_told_their_name(load):
    given = arrays()
    features = {f"{part}_images": given.pop(f"{part}_features") for part in ("train", "test")}
    with pytest.raises(InputError, match="or save vectors as train_features and test_features"):
        load(**given, **features)


def test_a_file_that_lacks_one_part_is_told_which(load):
    given = arrays()
    del given["test_features"]
    with pytest.raises(InputError, match="lacks test_features: save"):
        load(**given)


def test_vectors_have_no_size_in_pixels(tmp_path):
    with pytest.raises(InputError, match=r"holds vectors, .* in pixels: leave out --image-size"):
        load_dataset(save(tmp_path, **arrays()), image_size=32)


def test_content_hash_sees_every_element_and_width(load):
    given = arrays()
    other = given["test_features"].copy()
    other[5, 4] += 1
    hashes = {
        load(**given).content_hash,
        load(**given | {"test_features": other}).content_hash,
        load(**given | {"train_features": given["train_features"][::-1]}).content_hash,
        load(
            **given
            | {f"{part}_features": given[f"{part}_features"][:, :4] for part in ("train", "test")}
        ).content_hash,
    }
    assert len(hashes) == 4


def test_a_subset_of_vectors(load):
    dataset = load(**arrays())
    subset = dataset.subset(6)
    assert subset.train_images.shape == (6, 5) and subset.test_images.shape == (6, 5)
    with pytest.raises(InputError, match=r"--subset is 13, but .* has 12 training vectors: give"):
        dataset.subset(13)


def test_statistics_are_those_of_the_training_vectors(load):
    given = arrays(train_features=np.random.default_rng(1).normal(3, 2, size=(5000, 4)))
    given["train_labels"] = np.arange(5000) % 3
    given["test_features"] = given["test_features"][:, :4] + 100
    statistics = load(**given).vector_statistics
    train = given["train_features"].astype(np.float32).astype(np.float64)
    assert statistics.mean == pytest.approx(train.mean(0), rel=1e-6)
    assert statistics.std == pytest.approx(train.std(0), rel=1e-6)
    assert statistics.norm == pytest.approx(np.linalg.norm(train - train.mean(0), axis=1).mean())
    assert statistics.mean.dtype == statistics.std.dtype == np.float32


def test_constant_columns_and_constant_vectors_do_not_blow_up():
    vectors = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    vectors[:, 1] = 12345.678
    statistics = statistics_of(vectors)
    assert statistics.std[1] == 1 and (statistics.std[[0, 2]] > 0.5).all()
    shifted = vectors + np.array([0, 2, 0])
    assert np.abs((shifted - statistics.mean) / statistics.std).max() < 5
    assert statistics_of(np.ones((4, 2), np.float32)).norm == 1


def test_copies_of_vectors_are_counted(load):
    given = arrays()
    given["test_features"][3] = given["train_features"][2]
    given["train_features"][7] = given["train_features"][1]
    with pytest.warns(UserWarning, match="exact copies"):
        warn_of_copies(load(**given))
    assert copies.of_dataset(load(**given)) == (
        "1 of 6 test vectors are exact copies of training vectors (as test vector 3 = training "
        "vector 2), 1 of them with another label",
        "2 of 12 training vectors are exact copies of each other (as training vector 1 = training "
        "vector 7)",
    )


def test_commands_for_data_sets_take_vectors(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
    name = save(tmp_path, **arrays(classes=np.array(["a", "b", "c", "none"])))
    status, text = call(capsys, "prepare", name)
    assert status == 0 and text.startswith("12 training and 6 test vectors, 5 elements, 4 classes")
    assert "1 of 4 classes has no training vector (none)" in text
    status, text = call(capsys, "check", name)
    assert status == 0 and text.endswith("is as it was when it was prepared\n")
    save(tmp_path, **arrays(train_features=np.ones((12, 5))))
    status, text = call(capsys, "check", name)
    assert status == 1 and "changed: its content is not what it was" in text
    assert "12 of 12 training vectors are exact copies of each other" in text
    assert call(capsys, "show", name)[0] == 0
    assert call(capsys, "images", name)[1].splitlines()[:2] == ["index,label", "0,0"]
    status, text = call(capsys, "check", name, "--image-size", "32")
    assert status == 2 and text.startswith("Error: npz:") and text.count("\n") == 1


def embedded(dataset: Dataset, views: int = 0) -> Dataset:
    """Return the data set with random vectors for features."""
    rng = np.random.default_rng(0)
    train = rng.normal(size=(len(dataset.train_labels), 1 + views, 7)).astype(np.float16)
    tests = {
        name: rng.normal(size=(len(labels), 7)).astype(np.float16)
        for name, (_, labels) in dataset.tests.items()
    }
    statistics = statistics_of(train[:, 0])
    features = Features(train, tests, None, 1.0, "0" * 64, statistics, "MIT")
    return replace(dataset, features=features)


def test_written_vectors_are_read_with_labels_classes_and_flips(tmp_path, recwarn):
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8), dtype=np.uint8)
    truth, noisy = np.arange(9) % 3, (np.arange(9) + 1) % 3
    images_set = from_arrays(
        "own",
        images,
        np.where(np.arange(9) < 5, truth, -1),
        images[:6],
        truth[:6],
        ("cat", "dög", "="),
        {0: 1, 2: 0},
        {"human-worst": noisy, "found": truth},
    )
    source = embedded(replace(images_set, noisy_test=True), views=2)
    write_vectors(tmp_path / "new" / "v.npz", source, ["by a network", "licence: MIT"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["v.npz"]
    dataset = load_dataset(f"npz:{tmp_path / 'new' / 'v.npz'}")
    assert source.features is not None and not recwarn
    assert (dataset.train_images == source.features.train[:, 0]).all()
    assert (dataset.test_images == source.features.tests["test"]).all()
    assert dataset.train_images.dtype == np.float32
    assert (dataset.train_labels == source.train_labels).all()
    assert (dataset.test_labels == source.test_labels).all()
    assert (dataset.classes, dataset.flips) == (source.classes, source.flips)
    assert list(dataset.found) == list(source.found) and dataset.noisy_test
    assert all((dataset.found[kind] == source.found[kind]).all() for kind in source.found)


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path, digits):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*: choose another --out"):
        write_vectors(tmp_path / "file" / "v.npz", embedded(digits), [])
