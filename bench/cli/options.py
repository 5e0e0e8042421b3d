"""Options that several commands share, and the decorator that puts an option under a heading."""

from collections.abc import Callable
from typing import Any

import click

from bench.cli.commands import Option
from bench.cli.paths import NameOrFile, Place, UserPath
from bench.recipe import HEADS

Decorator = Callable[[Any], Any]


def option(heading: str, *names: str, **settings: Any) -> Decorator:
    """Declare an option that ``--help`` shows under one of ``bench.cli.commands.HEADINGS``."""
    return click.option(*names, cls=Option, heading=heading, **settings)


dataset = option(
    "Data",
    "--dataset",
    type=NameOrFile(),
    default="digits",
    show_default=True,
    metavar="NAME",
    help="Data set: a name of python -m bench.data list, npz:FILE or folder:DIR.",
)
data_dir = option(
    "Data",
    "--data-dir",
    type=Place(),
    default="data",
    show_default=True,
    metavar="DIR",
    help="Folder that data sets are read from, and downloaded to.",
)
image_size = option(
    "Data",
    "--image-size",
    type=int,
    metavar="PIXELS",
    show_default="unchanged, or 64 where images differ in size",
    help="Height and width that all images are scaled to.",
)
subset = option(
    "Data",
    "--subset",
    type=int,
    metavar="N",
    show_default="all",
    help="Use N training images only, with the class proportions of the whole set.",
)
reference = option(
    "Methods",
    "--reference",
    default="ce",
    show_default=True,
    metavar="NAME",
    help="Method that every other method is compared with, or none.",
)
backbone = option(
    "Training",
    "--backbone",
    metavar="NAME",
    show_default="the recipe's",
    help="Network that is trained, or frozen by --freeze: a name of --list backbones, or timm:NAME "
    "or torchvision:NAME for one with pretrained weights.",
)
weights = option(
    "Training",
    "--weights",
    type=Place(),
    show_default="default",
    metavar="WEIGHTS",
    help="Pretrained weights of a timm: or torchvision: network: default (the library's), a file "
    "(.safetensors or .pth), or none to train from random weights.",
)
network_size = option(
    "Training",
    "--network-size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    show_default="that of the weights",
    help="Height and width of the images that a timm: or torchvision: network takes.",
)
max_concurrent = option(
    "Resources",
    "--max-concurrent",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="as many as fit",
    help="Largest number of trials that run at the same time.",
)
address = option(
    "Resources",
    "--address",
    metavar="ADDRESS",
    help="Use a running Ray cluster: auto, host:port or ray://host:port.",
)
storage = option(
    "Resources",
    "--storage",
    type=Place(),
    metavar="PLACE",
    show_default="--out",
    help="Place of checkpoints that all machines can reach: a folder, s3://... or gs://...",
)
freeze = option(
    "Training",
    "--freeze",
    is_flag=True,
    help="Embed all images once by the pretrained --backbone, and train a head on the embeddings.",
)
head = option(
    "Training",
    "--head",
    type=click.Choice(HEADS),
    show_default="mlp",
    help="Network that is trained on embeddings: one hidden layer, or a linear classifier.",
)
views = option(
    "Training",
    "--views",
    type=click.IntRange(min=0, max=100),
    show_default="0",
    metavar="V",
    help="With --freeze, also embed V augmented views of each training image, for methods that "
    "train on strong views.",
)
save_models = option(
    "Output",
    "--save-models",
    is_flag=True,
    help="Save the final weights of each trial, in the safetensors format.",
)
save_features = option(
    "Output",
    "--save-features",
    is_flag=True,
    help="Save the final features of the training samples, which the report draws with t-SNE.",
)
no_plots = option(
    "Output",
    "--no-plots",
    is_flag=True,
    help="Do not draw the figures in plots/, which take most of a report's time.",
)
details = option(
    "Output",
    "--details",
    is_flag=True,
    help="Print all tables and notes, also those that are otherwise only in the files.",
)


def out(shown_default: str, **settings: Any) -> Decorator:
    """Declare the folder that a command writes to."""
    return option(
        "Output",
        "--out",
        **{"type": UserPath(), "metavar": "DIR", "show_default": shown_default or False} | settings,
    )
