"""The command ``python -m bench.speed.throughput``: thousands of trials without training."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cli.commands import Command, execute, writable
from bench.cli.options import option
from bench.cli.paths import UserPath
from bench.cli.values import Finite
from bench.errors import InputError

_count = partial(option, "Resources", type=click.IntRange(min=1), show_default=True)


@click.command(cls=Command, resumes=False)
@_count("--trials", default=10_000, metavar="N", help="Number of trials.")
@_count("--epochs", default=100, metavar="N", help="Number of epochs of each trial.")
@_count("--messages", default=10, metavar="N", help="Number of messages that bring the epochs.")
@_count("--parallel", default=64, metavar="N", help="Number of trials at a time.")
@option(
    "Resources",
    "--megabytes",
    type=Finite(min=0),
    default=0.0,
    show_default=True,
    metavar="MB",
    help="Make samples.npz larger, as of a larger data set; such records have no report.",
)
@option("Resources", "--ray", is_flag=True, help="Let workers of Ray Tune send the messages.")
@option(
    "Output",
    "--out",
    type=UserPath(file_okay=False),
    metavar="DIR",
    help="Keep the records in this folder, which has to be empty.",
)
def throughput(ray: bool, out: Path | None, **counts: Any) -> None:
    """Measure what the driver of a sweep takes for each trial, without training.

    A line for each thousand trials shows whether more trials make each of them slower.
    """
    from bench.speed.driver import Load, measure

    if out and any(writable(out, "--out").iterdir()):
        raise InputError(f"--out {str(out)!r} is not empty: name another folder")
    measure(Load(**counts), ray, out)


main = partial(execute, throughput)

if __name__ == "__main__":
    main()
