"""The command for data sets: what there is, getting it ready, and checking it.

python -m bench.data list | show NAME | prepare NAME | check NAME | images NAME
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.cli.commands import Commands, Once, execute
from bench.cli.paths import NameOrFile, Place
from bench.cli.terminal import echo, write_utf8

if TYPE_CHECKING:
    from bench.datasets import Dataset, Source

_SETTINGS: dict[str, Any] = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}

_name = click.argument("name", type=NameOrFile(), metavar="NAME")
_data_dir = click.option(
    "--data-dir",
    type=Place(),
    default="data",
    show_default=True,
    metavar="DIR",
    help="Where its files are, or are downloaded to.",
)
_image_size = click.option(
    "--image-size",
    type=int,
    metavar="PIXELS",
    help="Side that images are brought to  [default: as they are, or 64].",
)


@click.group(cls=Commands, context_settings=_SETTINGS)
def data() -> None:
    """List, describe, prepare and check data sets."""


@data.command("list", cls=Once)
def list_sets() -> None:
    """All data sets, one a line."""
    rows = [(name, source.size, source.access) for name, source in _known().items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, size, access in rows:
        echo(f"{name:{widths[0]}}  {size:{widths[1]}}  {access}")


@data.command(cls=Once)
@_name
def show(name: str) -> None:
    """Size, classes, licence, citation, and where to get it."""
    from bench.datasets import find_source

    source, _ = find_source(name)
    echo(f"{name}: {source.summary}")
    for field in ("size", "classes", "licence", "citation", "url", "access"):
        if value := getattr(source, field):
            echo(f"  {field:9} {value}")


@data.command(cls=Once)
@_name
@_data_dir
@_image_size
def prepare(name: str, data_dir: str, image_size: int | None) -> None:
    """Download where that is allowed, and decode the images into the cache."""
    from bench.datasets import find_source, load_dataset
    from bench.datasets.receipts import write_receipt

    source, _ = find_source(name)
    dataset = load_dataset(name, data_dir, image_size=image_size)
    _print_counts(dataset)
    _print_remarks(dataset)
    write_receipt(name, dataset)
    streamed = not source.downloads and _in_files(dataset)
    echo(f"{name} is ready{', and is read from its files' if streamed else ''}")


@data.command(cls=Once)
@_name
@_data_dir
@_image_size
def check(name: str, data_dir: str, image_size: int | None) -> None:
    """Verify checksums and counts, read every image, and print the balance of the classes."""
    from bench.datasets import copies, open_dataset, read_images
    from bench.datasets.readable import count_unreadable
    from bench.datasets.receipts import read_receipt

    dataset, broken = read_images(open_dataset(name, data_dir, image_size))
    _print_counts(dataset)
    _print_remarks(dataset)
    for line in dataset.account.examples() if dataset.account else []:
        echo(f"  {line}")
    _print_balance(dataset)
    for sentence in copies.of_dataset(dataset):
        echo(f"copies: {sentence}")
    for file, reason in broken.items():
        echo(f"broken: {file}: {reason}")
    before = read_receipt(name, dataset)
    if before and before != dataset.content_hash:
        echo(f"changed: its content is not what it was when it was prepared (then {before})")
    if broken:
        images = "it" if len(broken) == 1 else "them"
        echo(f"{count_unreadable(len(broken))} left out of every trial: mend or remove {images}")
    verdict = "as it was when it was prepared" if before == dataset.content_hash else "whole"
    if not broken and (not before or before == dataset.content_hash):
        echo(f"{name} is {verdict}")
    sys.exit(1 if broken or (before and before != dataset.content_hash) else 0)


@data.command(cls=Once)
@_name
@_data_dir
def images(name: str, data_dir: str) -> None:
    """List images in their order, as CSV that --noise-kind labels:FILE reads: path, class, part of
    the set.

    Of a set whose images have no names it lists the training images: index and number of the class.
    """
    from bench.datasets import ImageFiles, open_dataset

    dataset = open_dataset(name, data_dir)
    labels = dataset.train_labels if dataset.knows_truth else dataset.delivered_labels
    if dataset.train_names is None or not isinstance(dataset.test_images, ImageFiles):
        rows: list[tuple[str, ...]] = [
            ("index", "label"),
            *((str(index), str(label)) for index, label in enumerate(labels)),
        ]
    else:
        parts = (
            ("train", dataset.train_names, labels),
            ("test", dataset.test_images.names, dataset.test_labels),
        )
        about = {
            str(path): (str(path), dataset.classes[label] if label >= 0 else "", part)
            for part, paths, numbers in parts
            for path, label in zip(paths, numbers, strict=True)
        }
        ordered = about if dataset.all_names is None else map(str, dataset.all_names)
        rows = [("path", "label", "split"), *(about[path] for path in ordered)]
    write_utf8()
    for row in rows:
        echo(",".join(_field(text) for text in row))


def _field(text: str) -> str:
    """The text as CSV holds it."""
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if set(text) & set('",\r\n') or text != text.strip() else text


def _known() -> "dict[str, Source]":
    from bench.datasets import SCHEMES, sources

    return sources() | {
        f"{name}:{'FILE' if name == 'npz' else 'DIR'}": source for name, source in SCHEMES.items()
    }


def _in_files(dataset: "Dataset") -> bool:
    from bench.datasets import ImageFiles

    return isinstance(dataset.train_images, ImageFiles)


def _print_counts(dataset: "Dataset") -> None:
    shape = dataset.train_images.shape
    colour = "grey" if shape[1] == 1 else "colour"
    echo(
        f"{len(dataset.train_labels):,} training and {len(dataset.test_labels):,} test images, "
        f"{shape[2]}x{shape[3]}, {colour}, {dataset.num_classes} classes, content "
        f"{dataset.content_hash}"
    )
    for name, (_, labels) in dataset.extra_tests.items():
        echo(f"{len(labels):,} images more to test on: {name}")
    if dataset.noisy_test:
        echo("no true labels to test on: a fifth of the images was held out, with labels as found")


def _print_remarks(dataset: "Dataset") -> None:
    for line in dataset.remarks:
        echo(line)


def _print_balance(dataset: "Dataset") -> None:
    """Images of each class by true label, by each set of labels found, and for testing."""
    import numpy as np
    from rich.table import Table

    from bench.cli.terminal import console, print_table, styled
    from bench.datasets import UNKNOWN

    columns = {}
    if (dataset.train_labels != UNKNOWN).any():
        columns["true"] = dataset.train_labels
    columns |= dataset.found
    columns["test"] = dataset.test_labels
    output = console()
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for heading in columns:
        table.add_column(styled(output, heading), justify="right")
    for number, title in enumerate(dataset.classes):
        counts = (f"{np.sum(labels == number):,}" for labels in columns.values())
        table.add_row(styled(output, title), *counts)
    print_table(output, table)
    for kind, labels in dataset.found.items():
        known = dataset.train_labels != UNKNOWN
        if known.any():
            wrong = float((labels != dataset.train_labels)[known].mean())
            echo(f"{kind}: {wrong:.2%} of {known.sum():,} labels whose truth is known are wrong")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: what a user can mend is one line on the error stream and exit status 2."""
    execute(data, arguments)


if __name__ == "__main__":
    main()
