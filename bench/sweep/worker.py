"""What a worker's process does: one piece of work after another, each told to the driver as it
goes.
"""

import os
import time
from collections.abc import Callable, Collection
from typing import Any

import ray
import torch
from ray import tune

from bench.common.importing import PLUGINS, own_package
from bench.datasets import Dataset
from bench.errors import InputError
from bench.planning.spec import TrialSpec
from bench.records.schema import LOST
from bench.training.pretrain import Encoder, PretrainJob, load_encoder, save_encoder
from bench.training.storage import Store
from bench.training.trial import (
    Checkpoint,
    describe,
    of_machine,
    peak_memory,
    run_pretraining,
    run_trial,
)

# What Ray unpickles here names the plugins of this package, not those of a folder of the same name.
for _package in PLUGINS:
    own_package(_package)

REPORT_SECONDS = 0.5  # epochs shorter than this are reported together


def train(
    config: dict[str, Any],
    dataset: Dataset,
    store: str,
    run: str,
    checkpoint_seconds: float,
    keep: Collection[str],
    timed: bool,
) -> None:
    """Do one piece of work, as a Tune worker. ``run`` is that of the sweep, which owns the store of
    checkpoints.
    """
    number = 0

    def send(kind: str, content: dict[str, Any]) -> None:
        nonlocal number
        number += 1
        # A tuple: Tune takes nested dictionaries apart, at every report.
        tune.report({"message": ({"kind": kind, "number": number, **content},)})

    _leave_broken_device()
    if timed:
        send("began", {})
    values, job = ray.get(config["work"])
    if job is not None:
        _pretrain(job, dataset, send)
        return
    assert values is not None
    blob = ray.get(config["encoder"]) if config["encoder"] else None
    start = time.perf_counter()
    status = LOST  # until the trial itself begins, what goes wrong is this machine's
    try:
        spec = TrialSpec.from_json(values)
        encoder = load_encoder(blob) if blob else None
        status = "failed"
        report = _Reporter(send, spec.device)
        place = Store(store)
        outcome = run_trial(
            spec,
            dataset,
            encoder=encoder,
            report=report,
            checkpoint=Checkpoint(
                place.file(spec.id),
                checkpoint_seconds,
                warn=lambda text: send("warning", {"text": text}),
                allowed=lambda: place.owner() in (run, None),
            ),
            keep=keep,
        )
        content = {
            "facts": outcome.facts,
            "samples": outcome.samples_bytes(),
            "weights": outcome.weights_bytes(),
        }
    except Exception as error:
        # a plugin or a file that this machine does not have: a row, not a dead worker
        text = str(error) if isinstance(error, InputError) else describe(error)
        status = LOST if of_machine(error) else status
        send("failed", {"status": status, "error": text, "seconds": time.perf_counter() - start})
        return
    report.flush()
    send("done", content)


def _leave_broken_device() -> None:
    """End this process if an earlier trial has broken its GPU context, as a failed assertion on the
    device does.

    All later trials of the process would fail with that trial's error. Ray gives this one to a new
    process.
    """
    try:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except RuntimeError:
        os._exit(1)


def _pretrain(
    job: PretrainJob, dataset: Dataset, send: Callable[[str, dict[str, Any]], None]
) -> None:
    start = last = time.perf_counter()

    def beat(epoch: int, loss: float) -> None:
        nonlocal last
        if time.perf_counter() - last >= REPORT_SECONDS:
            last = time.perf_counter()
            send("beat", {"epoch": epoch})

    try:
        encoder: Encoder = run_pretraining(job, dataset, beat)
    except Exception as error:
        # a collapse, or anything torch may raise: the trials that need it end like it
        status = LOST if of_machine(error) else "failed"
        send(
            "failed",
            {"status": status, "error": describe(error), "seconds": time.perf_counter() - start},
        )
        return
    send("encoder", {"encoder": save_encoder(encoder), "seconds": time.perf_counter() - start})


class _Reporter:
    """Sends epochs to the driver, several at once where they are short: each report waits for the
    driver's answer.
    """

    def __init__(self, send: Callable[[str, dict[str, Any]], None], device: str) -> None:
        self.send = send
        self.device = device
        self.waiting: list[dict[str, Any]] = []
        self.last = 0.0

    def __call__(self, epochs: list[dict[str, Any]], restart: bool) -> None:
        if restart:
            self.waiting.clear()
            self._send(epochs, True)
            return
        self.waiting += epochs
        if time.perf_counter() - self.last >= REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self._send(self.waiting, False)
        self.waiting = []

    def _send(self, epochs: list[dict[str, Any]], restart: bool) -> None:
        peak = peak_memory(self.device)  # should there never be a result
        self.send("epochs", {"epochs": epochs, "restart": restart, "peak_memory_bytes": peak})
        self.last = time.perf_counter()
