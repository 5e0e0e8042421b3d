"""Pieces of work of a sweep, their resources, and the observers of their progress."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bench.planning.pretraining import PretrainJob
from bench.planning.spec import TrialSpec, relative_cost
from bench.records.schema import Done
from bench.records.writer import TrialWriter

#: Cost of an epoch of pretraining, in epochs of cross-entropy.
_PRETRAINING_COST = 3.0


@dataclass(frozen=True)
class Resources:
    """Resources of each trial, and the machines that have them."""

    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent: int | None = None
    address: str | None = None  # of a Ray cluster
    storage: str | None = None  # folder or address of checkpoints; by default in the sweep's folder
    trial_timeout: float | None = None  # seconds that a worker gets for a trial


@dataclass(frozen=True)
class Settings:
    """Settings that hold for all trials of a sweep, and change none of their numbers."""

    resources: Resources = Resources()
    keep: Collection[str] = ()  # results to keep beside the records
    retry_failed: bool = False
    checkpoint_seconds: float = 30.0
    track: Sequence[str] = ()  # names of trackers


@dataclass(frozen=True)
class ClusterUse:
    """Machines of a cluster, and what all of its jobs use of them."""

    nodes: int
    cpus_used: float
    cpus: float
    gpus_used: float
    gpus: float

    def __str__(self) -> str:
        parts = [f"{self.cpus_used:g} of {self.cpus:g} CPU{'s' * (self.cpus != 1)}"]
        if self.gpus:
            parts.append(f"{self.gpus_used:g} of {self.gpus:g} GPU{'s' * (self.gpus != 1)}")
        return f"{self.nodes} node{'s' * (self.nodes != 1)} · {' and '.join(parts)} in use"


class Observer:
    """Base class of displays of a sweep's progress."""

    def begin(self, work: Sequence[tuple[str, float]], parallel: int) -> None:
        """Take all pieces of work, as (key, rough cost), and how many go on at once."""

    def add(self, key: str, cost: float, spec: TrialSpec | None) -> None:
        """Take a piece of work that tuning has decided on; a pretraining has no ``spec``."""

    def later(self, trials: int, cost: float) -> None:
        """Take the number and rough cost of trials that tuning will still decide on."""

    def start(self, key: str, label: str) -> None:
        """Note that a worker has taken up this work."""

    def advance(self, key: str, share: float, accuracy: float) -> None:
        """Note the share of epochs done, and the noisy validation accuracy (NaN: unknown)."""

    def lost(self, key: str, label: str) -> None:
        """Note that its worker died; it is tried again."""

    def warn(self, key: str, label: str, text: str) -> None:
        """Show a problem that the trial survives."""

    def end(self, key: str, label: str, status: str, error: str | None) -> None:
        """Note that this work is over."""

    def cluster(self, use: ClusterUse) -> None:
        """Note the state of the cluster; called every few seconds, and on a cluster alone."""

    def tick(self) -> None:
        """Refresh the display; called several times a second."""


class Silent(Observer):
    """Observer that shows nothing."""


@dataclass
class Work:
    """A trial or a pretraining, and its state."""

    key: str
    label: str
    cost: float
    epochs: int
    spec: TrialSpec | None = None
    job: PretrainJob | None = None
    needs: str | None = None  # key of the encoder that a trial waits for
    deaths: int = 0  # of its workers
    over: bool = False
    status: str = ""  # of work that is over
    done: Done | None = None  # of a trial that is over
    writer: TrialWriter | None = None
    began: float | None = None  # when its worker took it up, by the monotonic clock
    held: float | None = None  # since when it has a worker
    died_after: float = 0.0  # seconds of workers that died
    seconds: float = 0.0
    reports: set[int] = field(default_factory=set)  # numbers of messages that were received
    peak_memory: int | None = None  # in bytes, by its workers' messages so far
    stopping: bool = False  # by the decision of its search's scheduler

    @classmethod
    def of_job(cls, job: PretrainJob) -> "Work":
        """Return the work of a pretraining."""
        epochs = job.settings.epochs
        return cls(job.key, job.label, _PRETRAINING_COST * epochs, epochs, job=job)

    @classmethod
    def of_spec(cls, spec: TrialSpec, job: PretrainJob | None) -> "Work":
        """Return the work of a trial, which waits for the encoder of ``job``."""
        epochs = spec.recipe.epochs
        needs = job.key if job else None
        return cls(spec.id, spec.label, relative_cost(spec) * epochs, epochs, spec, needs=needs)
