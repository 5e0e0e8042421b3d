"""Records of trials that other people ran, made of their curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from bench.common.files import to_json, write_atomically
from bench.common.identity import IMPORTED, trial_id
from bench.errors import InputError
from bench.records.curves import Curves, Point, RunKey
from bench.records.schema import (
    FINISHED,
    SCHEMA,
    Done,
    Epoch,
    Imported,
    RecipeFacts,
    SpecFile,
    Specification,
)
from bench.records.trials import check_own
from bench.records.writer import TrialWriter, lock

_UNKNOWN = "unknown"


def write_imported(curves: Curves, out: Path, file: Path, command: Sequence[str]) -> None:
    """Write a record for each run, and sweep.json, into a folder without trials.

    Args:
        file: that the curves are from, for sweep.json.
        command: words of the command line, likewise.

    Raises:
        InputError: where the folder holds trials or a board.
    """
    header = curves.header
    origin = Imported(header["source"], header.get("code", ""), header.get("licence", ""))
    backbone = header.get("backbone") or _UNKNOWN
    with lock(out):
        if (out / "trials").is_dir() and any((out / "trials").iterdir()):
            raise InputError(f"{str(out)!r} holds trials: choose another --out, or delete it")
        check_own(out)
        names = []
        for key, points in curves.runs.items():
            spec = _specification(
                key, RecipeFacts(backbone, len(points)), curves.validation_share, origin
            )
            names.append(trial_id(spec))
            writer = TrialWriter(out, names[-1], SpecFile(spec=spec, config={}))
            writer.restart(_epochs(points))
            writer.finish(_done(points))
        facts = {
            "schema": SCHEMA,
            "command": list(command),
            "imported": msgspec.to_builtins(origin),
            "curves": {
                "file": file.name,
                "sha256": curves.sha256,
            },
            "trials": sorted(names),
        }
        write_atomically(out / "sweep.json", to_json(facts, indent=1))


def _specification(
    key: RunKey, recipe: RecipeFacts, share: float | None, origin: Imported
) -> dict[str, Any]:
    """Return the specification of a run, as in ``spec.json``."""
    spec: Specification[RecipeFacts, None] = Specification(
        method=key.method,
        hparams={},
        dataset=key.dataset,
        data_hash="",
        subset=None,
        image_size=None,
        noise_kind=key.noise_kind,
        noise_hash=None,
        noise_rate=key.noise_rate,
        noise_sampling="",
        noise_seed=key.seed,
        split_seed=key.seed,
        train_seed=key.seed,
        validation_share=share,
        protocol=IMPORTED,
        recipe=recipe,
        device="",
        precision="",
        threads=None,
        pretrained=None,
        imported=origin,
    )
    values: dict[str, Any] = msgspec.to_builtins(spec)
    # At their default, younger fields are left out.
    for name in ("stage", "told", "graphs", "pretrained"):
        del values[name]
    return values


def _epochs(points: Sequence[Point]) -> list[Epoch]:
    return [
        Epoch(
            schema=UNSET if epoch else SCHEMA,
            epoch=epoch,
            noisy_val_accuracy=point.noisy_val_accuracy,
            test_accuracy=point.test_accuracy,
            train_seconds=UNSET if point.seconds is None else point.seconds,
        )
        for epoch, point in enumerate(points)
    ]


def _done(points: Sequence[Point]) -> Done:
    return Done(
        schema=SCHEMA,
        status=FINISHED,
        train_seconds=_total([point.seconds for point in points]),
        passes_trained=_total([point.passes for point in points]),
        epochs=len(points),
    )


def _total(figures: Sequence[float | None]) -> float | None:
    """Return the sum of a figure over epochs; None where an epoch lacks it."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if len(known) == len(figures) else None
