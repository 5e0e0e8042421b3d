"""Check that the network of a trial can read the samples of its data set."""

from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.recipe import HEADS, Recipe

if TYPE_CHECKING:  # reports ask for names alone, and do without torch
    from bench.networks.pretrained import PretrainedNetwork


def is_head(backbone: str) -> bool:
    """Return whether a backbone is a head on vectors."""
    return backbone in HEADS


def check_input(recipe: Recipe, on_vectors: bool, pretrained: "PretrainedNetwork | None") -> None:
    """Raise InputError where a recipe is for images and its samples are vectors, or vice versa.

    Args:
        on_vectors: True where the data set has vectors instead of images.
        pretrained: the network that trials fine-tune, or whose features they read.
    """
    frozen = pretrained is not None and pretrained.frozen
    if on_vectors and pretrained is not None:
        raise InputError(
            f"{pretrained.network} reads images, and this data set has vectors: leave --backbone "
            "and --freeze out"
        )
    if recipe.on_vectors and not (on_vectors or frozen):
        raise InputError(
            f"{recipe.backbone} is a head on vectors: add --freeze and a network whose features it "
            "reads, such as --backbone timm:NAME"
        )
    if (on_vectors or frozen) and not recipe.on_vectors:
        raise InputError(
            f"{recipe.backbone} reads images, and the samples are vectors: choose --head "
            f"{' or '.join(HEADS)}"
        )
