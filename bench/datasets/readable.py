"""Data set without its unreadable images: every file is read once before the trials.

Images that fit into memory are decoded. Larger sets are examined only, and streamed later. Exact
copies are noticed on the way.
"""

import os
from dataclasses import replace
from functools import reduce
from operator import or_

import numpy as np

from bench.datasets import copies
from bench.datasets.dataset import Dataset, Images
from bench.datasets.images.decoded_cache import decoded
from bench.datasets.images.files import ImageFiles
from bench.datasets.images.survey import Survey, check_any_readable, survey
from bench.errors import InputError

#: Reason for images that cannot be decoded, in the account of a folder's files.
UNREADABLE = "unreadable"

#: Decoded images up to this many gigabytes are held in memory; more are streamed from their files.
MEMORY_GB = 4.0

#: Positions of the readable images among all images of a part.
Positions = np.ndarray | slice


def read_images(dataset: Dataset) -> tuple[Dataset, dict[str, str]]:
    """Read every image that is in a file, once.

    Returns:
        The data set without unreadable images, and these: file -> what is wrong with it.

    Raises:
        InputError: if no image of a class is left for training, or none at all.
    """
    parts = {"train": dataset.train_images}
    parts |= {name: images for name, (images, _) in dataset.tests.items()}
    files = {name: images for name, images in parts.items() if isinstance(images, ImageFiles)}
    if not files:
        return dataset, {}
    surveys = {name: survey(part, decoding=not _fits(part)) for name, part in files.items()}
    # one range for the whole data set, test images included
    extremes = reduce(or_, (survey.extremes for survey in surveys.values()))
    readable: dict[str, tuple[Images, Positions]]
    readable = {name: (images, slice(None)) for name, images in parts.items()}
    broken: dict[str, str] = {}
    examined: dict[str, ImageFiles] = {}
    for name, images in files.items():
        digests = np.frombuffer(b"".join(surveys[name].digests), np.uint8).reshape(-1, 32)
        examined[name] = replace(images, extremes=extremes, digests=digests)
        readable[name], damaged = _read(examined[name], surveys[name])
        broken |= damaged
    train, positions = readable["train"]
    _check_classes(dataset, positions, broken)
    tests = {
        name: (readable[name][0], labels[readable[name][1]])
        for name, (_, labels) in dataset.tests.items()
    }
    test_images, test_labels = tests.pop("test")
    readable_set = replace(
        dataset.select(positions, train),
        test_images=test_images,
        test_labels=test_labels,
        extra_tests=tests,
        account=dataset.account and dataset.account.without(dict.fromkeys(broken, UNREADABLE)),
        files={name: part[readable[name][1]] for name, part in examined.items()},
    )
    if files.keys() == parts.keys():
        copies_of_files = _copies(dataset, files, surveys, readable)
        readable_set = replace(readable_set, copies=copies_of_files)
    return readable_set, broken


def count_unreadable(number: int) -> str:
    """Return the beginning of a sentence about that many unreadable images."""
    if number == 1:
        return "1 image cannot be read and is"
    return f"{number:,} images cannot be read and are"


def _fits(files: ImageFiles) -> bool:
    """Return True if the decoded images are few enough for memory."""
    setting = os.environ.get("LNL_BENCH_MEMORY_GB") or MEMORY_GB
    try:
        limit = float(setting) * 2**30
        if not limit >= 0:
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"LNL_BENCH_MEMORY_GB is {setting!r}: give a number of gigabytes"
        ) from error
    return int(np.prod(files.shape)) <= limit


def _read(files: ImageFiles, survey: Survey) -> tuple[tuple[Images, Positions], dict[str, str]]:
    """Return the readable images with their positions, and the reason for each other file."""
    if _fits(files):
        cached = decoded(files, survey)
        return (cached.images, cached.positions), cached.broken
    check_any_readable(files, survey.broken)
    positions = np.setdiff1d(np.arange(len(files)), list(survey.broken))
    reasons = {str(files.names[position]): reason for position, reason in survey.broken.items()}
    return (files[positions] if survey.broken else files, positions), reasons


def _copies(
    dataset: Dataset,
    files: dict[str, ImageFiles],
    surveys: dict[str, Survey],
    readable: dict[str, tuple[Images, Positions]],
) -> tuple[str, ...]:
    """Return sentences on exact copies, by pixels if all are in memory, else by files' digests."""
    in_memory = all(isinstance(images, np.ndarray) for images, _ in readable.values())

    def part(name: str, labels: np.ndarray) -> copies.Part:
        images, positions = readable[name]
        if not in_memory or isinstance(images, ImageFiles):
            digests = np.frombuffer(b"".join(surveys[name].digests), np.uint8)
            images = digests.reshape(-1, 32)[positions]
        return copies.Part(images, labels[positions], files[name].names[positions])

    tests = {name: part(name, labels) for name, (_, labels) in dataset.tests.items()}
    return copies.describe(part("train", dataset.delivered_labels), tests)


def _check_classes(dataset: Dataset, positions: Positions, broken: dict[str, str]) -> None:
    """Raise InputError if a class had training images, and none of them can be read."""
    truth = [dataset.train_labels] if dataset.knows_truth else []
    for labels in (*truth, *dataset.found.values()):
        if lost := sorted(set(labels.tolist()) - set(labels[positions].tolist())):
            names = ", ".join(dataset.classes[label] for label in lost)
            name, reason = next(iter(broken.items()))
            raise InputError(
                f"no image of the class {names} can be read (as {name}: {reason}): mend them"
            )
