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
from bench.cli.paths import Place, UserPath, reference_board
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
    type=Place(),
    metavar="BOARD",
    help="Set the rows of the sweeps beside those of a reference board: a name below "
    "results/reference, a folder or an archive. Rows of the board in other cells are left out.",
)
@option(
    "Data",
    "--ledger",
    is_flag=True,
    help="Set published numbers beside the sweeps, each a board of its own, in ledger.md and "
    "ledger.csv, and write no leaderboard.",
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
@option(
    "Output",
    "--archive",
    is_flag=True,
    help="Write the records of one SWEEP to records.tar.gz there, too, as a board to publish.",
)
@options.no_plots
@options.details
def report(
    folders: tuple[Path, ...],
    out: Path | None,
    compare: Path | None,
    ledger: bool,
    clean_val: str,
    details: bool,
    archive: bool,
    **ranking: Any,
) -> None:
    """Rebuild tables, figures and the page index.html from the records of sweeps.

    A SWEEP is a folder, or the archive records.tar.gz of one. Several sweeps count as one. The
    leaderboard is in leaderboard.csv, .md and .tex, all configurations are in configs.csv, and the
    statistics behind them in analysis.md.
    """
    if compare and ledger:
        raise InputError("--compare and --ledger write files of their own: give one of them")
    if compare or ledger:
        further = ["clean_val", "details"] if ledger else []
        _refuse([*ranking, "archive", *further], "--compare" if compare else "--ledger")
    if archive and len(folders) > 1:
        raise InputError("--archive packs one sweep: give one SWEEP")
    from bench.cli.tables import print_place, print_report, print_sections
    from bench.records.publish import check_archivable
    from bench.records.trials import check_sweep
    from bench.report.writer import write_comparison, write_ledger, write_report

    if ledger:
        folders = _with_records(folders)
    board = ranking["with"]
    beside = None if board is None else reference_board(board, "--with")
    for sweep in filter(None, [*folders, compare, beside]):
        check_sweep(sweep)
    if not out and (ledger or folders[0].is_file()):
        what = "a ledger is of many sweeps" if ledger else f"{str(folders[0])!r} is an archive"
        raise InputError(f"{what}: name a folder to write to with --out")
    out = writable(out) if out else writable(folders[0], "folder with --out")
    if compare or ledger:
        if compare:
            sections, files = write_comparison(folders, [compare], out, clean_val)
        else:
            [*sections, _], files = write_ledger(folders, out)
        print_sections(console(), sections)
        what = "the comparison is" if compare else "all published numbers are"
        echo(f"{what} in {' and '.join(str(file) for file in files)}")
        return
    if archive:
        check_archivable(folders[0])
    plots = not ranking["no_plots"]
    leaderboard = write_report(
        folders, out, ranking["reference"], plots, ranking["rank_by"], clean_val, beside
    )
    print_report(console(), leaderboard, details)
    print_place(console(), out, plots)
    if archive:
        _pack(folders[0], out, clean_val)


def _pack(sweep: Path, out: Path, clean_val: str) -> None:
    """Write the archive of a sweep's records, and print its size and what it leaves out."""
    from bench.planning.selection import ALL
    from bench.records.publish import write_archive

    path, complete = write_archive(sweep, out, complete=clean_val != ALL)
    echo(f"records are in {path} ({path.stat().st_size / 1e6:.2f} MB)")
    if not complete:
        echo(
            "It leaves out predictions on held-out images, which would make it too large: "
            "nothing with --clean-val N or --tune-for clean-val:N can be computed from it."
        )


def _refuse(ranking: Iterable[str], other: str) -> None:
    """Refuse options of a leaderboard, which a comparison or a ledger would ignore."""
    given = click.get_current_context().get_parameter_source
    for name in ranking:
        if given(name) is ParameterSource.COMMANDLINE:
            raise InputError(
                f"--{name.replace('_', '-')} has no meaning with {other}, which writes no "
                "leaderboard: leave it out"
            )


def _with_records(sweeps: Iterable[Path]) -> tuple[Path, ...]:
    """Return the sweeps with records, as a pattern names folders without any, too."""
    from bench.records.archive import opened

    with_records = [sweep for sweep in sweeps if (opened(sweep) / "trials").is_dir()]
    if not with_records:
        raise InputError("none of these holds records: give folders or archives of sweeps")
    if others := [str(sweep) for sweep in sweeps if sweep not in with_records]:
        echo(f"left out, as they hold no records: {', '.join(others)}", err=True)
    return tuple(with_records)


main = partial(execute, report)
