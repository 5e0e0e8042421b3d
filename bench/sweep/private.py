"""Private names of Ray, each with what breaks here when it changes.

Nothing else in this package uses a name that Ray's documentation does not promise.
``tests/sweep/test_private.py`` holds each to the shape that is relied on: a new Ray that changes
one fails there, before pyproject.toml allows it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray._private.services as services
import ray._private.utils
import ray.util.client
from ray.job_config import JobConfig
from ray.train._internal import storage

# Deriving from Tune's own progress callback keeps Tune from adding one, which would print.
from ray.tune.progress_reporter import TrialProgressCallback

__all__ = ["TrialProgressCallback"]

#: A local sweep gives Ray a folder of this name for its files, and so shows on the command lines of
#: Ray's processes.
SESSION_PREFIX = "lnl-ray-"

# ----------------------------------------------------------------------------
# the driver


@contextlib.contextmanager
def without_sigterm_handler() -> Iterator[None]:
    """Keep ``ray.init`` from putting its SIGTERM handler in place of the command's.

    ``ray._private.utils.set_sigterm_handler``: changed, a SIGTERM while Ray starts ends the command
    with Ray's status.
    """
    handler = ray._private.utils.set_sigterm_handler
    ray._private.utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        ray._private.utils.set_sigterm_handler = handler


@contextlib.contextmanager
def driving_here(session: str) -> Iterator[None]:
    """Keep Tune in this process over ray://.

    Otherwise Tune, and the hooks that write records, would run on the cluster.

    ``ray.util.client.ray.is_connected``: changed, records would be written on the cluster's
        machine.
    ``ray.train._internal.storage._get_ray_train_session_dir``: Tune asks for the folder of a Ray
    that this machine does not run; changed, sweeps over ray:// fail at their start.
    """
    client: Any = ray.util.client.ray
    session_folder = storage._get_ray_train_session_dir
    client.is_connected = lambda: False
    storage._get_ray_train_session_dir = lambda: session
    try:
        yield
    finally:
        del client.is_connected  # the method of its class is back
        storage._get_ray_train_session_dir = session_folder


# ----------------------------------------------------------------------------
# the workers


class _Unchanged(list):
    """List that Ray cannot extend."""

    def extend(self, _: object) -> None:
        """Leave out the working directory, which Ray adds as the first place for modules."""


def job_config(path: Sequence[str]) -> JobConfig:
    """Return the settings of a job whose workers begin ``sys.path`` with the entries of ``path``.

    ``JobConfig._py_driver_sys_path``: a worker puts its entries in front one after another, so that
    the last one ends up first, and ``ray.init`` extends it by the working directory. Changed,
    workers may import other files than the driver.
    """
    config = JobConfig()
    config._py_driver_sys_path = _Unchanged(reversed(path))
    return config


# ----------------------------------------------------------------------------
# the clusters


@dataclass(frozen=True)
class Running:
    """Addresses, as host:port, of Ray clusters with a process on this machine."""

    clusters: frozenset[str]
    sweeps: frozenset[str]  # private ones, which local sweeps of this package have started
    latest: str | None  # cluster that the last ``ray start`` on this machine belongs to


def running() -> Running:
    """Return the Ray clusters that the command lines of this machine's processes name.

    ``ray.init("auto")`` looks there too, and joins any of them.

    ``ray._private.services.psutil`` and ``_is_raylet_process``, the raylet's arguments
    ``--gcs-address`` and ``--raylet_socket_name``: changed, --address auto finds no cluster, or
    joins the private Ray of another sweep. ``ray._private.utils.read_ray_address``: changed,
    --address auto asks for an address where several clusters run.
    """
    clusters: set[str] = set()
    sweeps: set[str] = set()
    for process in services.psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"]
        if not services._is_raylet_process(arguments):
            continue
        facts = dict(
            argument.split("=", 1)
            for argument in arguments
            if argument.startswith("--") and "=" in argument
        )
        if address := facts.get("--gcs-address"):
            parts = Path(facts.get("--raylet_socket_name", "")).parts
            ours = any(part.startswith(SESSION_PREFIX) for part in parts)
            (sweeps if ours else clusters).add(address)
    return Running(frozenset(clusters), frozenset(sweeps), ray._private.utils.read_ray_address())


def end_session(folder: str) -> None:
    """Kill the processes of the private Ray that a killed driver has started in ``folder``.

    ``ray._private.services.psutil``, and that the folder shows on the command lines: changed,
    processes of the earlier run live on for a minute or so, and take time from the next one.
    """
    psutil = services.psutil
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if any(argument.startswith("--") and f"={folder}/" in argument for argument in arguments):
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                for child in [*process.children(recursive=True), process]:
                    child.kill()


# ----------------------------------------------------------------------------
# Tune's trials


def forget(trial: Any, shape: Any) -> None:
    """Release the memory that Tune holds for a trial that is over.

    ``Trial.run_metadata``, ``placement_group_factory`` and ``_default_placement_group_factory``:
    changed, the driver's memory grows with every trial.

    Args:
        shape: the resources of all trials, one object for them all.
    """
    metadata = trial.run_metadata
    metadata.metric_analysis.clear()
    metadata.metric_n_steps.clear()
    metadata.last_result = {"done": True}
    for settings in (trial.config, trial.evaluated_params):
        settings.pop("work", None)
        settings.pop("encoder", None)
    trial.placement_group_factory = trial._default_placement_group_factory = shape


def kill(trial: Any) -> None:
    """End the worker of a Tune trial without another try.

    ``Trial.max_failures`` and ``Trial.temporary_state.ray_actor``: changed, --trial-timeout does
    not end a trial that hangs.
    """
    trial.max_failures = 0
    if worker := trial.temporary_state.ray_actor:
        ray.kill(worker)
