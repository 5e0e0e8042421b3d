"""Clothing1M: a million photographs of clothes, labelled by the text around them."""

from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset
from bench.datasets.published.author_lists import (
    Part,
    check_distinct,
    existing_layout,
    find_root,
    listed_images,
    read_labels,
    read_lines,
    web_dataset,
)
from bench.datasets.source import Source
from bench.errors import InputError

_CLASSES = (
    *("T-shirt", "shirt", "knitwear", "chiffon", "sweater", "hoodie", "windbreaker"),
    *("jacket", "down coat", "suit", "shawl", "dress", "vest", "underwear"),
)


def load(data_dir: Path, side: int | None) -> Dataset:
    """Return the million images with noisy labels alone.

    The test and the validation images are labelled by hand. The training images that are labelled
    by hand are left out, as is usual in the field.
    """
    root = find_root(data_dir, "noisy_train_key_list.txt", "clothing1m", "Clothing1M", "clothing1M")
    lists = {kind: root / f"{kind}_label_kv.txt" for kind in ("noisy", "clean")}
    classes = {kind: read_labels(path, len(_CLASSES)) for kind, path in lists.items()}

    def part(name: str) -> Part:
        kind, keys = name.partition("_")[0], root / f"{name}_key_list.txt"
        names = check_distinct(read_lines(keys), keys)
        try:
            labels = np.array([classes[kind][image] for image in names], np.int64)
        except KeyError as error:
            raise InputError(
                f"{str(lists[kind])!r} gives no label for {error}: fetch it again"
            ) from error
        # The keys begin with "images/", and the archives do not: some have unpacked them elsewhere.
        short_names = [image.removeprefix("images/") for image in names]
        names = existing_layout(root, names, short_names)
        return listed_images(root, names, side or 224, keys), labels

    train, test = part("noisy_train"), part("clean_test")
    extra_tests = {"clean_val": part("clean_val")}
    return web_dataset("clothing1m", train, test, _CLASSES, extra_tests=extra_tests)


SOURCES = {
    "clothing1m": Source(
        "a million photographs of clothes, labelled by the text around them: about 38 % wrong",
        load,
        size="1,000,000 + 10,526 images (and 14,313 to validate on), colour",
        classes="14 kinds of clothes",
        licence="given by its authors on request, for research",
        citation="Xiao, Xia, Yang, Huang & Wang (2015), Learning from massive noisy labeled data, "
        "CVPR",
        url="https://github.com/Cysu/noisy_label",
        access="on request to its authors, by e-mail (see its page); --data-dir names the folder "
        "of its key lists",
    ),
}
