"""Download of data sets by torchvision."""

import urllib.error
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError, reason_of


def download(source: Callable, data_dir: Path) -> list:
    """Return the training and the test set of a torchvision class, downloaded where missing."""
    try:
        return [source(data_dir, train=train, download=True) for train in (True, False)]
    except (urllib.error.URLError, ConnectionError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"{source.__name__} is not whole under {str(data_dir)!r} and could not be downloaded "
            f"({reason_of(error)}): put its files there and name the folder with --data-dir"
        ) from error
