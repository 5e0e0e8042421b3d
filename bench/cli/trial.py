"""The command for one trial, without Ray.

python -m bench.trial SPEC.json
"""

import json
import sys
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from pathlib import Path

import click
import torch

from bench import noise
from bench.cli.commands import Once, execute, writable
from bench.cli.paths import Place, UserPath
from bench.cli.terminal import echo
from bench.datasets import Dataset, load_dataset
from bench.errors import InputError
from bench.planning.spec import TrialSpec, record_of
from bench.records.schema import COMPLETED, FINISHED, Epoch
from bench.records.trials import check_specification, finished_statuses
from bench.records.writer import TrialWriter, kept, lock
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


@click.command(name="trial", cls=Once, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("spec_file", metavar="SPEC.json", type=UserPath())
@click.option(
    "--data-dir",
    type=Place(),
    default="data",
    show_default=True,
    metavar="DIR",
    help="Where the data set's files are.",
)
@click.option(
    "--out", type=UserPath(), metavar="DIR", help="A sweep's folder to write the record to."
)
@click.option("--save-models", is_flag=True, help="Keep the final weights, as safetensors.")
@click.option(
    "--save-features", is_flag=True, help="Keep final features of training samples, for t-SNE."
)
def trial(
    spec_file: Path, data_dir: str, out: Path | None, save_models: bool, save_features: bool
) -> None:
    """Run one trial, without Ray; print an epoch a line, as JSON."""
    spec = _load_spec(spec_file)
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise InputError("the trial is for cuda, but torch sees no GPU here: set its device to cpu")
    dataset = noise.prepare(
        load_dataset(spec.dataset, data_dir, spec.subset, spec.image_size),
        spec.noise_kind,
        data_dir,
    )
    for line in dataset.remarks:
        echo(line, err=True)
    with lock(writable(out)) if out else nullcontext():
        if out and finished_statuses(out).get(spec.id) in COMPLETED:
            check_specification(out, spec.id, record_of(spec))
            echo(f"{spec.id} is on record in {out} already: nothing was run", err=True)
            return
        outcome = run_recorded(spec, dataset, out, kept(save_models, save_features))
    reason = f": {outcome.error}" if outcome.error else ""
    echo(f"{spec.id} {outcome.status}{reason}", err=True)
    sys.exit(0 if outcome.status == FINISHED else 1)


def run_recorded(
    spec: TrialSpec,
    dataset: Dataset,
    out: Path | None,
    keep: Collection[str] = (),
    checkpoint_seconds: float = 30.0,
) -> Outcome:
    """Run the trial, print its epochs, and write record and checkpoints, if ``out`` says where."""
    writer = TrialWriter(out, spec.id, record_of(spec)) if out else None

    def report(epochs: list[Epoch], restart: bool) -> None:
        if writer:
            (writer.restart if restart else writer.append)(epochs)
        for epoch in epochs:
            figures = epoch.to_json()
            figures.pop("val_predictions", None)
            echo(json.dumps(figures))

    checkpoint = (
        Checkpoint(out / "checkpoints" / f"{spec.id}.pt", checkpoint_seconds) if out else None
    )
    outcome = run_trial(spec, dataset, report=report, checkpoint=checkpoint, keep=keep)
    if writer:
        writer.finish(outcome.done(), outcome.samples_bytes(), outcome.weights_bytes())
    if checkpoint:
        checkpoint.remove()
    return outcome


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: what a user can mend is one line on the error stream and exit status 2."""
    execute(trial, arguments)
