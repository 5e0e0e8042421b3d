"""Networks of timm: names, settings, random and given weights."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import InputError, Unavailable, reason_of
from bench.networks import lite0, weights
from bench.networks.library import (
    Settings,
    check_size,
    misfit,
    not_built,
    parts_by_children,
    unknown_network,
)

#: Words of timm's tags -> the data set that they name.
_DATA = {
    "in1k": "ImageNet-1k",
    "mae": "ImageNet-1k",
    "fcmae": "ImageNet-1k",
    "dino": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-21k",
    "inw21k": "ImageNet-21k",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "openai": "WebImageText",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "laiona": "LAION-A",
    "datacompxl": "DataComp-XL",
    "datacomp1b": "DataComp-1B",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "metaclip": "MetaCLIP",
    "webli": "WebLI",
    "yfcc15m": "YFCC-15M",
    "yfcc100m": "YFCC-100M",
    "cc12m": "CC-12M",
    "jft": "JFT-300M",
    "ig1b": "Instagram-1B",
    "swag": "Instagram-3.6B",
    "sa1b": "SA-1B",
}

#: Licences as they are commonly written; others stay as timm writes them.
_LICENCES = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "unknown": "",
}

#: Seed of two networks that are compared: one that no file is likely to come from.
_SEED = 1_829_403

#: Files of weights in a repository of the hub, the preferred one first.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def _timm() -> ModuleType:
    """Return timm, which takes a second to import and may be missing."""
    try:
        import timm
    except ImportError:
        raise InputError(
            "timm's networks need the package timm: pip install 'lnl-bench[timm]'"
        ) from None
    return timm


def check(name: str) -> None:
    """Raise InputError unless timm has the network NAME or NAME.TAG."""
    _config(name)


def settings(name: str) -> Settings:
    """Return the facts about the network NAME.TAG, or NAME with its default weights."""
    config = _config(name)
    data = _timm().data.resolve_data_config(pretrained_cfg=config.to_dict())
    architecture = name.partition(".")[0]
    return Settings(
        f"timm:{architecture}.{config.tag}" if config.tag else f"timm:{architecture}",
        data["input_size"][-1],
        tuple(data["mean"]),
        tuple(data["std"]),
        "bilinear" if data["interpolation"] == "bilinear" else "bicubic",
        pretraining_data(config.tag or ""),
        _LICENCES.get(config.license or "", config.license or ""),
    )


def pretraining_data(tag: str) -> str:
    """Return the data sets that a tag names, in its order; the tag itself where it names none."""
    names = dict.fromkeys(_DATA[word] for word in tag.split("_") if word in _DATA)
    return ", ".join(names) or tag or "unknown"


def build(name: str, size: int) -> tuple[nn.Module, int, list[list[str]]]:
    """Return the network without classifier, of random weights, its width, its parts' parameters.

    Raises:
        InputError: where the network takes no images of ``size`` pixels.
    """
    try:
        net: Any = _created(name, size)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise not_built(f"timm:{name}", size, reason_of(error)) from None
    default = _config(name).input_size[-1]
    check_size(f"timm:{name}", size, default, net.feature_info[-1]["reduction"])
    return net, getattr(net, "head_hidden_size", None) or net.num_features, _parts(net)


def default_file(name: str) -> Path:
    """Return the file of the default weights, which is fetched unless it is cached."""
    config = _config(name)
    if config.hf_hub_id:
        files = (config.hf_hub_filename,) if config.hf_hub_filename else _HUB_FILES
        return weights.hub_file(f"timm:{name}", config.hf_hub_id, files)
    if config.url:
        return weights.address_file(f"timm:{name}", config.url)
    raise Unavailable(f"timm has no weights of {name}: give --weights none or FILE")


def loaded(
    name: str, size: int, state: Mapping[str, Tensor], source: str, *, strict: bool
) -> nn.Module:
    """Return the network without classifier, with these weights.

    timm renames and resizes weights by the rules of the architecture, and ignores those that do not
    fit. So the network is built twice from one seed, with the weights and without: a matrix that is
    equal in both was not loaded.

    Args:
        source: the file, for messages.
        strict: refuse weights that the network has no place for.

    Raises:
        InputError: where the weights are not those of the network.
    """
    if name.partition(".")[0] == lite0.ARCHITECTURE and lite0.is_lite0_file(state):
        state = lite0.with_timm_names(state)
    with torch.random.fork_rng(devices=[]), _surplus() as surplus:
        torch.manual_seed(_SEED)
        blank = dict(_created(name, size).named_parameters())
        torch.manual_seed(_SEED)
        overlay = {"state_dict": dict(state)}
        try:
            net = _created(name, size, pretrained=True, pretrained_cfg_overlay=overlay)
        except Exception as error:  # of torch, or of the architecture's rules
            raise misfit(f"timm:{name}", source, reason_of(error)) from None
    matrices = {
        key: value
        for key, value in net.named_parameters()
        if value.ndim > 1 and value.requires_grad
    }
    missing = [key for key, value in matrices.items() if torch.equal(value, blank[key])]
    if missing:
        lack = f"{len(missing)} of {len(matrices)} weight matrices, such as {missing[0]}"
        raise misfit(f"timm:{name}", source, f"it lacks {lack}")
    if strict and surplus:
        raise misfit(f"timm:{name}", source, f"{len(surplus)} have no place, such as {surplus[0]}")
    return net


@contextmanager
def _surplus() -> Iterator[list[str]]:
    """Collect the names of weights without a place, which timm says in its log alone."""
    names: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if match := re.match(r"Unexpected keys \((.*?)\)", record.getMessage()):
                keys = match.group(1).split(", ")
                names.extend(key for key in keys if not key.endswith("num_batches_tracked"))

    log, collector = logging.getLogger("timm.models"), Collector()
    propagates, log.propagate = log.propagate, False
    log.addHandler(collector)
    try:
        yield names
    finally:
        log.removeHandler(collector)
        log.propagate = propagates


def _config(name: str) -> Any:
    """Return timm's configuration of NAME.TAG, or of NAME with its default tag."""
    timm = _timm()
    architecture, _, tag = name.partition(".")
    known = timm.models.get_arch_pretrained_cfgs(architecture)
    if not known and architecture not in timm.list_models():
        raise unknown_network(f"timm:{architecture}", timm.list_models(), "timm.list_models()")
    if tag and name not in known:
        tags = ", ".join(sorted(key.partition(".")[2] for key in known)) or "none"
        raise InputError(f"timm has no weights {tag!r} of {architecture}: choose from {tags}")
    return timm.models.get_pretrained_cfg(name) or timm.models.PretrainedCfg()


def _created(name: str, size: int, **options: Any) -> nn.Module:
    config = _config(name)
    if config.fixed_input_size:
        options["img_size"] = size
    return _timm().create_model(name, num_classes=0, **options)


def _parts(net: Any) -> list[list[str]]:
    """Return the names of the parameters of stem and stages."""
    try:
        groups = _timm().models.group_parameters(net, net.group_matcher(coarse=True))
    except (AttributeError, AssertionError):  # an architecture without groups, or coarse ones
        return parts_by_children(net, ("stages", "blocks"))
    return [groups[key] for key in sorted(groups)]
