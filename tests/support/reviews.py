"""Data sets to review, their audits, and files of decisions."""

from pathlib import Path
from typing import Any

import numpy as np
from audits import CLASSES, fabricated
from image_sets import save

from bench.audit.audit import Audit
from bench.audit.samples import Samples, samples_of
from bench.datasets import Dataset

HEADER = "path,given_label,decision,label,data,decisions\n"


def write_pets(root: Path, each: int = 10) -> Path:
    """Write images of cats, dogs and foxes, each class of a colour of its own."""
    for number in range(each * 3):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 80, (20, 24, 3), dtype=np.uint8)
        pixels[..., number % 3] += 150
        save(root / CLASSES[number % 3] / f"{number:02}.png", pixels)
    return root


def audit_of(dataset: Dataset, **changes: Any) -> Audit:
    """Return an audit of a data set of three classes in which every fourth label is flagged."""
    samples = samples_of(dataset)
    given = np.asarray(samples.given)
    flagged = np.arange(len(given)) % 4 == 1
    suggested = np.where(flagged, (given + 1) % 3, given)
    settings = {
        "dataset": dataset.name,
        "data_hash": samples.data_hash,
        "classes": samples.classes,
        "names": samples.names,
        "split": samples.split,
        "index": samples.index,
        "given": given,
        "suggested": suggested,
        "second": (suggested + 1) % 3,
        "third": (suggested + 2) % 3,
    }
    return fabricated(len(given), int((samples.split == "test").sum()), **settings | changes)


def write_decisions(path: Path, samples: Samples, *lines: str) -> Path:
    """Write decisions.csv of ``path,given_label,decision,label`` for each line."""
    ends = f"{samples.data_hash},{len(lines)}\n"
    path.write_text(HEADER + "".join(f"{line},{ends}" for line in lines), encoding="utf-8")
    return path
