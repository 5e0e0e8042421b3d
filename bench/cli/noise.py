"""Command ``python -m bench.noise``: show noise, export noisy labels, and check imported ones.

python -m bench.noise show --dataset digits --kind asymmetric --rate 0.4
"""

import shlex
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.cli import options as shared
from bench.cli.commands import Commands, execute
from bench.cli.options import option
from bench.cli.paths import NameOrFile, UserPath
from bench.cli.terminal import echo, padded, wide
from bench.datasets import UNKNOWN, Dataset, load_dataset
from bench.errors import InputError
from bench.noise import (
    OPENSET,
    SAMPLINGS,
    NoiseSpec,
    check_noise,
    corrupt,
    label_hash,
    realised_rate,
    rounding_note,
    takes_rate,
    transition_matrix,
)
from bench.noise.files import FORMATS, read_file, write_labels
from bench.noise.matching import match

_DATASET = (shared.dataset, shared.data_dir, shared.image_size)
_NOISE = (
    shared.subset,
    option(
        "Noise",
        "--kind",
        type=NameOrFile(),
        default="symmetric",
        show_default=True,
        metavar="KIND",
        help="How labels are made wrong; python -m bench.run --list noise names all kinds.",
    ),
    option(
        "Noise",
        "--rate",
        type=float,
        metavar="R",
        help="Noise rate, for kinds that take one: the share of labels that are made wrong.",
    ),
    option(
        "Noise",
        "--sampling",
        default="exact",
        show_default=True,
        type=click.Choice(SAMPLINGS),
        help="Corrupt an exact number of labels, or each label by its own random draw.",
    ),
    option(
        "Noise",
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="S",
        help="Seed of the noise, as --noise-seed of bench.run.",
    ),
)


def _options(group: Sequence[Callable]) -> Callable:
    """Return a decorator that declares all options of a group."""

    def decorate(command: Callable) -> Callable:
        for declare in reversed(group):
            command = declare(command)
        return command

    return decorate


@click.group(cls=Commands, name="noise")
def noise() -> None:
    """Show label noise, write it for other people's code, and read theirs."""


@noise.command
@_options(_DATASET + _NOISE)
@shared.out(
    "transition-matrix.png",
    type=UserPath(dir_okay=False),
    default=Path("transition-matrix.png"),
    metavar="FILE.png",
    help="File of the figure, a PNG; an SVG is written beside it.",
)
def show(out: Path, **options: Any) -> None:
    """Print what a kind of noise does to a data set, and plot its transition matrix."""
    if not out.name:
        raise InputError("--out names no file: write for example --out plot.png")
    if out.suffix != ".png":
        raise InputError(
            f"the plot {str(out)!r} is a PNG: name it {out.with_suffix('.png').name!r}; an SVG "
            "goes beside it"
        )
    spec, options = _noise_spec(**options)
    dataset, noisy = _corrupted(spec, **options)
    _describe(dataset, noisy, spec.rate)
    if spec.kind.startswith(OPENSET):
        echo(
            f"open-set noise leaves the labels as they are, and replaces {spec.rate:.2%} of the "
            "images"
        )
    if (dataset.train_labels == UNKNOWN).all():
        echo("there is no transition matrix to plot")
        return
    from bench.common.files import write_output
    from bench.report.plots import FORMATS as PLOTS
    from bench.report.plots import render
    from bench.report.plots.noise import matrix_figure

    matrix = transition_matrix(dataset.train_labels, noisy, dataset.num_classes)
    figure = matrix_figure(matrix, dataset.classes, _title(dataset, spec))
    for file_format in PLOTS:
        write_output(out.with_suffix(f".{file_format}"), render(figure, file_format))
    echo(f"the transition matrix is in {out} and {out.with_suffix('.svg').name}")


@noise.command
@_options(_DATASET + _NOISE)
@option(
    "Output",
    "--format",
    "file_format",
    default="npy",
    show_default=True,
    type=click.Choice([*FORMATS]),
    help="Format of the file.",
)
@shared.out(
    "",
    type=UserPath(dir_okay=False),
    required=True,
    metavar="FILE",
    help="File to write the labels to.",
)
def export(file_format: str, out: Path, **options: Any) -> None:
    """Write noisy labels to a file that other people's code reads."""
    spec, options = _noise_spec(**options)
    if spec.kind.startswith(OPENSET):
        raise InputError(
            "open-set noise changes images and no labels: there is nothing to export, leave it to "
            "bench.run"
        )
    _, noisy = _corrupted(spec, **options)
    write_labels(out, noisy, file_format)
    echo(f"{len(noisy):,} labels are in {out}; label hash {label_hash(noisy)}")


@noise.command("import")
@click.argument("file", type=UserPath())
@_options(_DATASET)
@option(
    "Noise", "--key", metavar="NAME", help="Name of the labels in a .pt file that holds several."
)
@shared.out(
    "",
    type=UserPath(dir_okay=False),
    metavar="FILE.npy",
    help="File to save the checked labels to; without it they are only checked.",
)
def import_labels(file: Path, key: str | None, out: Path | None, **options: Any) -> None:
    """Check noisy labels from a file against a data set, and say how to use them."""
    content = read_file(file, key)  # first: loading the data set may take minutes
    dataset = _load(**options)
    labels = match(content, dataset)
    if out:
        write_labels(out, labels, "npy")
    _describe(dataset, labels, None)
    if not out and key is not None:
        echo("to use them, give --out labels.npy, since a .pt of several is no file of labels yet")
        return
    kind = shlex.quote(f"labels:{out or file}")
    echo(
        f"to use them: python -m bench.run --methods ... --dataset {shlex.quote(dataset.name)} "
        f"--noise-kind {kind}"
    )


def _noise_spec(
    kind: str, rate: float | None, seed: int, sampling: str, **options: Any
) -> tuple[NoiseSpec, dict[str, Any]]:
    """Return the noise of the command line, and the other options."""
    return NoiseSpec(kind, rate, seed, sampling), options


def _load(
    dataset: str, data_dir: str, image_size: int | None, subset: int | None = None
) -> Dataset:
    return load_dataset(dataset, data_dir, subset, image_size)


def _corrupted(spec: NoiseSpec, **options: Any) -> tuple[Dataset, np.ndarray]:
    """Return the data set and its noisy labels; errors name the options of this command."""
    try:
        check_noise(spec.kind, spec.rate)  # a typing error should not wait for a download
        dataset = _load(**options)
        check_noise(spec.kind, spec.rate, dataset)
    except InputError as error:
        text = str(error).replace("--noise-kind", "--kind").replace("--noise", "--rate")
        raise InputError(text) from error
    if note := rounding_note(dataset, spec):
        warnings.warn(note.replace("--noise-sampling", "--sampling"), stacklevel=2)
    return dataset, corrupt(dataset, spec)


def _describe(dataset: Dataset, noisy: np.ndarray, nominal: float | None) -> None:
    """Print the rates, overall and by class, and the hash of the labels."""
    clean = dataset.train_labels
    realised = realised_rate(clean, noisy)
    echo(
        f"data set       {dataset.name}, {len(noisy):,} training {dataset.unit}s, "
        f"{dataset.num_classes} classes"
    )
    echo(f"nominal rate   {'none' if nominal is None else f'{100 * nominal:.2f} %'}")
    echo(f"realised rate  {'unknown' if realised is None else f'{100 * realised:.2f} %'}")
    echo(f"label hash     {label_hash(noisy)}")
    if realised is None:
        return
    matrix = transition_matrix(clean, noisy, dataset.num_classes)
    width = max(5, *map(wide, dataset.classes))
    samples = f"{dataset.unit}s"
    echo()
    echo(f"  {'class':{width}}  {samples}  wrong (%)  becomes (%)")
    for label, name in enumerate(dataset.classes):
        echo(
            f"  {padded(name, width)}  {(clean == label).sum():{len(samples)}}  "
            f"{100 * (1 - matrix[label, label]):9.1f}  "
            f"{_becomes(matrix[label], label, dataset.classes)}".rstrip()
        )
    echo()


def _becomes(row: np.ndarray, label: int, classes: tuple[str, ...]) -> str:
    """Return the most frequent wrong labels of a class, at most four."""
    wrong = [
        other for other in np.argsort(-row, kind="stable") if other != label and row[other] > 0
    ]
    more = f", {len(wrong) - 4} more" if len(wrong) > 4 else ""
    return ", ".join(f"{classes[other]} {100 * row[other]:.1f}" for other in wrong[:4]) + more


def _title(dataset: Dataset, spec: NoiseSpec) -> str:
    name, _, argument = spec.kind.partition(":")
    kind = f"{name}:{Path(argument).name}" if argument else name
    rate = "" if spec.rate is None or not takes_rate(spec.kind) else f" {100 * spec.rate:g} %"
    return f"{dataset.name.partition(':')[0]}, {kind}{rate}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error of the user is one line, and exit status 2."""
    execute(noise, arguments)
