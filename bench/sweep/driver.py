"""The driver: hands out what is to be done, and writes down what comes back."""

import contextlib
import json
import math
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.common.files import write_atomically
from bench.datasets import Dataset
from bench.errors import one_line
from bench.planning.code_hash import code_of
from bench.planning.spec import SCHEMA, TrialSpec, record_of
from bench.records.schema import LOST
from bench.records.trials import TrialWriter, check_specification, finished_statuses, read_epochs
from bench.sweep.environment import prepare_environment
from bench.sweep.trackers import Trackers
from bench.sweep.work import Observer, Resources, Work
from bench.training.pretrain import by_this_code, load_encoder
from bench.training.storage import Store, own_place
from bench.training.trial import Checkpoint, Labels, pretrain_job, stopped_facts

if TYPE_CHECKING:
    from bench.tuning.search import Tuning

#: How often a worker's death (a kill, out of memory) is answered by trying the trial again, from
#: its checkpoint.
MAX_FAILURES = 2


class Driver:
    """What is to be done, and what became of it."""

    def __init__(
        self,
        todo: Sequence[TrialSpec],
        dataset: Dataset,
        out: Path,
        resources: Resources,
        observer: Observer | None,
        keep: Collection[str],
        checkpoint_seconds: float,
        tuning: "Tuning | None" = None,
        on_record: frozenset[str] = frozenset(),
    ) -> None:
        self.dataset, self.out, self.resources = dataset, out, resources
        self.tuning, self.on_record = tuning, on_record
        self.observer, self.keep = observer, keep
        # A trial that runs out of time has to have something to go on from.
        self.checkpoint_seconds = min(
            checkpoint_seconds, (self.resources.trial_timeout or math.inf) / 4
        )
        self.run_id = uuid.uuid4().hex
        self.encoders: dict[str, Any] = {}  # key -> reference into the object store
        self.parallel = 1
        self.running: dict[str, Callable[[], None]] = {}  # key -> what ends its worker
        self.trackers: Trackers | None = None
        self.fault: Exception | None = None  # what stopped the driver itself, such as a full disk
        self.pretrain_seconds: dict[str, float] = {}  # of encoders that are there
        jobs = [pretrain_job(spec) for spec in todo]
        asked = {job.key: job for job in jobs if job}
        self.jobs = list(asked.values())
        wanted = [job for key, job in asked.items() if self._encoder_on_disk(key) is None]
        first_trial: dict[int, int] = {}
        for position, spec in enumerate(todo):
            first_trial.setdefault(spec.train_seed, position)
        # An encoder is trained while the trials of the seed before run, so that none has to wait
        # for it.
        ordered = [
            (first_trial[before.seed], Work.of_job(job))
            for before, job in zip(wanted[:1] + wanted, wanted, strict=False)
        ]
        ordered += [
            (position, Work.of_spec(spec, job))
            for position, (spec, job) in enumerate(zip(todo, jobs, strict=True))
        ]
        self.work = {work.key: work for _, work in sorted(ordered, key=lambda pair: pair[0])}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Tune pickles its hooks, for a way of resuming that is not ours: nothing of a sweep goes
        into that.
        """
        return object, ()

    # ------------------------------------------------------------------------------------------------
    # handing out

    def next(self) -> Work | None:
        """The first piece of work that can start now; None where all that is left waits for an
        encoder, or for a search.
        """
        if (work := self._ready()) or not self.tuning:
            return work
        specs = self.tuning.follow()
        if (spec := self.tuning.next(self.parallel)) is not None:
            specs.append(spec)
        specs += self.tuning.follow()  # a search may have found that there is nothing left to draw
        for spec in specs:
            self._add(spec)
        return self._ready()

    def _ready(self) -> Work | None:
        for work in self.work.values():
            if not work.taken and (work.needs is None or work.needs in self.encoders):
                work.taken = True
                return work
        return None

    @property
    def all_over(self) -> bool:
        return all(work.over for work in self.work.values()) and (
            self.tuning is None or self.tuning.over
        )

    def _add(self, spec: TrialSpec) -> None:
        """Take up a trial that tuning has decided on."""
        if spec.id in self.work:
            return
        if spec.id in self.on_record:
            check_specification(self.out, spec.id, record_of(spec))
            return
        job = pretrain_job(spec)
        if job and job.key not in self.work and job.key not in self.encoders:
            if (blob := self._encoder_on_disk(job.key)) is not None:
                self._share_encoder(job.key, blob)
            else:
                self.work[job.key] = Work.of_job(job)
                self._announce(self.work[job.key])
        work = self.work[spec.id] = Work.of_spec(spec, job)
        self._announce(work)
        if job and job.key not in self.encoders and self.work[job.key].over:
            self._give_up_on(
                self.work[job.key], "see the first trial that needed it", self.work[job.key].status
            )

    def _announce(self, work: Work) -> None:
        if self.observer and self.tuning:
            self.observer.add(work.key, work.cost, work.spec)
            self.observer.later(*self.tuning.remaining())

    def run(self) -> None:
        """Have all of it done."""
        prepare_environment(self.resources.address)
        from bench.sweep import session, tuner

        storage = self.resources.storage
        self.store = Store(own_place(storage, self.out) if storage else self.out / "checkpoints")
        if storage:
            self.store.check()
        self.store.claim(self.run_id)
        self.store.tidy(finished_statuses(self.out))
        _ = self.dataset.pixel_statistics  # once here, not once a trial
        with session.ray_session(self.resources, self.dataset, self.out, self.jobs) as folder:
            later = self.tuning.remaining() if self.tuning else (0, 0.0)
            pieces = (
                sys.maxsize if self.tuning and self.tuning.open_ended else len(self.work) + later[0]
            )
            self.parallel = session.parallel_trials(self.resources, session.nodes(), pieces)
            for key in {work.needs for work in self.work.values() if work.needs} - self.work.keys():
                self._share_encoder(key, self._encoder_file(key).read_bytes())
            if self.observer:
                self.observer.later(*later)
                self.observer.begin(
                    [(work.key, work.cost) for work in self.work.values()], self.parallel
                )
            tuner.fit(self, folder / "tune")
        with contextlib.suppress(OSError):  # out of reach: an empty folder stays there
            # of workers that were killed while they wrote
            self.store.tidy(finished_statuses(self.out))
            self.store.close()

    # -----------------------------------------------------------------------------------------------
    # taking in

    def started(self, work: Work, kill: Callable[[], None]) -> None:
        """A worker has taken this up, perhaps again; ``kill`` ends it."""
        work.reports.clear()
        work.began = None  # its worker may have to load all its code first
        work.held = time.monotonic()
        self.running[work.key] = kill
        if work.spec:
            self._writer(work)
        if self.observer:
            self.observer.start(work.key, work.label)

    def stops(self, work: Work, message: dict[str, Any]) -> bool:
        """Whether the scheduler of its search ends a trial after this message, which is not written
        down yet.
        """
        if (
            self.tuning
            and work.spec
            and work.spec.is_search
            and not work.over
            and message["kind"] == "epochs"
        ):
            work.stopping |= self.tuning.judge(work.spec, message["epochs"])
        return work.stopping

    def received(self, work: Work, message: dict[str, Any]) -> None:
        """Write down what a worker reports."""
        if work.over or message["number"] in work.reports:
            return  # Tune repeats the last result when a function ends
        work.reports.add(message["number"])
        if message["kind"] == "epochs":
            # also of a worker that died
            work.peak_memory = max(work.peak_memory or 0, message["peak_memory_bytes"])
            writer = self._writer(work)
            (writer.restart if message["restart"] else writer.append)(message["epochs"])
            if work.spec and self.trackers:
                (self.trackers.restart if message["restart"] else self.trackers.append)(
                    work.spec, message["epochs"]
                )
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
        elif message["kind"] == "failed":
            self._fail(work, message["error"], message["seconds"], message["status"])
            if message["status"] != LOST:  # the next run goes on from it
                self._checkpoint(work).remove()
        else:
            facts = message["facts"]
            self._finish(work, facts, message["samples"], message["weights"])
            if facts["status"] != LOST:
                self._checkpoint(work).remove()  # only now: the record is whole
            self._end(work, facts["status"], facts["error"], facts["work_seconds"])

    def lost(self, work: Work) -> None:
        """A worker was lost, and Tune gives the work to another one."""
        if work.over:
            return
        work.deaths += 1
        self._let_go(work)
        if self.observer:
            self.observer.lost(work.key, work.label)

    def died(self, work: Work, reason: str | None = None, out_of_memory: bool = False) -> None:
        """End the work as lost: its workers died too often. A single death between two trials is
        tried again.

        Args:
            reason: what the workers said before, if anything.
            out_of_memory: whether Ray killed the last one because its machine ran out of memory: a
                failure of the method.
        """
        if work.over:
            return
        if work.deaths < MAX_FAILURES:
            self.lost(work)
            work.taken = False
            return
        self._let_go(work)
        error = (
            reason
            or f"the worker process died {work.deaths + 1} times (killed, out of memory, or its machine was lost)"
        )
        self._fail(work, error, work.died_after, "failed" if out_of_memory else LOST)

    def _let_go(self, work: Work) -> None:
        """Its worker is no more: what it took counts, should there never be a result."""
        if work.held is not None:
            work.died_after += time.monotonic() - work.held
        work.began = work.held = None

    def tick(self) -> None:
        """Called several times a second: end what takes too long, wherever it hangs."""
        if self.observer:
            self.observer.tick()
        limit = self.resources.trial_timeout
        if limit is None:
            return
        now = time.monotonic()
        for key, kill in list(self.running.items()):
            work = self.work[key]
            if work.began is not None and now - work.began > limit:
                error = f"it took more than the {limit:g} seconds of --trial-timeout"
                # its checkpoint stays: --retry-failed goes on from there
                self._fail(work, error, now - work.began, "timeout")
                kill()

    def _fail(self, work: Work, error: str, seconds: float, status: str = "failed") -> None:
        """There is no result after so many ``seconds`` of work: a row that says why."""
        if work.spec:
            self._write_failure(work, error, seconds, status)
        self._end(work, status, error, seconds)
        if not work.spec:
            self._give_up_on(work, error, status)

    def _checkpoint(self, work: Work) -> Checkpoint:
        return Checkpoint(self.store.file(work.key), warn=lambda text: self._warn(work, text))

    def _warn(self, work: Work, text: str) -> None:
        if self.observer:
            self.observer.warn(work.key, work.label, text)

    def _advance(self, work: Work, epoch: int, record: dict[str, Any] | None) -> None:
        if self.observer:
            self.observer.advance(work.key, (epoch + 1) / work.epochs, record)

    def _stop(self, work: Work) -> None:
        """End a trial that a scheduler has stopped: its worker, which waits for an answer, is told
        by Tune.
        """
        assert work.spec is not None
        pretraining = self.pretrain_seconds[work.needs] if work.needs else 0.0
        facts = stopped_facts(work.spec, self.dataset, self._epochs(work), pretraining)
        self._finish(work, facts)
        self._checkpoint(work).remove()
        self._end(work, "stopped", None, facts["train_seconds"] + facts["eval_seconds"])

    def _finish(
        self,
        work: Work,
        facts: dict[str, Any],
        samples: bytes | None = None,
        weights: bytes | None = None,
    ) -> None:
        """Write down how a trial ended, with the most memory that any of its workers had."""
        assert work.spec is not None
        facts["peak_memory_bytes"] = (
            max(work.peak_memory or 0, facts.get("peak_memory_bytes") or 0) or None
        )
        self._writer(work).finish(facts, samples, weights)
        if self.trackers:
            self.trackers.finish(work.spec, facts)

    def _epochs(self, work: Work) -> list[dict[str, Any]]:
        return list(read_epochs(self.out / "trials" / work.key / "epochs.jsonl"))

    def _end(self, work: Work, status: str, error: str | None, seconds: float) -> None:
        work.over = True
        work.status = status
        work.writer = None
        work.reports.clear()
        self.running.pop(work.key, None)
        work.seconds += seconds
        if self.tuning and work.spec and work.spec.is_search:
            done = json.loads((self.out / "trials" / work.key / "done.json").read_bytes())
            self.tuning.end(work.spec, status, self._epochs(work), done)
        if self.observer:
            self.observer.end(work.key, work.label, status, error)

    def _keep_encoder(self, work: Work, blob: bytes) -> None:
        path = self._encoder_file(work.key)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, blob)
        self._share_encoder(work.key, blob)

    def _encoder_file(self, key: str) -> Path:
        return self.out / "encoders" / f"{key}.safetensors"

    def _encoder_on_disk(self, key: str) -> bytes | None:
        """Return what an earlier run has trained; removed where it cannot be used, so that it is
        trained again.
        """
        path = self._encoder_file(key)
        if not path.exists():
            return None
        blob = path.read_bytes()
        try:
            load_encoder(blob)
            if by_this_code(blob):
                return blob
            reason = "was made by other code than today's"
        except Exception as error:  # safetensors, JSON and missing arrays all have their own
            reason = f"is damaged ({one_line(error)})"
        warnings.warn(f"{path} {reason}; it is trained again", stacklevel=2)
        path.unlink()
        return None

    def _share_encoder(self, key: str, blob: bytes) -> None:
        import ray

        self.pretrain_seconds[key] = load_encoder(blob).train_seconds
        self.encoders[key] = ray.put(blob)

    def _give_up_on(self, pretraining: Work, error: str, status: str) -> None:
        """End the trials whose encoder there will not be in this run: failed, or lost like their
        pretraining.
        """
        for work in list(self.work.values()):
            if work.spec and work.needs == pretraining.key and not work.taken:
                work.taken = True
                self._write_failure(
                    work,
                    f"its pretraining {'was lost' if status == LOST else status}: {error}",
                    0.0,
                    status,
                )
                self._end(work, status, error, 0.0)

    def _write_failure(
        self, work: Work, error: str, seconds: float, status: str = "failed"
    ) -> None:
        assert work.spec is not None
        facts = Labels.of(work.spec, self.dataset).facts(work.spec, self.dataset)
        about = {
            "schema": SCHEMA,
            "status": status,
            "error": error,
            "code": code_of(work.spec.method),
        }
        facts = {**about, **facts, "work_seconds": seconds}
        self._finish(work, facts)

    def _writer(self, work: Work) -> TrialWriter:
        if work.writer is None:  # its worker may have died before it started
            assert work.spec is not None
            draw = self.tuning.position(work.spec) if self.tuning and work.spec.is_search else None
            work.writer = TrialWriter(self.out, work.key, record_of(work.spec), draw)
        return work.writer
