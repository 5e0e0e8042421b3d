"""Sweep from start to end: runs the trials without a record, and counts the results."""

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.common.files import to_json, write_atomically
from bench.common.text import shortlist
from bench.datasets import Dataset
from bench.embedding import embed
from bench.networks.pretrained import Pretrained
from bench.planning.code_hash import code_of
from bench.planning.spec import TrialSpec, record_of
from bench.records.code import differing, to_text
from bench.records.schema import COMPLETED, DIVERGED, LOST, RETRIED
from bench.records.trials import check_specification, finished_statuses, results
from bench.records.writer import lock
from bench.sweep.driver import Driver
from bench.sweep.environment import prepare_environment
from bench.sweep.object_store import content_bytes
from bench.sweep.provenance import describe
from bench.sweep.trackers import Trackers
from bench.sweep.work import Observer, Settings

if TYPE_CHECKING:
    from bench.tuning.plan import Tuning


@dataclass
class SweepResult:
    """Result of a sweep."""

    statuses: dict[str, str]  # of every requested trial that is over
    missing: list[str]  # not begun or not over, and those that their machine ended
    ran: int
    overhead: float | None = None
    wall_seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Trials that have no result."""
        return [trial_id for trial_id, status in self.statuses.items() if status in RETRIED]

    @property
    def lost(self) -> list[str]:
        """Trials that their machine ended."""
        return [trial_id for trial_id, status in self.statuses.items() if status == LOST]

    @property
    def diverged(self) -> list[str]:
        """Trials whose result is that they diverged."""
        return [trial_id for trial_id, status in self.statuses.items() if status == DIVERGED]


def pending(specs: Sequence[TrialSpec], out: Path, retry_failed: bool = False) -> list[TrialSpec]:
    """Return the trials that have no record yet."""
    return _missing(specs, out, _on_record(out, retry_failed))


def _on_record(out: Path, retry_failed: bool) -> frozenset[str]:
    """Return the ids of trials that are not to be run again."""
    over = COMPLETED if retry_failed else COMPLETED + RETRIED
    return frozenset(trial for trial, status in finished_statuses(out).items() if status in over)


def _missing(specs: Sequence[TrialSpec], out: Path, on_record: frozenset[str]) -> list[TrialSpec]:
    for spec in specs:
        if spec.id in on_record:
            check_specification(out, spec.id, record_of(spec))
    return [spec for spec in specs if spec.id not in on_record]


def other_code(specs: Sequence[TrialSpec], out: Path) -> str:
    """Return a sentence on records that other code than today's has made, or nothing."""
    over = results(out)
    changed: dict[str, list[str]] = {}
    for spec in specs:
        if spec.id not in over:
            continue
        if parts := differing([to_text(over[spec.id].code), to_text(code_of(spec.method))]):
            changed[over[spec.id].folder.name] = parts
    if not changed:
        return ""
    count, parts = len(changed), sorted({part for parts in changed.values() for part in parts})
    return (
        f"{count} trial{'s' * (count != 1)} on record {'was' if count == 1 else 'were'} made by "
        f"other code than today's ({', '.join(parts)}): {shortlist(changed)}; to run "
        f"{'it' if count == 1 else 'them'} anew, move the folders trials/ID away and type the same "
        "command again"
    )


def run_sweep(
    specs: Sequence[TrialSpec],
    dataset: Dataset,
    out: Path,
    *,
    command: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
    tuning: "Tuning | None" = None,
    network: Pretrained | None = None,
) -> SweepResult:
    """Run the trials that ``out`` has no record of, and those that ``tuning`` decides on.

    It returns when every one of them is over. Interrupted, it leaves the folder so that the same
    call goes on from there.

    Args:
        network: the pretrained network of the trials; with ``address``, the images that a frozen
            one reads are embedded on the cluster, otherwise ``dataset`` has their features.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    with lock(out):
        if tuning:
            tuning.resume(out, settings.retry_failed)
            specs = [*specs, *tuning.follow()]
        on_record = _on_record(out, settings.retry_failed)
        todo = _missing(list({spec.id: spec for spec in specs}.values()), out, on_record)
        driver = Driver(todo, dataset, out.resolve(), settings, observer, tuning, on_record)
        driver.network = network
        facts = describe(specs, command, out, options or {})
        write_atomically(out / "sweep.json", to_json(facts, indent=1))
        with contextlib.closing(Trackers(settings.track, out)) as driver.trackers:
            driver.trackers.catch_up()
            if todo or (tuning and not tuning.over):
                _run(driver)
        if tuning:
            specs = [*specs, *tuning.trials]
        result = _result(specs, driver)
        result.wall_seconds = time.perf_counter() - began
        facts["trials"] = sorted({*facts["trials"], *(spec.id for spec in specs)})
        if result.ran:
            _add_cost(facts, result, driver)
            write_atomically(out / "sweep.json", to_json(facts, indent=1))
        return result


def _embedded(driver: Driver, network: Pretrained) -> Dataset:
    """Return the data set with its features, computed by the workers of the cluster."""
    from bench.sweep.embedding import on_cluster  # Ray

    device = "cuda" if driver.resources.gpus_per_trial else "cpu"
    compute = on_cluster(driver.resources, device)
    return embed(driver.dataset, network, device=device, compute=compute)


def _result(specs: Sequence[TrialSpec], driver: Driver) -> SweepResult:
    """Count the results of the requested trials, without their cost."""
    statuses = finished_statuses(driver.out)
    lost = dict.fromkeys(spec.id for spec in specs if statuses.get(spec.id, LOST) == LOST)
    undecided = driver.tuning.remaining()[0] if driver.tuning else 0
    return SweepResult(
        statuses={spec.id: statuses[spec.id] for spec in specs if spec.id in statuses},
        missing=[*lost, *["not decided on"] * undecided],
        ran=sum(work.spec is not None for work in driver.work.values()),
    )


def _add_cost(facts: dict[str, Any], result: SweepResult, driver: Driver) -> None:
    """Add overhead and seconds to the result, and to the content of sweep.json."""
    # An encoder's cost, which is attributed to every trial that uses it, counts once here.
    work_seconds = sum(work.seconds for work in driver.work.values())
    if work_seconds:
        result.overhead = result.wall_seconds / (work_seconds / driver.parallel)
    cost = {"overhead": result.overhead, "wall_seconds": result.wall_seconds}
    facts |= {**cost, "work_seconds": work_seconds, "parallel_trials": driver.parallel}
    facts["runs"][-1] |= {"trials": result.ran, **cost}


def _run(driver: Driver) -> None:
    """Let Ray's workers do all of the driver's work."""
    prepare_environment(driver.resources.address)
    from bench.sweep import cluster, session, tuner  # Ray, in an environment that is ready for it

    store, tuning = driver.store, driver.tuning
    if driver.resources.storage:
        store.check()
    store.claim(driver.run_id)
    store.tidy(finished_statuses(driver.out))
    dataset = driver.dataset
    _ = dataset.vector_statistics if dataset.on_vectors else dataset.pixel_statistics  # once, here
    content = content_bytes(dataset, driver.jobs, driver.start)
    with session.ray_session(driver.resources, driver.out, content) as folder:
        if driver.network and driver.frozen and driver.resources.address:
            driver.dataset = _embedded(driver, driver.network)
        later = tuning.remaining() if tuning else (0, 0.0)
        open_ended = tuning is not None and tuning.open_ended
        pieces = sys.maxsize if open_ended else len(driver.work) + later[0]
        driver.parallel = cluster.parallel_trials(
            driver.resources, [node.resources for node in cluster.nodes()], pieces
        )
        driver.share_encoders()
        driver.observer.later(*later)
        driver.observer.begin(
            [(work.key, work.cost) for work in driver.work.values()], driver.parallel
        )
        tuner.fit(driver, folder / "tune")
    with contextlib.suppress(OSError):  # a store out of reach keeps an empty folder
        store.tidy(finished_statuses(driver.out))  # of workers that were killed while they wrote
        store.close()
