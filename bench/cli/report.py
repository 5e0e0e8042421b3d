"""Command ``python -m bench.report``: tables and figures again, from the records alone."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench.cli import options
from bench.cli.commands import Command, execute, writable
from bench.cli.options import option
from bench.cli.paths import UserPath, reference_board
from bench.cli.terminal import console, echo
from bench.errors import InputError
from bench.report.metrics import RANKED


@click.command(cls=Command)
@click.argument("folders", metavar="SWEEP...", nargs=-1, required=True, type=UserPath())
@option(
    "Data",
    "--compare",
    type=UserPath(),
    metavar="SWEEP",
    help="Compare the sweeps with this sweep, in compare.md and compare.csv, and "
    "write no leaderboard.",
)
@option(
    "Data",
    "--with",
    type=UserPath(),
    metavar="BOARD",
    help="Set the rows of the sweeps beside those of a reference board: a name below "
    "results/reference, a folder or an archive. Rows of the board in other cells are left out.",
)
@options.reference
@option(
    "Methods",
    "--rank-by",
    default="test_accuracy",
    show_default=True,
    metavar="NAME",
    help=f"Metric that the leaderboard ranks by: {', '.join(RANKED)}.",
)
@option(
    "Methods",
    "--clean-val",
    default="all",
    show_default=True,
    metavar="N",
    help="Number of validation images whose true labels the rule clean-val reads.",
)
@options.out("the first SWEEP", type=UserPath(file_okay=False), help="Folder to write to.")
@options.no_plots
@options.details
def report(
    folders: tuple[Path, ...],
    out: Path | None,
    compare: Path | None,
    clean_val: str,
    details: bool,
    **ranking: Any,
) -> None:
    """Rebuild tables, figures and the page index.html from the records of sweeps.

    A SWEEP is a folder, or the archive records.tar.gz of one. Several sweeps count as one. The
    leaderboard is in leaderboard.csv, .md and .tex, all configurations are in configs.csv, and the
    statistics behind them in analysis.md.
    """
    if compare:
        _check_comparison(ranking)
    from bench.cli.tables import print_place, print_report, print_sections
    from bench.records.trials import check_sweep
    from bench.report.writer import write_comparison, write_report

    beside = reference_board(ranking["with"]) if ranking["with"] else None
    for sweep in filter(None, [*folders, compare, beside]):
        check_sweep(sweep)
    if not out and folders[0].is_file():
        raise InputError(
            f"{str(folders[0])!r} is an archive: name a folder for the report with --out"
        )
    out = writable(out) if out else writable(folders[0], "folder with --out")
    if compare:
        sections, files = write_comparison(folders, [compare], out, clean_val)
        print_sections(console(), sections)
        echo(f"the comparison is in {' and '.join(str(file) for file in files)}")
        return
    plots = not ranking["no_plots"]
    leaderboard = write_report(
        folders, out, ranking["reference"], plots, ranking["rank_by"], clean_val, beside
    )
    print_report(console(), leaderboard, details)
    print_place(console(), out, plots)


def _check_comparison(ranking: Iterable[str]) -> None:
    """Refuse options of a leaderboard, which a comparison of two sweeps would ignore."""
    given = click.get_current_context().get_parameter_source
    for name in ranking:
        if given(name) is ParameterSource.COMMANDLINE:
            raise InputError(
                f"--{name.replace('_', '-')} has no meaning with --compare, which only pairs two "
                "sweeps: leave it out"
            )


main = partial(execute, report)
