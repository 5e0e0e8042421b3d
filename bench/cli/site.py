"""Command ``python -m bench.site``: verified boards as static pages."""

from functools import partial
from pathlib import Path

import click

from bench.cli import options
from bench.cli.commands import Command, execute, writable
from bench.cli.paths import UserPath
from bench.cli.terminal import echo
from bench.errors import InputError


@click.command(name="site", cls=Command)
@click.argument("folder", metavar="FOLDER", type=UserPath())
@options.option(
    "Output",
    "--out",
    "-o",
    type=UserPath(file_okay=False),
    metavar="DIR",
    required=True,
    help="Folder to write to. Pages of boards that are there stay as they are.",
)
def site(folder: Path, out: Path) -> None:
    """Write a static site of the boards in FOLDER, which need an accepting verdict.json.

    It has a page of all boards, one for each board, one for each method over all boards, and one
    for each data set. The pages need no network and no server. A verdict comes from:
    python -m bench.verify FOLDER/BOARD
    """
    from bench.report.site.sources import read_source, sweeps_below
    from bench.report.site.writer import write_site

    sources = []
    for sweep in sweeps_below(folder):
        try:
            sources.append(read_source(sweep))
        except InputError as error:
            echo(f"left out: {sweep}: {error}", err=True)
    if not sources:
        raise InputError(
            f"no records in {str(folder)!r} have a verdict that accepts them: run python -m "
            "bench.verify on each"
        )
    files = write_site(sources, writable(out))
    boards = f"{len(sources)} board{'s' * (len(sources) > 1)}"
    echo(f"{boards} on {len(files)} pages: open {files[0]}")


main = partial(execute, site)
