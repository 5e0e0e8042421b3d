"""Driver of a sweep: assigns work to workers, and writes their results to disk."""

import math
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.datasets import Dataset
from bench.networks.pretrained import Pretrained
from bench.planning.pretraining import PretrainJob, pretrain_job
from bench.planning.spec import TrialSpec, record_of
from bench.records.epochs import read_epochs
from bench.records.schema import (
    FAILED,
    FINISHED,
    LOST,
    STOPPED,
    TIMEOUT,
    Done,
    Epoch,
    amount,
    number,
)
from bench.records.trials import check_specification
from bench.records.writer import TrialWriter
from bench.sweep.encoders import Encoders
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
from bench.sweep.trackers import Trackers
from bench.sweep.work import Observer, Settings, Silent, Work
from bench.training.checkpoint import Checkpoint
from bench.training.outcome import failed_outcome, stopped_outcome
from bench.training.storage import Store, sweep_place

if TYPE_CHECKING:
    from bench.tuning.plan import Tuning

#: Number of worker deaths (a kill, out of memory) after which a trial is tried again, from its
#: checkpoint.
MAX_FAILURES = 2


class Driver:
    """Assigns pending work to workers and writes their results to disk."""

    def __init__(
        self,
        todo: Sequence[TrialSpec],
        dataset: Dataset,
        out: Path,
        settings: Settings,
        observer: Observer | None = None,
        tuning: "Tuning | None" = None,
        on_record: frozenset[str] = frozenset(),
    ) -> None:
        self.dataset, self.out = dataset, out
        self.resources, self.keep = settings.resources, settings.keep
        self.tuning, self.on_record = tuning, on_record
        self.observer = observer or Silent()
        # A trial that runs out of time has to have something to go on from.
        limit = self.resources.trial_timeout or math.inf
        self.checkpoint_seconds = min(settings.checkpoint_seconds, limit / 4)
        self.run_id = uuid.uuid4().hex
        storage = self.resources.storage
        self.store = Store(sweep_place(storage, out) if storage else out / "checkpoints")
        self.encoders = Encoders(out / "encoders")
        self.parallel = 1
        self.running: dict[str, Callable[[], None]] = {}  # key -> function that ends its worker
        self.trackers = Trackers((), out)
        self.network: Pretrained | None = None  # that trials fine-tune, or read features of
        self.fault: Exception | None = None  # error of the driver itself, such as a full disk
        jobs = [pretrain_job(spec) for spec in todo]
        self.jobs = list({job.key: job for job in jobs if job}.values())
        self.work = {work.key: work for work in self._ordered(todo, jobs)}
        self.untaken = dict(self.work)  # in the order of their start
        self.unfinished = len(self.work)

    @property
    def frozen(self) -> bool:
        """True where trials read features of a frozen network."""
        return self.network is not None and self.network.network.frozen

    @property
    def start(self) -> Pretrained | None:
        """Network that trials fine-tune."""
        return None if self.frozen else self.network

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as nothing: Tune pickles its hooks only to resume a sweep itself."""
        return object, ()

    def _ordered(self, todo: Sequence[TrialSpec], jobs: Sequence[PretrainJob | None]) -> list[Work]:
        """Return the work in the order of its start; ``jobs`` are the trials' pretrainings.

        An encoder is trained while the trials of the previous seed run, so that no trial waits.
        """
        missing = [job for job in self.jobs if self.encoders.on_disk(job.key) is None]
        first_trial: dict[int, int] = {}
        for position, spec in enumerate(todo):
            first_trial.setdefault(spec.train_seed, position)
        ordered = [
            (first_trial[previous.seed], Work.of_job(job))
            for previous, job in zip(missing[:1] + missing, missing, strict=False)
        ]
        ordered += [
            (position, Work.of_spec(spec, job))
            for position, (spec, job) in enumerate(zip(todo, jobs, strict=True))
        ]
        return [work for _, work in sorted(ordered, key=lambda pair: pair[0])]

    def next(self) -> Work | None:
        """Return work that can start now; None where all remaining work has to wait."""
        if (work := self._ready()) or not self.tuning:
            return work
        specs = self.tuning.follow()
        if (spec := self.tuning.next(self.parallel)) is not None:
            specs.append(spec)
        specs += self.tuning.follow()  # of a search that has just exhausted its space
        for spec in specs:
            self._add(spec)
        return self._ready()

    def _ready(self) -> Work | None:
        for work in self.untaken.values():
            if work.needs is None or work.needs in self.encoders.references:
                del self.untaken[work.key]
                return work
        return None

    @property
    def all_over(self) -> bool:
        """Return whether no work is left, and none will be added."""
        return not self.unfinished and (self.tuning is None or self.tuning.over)

    def _add(self, spec: TrialSpec) -> None:
        """Add a trial of the tuning."""
        if spec.id in self.work:
            return
        if spec.id in self.on_record:
            check_specification(self.out, spec.id, record_of(spec))
            return
        job = pretrain_job(spec)
        shared = self.encoders.references
        if job and job.key not in self.work and job.key not in shared:
            if (encoder := self.encoders.on_disk(job.key)) is not None:
                self.encoders.share(job.key, encoder)
            else:
                self._announce(Work.of_job(job))
        self._announce(Work.of_spec(spec, job))
        if job and job.key not in shared and (pretraining := self.work[job.key]).over:
            self._give_up_on(pretraining, "see the first trial that needed it", pretraining.status)

    def _announce(self, work: Work) -> None:
        assert self.tuning is not None
        self.work[work.key] = self.untaken[work.key] = work
        self.unfinished += 1
        self.observer.add(work.key, work.cost, work.spec)
        self.observer.later(*self.tuning.remaining())

    def share_encoders(self) -> None:
        """Share the encoders that an earlier run has trained."""
        for key in {work.needs for work in self.work.values() if work.needs} - self.work.keys():
            self.encoders.share(key, self.encoders.path(key).read_bytes())

    def started(self, work: Work, kill: Callable[[], None]) -> None:
        """Note that a worker has taken up the work, perhaps again; ``kill`` ends that worker."""
        work.reports.clear()
        work.began = None  # its worker may have to load all its code first
        work.held = time.monotonic()
        self.running[work.key] = kill
        if work.spec:
            self._writer(work)
        self.observer.start(work.key, work.label)

    def stops(self, work: Work, message: Message) -> bool:
        """Return whether the scheduler of its search ends a trial after this message.

        Tune asks before the message is recorded.
        """
        searched = work.spec is not None and work.spec.is_search and not work.over
        if self.tuning and work.spec and searched and isinstance(message, Epochs):
            work.stopping |= self.tuning.judge(work.spec, message.epochs)
        return work.stopping

    def received(self, work: Work, message: Message) -> None:
        """Record a worker's message."""
        if work.over or message.number in work.reports:
            return  # Tune repeats the last result when a function ends
        work.reports.add(message.number)
        match message:
            case Epochs():
                self._record(work, message)
            case Began():
                work.began = time.monotonic()
            case Warned():
                self._warn(work, message.text)
            case PretrainingEpoch():
                self._advance(work, message.epoch)
            case EncoderTrained():
                self.encoders.keep(work.key, message.encoder)
                self._end(work, FINISHED, None, message.seconds)
            case Failed():
                self._fail(work, message.error, message.seconds, message.status)
                if message.status != LOST:  # the next run goes on from it
                    self._checkpoint(work).remove()
            case Ended():
                done = message.done
                self._finish(work, done, message.samples, message.weights)
                if done.status != LOST:
                    self._checkpoint(work).remove()  # only now: the record is whole
                self._end(work, done.status, done.error, amount(done.work_seconds))

    def _record(self, work: Work, message: Epochs) -> None:
        assert work.spec is not None
        work.peak_memory = max(work.peak_memory or 0, message.peak_memory_bytes)
        writer = self._writer(work)
        if message.restart:
            writer.restart(message.epochs)
            self.trackers.restart(work.spec, message.epochs)
        else:
            writer.append(message.epochs)
            self.trackers.append(work.spec, message.epochs)
        if message.epochs:
            last = message.epochs[-1]
            self._advance(work, last.epoch, number(last.noisy_val_accuracy))
        if work.stopping:
            self._stop(work)

    def lost(self, work: Work) -> None:
        """Note the loss of a worker, whose work Tune gives to another one."""
        if work.over:
            return
        work.deaths += 1
        self._release(work)
        self.observer.lost(work.key, work.label)

    def died(self, work: Work, reason: str | None = None, out_of_memory: bool = False) -> None:
        """End the work as lost: its workers died too often.

        A single death between two trials is tried again.

        Args:
            reason: error of the last worker, where it is known.
            out_of_memory: whether Ray ended the last worker because its machine ran out of memory:
                a failure of the method.
        """
        if work.over:
            return
        if work.deaths < MAX_FAILURES:
            self.lost(work)
            self.untaken = {work.key: work, **self.untaken}
            return
        self._release(work)
        error = reason or (
            f"the worker process died {work.deaths + 1} times (killed, out of memory, or its "
            "machine was lost)"
        )
        self._fail(work, error, work.died_after, FAILED if out_of_memory else LOST)

    def _release(self, work: Work) -> None:
        """Count the seconds of a dead worker, for the case that there is never a result."""
        if work.held is not None:
            work.died_after += time.monotonic() - work.held
        work.began = work.held = None

    def tick(self) -> None:
        """End trials that take too long; called several times a second."""
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
                self._fail(work, error, now - work.began, TIMEOUT)
                kill()

    def _fail(self, work: Work, error: str, seconds: float, status: str) -> None:
        """End work without a result; the record of a trial holds the error."""
        if work.spec:
            self._write_failure(work, error, seconds, status)
        self._end(work, status, error, seconds)
        if not work.spec:
            self._give_up_on(work, error, status)

    def _give_up_on(self, pretraining: Work, error: str, status: str) -> None:
        """End the trials whose encoder this run cannot train, with their pretraining's status."""
        for work in list(self.untaken.values()):
            if work.spec and work.needs == pretraining.key:
                del self.untaken[work.key]
                verb = "was lost" if status == LOST else status
                self._write_failure(work, f"its pretraining {verb}: {error}", 0.0, status)
                self._end(work, status, error, 0.0)

    def _write_failure(self, work: Work, error: str, seconds: float, status: str) -> None:
        assert work.spec is not None
        outcome = failed_outcome(work.spec, self.dataset, status, error, seconds)
        self._finish(work, outcome.done())

    def _stop(self, work: Work) -> None:
        """End a trial that a scheduler has stopped: Tune tells its worker."""
        assert work.spec is not None
        pretraining = self.encoders.seconds[work.needs] if work.needs else 0.0
        outcome = stopped_outcome(work.spec, self.dataset, self._epochs(work), pretraining)
        self._finish(work, outcome.done())
        self._checkpoint(work).remove()
        seconds = amount(outcome.train_seconds) + amount(outcome.eval_seconds)
        self._end(work, STOPPED, None, seconds)

    def _finish(
        self, work: Work, done: Done, samples: bytes | None = None, weights: bytes | None = None
    ) -> None:
        """Record the end of a trial, with the peak memory of all its workers."""
        assert work.spec is not None
        done.peak_memory_bytes = max(work.peak_memory or 0, done.peak_memory_bytes or 0) or None
        work.done = done
        self._writer(work).finish(done, samples, weights)
        self.trackers.finish(work.spec, done)

    def _end(self, work: Work, status: str, error: str | None, seconds: float) -> None:
        work.over = True
        self.unfinished -= 1
        work.status = status
        work.writer = None
        work.reports.clear()
        self.running.pop(work.key, None)
        work.seconds += seconds
        if self.tuning and work.spec and work.spec.is_search:
            assert work.done is not None
            self.tuning.end(work.spec, work.done, self._epochs(work))
        self.observer.end(work.key, work.label, status, error)

    def _epochs(self, work: Work) -> list[Epoch]:
        return read_epochs(self.out / "trials" / work.key / "epochs.jsonl")

    def _checkpoint(self, work: Work) -> Checkpoint:
        return Checkpoint(self.store.file(work.key), warn=lambda text: self._warn(work, text))

    def _warn(self, work: Work, text: str) -> None:
        self.observer.warn(work.key, work.label, text)

    def _advance(self, work: Work, epoch: int, accuracy: float = math.nan) -> None:
        self.observer.advance(work.key, (epoch + 1) / work.epochs, accuracy)

    def _writer(self, work: Work) -> TrialWriter:
        if work.writer is None:  # its worker may have died before it started
            assert work.spec is not None
            draw = self.tuning.position(work.spec) if self.tuning and work.spec.is_search else None
            work.writer = TrialWriter(self.out, work.key, record_of(work.spec), draw)
        return work.writer
