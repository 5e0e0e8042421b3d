"""Networks with pretrained weights, by the names ``torchvision:NAME`` and ``timm:NAME``."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

#: Libraries whose networks can be named, as LIBRARY:NAME.
LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class PretrainedNetwork:
    """Pretrained network of a trial: its identity, its input and its use, without any path."""

    network: str  # such as "timm:tf_efficientnet_lite0.in1k"
    weights: str  # SHA-256 of the file, in hexadecimal
    data: str  # what it was trained on, such as "ImageNet-1k"; "unknown" for a user's file
    size: int  # side of its input in pixels
    mean: tuple[float, float, float]  # of its input's channels, as values in [0, 1]
    std: tuple[float, float, float]
    interpolation: str  # "bilinear" or "bicubic"
    frozen: bool  # True: trials train a head on its features; False: they fine-tune it
    views: int = 0  # augmented features of each training image, beside the plain ones


@dataclass(frozen=True)
class Pretrained:
    """Pretrained network as it was loaded: its identity, its weights, and facts about it."""

    network: PretrainedNetwork
    state: Mapping[str, np.ndarray]  # of the body that ``build_body`` returns; read-only
    num_features: int
    licence: str  # "" where nothing is known


def is_library_name(name: str) -> bool:
    """Return whether a backbone is one of a library."""
    return name.partition(":")[0] in LIBRARIES


def load_pretrained(
    name: str, weights: str = "default", *, size: int | None = None, frozen: bool, views: int = 0
) -> Pretrained:
    """Return the network with its weights.

    Args:
        name: "torchvision:NAME" or "timm:NAME".
        weights: "default", or the path of a file (safetensors, or .pth).
        size: side of the input in pixels, by default that of the weights.
        frozen: use as a frozen network; ``views`` goes into the identity, too.

    Raises:
        InputError: where there is no such network, or its weights cannot be had or do not fit.
    """
    raise NotImplementedError


def build_body(name: str, channels: int, size: int) -> tuple[nn.Module, int]:
    """Return the network without its classifier, of random weights, and its number of features.

    It takes normalised images (B, channels, side, side) of any side, and brings them to ``size``.
    """
    raise NotImplementedError


def licence_note(p):
    return ""
