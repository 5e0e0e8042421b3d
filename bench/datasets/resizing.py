"""Images in memory brought to another size or to other colours."""

from dataclasses import replace

import numpy as np

from bench.datasets.dataset import Dataset, Images
from bench.datasets.images.files import ImageFiles
from bench.errors import InputError


def resized(dataset: Dataset, side: int) -> Dataset:
    """Return the data set with all its images brought to ``side`` pixels.

    Raises:
        InputError: if it holds vectors.
    """
    if dataset.on_vectors:
        raise InputError(
            f"{dataset.name} holds vectors, which have no size in pixels: leave out --image-size"
        )
    size = side, side
    return replace(
        dataset,
        train_images=_resize(dataset.train_images, size),
        test_images=_resize(dataset.test_images, size),
        extra_tests={
            name: (_resize(images, size), labels)
            for name, (images, labels) in dataset.extra_tests.items()
        },
    )


def with_donors(dataset: Dataset, other: Dataset) -> Dataset:
    """Return the data set with the images of another one as donors for open-set noise.

    They are brought to the same size and colours.

    Raises:
        InputError: if images stay in files, the other set holds vectors, or both sets have the same
            images.
    """
    import torch
    from torchvision.transforms.v2 import functional as F

    if isinstance(dataset.train_images, ImageFiles) or isinstance(other.train_images, ImageFiles):
        raise InputError(
            f"open-set noise needs images in memory, but {dataset.name} or {other.name} is read "
            "from files"
        )
    if other.on_vectors:
        raise InputError(
            f"open-set noise needs images, but {other.name} holds vectors: name another data set"
        )
    images = _resize(other.train_images, dataset.train_images.shape[2:])
    files = {name: part for name, part in dataset.files.items() if name != "donors"}
    if "train" in other.files and dataset.channels == 3:
        files["donors"] = other.files["train"]
    if dataset.channels == 3 and other.channels == 1:
        images = images.repeat(3, axis=1)
    elif dataset.channels == 1 and other.channels == 3:
        images = F.rgb_to_grayscale(torch.from_numpy(images)).numpy()
    if images.shape == dataset.train_images.shape and (images == dataset.train_images).all():
        raise InputError(
            f"the images of {other.name} are those of {dataset.name}: put the files of "
            f"{other.name} into a folder of that name below --data-dir"
        )
    return replace(dataset, donors=images, files=files)


def _resize(images: Images, size: tuple[int, ...]) -> np.ndarray:
    """Return uint8 images (N, C, H, W) brought to (H', W'), bilinearly with antialiasing."""
    import torch
    from torchvision.transforms.v2 import functional as F

    assert isinstance(images, np.ndarray)
    if images.shape[2:] == size:
        return images
    chunks = torch.from_numpy(np.array(images)).split(1000)
    return torch.cat([F.resize(chunk, list(size), antialias=True) for chunk in chunks]).numpy()
