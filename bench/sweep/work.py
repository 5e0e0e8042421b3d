"""The pieces of work of a sweep; what it is told of resources, and what it tells its observer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.planning.pretraining import PretrainJob
from bench.planning.spec import TrialSpec, relative_cost
from bench.records.trials import TrialWriter


@dataclass(frozen=True)
class Resources:
    """What a trial gets, and where."""

    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent: int | None = None
    address: str | None = None
    # of checkpoints: a folder or an address; by default a folder in the sweep's
    storage: str | None = None
    trial_timeout: float | None = None  # seconds that a worker gets for a trial


class Observer(Protocol):
    """Is told what a sweep is doing; a progress display."""

    def begin(self, work: Sequence[tuple[str, float]], parallel: int) -> None:
        """All pieces of work, as (key, rough cost)."""

    def add(self, key: str, cost: float, spec: TrialSpec | None) -> None:
        """A piece of work that tuning has decided on; a pretraining has no ``spec``."""

    def later(self, trials: int, cost: float) -> None:
        """How many trials tuning will still decide on, as far as that is known, and their rough
        cost.
        """

    def start(self, key: str, label: str) -> None: ...

    def advance(self, key: str, share: float, epoch: dict[str, Any] | None) -> None: ...

    def lost(self, key: str, label: str) -> None:
        """Its worker died; it is tried again."""

    def warn(self, key: str, label: str, text: str) -> None:
        """Something went wrong that the trial survives."""

    def end(self, key: str, label: str, status: str, error: str | None) -> None: ...

    def tick(self) -> None:
        """Called several times a second, whatever happens."""


@dataclass
class Work:
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
    status: str = ""  # of work that is over
    writer: TrialWriter | None = None
    began: float | None = None  # when its worker took it up, by the monotonic clock
    held: float | None = None  # since when it has a worker
    died_after: float = 0.0  # seconds that it had those that died
    seconds: float = 0.0
    reports: set[int] = field(default_factory=set)
    peak_memory: int | None = None  # in bytes, as its workers have said so far
    stopping: bool = False  # a scheduler has said so

    @classmethod
    def of_job(cls, job: PretrainJob) -> "Work":
        return cls(job.key, job.label, 3.0 * job.settings.epochs, job.settings.epochs, job=job)

    @classmethod
    def of_spec(cls, spec: TrialSpec, job: PretrainJob | None) -> "Work":
        needs = job.key if job else None
        return cls(
            spec.id,
            spec.label,
            relative_cost(spec) * spec.recipe.epochs,
            spec.recipe.epochs,
            spec,
            needs=needs,
        )
