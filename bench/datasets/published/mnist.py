"""MNIST, Fashion-MNIST and KMNIST: grey images in MNIST's idx format."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from bench.datasets.arrays import from_arrays
from bench.datasets.dataset import Dataset, Loader, Source
from bench.datasets.published import digits
from bench.datasets.published.torchvision_sets import download
from bench.errors import InputError

# boot->sneaker->sandal, pullover->shirt, coat<->dress (GCE, 2018)
_FASHION_FLIPS = {9: 7, 7: 5, 2: 6, 4: 3, 3: 4}
_FASHION_CLASSES = (
    *("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag"),
    "ankle boot",
)
_KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

_IDX_NAMES = [
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
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


def _idx_set(
    name: str, torchvision_name: str, classes: tuple[str, ...], flips: dict[int, int] | None
) -> Loader:
    """Return the loader of a set in four idx files: in a plain folder, or in torchvision's."""

    def load(data_dir: Path, side: int | None) -> Dataset:
        folder = data_dir if _idx_files(data_dir) else data_dir / torchvision_name / "raw"
        # A plain folder is the user's: a missing file is named. torchvision's own is completed by a
        # download.
        if folder != data_dir and _idx_files(folder) < len(_IDX_NAMES):
            from torchvision import datasets

            download(getattr(datasets, torchvision_name), data_dir)
        arrays = {
            part: read_idx(_idx_file(folder, part), 3 if "images" in part else 1)
            for part in _IDX_NAMES
        }
        _check_published(name, folder, arrays)
        train_images, train_labels, test_images, test_labels = arrays.values()
        return from_arrays(
            name, train_images, train_labels, test_images, test_labels, classes, flips
        )

    return load


def _check_published(name: str, folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raise InputError if files of the published size are another set's, or damaged."""
    for part, array in arrays.items():
        if len(array) not in (60_000, 10_000):
            continue  # a user's own set in the same format
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        checksum = hashlib.sha256(header + array.tobytes()).hexdigest()
        owner = next((other for other, sums in _CHECKSUMS.items() if checksum in sums), None)
        if owner != name and (owner or name in _CHECKSUMS):
            fault = f"{owner}'s" if owner else "not the published one"
            raise InputError(
                f"{part} in {str(folder)!r} is {fault}: fetch {name}'s again, or give changed data "
                "as npz:FILE"
            )


def _idx_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"{str(folder)!r} lacks the file {name}(.gz): put all four idx files there")


def _idx_files(folder: Path) -> int:
    """Return the number of the four files that are there."""
    return sum(
        any((folder / f"{name}{end}").is_file() for end in ("", ".gz")) for name in _IDX_NAMES
    )


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array in an idx file (LeCun's MNIST format), plain or gzipped.

    Raises:
        InputError: if the file is cut short, or no idx file of that many dimensions.
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


_ACCESS = "downloaded by torchvision; or a folder of the four idx files"

SOURCES = {
    "mnist": Source(
        "70,000 grey 28x28 digits (10,000 for testing)",
        _idx_set("mnist", "MNIST", digits.CLASSES, digits.FLIPS),
        size="60,000 + 10,000 images, 28x28, grey",
        classes="10 digits",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio & Haffner (1998), Proceedings of the IEEE",
        url="http://yann.lecun.com/exdb/mnist",
        access=_ACCESS,
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
        access=f"{_ACCESS} (Debian: apt install dataset-fashion-mnist)",
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
        access=_ACCESS,
        downloads=True,
    ),
}
