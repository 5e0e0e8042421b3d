"""Environment variables that Ray reads when it is imported."""

import os
import warnings

_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # its kills crash Tune; the kernel's look like any other death of a worker
    "RAY_memory_monitor_refresh_ms": "0",
    # at 15, the default, any other process on the machine would slow the trials
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # a lost worker: we say what it means for the trial
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # its state is not needed
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
_ON_ONE_MACHINE = {
    # ports are on loopback; unset, Ray writes a token into the home folder
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # binds every port to loopback
}
#: By default Ray tries 20 times, 40 seconds each, where another program answers at an address, and
#: no signal ends it.
_FOR_A_CLUSTER = {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_py_gcs_connect_timeout_s": "5"}

#: Variables that join a process to a cluster or job, or change what Ray starts. A local sweep drops
#: them.
_OF_A_CLUSTER = (
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


def prepare_environment(address: str | None = None) -> None:
    """Set the environment for Ray, before its first import.

    Args:
        address: of the cluster, if there is one.
    """
    if not address:
        _leave_clusters()
    os.environ.update(_ALWAYS | (_on_a_cluster() if address else _ON_ONE_MACHINE))
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")


def _leave_clusters() -> None:
    """Drop variables that would change a sweep on this machine alone, with a warning."""
    dropped = [name for name in _OF_A_CLUSTER if os.environ.pop(name, "")]
    if dropped:
        warnings.warn(
            f"{' and '.join(dropped)} in the environment {'is' if len(dropped) == 1 else 'are'} "
            "ignored: this sweep runs on this machine alone; to use a Ray cluster, give --address "
            "(auto takes RAY_ADDRESS)",
            stacklevel=3,
        )


def _on_a_cluster() -> dict[str, str]:
    """Return the variables of a driver of a cluster, with a decision on token authentication.

    Without a decision, Ray takes any token in the home folder. Driver and cluster have to agree: a
    driver with a token refuses the workers of a cluster without, and they die.
    """
    if os.environ.get("RAY_AUTH_MODE"):
        return _FOR_A_CLUSTER
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not token:
        warnings.warn(
            "whoever reaches this cluster's ports can run code there: start it with "
            "RAY_AUTH_MODE=token (see bench/cluster), or set RAY_AUTH_MODE=disabled to say that it "
            "is meant",
            stacklevel=2,
        )
    return _FOR_A_CLUSTER | {"RAY_AUTH_MODE": "token" if token else "disabled"}
