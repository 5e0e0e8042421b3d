"""Environment variables that Ray reads when it is imported."""

import os
import warnings

from bench.sweep.private import ALWAYS, FOR_A_CLUSTER, OF_A_CLUSTER, ON_ONE_MACHINE


def prepare_environment(address: str | None = None) -> None:
    """Set the environment for Ray, before its first import.

    Args:
        address: of the cluster, if there is one.
    """
    if not address:
        _leave_clusters()
    os.environ.update(ALWAYS | (_on_a_cluster() if address else ON_ONE_MACHINE))
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")


def _leave_clusters() -> None:
    """Drop variables that would change a sweep on this machine alone, with a warning."""
    dropped = [name for name in OF_A_CLUSTER if os.environ.pop(name, "")]
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
        return FOR_A_CLUSTER
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not token:
        warnings.warn(
            "whoever reaches this cluster's ports can run code there: start it with "
            "RAY_AUTH_MODE=token (see bench/cluster), or set RAY_AUTH_MODE=disabled to say that it "
            "is meant",
            stacklevel=2,
        )
    return FOR_A_CLUSTER | {"RAY_AUTH_MODE": "token" if token else "disabled"}
