"""Transition matrices in files."""

from pathlib import Path

import numpy as np

from bench.errors import InputError
from bench.noise.contents import File

#: Largest distance of a row's sum from 1: thirds may be written with three digits.
TOLERANCE = 1e-2


def read_matrix(path: Path | str) -> np.ndarray:
    """Return a row-stochastic transition matrix (C, C) from a .npy, or from text in a .csv or .txt.

    Text has a row a line, with commas or spaces between numbers. Rows that sum to 1 within a
    hundredth are scaled to it.

    Raises:
        InputError: where the file is missing, damaged, or no such matrix.
    """
    file = File(path)
    matrix = _numbers(file)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise InputError(
            f"{file} holds an array of shape {matrix.shape}: give a row and a column for each class"
        )
    if matrix.dtype.kind not in "fiu" or not np.isfinite(matrix).all() or (matrix < 0).any():
        raise InputError(
            f"{file} is no matrix of probabilities: give numbers from 0 to 1, without gaps"
        )
    matrix = matrix.astype(np.float64)
    sums = matrix.sum(1)
    if (wrong := np.flatnonzero(np.abs(sums - 1) > TOLERANCE)).size:
        transposed = (np.abs(matrix.sum(0) - 1) <= TOLERANCE).all()
        columns = " (its columns do: transpose it)" if transposed else ""
        raise InputError(
            f"row {wrong[0]} of {file} sums to {sums[wrong[0]]:g}{columns}: "
            f"give in each row, of a true class, the probabilities of all labels, which sum to 1"
        )
    return matrix / sums[:, None]


def _numbers(file: File) -> np.ndarray:
    if file.ending == ".npy":
        return file.array()
    if file.ending not in (".csv", ".txt"):
        raise InputError(f"{file} has no known ending: a matrix is read from .npy, .csv or .txt")
    rows = [row.split() for row in file.text().replace(",", " ").splitlines() if row.strip()]
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(
            f"{file} is no table of numbers ({error}): give a row a line, without a header"
        ) from error
