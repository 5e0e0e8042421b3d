"""mini-WebVision: Google's results for ImageNet's first 50 classes."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Source
from bench.datasets.images.files import ImageFiles
from bench.datasets.published import web
from bench.errors import InputError

_MINI = 50  # classes of the part that the field trains on (MentorNet, Jiang et al., 2018)
_ALL_CLASSES = 1000


def load(data_dir: Path, side: int | None) -> Dataset:
    """Return the first 50 classes of WebVision 1.0: Google's images, and its validation images.

    The validation images are the test set. If ILSVRC 2012's validation images are in
    imagenet/val/WNID, those of the 50 classes are a further test set.
    """
    marker = "info/train_filelist_google.txt"
    root = web.find_root(data_dir, marker, "webvision", "WebVision", "webvision1.0")
    synsets = web.read_lines(root / "info" / "synsets.txt")[:_MINI]
    if len(synsets) < _MINI or not all(re.fullmatch(r"n[0-9]{8}\s.+", line) for line in synsets):
        path = str(root / "info" / "synsets.txt")
        raise InputError(
            f"{path!r} is no list of {_MINI} WordNet numbers and names, such as 'n01440764 tench': "
            "fetch it again"
        )
    wordnet_ids, titles = zip(*(line.split(maxsplit=1) for line in synsets), strict=True)
    classes = [title.partition(",")[0] for title in titles]
    side = side or 224

    def part(name: str, folder: str) -> web.Part:
        path = root / "info" / name
        labels = {
            image: label
            for image, label in web.read_labels(path, _ALL_CLASSES).items()
            if label < _MINI
        }
        names = [f"{folder}{image}" for image in labels]
        return web.part(root, names, labels.values(), side, path)

    train = part("train_filelist_google.txt", "")
    test = part("val_filelist.txt", "val_images_256/")
    folders = (path / "imagenet" / "val" for path in (root, data_dir))
    folder = next((path for path in folders if path.is_dir()), None)
    extra_tests = {} if folder is None else {"ilsvrc12": _ilsvrc(folder, wordnet_ids, side)}
    return web.dataset("webvision", train, test, classes, extra_tests=extra_tests)


def _ilsvrc(folder: Path, wordnet_ids: Sequence[str], side: int) -> web.Part:
    names, labels = [], []
    for label, wordnet_id in enumerate(wordnet_ids):
        inside = sorted(folder.glob(f"{wordnet_id}/*.JPEG"))
        if not inside:
            raise InputError(
                f"{str(folder / wordnet_id)!r} holds no .JPEG image: sort ILSVRC 2012's validation "
                f"images into a folder for each WordNet number, or remove {str(folder)!r}"
            )
        names += [f"{wordnet_id}/{path.name}" for path in inside]
        labels += [label] * len(inside)
    return ImageFiles(str(folder), np.array(names), side), np.array(labels, np.int64)


SOURCES = {
    "webvision": Source(
        "mini-WebVision: what Google finds for ImageNet's first 50 classes; about 20 % wrong",
        load,
        size="65,944 + 2,500 images, colour",
        classes="the first 50 of WebVision's 1,000",
        licence="see its page; for research",
        citation="Li, Wang, Li, Agustsson & Van Gool (2017), WebVision database, arXiv 1708.02862",
        url="https://data.vision.ee.ethz.ch/cvl/webvision/dataset2017.html",
        access="its archives info, google_resized_256 and val_images_256, unpacked into "
        "--data-dir; ILSVRC 2012's validation images in imagenet/val/WNID there, if wanted "
        "(image-net.org, on registration)",
    ),
}
