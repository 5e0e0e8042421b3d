"""Private names of Ray: for each, what breaks when it changes, and what the code does then.

Private are names that begin with an underscore, attributes of Tune's trials that its documentation
does not show, and the variables of the environment that change how Ray behaves inside. No other
module of ``bench`` touches one. ``tests/sweep/test_private.py`` walks through all of them to show
it, and holds each name to the shape that is relied on: a new Ray that changes one fails there,
before pyproject.toml allows it.

Without a name, but for ``_temp_dir``, a sweep on one machine still runs: the functions here lose
what their docstrings say. They import Ray themselves, since the variables have to be set before.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.errors import InputError

#: A local sweep gives Ray a folder of this name for its files, and so shows on the command lines of
#: Ray's processes.
SESSION_PREFIX = "lnl-ray-"


def _lookup(path: str) -> Any:
    """Return the object of Ray with this dotted name; None where this version has none."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return None


# ----------------------------------------------------------------------------
# the environment
#
# Ray ignores variables that it does not know: the sweep goes on, and the line of the variable says
# what comes back.

#: Variables of every sweep.
ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # statistics on the use of Ray are sent
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune prints its own tables
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean other files in workers
    # its kills crash Tune; the kernel's look like any other death of a worker
    "RAY_memory_monitor_refresh_ms": "0",
    # at 15, the default, any other process on the machine slows the trials
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # trials without a GPU see none, with a warning
    # lines of Ray on a lost worker beside ours, which say what it means for the trial
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # five files a trial, at half the speed
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the first Ctrl-C waits for running trials
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune writes its state, which is not needed
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",  # warnings about that
}
#: Variables of a sweep on this machine alone.
ON_ONE_MACHINE = {
    # ports are on loopback; unset, Ray writes a token into the home folder
    "RAY_AUTH_MODE": "disabled",
    # Ray's ports are open to the network, without a token: a test looks at them
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
#: Variables of a driver of a cluster. By default Ray tries 20 times, 40 seconds each, where another
#: program answers at an address, and no signal ends it.
FOR_A_CLUSTER = {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_py_gcs_connect_timeout_s": "5"}

#: Variables that join a process to a cluster or job, or change what Ray starts. A local sweep drops
#: them; one with a new name would change that sweep.
OF_A_CLUSTER = (
    "RAY_ADDRESS",
    "RAY_REDIS_ADDRESS",
    "RAY_NAMESPACE",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV",
    "RAY_RUNTIME_ENV",
    "RAY_RUNTIME_ENV_HOOK",
    "RAY_OVERRIDE_RESOURCES",
    "RAY_OVERRIDE_LABELS",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING",
    "RAY_GCS_SERVER_PORT",
    "RAY_ENABLE_GCS_LEADER_ELECTION",
    "RAY_object_spilling_config",
)

# ----------------------------------------------------------------------------
# the driver


def files_in(folder: str) -> dict[str, Any]:
    """Return the argument of ``ray.init`` for the folder of its files.

    ``_temp_dir``: changed, Ray refuses to start, and the message names the argument. There is no
    other way to give each sweep a folder that can be removed at its end.
    """
    return {"_temp_dir": folder}


@contextlib.contextmanager
def without_sigterm_handler() -> Iterator[None]:
    """Keep ``ray.init`` from putting its SIGTERM handler in place of the command's.

    ``ray._private.utils.set_sigterm_handler``: changed, a SIGTERM while Ray starts ends the command
    with Ray's status; the handler of the command is put back after that.
    """
    handler = _lookup("ray._private.utils.set_sigterm_handler")
    if handler is None:
        yield
        return
    utils: Any = import_module("ray._private.utils")
    utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = handler


@contextlib.contextmanager
def driving_here(session: str) -> Iterator[None]:
    """Keep Tune in this process over ray://.

    Otherwise Tune, and the hooks that write records, would run on the cluster.

    ``ray.util.client.ray.is_connected``, ``ray.train._internal.storage._get_ray_train_session_dir``
    (Tune asks for the folder of a Ray that this machine does not run): changed, records would be
    written on the cluster's machine, or the sweep fails at its start. Without the names, ray:// is
    refused with a message, and host:port works as before.

    Raises:
        InputError: where this Ray lacks one of the names.
    """
    import ray

    client = _lookup("ray.util.client.ray")
    session_folder = _lookup("ray.train._internal.storage._get_ray_train_session_dir")
    if not hasattr(client, "is_connected") or session_folder is None:
        raise InputError(
            f"--address ray:// does not work with Ray {ray.__version__}: give host:port, on a "
            "machine of the cluster"
        )
    storage: Any = import_module("ray.train._internal.storage")
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


def job_config(path: Sequence[str]) -> Any:
    """Return the settings of a job whose workers begin ``sys.path`` with the entries of ``path``.

    ``JobConfig._py_driver_sys_path``: a worker puts its entries in front one after another, so that
    the last one ends up first, and ``ray.init`` extends it by the working directory. Changed,
    workers look for modules where Ray lets them: in the working directory, then as the driver. They
    may import other files than the driver.
    """
    from ray.job_config import JobConfig

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
    ``--gcs-address`` and ``--raylet_socket_name``: changed, --address auto finds no cluster and
    asks for host:port, and the private Ray of another sweep is not told from a cluster.
    ``ray._private.utils.read_ray_address``: changed, --address auto asks for an address where
    several clusters run.
    """
    clusters: set[str] = set()
    sweeps: set[str] = set()
    is_raylet = _lookup("ray._private.services._is_raylet_process")
    psutil = _lookup("ray._private.services.psutil")
    for process in psutil.process_iter(["cmdline"]) if psutil and is_raylet else ():
        arguments = process.info["cmdline"]
        if not is_raylet(arguments):
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
    latest = _lookup("ray._private.utils.read_ray_address")
    return Running(frozenset(clusters), frozenset(sweeps), latest() if latest else None)


def end_session(folder: str) -> None:
    """Kill the processes of the private Ray that a killed driver has started in ``folder``.

    ``ray._private.services.psutil``, and that the folder shows on the command lines: changed,
    processes of the earlier run live on for a minute or so, until they miss their driver, and take
    time from the next one.
    """
    psutil = _lookup("ray._private.services.psutil")
    for process in psutil.process_iter(["cmdline"]) if psutil else ():
        arguments = process.info["cmdline"] or []
        if any(argument.startswith("--") and f"={folder}/" in argument for argument in arguments):
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                for child in [*process.children(recursive=True), process]:
                    child.kill()


# ----------------------------------------------------------------------------
# Tune's trials


def progress_callback() -> Any:
    """Return the base class of our callback.

    ``ray.tune.progress_reporter.TrialProgressCallback``: deriving from it keeps Tune from adding
    one, which would print. Changed, Tune may print lines of its own between ours.
    """
    from ray import tune

    return _lookup("ray.tune.progress_reporter.TrialProgressCallback") or tune.Callback


def first_pending(trials: dict[str, Any]) -> Any:
    """Return the first of Tune's trials that wait for a worker, or None.

    ``Trial.status``: changed, Tune starts waiting trials in an order of its own.

    Args:
        trials: by their ids; those that do not wait any more are taken out.
    """
    while trials:
        trial_id, trial = next(iter(trials.items()))
        if getattr(trial, "status", None) == "PENDING":
            return trial
        del trials[trial_id]
    return None


def forget(trial: Any, shape: Any) -> Any:
    """Release the memory that Tune holds for a trial that is over.

    ``Trial.run_metadata``, ``evaluated_params``, ``placement_group_factory`` and
    ``_default_placement_group_factory``: changed, the driver's memory grows with every trial.

    Args:
        shape: the resources of all trials, one object for them all; None for the first trial.

    Returns:
        The shape for the next trial.
    """
    with contextlib.suppress(AttributeError):
        shape = shape or trial.placement_group_factory
        trial.placement_group_factory = trial._default_placement_group_factory = shape
        for settings in (trial.config, trial.evaluated_params):
            settings.pop("work", None)
            settings.pop("encoder", None)
        metadata = trial.run_metadata
        metadata.metric_analysis.clear()
        metadata.metric_n_steps.clear()
        metadata.last_result = {"done": True}
    return shape


def last_error(trial: Any) -> Exception | None:
    """Return the last error of a Tune trial; None where its class is on another machine only.

    ``Trial.get_pickled_error``: changed, a record says only that its worker died, and a worker that
    Ray ended for its memory counts as lost, so that its trial is tried again by the next run.
    """
    with contextlib.suppress(Exception):
        error: Exception | None = trial.get_pickled_error()
        return error
    return None


def kill(trial: Any) -> None:
    """End the worker of a Tune trial without another try.

    ``Trial.max_failures`` and ``Trial.temporary_state.ray_actor``: changed, a trial over its
    --trial-timeout is on record as such, and its worker computes on until the trial is over.
    """
    import ray

    trial.max_failures = 0
    if worker := getattr(getattr(trial, "temporary_state", None), "ray_actor", None):
        ray.kill(worker)
