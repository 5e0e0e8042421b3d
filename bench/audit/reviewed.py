"""Labels after a review: labels.csv for training, and reviewed.csv to score methods with.

``folder:`` reads both. A data set without files has them by index, and beside them as arrays,
labels.npz and reviewed.npz, which ``npz:`` reads. Images and the labels as delivered stay as they
are. What nobody decided on keeps its label in labels.csv, and has no clean label in reviewed.csv.
"""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.audit.audit import TEST, TRAIN
from bench.audit.decisions import Review, warn_of_formulas
from bench.audit.samples import Samples, has_split, own_order, root_of, trained_on
from bench.common.text import encodable, printable, shortlist
from bench.datasets import UNKNOWN, Dataset
from bench.datasets.folder.labels_csv import MISSING
from bench.datasets.npz import CLASSES, FLIPS, NAMES, NOISY, NOISY_TEST
from bench.errors import InputError

#: Names of the written files.
LABELS, REVIEWED = "labels", "reviewed"

_FILES = {f"{name}.{ending}" for name in (LABELS, REVIEWED) for ending in ("csv", "npz")}


def is_own(folder: Path) -> bool:
    """Return True for a folder that holds nothing but files that ``Reviewed`` writes."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(path.name in _FILES and path.is_file() for path in folder.iterdir())


class Reviewed:
    """Data set with the labels of a review."""

    def __init__(
        self, dataset: Dataset, samples: Samples, review: Review, flagged: Iterable[int] = ()
    ) -> None:
        """Apply a review.

        Args:
            flagged: positions of samples to drop that nobody decided on.

        Raises:
            InputError: if no sample of a class is left for training. A list of images may go
                without a class that was relabelled whole.
        """
        flagged = list(flagged)
        self.dataset, self.samples = dataset, samples
        self.labels = np.array(samples.given)  # (N,) after the review
        self.clean = np.full(len(samples.given), UNKNOWN)  # (N,) reviewed ones
        for position, label in review.labels.items():
            self.labels[position] = self.clean[position] = label
        self.left = np.ones(len(samples.given), bool)  # (N,) samples that are not dropped
        self.left[[*review.dropped, *flagged]] = False
        training = trained_on(dataset, samples)
        after = set(self.labels[training & self.left].tolist())
        lost = set(samples.given[training].tolist()) - after
        if self.in_files and len(after) > 1:
            tested = set(self.labels[~training & self.left].tolist())
            relabelled = set(samples.given[list(review.labels)].tolist())
            lost -= relabelled - tested - set(samples.given[flagged].tolist())
        if lost:
            names = shortlist(printable(samples.classes[label]) for label in sorted(lost))
            raise InputError(
                f"no training sample of the class {names} would be left: keep one by a decision, "
                "leave --drop-flagged out, or move the class out of the data set"
            )

    @property
    def in_files(self) -> bool:
        """True if all samples are images in files."""
        return root_of(self.dataset) is not None

    def write(self, folder: Path, over_own: bool = False) -> list[Path]:
        """Write all files into a new folder, which appears whole or not at all; return them.

        Args:
            over_own: replace a folder that holds nothing but such files.

        Raises:
            InputError: if there is such a folder already, or a file cannot be written.
        """
        if os.path.lexists(folder) and not (over_own and is_own(folder)):
            raise InputError(
                f"{str(folder)!r} is there already: remove it, or choose another --out"
            )
        tables = {LABELS: self._table(folder, clean=False), REVIEWED: self._table(folder, True)}
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        try:
            temporary.mkdir(parents=True)
            for name, table in tables.items():
                (temporary / f"{name}.csv").write_bytes(table)
            if not self.in_files:
                np.savez(temporary / f"{LABELS}.npz", **self._labels_arrays())
                np.savez(temporary / f"{REVIEWED}.npz", **self._reviewed_arrays())
            if over_own:
                shutil.rmtree(folder, ignore_errors=True)
            os.rename(temporary, folder)
        except OSError as error:
            raise InputError(
                f"cannot write {str(folder)!r} ({error.strerror}): choose another --out"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return sorted(folder.iterdir())

    def _table(self, folder: Path, clean: bool) -> bytes:
        """Return a CSV of all samples, or of those that are left where it has no clean labels."""
        classes, split = self.samples.classes, has_split(self.dataset)
        header = ["path", "label", *["clean_label"] * clean, *["split"] * split]
        paths = self._paths(folder)
        rows = []
        # A reader draws a test part by this order.
        for position in own_order(self.dataset, self.samples.names):
            row = [paths[position]]
            if clean:
                truth = self.clean[position]
                row += [classes[self.samples.given[position]]]
                row += ["" if truth == UNKNOWN else classes[truth]]
            elif self.left[position]:
                row += [classes[self.labels[position]]]
            else:
                continue
            rows.append([*row, *[str(self.samples.split[position])] * split])
        return _encoded([header, *rows], self.in_files)

    def _paths(self, folder: Path) -> Sequence[str]:
        """Return the path of each sample from the folder of the lists, or its name."""
        root = root_of(self.dataset)
        if root is None:
            return self.samples.names
        below = os.path.relpath(os.path.realpath(root), os.path.realpath(folder))
        return [os.path.join(below, name) for name in self.samples.names]

    def _labels_arrays(self) -> dict[str, Any]:
        """Return the arrays for training: dropped samples are left out, the truth is unknown."""
        train, test = (self.left & (self.samples.split == part) for part in (TRAIN, TEST))
        truth = np.full(int(train.sum()), UNKNOWN)
        return self._arrays(train, test, truth, self.labels[train], self.labels[test])

    def _reviewed_arrays(self) -> dict[str, Any]:
        """Return the arrays for scoring: all samples as delivered, with the reviewed labels."""
        train, test = (self.samples.split == part for part in (TRAIN, TEST))
        given, clean = self.samples.given, self.clean
        known = bool((clean[test] != UNKNOWN).all())
        tested = clean[test] if known else given[test]
        return self._arrays(train, test, clean[train], given[train], tested)

    def _arrays(
        self,
        train: np.ndarray,
        test: np.ndarray,
        truth: np.ndarray,
        noisy: np.ndarray,
        tested: np.ndarray,
    ) -> dict[str, Any]:
        """Return the arrays of an npz: set of these samples, given as masks (N,)."""
        dataset, index = self.dataset, self.samples.index
        names = NAMES["features" if dataset.on_vectors else "images"]
        parts = dataset.train_images[index[train]], truth, dataset.test_images[index[test]], tested
        arrays: dict[str, Any] = dict(zip(names, parts, strict=True))
        arrays |= {NOISY: noisy, CLASSES: np.array(dataset.classes)}
        if dataset.flips:
            arrays[FLIPS] = np.array(sorted(dataset.flips.items()))
        if dataset.noisy_test:
            arrays[NOISY_TEST] = np.array(True)
        return arrays


def unlistable(names: Iterable[str], classes: Iterable[str]) -> str:
    """Return a sentence on names that ``folder:`` cannot read back from a list, or nothing."""
    for name in names:
        if encodable(name) != name:
            return (
                f"the name of a file is no UTF-8 ({printable(name)}), and a CSV cannot hold it: "
                "rename the file, and audit again"
            )
    classes = sorted({*classes})
    for name in classes:
        if name in MISSING:
            return (
                f"the class {name!r} is what programs write for a missing label: give it another "
                "name, and audit again"
            )
    stripped = Counter(name.strip() for name in classes)
    if alike := [name for name in classes if stripped[name.strip()] > 1]:
        return (
            f"the classes {shortlist(map(repr, alike))} differ in spaces alone, which a list of "
            "labels does not keep: rename or merge their folders, and audit again"
        )
    return ""


def _encoded(rows: Sequence[Sequence[str]], to_be_read: bool) -> bytes:
    """Return a CSV; raise InputError for names that ``folder:`` could not read back from it."""
    classes = [row[1] for row in rows[1:]] if to_be_read else []
    if sentence := unlistable([row[0] for row in rows[1:]], classes):
        raise InputError(sentence)
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    warn_of_formulas([text for row in rows[1:] for text in row[:2]])
    return stream.getvalue().encode()
