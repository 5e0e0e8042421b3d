"""Receipts of prepared data sets: their content hash, kept to notice a later change."""

import contextlib
import hashlib
import os

from bench.common.files import write_atomically
from bench.datasets.dataset import Dataset
from bench.datasets.images.cache_folder import cache_folder, readable_folders, unwritable
from bench.datasets.images.files import as_bytes


def write_receipt(name: str, dataset: Dataset) -> None:
    """Keep the content hash of a data set, by its name and the side of its images."""
    place = cache_folder()
    try:
        write_atomically(place / _file_name(name, dataset), dataset.content_hash.encode())
    except OSError as error:
        raise unwritable(place, error) from error


def read_receipt(name: str, dataset: Dataset) -> str | None:
    """Return the content hash that was kept for the data set, if any."""
    for folder in readable_folders():
        with contextlib.suppress(OSError):
            return (folder / _file_name(name, dataset)).read_text(errors="replace")
    return None


def _file_name(name: str, dataset: Dataset) -> str:
    kind, colon, path = name.partition(":")
    full = os.path.realpath(path) if colon else ""  # however it is written
    subject = as_bytes(f"{kind}{colon}{full} {dataset.side}")
    return f"noted-{hashlib.sha256(subject).hexdigest()[:16]}"
