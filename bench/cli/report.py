"""The command: tables and plots again, from the records alone.

python -m bench.report results/NAME
python -m bench.report results/BEFORE --compare results/AFTER
"""

from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from bench.cli.commands import Once, execute, writable
from bench.cli.paths import UserPath
from bench.cli.terminal import console, echo
from bench.errors import InputError
from bench.planning.registry import REFERENCE
from bench.report.metrics import RANKED


@click.command(
    cls=Once, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]}
)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=UserPath())
@click.option(
    "--out",
    type=UserPath(file_okay=False),
    metavar="DIR",
    help="Where to write; the first DIR without it.",
)
@click.option(
    "--reference",
    default=REFERENCE,
    show_default=True,
    metavar="NAME",
    help="Method that all are compared with, or none.",
)
@click.option(
    "--compare",
    type=UserPath(),
    metavar="DIR",
    help="Compare with this sweep instead: compare.md, .csv.",
)
@click.option(
    "--rank-by",
    default="test_accuracy",
    show_default=True,
    metavar="NAME",
    help=f"What the leaderboard ranks by: {', '.join(RANKED)}.",
)
@click.option(
    "--clean-val",
    default="all",
    show_default=True,
    metavar="N",
    help="How many right labels of validation images the rule clean-val reads.",
)
@click.option("--no-plots", is_flag=True, help="Leave out plots/, which take most of the time.")
def report(
    folders: tuple[Path, ...],
    out: Path | None,
    reference: str,
    compare: Path | None,
    rank_by: str,
    clean_val: str,
    no_plots: bool,
) -> None:
    """Rebuild tables, plots and the page index.html from the records of one or more sweeps, which
    count as one.

    leaderboard.csv, .md and .tex hold the leaderboard, configs.csv all configurations; analysis.md
    what it rests on.
    """
    if compare:
        _check_comparison()
    from bench.cli.tables import print_report, print_sections
    from bench.records.trials import check_sweep
    from bench.report.writer import write_comparison, write_report

    for folder in [*folders, *([compare] if compare else [])]:
        check_sweep(folder)
    out = writable(out) if out else writable(folders[0], "folder with --out")
    if compare:
        found, files = write_comparison(folders, [compare], out, clean_val)
        print_sections(console(), found)
        echo(f"the comparison is in {' and '.join(str(file) for file in files)}")
        return
    print_report(console(), write_report(folders, out, reference, not no_plots, rank_by, clean_val))
    echo(
        f"results are in {out}: index.html, leaderboard.md, "
        f"analysis.md{', plots/' * (not no_plots)}"
    )


def _check_comparison() -> None:
    """Refuse what a comparison of two sweeps could only ignore."""
    given = click.get_current_context().get_parameter_source
    for name, option in (
        ("reference", "--reference"),
        ("rank_by", "--rank-by"),
        ("no_plots", "--no-plots"),
    ):
        if given(name) is ParameterSource.COMMANDLINE:
            raise InputError(
                f"{option} has no meaning with --compare, which only pairs two sweeps: leave it out"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: what a user can mend is one line on the error stream and exit status 2."""
    execute(report, arguments)


if __name__ == "__main__":
    main()
