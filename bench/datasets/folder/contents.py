"""Contents of a folder: images with their labels, and the reasons for the other files."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.file_account import Account
from bench.datasets.folder.file_walk import File
from bench.datasets.folder.image_formats import objection
from bench.datasets.folder.labels_csv import LABELS

#: Reasons to pass over an image.
NO_CLASS = "outside any class folder"
NO_USE = "validation images, not used"
NOT_LISTED = f"not listed in {LABELS}"
LIST = "the list of labels itself"

#: Note on validation images beside test images.
UNUSED_VALIDATION = (
    "validation images have no use beside test images: a noisy validation set is split off the "
    "training images"
)


@dataclass(frozen=True)
class Entry:
    """One image with its labels."""

    path: str
    label: str
    clean: str | None
    split: str | None  # train or test
    line: int = 0  # of labels.csv


@dataclass(frozen=True)
class Contents:
    """Images of a folder, and the account of all its files."""

    entries: Sequence[Entry]
    account: Account


class PassedOver(defaultdict[str, list[str]]):
    """Files that are not used: reason -> names."""

    def __init__(self) -> None:
        super().__init__(list)

    def is_usable(self, folder: Path, file: File) -> bool:
        """Return True if the file is an image to use; otherwise add it here."""
        reason = file.reason or objection(os.path.join(folder, file.name))
        if reason:
            self[reason].append(file.name)
        return reason is None

    def account(self, files: int, notes: Iterable[str]) -> Account:
        """Return the account of that many files."""
        ordered = {reason: tuple(sorted(names)) for reason, names in self.items()}
        return Account(files, ordered, tuple(notes))
