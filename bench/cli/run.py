"""Command ``python -m bench.run``: from methods and noise rates to a leaderboard."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench.cli import options
from bench.cli.commands import Command, execute
from bench.cli.options import option
from bench.cli.paths import NameOrFile, Place, RecipeName, UserPath
from bench.cli.request import Request
from bench.cli.values import CommaList, Finite, parse_settings
from bench.common.version import __version__


def _settings(
    ctx: click.Context, param: click.Parameter, words: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return the settings of the command line, and those of a file that it does not replace."""
    settings = parse_settings(words)
    if ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
        settings = parse_settings((ctx.default_map or {}).get(param.name, ())) | settings
    return settings


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    from bench.cli.config import read_config

    if path:
        read_config(ctx, path)


@click.command(cls=Command)
@options.dataset
@options.data_dir
@options.image_size
@options.subset
@option(
    "Data",
    "--split-seed",
    type=click.IntRange(min=0),
    metavar="S",
    show_default="the trial's seed",
    help="Use one split into training and validation set for all seeds.",
)
@option(
    "Noise",
    "--noise",
    type=CommaList(float),
    metavar="R1,R2",
    show_default="0.5",
    help="Noise rates: shares of the training labels that are made wrong.",
)
@option(
    "Noise",
    "--noise-kind",
    type=NameOrFile(),
    metavar="KIND",
    show_default="found, where the data have noisy labels, else symmetric",
    help="How labels are made wrong; --list noise names all kinds.",
)
@option(
    "Noise",
    "--noise-sampling",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "independent"]),
    help="Corrupt an exact number of labels, or each label by its own random draw.",
)
@option(
    "Noise",
    "--noise-seed",
    type=click.IntRange(min=0),
    metavar="S",
    show_default="the trial's seed",
    help="Use the same noisy labels for all seeds.",
)
@option(
    "Noise",
    "--misspecify",
    type=CommaList(float),
    metavar="F1,F2",
    help="Tell methods that read the noise rate a wrong one: the true rate times each factor.",
)
@option(
    "Methods",
    "--methods",
    type=CommaList(),
    metavar="M1,M2",
    help="Methods to compare; rmd+elr is the method elr inside the wrapper rmd.",
)
@options.reference
@option(
    "Methods",
    "--k",
    type=CommaList(),
    metavar="K1,K2",
    help="Numbers of neighbours to try, for all methods that use neighbours.",
)
@option(
    "Methods",
    "--temperature",
    type=CommaList(),
    metavar="T1,T2",
    help="Temperatures to try, for all methods that distil.",
)
@option(
    "Methods",
    "--weight",
    type=CommaList(),
    metavar="W1,W2",
    help="Weights of the regulariser to try, for all methods whose loss has one.",
)
@option(
    "Methods",
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="PART.NAME=V1,V2",
    help="Set a hyper-parameter, as elr.weight=3,7, or a field of the recipe, as "
    "recipe.learning_rate=0.05; may be given several times.",
)
@option(
    "Training",
    "--seeds",
    type=int,
    default=3,
    show_default=True,
    metavar="N",
    help="Repeat each trial with N seeds; a seed sets noise, split and training.",
)
@option(
    "Training",
    "--recipe",
    default="shared",
    show_default=True,
    type=RecipeName(),
    metavar="RECIPE",
    help="Train all methods by one recipe (shared), or each by the recipe of its paper (paper); "
    "tuned-defaults:FILE is shared, with the settings that the report of a tuned sweep proposes.",
)
@option(
    "Training",
    "--epochs",
    type=int,
    metavar="N",
    show_default="the recipe's",
    help="Number of epochs of each trial.",
)
@option(
    "Training",
    "--batch-size",
    type=int,
    metavar="N",
    show_default="the recipe's",
    help="Number of samples in a training step.",
)
@options.backbone
@options.weights
@options.network_size
@options.freeze
@options.head
@options.views
@option(
    "Training",
    "--device",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Train on CPUs or on GPUs (cuda); auto uses a GPU where there is one.",
)
@option(
    "Training",
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="Number format of the network; auto is bf16 on a GPU and fp32 on CPUs.",
)
@option(
    "Training",
    "--graphs",
    is_flag=True,
    envvar="LNL_BENCH_GRAPHS",
    help="Run training steps as CUDA graphs where the method allows it; this is faster and rounds "
    "differently, so that it gives trials other ids.",
)
@option(
    "Tuning",
    "--tune",
    type=click.IntRange(min=1),
    metavar="N",
    help="Search hyper-parameters: try N configurations for each method and noise rate.",
)
@option(
    "Tuning",
    "--tune-seconds",
    type=Finite(min=0, min_open=True),
    metavar="S",
    help="Search budget for each method and noise rate, in seconds of training (instead of --tune "
    "N, or beside it).",
)
@option(
    "Tuning",
    "--tune-for",
    default="noisy-val",
    show_default=True,
    metavar="RULE",
    help="Accuracy that a search maximises: noisy-val, clean-val:N (N validation images with true "
    "labels) or oracle (test accuracy).",
)
@option(
    "Tuning",
    "--scheduler",
    default="none",
    show_default=True,
    type=click.Choice(["none", "asha", "hyperband", "median"]),
    help="Stop poor configurations of a search early, after the warm-up of the method.",
)
@option(
    "Tuning",
    "--sampler",
    default="tpe",
    show_default=True,
    type=click.Choice(["tpe", "cmaes", "random", "grid"]),
    help="Draw configurations where earlier ones did well (tpe; cmaes for ranges of numbers), at "
    "random, or all of a finite search space (grid).",
)
@option(
    "Tuning",
    "--start-from",
    type=Place(),
    metavar="SWEEP",
    help="Let tpe or cmaes start from the finished trials of another sweep: its folder, an archive "
    "of it, or a name below results/reference.",
)
@option(
    "Tuning",
    "--transfer",
    is_flag=True,
    help="Also use the configuration tuned at one noise rate at all other noise rates.",
)
@option(
    "Resources",
    "--cpus-per-trial",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="CPU cores, and threads, of a trial.",
)
@option(
    "Resources",
    "--gpus-per-trial",
    type=Finite(min=0),
    metavar="X",
    show_default="1 on cuda, else 0",
    help="GPUs of a trial; 0.25 lets four trials share one GPU.",
)
@options.max_concurrent
@options.address
@options.storage
@option(
    "Resources",
    "--checkpoint-seconds",
    type=Finite(min=0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Save the state of a trial about every S seconds, so that it can go on after an "
    "interruption.",
)
@option(
    "Resources",
    "--trial-timeout",
    type=Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop a trial that takes longer; with --retry-failed it goes on.",
)
@option(
    "Resources",
    "--retry-failed",
    is_flag=True,
    help="Run trials again that failed or took longer than --trial-timeout.",
)
@options.out(
    "results/ and a name made from the trials",
    type=Place(),
    help="Folder for records, tables and figures; a sweep goes on in the folder where it was.",
)
@options.save_models
@options.save_features
@option(
    "Output",
    "--track",
    type=CommaList(),
    metavar="T1,T2",
    help="Copy the records for tensorboard, mlflow or wandb (offline).",
)
@options.no_plots
@options.details
@option(
    "Output",
    "--dry-run",
    is_flag=True,
    help="List the trials and estimate how long they take, but run nothing.",
)
@option(
    "General",
    "--config",
    type=UserPath(),
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    metavar="FILE",
    help="Read options from a YAML file, each as name: value, or from the sweep.json of a sweep; "
    "options on the command line replace those of the file.",
)
@option(
    "General",
    "--list",
    "list_what",
    is_flag=False,
    flag_value="all",
    metavar="[WHAT]",
    type=click.Choice(["all", "methods", "datasets", "noise", "backbones"]),
    help="List methods, datasets, noise kinds and backbones, or one of these.",
)
@option(
    "General",
    "--format",
    "list_format",
    default="text",
    show_default=True,
    type=click.Choice(["text", "markdown"]),
    help="Format of --list: a line for each name, or the tables of the READMEs.",
)
@click.version_option(__version__)
@click.pass_context
def run(ctx: click.Context, list_what: str | None, list_format: str, **_: Any) -> None:
    """Compare methods for learning with noisy labels, and write a leaderboard.

    The same command again runs only what is missing.
    """
    # Modules that load torch are imported where they are needed: --help has to answer at once.
    if list_what:
        from bench.cli import listing

        (listing.print_tables if list_format == "markdown" else listing.print_lists)(list_what)
        return
    request = requested(ctx)
    from bench.cli.plan import plan_sweep
    from bench.cli.terminal import console
    from bench.noise import reading_once
    from bench.records.trials import check_own

    with reading_once():
        sweep = plan_sweep(request)
        check_own(sweep.folder)
        if request.output.dry_run:
            from bench.cli.estimate import print_plan

            print_plan(console(), sweep)
            return
    from bench.cli.sweep import execute_sweep

    sys.exit(execute_sweep(sweep, console()))


def requested(context: click.Context) -> Request:
    """Return the sweep that the words of a command line ask for.

    Raises:
        InputError: as ``Request.of``.
    """
    optional_graphs = context.get_parameter_source("graphs") is ParameterSource.ENVIRONMENT
    return Request.of(context.params, optional_graphs)


main = partial(execute, run)
