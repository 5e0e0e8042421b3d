"""Command ``python -m bench.clean``: which labels of a data set are wrong."""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from bench.cli import options
from bench.cli.clean_apply import apply
from bench.cli.commands import Command, execute
from bench.cli.options import option
from bench.cli.paths import NameOrFile, UserPath
from bench.cli.values import CommaList, Finite


@click.command(cls=Command, name="clean")
@click.argument("dataset", type=NameOrFile(), metavar="DATASET")
@options.data_dir
@options.image_size
@options.subset
@option(
    "Noise",
    "--noise",
    type=Finite(min=0, max=1, max_open=True),
    metavar="R",
    help="Make a share R of the training labels wrong first, to try the audit.",
)
@option(
    "Noise",
    "--noise-kind",
    type=NameOrFile(),
    metavar="KIND",
    show_default="symmetric with --noise, else the labels as delivered",
    help="How labels are made wrong, or the noisy labels of the data set to audit.",
)
@option(
    "Noise",
    "--noise-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="S",
    help="Seed of the labels that --noise makes wrong.",
)
@option(
    "Methods",
    "--methods",
    type=CommaList(),
    metavar="M1,M2",
    help="Also score labels by these methods, each in a column of its own.",
)
@option(
    "Training",
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="Trials of each score, over which it is averaged.",
)
@option(
    "Training",
    "--backbone",
    metavar="NAME",
    show_default="timm:tf_efficientnet_lite0.in1k at 160 pixels; pixels of images up to 16",
    help="Frozen network that embeds the images (timm:NAME or torchvision:NAME), a network of "
    "bench.run --list backbones that is trained here, or pixels.",
)
@options.weights
@options.network_size
@options.option(
    "Training",
    "--views",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="V",
    help="Average the embedding of a training image with those of V augmented views.",
)
@option(
    "Training",
    "--device",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Compute on CPUs or on GPUs (cuda); auto uses a GPU where there is one.",
)
@options.max_concurrent
@options.address
@options.storage
@options.out("results/clean-NAME-HASH", help="Folder for the audit; it goes on where it was.")
@option(
    "Output",
    "--check",
    is_flag=True,
    help="Compare the audit with the true labels, where they are known, and with cleanlab.",
)
@option(
    "Output",
    "--reviewed-test",
    type=UserPath(dir_okay=False),
    metavar="FILE",
    help="With --check, also compare with people's verdicts on test labels: a file of mturk/ of "
    "cleanlab/label-errors.",
)
@option(
    "Output",
    "--drop-flagged",
    is_flag=True,
    help="Also write labels without the flagged samples, to dropped/. Measured on human labels, "
    "this raised the share of right labels from 58.6 to 80.8 % and from 90.6 to 92.2 %.",
)
@options.no_plots
def clean(**values: Any) -> None:
    """Find the wrong labels of DATASET: a folder, vectors (npz:FILE), or any other data set.

    It writes suspects.csv and clean.html, the page to review them on. The same command again runs
    only what is missing. Decisions of the page become labels by:
    python -m bench.clean apply decisions.csv
    """
    from bench.cli.audit import run_audit
    from bench.noise import reading_once

    with reading_once():
        sys.exit(run_audit(**values))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``apply`` where that is the first word, else the audit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["apply"]:
        execute(apply, words[1:])
    execute(clean, words)
