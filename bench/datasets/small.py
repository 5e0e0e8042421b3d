"""Small data sets that fit into memory: digits, MNIST and its like, CIFAR."""

import gzip
import hashlib
import math
import urllib.error
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets.base import Dataset, Source, from_arrays, stratified_choice
from bench.errors import InputError

_DIGIT_FLIPS = {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}  # Patrini et al. (2017), MNIST
# boot->sneaker->sandal, pullover->shirt, coat<->dress (GCE, 2018)
_FASHION_FLIPS = {9: 7, 7: 5, 2: 6, 4: 3, 3: 4}
# truck->automobile, bird->airplane, deer->horse, cat<->dog
_CIFAR10_FLIPS = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}
_KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_FASHION_CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

CIFAR100_SUPERCLASSES = {
    "aquatic mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food containers": "bottle bowl can cup plate",
    "fruit and vegetables": "apple mushroom orange pear sweet_pepper",
    "household electrical devices": "clock keyboard lamp telephone television",
    "household furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large carnivores": "bear leopard lion tiger wolf",
    "large man-made outdoor things": "bridge castle house road skyscraper",
    "large natural outdoor scenes": "cloud forest mountain plain sea",
    "large omnivores and herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium-sized mammals": "fox porcupine possum raccoon skunk",
    "non-insect invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles 1": "bicycle bus motorcycle pickup_truck train",
    "vehicles 2": "lawn_mower rocket streetcar tank tractor",
}


def superclass_flips(classes: tuple[str, ...]) -> dict[int, int]:
    """CIFAR-100: every class is mistaken for the next one within its true superclass."""
    flips: dict[int, int] = {}
    for members in CIFAR100_SUPERCLASSES.values():
        ids = sorted(classes.index(name) for name in members.split())
        flips.update(zip(ids, ids[1:] + ids[:1], strict=True))
    return flips


def superclass_ids(classes: tuple[str, ...]) -> np.ndarray:
    """CIFAR-100: number of each class's superclass, (100,), in the order of CIFAR's own list."""
    owner = {
        name: number
        for number, members in enumerate(CIFAR100_SUPERCLASSES.values())
        for name in members.split()
    }
    return np.array([owner[name] for name in classes])


def _digits(data_dir: Path, side: int | None) -> Dataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    test = np.sort(stratified_choice(labels, 360, np.random.default_rng(0)))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return Dataset(
        "digits",
        images[train],
        labels[train],
        images[test],
        labels[test],
        tuple("0123456789"),
        _DIGIT_FLIPS,
    )


def _idx_set(
    name: str, torchvision_name: str, classes: tuple[str, ...], flips: dict[int, int] | None
) -> Callable:
    """Loader of a set in MNIST's format: a plain folder of four idx files, or torchvision's, which
    it completes.
    """

    def load(data_dir: Path, side: int | None) -> Dataset:
        folder = data_dir if _idx_files(data_dir) else data_dir / torchvision_name / "raw"
        # A plain folder is the user's: a file missing there is named. torchvision's own is
        # completed by a download.
        if folder != data_dir and _idx_files(folder) < len(_IDX_NAMES):
            from torchvision import datasets

            _download(getattr(datasets, torchvision_name), data_dir)
        arrays = {
            part: read_idx(_idx_file(folder, part), 3 if "images" in part else 1)
            for part in _IDX_NAMES
        }
        _check_published(name, folder, arrays)
        train_images, train_labels, test_images, test_labels = (arrays[part] for part in _IDX_NAMES)
        return from_arrays(
            name, train_images, train_labels, test_images, test_labels, classes, flips
        )

    return load


def _cifar(name: str) -> Callable:
    def load(data_dir: Path, side: int | None) -> Dataset:
        from torchvision import datasets

        source = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        train, test = _download(source, data_dir)
        classes = tuple(train.classes)
        flips = _CIFAR10_FLIPS if name == "cifar10" else superclass_flips(classes)
        dataset = from_arrays(
            name, train.data, train.targets, test.data, test.targets, classes, flips
        )
        return (
            dataset if name == "cifar10" else replace(dataset, superclasses=superclass_ids(classes))
        )

    return load


def _download(source: Callable, data_dir: Path) -> list:
    """The training and test sets of a torchvision class, downloaded where its checksums do not find
    them.
    """
    try:
        return [source(data_dir, train=train, download=True) for train in (True, False)]
    except (urllib.error.URLError, ConnectionError, RuntimeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())  # torchvision's may have several lines
        raise InputError(
            f"{source.__name__} is not whole under {str(data_dir)!r} and could not be downloaded "
            f"({reason}): put its files there and name the folder with --data-dir"
        ) from error


# --------------------------------------------------------------------------------------------------------
# idx files

_IDX_NAMES = [
    f"{s}-{p}" for s in ("train", "t10k") for p in ("images-idx3-ubyte", "labels-idx1-ubyte")
]


#: SHA-256 of the published files, decompressed, in the order of the names. KMNIST's are not known
#: here.
_CHECKSUMS = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion_mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}


def _check_published(name: str, folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raise InputError where files of the published size are another set's, or damaged."""
    for part, array in arrays.items():
        if len(array) not in (60_000, 10_000):
            continue  # somebody's own, in the same format
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        checksum = hashlib.sha256(header + array.tobytes()).hexdigest()
        owner = next((other for other, sums in _CHECKSUMS.items() if checksum in sums), None)
        if owner != name and (owner or name in _CHECKSUMS):
            what = f"{owner}'s" if owner else "not the published one"
            raise InputError(
                f"{part} in {str(folder)!r} is {what}: fetch {name}'s again, or give changed data "
                "as npz:FILE"
            )


def _idx_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"{str(folder)!r} lacks the file {name}(.gz): put all four idx files there")


def _idx_files(folder: Path) -> int:
    """How many of the four files are there."""
    return sum(
        any((folder / f"{name}{end}").is_file() for end in ("", ".gz")) for name in _IDX_NAMES
    )


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """A uint8 array from an idx file (LeCun's MNIST format), plain or gzipped; InputError if it is
    cut or not one.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{str(path)!r} is damaged ({error}): fetch it again") from error
    header = 4 + 4 * dimensions
    if len(raw) < header or raw[:4] != bytes((0, 0, 8, dimensions)):
        raise InputError(f"{str(path)!r} is no idx file of {dimensions} dimensions: fetch it again")
    shape = tuple(map(int, np.frombuffer(raw, ">u4", dimensions, 4)))
    if len(raw) - header != math.prod(shape):
        raise InputError(
            f"{str(path)!r} is truncated ({len(raw) - header} of {math.prod(shape)} bytes): fetch "
            "it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


# ---------------------------------------------------------------------------------------------------------
# registry

_MNIST = "downloaded by torchvision; or a folder of the four idx files"
_CIFAR = "downloaded by torchvision"

SOURCES = {
    "digits": Source(
        "1,797 grey 8x8 digits, embedded in scikit-learn (360 for testing)",
        _digits,
        size="1,437 + 360 images, 8x8, grey",
        classes="10 digits",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI",
        url="https://archive.ics.uci.edu/dataset/80",
        access="comes with scikit-learn",
        content="f954d9b34a827706",
        images=1437,
    ),
    "mnist": Source(
        "70,000 grey 28x28 digits (10,000 for testing)",
        _idx_set("mnist", "MNIST", tuple("0123456789"), _DIGIT_FLIPS),
        size="60,000 + 10,000 images, 28x28, grey",
        classes="10 digits",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio & Haffner (1998), Proceedings of the IEEE",
        url="http://yann.lecun.com/exdb/mnist",
        access=_MNIST,
        downloads=True,
    ),
    "fashion_mnist": Source(
        "70,000 grey 28x28 clothes (10,000 for testing)",
        _idx_set("fashion_mnist", "FashionMNIST", _FASHION_CLASSES, _FASHION_FLIPS),
        size="60,000 + 10,000 images, 28x28, grey",
        classes="10 kinds of clothes",
        licence="MIT",
        citation="Xiao, Rasul & Vollgraf (2017), arXiv 1708.07747",
        url="https://github.com/zalandoresearch/fashion-mnist",
        access=f"{_MNIST} (Debian: apt install dataset-fashion-mnist)",
        content="e06e985774fdd975",
        images=60_000,
        downloads=True,
    ),
    "kmnist": Source(
        "70,000 grey 28x28 Japanese characters (10,000 for testing)",
        _idx_set("kmnist", "KMNIST", _KMNIST_CLASSES, None),
        size="60,000 + 10,000 images, 28x28, grey",
        classes="10 hiragana",
        licence="CC BY-SA 4.0",
        citation="Clanuwat et al. (2018), arXiv 1812.01718",
        url="http://codh.rois.ac.jp/kmnist",
        access=_MNIST,
        downloads=True,
    ),
    "cifar10": Source(
        "60,000 colour 32x32 photographs, 10 classes (10,000 for testing)",
        _cifar("cifar10"),
        size="50,000 + 10,000 images, 32x32, colour",
        classes="10 animals and vehicles",
        licence="none stated; for research",
        citation="Krizhevsky (2009), Learning multiple layers of features from tiny images",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        access=_CIFAR,
        downloads=True,
    ),
    "cifar100": Source(
        "60,000 colour 32x32 photographs, 100 classes (10,000 for testing)",
        _cifar("cifar100"),
        size="50,000 + 10,000 images, 32x32, colour",
        classes="100 classes in 20 superclasses",
        licence="none stated; for research",
        citation="Krizhevsky (2009), Learning multiple layers of features from tiny images",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        access=_CIFAR,
        downloads=True,
    ),
}
