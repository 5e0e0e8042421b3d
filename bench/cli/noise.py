"""The command: look at noise, write it for other people's code, and read theirs.

python -m bench.noise show --dataset digits --kind asymmetric --rate 0.4
"""

import shlex
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from bench.noise.files import FORMATS, read_file, write_labels
from bench.noise.matching import match
from bench.noise.measures import label_hash, realised_rate, transition_matrix
from bench.noise.registry import SAMPLINGS, check_noise, corrupt, takes_rate
from bench.noise.rounding import rounding_note

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
    """Look at label noise, write it for other people's code, and read theirs."""


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
    dataset, noisy = _corrupted(**options)
    _describe(dataset, noisy, options["rate"])
    if options["kind"].startswith("openset:"):
        echo(
            f"open-set noise leaves the labels as they are, and replaces {options['rate']:.2%} of "
            "the images"
        )
    if (dataset.train_labels == UNKNOWN).all():
        echo("there is no transition matrix to plot")
        return
    from bench.common.files import write_atomically
    from bench.report.plots import FORMATS as PLOTS
    from bench.report.plots import render
    from bench.report.plots.noise import matrix_figure

    matrix = transition_matrix(dataset.train_labels, noisy, dataset.num_classes)
    figure = matrix_figure(
        matrix, dataset.classes, _title(dataset, options["kind"], options["rate"])
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for kind in PLOTS:
            write_atomically(out.with_suffix(f".{kind}"), render(figure, kind))
    except OSError as error:
        raise InputError(
            f"cannot write {str(out)!r} ({error.strerror}): choose another --out"
        ) from error
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
    if options["kind"].startswith("openset:"):
        raise InputError(
            "open-set noise changes images and no labels: there is nothing to export, leave it to "
            "bench.run"
        )
    _, noisy = _corrupted(**options)
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
    content = read_file(file, key)  # before the data set, which may take a while
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


def _load(
    dataset: str, data_dir: str, image_size: int | None, subset: int | None = None
) -> Dataset:
    return load_dataset(dataset, data_dir, subset, image_size)


@contextmanager
def _own_options() -> Iterator[None]:
    """Context in which errors name the options of this command, which are shorter than those of
    bench.run.
    """
    try:
        yield
    except InputError as error:
        raise InputError(
            str(error).replace("--noise-kind", "--kind").replace("--noise", "--rate")
        ) from error


def _corrupted(
    kind: str, rate: float | None, seed: int, sampling: str, **options: Any
) -> tuple[Dataset, np.ndarray]:
    with _own_options():
        check_noise(kind, rate)  # a typing error should not wait for a download
        dataset = _load(**options)
        check_noise(kind, rate, dataset)
    noisy = corrupt(dataset, kind, rate, seed, sampling)
    if note := rounding_note(dataset, kind, rate, seed, sampling):
        warnings.warn(note.replace("--noise-sampling", "--sampling"), stacklevel=2)
    return dataset, noisy


def _describe(dataset: Dataset, noisy: np.ndarray, nominal: float | None) -> None:
    """Rates, overall and by class, and the hash."""
    clean = dataset.train_labels
    realised = realised_rate(clean, noisy)
    echo(
        f"data set       {dataset.name}, {len(noisy):,} training images, {dataset.num_classes} "
        "classes"
    )
    echo(f"nominal rate   {'none' if nominal is None else f'{100 * nominal:.2f} %'}")
    echo(f"realised rate  {'unknown' if realised is None else f'{100 * realised:.2f} %'}")
    echo(f"label hash     {label_hash(noisy)}")
    if realised is None:
        return
    matrix = transition_matrix(clean, noisy, dataset.num_classes)
    width = max(5, *map(wide, dataset.classes))
    echo()
    echo(f"  {'class':{width}}  images  wrong (%)  becomes (%)")
    for label, name in enumerate(dataset.classes):
        echo(
            f"  {padded(name, width)}  {(clean == label).sum():6}  "
            f"{100 * (1 - matrix[label, label]):9.1f}  "
            f"{_becomes(matrix[label], label, dataset.classes)}".rstrip()
        )
    echo()


def _becomes(row: np.ndarray, label: int, classes: tuple[str, ...]) -> str:
    """The most frequent wrong labels of a class, at most four."""
    wrong = [
        other for other in np.argsort(-row, kind="stable") if other != label and row[other] > 0
    ]
    more = f", {len(wrong) - 4} more" if len(wrong) > 4 else ""
    return ", ".join(f"{classes[other]} {100 * row[other]:.1f}" for other in wrong[:4]) + more


def _title(dataset: Dataset, kind: str, rate: float | None) -> str:
    name, _, argument = kind.partition(":")
    asked = name if not argument else f"{name}:{Path(argument).name}"
    return f"{dataset.name.partition(':')[0]}, {asked}" + (
        f" {100 * rate:g} %" if rate is not None and takes_rate(kind) else ""
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: what a user can mend is one line on the error stream and exit status 2."""
    execute(noise, arguments)


if __name__ == "__main__":
    main()
