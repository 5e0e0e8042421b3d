"""Worker of a sweep: does one piece of work after another and reports to the driver."""

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import ray
import torch
from msgspec import UNSET
from ray import tune

from bench.common.importing import PLUGINS, import_bundled
from bench.datasets import Dataset
from bench.errors import InputError
from bench.networks.pretrained import Pretrained
from bench.planning.pretraining import PretrainJob
from bench.planning.spec import TrialSpec
from bench.records.schema import FAILED, LOST, Epoch
from bench.sweep.messages import (
    Began,
    EncoderTrained,
    Ended,
    Epochs,
    Failed,
    Message,
    PretrainingEpoch,
    Warned,
)
from bench.training.checkpoint import Checkpoint
from bench.training.encoders import load_encoder, save_encoder
from bench.training.failures import describe, of_machine
from bench.training.memory import peak_memory
from bench.training.pretrain import run_pretraining
from bench.training.storage import Store
from bench.training.trial import run_trial

# Objects that Ray unpickles name these packages: a user's folder must not take their place.
for _package in PLUGINS:
    import_bundled(_package)

#: Epochs shorter than this many seconds are reported together.
REPORT_SECONDS = 0.5

#: Bound of the messages a second that the driver gets from all trials, of which it takes some
#: milliseconds each: with more trials at a time, each of them reports more epochs together.
MESSAGES_PER_SECOND = 100

Send = Callable[[Message], None]


@dataclass(frozen=True)
class Duties:
    """Settings that hold for all work of a sweep."""

    store: str  # folder or address of checkpoints
    run: str  # id of the sweep's run, which owns the store
    checkpoint_seconds: float
    keep: Collection[str]  # names from ``records.writer.extra_results``
    timed: bool  # whether there is a time limit for a trial
    report_seconds: float = REPORT_SECONDS  # least time between two reports of epochs


def report_seconds(parallel: int) -> float:
    """Return the least seconds between two reports of a trial, where so many run at a time."""
    return max(REPORT_SECONDS, parallel / MESSAGES_PER_SECOND)


def train(
    config: dict[str, Any], dataset: Dataset, duties: Duties, start: Pretrained | None = None
) -> None:
    """Do one piece of work, as a Tune worker.

    Args:
        config: references into the object store: "work", a pair of a specification as JSON and a
            PretrainJob, one of them None; and "encoder", safetensors or None.
        start: the network that trials fine-tune, those of them that start from weights.
    """
    count = 0

    def send(message: Message) -> None:
        nonlocal count
        count += 1
        message.number = count
        # In a tuple, since Tune flattens nested dictionaries at every report.
        tune.report({"message": (message,)})

    _leave_broken_device()
    if duties.timed:
        send(Began())
    values, job = ray.get(config["work"])
    if job is not None:
        _pretrain(job, dataset, start if job.pretrained else None, send)
        return
    assert values is not None
    encoder = ray.get(config["encoder"]) if config["encoder"] else None
    _train(values, encoder, dataset, start, duties, send)


def _train(
    values: dict[str, Any],
    content: bytes | None,
    dataset: Dataset,
    start: Pretrained | None,
    duties: Duties,
    send: Send,
) -> None:
    """Run a trial, and send its record or the reason why there is none."""
    began = time.perf_counter()
    status = LOST  # until the trial itself begins, errors are this machine's
    try:
        spec = TrialSpec.from_json(values)
        encoder = load_encoder(content) if content else None
        status = FAILED
        report = _Reporter(send, spec.device, duties.report_seconds)
        store = Store(duties.store)
        outcome = run_trial(
            spec,
            dataset,
            encoder=encoder,
            start=start if spec.pretrained else None,
            report=report,
            checkpoint=Checkpoint(
                store.file(spec.id),
                duties.checkpoint_seconds,
                warn=lambda text: send(Warned(text=text)),
                allowed=lambda: store.owner() in (duties.run, None),
            ),
            keep=duties.keep,
        )
        if report.resumed or content:  # another machine may have computed a part
            outcome.build = UNSET
        ended = Ended(
            done=outcome.done(),
            samples=outcome.samples_bytes(),
            weights=outcome.weights_bytes(),
        )
    except Exception as error:
        # Such as a plugin or a file that this machine lacks: the worker goes on.
        text = str(error) if isinstance(error, InputError) else describe(error)
        status = LOST if of_machine(error) else status
        send(Failed(status=status, error=text, seconds=time.perf_counter() - began))
        return
    report.flush()
    send(ended)


def _leave_broken_device() -> None:
    """End this process if an earlier trial has broken its GPU context, as failed assertions do.

    All later trials of the process would fail with that error. Ray starts a new process.
    """
    try:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except RuntimeError:
        os._exit(1)


def _pretrain(job: PretrainJob, dataset: Dataset, start: Pretrained | None, send: Send) -> None:
    """Train an encoder, and send it or the reason why there is none."""
    began = reported = time.perf_counter()

    def beat(epoch: int, loss: float) -> None:
        nonlocal reported
        if time.perf_counter() - reported >= REPORT_SECONDS:
            reported = time.perf_counter()
            send(PretrainingEpoch(epoch=epoch))

    try:
        encoder = run_pretraining(job, dataset, beat, start)
    except Exception as error:
        # A collapse, or any error of torch: the trials that need the encoder get the same status.
        status = LOST if of_machine(error) else FAILED
        seconds = time.perf_counter() - began
        send(Failed(status=status, error=describe(error), seconds=seconds))
        return
    send(EncoderTrained(encoder=save_encoder(encoder), seconds=time.perf_counter() - began))


class _Reporter:
    """Sender of epochs, several at once where they are short: each message waits for an answer."""

    def __init__(self, send: Send, device: str, seconds: float = REPORT_SECONDS) -> None:
        self.send = send
        self.device = device
        self.seconds = seconds
        self.waiting: list[Epoch] = []
        self.last = 0.0
        self.resumed = False

    def __call__(self, epochs: list[Epoch], restart: bool) -> None:
        if restart:
            self.waiting.clear()
            self.resumed = bool(epochs)
            self._send(epochs, True)
            return
        self.waiting += epochs
        if time.perf_counter() - self.last >= self.seconds:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self._send(self.waiting, False)
        self.waiting = []

    def _send(self, epochs: list[Epoch], restart: bool) -> None:
        memory = peak_memory(self.device)
        self.send(Epochs(epochs=epochs, restart=restart, peak_memory_bytes=memory))
        self.last = time.perf_counter()
