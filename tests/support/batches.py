"""Helpers for batches of images, and of one number an image."""

import torch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def one_by_one(function, images, values) -> torch.Tensor:
    """torchvision's function with a parameter of its own for each image."""
    return torch.stack(
        [function(image, float(value)) for image, value in zip(images, values, strict=True)]
    )
