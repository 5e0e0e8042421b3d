"""The command: how fast this package is.

python -m bench.speed epoch --threads 2 --json speed.json
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch

from bench.cli.commands import Command, execute, writable
from bench.cli.paths import UserPath
from bench.cli.terminal import console, echo, print_table, styled
from bench.common.version import git_commit
from bench.errors import InputError, unknown
from bench.networks.cpu import bfloat16_units, processor
from bench.planning.registry import split_name
from bench.speed.data import data
from bench.speed.epochs import epoch
from bench.speed.measure import Different, Nothing, Row, Settings
from bench.speed.methods import BOUND, methods
from bench.speed.networks import evaluation, step
from bench.speed.overhead import sweep
from bench.speed.pieces import mixture, neighbours
from bench.speed.together import together
from bench.training.isolation import give_back_memory
from bench.training.memory import keep_freed_memory

#: What can be measured, by name; what takes minutes comes last.
PARTS: dict[str, Callable[[Settings], list[Row]]] = {
    "data": data,
    "step": step,
    "eval": evaluation,
    "neighbours": neighbours,
    "mixture": mixture,
    "together": together,
    "epoch": epoch,
    "sweep": sweep,
    "methods": methods,
}


@click.command(cls=Command)
@click.argument("part", default="all")
@click.option(
    "--json", "file", type=UserPath(dir_okay=False), metavar="FILE", help="Write the rows here too."
)
@click.option(
    "--images",
    type=click.IntRange(min=200),
    metavar="N",
    help="Images in a pass, 200 at least.  [default: as many as suit the part]",
)
@click.option(
    "--repeats",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="R",
    help="Passes of each kind.",
)
@click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="T",
    help="Threads of either.",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    type=click.Choice(["cpu", "cuda"]),
    help="Where both compute.",
)
@click.option(
    "--methods",
    "names",
    metavar="NAME,...",
    help="Of these alone, in epoch and methods.  [default: all]",
)
def speed(
    part: str,
    file: Path | None,
    images: int | None,
    repeats: int,
    threads: int,
    device: str,
    names: str | None,
) -> None:
    """Measure PART (data, step, eval, neighbours, mixture, epoch, methods, together, sweep, or all)
    against authors' style.

    A ratio above 1 says how many times faster this package is. In `together` it is compared with
    the same trials one after another, in rows that end in "bf16" with itself in float32. `methods`
    says what a method takes in proportion to its passes through the network by themselves, `sweep`
    what records, checkpoints and Ray add to trials of some seconds (Ray in one sweep, however many
    the repeats).
    """
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
    chosen = tuple(name.strip() for name in (names or "").split(",") if name.strip())
    for name in chosen:
        split_name(name)
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    keep_freed_memory()  # as in a trial; the other side has it too
    settings = Settings(images, repeats, threads, device, chosen)
    rows: list[Row] = []
    failed = False
    with threadpool_limits(threads):  # scikit-learn's too
        for name in PARTS if part == "all" else [part]:
            try:
                found = PARTS[name](settings)
            except Nothing as error:
                if part != "all":
                    raise
                echo(f"{name} is left out: {error}")
                continue
            except (Different, RuntimeError) as error:  # memory that is too short is one, too
                if part != "all":
                    raise
                if not isinstance(error, Different):
                    traceback.print_exception(error)
                echo(f"{name} could not be measured: {error}", err=True)
                failed = True
                continue
            finally:
                give_back_memory(device)  # the next part may start processes that need it
            show(name, found)
            rows += found
            if file:  # after each part: a later one may take too long
                file.write_text(
                    json.dumps([asdict(row) | origin(device) for row in rows], indent=2) + "\n"
                )
    if part in ("step", "epoch", "all") and device == "cpu" and not bfloat16_units():
        echo(
            "step and epoch in bfloat16 are left out: this CPU has no units for it (AVX512-BF16 or "
            "AMX)"
        )
    if failed:
        sys.exit(1)


def origin(device: str) -> dict[str, Any]:
    """Where a row was measured, and of which code."""
    machine = (
        torch.cuda.get_device_name()
        if device == "cuda"
        else f"{processor()}, {os.cpu_count()} cores"
    )
    return {"machine": machine, "torch": torch.__version__, "git_commit": git_commit()}


def show(part: str, rows: Sequence[Row]) -> None:
    """Print a part's table."""
    from rich.table import Table

    headings, caption = HEADINGS.get(part, (("ours/s", "theirs/s", "ratio"), "images a second"))
    title = f"{part}, threads: {rows[0].threads}, device: {rows[0].device}"
    output = console()
    table = Table(
        "", "network", *headings, "min..max", "of the ceiling", title=title, caption=caption
    )
    for row in rows:
        share = f"{row.share:.0%} {row.ceiling}" if row.share is not None else "none"
        texts = (row.name, row.network or "", *cells(part, row), share)
        table.add_row(*(styled(output, text) for text in texts))
    print_table(output, table)


#: Columns of the parts that compare seconds of other things than images, and what is said below.
HEADINGS = {
    "methods": (
        ("s", "s of its passes", "of its passes"),
        f"seconds an epoch; ! where more than {BOUND} of its passes",
    ),
    "sweep": (
        ("s with", "s without", "adds"),
        "seconds a trial; no ceiling: records wait for a disk, workers for each other",
    ),
}


def cells(part: str, row: Row) -> tuple[str, str, str, str]:
    """Either side of a row, how they compare, and the range of that."""
    if part not in HEADINGS:
        low, high = row.spread
        return (
            f"{row.ours_images_per_s:,.0f}",
            f"{row.theirs_images_per_s:,.0f}",
            f"{row.ratio:.1f}",
            f"{low:.1f}..{high:.1f}",
        )
    # what theirs takes is 1
    times, least, most = (1 / ratio for ratio in (row.ratio, *reversed(row.spread)))
    seconds = f"{row.ours_s:.3f}", f"{row.theirs_s:.3f}"
    if part == "sweep":
        return *seconds, f"{times - 1:+.2%}", f"{least - 1:+.2%}..{most - 1:+.2%}"
    return *seconds, f"{times:.2f}{' !' * (times > BOUND)}", f"{least:.2f}..{most:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: what a user can mend is one line on the error stream and exit status 2."""
    execute(speed, arguments)


if __name__ == "__main__":
    main()
