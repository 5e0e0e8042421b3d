"""A sweep: many trials over Ray Tune. The only module that runs Ray; tuning borrows its domains and schedulers.

Ray Tune hands out the work; everything that has to last is in our own records, which the driver writes from what trials
report. Tune's state is thrown away: after any crash the same command reads the records, runs what is missing, and goes on
from each trial's own checkpoint.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from bench import __version__
from bench.datasets import Dataset
from bench.errors import InputError
from bench.pretrain import Encoder, PretrainJob, load_encoder, save_encoder
from bench.records import (
    COMPLETED,
    RETRIED,
    TrialWriter,
    check_specification,
    finished_statuses,
    lock,
    read_epochs,
    to_json,
    write_atomically,
)
from bench.spec import SCHEMA, TrialSpec, record_of, relative_cost
from bench.storage import Store
from bench.trackers import Trackers
from bench.trial import Checkpoint, Labels, Outcome, pretrain_job, run_pretraining, run_trial, stopped_facts
from bench.tuning import Tuning

#: How often a worker's death (a kill, out of memory) is answered by trying the trial again, from its checkpoint.
MAX_FAILURES = 2
UNLIMITED = 1_000_000_000  # trials; the queue says when it is empty
REPORT_SECONDS = 0.5  # epochs shorter than this are reported together

# Ray reads these when it is imported.
_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # its kills crash Tune; the kernel's look like any other death of a worker
    "RAY_worker_niceness": "0",  # at 15, the default, any other process on the machine would slow the trials
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # a lost worker: we say what it means for the trial
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # its state is not needed
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
_LOCAL_RAY_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # ports are on loopback; unset, Ray writes a token into the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # binds every port to loopback
}


def prepare_environment(address: str | None = None) -> None:
    """What Ray reads when it is imported; before anybody does."""
    os.environ.update(_RAY_ENVIRONMENT | (_cluster_environment() if address else _LOCAL_RAY_ENVIRONMENT))


class Observer(Protocol):
    """Is told what a sweep is doing; a progress display."""

    def begin(self, work: Sequence[tuple[str, float]], parallel: int) -> None:
        """All pieces of work, as (key, rough cost)."""

    def add(self, key: str, cost: float, spec: TrialSpec | None) -> None:
        """A piece of work that tuning has decided on; a pretraining has no ``spec``."""

    def later(self, trials: int, cost: float) -> None:
        """How many trials tuning will still decide on, as far as that is known, and their rough cost."""

    def start(self, key: str, label: str) -> None: ...

    def advance(self, key: str, share: float, epoch: dict[str, Any] | None) -> None: ...

    def lost(self, key: str, label: str) -> None:
        """Its worker died; it is tried again."""

    def warn(self, key: str, label: str, text: str) -> None:
        """Something went wrong that the trial survives."""

    def end(self, key: str, label: str, status: str, error: str | None) -> None: ...

    def tick(self) -> None:
        """Called several times a second, whatever happens."""


@dataclass(frozen=True)
class Resources:
    """What a trial gets, and where."""

    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent: int | None = None
    address: str | None = None
    storage: str | None = None  # of checkpoints: a folder or an address; by default a folder in the sweep's
    trial_timeout: float | None = None  # seconds that a worker gets for a trial


@dataclass
class SweepResult:
    """How a sweep ended."""

    statuses: dict[str, str]  # of every requested trial that is over
    missing: list[str]
    ran: int
    overhead: float | None = None
    wall_seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Trials that have no result."""
        return [trial_id for trial_id, status in self.statuses.items() if status in RETRIED]

    @property
    def diverged(self) -> list[str]:
        """Trials whose result is that they diverged."""
        return [trial_id for trial_id, status in self.statuses.items() if status == "diverged"]


@dataclass
class _Work:
    """A trial or a pretraining, and what became of it."""

    key: str
    label: str
    cost: float
    epochs: int
    spec: TrialSpec | None = None
    job: PretrainJob | None = None
    needs: str | None = None  # key of the encoder that a trial waits for
    taken: bool = False
    deaths: int = 0  # of its workers
    over: bool = False
    writer: TrialWriter | None = None
    began: float | None = None  # when its worker took it up, by the monotonic clock
    seconds: float = 0.0
    reports: set[int] = field(default_factory=set)
    stopping: bool = False  # a scheduler has said so

    @classmethod
    def of_job(cls, job: PretrainJob) -> "_Work":
        return cls(job.key, job.label, 3.0 * job.settings.epochs, job.settings.epochs, job=job)

    @classmethod
    def of_spec(cls, spec: TrialSpec, job: PretrainJob | None) -> "_Work":
        needs = job.key if job else None
        return cls(spec.id, spec.label, relative_cost(spec) * spec.recipe.epochs, spec.recipe.epochs, spec, needs=needs)


def pending(specs: Sequence[TrialSpec], out: Path, retry_failed: bool = False) -> list[TrialSpec]:
    """The trials that have no record yet."""
    over, statuses = _on_record(out, retry_failed), finished_statuses(out)
    for spec in specs:
        if spec.id in statuses:
            check_specification(out, spec.id, record_of(spec))
    return [spec for spec in specs if spec.id not in over]


def _on_record(out: Path, retry_failed: bool) -> frozenset[str]:
    """Trials that are not to be run again."""
    over = COMPLETED if retry_failed else COMPLETED + RETRIED
    return frozenset(trial for trial, status in finished_statuses(out).items() if status in over)


def run_sweep(
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    out: Path,
    *,
    command: Sequence[str] = (),
    resources: Resources | None = None,
    observer: Observer | None = None,
    save_models: bool = False,
    retry_failed: bool = False,
    checkpoint_seconds: float = 30.0,
    tuning: Tuning | None = None,
    track: Sequence[str] = (),
) -> SweepResult:
    """Run the trials that ``out`` has no record of, and those that ``tuning`` decides on.

    Returns when every one of them is over: finished, diverged or failed. Interrupted, it leaves the folder so that the same
    call goes on from there.
    """
    start = time.perf_counter()
    with lock(out):
        if tuning:
            tuning.resume(out, retry_failed)
            specs = [*specs, *tuning.follow()]
        todo = pending(list({spec.id: spec for spec in specs}.values()), out, retry_failed)
        on_record = _on_record(out, retry_failed) if tuning else frozenset()
        sweep = _Sweep(
            todo,
            dataset,
            out.resolve(),
            resources or Resources(),
            observer,
            save_models,
            checkpoint_seconds,
            tuning,
            on_record,
        )
        facts = _describe(specs, command, out)
        write_atomically(out / "sweep.json", to_json(facts, indent=1))
        with contextlib.closing(Trackers(track, out)) as sweep.trackers:
            sweep.trackers.catch_up()
            if todo or (tuning and not tuning.over):
                _remove_ray_session(out)
                sweep.run()
        statuses = finished_statuses(out)
        if tuning:
            specs = [*specs, *tuning.trials]
        facts["trials"] = sorted({*facts["trials"], *(spec.id for spec in specs)})
        undecided = ["not decided on"] * tuning.remaining()[0] if tuning else []
        result = SweepResult(
            statuses={spec.id: statuses[spec.id] for spec in specs if spec.id in statuses},
            missing=[*dict.fromkeys(spec.id for spec in specs if spec.id not in statuses), *undecided],
            ran=sum(work.spec is not None for work in sweep.work.values()),
            wall_seconds=time.perf_counter() - start,
        )
        if result.ran:
            # Work is what trials and pretrainings did themselves; an encoder's cost, attributed to every trial that uses
            # it, is in there once.
            worked = sum(work.seconds for work in sweep.work.values())
            result.overhead = result.wall_seconds / (worked / sweep.parallel) if worked else None
            facts |= {
                "overhead": result.overhead,
                "wall_seconds": result.wall_seconds,
                "work_seconds": worked,
                "parallel_trials": sweep.parallel,
            }
            facts["runs"][-1] |= {"trials": result.ran, "overhead": result.overhead, "wall_seconds": result.wall_seconds}
            write_atomically(out / "sweep.json", to_json(facts, indent=1))
        return result


class _Sweep:
    """The driver's side of a sweep: what is to be done, and what comes back."""

    def __init__(
        self,
        todo: Sequence[TrialSpec],
        dataset: Dataset,
        out: Path,
        resources: Resources,
        observer: Observer | None,
        save_models: bool,
        checkpoint_seconds: float,
        tuning: Tuning | None = None,
        on_record: frozenset[str] = frozenset(),
    ) -> None:
        self.dataset, self.out, self.resources = dataset, out, resources
        self.tuning, self.on_record = tuning, on_record
        self.observer, self.save_models = observer, save_models
        # A trial that runs out of time has to have something to go on from.
        self.checkpoint_seconds = min(checkpoint_seconds, (self.resources.trial_timeout or math.inf) / 4)
        self.encoders: dict[str, Any] = {}  # key -> reference into the object store
        self.parallel = 1
        self.running: dict[str, Any] = {}  # key -> Tune's trial
        self.trackers: Trackers | None = None
        self.fault: Exception | None = None  # what stopped the driver itself, such as a full disk
        cached = {path.stem for path in (out / "encoders").glob("*.safetensors")}
        jobs = [pretrain_job(spec) for spec in todo]
        wanted = list({job.key: job for job in jobs if job and job.key not in cached}.values())
        first_trial: dict[int, int] = {}
        for position, spec in enumerate(todo):
            first_trial.setdefault(spec.train_seed, position)
        # An encoder is trained while the trials of the seed before run, so that none has to wait for it.
        ordered = [
            (first_trial[before.seed], _Work.of_job(job)) for before, job in zip(wanted[:1] + wanted, wanted, strict=False)
        ]
        ordered += [(position, _Work.of_spec(spec, job)) for position, (spec, job) in enumerate(zip(todo, jobs, strict=True))]
        self.work = {work.key: work for _, work in sorted(ordered, key=lambda pair: pair[0])}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Tune pickles its hooks, for a way of resuming that is not ours: nothing of a sweep goes into that."""
        return object, ()

    # ------------------------------------------------------------------------------------------------ handing out

    def next(self) -> _Work | None:
        """The first piece of work that can start now; None where all that is left waits for an encoder, or for a search."""
        if (work := self._ready()) or not self.tuning:
            return work
        specs = self.tuning.follow()
        if (spec := self.tuning.next(self.parallel)) is not None:
            specs.append(spec)
        specs += self.tuning.follow()  # a search may have found that there is nothing left to draw
        for spec in specs:
            self._add(spec)
        return self._ready()

    def _ready(self) -> _Work | None:
        for work in self.work.values():
            if not work.taken and (work.needs is None or work.needs in self.encoders):
                work.taken = True
                return work
        return None

    @property
    def all_over(self) -> bool:
        return all(work.over for work in self.work.values()) and (self.tuning is None or self.tuning.over)

    def _add(self, spec: TrialSpec) -> None:
        """Take up a trial that tuning has decided on."""
        if spec.id in self.work:
            return
        if spec.id in self.on_record:
            check_specification(self.out, spec.id, record_of(spec))
            return
        job = pretrain_job(spec)
        if job and job.key not in self.work and job.key not in self.encoders:
            if (path := self.out / "encoders" / f"{job.key}.safetensors").exists():
                self._share_encoder(job.key, path.read_bytes())
            else:
                self.work[job.key] = _Work.of_job(job)
                self._announce(self.work[job.key])
        work = self.work[spec.id] = _Work.of_spec(spec, job)
        self._announce(work)
        if job and job.key not in self.encoders and self.work[job.key].over:
            self._give_up_on(self.work[job.key], "see the first trial that needed it")

    def _announce(self, work: _Work) -> None:
        if self.observer and self.tuning:
            self.observer.add(work.key, work.cost, work.spec)
            self.observer.later(*self.tuning.remaining())

    def run(self) -> None:
        prepare_environment(self.resources.address)
        warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
        import ray

        storage = self.resources.storage
        self.store = Store(_own_place(storage, self.out) if storage else self.out / "checkpoints")
        if storage:
            self.store.check()
        self.store.tidy(finished_statuses(self.out))
        _ = self.dataset.pixel_statistics  # once here, not once a trial
        with _ray_session(self.resources, self.dataset, self.out) as session:
            available = ray.cluster_resources()
            later = self.tuning.remaining() if self.tuning else (0, 0.0)
            pieces = sys.maxsize if self.tuning and self.tuning.open_ended else len(self.work) + later[0]
            self.parallel = _parallel_trials(self.resources, available, pieces)
            for key in {work.needs for work in self.work.values() if work.needs} - self.work.keys():
                self._share_encoder(key, (self.out / "encoders" / f"{key}.safetensors").read_bytes())
            if self.observer:
                self.observer.later(*later)
                self.observer.begin([(work.key, work.cost) for work in self.work.values()], self.parallel)
            try:
                self._fit(session / "tune")
            except Exception:
                if self.fault:  # Tune has wrapped it in text
                    raise self.fault from None
                raise
        with contextlib.suppress(OSError):  # out of reach: an empty folder stays there
            self.store.tidy(finished_statuses(self.out))  # of workers that were killed while they wrote
            self.store.close()

    def _fit(self, state: Path) -> None:
        from ray import tune

        trainable = tune.with_resources(
            tune.with_parameters(
                _train,
                dataset=self.dataset,
                store=self.store.place,
                checkpoint_seconds=self.checkpoint_seconds,
                save_models=self.save_models,
                timed=self.resources.trial_timeout is not None,
            ),
            {"cpu": self.resources.cpus_per_trial, "gpu": self.resources.gpus_per_trial},
        )
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_queue(self),
                scheduler=_scheduler(self) if self.tuning else None,
                num_samples=UNLIMITED,
                reuse_actors=True,
                max_concurrent_trials=self.parallel,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(state),
                callbacks=[_callback(self)],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                verbose=0,
            ),
        ).fit()

    # ----------------------------------------------------------------------------------------------- taking in

    def started(self, work: _Work, trial: Any) -> None:
        """A worker has taken this up, perhaps again."""
        work.reports.clear()
        work.began = None  # its worker may have to load all its code first
        self.running[work.key] = trial
        if work.spec:
            self._writer(work)
        if self.observer:
            self.observer.start(work.key, work.label)

    def stops(self, work: _Work, message: dict[str, Any]) -> bool:
        """Whether the scheduler of its search ends a trial after this message, which is not written down yet."""
        if self.tuning and work.spec and work.spec.is_search and not work.over and message["kind"] == "epochs":
            work.stopping |= self.tuning.judge(work.spec, message["epochs"])
        return work.stopping

    def received(self, work: _Work, message: dict[str, Any]) -> None:
        """Write down what a worker reports."""
        if work.over or message["number"] in work.reports:
            return  # Tune repeats the last result when a function ends
        work.reports.add(message["number"])
        if message["kind"] == "epochs":
            writer = self._writer(work)
            (writer.restart if message["restart"] else writer.append)(message["epochs"])
            if work.spec and self.trackers:
                (self.trackers.restart if message["restart"] else self.trackers.append)(work.spec, message["epochs"])
            if message["epochs"]:
                self._advance(work, message["epochs"][-1]["epoch"], message["epochs"][-1])
            if work.stopping:
                self._stop(work)
        elif message["kind"] == "began":
            work.began = time.monotonic()
        elif message["kind"] == "warning":
            self._warn(work, message["text"])
        elif message["kind"] == "beat":
            self._advance(work, message["epoch"], None)
        elif message["kind"] == "encoder":
            self._keep_encoder(work, message["encoder"])
            self._end(work, "finished", None, message["seconds"])
        elif message["kind"] == "encoder failed":
            self._end(work, "failed", message["error"], 0.0)
            self._give_up_on(work, message["error"])
        else:
            facts = message["facts"]
            self._writer(work).finish(facts, message["samples"], message["weights"])
            if work.spec and self.trackers:
                self.trackers.finish(work.spec, facts)
            self._checkpoint(work).remove()  # only now: the record is whole
            self._end(work, facts["status"], facts["error"], facts["work_seconds"])

    def lost(self, work: _Work) -> None:
        """A worker was lost, and Tune gives the work to another one."""
        if work.over:
            return
        work.deaths += 1
        work.began = None
        if self.observer:
            self.observer.lost(work.key, work.label)

    def died(self, work: _Work) -> None:
        """Tune has given the work up: its workers died too often, or one did between two trials, which Tune never forgives."""
        if work.over:
            return
        if work.deaths < MAX_FAILURES:
            self.lost(work)
            work.taken = False
            return
        error = f"the worker process died {work.deaths + 1} times (killed, or out of memory)"
        if work.spec:
            self._write_failure(work, error)
        self._end(work, "failed", error, 0.0)
        if not work.spec:
            self._give_up_on(work, error)

    def tick(self) -> None:
        """Called several times a second: end what takes too long, wherever it hangs."""
        if self.observer:
            self.observer.tick()
        limit = self.resources.trial_timeout
        if limit is None:
            return
        now = time.monotonic()
        for key, trial in list(self.running.items()):
            work = self.work[key]
            if work.began is not None and now - work.began > limit:
                self._time_out(work, now - work.began, f"it took more than the {limit:g} seconds of --trial-timeout")
                _kill(trial)

    def _time_out(self, work: _Work, seconds: float, error: str) -> None:
        if work.spec:
            self._write_failure(work, error, "timeout")  # its checkpoint stays: --retry-failed goes on from there
        self._end(work, "timeout", error, seconds)
        if not work.spec:
            self._give_up_on(work, error)

    def _checkpoint(self, work: _Work) -> Checkpoint:
        return Checkpoint(self.store.file(work.key), warn=lambda text: self._warn(work, text))

    def _warn(self, work: _Work, text: str) -> None:
        if self.observer:
            self.observer.warn(work.key, work.label, text)

    def _advance(self, work: _Work, epoch: int, record: dict[str, Any] | None) -> None:
        if self.observer:
            self.observer.advance(work.key, (epoch + 1) / work.epochs, record)

    def _stop(self, work: _Work) -> None:
        """End a trial that a scheduler has stopped: its worker, which waits for an answer, is told by Tune."""
        assert work.spec is not None
        pretraining = 0.0
        if work.needs:
            path = self.out / "encoders" / f"{work.needs}.safetensors"
            pretraining = load_encoder(path.read_bytes()).train_seconds
        facts = stopped_facts(work.spec, self.dataset, self._epochs(work), pretraining)
        self._writer(work).finish(facts)
        if self.trackers:
            self.trackers.finish(work.spec, facts)
        self._checkpoint(work).remove()
        self._end(work, "stopped", None, facts["train_seconds"] + facts["eval_seconds"])

    def _epochs(self, work: _Work) -> list[dict[str, Any]]:
        return list(read_epochs(self.out / "trials" / work.key / "epochs.jsonl"))

    def _end(self, work: _Work, status: str, error: str | None, seconds: float) -> None:
        work.over = True
        work.writer = None
        work.reports.clear()
        self.running.pop(work.key, None)
        work.seconds += seconds
        if self.tuning and work.spec and work.spec.is_search:
            done = json.loads((self.out / "trials" / work.key / "done.json").read_bytes())
            self.tuning.end(work.spec, status, self._epochs(work), done)
        if self.observer:
            self.observer.end(work.key, work.label, status, error)

    def _keep_encoder(self, work: _Work, blob: bytes) -> None:
        (self.out / "encoders").mkdir(exist_ok=True)
        write_atomically(self.out / "encoders" / f"{work.key}.safetensors", blob)
        self._share_encoder(work.key, blob)

    def _share_encoder(self, key: str, blob: bytes) -> None:
        import ray

        self.encoders[key] = ray.put(blob)

    def _give_up_on(self, pretraining: _Work, error: str) -> None:
        """Trials whose encoder there will never be are failed rows."""
        for work in list(self.work.values()):
            if work.spec and work.needs == pretraining.key and not work.taken:
                work.taken = True
                self._write_failure(work, f"its pretraining failed: {error}")
                self._end(work, "failed", error, 0.0)

    def _write_failure(self, work: _Work, error: str, status: str = "failed") -> None:
        assert work.spec is not None
        facts = Labels.of(work.spec, self.dataset).facts(work.spec, self.dataset)
        facts = {"schema": SCHEMA, "status": status, "error": error, **facts}
        self._writer(work).finish(facts)
        if self.trackers:
            self.trackers.finish(work.spec, facts)

    def _writer(self, work: _Work) -> TrialWriter:
        if work.writer is None:  # its worker may have died before it started
            assert work.spec is not None
            work.writer = TrialWriter(self.out, work.key, record_of(work.spec))
        return work.writer


# ------------------------------------------------------------------------------------------------- the worker's side


def _train(
    config: dict[str, Any],
    dataset: Dataset,
    store: str,
    checkpoint_seconds: float,
    save_models: bool,
    timed: bool,
) -> None:
    """What a Tune worker runs: one piece of work."""
    import ray
    from ray import tune

    number = 0

    def send(kind: str, content: dict[str, Any]) -> None:
        nonlocal number
        number += 1
        # A tuple: Tune takes nested dictionaries apart, at every report.
        tune.report({"message": ({"kind": kind, "number": number, **content},)})

    if timed:
        send("began", {})
    values, job = ray.get(config["work"])
    if job is not None:
        _pretrain(job, dataset, send)
        return
    assert values is not None
    spec = TrialSpec.from_json(values)
    encoder = load_encoder(ray.get(config["encoder"])) if config["encoder"] else None
    report = _Reporter(send)
    try:
        outcome = run_trial(
            spec,
            dataset,
            encoder=encoder,
            report=report,
            checkpoint=Checkpoint(
                Store(store).file(spec.id), checkpoint_seconds, lambda text: send("warning", {"text": text})
            ),
            save_models=save_models,
        )
    except InputError as error:  # a plugin that asks for what there is not: a row, not a dead worker
        facts = {"schema": SCHEMA, "status": "failed", "error": str(error), "work_seconds": 0.0}
        outcome = Outcome(facts | Labels.of(spec, dataset).facts(spec, dataset))
    report.flush()
    send("done", {"facts": outcome.facts, "samples": outcome.samples_bytes(), "weights": outcome.weights_bytes()})


def _pretrain(job: PretrainJob, dataset: Dataset, send: Callable[[str, dict[str, Any]], None]) -> None:
    start = last = time.perf_counter()

    def beat(epoch: int, loss: float) -> None:
        nonlocal last
        if time.perf_counter() - last >= REPORT_SECONDS:
            last = time.perf_counter()
            send("beat", {"epoch": epoch})

    try:
        encoder: Encoder = run_pretraining(job, dataset, beat)
    except Exception as error:  # a collapse, or anything torch may raise: the trials that need it become failed rows
        send("encoder failed", {"error": f"{type(error).__name__}: {error}"})
        return
    send("encoder", {"encoder": save_encoder(encoder), "seconds": time.perf_counter() - start})


class _Reporter:
    """Sends epochs to the driver, several at once where they are short: each report waits for the driver's answer."""

    def __init__(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        self.send = send
        self.waiting: list[dict[str, Any]] = []
        self.last = 0.0

    def __call__(self, epochs: list[dict[str, Any]], restart: bool) -> None:
        if restart:
            self.waiting.clear()
            self.send("epochs", {"epochs": epochs, "restart": True})
            self.last = time.perf_counter()
            return
        self.waiting += epochs
        if time.perf_counter() - self.last >= REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self.send("epochs", {"epochs": self.waiting, "restart": False})
        self.waiting = []
        self.last = time.perf_counter()


# --------------------------------------------------------------------------------------------------- Ray's hooks


def _queue(sweep: _Sweep) -> Any:
    """A Tune searcher that hands out what is to be done: trials that need an encoder once it is there, the others meanwhile.

    Searches are not Tune's to know: there is one for each cell, and all of them feed this one queue.
    """
    import ray
    from ray.tune.search import Searcher

    class Queue(Searcher):
        def __init__(self) -> None:
            super().__init__()

        def suggest(self, trial_id: str) -> Any:
            work = sweep.next()
            if work is None:
                return Searcher.FINISHED if sweep.all_over else None
            content = ray.put((work.spec.to_json() if work.spec else None, work.job))
            return {"key": work.key, "work": content, "encoder": sweep.encoders[work.needs] if work.needs else None}

        def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
            return True

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """The callback has seen it already."""

        def save(self, checkpoint_path: str) -> None:
            """Tune's state is disposable."""

        def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **kwargs: Any) -> None:
            """Likewise."""

        def restore(self, checkpoint_path: str) -> None:
            """Never called: a resumed sweep reads the records."""

    return Queue()


def _scheduler(sweep: _Sweep) -> Any:
    """A Tune scheduler that asks each trial's own search, which has a scheduler for its cell alone."""
    from ray.tune.schedulers import FIFOScheduler

    class Stopping(FIFOScheduler):
        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            message = result.get("message")  # the callback is shown it after this
            if message and sweep.stops(sweep.work[trial.config["key"]], message[0]):
                return FIFOScheduler.STOP
            return FIFOScheduler.CONTINUE

    return Stopping()


def _callback(sweep: _Sweep) -> Any:
    # Deriving from Tune's own progress callback keeps Tune from adding one, which would print.
    from ray.tune.progress_reporter import TrialProgressCallback

    @contextlib.contextmanager
    def remembering_faults() -> Iterator[None]:
        try:
            yield
        except Exception as error:
            sweep.fault = error
            raise

    class Recorder(TrialProgressCallback):
        def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
            with remembering_faults():
                sweep.tick()

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            with remembering_faults():
                sweep.started(sweep.work[trial.config["key"]], trial)

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict, **info: Any) -> None:
            # Taken out of Tune's hands: it would keep every trial's last message in memory.
            message = result.pop("message", None)
            trial.last_result.pop("message", None)
            if message:
                with remembering_faults():
                    sweep.received(sweep.work[trial.config["key"]], message[0])

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            # Its last message said so already. Tune's statistics of it would be most of what a long sweep's driver holds.
            trial.run_metadata.metric_analysis.clear()
            trial.run_metadata.metric_n_steps.clear()

        def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            sweep.lost(sweep.work[trial.config["key"]])

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            with remembering_faults():
                sweep.died(sweep.work[trial.config["key"]])

    return Recorder()


def _kill(trial: Any) -> None:
    """End the worker of a Tune trial that is over for us, and do not let Tune try again."""
    import ray

    trial.max_failures = 0
    if worker := trial.temporary_state.ray_actor:
        ray.kill(worker)


_SESSION_PREFIX = "lnl-ray-"


def _session_parent() -> str:
    """A short path: Ray's sockets live below it, and a socket's path may have 107 bytes."""
    return "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()


@contextlib.contextmanager
def _ray_session(resources: Resources, dataset: Dataset, out: Path) -> Iterator[Path]:
    """Ray, silent; on one machine with every port on loopback, a sized object store, and nothing left behind."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    session = tempfile.mkdtemp(prefix=_SESSION_PREFIX, dir=_session_parent())
    write_atomically(out / ".ray-session", session.encode())
    before = signal.getsignal(signal.SIGTERM) if threading.current_thread() is threading.main_thread() else None
    try:
        if resources.address:
            _connect(resources.address, quiet)
        else:
            cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            if resources.cpus_per_trial > cpus:
                raise InputError(
                    f"--cpus-per-trial is {resources.cpus_per_trial:g}, but this machine has {cpus}: ask for fewer"
                )
            data_bytes = dataset.train_images.nbytes + dataset.test_images.nbytes
            ray.init(
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=2 * data_bytes + (256 << 20),
                _temp_dir=session,
                **quiet,
            )
        for name in ("ray", "ray.tune"):  # a lost worker becomes a row or a second try, not a traceback
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if before is not None:
            signal.signal(signal.SIGTERM, before)  # Ray has put its own in place, which exits with status 1
        with _driving_here(session) if (resources.address or "").startswith("ray://") else contextlib.nullcontext():
            yield Path(session)
    finally:
        ray.shutdown()
        shutil.rmtree(session, ignore_errors=True)
        (out / ".ray-session").unlink(missing_ok=True)


def _connect(address: str, quiet: dict[str, Any]) -> None:
    """Join a cluster; Ray itself would wait for minutes where there is none."""
    import ray

    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon:
            socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot reach a Ray cluster at {address!r} ({error}): check --address") from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with _silent_libraries():
            ray.init(address=address, **quiet)
    except ImportError as error:
        raise InputError('--address ray:// needs gRPC: pip install "ray[client]"') from error
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise _unreachable(address, error) from error


def _cluster_environment() -> dict[str, str]:
    """How to prove to a cluster who we are. Never left to Ray, which takes up any token that lies in the home folder.

    Driver and cluster have to agree: the workers of a cluster without tokens are refused by a driver with one, and die.
    """
    if os.environ.get("RAY_AUTH_MODE"):
        return {}
    given = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not given:
        warnings.warn(
            "whoever reaches this cluster's ports can run code there: start it with RAY_AUTH_MODE=token (see bench/cluster), "
            "or set RAY_AUTH_MODE=disabled to say that it is meant",
            stacklevel=2,
        )
    return {"RAY_AUTH_MODE": "token" if given else "disabled"}


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """What Ray's C++ code writes to the error stream is lost: a line a second while it is refused."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _unreachable(address: str, error: Exception) -> InputError:
    """Why a cluster that answers cannot be used."""
    reason = " ".join(str(error).split())
    if reason.startswith("Version mismatch"):
        return InputError(
            f"the Ray cluster at {address!r} runs another Ray or Python than this command ({reason}): install the same here "
            f"and there, to the last digit"
        )
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        hint = "check --address, and that RAY_AUTH_TOKEN or the file RAY_AUTH_TOKEN_PATH holds the cluster's token"
    else:
        hint = "check --address; a cluster with token authentication wants RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=FILE"
    return InputError(f"cannot use the Ray cluster at {address!r} ({reason.partition('. ')[0]}): {hint}")


@contextlib.contextmanager
def _driving_here(session: str) -> Iterator[None]:
    """Over ray://, Tune would move itself to the cluster, and our hooks, which write the records, with it: keep it here.

    It then asks for the folder of a Ray that this machine does not run.
    """
    import ray.util.client
    from ray.train._internal import storage

    client: Any = ray.util.client.ray
    session_folder = storage._get_ray_train_session_dir
    client.is_connected = lambda: False
    storage._get_ray_train_session_dir = lambda: session
    try:
        yield
    finally:
        del client.is_connected  # the method of its class is back
        storage._get_ray_train_session_dir = session_folder


def _remove_ray_session(out: Path) -> None:
    """What a killed driver could not tidy up. The lock says that no driver is alive."""
    path = out / ".ray-session"
    if path.exists():
        folder = Path(path.read_text())
        if folder.parent == Path(_session_parent()) and folder.name.startswith(_SESSION_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
        path.unlink()


def _own_place(storage: str, out: Path) -> str:
    """On a store that several sweeps share, each has a folder of its own; what follows a ? is not of the path."""
    path, mark, query = storage.partition("?") if "://" in storage else (storage, "", "")
    folder = f"{out.name}-{hashlib.sha256(str(out).encode()).hexdigest()[:6]}"  # other sweeps may have the name, elsewhere
    return f"{path.rstrip('/')}/{folder}{mark}{query}"


def _parallel_trials(resources: Resources, available: dict[str, float], pieces: int) -> int:
    """How many pieces of work can go on at once."""
    slots = int(available.get("CPU", 1) / resources.cpus_per_trial) if resources.cpus_per_trial else pieces
    if resources.gpus_per_trial:
        gpus = available.get("GPU", 0)
        if gpus < min(1, resources.gpus_per_trial):
            raise InputError("a trial asks for a GPU, but Ray sees none: use --device cpu, or --gpus-per-trial 0")
        share = resources.gpus_per_trial  # a trial that takes a part of a GPU takes it from one
        slots = min(slots, int(gpus) * int(1 / share + 1e-9) if share < 1 else int(gpus / share))
    if slots < 1:
        raise InputError("no trial fits the cluster: lower --cpus-per-trial or --gpus-per-trial")
    return max(1, min(slots, resources.max_concurrent or slots, pieces))


def _describe(specs: Sequence[TrialSpec], command: Sequence[str], out: Path) -> dict[str, Any]:
    """Content of sweep.json: where these records come from."""
    path = out / "sweep.json"
    try:
        before = json.loads(path.read_bytes()) if path.exists() else {}
        if not isinstance(before, dict):
            raise ValueError
    except ValueError:
        warnings.warn(f"{path} is damaged; its history of runs is lost", stacklevel=2)
        before = {}
    packages = ("ray", "torch", "torchvision", "numpy", "scikit-learn", "pandas", "scipy")
    return {
        **before,
        "schema": SCHEMA,
        "command": list(command),
        "versions": {"lnl-bench": __version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
        "git_commit": _git_commit(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
        },
        "trials": sorted({*before.get("trials", []), *(spec.id for spec in specs)}),
        "runs": [
            *before.get("runs", []),
            {"command": list(command), "started": datetime.now(UTC).isoformat(timespec="seconds")},
        ],
    }


def _git_commit() -> str | None:
    """The commit of the code, with a mark where files were changed since; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
