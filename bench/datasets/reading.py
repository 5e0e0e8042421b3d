"""Read the files of a data set before its trials: unreadable images are left out, exact copies are
noticed.
"""

from dataclasses import replace
from functools import reduce
from operator import or_

import numpy as np

from bench.datasets import cache, copies
from bench.datasets.base import Dataset, Images
from bench.datasets.files import ImageFiles
from bench.errors import InputError

#: Reason of images that cannot be decoded, in the account of a folder's files.
UNREADABLE = "unreadable"

Kept = np.ndarray | slice


def read_images(dataset: Dataset) -> tuple[Dataset, dict[str, str]]:
    """Read every image in a file once: decoded where all fit into memory, looked at where they are
    streamed.

    Returns:
        The data set without unreadable images, and these: file -> what is wrong with it.

    Raises:
        InputError: where no image of a class is left for training, or none at all.
    """
    parts = {"train": dataset.train_images, "test": dataset.test_images}
    parts |= {name: images for name, (images, _) in dataset.extra_tests.items()}
    files = {name: images for name, images in parts.items() if isinstance(images, ImageFiles)}
    if not files:
        return dataset, {}
    surveys = {
        name: cache.survey(images, decoding=not cache.fits(images))
        for name, images in files.items()
    }
    # one range for all, tests included
    extremes = reduce(or_, (seen.extremes for seen in surveys.values()))
    readable: dict[str, tuple[Images, Kept]] = {
        name: (images, slice(None)) for name, images in parts.items()
    }
    broken: dict[str, str] = {}
    for name, images in files.items():
        readable[name], damaged = _read(replace(images, extremes=extremes), surveys[name])
        broken |= damaged
    (train, kept), (test, kept_test) = readable["train"], readable["test"]
    _check_classes(dataset, kept, broken)
    whole = replace(
        dataset,
        train_images=train,
        train_labels=dataset.train_labels[kept],
        train_names=None if dataset.train_names is None else dataset.train_names[kept],
        found={kind: labels[kept] for kind, labels in dataset.found.items()},
        test_images=test,
        test_labels=dataset.test_labels[kept_test],
        extra_tests={
            name: (readable[name][0], labels[readable[name][1]])
            for name, (_, labels) in dataset.extra_tests.items()
        },
        account=dataset.account and dataset.account.without(dict.fromkeys(broken, UNREADABLE)),
    )
    if files.keys() == parts.keys():
        whole = replace(whole, copies=_copies(dataset, files, surveys, readable))
    return whole, broken


def _read(files: ImageFiles, seen: cache.Survey) -> tuple[tuple[Images, Kept], dict[str, str]]:
    """The images that can be read with their positions, and what is wrong with each other file."""
    if cache.fits(files):
        decoded = cache.decoded(files, seen)
        return (decoded.images, decoded.kept), decoded.broken
    cache.check_some(files, seen.broken)
    kept = np.setdiff1d(np.arange(len(files)), list(seen.broken))
    named = {str(files.names[position]): reason for position, reason in seen.broken.items()}
    return (files[kept] if seen.broken else files, kept), named


def _copies(
    dataset: Dataset,
    files: dict[str, ImageFiles],
    surveys: dict[str, cache.Survey],
    readable: dict[str, tuple[Images, Kept]],
) -> tuple[str, ...]:
    """Sentences on exact copies: by pixels where all parts are in memory, otherwise by the files'
    digests.
    """

    def part(name: str, labels: np.ndarray) -> copies.Part:
        images, kept = readable[name]
        pixels = (
            images if in_memory and isinstance(images, np.ndarray) else surveys[name].digests[kept]
        )
        return copies.Part(pixels, labels[kept], files[name].names[kept])

    in_memory = all(isinstance(images, np.ndarray) for images, _ in readable.values())
    labels = next(iter(dataset.found.values()), dataset.train_labels)
    tests = {"test": dataset.test_labels} | {
        name: labels for name, (_, labels) in dataset.extra_tests.items()
    }
    return copies.describe(
        part("train", labels), {name: part(name, given) for name, given in tests.items()}
    )


def _check_classes(dataset: Dataset, kept: Kept, broken: dict[str, str]) -> None:
    """Raise InputError where a class had training images, and none of them can be read."""
    truth = [dataset.train_labels] if dataset.knows_truth else []
    for labels in (*truth, *dataset.found.values()):
        if lost := sorted(set(labels.tolist()) - set(labels[kept].tolist())):
            names = ", ".join(dataset.classes[label] for label in lost)
            name, reason = next(iter(broken.items()))
            raise InputError(
                f"no image of the class {names} can be read (as {name}: {reason}): mend them"
            )
