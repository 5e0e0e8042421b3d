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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.audit.audit import TEST, TRAIN
from bench.audit.decisions import Review, warn_of_formulas
from bench.audit.samples import Samples, files_of
from bench.common.text import printable, shortlist
from bench.datasets import UNKNOWN, Dataset
from bench.datasets.folder.labels_csv import MISSING
from bench.datasets.npz import CLASSES, FLIPS, NAMES, NOISY, NOISY_TEST
from bench.errors import InputError

#: Names of the written files.
LABELS, REVIEWED = "labels", "reviewed"


class Reviewed:
    """Data set with the labels of a review."""

    def __init__(self, dataset: Dataset, samples: Samples, review: Review) -> None:
        """Apply a review.

        Raises:
            InputError: if no sample of a class is left for training.
        """
        self.dataset, self.samples = dataset, samples
        self.labels = np.array(samples.given)  # (N,) after the review
        self.clean = np.full(len(samples.given), UNKNOWN)  # (N,) reviewed ones
        for position, label in review.labels.items():
            self.labels[position] = self.clean[position] = label
        self.left = np.ones(len(samples.given), bool)  # (N,) samples that are not dropped
        self.left[list(review.dropped)] = False
        training = samples.split == TRAIN
        before, after = samples.given[training], self.labels[training & self.left]
        if lost := sorted(set(before.tolist()) - set(after.tolist())):
            names = shortlist(printable(samples.classes[label]) for label in lost)
            raise InputError(
                f"no training sample of the class {names} would be left: keep one by a decision, "
                "leave --drop-flagged out, or move the class out of the data set"
            )

    @property
    def in_files(self) -> bool:
        """True if all samples are images in files."""
        return all(files_of(self.dataset, part) is not None for part in (TRAIN, TEST))

    def write(self, folder: Path) -> list[Path]:
        """Write all files into a new folder, which appears whole or not at all; return them.

        Raises:
            InputError: if there is such a folder already, or a file cannot be written.
        """
        if os.path.lexists(folder):
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
        classes, split = self.samples.classes, self._has_split
        header = ["path", "label", *["clean_label"] * clean, *["split"] * split]
        paths = self._paths(folder)
        rows = []
        for position in self._order():
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
        return _encoded([header, *rows], classes if self.in_files else ())

    @property
    def _has_split(self) -> bool:
        """True if the test part is the user's; otherwise ``folder:`` holds one out again."""
        return not (self.in_files and self.dataset.noisy_test)

    def _paths(self, folder: Path) -> Sequence[str]:
        """Return the path of each sample from the folder of the lists, or its name."""
        if not self.in_files:
            return self.samples.names
        here = os.path.realpath(folder)
        roots = {}
        for part in (TRAIN, TEST):
            files = files_of(self.dataset, part)
            assert files is not None
            roots[part] = os.path.relpath(os.path.realpath(files.root), here)
        named = zip(self.samples.split, self.samples.names, strict=True)
        return [os.path.join(roots[str(part)], name) for part, name in named]

    def _order(self) -> Sequence[int]:
        """Return the positions in the data set's own order, by which a test part is held out."""
        positions = {name: position for position, name in enumerate(self.samples.names)}
        names = self.dataset.all_names
        if names is None:
            return list(positions.values())
        return [positions[str(name)] for name in names if str(name) in positions]

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


def _encoded(rows: Sequence[Sequence[str]], classes: Sequence[str]) -> bytes:
    """Return a CSV; raise InputError for names that ``folder:`` could not read back from it."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    warn_of_formulas([text for row in rows[1:] for text in row[:2]])
    try:
        content = stream.getvalue().encode()
    except UnicodeEncodeError as error:
        name = stream.getvalue()[: error.end].split("\n")[-1]
        raise InputError(
            f"the name of a file is no UTF-8 ({printable(name)}), and a CSV cannot hold it: rename "
            "the file, and audit again"
        ) from error
    if missing := sorted({*classes} & MISSING):
        raise InputError(
            f"the class {missing[0]!r} is what programs write for a missing label: give it another "
            "name, and audit again"
        )
    stripped = Counter(name.strip() for name in classes)
    if alike := [name for name in classes if stripped[name.strip()] > 1]:
        raise InputError(
            f"the classes {shortlist(map(repr, alike))} differ in spaces alone, which a list of "
            "labels does not keep: rename or merge their folders, and audit again"
        )
    return content
