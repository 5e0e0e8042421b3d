"""One trial in this process, without Ray: from a specification to a record."""

import json
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path

import torch
from msgspec import UNSET

from bench import noise
from bench.cli.commands import writable
from bench.cli.network import load_recorded
from bench.cli.terminal import echo
from bench.datasets import Dataset, load_dataset
from bench.embedding import embed
from bench.errors import InputError
from bench.networks.pretrained import Pretrained
from bench.planning.spec import TrialSpec, record_of
from bench.records.schema import COMPLETED, FINISHED, Epoch
from bench.records.trials import check_own, check_specification, finished_statuses
from bench.records.writer import TrialWriter, lock
from bench.training.checkpoint import Checkpoint
from bench.training.outcome import Outcome
from bench.training.trial import run_trial


def _load_spec(path: Path) -> TrialSpec:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read {str(path)!r} as JSON ({error}): give a sweep's trials/ID/spec.json"
        ) from error
    return TrialSpec.from_json(values.get("spec", values) if isinstance(values, dict) else {})


def run_file(
    spec_file: Path, data_dir: str, weights: str | None, out: Path | None, keep: Collection[str]
) -> int:
    """Run the trial of a spec.json and return the exit status of the command.

    Args:
        weights: file of the pretrained network's weights; by default the library's.

    Raises:
        InputError: where the file is no specification, or this machine lacks what the trial needs.
    """
    spec = _load_spec(spec_file)
    if out:
        check_own(out)
    dataset, start = inputs_of(spec, data_dir, weights)
    with lock(writable(out)) if out else nullcontext():
        if out and finished_statuses(out).get(spec.id) in COMPLETED:
            check_specification(out, spec.id, record_of(spec))
            echo(f"{spec.id} is on record in {out} already: nothing was run", err=True)
            return 0
        outcome = run_recorded(spec, dataset, out, keep, start=start)
    reason = f": {outcome.error}" if outcome.error else ""
    echo(f"{spec.id} {outcome.status}{reason}", err=True)
    return 0 if outcome.status == FINISHED else 1


def data_of(spec: TrialSpec, data_dir: str) -> Dataset:
    """Return the data set of a specification, with what its noise needs."""
    return noise.prepare(
        load_dataset(spec.dataset, data_dir, spec.subset, spec.image_size),
        spec.noise_kind,
        data_dir,
    )


def inputs_of(
    spec: TrialSpec, data_dir: str, weights: str | None
) -> tuple[Dataset, Pretrained | None]:
    """Return what a trial trains on: its data set, and the network that it fine-tunes.

    Images are embedded where the trial has a frozen network.

    Args:
        weights: file of the pretrained network's weights; by default the library's.

    Raises:
        InputError: where this machine lacks what the trial needs.
    """
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise InputError("the trial is for cuda, but torch sees no GPU here: set its device to cpu")
    dataset = data_of(spec, data_dir)
    for line in dataset.remarks:
        echo(line, err=True)
    network = load_recorded(spec.pretrained, weights) if spec.pretrained else None
    if network and network.network.frozen:
        return embed(dataset, network, device=spec.device, threads=spec.threads), None
    return dataset, network


def run_recorded(
    spec: TrialSpec,
    dataset: Dataset,
    out: Path | None,
    keep: Collection[str] = (),
    checkpoint_seconds: float = 30.0,
    start: Pretrained | None = None,
) -> Outcome:
    """Run a trial and print its epochs; write record and checkpoints to ``out``, if it is given."""
    writer = TrialWriter(out, spec.id, record_of(spec)) if out else None

    resumed = False

    def report(epochs: list[Epoch], restart: bool) -> None:
        nonlocal resumed
        resumed = resumed or (restart and bool(epochs))
        if writer:
            (writer.restart if restart else writer.append)(epochs)
        for epoch in epochs:
            figures = epoch.to_json()
            figures.pop("val_predictions", None)
            echo(json.dumps(figures))

    path = out / "checkpoints" / f"{spec.id}.pt" if out else None
    checkpoint = Checkpoint(path, checkpoint_seconds) if path else None
    outcome = run_trial(spec, dataset, start=start, report=report, checkpoint=checkpoint, keep=keep)
    if resumed:  # another machine may have computed the beginning
        outcome.build = UNSET
    if writer:
        writer.finish(outcome.done(), outcome.samples_bytes(), outcome.weights_bytes())
    if checkpoint:
        checkpoint.remove()
    return outcome
