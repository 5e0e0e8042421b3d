"""Parts of the benchmark by name: their measurement, and the tables that show it."""

import json
import os
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from bench.cli.terminal import console, echo, print_table, styled
from bench.common.version import git_commit
from bench.errors import InputError
from bench.networks.cpu import processor
from bench.speed.data import data
from bench.speed.epochs import epoch
from bench.speed.measure import Different, Nothing, Row, Settings
from bench.speed.methods import BOUND, methods
from bench.speed.networks import computes_bfloat16, evaluation, step
from bench.speed.overhead import sweep
from bench.speed.pieces import mixture, neighbours
from bench.speed.searches import search
from bench.training.isolation import give_back_memory
from bench.training.memory import keep_freed_memory

#: Parts by name, with the other side's name; those of minutes come last.
PARTS: dict[str, tuple[Callable[[Settings], Iterable[Row]], str]] = {
    "data": (data, "authors' style"),
    "step": (step, "authors' style; of bf16 on a CPU: ours in float32"),
    "eval": (evaluation, "authors' style"),
    "neighbours": (neighbours, "authors' style"),
    "mixture": (mixture, "authors' style"),
    "search": (search, "TPE that sees all configurations; images are draws"),
    "epoch": (epoch, "authors' style; of bf16: ours in float32"),
    "sweep": (sweep, "the same trials without records and Ray"),
    "methods": (methods, f"its passes through the network; ! if ours takes over {BOUND:.0%}"),
}

#: Headings of the table, which ``cells`` fills.
COLUMNS = (
    *("", "network", "s", "s of theirs", "images/s", "ratio", "min..max", "of theirs"),
    "of the ceiling",
)


def measure(parts: Sequence[str], settings: Settings, file: Path | None) -> bool:
    """Print and write the rows of these parts; return whether all of them could be measured.

    Errors of a single part are raised.
    """
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(settings.threads)
    keep_freed_memory()  # as in a trial; the other side gains, too
    records = _other_rows(file, parts, settings.device)
    complete = True
    for name in parts:
        try:
            with threadpool_limits(settings.threads):  # of scikit-learn
                rows = list(PARTS[name][0](settings))
        except (Different, Nothing, RuntimeError) as error:  # a RuntimeError: out of memory
            if len(parts) == 1:
                raise
            if isinstance(error, Nothing):
                echo(f"{name} is left out: {error}")
                continue
            if not isinstance(error, Different):
                traceback.print_exception(error)
            echo(f"{name} could not be measured: {error}", err=True)
            complete = False
            continue
        finally:
            give_back_memory(settings.device)  # to processes that the next part may start
        show(name, rows)
        records += [asdict(row) | origin(settings.device) for row in rows]
        if file:  # after each part, because a later one may take too long
            file.write_text(json.dumps(records, indent=2) + "\n")
    if not computes_bfloat16(settings.device) and not {"step", "epoch"}.isdisjoint(parts):
        echo(
            "step and epoch in bfloat16 are left out: this CPU has no units for it (AVX512-BF16 or "
            "AMX)"
        )
    return complete


def _other_rows(file: Path | None, parts: Sequence[str], device: str) -> list[dict[str, object]]:
    """Return the rows of an earlier run that this one does not measure anew.

    Raises:
        InputError: where the file holds something else.
    """
    if not file or not file.is_file() or not file.stat().st_size:
        return []
    try:
        rows = json.loads(file.read_bytes())
        return [row for row in rows if row["part"] not in parts or row["device"] != device]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"--json {str(file)!r} is a file that holds no rows of this command: give the name of "
            "a new one"
        ) from error


def origin(device: str) -> dict[str, object]:
    """Return the machine and the code of a row."""
    cpu = f"{processor()}, {os.cpu_count()} cores"
    machine = torch.cuda.get_device_name() if device == "cuda" else cpu
    return {"machine": machine, "torch": torch.__version__, "git_commit": git_commit()}


def show(part: str, rows: Sequence[Row]) -> None:
    """Print the table of a part."""
    from rich.table import Table

    title = f"{part}, threads: {rows[0].threads}, device: {rows[0].device}"
    table = Table(*COLUMNS, title=title, caption=f"theirs: {PARTS[part][1]}")
    output = console()
    for row in rows:
        table.add_row(*(styled(output, text) for text in cells(row)))
    print_table(output, table)


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of a row's cells."""
    low, high = row.spread
    slow = " !" * (row.part == "methods" and 1 / row.ratio > BOUND)
    return (
        row.name,
        row.network or "",
        f"{row.ours_s:.3g}",
        f"{row.theirs_s:.3g}",
        f"{row.ours_images_per_s:,.0f}",
        f"{row.ratio:.2f}",
        f"{low:.2f}..{high:.2f}",
        f"{1 / row.ratio:.1%}{slow}",
        "none" if row.share is None else f"{row.share:.0%} {row.ceiling}",
    )
