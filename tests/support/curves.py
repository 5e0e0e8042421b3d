"""CSV files of other people's curves, and records of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.records.curves import read_curves
from bench.records.imports import write_imported

COLUMNS = "method,dataset,noise_kind,noise_rate,seed,epoch,noisy_val_accuracy,test_accuracy"
SOURCE = "# source: A. Nybody, 2024\n"


def run_rows(
    method: str = "fixmatch",
    test: Sequence[float | str] = (0.5, 0.75),
    noisy_val: Sequence[float | str] | None = None,
    *,
    seed: int | str = 0,
    cell: str = "digits,symmetric,0.5",
    more: Mapping[str, Sequence[float | str]] | None = None,
) -> str:
    """Return the lines of one run, with the figures of ``more`` in further columns."""
    columns = [noisy_val or test, test, *(more or {}).values()]
    lines = [
        ",".join([method, cell, str(seed), str(epoch), *map(str, figures)])
        for epoch, figures in enumerate(zip(*columns, strict=True))
    ]
    return "\n".join(lines) + "\n"


def write_curves(path: Path, *runs: str, header: str = SOURCE, columns: str = COLUMNS) -> Path:
    """Write a file of these runs; return its path."""
    path.write_text(header + columns + "\n" + "".join(runs), encoding="utf-8")
    return path


def import_runs(folder: Path, *runs: str, header: str = SOURCE, columns: str = COLUMNS) -> Path:
    """Write records of these runs into a folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write_curves(folder.with_suffix(".csv"), *runs, header=header, columns=columns)
    write_imported(read_curves(path, {}), folder, path, [])
    return folder
