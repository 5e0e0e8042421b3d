"""Command ``python -m bench.ingest``: records of trials that other people ran."""

import shlex
import sys
from functools import partial
from pathlib import Path

import click

from bench.cli import options
from bench.cli.commands import Command, execute, writable
from bench.cli.options import option
from bench.cli.paths import UserPath
from bench.cli.terminal import echo


@click.command(name="ingest", cls=Command)
@click.argument("curves", metavar="CURVES.csv", type=UserPath())
@option("Data", "--source", metavar="TEXT", help="People or paper that the curves are from.")
@option("Data", "--code", metavar="TEXT", help="Repository and commit that made the curves.")
@option("Data", "--licence", metavar="TEXT", help="Licence of the curves.")
@option(
    "Data",
    "--unit",
    metavar="UNIT",
    show_default="fraction",
    help="Unit of accuracies: fraction or percent.",
)
@option("Data", "--backbone", metavar="NAME", help="Network that was trained.")
@option(
    "Data",
    "--validation-share",
    metavar="SHARE",
    help="Share of the training images that was held out.",
)
@options.out("", required=True, help="Folder to write to; it may hold no trials yet.")
def ingest(curves: Path, out: Path, **header: str | None) -> None:
    """Write records of other people's runs, from a CSV file with a row an epoch.

    Columns: method, dataset, noise_kind, noise_rate, seed, epoch, noisy_val_accuracy,
    test_accuracy, and optionally seconds and passes. Lines such as "# source: NAME" above the
    column names stand for the options under Data; an option goes before its line.
    """
    from bench.records.curves import read_curves, uneven
    from bench.records.imports import write_imported

    content = read_curves(curves, {key: value for key, value in header.items() if value})
    for sentence in uneven(content.runs):
        echo(f"Warning: {sentence}", err=True)
    write_imported(content, writable(out), curves, sys.argv[1:])
    methods = {key.method for key in content.runs}
    cells = {key[1:4] for key in content.runs}
    echo(
        f"{len(content.runs)} trials of {len(methods)} methods in {len(cells)} cells are in {out}; "
        f"for tables and figures: python -m bench.report {shlex.quote(str(out))}"
    )


main = partial(execute, ingest)
