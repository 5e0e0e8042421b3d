"""Command ``python -m bench.verify``: checks of an archive of records that somebody contributes."""

import secrets
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from bench.cli import options
from bench.cli.commands import Command, execute, writable
from bench.cli.options import option
from bench.cli.paths import UserPath
from bench.cli.terminal import echo
from bench.common.files import to_json, write_output
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.records.verdict import Verdict

#: Bound of the seed that is drawn where none is given: short enough to be typed.
_SEEDS = 1_000_000


@click.command(name="verify", cls=Command)
@click.argument("archive", metavar="ARCHIVE", type=UserPath())
@options.data_dir
@options.weights
@option(
    "Training",
    "--sample",
    default="1",
    show_default=True,
    metavar="N",
    help="Run N trials again, all of them (all), or those of these ids (ID,ID).",
)
@option(
    "Training",
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    show_default="drawn, and printed",
    help="Seed by which the N trials are chosen.",
)
@options.out("verdict.json beside the archive", metavar="FILE", help="File of the verdict.")
def verify(
    archive: Path,
    data_dir: str,
    weights: str | None,
    sample: str,
    seed: int | None,
    out: Path | None,
) -> None:
    """Check ARCHIVE: a records.tar.gz, or a folder with one or with a sweep.

    Files, schema, ids and data hashes are checked, noisy labels drawn again, tables beside the
    archive computed again, and some trials run again. The verdict goes into verdict.json, which
    reports and the site show. The exit status is 1 where the records are rejected.
    """
    from bench.cli.recorded import data_of, inputs_of
    from bench.noise import reading_once
    from bench.records.verdict import check_replaceable, verdict_path
    from bench.report.reproduced import compare_tables
    from bench.verification.checks import Check

    check = Check(
        load_data=partial(data_of, data_dir=data_dir),
        load_inputs=partial(inputs_of, data_dir=data_dir, weights=weights),
        compare_tables=compare_tables,
        sample=sample,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
    )
    path = out or verdict_path(archive)
    if path.is_dir():
        raise InputError(f"--out {str(path)!r} is a folder: give the name of a file in it")
    if out:
        check_replaceable(out)
    if archive.exists():
        writable(path.parent)
    with reading_once():
        verdict = check.run(archive)
    write_output(path, to_json(msgspec.to_builtins(verdict), indent=1))
    _print(verdict)
    echo(f"the verdict is in {path}")
    sys.exit(0 if verdict.accepted else 1)


def _print(verdict: "Verdict") -> None:
    """Print a verdict: what was run again, what was not checked, faults, and the outcome."""
    from bench.records.verdict import FAULTS
    from bench.report.verdicts import rerun_lines, summary

    for line in rerun_lines(verdict):
        echo(f"run again: {line}")
    for sentence in verdict.unchecked:
        echo(f"not checked: {sentence}")
    for fault in verdict.faults:
        place = f" in {fault.trial}" if fault.trial else ""
        echo(f"fault: {FAULTS[fault.kind]}{place}: {fault.text}")
    echo(summary(verdict))


main = partial(execute, verify)
