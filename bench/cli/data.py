"""Command ``python -m bench.data``: list, show, prepare, check and embed data sets."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import options
from bench.cli.commands import Commands, execute, writable
from bench.cli.paths import NameOrFile, UserPath
from bench.cli.terminal import echo, write_utf8
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.datasets import Dataset
    from bench.networks.pretrained import Pretrained

_name = click.argument("name", type=NameOrFile(), metavar="NAME")


@click.group(cls=Commands)
def data() -> None:
    """List, describe, prepare, check and embed data sets."""


@data.command("list")
def list_sets() -> None:
    """List all data sets: name, size and access, one a line."""
    from bench.cli.listing import known_sources

    rows = [(name, source.size, source.access) for name, source in known_sources().items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, size, access in rows:
        echo(f"{name:{widths[0]}}  {size:{widths[1]}}  {access}")


@data.command
@_name
def show(name: str) -> None:
    """Show size, classes, licence and citation of a data set, and where to get it."""
    from bench.datasets import find_source

    source, _ = find_source(name)
    echo(f"{name}: {source.summary}")
    for field in ("size", "classes", "licence", "citation", "url", "access"):
        if value := getattr(source, field):
            echo(f"  {field:9} {value}")


@data.command
@_name
@options.data_dir
@options.image_size
def prepare(name: str, data_dir: str, image_size: int | None) -> None:
    """Download a data set where that is allowed, and decode its images into the cache."""
    from bench.datasets import ImageFiles, find_source, load_dataset
    from bench.datasets.receipts import write_receipt

    source, _ = find_source(name)
    dataset = load_dataset(name, data_dir, image_size=image_size)
    _print_counts(dataset)
    _print_remarks(dataset)
    write_receipt(name, dataset)
    in_files = isinstance(dataset.train_images, ImageFiles) and not source.downloads
    echo(f"{name} is ready{', and is read from its files' * in_files}")


@data.command
@_name
@options.data_dir
@options.image_size
def check(name: str, data_dir: str, image_size: int | None) -> None:
    """Verify checksums and counts, read every image, and print the size of each class."""
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
    changed = bool(before) and before != dataset.content_hash
    if changed:
        echo(f"changed: its content is not what it was when it was prepared (then {before})")
    if broken:
        images = "it" if len(broken) == 1 else "them"
        echo(f"{count_unreadable(len(broken))} left out of every trial: mend or remove {images}")
    elif not changed:
        echo(f"{name} is {'as it was when it was prepared' if before else 'whole'}")
    sys.exit(1 if broken or changed else 0)


@data.command
@_name
@options.data_dir
def images(name: str, data_dir: str) -> None:
    """List images in their order, as CSV: path, class, and part of the data set.

    --noise-kind labels:FILE reads such a file. Where images have no names, index and class number
    of the training images are listed.
    """
    from bench.datasets import open_dataset

    write_utf8()
    for row in _image_rows(open_dataset(name, data_dir)):
        echo(",".join(_field(text) for text in row))


def _image_rows(dataset: "Dataset") -> list[tuple[str, ...]]:
    from bench.datasets import ImageFiles

    labels = dataset.train_labels if dataset.knows_truth else dataset.delivered_labels
    if dataset.train_names is None or not isinstance(dataset.test_images, ImageFiles):
        return [("index", "label"), *((str(i), str(label)) for i, label in enumerate(labels))]
    parts = (
        ("train", dataset.train_names, labels),
        ("test", dataset.test_images.names, dataset.test_labels),
    )
    rows = {
        str(path): (str(path), dataset.classes[label] if label >= 0 else "", part)
        for part, paths, numbers in parts
        for path, label in zip(paths, numbers, strict=True)
    }
    paths = rows if dataset.all_names is None else map(str, dataset.all_names)
    return [("path", "label", "split"), *(rows[path] for path in paths)]


def _field(text: str) -> str:
    """Quote a text for CSV where it has to be."""
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if set(text) & set('",\r\n') or text != text.strip() else text


@data.command
@_name
@options.data_dir
@options.subset
@options.option(
    "Training",
    "--backbone",
    required=True,
    metavar="NAME",
    help="Network whose features are written: timm:NAME or torchvision:NAME.",
)
@options.weights
@options.network_size
@options.out(
    "", type=UserPath(dir_okay=False), required=True, metavar="FILE", help="File to write."
)
def embed(
    name: str,
    data_dir: str,
    subset: int | None,
    backbone: str,
    weights: str | None,
    network_size: int | None,
    out: Path,
) -> None:
    """Write the features of all images by a pretrained network, which npz:FILE reads.

    The file holds the labels and classes, too.
    """
    from bench.cli.network import load_encoder
    from bench.cli.plan import resolve_device
    from bench.datasets import check_dataset, load_dataset
    from bench.datasets.vector_files import write_vectors
    from bench.embedding import embed as embedded

    if out.exists():
        raise InputError(f"{str(out)!r} is there already: remove it, or choose another --out")
    check_dataset(name)
    pretrained = load_encoder(backbone, weights, network_size)
    writable(out.parent)
    dataset = load_dataset(name, data_dir, subset)
    if dataset.on_vectors:
        raise InputError(f"{name} holds vectors already: name a data set of images")
    device, _ = resolve_device("auto", "auto")
    dataset = embedded(dataset, pretrained, device=device)
    notes = _notes(dataset, pretrained)
    write_vectors(out, dataset, notes)
    for line in notes:
        echo(line)
    if dataset.extra_tests:
        echo(f"left out: the images of {', '.join(dataset.extra_tests)}")
    echo(
        f"{len(dataset.train_labels):,} training and {len(dataset.test_labels):,} test vectors are "
        f"in {out}: use them with --dataset {shlex.quote(f'npz:{out}')}"
    )


def _notes(dataset: "Dataset", pretrained: "Pretrained") -> list[str]:
    """Return lines on the origin of features: images, network, weights and their licence."""
    network = pretrained.network
    return [
        f"images: {dataset.name.partition(':')[0]}, content {dataset.content_hash}",
        f"network: {network.network}, {network.size} pixels, {network.interpolation}",
        f"weights: SHA-256 {network.weights}",
        f"trained on: {network.data}",
        f"licence of the weights: {pretrained.licence or 'unknown'}",
    ]


def _print_counts(dataset: "Dataset") -> None:
    shape = dataset.train_images.shape
    form = f"{shape[1]:,} elements"
    if not dataset.on_vectors:
        form = f"{shape[2]}x{shape[3]}, {'grey' if shape[1] == 1 else 'colour'}"
    echo(
        f"{len(dataset.train_labels):,} training and {len(dataset.test_labels):,} test "
        f"{dataset.unit}s, {form}, {dataset.num_classes} classes, content {dataset.content_hash}"
    )
    for name, (_, labels) in dataset.extra_tests.items():
        echo(f"{len(labels):,} images more to test on: {name}")
    if dataset.noisy_test:
        fifth = "a fifth of the images was held out, with labels as found"
        echo(f"no true labels to test on: {fifth if dataset.account else 'those given are noisy'}")


def _print_remarks(dataset: "Dataset") -> None:
    for line in dataset.remarks:
        echo(line)


def _print_balance(dataset: "Dataset") -> None:
    """Print the images of each class by true label, by each set of found labels, and for tests."""
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


main = partial(execute, data)
