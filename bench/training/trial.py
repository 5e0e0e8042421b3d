"""One trial, from its specification to its outcome, without Ray."""

import time
import traceback
from collections.abc import Collection

from bench import noise
from bench.datasets import Dataset
from bench.errors import InputError, Unavailable
from bench.networks.pretrained import Pretrained
from bench.planning.spec import TrialSpec
from bench.records.schema import FAILED, LOST
from bench.training.checkpoint import Checkpoint
from bench.training.encoders import Encoder
from bench.training.failures import describe, of_machine
from bench.training.isolation import as_new, give_back_memory, use_threads
from bench.training.loop import Report, Run, no_report
from bench.training.memory import keep_freed_memory, peak_memory, reset_peak_memory
from bench.training.outcome import Outcome


def run_trial(
    spec: TrialSpec,
    dataset: Dataset,
    *,
    encoder: Encoder | None = None,
    start: Pretrained | None = None,
    report: Report = no_report,
    checkpoint: Checkpoint | None = None,
    keep: Collection[str] = (),
) -> Outcome:
    """Train and evaluate as the specification says.

    Args:
        dataset: the whole data set that the specification names by its hash.
        encoder: the encoder of ``pretrain_job(spec)``; trained here if it is needed and absent.
        start: the network that the specification fine-tunes.
        report: receives each epoch's record; see ``Report``.
        checkpoint: state to go on from, and to write; the caller removes it once the outcome is on
            disk.
        keep: results to keep beside the record: names from ``records.writer.extra_results``.

    Returns:
        The outcome: failed where the method raises an error, lost where the machine does.

    Raises:
        Unavailable: where the data or the noise file are not those of the specification.
    """
    began = time.perf_counter()
    outcome = Outcome.of(spec)
    try:
        reset_peak_memory(spec.device)
        keep_freed_memory()
        with as_new(spec.device), use_threads(spec.threads):
            _check_files(spec, dataset, start)
            Run(
                spec,
                dataset,
                outcome,
                encoder=encoder,
                start=start,
                report=report,
                checkpoint=checkpoint,
                keep=keep,
            ).complete()
    except InputError:
        raise
    except Exception as error:  # a plugin may raise anything: the sweep goes on
        outcome.status = LOST if of_machine(error) else FAILED
        outcome.error = describe(error)
        outcome.traceback = traceback.format_exc()
        outcome.peak_memory_bytes = peak_memory(spec.device)
    if outcome.status in (FAILED, LOST):
        give_back_memory(spec.device)  # the traceback, which held the networks, is gone
    outcome.work_seconds = time.perf_counter() - began
    return outcome


def _check_files(spec: TrialSpec, dataset: Dataset, start: Pretrained | None) -> None:
    """Raise Unavailable unless data, noise file and weights are those of the specification."""
    if dataset.content_hash != spec.data_hash:
        raise Unavailable(
            f"the data is not what the specification names (hash {dataset.content_hash}, not "
            f"{spec.data_hash}): check --data-dir and --subset"
        )
    noise.check_files(spec.noise_spec)
    fine_tuned = spec.pretrained if spec.pretrained and not spec.pretrained.frozen else None
    if fine_tuned != (start.network if start else None):
        raise Unavailable(
            f"the trial starts from {fine_tuned.network if fine_tuned else 'random weights'}, but "
            f"was given {start.network.network if start else 'none'}: check --weights"
        )
