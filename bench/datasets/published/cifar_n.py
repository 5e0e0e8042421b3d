"""CIFAR-N: CIFAR's training images with labels that people gave.

Wei et al., ICLR 2022, arXiv 2110.12088.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets import integer_pickles
from bench.datasets.dataset import Dataset, Loader, Source
from bench.datasets.published import cifar
from bench.errors import InputError

_URL = "https://github.com/UCSC-REAL/cifar-10-100n"

#: Number of classes -> kind of labels -> its keys in the authors' files. Their two formats differ
#: in the last one.
_KEYS: dict[int, dict[str, tuple[str, ...]]] = {
    10: {
        "human-aggregate": ("aggre_label",),
        "human-random1": ("random_label1",),
        "human-random2": ("random_label2",),
        "human-random3": ("random_label3",),
        "human-worst": ("worse_label",),
    },
    100: {"human-noisy100": ("noisy_label", "noise_label")},
}


def from_files(dataset: Dataset, path: Path) -> Dataset:
    """Return CIFAR with the human labels in a file: ``.pt``, ``.npy``, or ``_ordered.npy``.

    The last is in the order of TensorFlow's copy; ``image_order_c10.npy`` (or c100) beside it or
    one folder up, as in the authors' repository, brings it into CIFAR's own.

    Raises:
        InputError: if the file cannot be read safely, or is not about these images in this order.
    """
    columns = _columns(path)
    count, num_classes = len(dataset.train_labels), dataset.num_classes
    order = _order(path, num_classes, count) if path.stem.endswith("_ordered") else slice(None)

    def labels(*keys: str) -> np.ndarray:
        key = next((key for key in keys if key in columns), None)
        if key is None:
            raise InputError(f"{str(path)!r} lacks {keys[0]}: fetch it again from {_URL}")
        if len(columns[key]) != count:
            raise InputError(
                f"{key} of {str(path)!r} has {len(columns[key]):,} labels for {count:,} images: "
                f"fetch it again from {_URL}"
            )
        values = columns[key][order].astype(np.int64)
        if values.min() < 0 or values.max() >= num_classes:
            raise InputError(
                f"{key} of {str(path)!r} has labels from {values.min()} to {values.max()} for "
                f"{num_classes} classes: fetch it again from {_URL}"
            )
        return values

    if differing := int((labels("clean_label") != dataset.train_labels).sum()):
        raise InputError(
            f"clean_label of {str(path)!r} differs from the labels of {dataset.name} at "
            f"{differing:,} of {count:,} positions: fetch it again, and keep CIFAR's images in "
            "their own order"
        )
    return replace(
        dataset, found={kind: labels(*keys) for kind, keys in _KEYS[num_classes].items()}
    )


def _loader(name: str, plain: str, stem: str) -> Loader:
    def load(data_dir: Path, side: int | None) -> Dataset:
        # Missing labels are noticed before images are downloaded.
        path = _find(data_dir, stem)
        return replace(from_files(cifar.SOURCES[plain].load(data_dir, side), path), name=name)

    return load


def _find(data_dir: Path, stem: str) -> Path:
    for folder in (data_dir, data_dir / "data", data_dir / "CIFAR-N"):
        for end in (".pt", ".npy", "_ordered.npy"):
            if (path := folder / f"{stem}{end}").is_file():
                return path
    raise InputError(
        f"{str(data_dir)!r} holds no {stem}.pt, nor do its folders data and CIFAR-N: fetch it from "
        f"{_URL} (folder data), or name its folder with --data-dir"
    )


def _columns(path: Path) -> dict[str, np.ndarray]:
    """Return the labels in a file that ``torch.save`` or ``numpy.save`` made of a dictionary."""
    read = integer_pickles.read_pt if path.suffix == ".pt" else integer_pickles.read_npy
    try:
        columns = read(path.read_bytes())
        if any(
            not isinstance(labels, np.ndarray) or labels.ndim != 1 for labels in columns.values()
        ):
            raise TypeError("neither arrays nor lists of integers")
        return columns
    except integer_pickles.UNREADABLE as error:
        raise _refused(path) from error


def _refused(path: Path) -> InputError:
    return InputError(
        f"{str(path)!r} is damaged, or holds more than arrays of labels and was not run: fetch it "
        f"from {_URL}"
    )


def _order(path: Path, num_classes: int, count: int) -> np.ndarray:
    """Return the position of each of CIFAR's images in an ordered file."""
    name = f"image_order_c{num_classes}.npy"
    candidates = (folder / name for folder in (path.parent, path.parent.parent))
    order_path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if order_path is None:
        raise InputError(
            f"{str(path)!r} needs {name} beside it or one folder up: fetch that from {_URL} too"
        )
    try:
        order = np.load(order_path, allow_pickle=False)
    except integer_pickles.UNREADABLE as error:
        raise _refused(order_path) from error
    if not np.array_equal(np.sort(order, axis=None), np.arange(count)):
        raise InputError(
            f"{str(order_path)!r} is no order of {count:,} images: fetch it again from {_URL}"
        )
    return np.argsort(order.reshape(-1))


_CITATION = (
    "Wei, Zhu, Cheng, Liu, Niu & Liu (2022), Learning with noisy labels revisited, ICLR, arXiv "
    "2110.12088"
)


def _source(summary: str, plain: str, stem: str) -> Source:
    """Return the source of CIFAR-N for the set ``plain``, with labels in the file ``stem``."""
    images = cifar.SOURCES[plain]
    return Source(
        summary,
        _loader(f"{plain}n", plain, stem),
        size=images.size,
        classes=images.classes,
        licence="CC BY-NC 4.0 (labels); images as CIFAR's",
        citation=_CITATION,
        url=_URL,
        access=f"images: downloaded by torchvision; labels: {stem}.pt from the folder data of "
        f"{_URL}, put into --data-dir",
        downloads=True,
    )


SOURCES = {
    "cifar10n": _source(
        "CIFAR-10 with the labels of three people an image: 9, 17, 18, 18 and 40 % of them wrong",
        "cifar10",
        "CIFAR-10_human",
    ),
    "cifar100n": _source(
        "CIFAR-100 with the label of one person an image: 40 % of them wrong",
        "cifar100",
        "CIFAR-100_human",
    ),
}
