"""Food-101N: photographs of dishes that a search for their names found."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.datasets.dataset import UNKNOWN, Dataset, Source
from bench.datasets.published import web
from bench.errors import InputError

_HEADER = "class_name"


def load(data_dir: Path, side: int | None) -> Dataset:
    """Return all images of Food-101N, tested on Food-101's test images (Lee et al., 2018).

    Without Food-101 (a folder food-101 beside or within this one), the test set is the images that
    ``verified_val.tsv`` calls right, and no image of that file is trained on. Where a verified
    label is right, the true class is known.
    """
    root = web.find_root(
        data_dir, "meta/imagelist.tsv", "Food-101N_release", "food101n", "Food-101N"
    )
    meta, side = root / "meta", side or 224
    listed = meta / "imagelist.tsv"
    classes = web.read_names(meta / "classes.txt", _HEADER)
    numbers = {name: number for number, name in enumerate(classes)}
    images = web.read_names(listed, _HEADER)
    held_out = _read_verdicts(meta / "verified_val.tsv")
    verdicts = _read_verdicts(meta / "verified_train.tsv") | held_out

    def numbered(names: Sequence[str], path: Path) -> np.ndarray:
        titles = [name.partition("/")[0] for name in names]
        for name, title in zip(names, titles, strict=True):
            if title not in numbers:
                raise InputError(
                    f"{str(path)!r} lists {name!r}, of a class that classes.txt lacks: fetch both "
                    "again"
                )
        return np.array([numbers[title] for title in titles], np.int64)

    lists = [folder / "food-101" / "meta" / "test.txt" for folder in (root, root.parent, data_dir)]
    source = next((path for path in lists if path.is_file()), None)
    if source:
        test_names, test_root, ending = web.read_names(source), source.parent.parent, ".jpg"
    else:
        source, test_root, ending = meta / "verified_val.tsv", root, ""
        images = [name for name in images if name not in held_out]
        test_names = [name for name, right in held_out.items() if right]
    noisy, test_labels = numbered(images, listed), numbered(test_names, source)
    files = [f"{name}{ending}" for name in test_names]
    test = web.part(test_root / "images", files, test_labels, side, source)
    # The authors' lists disagree about single images, which is no reason to refuse them.
    right = np.array([verdicts.get(name, False) for name in images], bool)
    train = web.part(root / "images", images, noisy, side, listed)
    return web.dataset("food101n", train, test, classes, truth=np.where(right, noisy, UNKNOWN))


def _read_verdicts(path: Path) -> dict[str, bool]:
    """Return for each verified image whether its class is right."""
    verdicts = []
    for line in web.read_lines(path, _HEADER):
        name, *verdict = line.split("\t")
        if verdict not in (["0"], ["1"]):
            raise InputError(
                f"{str(path)!r} has a line {line!r}: each names an image and, after a tab, 0 or 1"
            )
        verdicts.append((name, verdict == ["1"]))
    web.check_distinct([name for name, _ in verdicts], path)
    return dict(verdicts)


SOURCES = {
    "food101n": Source(
        "310,009 photographs of dishes, found by their names: about 20 % wrong; tested on Food-101",
        load,
        size="310,009 + 25,250 images, colour",
        classes="101 dishes",
        licence="see its page; for research",
        citation="Lee, He, Zhang & Yang (2018), CleanNet: Transfer learning for scalable image "
        "classifier training, CVPR",
        url="https://kuanghuei.github.io/Food-101N",
        access="Food-101N_release from its page (or Kaggle) in --data-dir, and Food-101's folder "
        "food-101 beside it (https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101)",
    ),
}
