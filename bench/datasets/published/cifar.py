"""CIFAR-10 and CIFAR-100: colour photographs of 32x32 pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets.arrays import from_arrays
from bench.datasets.dataset import Dataset, Source
from bench.datasets.published.torchvision_sets import download

# truck->automobile, bird->airplane, deer->horse, cat<->dog
_CIFAR10_FLIPS = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}

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
    """CIFAR-100: return for every class the next one within its true superclass."""
    flips: dict[int, int] = {}
    for members in CIFAR100_SUPERCLASSES.values():
        ids = sorted(classes.index(name) for name in members.split())
        flips.update(zip(ids, ids[1:] + ids[:1], strict=True))
    return flips


def superclass_ids(classes: tuple[str, ...]) -> np.ndarray:
    """CIFAR-100: return the number of each class's superclass, (100,), in CIFAR's own order."""
    owner = {
        name: number
        for number, members in enumerate(CIFAR100_SUPERCLASSES.values())
        for name in members.split()
    }
    return np.array([owner[name] for name in classes])


def _load_cifar10(data_dir: Path, side: int | None) -> Dataset:
    dataset = _load("cifar10", "CIFAR10", data_dir)
    return replace(dataset, flips=_CIFAR10_FLIPS)


def _load_cifar100(data_dir: Path, side: int | None) -> Dataset:
    dataset = _load("cifar100", "CIFAR100", data_dir)
    flips, superclasses = superclass_flips(dataset.classes), superclass_ids(dataset.classes)
    return replace(dataset, flips=flips, superclasses=superclasses)


def _load(name: str, torchvision_name: str, data_dir: Path) -> Dataset:
    from torchvision import datasets

    train, test = download(getattr(datasets, torchvision_name), data_dir)
    parts = train.data, train.targets, test.data, test.targets
    return from_arrays(name, *parts, tuple(train.classes))


SOURCES = {
    "cifar10": Source(
        "60,000 colour 32x32 photographs, 10 classes (10,000 for testing)",
        _load_cifar10,
        size="50,000 + 10,000 images, 32x32, colour",
        classes="10 animals and vehicles",
        licence="none stated; for research",
        citation="Krizhevsky (2009), Learning multiple layers of features from tiny images",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        access="downloaded by torchvision",
        downloads=True,
    ),
    "cifar100": Source(
        "60,000 colour 32x32 photographs, 100 classes (10,000 for testing)",
        _load_cifar100,
        size="50,000 + 10,000 images, 32x32, colour",
        classes="100 classes in 20 superclasses",
        licence="none stated; for research",
        citation="Krizhevsky (2009), Learning multiple layers of features from tiny images",
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
        access="downloaded by torchvision",
        downloads=True,
    ),
}
