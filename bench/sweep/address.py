"""Joining a Ray cluster that is there already."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import ray
import ray.util.client
from ray.train._internal import storage

from bench.errors import InputError


def connect(address: str, quiet: dict[str, Any]) -> None:
    """Join a cluster; Ray itself would wait for minutes where there is none.

    Raises:
        InputError: where it cannot be reached, or does not let us in.
    """
    if address.startswith("ray://"):
        try:
            import grpc  # noqa: F401
        except ImportError as error:
            raise InputError('--address ray:// needs gRPC: pip install "ray[client]"') from error
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon:
            socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot reach a Ray cluster at {address!r} ({error}): check --address") from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with _silent_libraries():
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise unreachable(address, error) from error


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """What Ray's C++ code writes to the error stream is lost: a line a second while it is refused."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def unreachable(address: str, error: Exception) -> InputError:
    """Why a cluster that answers cannot be used."""
    reason = " ".join(str(error).split())
    if reason.startswith("Version mismatch"):
        return InputError(
            f"the Ray cluster at {address!r} runs another Ray or Python than this command ({reason}): install the same here "
            f"and there, to the last digit"
        )
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        hint = "check --address, and that RAY_AUTH_TOKEN or the file RAY_AUTH_TOKEN_PATH holds the cluster's token"
    else:
        hint = "check --address; a cluster with token authentication wants RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=FILE"
    return InputError(
        f"cannot use the Ray cluster at {address!r} ({reason.partition('. ')[0] or type(error).__name__}): {hint}"
    )


@contextlib.contextmanager
def driving_here(session: str) -> Iterator[None]:
    """Over ray://, Tune would move itself to the cluster, and our hooks, which write the records, with it: keep it here.

    It then asks for the folder of a Ray that this machine does not run.
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
