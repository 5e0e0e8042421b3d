"""Command ``python -m bench.trial``: one trial, without Ray."""

import sys
from functools import partial
from pathlib import Path

import click

from bench.cli import options
from bench.cli.commands import Command, execute
from bench.cli.paths import UserPath


@click.command(name="trial", cls=Command)
@click.argument("spec_file", metavar="SPEC.json", type=UserPath())
@options.data_dir
@options.weights
@options.out("", help="Folder of a sweep to write the record to; without it nothing is written.")
@options.save_models
@options.save_features
def trial(
    spec_file: Path,
    data_dir: str,
    weights: str | None,
    out: Path | None,
    save_models: bool,
    save_features: bool,
) -> None:
    """Run one trial, without Ray; print an epoch a line, as JSON."""
    from bench.cli.recorded import run_file
    from bench.records.writer import extra_results

    keep = extra_results(save_models, save_features)
    sys.exit(run_file(spec_file, data_dir, weights, out, keep))


main = partial(execute, trial)
