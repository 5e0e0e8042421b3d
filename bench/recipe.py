"""Recipes: network, augmentation, optimiser and schedule of a trial, and pretraining settings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from bench.errors import InputError

#: Fields that every paper's recipe states. Network and augmentation may come from the data set.
_STATED = ("epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "schedule")

#: Further fields that an optimiser or a schedule reads; a paper's recipe with it states them too.
_PARAMETERS = {
    "sgd": ("momentum",),
    "step": ("milestones", "gamma"),
    "linear": ("milestones",),
    "restarts": ("period", "minimum"),
}

AUGMENTATIONS = ("none", "crop", "flip", "crop_flip", "reflect_crop", "reflect_crop_flip")
VECTOR_AUGMENTATIONS = ("none", "dropout")

#: Backbones that take vectors: features of a frozen network, or a data set that has no images.
HEADS = ("mlp", "linear")

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("cosine", "constant", "step", "linear", "restarts")


@dataclass(frozen=True)
class Recipe:
    """Network, augmentation, length, optimiser and schedule of a trial."""

    backbone: str
    epochs: int
    # "crop" pads by an eighth of the side, with black or, as "reflect_crop", the mirror image;
    # "flip" mirrors half; "dropout" zeroes half of a vector
    augmentation: str = "none"
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    # Shares of the run: for "step" where the rate falls, for "linear" where it starts to fall.
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1  # "step": factor at each milestone
    period: float = 1.0  # "restarts": length of one cosine cycle, as a share of the run
    minimum: float = 0.0  # "restarts": floor of the factor

    def __post_init__(self) -> None:
        augmentations = VECTOR_AUGMENTATIONS if self.on_vectors else AUGMENTATIONS
        choices = {"augmentation": augmentations, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise InputError(f"{name} is {value!r}: choose from {', '.join(allowed)}")
        if self.epochs < 1:
            raise InputError(f"the number of epochs is {self.epochs}: give at least 1")
        if self.batch_size < 2:
            raise InputError(
                f"the batch size is {self.batch_size}: batch normalisation needs at least 2"
            )
        if self.learning_rate <= 0:
            raise InputError(f"the learning rate is {self.learning_rate:g}: give a number above 0")
        if not 0 <= self.momentum < 1 or self.weight_decay < 0:
            raise InputError(
                "momentum has to be from 0 up to, but not including, 1, and weight decay at least 0"
            )
        if isinstance(self.milestones, str) or not isinstance(self.milestones, Sequence):
            raise InputError(
                f"milestones is {self.milestones!r}: give shares of the run, such as (0.5, 0.75)"
            )
        object.__setattr__(self, "milestones", tuple(self.milestones))
        if self.schedule == "linear" and not (len(self.milestones) == 1 and self.milestones[0] < 1):
            raise InputError(
                f"a linear schedule needs one milestone below 1, not {self.milestones}: choose "
                "another schedule"
            )
        if self.gamma <= 0:
            raise InputError(f"gamma is {self.gamma:g}: give a number above 0")
        if self.period <= 0:
            raise InputError(f"period is {self.period:g}: give a share of the run above 0")

    @property
    def on_vectors(self) -> bool:
        """True where the network is a head on vectors."""
        return self.backbone in HEADS

    def rate_factor(self, progress: float) -> float:
        """Return the learning-rate factor at ``progress`` in [0, 1), a share of the run."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "step":
            return self.gamma ** sum(progress >= milestone for milestone in self.milestones)
        if self.schedule == "linear":
            [start] = self.milestones
            return 1.0 if progress < start else (1 - progress) / (1 - start)
        if self.schedule == "restarts":
            # The phase is rounded: 50/300 over 10/300 falls a hair short of 5.
            phase = round(progress / self.period, 9) % 1
            return self.minimum + (1 - self.minimum) * 0.5 * (1 + math.cos(math.pi * phase))
        return 1.0

    def override(self, changes: Mapping[str, Any]) -> "Recipe":
        """Return this recipe with some fields replaced."""
        return replace(self, **changes)


_SMALL = Recipe("small_cnn", epochs=30, augmentation="crop_flip", learning_rate=0.05)
_CIFAR = Recipe("resnet18", epochs=120, augmentation="crop_flip", learning_rate=0.05)
#: Recipe for photographs at 224 pixels, from scratch: the field mostly starts from ImageNet's
#: weights and stops earlier.
_PHOTOGRAPHS = Recipe(
    "resnet50",
    epochs=100,
    augmentation="flip",
    batch_size=64,
    learning_rate=0.02,
    weight_decay=1e-3,
)

#: Recipes of heads on vectors. The MLP, on standardised features, memorises wrong labels in its 30
#: epochs, so that methods have something to repair; the linear head is for use in practice.
_HEADS = {
    "mlp": Recipe("mlp", epochs=30, learning_rate=0.02),
    "linear": Recipe("linear", epochs=30, learning_rate=2.0, weight_decay=0.0),
}

_DEFAULTS = {
    # Without augmentation on purpose: with crops, cross-entropy does not memorise digits at all,
    # and there would be nothing for a method to repair.
    "digits": Recipe("tiny_cnn", epochs=25, learning_rate=0.02),
    # A mirrored digit or character is another one, or none.
    "mnist": _SMALL.override({"augmentation": "crop"}),
    "kmnist": _SMALL.override({"augmentation": "crop"}),
    "fashion_mnist": _SMALL,
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "cifar10n": _CIFAR,
    "cifar100n": _CIFAR,
    "animal10n": _CIFAR,
    "clothing1m": _PHOTOGRAPHS.override({"epochs": 20}),
    "webvision": _PHOTOGRAPHS,
    "food101n": _PHOTOGRAPHS.override({"epochs": 30}),
    "red_mini_imagenet": _CIFAR,
}


#: Number of training images from which a data set without a recipe takes a learning rate of 0.05,
#: as the named ones of 50,000 and more do.
_MANY = 20_000


def default_recipe(dataset: str, side: int, images: int = 0) -> Recipe:
    """Return a data set's recipe.

    A user's images get one by their side in pixels and the number of training images.
    """
    # The second name is for red_mini_imagenet_40 and its like.
    for name in (dataset, dataset.rpartition("_")[0]):
        if name in _DEFAULTS:
            return _DEFAULTS[name]
    if side > 96:
        return _PHOTOGRAPHS.override({"augmentation": "crop"})
    # A small set is learned in few steps, which at a high rate and with many wrong labels do not
    # settle. At 50 % noise a rate of 0.1 ended at 30 and 42 % (cross-entropy, 1,000 images of
    # Fashion-MNIST at 14x14) or at 11 and 48 % (DivideMix, digits) where 0.02 ended at 65 and 69 %,
    # and at 97 and 98 %.
    rate = 0.05 if images >= _MANY else 0.02
    if side <= 16:
        return Recipe("tiny_cnn", epochs=25, learning_rate=rate)
    return Recipe("small_cnn", epochs=30, augmentation="crop", learning_rate=rate)


def head_recipe(head: str) -> Recipe:
    """Return the recipe of a head on vectors: "mlp" or "linear"."""
    return _HEADS[head]


def finetune_recipe(network: str, dataset: Recipe) -> Recipe:
    """Return the recipe of fine-tuning a pretrained network.

    The augmentation is the data set's, all else is the same for all. [inferred] Weight decay and
    batch size are those of ELR+'s code on Clothing1M. Its rate of 0.002 is for a million images:
    five epochs of EfficientNet-Lite0 at 64 pixels on 3,000 images of CIFAR-10 with CIFAR-10N's
    `worst` labels ended at a test accuracy of 46 % at 0.002, 58 % at 0.01 and 55 % at 0.05.

    Args:
        network: such as "timm:resnet50.tv_in1k".
        dataset: the data set's recipe from random weights.
    """
    return Recipe(
        network,
        epochs=10,
        augmentation=dataset.augmentation,
        batch_size=64,
        learning_rate=0.01,
        weight_decay=1e-3,
    )


RECIPE_FIELDS = tuple(field.name for field in fields(Recipe))


def paper_recipe(method: str, paper: Mapping[str, Any], dataset: Recipe) -> Recipe:
    """Return the recipe that a method's authors trained with, or else the data set's.

    A paper's recipe takes network and augmentation from the data set if it has none. The data set's
    other fields belong together with its optimiser.

    Args:
        method: name of the method, for the message.
        paper: the method's ``paper``, whose names ``method_checks`` has checked.
        dataset: the data set's recipe.

    Raises:
        InputError: where fields are missing.
    """
    if not paper:
        return dataset
    parameters = [_PARAMETERS.get(paper.get(field, ""), ()) for field in ("optimizer", "schedule")]
    needed = (*_STATED, *parameters[0], *parameters[1])
    if missing := [name for name in needed if name not in paper]:
        raise InputError(
            f"{method} states a part of its paper's recipe, but not {', '.join(missing)}: state "
            "all of it in `paper`"
        )
    return Recipe(**{"backbone": dataset.backbone, "augmentation": dataset.augmentation, **paper})


@dataclass(frozen=True)
class SimSiam:
    """Settings of the SimSiam pretraining, which determine an encoder together with the images."""

    epochs: int  # at the method's reference length; scaled like every phase
    learning_rate: float = 0.03  # for a batch of 256; scaled linearly
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 256
    projector_layers: int = 2
