"""Records without training, with figures that a test can compute by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.common.files import to_json, write_atomically
from bench.common.identity import plain_id, trial_id
from bench.common.version import git_commit
from bench.planning.selection import ALL
from bench.records.schema import Done, Epoch, SpecFile
from bench.records.writer import TrialWriter
from bench.report.rows import load_sides

RECIPE = {
    "backbone": "tiny_cnn",
    "epochs": 2,
    "augmentation": "none",
    "batch_size": 128,
    "optimizer": "sgd",
    "learning_rate": 0.02,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "schedule": "cosine",
    "milestones": [],
    "gamma": 0.1,
    "period": 1.0,
    "minimum": 0.0,
}
CLASSES = 10


def lines(epochs: Iterable[Epoch]) -> list[dict[str, Any]]:
    """Return epochs as the dictionaries of their lines."""
    return [epoch.to_json() for epoch in epochs]


@dataclass(frozen=True)
class RawEpoch:
    """Line of a record, of any keys and values."""

    values: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return self.values


class RecordWriter(TrialWriter):
    """TrialWriter of dictionaries, whatever they hold."""

    def __init__(
        self,
        sweep: Path,
        name: str,
        content: dict[str, Any] | SpecFile,
        draw: int | None = None,
    ) -> None:
        file = content if isinstance(content, SpecFile) else SpecFile(**content)
        super().__init__(sweep, name, file, draw)

    def restart(self, epochs: Iterable[dict[str, Any]] = ()) -> None:
        super().restart(map(RawEpoch, epochs))

    def append(self, epochs: Iterable[dict[str, Any]]) -> None:
        super().append(map(RawEpoch, epochs))

    def finish(
        self, done: dict[str, Any], samples: bytes | None = None, weights: bytes | None = None
    ) -> None:
        super().finish(Done(status="finished"), samples, weights)
        content = {"git_commit": git_commit()} | done
        write_atomically(self.folder / "done.json", to_json(content, indent=1))


def write_trial(
    sweep: Path,
    method: str = "ce",
    *,
    test: Sequence[float] = (0.5,),
    noisy_val: Sequence[float] | None = None,
    seed: int = 0,
    rate: float | None = 0.5,
    config: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    status: str = "finished",
    spec: Mapping[str, Any] | None = None,
    done: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    epochs: Mapping[str, Sequence[float | str | None]] | None = None,
    earlier: bool = False,
    draw: int | None = None,
) -> Path:
    """Write one trial of 100 validation images and 10 classes; return its folder.

    Args:
        test: test accuracy of each epoch.
        noisy_val: accuracy on noisy validation labels of each epoch; as ``test`` where missing.
        config: the settings that differ from ``defaults``, which are those of a made-up method.
        spec: fields of the specification to replace.
        done: fields of done.json to replace; None removes one.
        recipe: fields of the recipe to replace.
        epochs: further figures of each epoch, by name.
        earlier: whether a version wrote it that took paths for a part of what a trial is.
        draw: number of configurations that the trial's search had drawn before it.
    """
    config = dict(config or {})
    fields: dict[str, Any] = {
        "method": method,
        "hparams": {**(defaults or {}), **config},
        "dataset": "digits",
        "data_hash": "0123456789abcdef",
        "subset": None,
        "image_size": None,
        "noise_kind": "symmetric",
        "noise_hash": None,
        "noise_rate": rate,
        "noise_sampling": "exact",
        "noise_seed": seed,
        "split_seed": seed,
        "train_seed": seed,
        "validation_share": 0.1,
        "protocol": "shared",
        "recipe": {**RECIPE, "epochs": len(test), **(recipe or {})},
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        **(spec or {}),
    }
    facts: dict[str, Any] = {
        "schema": 1,
        "status": status,
        "error": None,
        "noise": {
            "nominal_rate": rate,
            "realised_rate": rate,
            "transition_matrix": [[1 / CLASSES] * CLASSES] * CLASSES,
        },
        "classes": CLASSES,
        "train_images": 900,
        "validation_images": 100,
        "test_images": 360,
        "privileges": [],
        "epochs": len(test),
        "passes_trained": float(len(test)),
        "passes_inferred": 0.0,
        "peak_memory_bytes": 500_000_000,
        "train_seconds": 2.0,
        "eval_seconds": 0.1,
        "pretrain_seconds": 0.0,
        **(done or {}),
    }
    name = plain_id(fields) if earlier else trial_id(fields)
    writer = RecordWriter(sweep, name, {"spec": fields, "config": config}, draw)
    writer.restart()
    curves = {"noisy_val_accuracy": noisy_val or test, "test_accuracy": test, **(epochs or {})}
    figures = zip(*curves.values(), strict=True)
    writer.append(
        {"epoch": e, **dict(zip(curves, values, strict=True))} for e, values in enumerate(figures)
    )
    writer.finish({key: value for key, value in facts.items() if value is not None})
    return writer.folder


def load_rows(folders: Sequence[Path], clean_images: str = ALL) -> pd.DataFrame:
    """Return the rows of one set of folders."""
    [rows] = load_sides([folders], clean_images)
    return rows


def timeless(value: Any) -> Any:
    """Return a record without the keys that differ between equal trials: times and memory."""
    if isinstance(value, dict):
        return {
            key: timeless(item)
            for key, item in value.items()
            if not key.endswith(("_seconds", "_bytes"))
        }
    return value
