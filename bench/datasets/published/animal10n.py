"""Animal-10N: photographs of animals that are easily confused, labelled by people."""

import re
from pathlib import Path

from bench.datasets.dataset import Dataset, Source
from bench.datasets.published import web
from bench.errors import InputError

_FOLDERS = ("animal10n", "Animal10N", "Animal-10N", "ANIMAL-10N", "raw_image")
_CLASSES = (
    *("cat", "lynx", "wolf", "coyote", "cheetah", "jaguar", "chimpanzee", "orangutan", "hamster"),
    "guinea pig",
)


def load(data_dir: Path, side: int | None) -> Dataset:
    """Return the images LABEL_NUMBER.jpg of the folders training and testing."""
    root = web.find_root(data_dir, "training", *_FOLDERS)
    train, test = (_read_part(root / part, side or 64) for part in ("training", "testing"))
    return web.dataset("animal10n", train, test, _CLASSES)


def _read_part(folder: Path, side: int) -> web.Part:
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
        if labels[-1] >= len(_CLASSES):
            raise InputError(
                f"{str(folder / name)!r} is of class {labels[-1]}, but 10 classes are counted from "
                "0: remove it"
            )
    return web.part(folder, names, labels, side, folder)


SOURCES = {
    "animal10n": Source(
        "55,000 photographs of animals that are easily confused, labelled by people: about 8 % "
        "wrong",
        load,
        size="50,000 + 5,000 images, 64x64, colour",
        classes="10 animals, in pairs that look alike",
        licence="see its page; for research",
        citation="Song, Kim & Lee (2019), SELFIE: Refurbishing unclean samples for robust deep "
        "learning, ICML",
        url="https://dm.kaist.ac.kr/datasets/animal-10n",
        access="the raw images, from its page; --data-dir names the folder of training and testing",
    ),
}
