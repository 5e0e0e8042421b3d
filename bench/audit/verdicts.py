"""Verdicts of people on test labels, as the authors of cleanlab have published them."""

import json
from pathlib import Path

import numpy as np

from bench.errors import InputError

#: Number of people, of five, who have to choose a label for it to be right.
MAJORITY = 3


def read_verdicts(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return for each test sample whether people found its label wrong, (M,) bool.

    The file is one of the folder mturk/ of GitHub's cleanlab/label-errors (Northcutt et al., 2021,
    arXiv 2103.14749). Five people each saw a sample of a doubtful label; it is wrong where fewer
    than three of them chose it. Samples that nobody was shown count as right.

    Args:
        labels: test labels (M,), in the order of the data set's authors.

    Raises:
        InputError: where this is no such file, or it belongs to other labels.
    """
    try:
        entries = json.loads(path.read_bytes())
        positions = np.array([entry["id"] for entry in entries], int)
        given = np.array([entry["given_original_label"] for entry in entries], int)
        votes = np.array([entry["mturk"]["given"] for entry in entries], int)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{str(path)!r} is no file of mturk/ of cleanlab/label-errors: choose one of these"
        ) from error
    inside = (positions >= 0) & (positions < len(labels))
    if not inside.all() or (labels[positions] != given).any():
        raise InputError(
            f"{str(path)!r} belongs to other test labels, or to another order of them: choose the "
            "file of this data set, and keep the order of its authors"
        )
    wrong = np.zeros(len(labels), bool)
    wrong[positions[votes < MAJORITY]] = True
    return wrong
