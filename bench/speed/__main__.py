"""The command ``python -m bench.speed``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench.cli.commands import Command, execute, writable
from bench.cli.options import option
from bench.cli.paths import UserPath
from bench.errors import InputError, unknown


def _count(name: str, metavar: str, text: str, least: int = 1, **extra: Any) -> Any:
    kind = click.IntRange(min=least)
    return option(
        "Resources", name, type=kind, metavar=metavar, help=text, **{"show_default": True} | extra
    )


@click.command(cls=Command, resumes=False)
@click.argument("part", default="all")
@option(
    "Methods",
    "--methods",
    "names",
    default="",
    metavar="M1,M2",
    show_default="all",
    help="Methods that the parts epoch and methods measure.",
)
@_count(
    "--images",
    "N",
    "Number of images in a pass.",
    least=200,
    show_default="as many as suit the part",
)
@_count("--repeats", "R", "Number of passes on each side; times are medians over them.", default=5)
@_count("--threads", "T", "Number of threads on each side.", default=1)
@option(
    "Resources",
    "--device",
    default="cpu",
    show_default=True,
    type=click.Choice(["cpu", "cuda"]),
    help="Device that both sides compute on.",
)
@option(
    "Output",
    "--json",
    "file",
    type=UserPath(dir_okay=False),
    metavar="FILE",
    help="Write the rows of the tables to this file, too.",
)
def speed(part: str, file: Path | None, names: str, device: str, **counts: Any) -> None:
    """Measure the speed of this package beside the same work in the style of authors' codes.

    PART is data, step, eval, neighbours, mixture, search, epoch, methods, sweep or all. A ratio
    above 1 says how many times faster this package is. Some parts compare with something else: rows
    that end in "bf16" with this package in float32, search with draws from all earlier
    configurations, methods with the method's passes through the network alone, and sweep with
    trials of some seconds without records, checkpoints and Ray (one sweep, whatever --repeats is).
    """
    import torch

    from bench.planning.registry import split_name
    from bench.speed.measure import Settings
    from bench.speed.parts import PARTS, measure

    if part not in PARTS and part != "all":
        raise unknown("part", part, [*PARTS, "all"])
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "there is no CUDA device here: leave out --device, or use a machine with one"
        )
    if file:
        if not file.name:
            raise InputError("--json names no file: write for example --json speed.json")
        writable(file.parent, "--json")
    chosen = tuple(name.strip() for name in names.split(",") if name.strip())
    for name in chosen:
        split_name(name)
    settings = Settings(device=device, methods=chosen, **counts)
    if not measure(list(PARTS) if part == "all" else [part], settings, file):
        sys.exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    execute(speed, arguments)


if __name__ == "__main__":
    main()
