"""The command: from methods and noise rates to a leaderboard.

python -m bench.run --methods rmd,softmix --noise 0.2,0.5,0.8
"""

import hashlib
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bench.cli.commands import Once, execute, writable
from bench.cli.paths import NameOrFile, Place
from bench.cli.terminal import console, echo, line, padded, wide
from bench.common.text import encodable
from bench.common.version import __version__
from bench.errors import InputError

# Everything heavy is imported where it is needed: --help has to answer at once.
if TYPE_CHECKING:
    from bench.datasets import Dataset, Source
    from bench.planning.registry import Scalar
    from bench.planning.spec import TrialSpec
    from bench.tuning.plan import Tuning
    from bench.tuning.search import Settings


class Finite(click.FloatRange):
    """A number of a range, and no nan or inf, which pass through any."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if not math.isfinite(number := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is no number to count with", param, ctx)
        return number


class CommaList(click.ParamType):
    """Values separated by commas; an empty list is an error."""

    name = "list"

    def __init__(self, kind: type = str) -> None:
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        if isinstance(value, list):
            return value
        items = [item.strip() for item in value.split(",")]
        if not all(items):
            where = "is empty" if not any(items) else "has an empty item"
            self.fail(f"the list {where}: give values separated by commas", param, ctx)
        try:
            return list(dict.fromkeys(self.kind(item) for item in items))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers: write for example 0.2,0.5", param, ctx)


def _settings(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for value in values:
        key, equals, items = value.partition("=")
        if not equals or not key or not all(item.strip() for item in items.split(",")):
            raise click.BadParameter(
                f"{value!r} is no setting: write part.name=value or part.name=v1,v2"
            )
        if key in settings:
            raise click.BadParameter(f"{key} is set twice: give all its values in one list")
        settings[key] = [item.strip() for item in items.split(",")]
    return settings


@click.command(
    cls=Once, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]}
)
@click.option(
    "--methods",
    type=CommaList(),
    metavar="M1,M2",
    help="Methods to compare; wrappers go before a +, as rmd+elr.",
)
@click.option(
    "--noise", type=CommaList(float), metavar="R1,R2", help="Noise rates  [default: 0.5]."
)
@click.option(
    "--noise-kind",
    type=NameOrFile(),
    metavar="KIND",
    help="How labels are corrupted  [default: as found, or symmetric].",
)
@click.option(
    "--noise-sampling",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "independent"]),
    help="Corrupt an exact number of labels, or each by its own coin flip.",
)
@click.option(
    "--dataset",
    type=NameOrFile(),
    default="digits",
    show_default=True,
    metavar="NAME",
    help="A data set's name, or npz:FILE.",
)
@click.option(
    "--data-dir",
    type=Place(),
    default="data",
    show_default=True,
    metavar="DIR",
    help="Where its files are, or are downloaded to.",
)
@click.option(
    "--image-size",
    type=int,
    metavar="PIXELS",
    help="Side that images are brought to  [default: as they are, or 64].",
)
@click.option("--subset", type=int, metavar="N", help="Train on a stratified part of N images.")
@click.option(
    "--seeds",
    type=int,
    default=3,
    show_default=True,
    metavar="N",
    help="Replicas; seed s sets noise, split, training.",
)
@click.option(
    "--noise-seed", type=click.IntRange(min=0), metavar="S", help="The same noise in every replica."
)
@click.option(
    "--split-seed", type=click.IntRange(min=0), metavar="S", help="The same split in every replica."
)
@click.option(
    "--k",
    type=CommaList(),
    metavar="K1,K2",
    help="Sweep the number of neighbours of the methods that have one.",
)
@click.option(
    "--temperature",
    type=CommaList(),
    metavar="T1,T2",
    help="Sweep the distillation temperature, likewise.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="PART.NAME=V1,V2",
    help="Any other hyper-parameter, as elr.weight=3,7, or a field of the recipe, as recipe.learning_rate=0.05.",
)
@click.option(
    "--misspecify",
    type=CommaList(float),
    metavar="F1,F2",
    help="Tell methods that read the noise rate a wrong one: the true rate times each factor.",
)
@click.option(
    "--tune",
    type=click.IntRange(min=1),
    metavar="N",
    help="Try N configurations a method and noise rate.",
)
@click.option(
    "--tune-seconds",
    type=Finite(min=0, min_open=True),
    metavar="S",
    help="Or as many as take S seconds to train.",
)
@click.option(
    "--tune-for",
    default="noisy-val",
    show_default=True,
    metavar="RULE",
    help="What picks a configuration: noisy-val, clean-val:n (n validation images with true labels), or oracle.",
)
@click.option(
    "--scheduler",
    default="none",
    show_default=True,
    type=click.Choice(["none", "asha", "median"]),
    help="Stop poor configurations early, after the method's warm-up.",
)
@click.option(
    "--transfer", is_flag=True, help="Use what is tuned at one noise rate at all of them."
)
@click.option(
    "--reference",
    default="ce",
    show_default=True,
    metavar="NAME",
    help="Method that all are compared with, or none.",
)
@click.option(
    "--recipe",
    default="shared",
    show_default=True,
    type=click.Choice(["shared", "paper"]),
    help="One recipe for all methods, or each method's own.",
)
@click.option("--epochs", type=int, metavar="N", help="Length of a trial  [default: the recipe's].")
@click.option(
    "--batch-size", type=int, metavar="N", help="Samples a step  [default: the recipe's]."
)
@click.option("--backbone", metavar="NAME", help="Network  [default: the recipe's].")
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="auto is bf16 on a GPU and fp32 on CPUs.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="auto is cuda where there is a GPU.",
)
@click.option(
    "--graphs",
    is_flag=True,
    envvar="LNL_BENCH_GRAPHS",
    help="Replay steps on a GPU as CUDA graphs, where the method allows; rounds otherwise, and is part of a trial's id.",
)
@click.option(
    "--cpus-per-trial",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Also the threads of a trial.",
)
@click.option(
    "--gpus-per-trial",
    type=Finite(min=0),
    metavar="X",
    help="May be a fraction  [default: 1 on cuda, else 0].",
)
@click.option(
    "--max-concurrent",
    type=click.IntRange(min=1),
    metavar="N",
    help="Trials at a time  [default: all that fit].",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="An existing Ray cluster: auto, host:port or ray://host:port.",
)
@click.option(
    "--storage",
    type=Place(),
    metavar="PLACE",
    help="Keep checkpoints there: a folder, s3://..., gs://...  [default: --out].",
)
@click.option(
    "--trial-timeout",
    type=Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="End a trial that takes longer; --retry-failed goes on with it.",
)
@click.option(
    "--out",
    type=Place(),
    metavar="DIR",
    help="The sweep's folder  [default: results/ and a name made from the trials].",
)
@click.option(
    "--save-models", is_flag=True, help="Keep each trial's final weights, as safetensors."
)
@click.option(
    "--save-features",
    is_flag=True,
    help="Keep final features of training samples, for t-SNE in the report.",
)
@click.option("--retry-failed", is_flag=True, help="Run trials again that failed or timed out.")
@click.option(
    "--checkpoint-seconds",
    type=Finite(min=0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="Keep a trial's state about this often.",
)
@click.option(
    "--track",
    type=CommaList(),
    metavar="T1,T2",
    help="Copy the records for tensorboard, mlflow or wandb (offline).",
)
@click.option("--no-plots", is_flag=True, help="Leave out plots/; bench.report draws them later.")
@click.option("--dry-run", is_flag=True, help="List the trials, estimate their cost, run nothing.")
@click.option(
    "--list",
    "list_what",
    is_flag=False,
    flag_value="all",
    metavar="[WHAT]",
    type=click.Choice(["all", "methods", "datasets", "noise", "backbones"]),
    help="List what there is to choose from.",
)
@click.version_option(__version__)
def run(**options: Any) -> None:
    """Compare methods for learning with noisy labels, and write a leaderboard.

    The same command again runs only what is missing.
    """
    if options["list_what"]:
        _list(options["list_what"])
        return
    from bench.noise import reading_once

    with reading_once():
        sweep = _planned(**{key: value for key, value in options.items() if key != "list_what"})
    sys.exit(sweep())


def _planned(
    *,
    methods: list[str] | None,
    noise: list[float] | None,
    noise_kind: str | None,
    noise_sampling: str,
    dataset: str,
    data_dir: str,
    image_size: int | None,
    subset: int | None,
    seeds: int,
    noise_seed: int | None,
    split_seed: int | None,
    k: list[str] | None,
    temperature: list[str] | None,
    settings: dict[str, list[str]],
    misspecify: list[float] | None,
    tune: int | None,
    tune_seconds: float | None,
    tune_for: str,
    scheduler: str,
    transfer: bool,
    reference: str,
    recipe: str,
    epochs: int | None,
    batch_size: int | None,
    backbone: str | None,
    precision: str,
    device: str,
    graphs: bool,
    cpus_per_trial: int,
    gpus_per_trial: float | None,
    max_concurrent: int | None,
    address: str | None,
    storage: str | None,
    trial_timeout: float | None,
    out: str | None,
    save_models: bool,
    save_features: bool,
    retry_failed: bool,
    checkpoint_seconds: float,
    track: list[str] | None,
    no_plots: bool,
    dry_run: bool,
) -> Callable[[], int]:
    """Plan a sweep, and return what runs it and gives the exit status: 0, or 1 when trials failed."""
    if not methods:
        raise InputError(
            "there is nothing to compare: name methods with --methods, or see them with --list"
        )
    if seeds < 1:
        raise InputError(f"--seeds is {seeds}: give at least 1")
    if out == "":
        raise InputError("--out names no folder: write for example --out results/mine")
    from bench.datasets import ImageFiles, check_dataset, in_memory, open_dataset, warn_of_copies
    from bench.datasets.cache import keep_library_caches
    from bench.noise import check_noise, default_noise, prepare, rehearse, rounding_note
    from bench.planning.spec import Plan, expand_hparams, misspecified
    from bench.planning.trial_checks import check_trials
    from bench.records.writer import kept
    from bench.sweep.trackers import check_trackers

    keep_library_caches()
    # What needs no data is checked first: a typing error should not wait for a download.
    check_trackers(track or [])
    check_dataset(dataset, image_size)
    if noise_kind is not None:
        for rate in _rates(noise, noise_kind):
            check_noise(noise_kind, rate)
    names = methods if reference == "none" else [reference, *methods]
    fields = {
        key.removeprefix("recipe."): values
        for key, values in settings.items()
        if key.startswith("recipe.")
    }
    settings = {key: values for key, values in settings.items() if not key.startswith("recipe.")}
    configurations = expand_hparams(
        names, {"k": k or [], "temperature": temperature or []}, settings
    )
    searched = _searched(tune, tune_seconds, tune_for, scheduler, transfer, address)
    fixed = _fixed(configurations, {"k": k, "temperature": temperature}, settings)
    if searched:
        from bench.tuning.spaces import check_space

        for name, hparams in configurations:
            check_space(name, hparams, {key: hparams[key] for key in fixed if key in hparams})
    device, precision = _resolve_device(device, precision, address)
    _check_graphs(graphs, device)
    _warn_of_emulation(device, precision, address)
    overrides = _overrides(fields, epochs=epochs, batch_size=batch_size, backbone=backbone)
    data = open_dataset(dataset, data_dir, image_size)
    noise_kind = default_noise(data) if noise_kind is None else noise_kind
    rates = _rates(noise, noise_kind)
    for rate in rates:  # before images are decoded, which may take minutes
        check_noise(noise_kind, rate, data if isinstance(data.train_images, ImageFiles) else None)
    data = in_memory(data if subset is None else data.subset(subset))
    warn_of_copies(data)
    data = prepare(data, noise_kind, data_dir)
    for remark in data.remarks:
        echo(remark, err=True)
    plan = Plan(
        subset=subset,
        image_size=image_size,
        noise_kind=noise_kind,
        noise_sampling=noise_sampling,
        recipe=recipe,
        overrides=overrides,
        device=device,
        precision=precision,
        threads=cpus_per_trial,
        graphs=graphs and device == "cuda",
    )
    specs = plan.specs(data, configurations, rates, range(seeds), noise_seed, split_seed)
    check_trials(specs)
    for spec in reversed({spec.noise_rate: spec for spec in reversed(specs)}.values()):
        rehearse(data, noise_kind, spec.noise_rate, spec.noise_seed, noise_sampling)
        if note := rounding_note(
            data, noise_kind, spec.noise_rate, spec.noise_seed, noise_sampling
        ):
            warnings.warn(note, stacklevel=2)
    tuning = None
    if searched:
        from bench.tuning.plan import plan_tuning

        replicas = (range(seeds), noise_seed, split_seed)
        tuning = plan_tuning(
            plan,
            data,
            configurations,
            fixed,
            sorted({s.noise_rate for s in specs}, key=str),
            *replicas,
            searched,
        )
    if misspecify:
        specs = misspecified(specs, misspecify)

    output = console()
    folder = Path(out) if out else _default_folder(specs)
    gpus = gpus_per_trial if gpus_per_trial is not None else float(device == "cuda")
    if dry_run:
        from bench.cli.estimate import print_plan

        print_plan(output, specs, data, folder, cpus_per_trial, gpus, max_concurrent, tuning)
        return lambda: 0
    _check_command(sys.argv)
    return partial(
        _sweep,
        output,
        specs,
        tuning,
        data,
        writable(folder),
        reference=reference,
        resources=(cpus_per_trial, gpus, max_concurrent, address, storage, trial_timeout),
        keep=kept(save_models, save_features),
        retry_failed=retry_failed,
        checkpoint_seconds=checkpoint_seconds,
        track=track or [],
        plots=not no_plots,
    )


def _sweep(
    output: Any,
    specs: "list[TrialSpec]",
    tuning: "Tuning | None",
    data: "Dataset",
    out: Path,
    *,
    reference: str,
    resources: tuple[float, float, int | None, str | None, str | None, float | None],
    keep: frozenset[str],
    retry_failed: bool,
    checkpoint_seconds: float,
    track: list[str],
    plots: bool,
) -> int:
    from bench.cli.progress import Display, duration, rate_of
    from bench.cli.tables import print_report
    from bench.planning.registry import display
    from bench.records.trials import without_weights
    from bench.report.writer import write_report
    from bench.sweep.run import other_code, run_sweep
    from bench.sweep.work import Resources

    rates = {spec.id: rate_of(spec) for spec in specs}
    with Display(output, rates, {spec.id: display(spec.method) for spec in specs}) as shown:
        result = run_sweep(
            specs,
            data,
            out,
            command=sys.argv[1:],
            resources=Resources(*resources),
            observer=shown,
            keep=keep,
            retry_failed=retry_failed,
            checkpoint_seconds=checkpoint_seconds,
            tuning=tuning,
            track=track,
        )
    if result.ran:
        overhead = (
            f"; harness overhead {result.overhead:.2f} (wall time over work)"
            if result.overhead
            else ""
        )
        line(
            output,
            f"{result.ran} trial{'s' * (result.ran != 1)} in "
            f"{duration(result.wall_seconds)}{overhead}",
        )
    else:
        line(output, "nothing was missing: every trial is on record")
    report = write_report([out], out, reference, plots)
    print_report(output, report)
    line(
        output, f"results are in {out}: index.html, leaderboard.md, analysis.md{', plots/' * plots}"
    )
    if result.missing:
        why = f" ({len(result.lost)} were lost with their worker or machine)" if result.lost else ""
        line(output, f"{len(result.missing)} trials are missing{why}: run the same command again")
    if result.diverged:
        line(
            output,
            f"{len(result.diverged)} of {len(result.statuses)} trials diverged: a result, at "
            "chance",
        )
    if result.failures:
        line(
            output,
            f"{len(result.failures)} of {len(result.statuses)} trials failed; see "
            "trials/ID/done.json for "
            f"{', '.join(result.failures[:5])}{' ...' if len(result.failures) > 5 else ''}; to run "
            "them again: the same command with --retry-failed",
        )
    if made_otherwise := other_code([*specs, *(tuning.trials if tuning else [])], out):
        line(output, made_otherwise)
    if "models" in keep and (bare := without_weights(out, result.statuses)):
        line(output, f"{bare} trials were run without --save-models: their weights were not kept")
    return 1 if result.missing or result.failures else 0


def _check_command(words: Sequence[str]) -> None:
    """Refuse paths that Ray cannot be told of: it writes down the command that starts it, as UTF-8."""
    for word in words:
        if encodable(word) != word:
            raise InputError(
                f"{word!r} is no UTF-8 in this locale, and Ray does not start with it: rename it, "
                "or set LC_ALL=C.UTF-8"
            )


def _searched(
    tune: int | None,
    seconds: float | None,
    goal: str,
    scheduler: str,
    transfer: bool,
    address: str | None,
) -> "Settings | None":
    """What is to be tuned; None where nothing is."""
    from bench.planning.selection import DEFAULT_RULE

    if tune is None and seconds is None:
        given = {
            "--tune-for": goal != DEFAULT_RULE,
            "--scheduler": scheduler != "none",
            "--transfer": transfer,
        }
        if used := [name for name, is_set in given.items() if is_set]:
            raise InputError(
                f"{used[0]} says how to tune, but nothing is tuned: add --tune N, or leave it out"
            )
        return None
    from bench.sweep.environment import prepare_environment
    from bench.tuning.search import Settings

    prepare_environment(address)  # search spaces import Ray Tune, for its domains
    return Settings(tune, seconds, goal, scheduler, transfer)


def _fixed(
    configurations: "list[tuple[str, dict[str, Scalar]]]",
    axes: dict[str, list[str] | None],
    settings: dict[str, list[str]],
) -> set[str]:
    """Hyper-parameters that the command line sets, which tuning leaves alone."""
    from bench.planning.registry import load_method, split_name

    parts = {part for name, _ in configurations for part in split_name(name)}
    swept = {
        f"{part}.{axis}"
        for part in parts
        for name, axis in load_method(part).axes.items()
        if axes.get(name)
    }
    return swept | set(settings)


def _rates(noise: list[float] | None, kind: str) -> list[float | None]:
    from bench.noise import takes_rate

    return [*noise] if noise else [0.5 if takes_rate(kind) else None]


def _overrides(fields: dict[str, list[str]], **given: Any) -> tuple[tuple[str, Any], ...]:
    """Fields of the recipe that the command line sets, converted to their types."""
    from bench.errors import unknown
    from bench.planning.registry import convert
    from bench.recipe import RECIPE_FIELDS, Recipe

    overrides = {key: value for key, value in given.items() if value is not None}
    if both := sorted(overrides.keys() & fields.keys()):
        raise InputError(
            f"recipe.{both[0]} is set by --{both[0].replace('_', '-')} and by --set: use either"
        )
    for key, values in fields.items():
        if key not in RECIPE_FIELDS or key == "milestones":
            raise unknown(
                "field of the recipe", key, [f for f in RECIPE_FIELDS if f != "milestones"]
            )
        if len(values) > 1:
            raise InputError(
                f"recipe.{key} has {len(values)} values: the recipe is shared by all trials, give "
                "one"
            )
        overrides[key] = convert(f"recipe.{key}", values[0], Recipe.__annotations__[key])
    return tuple(sorted(overrides.items()))


def _resolve_device(device: str, precision: str, address: str | None = None) -> tuple[str, str]:
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available and not address:  # a cluster's head may have none
        raise InputError("--device is cuda, but torch sees no GPU here: use --device cpu")
    if device == "auto":
        device = "cuda" if available else "cpu"
    if precision == "auto":
        precision = "bf16" if device == "cuda" else "fp32"
    return device, precision


def _check_graphs(graphs: bool, device: str) -> None:
    """Refuse --graphs without a GPU; the environment variable may be set for all commands of a
    machine.
    """
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source("graphs") if context else None
    if graphs and device != "cuda" and source is ParameterSource.COMMANDLINE:
        raise InputError(
            f"--graphs is for GPUs, but the trials run on {device}: leave it out, or use --device "
            "cuda"
        )


def _warn_of_emulation(device: str, precision: str, address: str | None) -> None:
    """Say so where bfloat16 saves no time; what a cluster's machines can do is not known here."""
    from bench.networks.cpu import bfloat16_units

    if device == "cpu" and precision == "bf16" and not address and not bfloat16_units():
        echo(
            "warning: this CPU lacks units for bfloat16 (AVX512-BF16, AMX): bf16 rounds as these, "
            "and is no faster than fp32",
            err=True,
        )


def _default_folder(specs: "list[TrialSpec]") -> Path:
    """Return the folder of these trials, the same for the same command, however it spells the path
    of the data.

    Earlier versions took the path's spelling into account: a folder of theirs is used where there
    is one.
    """
    from bench.common.identity import plain_id

    own, earlier = (
        Path("results") / _default_name(specs, ids)
        for ids in ([spec.id for spec in specs], [plain_id(spec.to_json()) for spec in specs])
    )
    return earlier if earlier.is_dir() and not own.is_dir() else own


def _default_name(specs: "list[TrialSpec]", ids: list[str]) -> str:
    digest = hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:8]
    return f"{specs[0].dataset.partition(':')[0]}-{specs[0].noise_kind.partition(':')[0]}-{digest}"


def _list(what: str) -> None:
    from bench.datasets import sources
    from bench.networks.backbones import BACKBONES
    from bench.noise import listing
    from bench.planning import registry

    tables = {
        "methods": {name: _card(name) for name in registry.method_names()},
        "datasets": {name: source.summary for name, source in (sources() | _schemes()).items()},
        "noise": listing(),
        "backbones": {name: backbone.summary for name, backbone in BACKBONES.items()},
    }
    for title, rows in tables.items():
        if what in ("all", title):
            echo(title)
            width = max(map(wide, rows))
            for name, summary in rows.items():
                echo(f"  {padded(name, width)}  {summary}")


def _schemes() -> "dict[str, Source]":
    from bench.datasets import SCHEMES

    return {
        f"{name}:{'FILE' if name == 'npz' else 'DIR'}": source for name, source in SCHEMES.items()
    }


def _card(method: str) -> str:
    from bench.planning.registry import card

    try:
        found = card(method)
    except InputError as error:  # one broken file does not hide the others
        return f"[broken: {error}]"
    networks = (
        f"{found.networks} network{'s' * (found.networks > 1)}"
        if found.networks
        else "wraps another"
    )
    reads = f"; can read the {' and '.join(found.reads).replace('_', ' ')}" if found.reads else ""
    return f"{found.summary} [{networks}, passes {found.passes}{reads}; {found.lines} lines]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: what a user can mend is one line on the error stream and exit status 2."""
    execute(run, arguments)


if __name__ == "__main__":
    main()
