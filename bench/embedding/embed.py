"""Features of all images of a data set by a frozen network.

Vectors of images that were embedded before come from the store, whatever data set they were in.
"""

import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from bench.common.progress import track
from bench.datasets.dataset import Dataset, Images
from bench.datasets.features import Features, statistics_of
from bench.embedding.compute import Compute, batch_size, on_this_machine
from bench.embedding.inputs import Item, digest_of_view, digests
from bench.embedding.store import Append, Store, Vectors
from bench.errors import InputError
from bench.networks.cpu import processors
from bench.networks.pretrained import Pretrained

#: Seconds between two writes to the disk: an interrupted command loses no more of its work.
SAVE_SECONDS = 2.0

#: Largest float16.
LARGEST = float(np.finfo(np.float16).max)


def embed(
    dataset: Dataset,
    pretrained: Pretrained,
    *,
    device: str,
    threads: int | None = None,
    compute: Compute | None = None,
) -> Dataset:
    """Return the data set with the features of all its images by a frozen network.

    Args:
        pretrained: the network; ``network.views`` augmented views of each training image are
            embedded beside the plain one.
        device: "cpu" or "cuda".
        threads: number of batches that are decoded and embedded at once; by default one for each
            processor.
        compute: computation of the vectors, by default on this machine, by these threads.

    Raises:
        InputError: if the cache cannot be written, a file has changed since it was read, or the
            features are not finite or too large for float16.
    """
    parts = _parts(dataset)
    views = pretrained.network.views
    contents = _contents(parts, views)
    store = Store(pretrained)
    all_contents = [content for keys in contents.values() for content in keys]
    vectors = store.read(all_contents)
    if vectors.missing:
        with store.writing() as append:
            vectors = store.read(all_contents)  # another process may have embedded them meanwhile
            vectors.warn_of_damage()
            items = _items(contents, vectors.missing, views)
            compute = compute or on_this_machine(device, threads or processors())
            _fill(append, items, batch_size(device), compute, parts, pretrained)
        vectors = store.read(all_contents)
    return replace(dataset, features=_features(dataset, pretrained, contents, vectors))


def images_to_embed(dataset: Dataset, pretrained: Pretrained) -> int:
    """Return the number of images, and augmented views of them, whose vectors are not in the store.

    Equal images count once.
    """
    return len(_missing_items(dataset, pretrained))


def embedding_seconds(dataset: Dataset, pretrained: Pretrained, *, device: str) -> float:
    """Estimate the seconds of ``embed`` from a batch for each processor; 0 where none is missing.

    The vectors of these batches are not kept.
    """
    threads = processors()
    parts = _parts(dataset)
    items = _missing_items(dataset, pretrained)
    size = batch_size(device)
    batches = [items[start : start + size] for start in range(0, len(items), size)][:threads]
    start = time.perf_counter()
    for _ in on_this_machine(device, threads)(parts, pretrained, batches):
        pass
    taken = time.perf_counter() - start
    return taken * len(items) / sum(map(len, batches)) if items else 0.0


def _missing_items(dataset: Dataset, pretrained: Pretrained) -> list[Item]:
    """Return an item for each content whose vector is not in the store."""
    views = pretrained.network.views
    contents = _contents(_parts(dataset), views)
    missing = Store(pretrained).read([key for keys in contents.values() for key in keys]).missing
    return list(_items(contents, missing, views).values())


def _contents(parts: Mapping[str, Images], views: int) -> dict[str, Sequence[bytes]]:
    """Return the keys of all vectors of each part: of each image, and of its augmented views."""
    contents: dict[str, Sequence[bytes]] = {name: digests(images) for name, images in parts.items()}
    contents["train"] = [
        digest_of_view(content, view) for content in contents["train"] for view in range(1 + views)
    ]
    return contents


def _parts(dataset: Dataset) -> dict[str, Images]:
    """Return the images of all parts, in their files where they are from files."""
    parts = {"train": dataset.train_images}
    parts |= {name: images for name, (images, _) in dataset.tests.items()}
    if dataset.donors is not None:
        parts["donors"] = dataset.donors
    return {name: dataset.files.get(name, images) for name, images in parts.items()}


def _items(
    contents: Mapping[str, Sequence[bytes]], missing: Sequence[bytes], views: int
) -> dict[bytes, Item]:
    """Return the first item of each missing content, in the order of the images."""
    rest, items = set(missing), {}
    for part, keys in contents.items():
        each = 1 + views if part == "train" else 1
        for number, content in enumerate(keys):
            if content in rest:
                rest.remove(content)
                items[content] = Item(part, *divmod(number, each))
    return items


def _fill(
    append: Append,
    items: Mapping[bytes, Item],
    size: int,
    compute: Compute,
    parts: Mapping[str, Images],
    pretrained: Pretrained,
) -> None:
    """Embed the items and append their vectors to the store; interrupted, keep what is done."""
    keys, values = list(items), list(items.values())
    starts = range(0, len(items), size)
    computed = compute(parts, pretrained, [values[start : start + size] for start in starts])
    waiting: list[tuple[list[bytes], np.ndarray, np.ndarray]] = []

    def save() -> None:
        if waiting:
            names, vectors, seconds = zip(*waiting, strict=True)
            waiting.clear()
            append([*chain(*names)], np.concatenate(vectors), np.concatenate(seconds))

    saved = time.monotonic()
    with contextlib.closing(computed), contextlib.ExitStack() as stack:
        stack.callback(save)
        progress = track(starts, "embedding images")
        for start, (vectors, seconds) in zip(progress, computed, strict=True):
            _check(vectors, pretrained)
            shares = np.full(len(vectors), seconds / len(vectors))
            waiting.append((keys[start : start + size], vectors.astype(np.float16), shares))
            if time.monotonic() - saved > SAVE_SECONDS:
                save()
                saved = time.monotonic()


def _check(vectors: np.ndarray, pretrained: Pretrained) -> None:
    """Raise InputError unless the vectors are finite as float16."""
    if not (np.abs(vectors) <= LARGEST).all():
        raise InputError(
            f"features of {pretrained.network.network} are not finite, or beyond {LARGEST:,.0f}: "
            "its weights may be damaged; fetch them again, or choose another network"
        )


def _features(
    dataset: Dataset,
    pretrained: Pretrained,
    contents: Mapping[str, Sequence[bytes]],
    vectors: Vectors,
) -> Features:
    """Return the features in the order of the images, with the statistics of the training part."""
    arrays = {name: vectors.gather(keys) for name, keys in contents.items()}
    train = arrays["train"].reshape(len(dataset.train_labels), -1, pretrained.num_features)
    checksum = hashlib.sha256(repr(train.shape).encode())
    for name, array in arrays.items():
        checksum.update(name.encode())
        checksum.update(array.data)
    return Features(
        train,
        {name: arrays[name] for name in dataset.tests},
        arrays.get("donors"),
        vectors.seconds(),
        checksum.hexdigest(),
        statistics_of(train[:, 0]),
        pretrained.licence,
    )
