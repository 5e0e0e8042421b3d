"""Study ``python -m bench.study audit``: how well audits find wrong labels, beside other scores."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from bench import ops
from bench.audit.assemble import assemble
from bench.audit.check import check_audit, detection, head_accuracies, vote_scores
from bench.audit.pool import Pool, pool_of
from bench.audit.similar import find_similar
from bench.audit.study import study_report
from bench.audit.trials import plan_trials, read_judgements
from bench.cli import options
from bench.cli.commands import Command, writable
from bench.cli.options import option
from bench.cli.paths import NameOrFile
from bench.cli.terminal import echo
from bench.cli.values import CommaList
from bench.common.files import to_json, write_atomically
from bench.datasets import Dataset, load_dataset, stratified_choice
from bench.errors import InputError
from bench.noise import NoiseSpec, check_noise, corrupt, prepare
from bench.planning.spec import Plan, TrialSpec, record_of
from bench.records.schema import COMPLETED, Epoch, amount
from bench.records.trials import finished_statuses
from bench.records.writer import TrialWriter
from bench.training.trial import run_trial

#: Neighbours whose votes are compared.
VOTERS = (10, 50)

#: Methods whose own judgements are compared; they do not enter the audit's. They judge vectors
#: before they train, so that an epoch is enough.
RIVALS, RIVAL_EPOCHS = ("simifeat",), 1


@click.command(cls=Command, name="study audit")
@option("Data", "--dataset", type=NameOrFile(), default="digits", show_default=True, metavar="NAME")
@options.data_dir
@option(
    "Data",
    "--sizes",
    type=CommaList(int),
    default="0",
    metavar="N1,N2",
    show_default="0, all training samples",
    help="Numbers of training samples; each seed draws its own.",
)
@option(
    "Noise",
    "--noises",
    type=CommaList(),
    default="symmetric:0.2,asymmetric:0.2,instance:0.2",
    metavar="KIND[:RATE],...",
    show_default="symmetric, asymmetric and instance noise at 0.2",
    help="Noises of the labels.",
)
@option(
    "Training",
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="Draws of samples and noise. Labels as delivered of all samples are audited once.",
)
@option("Training", "--embedded", is_flag=True, help="The vectors are embeddings of images.")
def audit_study(
    dataset: str,
    data_dir: str,
    sizes: Sequence[int],
    noises: Sequence[str],
    seeds: int,
    embedded: bool,
    out: Path,
) -> None:
    """Audit training sets whose truth is known, in this process, and compare scores."""
    data = load_dataset(dataset, data_dir)
    if not data.knows_truth:
        raise InputError(f"the true labels of {dataset} are not known: choose another --dataset")
    for noise in noises:
        for size in sizes:
            # The labels as delivered of the whole set are the same for every seed.
            whole = size in (0, len(data.train_labels))
            for seed in range(1 if whole and ":" not in noise else seeds):
                place = writable(out / _slug(dataset, noise, size, seed))
                if not (place / "check.json").exists():
                    facts = _audit(
                        prepare(data, noise.partition(":")[0], data_dir),
                        noise,
                        size,
                        seed,
                        embedded,
                        place,
                    )
                    facts |= {"dataset": dataset.rpartition("/")[2], "noise": noise}
                    write_atomically(place / "check.json", to_json(facts, indent=1))
                echo(f"{place.name}: done")
    rows = [json.loads(path.read_text()) for path in sorted(out.glob("*/check.json"))]
    report = study_report(rows)
    write_atomically(out / "audit.md", report.encode())
    for line in report.splitlines():
        echo(line)


def _slug(dataset: str, noise: str, size: int, seed: int) -> str:
    name = Path(dataset.partition(":")[2] or dataset).stem
    return f"{name}-{noise.replace(':', '')}-{size or 'all'}-{seed}"


def _audit(
    data: Dataset, noise: str, size: int, seed: int, embedded: bool, place: Path
) -> dict[str, Any]:
    """Return the figures of one audit of a part of the training set."""
    kind, _, rate = noise.partition(":")
    if size:
        rows = np.sort(stratified_choice(data.train_labels, size, np.random.default_rng([seed, 2])))
        data = replace(data.select(rows, data.train_images[rows]), copies=())
    check_noise(kind, float(rate) if rate else None, data)
    labels = corrupt(data, NoiseSpec(kind, float(rate) if rate else None, seed))
    pool, tests = _training_part(pool_of(data, labels, as_vectors=True), len(labels))
    training_set = pool.training_set()
    specs = plan_trials(pool, training_set, RIVALS, 3, Plan(overrides=(("epochs", RIVAL_EPOCHS),)))
    statuses = finished_statuses(place)
    seconds = 0.0
    for spec in specs:
        if statuses.get(spec.id) not in COMPLETED:
            seconds += _record(spec, training_set, place)
    similar = find_similar(pool.vectors, embedded)
    audit = assemble(pool, read_judgements(place, specs, pool), similar, [()] * len(pool))
    check = check_audit(audit, pool)
    wrong = audit.given != pool.truth
    unit = torch.nn.functional.normalize(torch.from_numpy(pool.vectors), dim=1)
    votes = vote_scores({k: ops.nearest_neighbours(unit, k).numpy() for k in VOTERS}, audit.given)
    others = {name: detection(score, wrong) for name, score in votes.items()}
    return replace(check, scores=check.scores | others).to_json() | {
        "samples": len(pool),
        "seed": seed,
        "trial_seconds": seconds,
        "mean_p_wrong": float(audit.p_wrong.mean()),
        "accuracies": head_accuracies(audit, pool, tests),
    }


def _record(spec: TrialSpec, data: Dataset, place: Path) -> float:
    """Run a trial in this process, write its record, and return the seconds that it took."""
    writer = TrialWriter(place, spec.id, record_of(spec))

    def report(epochs: list[Epoch], restart: bool) -> None:
        (writer.restart if restart else writer.append)(epochs)

    outcome = run_trial(spec, data, report=report)
    writer.finish(outcome.done(), outcome.samples_bytes())
    return amount(outcome.work_seconds)


def _training_part(pool: Pool, count: int) -> tuple[Pool, tuple[np.ndarray, np.ndarray]]:
    """Return the pool of the training part alone, and vectors and labels of the test part."""
    samples = replace(
        pool.samples,
        names=pool.samples.names[:count],
        split=pool.samples.split[:count],
        index=pool.samples.index[:count],
        given=pool.samples.given[:count],
    )
    tests = pool.vectors[count:], pool.truth[count:]
    part = replace(pool, samples=samples, truth=pool.truth[:count], inputs=pool.inputs[:count])
    return part, tests


def run_audit_study(arguments: Sequence[str], out: Path) -> None:
    """Run the study with these options."""
    with audit_study.make_context("bench.study audit --", list(arguments)) as context:
        partial(audit_study.callback, out=out)(**context.params)  # type: ignore[misc, arg-type]
