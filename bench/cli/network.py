"""Pretrained network of a sweep: the options that name it, checked and loaded."""

from collections.abc import Collection

from bench.cli.request import Training
from bench.cli.terminal import echo
from bench.errors import InputError
from bench.networks.backbones import check_backbone
from bench.networks.pretrained import Pretrained, is_library_name, licence_note, load_pretrained
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
    if training.freeze and (not library or training.weights == "none"):
        raise InputError(
            "--freeze needs a network with pretrained weights: add --backbone timm:NAME or "
            "torchvision:NAME, without --weights none"
        )
    random = not library or training.weights == "none"
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
    pretrained = load_pretrained(
        names[0],
        training.weights or "default",
        size=training.network_size,
        frozen=training.freeze,
        views=training.views or 0,
    )
    if note := licence_note(pretrained):
        echo(note, err=True)
    return pretrained
