"""Ray Tune, and the driver's hooks in it: a searcher, a scheduler and a callback."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.error import TuneError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from bench.errors import last_line, one_line
from bench.sweep import cluster
from bench.sweep.driver import MAX_FAILURES, Driver
from bench.sweep.private import first_pending, forget, kill, last_error, progress_callback
from bench.sweep.worker import Duties, report_seconds, train

#: Seconds between two looks at the cluster.
LOOK_SECONDS = 10.0

UNLIMITED = 1_000_000_000  # trials; the queue ends the sweep when it is empty


def fit(driver: Driver, state: Path) -> None:
    """Run Ray Tune, which hands out the driver's work, until all of it is over.

    Args:
        state: folder for the files that Tune writes.
    """
    resources = driver.resources
    trainable = tune.with_resources(
        tune.with_parameters(
            train,
            dataset=driver.dataset,
            start=driver.start,
            duties=Duties(
                driver.store.place,
                driver.run_id,
                driver.checkpoint_seconds,
                driver.keep,
                timed=resources.trial_timeout is not None,
                report_seconds=report_seconds(driver.parallel),
            ),
        ),
        {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=Queue(driver),
            scheduler=Scheduler(driver),
            num_samples=UNLIMITED,
            reuse_actors=True,
            max_concurrent_trials=driver.parallel,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(state),
            callbacks=[Recorder(driver)],
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except TuneError:
        if driver.fault:  # Tune has made text of it
            raise driver.fault from None
        raise


class Queue(Searcher):
    """Searcher that hands out the driver's work.

    Each cell has a search of its own, and all of them feed this one queue.
    """

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver

    def suggest(self, trial_id: str) -> Any:
        work = self.driver.next()
        if work is None:
            return Searcher.FINISHED if self.driver.all_over else None
        content = ray.put((work.spec.to_json() if work.spec else None, work.job))
        return {
            "key": work.key,
            "work": content,
            "encoder": self.driver.encoders.references[work.needs] if work.needs else None,
        }

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Do nothing: ``Recorder`` takes the results."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: Tune's state is disposable."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **kwargs: Any) -> None:
        """Do nothing: Tune's state is disposable."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a resumed sweep reads the records."""


class Scheduler(FIFOScheduler):
    """Scheduler that leaves each decision to the scheduler of the trial's own search."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver
        self.added: dict[str, Any] = {}  # Tune's trials that may still wait for a worker

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        """Take a trial that is new, or that lost its worker."""
        self.added[trial.trial_id] = trial

    def choose_trial_to_run(self, controller: Any) -> Any:
        """Return a trial that waits; the base class would look at all trials, at every step."""
        return first_pending(self.added)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        message = result.get("message")  # Tune calls the callback after the scheduler
        if message and self.driver.stops(self.driver.work[trial.config["key"]], message[0]):
            return FIFOScheduler.STOP
        return FIFOScheduler.CONTINUE


_Callback: Any = progress_callback()


class Recorder(_Callback):
    """Callback that passes Tune's events to the driver."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver
        self.looked: float | None = None  # when the cluster was looked at, by the monotonic clock
        self.shape: Any = None  # of resources, the same for all trials

    @contextlib.contextmanager
    def _remembering_faults(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.driver.fault = error
            raise

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        with self._remembering_faults():
            self.driver.tick()
        self._look_at_cluster()

    def _look_at_cluster(self) -> None:
        """Show the state of the cluster, where there is one, every few seconds."""
        now = time.monotonic()
        if not self.driver.resources.address or (self.looked and now - self.looked < LOOK_SECONDS):
            return
        self.looked = now
        with contextlib.suppress(Exception):  # a display ends no sweep
            self.driver.observer.cluster(cluster.use())

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        with self._remembering_faults():
            self.driver.started(self.driver.work[trial.config["key"]], lambda: kill(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict, **info: Any
    ) -> None:
        # Taken out of Tune's hands: it would keep every trial's last message in memory.
        message = result.pop("message", None)
        trial.last_result.pop("message", None)
        if message:
            with self._remembering_faults():
                self.driver.received(self.driver.work[trial.config["key"]], message[0])

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        # The driver has learned it from the last message.
        self.shape = forget(trial, self.shape)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.driver.lost(self.driver.work[trial.config["key"]])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        with self._remembering_faults():
            work, error = self.driver.work[trial.config["key"]], last_error(trial)
            self.driver.died(work, _reason(error), _out_of_memory(error))


def _reason(error: Exception | None) -> str | None:
    """Return the last line of the error, if it says more than that the worker died."""
    if error is None or (isinstance(error, RayActorError) and not _out_of_memory(error)):
        return None
    if _out_of_memory(error):
        return (
            "out of memory (Ray ended the worker before its machine had none left): lower "
            "--max-concurrent"
        )
    return last_line(error)


def _out_of_memory(error: Exception | None) -> bool:
    """Return whether Ray's memory monitor has ended the worker."""
    return isinstance(error, OutOfMemoryError) or (
        error is not None and "NODE_OUT_OF_MEMORY" in one_line(error)
    )
