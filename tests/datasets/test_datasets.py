"""Small data sets: digits, MNIST and its like, CIFAR, subsets, and arrays of the user's own."""

import gzip
import hashlib
import os
import pickle
import urllib.error
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.datasets import (
    Dataset,
    check_dataset,
    from_arrays,
    load_dataset,
    open_dataset,
    stratified_choice,
)
from bench.datasets.catalogue import PUBLISHED
from bench.datasets.published import mnist
from bench.datasets.published.cifar import CIFAR100_SUPERCLASSES, superclass_flips
from bench.errors import InputError

# digits


def test_digits_have_360_stratified_test_images(digits):
    assert digits.train_images.shape == (1437, 1, 8, 8)
    assert digits.test_images.shape == (360, 1, 8, 8)
    assert digits.train_images.dtype == digits.test_images.dtype == np.uint8
    assert digits.train_labels.dtype == digits.test_labels.dtype == np.int64
    assert digits.train_images.min() == 0
    assert digits.train_images.max() == 255
    assert (digits.num_classes, digits.channels) == (10, 1)
    whole = np.bincount(np.concatenate([digits.train_labels, digits.test_labels]), minlength=10)
    assert np.abs(np.bincount(digits.test_labels, minlength=10) - whole * 360 / 1797).max() < 1


def test_digits_are_scikit_learns_each_once(digits):
    from sklearn.datasets import load_digits

    source = load_digits()
    images = np.concatenate([digits.train_images, digits.test_images])[:, 0].reshape(1797, 64)
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    ours = sorted(
        (*row, label)
        for row, label in zip(
            np.round(images / (255 / 16)).astype(int).tolist(), labels, strict=True
        )
    )
    theirs = sorted(
        (*row, label)
        for row, label in zip(source.data.astype(int).tolist(), source.target, strict=True)
    )
    assert ours == theirs


def test_digits_are_the_same_everywhere(digits):
    # Pins images, labels and the split: the hash is part of every trial's specification.
    assert digits.content_hash == load_dataset("digits").content_hash == "f954d9b34a827706"


def test_pixel_statistics_are_those_of_the_training_images(digits):
    mean, std = digits.pixel_statistics
    pixels = digits.train_images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, [pixels.mean()])
    np.testing.assert_allclose(std, [pixels.std()])


def test_pixel_statistics_of_blank_images_can_be_divided_by():
    blank = np.zeros((4, 3, 8, 8), np.uint8)
    dataset = from_arrays("blank", blank, [0, 1, 0, 1], blank, [0, 1, 0, 1])
    assert (dataset.pixel_statistics[1] > 0).all()


def test_content_hash_sees_every_pixel_label_and_the_shape(tiny_dataset):
    from dataclasses import replace

    changed = [
        replace(tiny_dataset, **{name: array})
        for name in ("train_images", "train_labels", "test_images", "test_labels")
        for array in [
            np.concatenate([getattr(tiny_dataset, name)[:-1], getattr(tiny_dataset, name)[-1:] + 1])
        ]
    ]
    changed.append(
        replace(tiny_dataset, train_images=tiny_dataset.train_images.reshape(60, 1, 4, 16))
    )
    assert len({d.content_hash for d in [tiny_dataset, *changed]}) == 6


# subsets


@given(st.lists(st.integers(0, 5), min_size=2, max_size=120), st.data())
@settings(max_examples=100, deadline=None)
def test_stratified_choice_gives_each_class_its_share(labels, data):
    labels = np.array(labels)
    size = data.draw(st.integers(1, len(labels)))
    chosen = stratified_choice(labels, size, np.random.default_rng(data.draw(st.integers(0, 100))))
    assert len(chosen) == len(set(chosen.tolist())) == size
    got, share = (
        np.bincount(labels[chosen], minlength=6),
        np.bincount(labels, minlength=6) * size / len(labels),
    )
    assert (np.abs(got - share) < 1 + 1e-9).all()


def test_stratified_choice_is_random_within_a_class():
    labels = np.zeros(100, int)
    chosen = [stratified_choice(labels, 10, np.random.default_rng(seed)) for seed in range(30)]
    assert len(np.unique(np.concatenate(chosen))) > 80


def test_subset_is_stratified_always_the_same_and_keeps_the_test_images(digits):
    part = digits.subset(200)
    assert len(part.train_labels) == len(part.train_images) == 200
    share = np.bincount(digits.train_labels) * 200 / 1437
    assert np.abs(np.bincount(part.train_labels) - share).max() < 1
    assert (
        part.content_hash
        == digits.subset(200).content_hash
        == load_dataset("digits", subset=200).content_hash
    )
    assert part.content_hash != digits.content_hash
    assert part.test_images is digits.test_images
    pairs = {
        (image.tobytes(), int(label))
        for image, label in zip(digits.train_images, digits.train_labels, strict=True)
    }
    assert {
        (image.tobytes(), int(label))
        for image, label in zip(part.train_images, part.train_labels, strict=True)
    } <= pairs


def test_the_whole_set_is_a_subset(digits):
    assert digits.subset(1437).content_hash == digits.content_hash


@pytest.mark.parametrize("size", [-1, 0, 1, 1438])
def test_impossible_subsets_are_refused(digits, size):
    with pytest.raises(
        InputError,
        match=f"--subset is {size}, but digits has 1437 training images: give a number from 2",
    ):
        digits.subset(size)


# Fashion-MNIST, idx

IDX = {
    "train-images-idx3-ubyte": (30, 28, 28),
    "train-labels-idx1-ubyte": (30,),
    "t10k-images-idx3-ubyte": (20, 28, 28),
    "t10k-labels-idx1-ubyte": (20,),
}


def idx_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images = {
        name: rng.integers(0, 256, shape, dtype=np.uint8)
        for name, shape in IDX.items()
        if len(shape) == 3
    }
    labels = {
        name: (np.arange(shape[0]) % 10).astype(np.uint8)
        for name, shape in IDX.items()
        if len(shape) == 1
    }
    return images | labels


def idx_bytes(array: np.ndarray) -> bytes:
    """Return the array in LeCun's format.

    Two zero bytes, type 8 (uint8), number of dimensions, big-endian 32-bit sizes, data.
    """
    return (
        bytes((0, 0, 8, array.ndim))
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.tobytes()
    )


def write_idx(folder: Path, zipped: bool) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, array in idx_arrays().items():
        paths[name] = folder / (f"{name}.gz" if zipped else name)
        paths[name].write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    return paths


@pytest.fixture
def no_network(monkeypatch):
    """Let every download fail, and count it."""
    calls = []

    def refuse(*args, **kwargs):
        calls.append(args)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", refuse)
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)
    return calls


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("layout", [".", "FashionMNIST/raw"])
def test_fashion_mnist_is_read_from_a_folder_of_idx_files(tmp_path, no_network, layout, zipped):
    write_idx(tmp_path / layout, zipped)
    dataset = load_dataset("fashion_mnist", str(tmp_path))
    arrays = idx_arrays()
    assert (dataset.train_images[:, 0] == arrays["train-images-idx3-ubyte"]).all()
    assert (dataset.test_images[:, 0] == arrays["t10k-images-idx3-ubyte"]).all()
    assert (dataset.train_labels == arrays["train-labels-idx1-ubyte"]).all()
    assert (dataset.test_labels == arrays["t10k-labels-idx1-ubyte"]).all()
    assert dataset.train_images.shape == (30, 1, 28, 28)
    assert dataset.train_labels.dtype == np.int64
    assert dataset.num_classes == 10
    assert not no_network


@pytest.mark.parametrize("layout", [".", "own"])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("kmnist", "KMNIST/raw")])
def test_mnist_and_its_japanese_sister(tmp_path, no_network, name, folder, layout):
    write_idx(tmp_path / (folder if layout == "own" else "."), False)
    dataset = load_dataset(name, tmp_path)
    assert (dataset.train_images[:, 0] == idx_arrays()["train-images-idx3-ubyte"]).all()
    assert dataset.num_classes == 10 and not no_network
    # MNIST's digits are mistaken as Patrini et al. have it; of the characters nobody says so.
    assert dataset.flips == ({7: 1, 2: 7, 5: 6, 6: 5, 3: 8} if name == "mnist" else None)


@pytest.mark.parametrize("missing", IDX)
def test_a_missing_idx_file_is_named_and_nothing_is_downloaded(tmp_path, no_network, missing):
    write_idx(tmp_path, True)[missing].unlink()
    with pytest.raises(InputError, match=f"lacks the file {missing}"):
        load_dataset("fashion_mnist", tmp_path)
    assert not no_network


def cut(raw: bytes) -> bytes:
    return raw[:-1]


DAMAGE = {
    "last byte missing": cut,
    "header alone": lambda raw: raw[:5],
    "empty": lambda raw: b"",
    "one byte too many": lambda raw: raw + b"\0",
    "wrong magic": lambda raw: b"\0\0\x0d" + raw[3:],
    "not idx": lambda raw: b"<html>404</html>" * 100,
    "wrong number of dimensions": lambda raw: raw[:3] + bytes((raw[3] + 1,)) + raw[4:],
    "size larger than the file": lambda raw: raw[:4] + b"\x7f\xff\xff\xff" + raw[8:],
}


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_idx_file_is_named(tmp_path, no_network, damage, zipped):
    for name, path in write_idx(tmp_path, zipped).items():
        whole = path.read_bytes()
        raw = DAMAGE[damage](idx_bytes(idx_arrays()[name]))
        path.write_bytes(gzip.compress(raw) if zipped else raw)
        with pytest.raises(InputError) as error:
            load_dataset("fashion_mnist", tmp_path)
        assert str(path) in str(error.value)
        assert "fetch it again" in str(error.value)
        path.write_bytes(whole)
    load_dataset("fashion_mnist", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "plain", "empty"])
def test_a_damaged_gz_file_is_named(tmp_path, damage):
    path = write_idx(tmp_path, True)["train-images-idx3-ubyte"]
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = (
        whole[:middle]
        + bytes(255 - byte for byte in whole[middle : middle + 40])
        + whole[middle + 40 :]
    )
    path.write_bytes(
        {"cut": whole[:-100], "flipped": flipped, "plain": b"plain text", "empty": b""}[damage]
    )
    with pytest.raises(InputError) as error:
        load_dataset("fashion_mnist", tmp_path)
    assert str(path) in str(error.value)


def test_idx_header_whose_size_overflows_is_refused(tmp_path):
    path = tmp_path / "x"
    # 2^31 * 2^31 * 8 = 2^65
    path.write_bytes(bytes((0, 0, 8, 3)) + b"\x80\0\0\0\x80\0\0\0\0\0\0\x08")
    with pytest.raises(InputError, match="truncated"):
        mnist.read_idx(path, 3)


def test_images_and_labels_that_do_not_match_are_refused(tmp_path):
    paths = write_idx(tmp_path, False)
    paths["train-labels-idx1-ubyte"].write_bytes(idx_bytes(np.zeros(29, np.uint8)))
    with pytest.raises(InputError, match="fashion_mnist has training labels of shape"):
        load_dataset("fashion_mnist", tmp_path)


def test_absent_fashion_mnist_without_network_says_what_to_do(tmp_path, no_network, monkeypatch):
    with pytest.raises(
        InputError, match=r"FashionMNIST is not whole under .* could not be downloaded .*--data-dir"
    ):
        load_dataset("fashion_mnist", tmp_path)
    assert no_network


@pytest.mark.data
def test_real_fashion_mnist_is_whole():
    folder = Path(os.environ.get("LNL_FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
    if not folder.is_dir():
        pytest.skip(
            f"no folder {folder}: install Debian's dataset-fashion-mnist or set LNL_FASHION_MNIST"
        )
    dataset = load_dataset("fashion_mnist", folder)
    assert dataset.train_images.shape == (60000, 1, 28, 28)
    assert dataset.test_images.shape == (10000, 1, 28, 28)
    assert (np.bincount(dataset.train_labels) == 6000).all()
    assert (np.bincount(dataset.test_labels) == 1000).all()
    mean, std = dataset.pixel_statistics
    # the figures that everybody uses
    np.testing.assert_allclose([mean[0], std[0]], [0.2860, 0.3530], atol=1e-4)


# CIFAR

CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
# Fine labels in the order of the data set's own ids, and the superclass of each: written out on
# their own, not derived.
CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange
orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit
raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel
streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
turtle wardrobe whale willow_tree wolf woman worm
""".split()
CIFAR100_COARSE = [
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15,
    3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4,
    2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13,
    16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
]  # fmt: skip


def write_cifar(name: str, root: Path, monkeypatch) -> dict[str, np.ndarray]:
    """Write files of the real format with random images, and tell torchvision their checksums."""
    from torchvision import datasets

    source = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    rng = np.random.default_rng(0)
    folder = root / source.base_folder
    folder.mkdir(parents=True)
    arrays: dict[str, list[np.ndarray]] = {
        "train": [],
        "test": [],
        "train_labels": [],
        "test_labels": [],
    }
    count = 100 if name == "cifar100" else 10

    def write(filename: str, content: dict) -> str:
        raw = pickle.dumps(content, protocol=2)
        (folder / filename).write_bytes(raw)
        return hashlib.md5(raw).hexdigest()

    for part, files in (("train", source.train_list), ("test", source.test_list)):
        sums = []
        for filename, _ in files:
            data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
            labels = rng.permutation(count)
            arrays[part].append(data)
            arrays[f"{part}_labels"].append(labels)
            content = {
                "data": data,
                ("fine_labels" if name == "cifar100" else "labels"): labels.tolist(),
            }
            if name == "cifar100":
                content["coarse_labels"] = [CIFAR100_COARSE[label] for label in labels]
            sums.append([filename, write(filename, content)])
        monkeypatch.setattr(source, f"{part}_list", sums)
    classes = CIFAR100_CLASSES if name == "cifar100" else CIFAR10_CLASSES
    md5 = write(source.meta["filename"], {source.meta["key"]: classes})
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": md5})
    return {key: np.concatenate(value) for key, value in arrays.items()}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_from_its_own_files(tmp_path, monkeypatch, no_network, name):
    arrays = write_cifar(name, tmp_path, monkeypatch)
    dataset = load_dataset(name, tmp_path)
    assert dataset.name == name
    # A row of the files is 1,024 red, then green, then blue values, each channel row by row.
    assert (dataset.train_images == arrays["train"].reshape(-1, 3, 32, 32)).all()
    assert (dataset.test_images == arrays["test"].reshape(-1, 3, 32, 32)).all()
    assert (dataset.train_labels == arrays["train_labels"]).all()
    assert (dataset.test_labels == arrays["test_labels"]).all()
    assert dataset.train_images.flags.c_contiguous
    assert list(dataset.classes) == (CIFAR10_CLASSES if name == "cifar10" else CIFAR100_CLASSES)
    assert not no_network


def test_cifar10_confuses_the_classes_of_patrini(tmp_path, monkeypatch, no_network):
    write_cifar("cifar10", tmp_path, monkeypatch)
    dataset = load_dataset("cifar10", tmp_path)
    names = {dataset.classes[a]: dataset.classes[b] for a, b in dataset.flips.items()}
    assert names == {
        "truck": "automobile",
        "bird": "airplane",
        "deer": "horse",
        "cat": "dog",
        "dog": "cat",
    }


def test_cifar100_confuses_within_the_superclass(tmp_path, monkeypatch, no_network):
    write_cifar("cifar100", tmp_path, monkeypatch)
    assert load_dataset("cifar100", tmp_path).flips == superclass_flips(tuple(CIFAR100_CLASSES))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("damage", ["corrupted", "truncated", "absent", "absent meta"])
def test_damaged_cifar_without_network_says_what_to_do(
    tmp_path, monkeypatch, no_network, name, damage
):
    write_cifar(name, tmp_path, monkeypatch)
    folder = next(tmp_path.iterdir())
    path = folder / {"cifar10": "data_batch_2", "cifar100": "train"}[name]
    raw = path.read_bytes()
    if damage == "corrupted":
        path.write_bytes(raw[:-20] + bytes(20))
    elif damage == "truncated":
        path.write_bytes(raw[:1000])
    elif damage == "absent":
        path.unlink()
    else:
        (folder / {"cifar10": "batches.meta", "cifar100": "meta"}[name]).unlink()
    with pytest.raises(
        InputError, match=rf"{name.upper()} is not whole under .*{tmp_path.name}.* --data-dir"
    ):
        load_dataset(name, tmp_path)
    assert bool(no_network) == (damage != "absent meta"), (
        "torchvision downloads nothing for a missing meta file"
    )


def test_cifar100_keeps_the_coarse_labels(tmp_path, monkeypatch, no_network):
    write_cifar("cifar100", tmp_path, monkeypatch)
    assert load_dataset("cifar100", tmp_path).superclasses.tolist() == CIFAR100_COARSE


def test_superclass_flips_are_a_permutation_within_the_true_superclasses():
    assert len(CIFAR100_CLASSES) == len(set(CIFAR100_CLASSES)) == len(CIFAR100_COARSE) == 100
    flips = superclass_flips(tuple(CIFAR100_CLASSES))
    assert sorted(flips) == sorted(flips.values()) == list(range(100))
    for source, target in flips.items():
        assert source != target
        assert CIFAR100_COARSE[source] == CIFAR100_COARSE[target]
        members = [c for c in range(100) if CIFAR100_COARSE[c] == CIFAR100_COARSE[source]]
        assert target == members[(members.index(source) + 1) % 5], (
            "the next class of the superclass, by id"
        )


def test_superclasses_are_those_of_the_coarse_labels():
    for number, members in enumerate(CIFAR100_SUPERCLASSES.values()):
        assert {CIFAR100_COARSE[CIFAR100_CLASSES.index(name)] for name in members.split()} == {
            number
        }


# own arrays


def arrays(**changes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (12, 9, 7, 3), dtype=np.uint8),
        "train_labels": np.arange(12) % 3,
        "test_images": rng.integers(0, 256, (6, 9, 7, 3), dtype=np.uint8),
        "test_labels": np.arange(6) % 3,
    } | changes


@pytest.fixture
def load_npz(tmp_path):
    def load(compressed: bool = False, **contents) -> Dataset:
        (np.savez_compressed if compressed else np.savez)(tmp_path / "my.npz", **contents)
        return load_dataset(f"npz:{tmp_path / 'my.npz'}")

    return load


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_with_channels_last(load_npz, tmp_path, compressed):
    given = arrays()
    dataset = load_npz(compressed, **given)
    assert dataset.name == f"npz:{tmp_path / 'my.npz'}"
    assert dataset.train_images.shape == (12, 3, 9, 7)
    assert (dataset.train_images[5, 2] == given["train_images"][5, :, :, 2]).all()
    assert (dataset.test_images[1, 0] == given["test_images"][1, :, :, 0]).all()
    assert (dataset.train_labels == given["train_labels"]).all()
    assert dataset.classes == ("0", "1", "2")
    assert dataset.flips is None


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (lambda a: a, (3, 9, 7)),
        (lambda a: a.transpose(0, 3, 1, 2), (3, 9, 7)),
        (lambda a: a[..., 0], (1, 9, 7)),
        (lambda a: a[..., :1], (1, 9, 7)),
        (lambda a: a[:, None, ..., 0], (1, 9, 7)),
    ],
    ids=["HWC", "CHW", "grey", "HW1", "1HW"],
)
def test_npz_layouts(load_npz, layout, shape):
    given = arrays()
    dataset = load_npz(
        **given | {key: layout(given[key]) for key in ("train_images", "test_images")}
    )
    assert dataset.train_images.shape == (12, *shape)
    for channel in range(shape[0]):
        assert (dataset.train_images[:, channel] == given["train_images"][..., channel]).all()
        assert (dataset.test_images[:, channel] == given["test_images"][..., channel]).all()


def test_npz_classes_may_have_names(load_npz):
    assert load_npz(**arrays(classes=np.array(["cat", "dog", "cow"]))).classes == (
        "cat",
        "dog",
        "cow",
    )
    assert load_npz(**arrays(classes=np.array(["cat", "dog", "cow", "absent"]))).num_classes == 4


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_npz_labels_of_any_integer_type(load_npz, dtype):
    assert (
        load_npz(**arrays(train_labels=(np.arange(12) % 3).astype(dtype))).train_labels.dtype
        == np.int64
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_images": np.zeros((12, 9, 7, 3))},
            "training images of .* are float64 .* give uint8",
        ),
        ({"test_images": np.zeros((6, 63), np.uint8)}, r"test images of .* shape \(6, 63\)"),
        ({"train_images": np.zeros((12, 9, 7, 4), np.uint8)}, "give 1 or 3 channels"),
        (
            {
                "train_images": np.zeros((12, 2, 2), np.uint8),
                "test_images": np.zeros((6, 2, 2), np.uint8),
            },
            "4 pixels a side",
        ),
        ({"test_images": np.zeros((6, 9, 9, 3), np.uint8)}, "differ in shape"),
        ({"test_images": np.zeros((6, 9, 7), np.uint8)}, "differ in shape"),
        (
            {"train_labels": np.zeros(11, int)},
            r"training labels of shape \(11,\) .* for 12 samples",
        ),
        ({"test_labels": np.zeros((6, 1), int)}, r"test labels of shape \(6, 1\)"),
        ({"train_labels": np.zeros(12)}, "type float64"),
        ({"train_labels": np.full(12, "cat")}, "one integer for each sample"),
        ({"train_labels": np.arange(12) % 3 - 1}, "labels from -1 to 2"),
        ({"test_labels": np.array([0, 1, 2, 0, -5, 1])}, "labels from -5 to 2"),
        ({"train_labels": np.zeros(12, int), "test_labels": np.zeros(6, int)}, "at least two"),
        ({"classes": np.array(["cat", "dog"])}, "labels from 0 to 2 for 2 classes"),
        ({"classes": np.array("cat")}, "classes"),
        (
            {"train_images": np.zeros((0, 9, 7, 3), np.uint8), "train_labels": np.zeros(0, int)},
            "has no training images",
        ),
        ({"train_labels": np.array([0, "a"] * 6, dtype=object)}, "holds Python objects"),
    ],
)
def test_npz_of_the_wrong_kind_is_refused(load_npz, changes, message):
    with pytest.raises(InputError, match=message):
        load_npz(**arrays(**changes))


def test_npz_may_bring_noisy_labels(load_npz):
    given = arrays()
    noisy = (given["train_labels"] + 1) % 3
    partly = np.where(np.arange(12) < 4, given["train_labels"], -1)
    dataset = load_npz(**given, noisy_labels=noisy, noisy_labels_worst=noisy[::-1])
    assert list(dataset.found) == ["found", "human-worst"] and dataset.knows_truth
    assert (dataset.found["found"] == noisy).all() and (
        dataset.found["human-worst"] == noisy[::-1]
    ).all()
    dataset = load_npz(**(given | {"train_labels": partly}), noisy_labels=noisy)
    assert not dataset.knows_truth and (dataset.train_labels == partly).all()
    del given["train_labels"]
    dataset = load_npz(**given, noisy_labels=noisy)
    assert (dataset.train_labels == -1).all() and dataset.classes == ("0", "1", "2")
    assert dataset.subset(6).found["found"].shape == (6,)
    with pytest.raises(InputError, match=r"has noisy \(found\) labels of shape"):
        load_npz(**given, noisy_labels=noisy[:5])


@pytest.mark.parametrize("stray", [255, 3_000_000_000])
def test_a_stray_label_is_no_class(load_npz, stray):
    labels = np.arange(12) % 3
    labels[5] = stray
    with pytest.raises(
        InputError, match=f"labels up to {stray}, but only 4 different ones: count classes from 0"
    ):
        load_npz(**arrays(train_labels=labels))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            np.arange(12) % 3 + 1,
            np.arange(6) % 3 + 1,
            "labels up to 3, but only 3 different .*no sample has the label 0",
        ),
        (
            np.arange(12) % 3 * 2,
            np.arange(6) % 3 * 2,
            "labels up to 4, but only 3 different .*no sample has the label 1",
        ),
        (
            np.arange(12) % 2 * 9,
            np.arange(6) % 2 * 9,
            "labels up to 9, but only 2 different .*no sample has the label 1",
        ),
        (
            np.arange(12) % 3 + 100,
            np.arange(6) % 3 + 100,
            "labels up to 102, but only 3 .*no sample has the label 0",
        ),
        (
            np.arange(12) % 2,
            np.arange(6) % 3,
            "no training sample of .* is of the class 2, which has labels elsewhere",
        ),
        (
            np.full(12, 2**64 - 1, np.uint64),
            np.arange(6) % 3,
            "training labels up to 18446744073709551615",
        ),
        (
            np.arange(12)[:, None] % 3,
            np.arange(6) % 3,
            r"shape \(12, 1\) .* one integer for each sample: labels\[:, 0\]",
        ),
        (
            np.eye(3, dtype=int)[np.arange(12) % 3],
            np.arange(6) % 3,
            r"shape \(12, 3\) .*: labels.argmax\(1\)",
        ),
        (np.arange(12) % 2 == 1, np.arange(6) % 2, r"type bool .*: labels.astype\(int\)"),
        (
            np.arange(12) % 3 + 0.5,
            np.arange(6) % 3,
            "type float64 .* if none is missing or a fraction",
        ),
        (np.full(12, np.nan), np.arange(6) % 3, "type float64"),
        (
            np.array(["cat", "dog"] * 6),
            np.arange(6) % 2,
            "type <U3 .*: classes, labels = np.unique",
        ),
        (
            np.array([b"cat", b"dog"] * 6),
            np.arange(6) % 2,
            "type .S3 .*: classes, labels = np.unique",
        ),
    ],
)
def test_npz_labels_that_are_not_counted_from_0(load_npz, train, test, message):
    with pytest.raises(InputError, match=message) as error:
        load_npz(**arrays(train_labels=train, test_labels=test))
    assert "\n" not in str(error.value)


def test_npz_classes_with_names_may_lack_images_and_it_is_said(load_npz):
    titles = np.array([b"none", b"cat", b"dog", b"cow"])
    shifted = arrays(train_labels=np.arange(12) % 3 + 1, test_labels=np.arange(6) % 3 + 1)
    dataset = load_npz(**shifted, classes=titles)
    assert dataset.classes == ("none", "cat", "dog", "cow")
    assert dataset.remarks == [
        "1 of 4 classes has no training image (none): no method can learn such a class",
        "1 of 4 classes has no test image (none): accuracy and worst-class accuracy stand on the "
        "other 3",
    ]
    with pytest.raises(InputError, match="names the class 'cat' twice"):
        load_npz(**arrays(classes=np.array(["cat", "dog", "cat"])))
    numbered = load_npz(**arrays(classes=np.arange(5)))  # numbers, but named all the same
    assert numbered.untrained.startswith("2 of 5 classes have no training image (3, 4): ")


def test_a_subset_without_images_of_a_class_says_so(load_npz):
    whole = load_npz(**arrays())
    assert whole.remarks == []
    [untrained] = whole.subset(2).remarks
    assert untrained.startswith("1 of 3 classes has no training image (")


def test_a_class_that_some_label_gives_has_training_images(load_npz):
    given = arrays(classes=np.array(["a", "b", "c", "d"]))
    truth = np.where(given["train_labels"] == 2, -1, given["train_labels"])
    dataset = load_npz(**(given | {"train_labels": truth}), noisy_labels=np.full(12, 2))
    assert dataset.untrained.startswith("1 of 4 classes has no training image (d)")


@pytest.mark.parametrize("stray", [-1, -2, 3, 2**40])
def test_npz_noisy_labels_that_are_no_class(load_npz, stray):
    given = arrays(train_labels=np.full(12, -1))
    noisy = np.arange(12) % 3
    noisy[4] = stray
    match = "labels from -|labels up to|no training sample" if stray != 3 else "3 classes"
    named = {"classes": np.array(["a", "b", "c"])} if stray == 3 else {}
    with pytest.raises(InputError, match=match):
        load_npz(**given, **named, noisy_labels=noisy)
    with pytest.raises(InputError, match=r"human-worst labels\)|labels up to|human-worst"):
        load_npz(
            **given,
            noisy_labels=np.arange(12) % 3,
            noisy_labels_worst=noisy,
            classes=np.array(["a", "b", "c"]),
        )


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        (np.zeros((12, 9, 7), np.float32), r"float32 .*such as \(images \* 255\).round"),
        (np.zeros((12, 9, 7), np.uint16), r"uint16 .*such as \(images >> 8\)"),
        (np.zeros((12, 9, 7), bool), r"bool .*such as images \* np.uint8\(255\)"),
        (np.zeros((12, 9, 7), np.int64), "int64 of shape .*: give uint8"),
    ],
)
def test_npz_images_of_another_type_are_refused_with_what_to_do(load_npz, images, hint):
    with pytest.raises(InputError, match=hint):
        load_npz(**arrays(train_images=images))


def test_npz_arrays_without_a_use_are_said(load_npz):
    noisy = np.arange(12) % 3
    with pytest.warns(
        UserWarning,
        match=r"are not used \(class_names, noisy_label\): names that count are train_images",
    ):
        assert not load_npz(
            **arrays(), noisy_label=noisy, class_names=np.array(["a", "b", "c"])
        ).found
    with pytest.raises(
        InputError,
        match=r"two arrays for one kind of noise \(noisy_labels, noisy_labels_\): rename one",
    ):
        load_npz(**arrays(), noisy_labels=noisy, noisy_labels_=noisy)


@pytest.mark.parametrize("key", ["train_labels", "classes", "noisy_labels"])
def test_npz_of_python_objects_is_refused_with_what_to_do(load_npz, key):
    values = np.array(["a", "b", "c"] if key == "classes" else [0, 1, 2] * 4, object)
    with pytest.raises(
        InputError,
        match=rf"the array {key} of .* holds Python objects.*: save {key}\.astype\('(int|str)'\)",
    ):
        load_npz(**arrays(**{key: values}))


def test_npz_objects_without_a_use_do_no_harm(load_npz):
    with pytest.warns(UserWarning, match=r"are not used \(notes\)"):
        assert load_npz(**arrays(), notes=np.array({"by": "me"}, object)).num_classes == 3


def test_npz_under_other_names_is_one_sentence(load_npz, recwarn):
    with pytest.raises(
        InputError, match=r"lacks train_images, .* \(it has x_train, y_train\): save these"
    ):
        load_npz(x_train=np.zeros((3, 8, 8), np.uint8), y_train=np.arange(3))
    assert not recwarn


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"test_images": np.zeros((0, 8, 8), np.uint8), "test_labels": np.arange(0)},
            "has no test images: give at least",
        ),
        (
            {"train_images": np.zeros((12, 8, 8, 4), np.uint8)},
            r"have shape \(12, 8, 8, 4\): give 1 or 3 channels",
        ),
        (
            {"train_images": np.zeros((12, 64), np.uint8)},
            r"are uint8 of shape \(12, 64\): .*\(N, C, H, W\)$",
        ),
        ({"classes": np.array(["a", " ", "c"])}, "has a class without a name"),
        (
            {"noisy_labels_worst": np.arange(11) % 3},
            r"has noisy \(human-worst\) labels of shape \(11,\)",
        ),
    ],
)
def test_npz_messages_say_what_was_given(load_npz, changes, message):
    with pytest.raises(InputError, match=message):
        load_npz(**arrays(**changes))


def test_npz_of_scalars_and_single_arrays_is_refused(load_npz, tmp_path):
    given = arrays(train_images=np.uint8(3), noisy_labels=np.arange(12) % 3)
    del given["train_labels"]
    with pytest.raises(InputError, match=r"training images of .* are uint8 of shape"):
        load_npz(**given)
    np.save(tmp_path / "one.npy", np.arange(5))
    with pytest.raises(InputError, match="it is a single array"):
        load_dataset(f"npz:{tmp_path / 'one.npy'}")


def test_paths_that_cannot_be_opened_are_one_sentence(tmp_path, monkeypatch):
    for name in ("folder:" + "x" * 5000, "npz:" + "x" * 5000, "cifar10n"):
        with pytest.raises(
            InputError, match=r"cannot be opened \(File name too long\): check the path"
        ):
            open_dataset(name, tmp_path / ("x" * 5000))
    monkeypatch.setattr(
        Path, "stat", Mock(side_effect=PermissionError(13, "Permission denied", "/closed/photos"))
    )
    with pytest.raises(
        InputError, match=r"'/closed/photos' cannot be opened \(Permission denied\): check the path"
    ):
        open_dataset("folder:/closed/photos")


def test_a_path_without_its_scheme_is_told_what_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "mine.npz").touch()
    for name, fix in (
        ("photos", "folder:photos"),
        ("photos/", "folder:photos/"),
        ("mine.npz", "npz:mine.npz"),
    ):
        with pytest.raises(InputError, match=f"there is no data set '{name}': .* write {fix}$"):
            check_dataset(name)


@pytest.mark.parametrize("side", [-1, 7, 4097, 2_000_000_000])
def test_sizes_of_images_have_bounds(side):
    with pytest.raises(InputError, match="give at least 8 pixels and at most 4096"):
        check_dataset("digits", side)


def test_files_of_another_set_are_noticed(tmp_path, monkeypatch):
    paths = write_idx(tmp_path, False)
    arrays = {
        name: np.resize(array, (60_000 if "train" in name else 10_000, *array.shape[1:]))
        for name, array in idx_arrays().items()
    }
    sums = []
    for name, path in paths.items():
        path.write_bytes(idx_bytes(arrays[name]))
    for name in mnist._IDX_NAMES:
        sums.append(hashlib.sha256(idx_bytes(arrays[name])).hexdigest())
    with pytest.raises(
        InputError,
        match=r"train-images-idx3-ubyte in .* is not the published one: fetch mnist's again",
    ):
        load_dataset("mnist", tmp_path)
    assert load_dataset("kmnist", tmp_path).num_classes == 10, "whose checksums nobody told us"
    monkeypatch.setitem(mnist._CHECKSUMS, "fashion_mnist", tuple(sums))
    for name in ("mnist", "kmnist"):
        with pytest.raises(InputError, match=f"is fashion_mnist's: fetch {name}'s again"):
            load_dataset(name, tmp_path)


def test_unknown_truth_without_noisy_labels_is_refused(load_npz):
    with pytest.raises(InputError, match="has labels from -1 to 2"):
        load_npz(**arrays(train_labels=np.arange(12) % 4 - 1))


@pytest.mark.parametrize("missing", ["train_images", "train_labels", "test_images", "test_labels"])
def test_npz_that_lacks_an_array_is_refused(load_npz, missing):
    contents = arrays()
    del contents[missing]
    with pytest.raises(InputError, match=rf"my\.npz' lacks {missing}: save these"):
        load_npz(**contents)


@pytest.mark.parametrize("size", [0, 10, 1000, -30, -1])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_npz_is_named(tmp_path, load_npz, size, compressed):
    load_npz(compressed, **arrays())
    path = tmp_path / "my.npz"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"my\.npz' cannot be read as a NumPy archive"):
        load_dataset(f"npz:{path}")


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_with_a_flipped_byte_is_named(tmp_path, load_npz, compressed):
    load_npz(compressed, **arrays())
    path = tmp_path / "my.npz"
    whole = path.read_bytes()
    for position in (300, 700):  # within the first array's data
        path.write_bytes(whole[:position] + bytes((whole[position] ^ 255,)) + whole[position + 1 :])
        with pytest.raises(InputError, match=r"my\.npz' cannot be read as a NumPy archive"):
            load_dataset(f"npz:{path}")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', (",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (True, 4, 4)}",
        f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({10**30},)}}",
    ],
)
def test_npz_with_a_damaged_header_is_named(tmp_path, load_npz, header):
    load_npz(**arrays())
    content = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(tmp_path / "my.npz", "w") as archive:
        archive.writestr("train_images.npy", content + bytes(160))
    with pytest.raises(InputError, match=r"my\.npz' cannot be read as a NumPy archive"):
        load_dataset(f"npz:{tmp_path / 'my.npz'}")


@pytest.mark.parametrize(("place", "value"), [(8, 1), (10, 99)], ids=["encrypted", "method"])
def test_npz_that_zipfile_cannot_unpack_is_named(tmp_path, load_npz, place, value):
    load_npz(**arrays())
    path = tmp_path / "my.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value  # entry of the first array
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"my\.npz' cannot be read as a NumPy archive"):
        load_dataset(f"npz:{path}")


def test_npz_that_is_a_pickle_is_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (ran,))

    path = tmp_path / "my.npz"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError):
        load_dataset(f"npz:{path}")
    np.savez(path, **arrays(train_images=np.array([Trap()], dtype=object)))
    with pytest.raises(InputError, match="holds Python objects"):
        load_dataset(f"npz:{path}")
    assert not ran.exists()


@pytest.mark.parametrize("path", ["nowhere.npz", "", "."])
def test_absent_npz_is_named(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"there is no file|names no file"):
        load_dataset(f"npz:{path}")


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "my.npz", **arrays())
    assert load_dataset("npz:~/my.npz").num_classes == 3


def test_unknown_data_set_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="there is no data set 'cifar-10': did you mean cifar10"):
        check_dataset("cifar-10")
    for name in (*PUBLISHED, "npz:whatever"):
        check_dataset(name)
