"""Pretrained network of a command: the options that name it, checked and loaded."""

from collections.abc import Collection
from dataclasses import replace

from bench.cli.request import Training
from bench.cli.terminal import echo
from bench.errors import InputError
from bench.networks.backbones import check_backbone
from bench.networks.pretrained import (
    Pretrained,
    PretrainedNetwork,
    is_library_name,
    licence_note,
    load_pretrained,
)
from bench.recipe import HEADS


def check_options(training: Training, on_vectors: bool | None = None) -> None:
    """Raise InputError where options of a pretrained network have nothing to act on.

    Args:
        on_vectors: True where the data set has vectors instead of images; None before it is read.
    """
    library = training.backbone is not None and is_library_name(training.backbone)
    if training.backbone is not None:
        check_backbone(training.backbone)
    if training.backbone in HEADS and on_vectors is False and not training.freeze:
        raise InputError(
            f"{training.backbone} is a head on vectors: add --freeze --head {training.backbone}, "
            "and name the network whose features it reads, as --backbone timm:NAME"
        )
    random = not library or training.weights == "none"
    if training.freeze and random:
        raise _without_weights("--freeze needs")
    needless = {
        "--weights": training.weights is not None and not library,
        "--network-size": training.network_size is not None and random,
        "--views": training.views is not None and not training.freeze,
    }
    for name, is_set in needless.items():
        if is_set:
            needed = "--backbone timm:NAME or torchvision:NAME with pretrained weights"
            needed = "--freeze" if name == "--views" else needed
            remedy = "leave it out" if on_vectors else f"add {needed}, or leave it out"
            raise InputError(f"{name} does nothing here: {remedy}")
    if training.head and not (training.freeze or on_vectors):
        raise InputError(
            "--head is for frozen networks and for data sets of vectors: add --freeze, or leave it "
            "out"
        )


def load_network(training: Training, backbones: Collection[str] = ()) -> Pretrained | None:
    """Return the pretrained network that trials fine-tune, or whose features they read.

    Args:
        backbones: those of the recipes, where no option names one.

    Raises:
        InputError: where it cannot be had, or recipes name several.
    """
    names = [training.backbone] if training.backbone else sorted(filter(is_library_name, backbones))
    if training.weights == "none" or not (names and is_library_name(names[0])):
        return None
    if len(names) > 1:
        raise InputError(
            f"the recipes start from several networks ({', '.join(names)}): choose one with "
            "--backbone"
        )
    return _load(
        names[0],
        training.weights,
        training.network_size,
        frozen=training.freeze,
        views=training.views or 0,
    )


def load_encoder(
    backbone: str, weights: str | None, size: int | None, views: int = 0
) -> Pretrained:
    """Return the frozen network whose features a command other than a sweep reads.

    Raises:
        InputError: where it cannot be had, or has no pretrained weights.
    """
    if not is_library_name(backbone) or weights == "none":
        raise _without_weights("embeddings need")
    return _load(backbone, weights, size, frozen=True, views=views)


def load_recorded(planned: PretrainedNetwork, weights: str | None) -> Pretrained:
    """Return the network of a trial's specification.

    Args:
        weights: file of its weights; by default the library's.

    Raises:
        InputError: where it cannot be had, or the weights are others.
    """
    network = _load(
        planned.network, weights, planned.size, frozen=planned.frozen, views=planned.views
    )
    if network.network.weights != planned.weights:
        raise InputError(
            f"the trial's weights of {planned.network} have the SHA-256 {planned.weights[:12]}..., "
            f"these have {network.network.weights[:12]}...: give its file with --weights"
        )
    return replace(network, network=planned)


def _load(
    name: str, weights: str | None, size: int | None, *, frozen: bool, views: int = 0
) -> Pretrained:
    """Return the network; print what the licence of its weights asks for."""
    pretrained = load_pretrained(name, weights or "default", size=size, frozen=frozen, views=views)
    if note := licence_note(pretrained):
        echo(note, err=True)
    return pretrained


def _without_weights(needing: str) -> InputError:
    """Return the error for a backbone that has no pretrained weights."""
    return InputError(
        f"{needing} a network with pretrained weights: give --backbone timm:NAME or "
        "torchvision:NAME, without --weights none"
    )
