"""Clothing1M: a million photographs of clothes, labelled by the text around them."""

from pathlib import Path

from bench.datasets.dataset import Dataset, Source
from bench.datasets.published import web
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
    root = web.find_root(
        data_dir, "noisy_train_key_list.txt", "clothing1m", "Clothing1M", "clothing1M"
    )
    lists = {kind: root / f"{kind}_label_kv.txt" for kind in ("noisy", "clean")}
    classes = {kind: web.read_labels(path, len(_CLASSES)) for kind, path in lists.items()}

    def part(name: str) -> web.Part:
        kind, keys = name.partition("_")[0], root / f"{name}_key_list.txt"
        names = web.read_names(keys)
        try:
            labels = [classes[kind][image] for image in names]
        except KeyError as error:
            raise InputError(
                f"{str(lists[kind])!r} gives no label for {error}: fetch it again"
            ) from error
        # The keys begin with "images/", and the archives do not: some have unpacked them elsewhere.
        short_names = [image.removeprefix("images/") for image in names]
        names = web.existing_layout(root, names, short_names)
        return web.part(root, names, labels, side or 224, keys)

    train, test = part("noisy_train"), part("clean_test")
    extra_tests = {"clean_val": part("clean_val")}
    return web.dataset("clothing1m", train, test, _CLASSES, extra_tests=extra_tests)


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
