"""Photographs from the web with the labels that they were found with: nothing is downloaded, images
stay in their files.

Nobody knows most true classes of the training images. Each set is read in the layout in which its
authors publish it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.datasets.base import FOUND, UNKNOWN, Dataset, Source
from bench.datasets.files import ImageFiles
from bench.errors import InputError

# -------------------------------------------------------------------------------------------------
# lists of the authors


def _locate(data_dir: Path, marker: str, *folders: str) -> Path:
    """The folder with the file or folder ``marker``: ``data_dir`` or one of the usual names within
    it.
    """
    for folder in (data_dir, *(data_dir / name for name in folders)):
        if (folder / marker).exists():
            return folder
    raise InputError(
        f"{str(data_dir)!r} holds no {marker}, nor does {' or '.join(folders)} within it: "
        f"name the folder of the set with --data-dir"
    )


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(
            f"{str(path)!r} cannot be read ({reason}): fetch it again, and name its folder with "
            "--data-dir"
        ) from error
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise InputError(f"{str(path)!r} is empty: fetch it again")
    return lines


def _once(names: Sequence[str], path: Path) -> list[str]:
    """The same names, each of which may occur only once."""
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"{str(path)!r} lists {twice!r} twice: fetch it again")
    return list(names)


def _labelled(path: Path, num_classes: int) -> dict[str, int]:
    """Class of each image in a list whose lines are "NAME CLASS"."""
    labels: dict[str, int] = {}
    lines = _lines(path)
    for line in lines:
        name, _, label = line.replace("\t", " ").rpartition(" ")
        if not name or not re.fullmatch("[0-9]+", label):
            raise InputError(
                f"{str(path)!r} has a line {line!r}: each names an image and the number of its "
                "class"
            )
        if int(label) >= num_classes:
            raise InputError(
                f"{str(path)!r} gives {name!r} class {label}, but {num_classes} classes are "
                "counted from 0: fetch it again"
            )
        labels[name.strip()] = int(label)
    if len(labels) < len(lines):
        _once([line.replace("\t", " ").rpartition(" ")[0].strip() for line in lines], path)
    return labels


def _look_up(names: Iterable[str], labels: Mapping[str, int], path: Path) -> np.ndarray:
    try:
        return np.array([labels[name] for name in names], np.int64)
    except KeyError as error:
        raise InputError(f"{str(path)!r} gives no label for {error}: fetch it again") from error


def _images(root: Path, names: Sequence[str], side: int, source: Path) -> ImageFiles:
    """Images below ``root``, as ``source`` lists them; the first, the last and some in between have
    to be there.
    """
    if not names:
        raise InputError(f"{str(source)!r} names no image of this set: fetch it again")
    last = len(names) - 1
    for position in sorted(
        {0, last, *np.random.default_rng(0).integers(0, last, 16, endpoint=True).tolist()}
    ):
        if not (root / names[position]).is_file():
            raise InputError(
                f"{str(root / names[position])!r} is missing, one of {len(names):,} images that "
                f"{str(source)!r} names: unpack the set's images there, or mend --data-dir"
            )
    return ImageFiles(str(root), np.array(names), side)


def _either(root: Path, *layouts: list[str]) -> list[str]:
    """The names of that layout whose first image is there; the first layout where none is."""
    return next((names for names in layouts if names and (root / names[0]).is_file()), layouts[0])


def _dataset(
    name: str,
    train: ImageFiles,
    noisy: np.ndarray,
    test: ImageFiles,
    test_labels: np.ndarray,
    classes: Sequence[str],
    truth: np.ndarray | None = None,
    extra_tests: Mapping[str, tuple[ImageFiles, np.ndarray]] | None = None,
) -> Dataset:
    for images in (test, *(images for images, _ in (extra_tests or {}).values())):
        if train.root == images.root and (
            both := set(train.names.tolist()) & set(images.names.tolist())
        ):
            raise InputError(
                f"{name} tests on {len(both):,} of the images that it trains on, such as "
                f"{min(both)!r}: fetch its lists again"
            )
    if truth is None:
        truth = np.full(len(noisy), UNKNOWN)
    return Dataset(
        name,
        train,
        truth,
        test,
        test_labels,
        tuple(classes),
        found={FOUND: noisy},
        extra_tests=dict(extra_tests or {}),
    )


# --------------------------------------------------------------------------------------------------------
# Animal-10N

_ANIMALS = (
    "cat",
    "lynx",
    "wolf",
    "coyote",
    "cheetah",
    "jaguar",
    "chimpanzee",
    "orangutan",
    "hamster",
    "guinea pig",
)


def _animal10n(data_dir: Path, side: int | None) -> Dataset:
    """Folders training and testing of files LABEL_NUMBER.jpg. The test labels are right."""
    root = _locate(
        data_dir, "training", "animal10n", "Animal10N", "Animal-10N", "ANIMAL-10N", "raw_image"
    )
    parts = [_animals(root / part, side or 64) for part in ("training", "testing")]
    (train, noisy), (test, labels) = parts
    return _dataset("animal10n", train, noisy, test, labels, _ANIMALS)


def _animals(folder: Path, side: int) -> tuple[ImageFiles, np.ndarray]:
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {str(folder)!r}: unpack Animal-10N's raw images there"
        )
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    labels = []
    for name in names:
        match = re.fullmatch(r"([0-9]+)_.+\.jpe?g", name, re.IGNORECASE)
        if match is None:
            raise InputError(f"{str(folder / name)!r} is not named LABEL_NUMBER.jpg: remove it")
        labels.append(int(match[1]))
        if labels[-1] >= len(_ANIMALS):
            raise InputError(
                f"{str(folder / name)!r} is of class {labels[-1]}, but 10 classes are counted from "
                "0: remove it"
            )
    return _images(folder, names, side, folder), np.array(labels, np.int64)


# -------------------------------------------------------------------------------------------------------
# Clothing1M

_CLOTHES = (
    *("T-shirt", "shirt", "knitwear", "chiffon", "sweater", "hoodie", "windbreaker"),
    *("jacket", "down coat", "suit", "shawl", "dress", "vest", "underwear"),
)


def _clothing1m(data_dir: Path, side: int | None) -> Dataset:
    """The million images with noisy labels only. The test and the validation images are labelled by
    hand.

    The training images that are labelled by hand are left out, as everywhere in the field.
    """
    root = _locate(data_dir, "noisy_train_key_list.txt", "clothing1m", "Clothing1M", "clothing1M")

    def part(name: str) -> tuple[ImageFiles, np.ndarray]:
        keys, values = (
            root / f"{name}_key_list.txt",
            root / f"{name.partition('_')[0]}_label_kv.txt",
        )
        names = _once(_lines(keys), keys)
        labels = _look_up(names, given[values], values)
        # The keys begin with "images/"; the archives do not, so that some have unpacked them
        # elsewhere.
        names = _either(root, names, [name.removeprefix("images/") for name in names])
        return _images(root, names, side or 224, keys), labels

    given = {
        path: _labelled(path, len(_CLOTHES))
        for path in (root / f"{kind}_label_kv.txt" for kind in ("noisy", "clean"))
    }
    train, noisy = part("noisy_train")
    test, labels = part("clean_test")
    return _dataset(
        "clothing1m",
        train,
        noisy,
        test,
        labels,
        _CLOTHES,
        extra_tests={"clean_val": part("clean_val")},
    )


# --------------------------------------------------------------------------------------------------------
# WebVision

_MINI = 50  # classes of the part that everybody trains on (MentorNet, Jiang et al., 2018)
_WEBVISION_CLASSES = 1000


def _webvision(data_dir: Path, side: int | None) -> Dataset:
    """The first 50 classes of WebVision 1.0: Google's images to train on, its validation images as
    a test set.

    Where ILSVRC 2012's validation images are in imagenet/val/WNID, those of the 50 classes are a
    further test set.
    """
    root = _locate(
        data_dir, "info/train_filelist_google.txt", "webvision", "WebVision", "webvision1.0"
    )
    synsets = _lines(root / "info" / "synsets.txt")[:_MINI]
    if len(synsets) < _MINI or not all(re.fullmatch(r"n[0-9]{8}\s.+", line) for line in synsets):
        path = str(root / "info" / "synsets.txt")
        raise InputError(
            f"{path!r} is no list of {_MINI} WordNet numbers and names, such as 'n01440764 tench': "
            "fetch it again"
        )
    ids = [line.split()[0] for line in synsets]

    def part(name: str, folder: str) -> tuple[ImageFiles, np.ndarray]:
        path = root / "info" / name
        labels = {
            image: label
            for image, label in _labelled(path, _WEBVISION_CLASSES).items()
            if label < _MINI
        }
        names = [f"{folder}{image}" for image in labels]
        return _images(root, names, side or 224, path), np.array(list(labels.values()), np.int64)

    train, noisy = part("train_filelist_google.txt", "")
    test, labels = part("val_filelist.txt", "val_images_256/")
    folder = next(
        (
            path
            for path in (root / "imagenet" / "val", data_dir / "imagenet" / "val")
            if path.is_dir()
        ),
        None,
    )
    extra = {} if folder is None else {"ilsvrc12": _ilsvrc(folder, ids, side or 224)}
    classes = [line.split(maxsplit=1)[1].partition(",")[0] for line in synsets]
    return _dataset("webvision", train, noisy, test, labels, classes, extra_tests=extra)


def _ilsvrc(folder: Path, ids: Sequence[str], side: int) -> tuple[ImageFiles, np.ndarray]:
    names, labels = [], []
    for label, wordnet_id in enumerate(ids):
        inside = sorted(folder.glob(f"{wordnet_id}/*.JPEG"))
        if not inside:
            raise InputError(
                f"{str(folder / wordnet_id)!r} holds no .JPEG image: sort ILSVRC 2012's validation "
                f"images into a folder for each WordNet number, or remove {str(folder)!r}"
            )
        names += [f"{wordnet_id}/{path.name}" for path in inside]
        labels += [label] * len(inside)
    return ImageFiles(str(folder), np.array(names), side), np.array(labels, np.int64)


# --------------------------------------------------------------------------------------------------------
# Food-101N


def _food101n(data_dir: Path, side: int | None) -> Dataset:
    """All images of Food-101N to train on, tested on Food-101's test images (Lee et al., 2018).

    Without Food-101 (a folder food-101 beside or within this one), the test set is what
    ``verified_val.tsv`` says is right, and nothing in that file is trained on. Where a verified
    label is right, the true class is known.
    """
    root = _locate(data_dir, "meta/imagelist.tsv", "Food-101N_release", "food101n", "Food-101N")
    listed, meta, side = root / "meta" / "imagelist.tsv", root / "meta", side or 224
    classes = _once(
        [line for line in _lines(meta / "classes.txt") if line != "class_name"],
        meta / "classes.txt",
    )
    numbers = {name: number for number, name in enumerate(classes)}
    images = _once([line for line in _lines(listed) if not line.startswith("class_name")], listed)
    held_out = _verified(meta / "verified_val.tsv")
    verified = _verified(meta / "verified_train.tsv") | held_out

    def numbered(names: Sequence[str], path: Path) -> np.ndarray:
        for name in names:
            if name.partition("/")[0] not in numbers:
                raise InputError(
                    f"{str(path)!r} lists {name!r}, of a class that classes.txt lacks: fetch both "
                    "again"
                )
        return np.array([numbers[name.partition("/")[0]] for name in names], np.int64)

    lists = [folder / "food-101" / "meta" / "test.txt" for folder in (root, root.parent, data_dir)]
    if source := next((path for path in lists if path.is_file()), None):
        test_names = _once(_lines(source), source)
        test = _images(
            source.parent.parent / "images", [f"{name}.jpg" for name in test_names], side, source
        )
    else:
        source = meta / "verified_val.tsv"
        images = [name for name in images if name not in held_out]
        test_names = [name for name, right in held_out.items() if right]
        test = _images(root / "images", test_names, side, source)
    noisy = numbered(images, listed)
    # The authors' lists disagree about single images, which is no reason to refuse them.
    right = np.array([verified.get(name, False) for name in images], bool)
    train = _images(root / "images", images, side, listed)
    truth = np.where(right, noisy, UNKNOWN)
    return _dataset("food101n", train, noisy, test, numbered(test_names, source), classes, truth)


def _verified(path: Path) -> dict[str, bool]:
    """Whether the class of each verified image is right."""
    lines = [line for line in _lines(path) if not line.startswith("class_name")]
    rows = [line.split("\t") for line in lines]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != 2 or row[1] not in ("0", "1"):
            raise InputError(
                f"{str(path)!r} has a line {line!r}: each names an image and, after a tab, 0 or 1"
            )
    _once([name for name, _ in rows], path)
    return {name: right == "1" for name, right in rows}


# ------------------------------------------------------------------------------------------------
# red mini-ImageNet

_RED_LEVELS = (20, 40, 60, 80)
_MINI_IMAGENET = tuple(
    """triceratops, upright piano, Gordon setter, cocktail shaker, unicycle, organ, malamute, prayer rug, Newfoundland,
    tobacco shop, ladybug, combination lock, ashcan, robin, scoreboard, dome, iPod, slot, miniskirt, French bulldog, carton,
    Tibetan mastiff, pencil box, king crab, horizontal bar, spider web, electric guitar, meerkat, file, consomme, jellyfish,
    cuirass, black-footed ferret, school bus, miniature poodle, catamaran, snorkel, oboe, worm fence, African hunting dog,
    golden retriever, carousel, aircraft carrier, photocopier, Arctic fox, hair slide, tile roof, Ibizan hound, toucan,
    house finch, poncho, trifle, hourglass, fire screen, white wolf, street sign, solar dish, rock beauty, komondor, bookshop,
    crate, theater curtain, tank, dugong, dalmatian, ear, missile, bolete, orange, vase, Walker hound, lion,
    three-toed sloth, lipstick, coral reef, reel, beer bottle, green mamba, frying pan, wok, goose, rhinoceros beetle, yawl,
    clog, Saluki, chime, stage, boxer, cliff, ant, cannon, harvestman, mixing bowl, nematode, parallel bars, garbage truck,
    holster, barrel, hotdog, dishrag""".replace("\n    ", " ").split(", ")
)


def _red(level: int) -> Callable[[Path, int | None], Dataset]:
    """One noise level of mini-ImageNet with wrong images from the web (Jiang et al., 2020).

    Each level has a list of images of its own, so that each is a data set. Images are where the
    code of others has them: all_images/NAME or training/LEVEL/CLASS/NAME, and validation/CLASS/NAME
    or all_validation/NAME.
    """

    def load(data_dir: Path, side: int | None) -> Dataset:
        split = f"red_noise_nl_{level / 100:g}"
        root = _locate(
            data_dir,
            f"split/{split}",
            "mini-imagenet",
            "red_mini_imagenet",
            "dataset_no_images/mini-imagenet",
        )

        def part(name: str, *layouts: str) -> tuple[ImageFiles, np.ndarray]:
            path = root / "split" / name
            labels = _labelled(path, len(_MINI_IMAGENET))
            names = [
                [f"{layout.format(label)}/{image}" for image, label in labels.items()]
                for layout in layouts
            ]
            return _images(root, _either(root, *names), side or 32, path), np.array(
                list(labels.values()), np.int64
            )

        train, noisy = part(split, "all_images", f"training/{split}/{{}}")
        test, labels = part("clean_validation", "validation/{}", "all_validation")
        return _dataset(f"red_mini_imagenet_{level}", train, noisy, test, labels, _MINI_IMAGENET)

    return load


# ---------------------------------------------------------------------------------------------------------
# registry

SOURCES = {
    "animal10n": Source(
        "55,000 photographs of animals that are easily confused, labelled by people: about 8 % "
        "wrong",
        _animal10n,
        size="50,000 + 5,000 images, 64x64, colour",
        classes="10 animals, in pairs that look alike",
        licence="see its page; for research",
        citation="Song, Kim & Lee (2019), SELFIE: Refurbishing unclean samples for robust deep learning, ICML",
        url="https://dm.kaist.ac.kr/datasets/animal-10n",
        access="the raw images, from its page; --data-dir names the folder of training and testing",
    ),
    "clothing1m": Source(
        "a million photographs of clothes, labelled by the text around them: about 38 % wrong",
        _clothing1m,
        size="1,000,000 + 10,526 images (and 14,313 to validate on), colour",
        classes="14 kinds of clothes",
        licence="given by its authors on request, for research",
        citation="Xiao, Xia, Yang, Huang & Wang (2015), Learning from massive noisy labeled data, CVPR",
        url="https://github.com/Cysu/noisy_label",
        access="on request to its authors, by e-mail (see its page); --data-dir names the folder of its key lists",
    ),
    "webvision": Source(
        "mini-WebVision: what Google finds for ImageNet's first 50 classes; about 20 % wrong",
        _webvision,
        size="65,944 + 2,500 images, colour",
        classes="the first 50 of WebVision's 1,000",
        licence="see its page; for research",
        citation="Li, Wang, Li, Agustsson & Van Gool (2017), WebVision database, arXiv 1708.02862",
        url="https://data.vision.ee.ethz.ch/cvl/webvision/dataset2017.html",
        access="its archives info, google_resized_256 and val_images_256, unpacked into --data-dir; "
        "ILSVRC 2012's validation images in imagenet/val/WNID there, if wanted (image-net.org, on "
        "registration)",
    ),
    "food101n": Source(
        "310,009 photographs of dishes, found by their names: about 20 % wrong; tested on Food-101",
        _food101n,
        size="310,009 + 25,250 images, colour",
        classes="101 dishes",
        licence="see its page; for research",
        citation="Lee, He, Zhang & Yang (2018), CleanNet: Transfer learning for scalable image classifier training, CVPR",
        url="https://kuanghuei.github.io/Food-101N",
        access="Food-101N_release from its page (or Kaggle) in --data-dir, and Food-101's folder food-101 beside it "
        "(https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101)",
    ),
    **{
        f"red_mini_imagenet_{level}": Source(
            f"mini-ImageNet with {level} % of its images replaced by wrong ones from the web",
            _red(level),
            size="about 50,000 + 5,000 images, colour",
            classes="100 of ImageNet's",
            licence="CC BY 4.0 (labels); CC BY 2.0 (images from the web); ImageNet's terms (the others)",
            citation="Jiang, Huang, Liu & Yang (2020), Beyond synthetic noise: Deep learning on controlled noisy labels, ICML",
            url="https://google.github.io/controlled-noisy-web-labels",
            access="lists (folder split) and addresses of images from its page, the others from image-net.org; "
            "--data-dir names the folder of split, all_images and validation",
        )
        for level in _RED_LEVELS
    },
}
