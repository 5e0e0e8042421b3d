"""Networks with pretrained weights, by the names ``torchvision:NAME`` and ``timm:NAME``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from bench.errors import InputError
from bench.networks import timm_networks, torchvision_networks
from bench.networks.body import FittedBody
from bench.networks.weights import read_weights, sha256

#: Libraries whose networks can be named, as LIBRARY:NAME.
LIBRARIES = ("torchvision", "timm")

#: Licences that let anybody use the weights for anything.
FREE_LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause")


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

    def statistics(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation by which images of 1 or 3 channels are normalised.

        A grey image gets the means over the channels.
        """
        if channels == 1:
            return (sum(self.mean) / 3,), (sum(self.std) / 3,)
        return self.mean, self.std


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


def check_network(name: str) -> None:
    """Raise InputError unless the library has the network."""
    library, network = _library(name)
    library.check(network)


def load_pretrained(
    name: str, weights: str = "default", *, size: int | None = None, frozen: bool, views: int = 0
) -> Pretrained:
    """Return the network with its weights.

    Args:
        name: "torchvision:NAME" or "timm:NAME", where NAME may end in a dot and a tag of weights.
        weights: "default" for those of the tag, by default the library's choice, or the path of a
            file (safetensors, or .pth). The input's settings are those of the tag, and so are the
            data and licence of a file, where NAME has a tag; otherwise nothing is known of them.
        size: side of the input in pixels, by default that of the weights.
        frozen: use as a frozen network; ``views`` goes into the identity, too.

    Raises:
        InputError: where there is no such network, or its weights cannot be had or do not fit.
    """
    library, network = _library(name)
    settings = library.settings(network)
    side = settings.size if size is None else size
    body, width = build_body(name, 3, side)  # refuses a side before anything is fetched
    if default := weights == "default":
        # messages name the tag, without which nothing is known of a file
        tagged_name = settings.name.partition(":")[2]
        path, source = library.default_file(tagged_name), f"the file of {settings.name}"
    else:
        path, source = Path(weights).expanduser(), weights
    state = read_weights(path)
    body.network = library.loaded(network, side, state, source, strict=not default)
    arrays = {key: value.numpy() for key, value in body.state_dict().items()}
    for array in arrays.values():
        array.flags.writeable = False
    tagged = default or "." in network
    identity = PretrainedNetwork(
        network=settings.name if tagged else name,
        weights=sha256(path),
        data=settings.data if tagged else "unknown",
        size=side,
        mean=settings.mean,
        std=settings.std,
        interpolation=settings.interpolation,
        frozen=frozen,
        views=views,
    )
    return Pretrained(identity, arrays, width, settings.licence if tagged else "")


def build_body(name: str, channels: int, size: int | None = None) -> tuple[FittedBody, int]:
    """Return the network without its classifier, of random weights, and its number of features.

    It takes normalised images (B, channels, side, side) of any side, and brings them to ``size``
    (by default the network's own). Grey images are repeated for the three channels.

    Raises:
        InputError: where there is no such network, or it takes no images of that size.
    """
    if channels not in (1, 3):
        raise InputError(
            f"{name} takes images of 1 or 3 channels, not {channels}: choose another --backbone"
        )
    library, network = _library(name)
    settings = library.settings(network)
    side = settings.size if size is None else size
    net, width, parts = library.build(network, side)
    return FittedBody(net, side, settings.interpolation, parts), width


def licence_note(pretrained: Pretrained) -> str:
    """Return a sentence about a licence that restricts use, or ""."""
    licence, name = pretrained.licence, pretrained.network.network
    if licence in FREE_LICENCES or pretrained.network.data == "unknown":
        return ""
    if not licence:
        return f"{name}: its library names no licence of the weights; look it up before you use it"
    return f"{name}: its weights are under {licence}; read it before you use or publish them"


def _library(name: str) -> tuple[ModuleType, str]:
    """Return the module of a network's library, and the name there."""
    library, _, network = name.partition(":")
    if library == "timm":
        return timm_networks, network
    return torchvision_networks, network
