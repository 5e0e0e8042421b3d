"""Photographs from the web: small copies of each set in its published layout, and wrong ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import UNKNOWN, Dataset, ImageFiles, check_dataset, load_dataset
from bench.datasets.published import (
    animal10n,
    clothing1m,
    food101n,
    red_mini_imagenet,
    webvision,
)
from bench.errors import InputError
from bench.noise import NoiseSpec, check_noise, corrupt, default_noise

SOURCES = {
    **animal10n.SOURCES,
    **clothing1m.SOURCES,
    **webvision.SOURCES,
    **food101n.SOURCES,
    **red_mini_imagenet.SOURCES,
}


@pytest.fixture(autouse=True)
def streamed(monkeypatch, tmp_path):
    """Stream all sets, as the real ones, which do not fit into memory."""
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", "0")
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))


def write_image(path: Path, red: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 16), (red, 100, 50)).save(path, "JPEG")


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    write_lines(path, *change(path.read_text().splitlines()))


def names(images: ImageFiles) -> list[str]:
    return images.names.tolist()


def check_found(dataset: Dataset, noisy: list[int], side: int) -> None:
    """Check the rules of every set: noise as found and no other, readable images."""
    assert (
        dataset.found["found"].dtype
        == dataset.train_labels.dtype
        == dataset.test_labels.dtype
        == np.int64
    )
    assert list(dataset.found) == ["found"]
    assert dataset.found["found"].tolist() == noisy
    assert len(dataset.train_images) == len(dataset.train_labels) == len(noisy)
    assert default_noise(dataset) == "found"
    check_noise("found", None, dataset)
    assert (corrupt(dataset, NoiseSpec("found")) == dataset.found["found"]).all()
    assert not dataset.knows_truth
    with pytest.raises(InputError, match="nobody knows the true labels"):
        check_noise("symmetric", 0.2, dataset)
    sets = [(dataset.test_images, dataset.test_labels), *dataset.extra_tests.values()]
    for images, labels in [(dataset.train_images, dataset.train_labels), *sets]:
        assert isinstance(images, ImageFiles)
        assert images.side == side
        assert len(images) == len(labels)
        for position in range(len(images)):
            assert images.decode(position).shape == (3, images.padded, images.padded)
    for _, labels in sets:
        assert labels.min() >= 0
        assert labels.max() < dataset.num_classes
    assert len(dataset.content_hash) == 16
    assert len(dataset.subset(2).found["found"]) == 2


# Animal-10N

ANIMALS = ["0_1201.jpg", "1_7.jpg", "1_9.jpg", "9_50000.jpg"]


@pytest.fixture
def animals(tmp_path) -> Path:
    for name in ANIMALS:
        write_image(tmp_path / "training" / name)
    for name in ("0_0.jpg", "5_1.jpg"):
        write_image(tmp_path / "testing" / name)
    return tmp_path


def test_animal10n(animals):
    (animals / "training" / ".DS_Store").write_bytes(b"")
    dataset = load_dataset("animal10n", animals)
    check_found(dataset, [0, 1, 1, 9], 64)
    assert names(dataset.train_images) == ANIMALS
    assert dataset.test_labels.tolist() == [0, 5]
    assert dataset.classes[:6] == ("cat", "lynx", "wolf", "coyote", "cheetah", "jaguar")
    assert (dataset.train_labels == UNKNOWN).all()


def test_a_set_that_fits_is_kept_in_memory(animals, monkeypatch):
    monkeypatch.delenv("LNL_BENCH_MEMORY_GB")
    dataset = load_dataset("animal10n", animals)
    assert isinstance(dataset.train_images, np.ndarray) and dataset.train_images.shape == (
        4,
        3,
        64,
        64,
    )
    assert dataset.train_names.tolist() == ANIMALS and dataset.found["found"].tolist() == [
        0,
        1,
        1,
        9,
    ]


@pytest.mark.parametrize("folder", ["animal10n", "raw_image"])
def test_animal10n_in_a_folder_of_its_own(animals, folder):
    (animals / folder).mkdir()
    for part in ("training", "testing"):
        (animals / part).rename(animals / folder / part)
    assert len(load_dataset("animal10n", animals).train_images) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "10_3.jpg",
            r"training/10_3\.jpg' is of class 10, but 10 classes are counted from 0: remove it",
        ),
        ("cat_3.jpg", r"training/cat_3\.jpg' is not named LABEL_NUMBER\.jpg: remove it"),
        ("3.jpg", r"training/3\.jpg' is not named LABEL"),
        ("data_batch_1.bin", r"data_batch_1\.bin' is not named LABEL"),
    ],
)
def test_animals_with_other_names_are_refused(animals, name, message):
    write_image(animals / "training" / name)
    with pytest.raises(InputError, match=message):
        load_dataset("animal10n", animals)


def test_animal10n_needs_both_folders(animals):
    (animals / "testing").rename(animals / "test")
    with pytest.raises(
        InputError, match=r"there is no folder '.*/testing': unpack Animal-10N's raw images there"
    ):
        load_dataset("animal10n", animals)
    (animals / "testing").mkdir()
    with pytest.raises(InputError, match=r"testing' names no image of this set"):
        load_dataset("animal10n", animals)
    (animals / "training").rename(animals / "train")
    with pytest.raises(
        InputError,
        match=r"holds no training, nor does animal10n .* name the folder of the set with "
        r"--data-dir",
    ):
        load_dataset("animal10n", animals)


# Clothing1M

NOISY = ["images/0/00/1001,2.jpg", "images/3/25/17,8.jpg", "images/9/99/5,5.jpg"]
CLEAN = {
    "train": ["images/1/00/1,1.jpg"],
    "val": ["images/2/00/2,1.jpg", "images/2/01/3,1.jpg"],
    "test": ["images/4/44/4,1.jpg"],
}


CLEAN_KEYS = [key for keys in CLEAN.values() for key in keys]


@pytest.fixture
def clothing(tmp_path) -> Path:
    for name in [*NOISY, *CLEAN_KEYS]:
        write_image(tmp_path / name)
    write_lines(tmp_path / "noisy_train_key_list.txt", *NOISY)
    for part, keys in CLEAN.items():
        write_lines(tmp_path / f"clean_{part}_key_list.txt", *keys)
    # Some of the images with clean labels have noisy ones too; lists and labels are in different
    # orders.
    write_lines(
        tmp_path / "noisy_label_kv.txt",
        f"{CLEAN['test'][0]} 3",
        *(f"{k} {v}" for k, v in zip(NOISY[::-1], (2, 1, 13), strict=True)),
    )
    write_lines(
        tmp_path / "clean_label_kv.txt", *(f"{key} {i}" for i, key in enumerate(CLEAN_KEYS))
    )
    return tmp_path


def test_clothing1m(clothing):
    dataset = load_dataset("clothing1m", clothing)
    check_found(dataset, [13, 1, 2], 224)
    assert names(dataset.train_images) == NOISY
    assert names(dataset.test_images) == CLEAN["test"]
    assert dataset.test_labels.tolist() == [3]
    assert list(dataset.extra_tests) == ["clean_val"]
    images, labels = dataset.extra_tests["clean_val"]
    assert names(images) == CLEAN["val"]
    assert labels.tolist() == [1, 2]
    assert (dataset.train_labels == UNKNOWN).all()
    assert len(dataset.classes) == len(set(dataset.classes)) == 14
    assert dataset.pixel_statistics[0].tolist() == [0.485, 0.456, 0.406]


def test_clothing1m_unpacked_without_a_folder_for_its_images(clothing):
    for folder in (clothing / "images").iterdir():
        folder.rename(clothing / folder.name)
    dataset = load_dataset("clothing1m", clothing)
    assert names(dataset.train_images) == [name.removeprefix("images/") for name in NOISY]
    check_found(dataset, [13, 1, 2], 224)


def test_image_size_is_ones_own(clothing):
    assert load_dataset("clothing1m", clothing, image_size=32).train_images.shape == (3, 3, 32, 32)


@pytest.mark.parametrize("name", [NOISY[0], NOISY[-1], CLEAN["test"][0], CLEAN["val"][0]])
def test_a_missing_image_is_named(clothing, name):
    (clothing / name).unlink()
    with pytest.raises(
        InputError,
        match=rf"{name}' is missing, one of \d images that '.*_key_list\.txt' names: unpack",
    ):
        load_dataset("clothing1m", clothing)


LISTS = [
    *("noisy_train_key_list.txt", "clean_val_key_list.txt", "clean_test_key_list.txt"),
    *("noisy_label_kv.txt", "clean_label_kv.txt"),
]


@pytest.mark.parametrize("name", LISTS)
def test_a_missing_or_damaged_list_is_named(clothing, name):
    path = clothing / name
    for raw in (b"\xff\xd8\xff\xe0", b"", b"\n\n"):
        path.write_bytes(raw)
        with pytest.raises(
            InputError,
            match=rf"{name}' (is empty|cannot be read \(it is no text\)).*: fetch it again",
        ):
            load_dataset("clothing1m", clothing)
    path.unlink()
    message = (
        rf"{name}' cannot be read \(No such file or directory\): fetch it again"
        rf"|holds no {name}, nor does clothing1m"
    )
    with pytest.raises(InputError, match=message):
        load_dataset("clothing1m", clothing)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "noisy_train_key_list.txt",
            lambda s: s + s[:1],
            r"key_list\.txt' lists 'images/0/00/1001,2\.jpg' twice: fetch it again",
        ),
        (
            "noisy_label_kv.txt",
            lambda s: s + s[:1],
            r"noisy_label_kv\.txt' lists 'images/4/44/4,1\.jpg' twice",
        ),
        (
            "noisy_label_kv.txt",
            lambda s: s[:-1],
            r"noisy_label_kv\.txt' gives no label for 'images/0/00/1001,2\.jpg': fetch it",
        ),
        (
            "noisy_label_kv.txt",
            lambda s: [*s, "images/x.jpg 14"],
            r"gives 'images/x\.jpg' class 14, but 14 classes are counted from 0",
        ),
        (
            "clean_label_kv.txt",
            lambda s: [*s, "images/x.jpg -1"],
            r"has a line 'images/x\.jpg -1': each names an image and",
        ),
        (
            "clean_label_kv.txt",
            lambda s: [*s, "images/x.jpg"],
            r"has a line 'images/x\.jpg': each names",
        ),
        (
            "clean_label_kv.txt",
            lambda s: [*s, "images/x.jpg shirt"],
            r"has a line 'images/x\.jpg shirt': each names",
        ),
        (
            "clean_test_key_list.txt",
            lambda s: [*s, CLEAN["val"][0], NOISY[1]],
            r"clean_label_kv\.txt' gives no label for 'images/3/25/17,8\.jpg'",
        ),
    ],
)
def test_wrong_lists_are_refused(clothing, name, change, message):
    edit(clothing / name, change)
    with pytest.raises(InputError, match=message):
        load_dataset("clothing1m", clothing)


def test_images_to_train_and_to_test_on_are_refused(clothing):
    edit(clothing / "clean_test_key_list.txt", lambda lines: [*lines, NOISY[1]])
    edit(clothing / "clean_label_kv.txt", lambda lines: [*lines, f"{NOISY[1]} 1"])
    with pytest.raises(
        InputError,
        match=r"clothing1m tests on 1 of the images that it trains on, such as "
        r"'images/3/25/17,8\.jpg'",
    ):
        load_dataset("clothing1m", clothing)


# WebVision

SYNSETS = [f"n{1440764 + number:08d} fish {number}, Piscis {number}" for number in range(1000)]


@pytest.fixture
def webvision(tmp_path) -> Path:
    train = [
        "google/q0001/a b.jpg 0",
        "google/q0002/b.jpg 0",
        "google/q0051/c.jpg 49",
        "google/q0999/d.jpg 999",
    ]
    valid = ["val000001.jpg 0", "val000002.jpg 49", "val000003.jpg 50"]
    write_lines(tmp_path / "info" / "train_filelist_google.txt", *train)
    write_lines(tmp_path / "info" / "val_filelist.txt", *valid)
    write_lines(tmp_path / "info" / "synsets.txt", *SYNSETS)
    for line in train[:3]:
        write_image(tmp_path / line.rpartition(" ")[0])
    for line in valid[:2]:
        write_image(tmp_path / "val_images_256" / line.split()[0])
    return tmp_path


def write_ilsvrc(folder: Path) -> None:
    for number, line in enumerate(SYNSETS[:51]):
        write_image(folder / line.split()[0] / f"ILSVRC2012_val_{number:08d}.JPEG")


def test_webvision_is_its_first_50_classes(webvision):
    dataset = load_dataset("webvision", webvision)
    check_found(dataset, [0, 0, 49], 224)
    assert names(dataset.train_images) == [
        "google/q0001/a b.jpg",
        "google/q0002/b.jpg",
        "google/q0051/c.jpg",
    ]
    assert names(dataset.test_images) == [
        "val_images_256/val000001.jpg",
        "val_images_256/val000002.jpg",
    ]
    assert dataset.test_labels.tolist() == [0, 49]
    assert dataset.classes == tuple(f"fish {number}" for number in range(50))
    assert not dataset.extra_tests


@pytest.mark.parametrize("inside", [True, False], ids=["in WebVision's folder", "beside it"])
def test_webvision_is_tested_on_ilsvrc_too_where_that_is_there(webvision, inside):
    if inside:
        root = webvision
    else:
        root, everything = webvision / "webvision", list(webvision.iterdir())
        root.mkdir()
        for path in everything:
            path.rename(root / path.name)
    write_ilsvrc(webvision / "imagenet" / "val")
    dataset = load_dataset("webvision", webvision)
    check_found(dataset, [0, 0, 49], 224)
    images, labels = dataset.extra_tests["ilsvrc12"]
    assert labels.tolist() == list(range(50)), "in the order of WebVision's classes"
    assert names(images)[49] == f"{SYNSETS[49].split()[0]}/ILSVRC2012_val_00000049.JPEG"


def test_ilsvrc_images_that_are_not_sorted_are_refused(webvision):
    write_image(webvision / "imagenet" / "val" / "ILSVRC2012_val_00000001.JPEG")
    message = (
        r"imagenet/val/n01440764' holds no \.JPEG image: sort ILSVRC 2012's validation images into "
        r"a folder for each"
    )
    with pytest.raises(InputError, match=message):
        load_dataset("webvision", webvision)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "synsets.txt",
            lambda s: s[:49],
            r"synsets\.txt' is no list of 50 WordNet numbers and names",
        ),
        (
            "synsets.txt",
            lambda s: ["tench, Tinca tinca", *s],
            r"synsets\.txt' is no list of 50 WordNet numbers",
        ),
        (
            "val_filelist.txt",
            lambda s: s[2:],
            r"val_filelist\.txt' names no image of this set: fetch it again",
        ),
        (
            "val_filelist.txt",
            lambda s: s + s[:1],
            r"val_filelist\.txt' lists 'val000001\.jpg' twice",
        ),
        (
            "train_filelist_google.txt",
            lambda s: [*s, "google/q1/x.jpg 1000"],
            "class 1000, but 1000 classes are counted from 0",
        ),
        (
            "train_filelist_google.txt",
            lambda s: [*s, "google/q1/x.jpg 3"],
            r"google/q1/x\.jpg' is missing, one of 4 images",
        ),
    ],
)
def test_wrong_lists_of_webvision_are_refused(webvision, name, change, message):
    edit(webvision / "info" / name, change)
    with pytest.raises(InputError, match=message):
        load_dataset("webvision", webvision)


# Food-101N

DISHES = ["apple_pie", "baklava", "waffles"]
LISTED = [
    "apple_pie/aa.jpg",
    "apple_pie/bb.jpg",
    "baklava/cc.jpg",
    "waffles/dd.jpg",
    "waffles/ee.jpg",
    "waffles/ff.jpg",
]


@pytest.fixture
def food(tmp_path) -> Path:
    root = tmp_path / "Food-101N_release"
    write_lines(root / "meta" / "classes.txt", "class_name", *DISHES)
    write_lines(root / "meta" / "imagelist.tsv", "class_name/key", *LISTED)
    header = "class_name/key\tverification_label"
    # The last line contradicts the list of images, as one of the authors' does.
    train = ["apple_pie/aa.jpg\t1", "baklava/cc.jpg\t0", "waffles/dd.jpg\t1", "baklava/ff.jpg\t1"]
    write_lines(root / "meta" / "verified_train.tsv", header, *train)
    write_lines(
        root / "meta" / "verified_val.tsv", header, "apple_pie/bb.jpg\t1", "waffles/ee.jpg\t0"
    )
    for name in LISTED:
        write_image(root / "images" / name)
    return tmp_path


def write_food101(folder: Path) -> None:
    write_lines(folder / "food-101" / "meta" / "test.txt", "waffles/101", "apple_pie/1011328")
    for name in ("waffles/101", "apple_pie/1011328"):
        write_image(folder / "food-101" / "images" / f"{name}.jpg")


@pytest.mark.parametrize("folder", [".", "Food-101N_release"])
def test_food101n_is_tested_on_food101(food, folder):
    write_food101(food / folder)
    for data_dir in (food, food / "Food-101N_release"):
        dataset = load_dataset("food101n", data_dir)
        check_found(dataset, [0, 0, 1, 2, 2, 2], 224)
        assert names(dataset.train_images) == LISTED
        assert dataset.train_labels.tolist() == [0, 0, UNKNOWN, 2, UNKNOWN, UNKNOWN], (
            "known where verified as right"
        )
        assert names(dataset.test_images) == ["waffles/101.jpg", "apple_pie/1011328.jpg"]
        assert dataset.test_labels.tolist() == [2, 0]
        assert dataset.classes == tuple(DISHES)


def test_food101n_without_food101_keeps_its_verified_images_for_testing(food):
    dataset = load_dataset("food101n", food)
    check_found(dataset, [0, 1, 2, 2], 224)
    assert names(dataset.train_images) == [
        "apple_pie/aa.jpg",
        "baklava/cc.jpg",
        "waffles/dd.jpg",
        "waffles/ff.jpg",
    ]
    assert dataset.train_labels.tolist() == [0, UNKNOWN, 2, UNKNOWN]
    assert names(dataset.test_images) == ["apple_pie/bb.jpg"]
    assert dataset.test_labels.tolist() == [0]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "classes.txt",
            lambda s: s[:-1],
            r"imagelist\.tsv' lists 'waffles/dd\.jpg', of a class that classes\.txt lacks",
        ),
        ("classes.txt", lambda s: s + s[1:2], r"classes\.txt' lists 'apple_pie' twice"),
        ("imagelist.tsv", lambda s: s + s[1:2], r"imagelist\.tsv' lists 'apple_pie/aa\.jpg' twice"),
        (
            "imagelist.tsv",
            lambda s: [*s, "waffles/zz.jpg"],
            r"images/waffles/zz\.jpg' is missing, one of 7 images that",
        ),
        (
            "verified_train.tsv",
            lambda s: [*s, "waffles/ee.jpg\t2"],
            r"has a line 'waffles/ee\.jpg\\t2': each names an image and",
        ),
        (
            "verified_train.tsv",
            lambda s: [*s, "waffles/ee.jpg"],
            r"has a line 'waffles/ee\.jpg': each names",
        ),
        (
            "verified_val.tsv",
            lambda s: s + s[1:2],
            r"verified_val\.tsv' lists 'apple_pie/bb\.jpg' twice",
        ),
    ],
)
def test_wrong_lists_of_food101n_are_refused(food, name, change, message):
    write_food101(food)
    edit(food / "Food-101N_release" / "meta" / name, change)
    with pytest.raises(InputError, match=message):
        load_dataset("food101n", food)


def test_a_dish_that_food101n_does_not_know_is_refused(food):
    write_food101(food)
    write_image(food / "food-101" / "images" / "soup" / "1.jpg")
    edit(food / "food-101" / "meta" / "test.txt", lambda lines: [*lines, "soup/1"])
    with pytest.raises(
        InputError, match=r"test\.txt' lists 'soup/1', of a class that classes\.txt lacks"
    ):
        load_dataset("food101n", food)


# red mini-ImageNet

RED = {"n0170432300000009.jpg": 0, "5922767e5677aef4.jpg": 7, "00aa67e5677aef4.jpg": 99}
VALIDATION = {"ILSVRC2012_val_00000293.jpg": 0, "ILSVRC2012_val_00002138.jpg": 99}
LAYOUTS = {
    "flat": (
        lambda name, label: f"all_images/{name}",
        lambda name, label: f"validation/{label}/{name}",
    ),
    "by class": (
        lambda name, label: f"training/red_noise_nl_0.4/{label}/{name}",
        lambda name, label: f"validation/{label}/{name}",
    ),
    "all flat": (
        lambda name, label: f"all_images/{name}",
        lambda name, label: f"all_validation/{name}",
    ),
}


def write_red(root: Path, layout: str = "flat") -> None:
    for split, labels, place in (
        ("red_noise_nl_0.4", RED, LAYOUTS[layout][0]),
        ("clean_validation", VALIDATION, LAYOUTS[layout][1]),
    ):
        write_lines(root / "split" / split, *(f"{name} {label}" for name, label in labels.items()))
        for name, label in labels.items():
            write_image(root / place(name, label))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("folder", [".", "mini-imagenet"])
def test_red_mini_imagenet(tmp_path, layout, folder):
    write_red(tmp_path / folder, layout)
    dataset = load_dataset("red_mini_imagenet_40", tmp_path)
    check_found(dataset, [0, 7, 99], 32)
    assert names(dataset.train_images) == [LAYOUTS[layout][0](*pair) for pair in RED.items()]
    assert names(dataset.test_images) == [LAYOUTS[layout][1](*pair) for pair in VALIDATION.items()]
    assert dataset.test_labels.tolist() == [0, 99]
    assert (dataset.train_labels == UNKNOWN).all()
    assert len(set(dataset.classes)) == 100
    assert [dataset.classes[number] for number in (0, 7, 99)] == [
        "triceratops",
        "prayer rug",
        "dishrag",
    ]


def test_each_level_of_red_noise_is_a_data_set(tmp_path):
    write_red(tmp_path)
    with pytest.raises(
        InputError, match=r"holds no split/red_noise_nl_0\.2, nor does mini-imagenet or"
    ):
        load_dataset("red_mini_imagenet_20", tmp_path)
    (tmp_path / "split" / "red_noise_nl_0.4").rename(tmp_path / "split" / "red_noise_nl_0.2")
    assert load_dataset("red_mini_imagenet_20", tmp_path).name == "red_mini_imagenet_20"
    with pytest.raises(
        InputError,
        match="there is no data set 'red_mini_imagenet': did you mean red_mini_imagenet_",
    ):
        check_dataset("red_mini_imagenet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: [*s, "x.jpg 100"],
            r"red_noise_nl_0\.4' gives 'x\.jpg' class 100, but 100 classes are counted from 0",
        ),
        (lambda s: [*s, "x.jpg 3"], r"all_images/x\.jpg' is missing, one of 4 images that"),
        (lambda s: s + s[:1], r"lists 'n0170432300000009\.jpg' twice"),
    ],
)
def test_wrong_lists_of_red_mini_imagenet_are_refused(tmp_path, change, message):
    write_red(tmp_path)
    edit(tmp_path / "split" / "red_noise_nl_0.4", change)
    with pytest.raises(InputError, match=message):
        load_dataset("red_mini_imagenet_40", tmp_path)


# registry


def test_sources_say_all_there_is_to_know():
    assert {"animal10n", "clothing1m", "webvision", "food101n", "red_mini_imagenet_80"} <= set(
        SOURCES
    )
    for name, source in SOURCES.items():
        check_dataset(name, 32)
        assert all(
            (
                source.summary,
                source.size,
                source.classes,
                source.licence,
                source.citation,
                source.url,
                source.access,
            )
        )
        assert not source.downloads


@pytest.mark.parametrize("name", SOURCES)
def test_an_empty_folder_is_one_sentence(tmp_path, name):
    with pytest.raises(
        InputError, match=r"holds no .* within it: name the folder of the set with --data-dir"
    ) as error:
        load_dataset(name, tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_image_of_a_streamed_set_is_left_out_and_named(animals):
    path = animals / "training" / ANIMALS[0]
    whole = path.read_bytes()
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(
        InputError, match=r"no image of the class cat can be read \(as .*: cannot identify"
    ):
        load_dataset("animal10n", animals)
    path.write_bytes(whole)
    (animals / "training" / "1_8.jpg").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"1 image cannot be read and is left out: 1_8\.jpg \("):
        dataset = load_dataset("animal10n", animals)
    assert isinstance(dataset.train_images, ImageFiles) and names(dataset.train_images) == ANIMALS


def test_an_image_that_becomes_unreadable_is_named(animals):
    images = load_dataset("animal10n", animals).train_images
    path = animals / "training" / ANIMALS[1]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"1_7\.jpg' is no image that can be read"):
        images.decode(1)
