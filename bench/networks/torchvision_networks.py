"""Networks of torchvision: names, settings, random and given weights."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bench.errors import InputError, reason_of
from bench.networks import weights
from bench.networks.library import (
    Settings,
    check_size,
    misfit,
    parts_by_children,
    unknown_network,
)

#: Networks whose output is no vector of features: two with auxiliary classifiers, and two whose
#: classifier is a convolution.
_OTHERS = ("googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1")

#: Beginnings of the names of networks for one side alone.
_FIXED = ("vit_", "maxvit_")

#: Modules whose children are the parts of a network.
_CONTAINERS = ("features", "trunk_output", "encoder", "layers", "blocks")

#: Weights trained on Instagram's photographs first, and their licence.
_SWAG = "SWAG"
_SWAG_LICENCE = "CC-BY-NC-4.0"


def check(name: str) -> None:
    """Raise InputError unless torchvision has the network NAME or NAME.WEIGHTS."""
    _entry(name)


def settings(name: str) -> Settings:
    """Return the facts about the network NAME.WEIGHTS, or NAME with its default weights."""
    entry = _entry(name)
    transform = entry.transforms()
    swag = _SWAG in entry.name
    return Settings(
        f"torchvision:{name.partition('.')[0]}.{entry.name}",
        transform.crop_size[0],
        tuple(transform.mean),
        tuple(transform.std),
        transform.interpolation.value,
        "Instagram-3.6B, ImageNet-1k" if swag else "ImageNet-1k",
        _SWAG_LICENCE if swag else "BSD-3-Clause",
    )


def build(name: str, size: int) -> tuple[nn.Module, int, list[list[str]]]:
    """Return the network without classifier, of random weights, its width, its parts' parameters.

    Raises:
        InputError: where the network takes no images of ``size`` pixels.
    """
    default = settings(name).size
    architecture = name.partition(".")[0]
    if size != default and architecture.startswith(_FIXED):
        raise InputError(
            f"torchvision:{name} takes images of {default} pixels alone: leave out "
            "--network-size, or choose a network of timm"
        )
    check_size(f"torchvision:{name}", size, default, 32)
    net, _, width = _without_classifier(architecture, size)
    return net, width, parts_by_children(net, _CONTAINERS)


def default_file(name: str) -> Path:
    """Return the file of the default weights, which is fetched unless it is cached."""
    return weights.address_file(f"torchvision:{name}", _entry(name).url)


def loaded(
    name: str, size: int, state: Mapping[str, Tensor], source: str, *, strict: bool
) -> nn.Module:
    """Return the network without classifier, with these weights.

    Args:
        source: the file, for messages.
        strict: refuse weights that the network has no place for.

    Raises:
        InputError: where the weights are not those of the network.
    """
    net, classifier, _ = _without_classifier(name.partition(".")[0], size)
    # DenseNet's files are older than the names of its layers.
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key): value
        for key, value in state.items()
        if key.rpartition(".")[0] != classifier
    }
    try:
        result = net.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise misfit(f"torchvision:{name}", source, reason_of(error)) from None
    if missing := result.missing_keys:
        lack = f"{len(missing)} of {len(net.state_dict())} weights, such as {missing[0]}"
        raise misfit(f"torchvision:{name}", source, f"it lacks {lack}")
    surplus = [key for key in result.unexpected_keys if not key.endswith("num_batches_tracked")]
    if strict and surplus:
        raise misfit(
            f"torchvision:{name}", source, f"{len(surplus)} have no place, such as {surplus[0]}"
        )
    return net


def _entry(name: str) -> Any:
    """Return torchvision's entry of weights of NAME.WEIGHTS, or the default one of NAME."""
    from torchvision import models

    architecture, _, tag = name.partition(".")
    known = [key for key in models.list_models(module=models) if key not in _OTHERS]
    if architecture not in known:
        raise unknown_network(
            f"torchvision:{architecture}", known, "torchvision.models.list_models()"
        )
    entries = models.get_model_weights(architecture)
    if not tag:
        return entries.DEFAULT
    if tag not in entries.__members__:
        tags = ", ".join(entry.name for entry in entries)
        raise InputError(
            f"torchvision has no weights {tag!r} of {architecture}: choose from {tags}"
        )
    return entries[tag]


def _without_classifier(architecture: str, size: int) -> tuple[nn.Module, str, int]:
    """Return the network with its last linear layer taken out, the layer's name, and its inputs."""
    from torchvision.models import get_model

    options = {"image_size": size} if architecture.startswith("vit_") else {}
    net = get_model(architecture, weights=None, **options)
    linear = {key: layer for key, layer in net.named_modules() if isinstance(layer, nn.Linear)}
    classifier, layer = list(linear.items())[-1]
    net.set_submodule(classifier, nn.Identity())
    return net, classifier, layer.in_features
