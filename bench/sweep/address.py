"""Joining of an existing Ray cluster."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import ray

from bench.common.importing import worker_path
from bench.errors import InputError, reason_of
from bench.sweep.private import job_config, running

#: Beginning of the addresses of Ray's client server.
CLIENT = "ray://"

#: Time limit of a connection, and of its first answer, in seconds.
CONNECT_SECONDS = 5

_SETTINGS_FRAME = 4  # type of HTTP/2's frame of settings


def connect(address: str, quiet: dict[str, Any]) -> str:
    """Join a cluster.

    Where there is none, Ray itself would wait for minutes or for ever.

    Returns:
        The address; in place of "auto" the one that it stands for.

    Raises:
        InputError: where it cannot be reached, or refuses this driver.
    """
    if address == "auto":
        address = find_cluster()
    settings = dict(quiet)
    if address.startswith(CLIENT):
        try:
            import grpc  # noqa: F401
        except ImportError as error:
            raise InputError('--address ray:// needs gRPC: pip install "ray[client]"') from error
    else:
        settings["job_config"] = job_config(worker_path(sys.path, same_machine=False))
    _check_address(address)
    if address.startswith(CLIENT):
        _call(address)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with _silent_libraries():
            ray.init(address=address, **settings)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise unreachable(address, error) from error
    return address


def find_cluster() -> str:
    """Return the address that --address auto stands for.

    That is RAY_ADDRESS, or else the cluster that this machine belongs to. Ray would take any Ray
    that it finds on the machine, the private one of another local sweep too.

    Raises:
        InputError: where there is no cluster, or several.
    """
    if (address := os.environ.get("RAY_ADDRESS", "")) not in ("", "auto"):
        return address
    clusters = running()
    if len(clusters.clusters) == 1:
        return next(iter(clusters.clusters))
    if clusters.latest in clusters.clusters:
        return str(clusters.latest)
    if clusters.clusters:
        raise InputError(
            "--address auto finds several Ray clusters on this machine: give one of "
            f"{', '.join(sorted(clusters.clusters))}"
        )
    private = " but the private Ray of another sweep" if clusters.sweeps else ""
    raise InputError(
        f"--address auto finds no Ray cluster on this machine{private}: start one with ray start "
        "--head, give --address host:port, or leave out --address to run on this machine alone"
    )


def _check_address(address: str) -> None:
    """Raise InputError unless a Ray answers at ``address`` that no other sweep has for itself."""
    host, colon, port = address.removeprefix(CLIENT).rpartition(":")
    if "/" in host or not (host and colon and port.isascii() and port.isdigit()):
        raise InputError(
            f"{address!r} is no address of a Ray cluster: give --address auto, host:port or "
            "ray://host:port"
        )
    if address in running().sweeps:
        raise InputError(
            f"{address!r} is the private Ray of another sweep on this machine: give --address of a "
            "cluster"
        )
    try:
        with socket.create_connection(
            (host.strip("[]"), int(port)), timeout=CONNECT_SECONDS
        ) as connection:
            if not _tls():
                _greet(connection)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(
            f"cannot reach a Ray cluster at {address!r} ({error}): check --address"
        ) from error


def _greet(connection: socket.socket) -> None:
    """Raise OSError unless the server sends its HTTP/2 settings, as all servers of Ray do."""
    empty_settings = bytes([0, 0, 0, _SETTINGS_FRAME, 0, 0, 0, 0, 0])
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings)
    answer = b""
    while len(answer) < 4 and (received := connection.recv(4 - len(answer))):
        answer += received
    if answer[3:] != bytes([_SETTINGS_FRAME]):
        raise ConnectionError("what answers there is no Ray")


def _call(address: str) -> None:
    """Raise InputError unless a gRPC server answers: Ray's client would wait for minutes."""
    import grpc

    if _tls():
        return
    with grpc.insecure_channel(address.removeprefix(CLIENT)) as channel:
        try:
            channel.unary_unary("/lnl_bench/ping")(b"", timeout=CONNECT_SECONDS)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                raise InputError(
                    f"cannot reach a Ray cluster at {address!r} (no answer): check --address"
                ) from error


def _tls() -> bool:
    """Return whether Ray encrypts its connections."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """Drop the lines that Ray's C++ code writes to the error stream, one a second."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def unreachable(address: str, error: Exception) -> InputError:
    """Return the error of a cluster that answers and cannot be used."""
    reason = reason_of(error)
    if reason.startswith("Version mismatch"):
        return InputError(
            f"the Ray cluster at {address!r} runs another Ray or Python than this command "
            f"({reason}): install the same here and there, to the last digit"
        )
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        hint = (
            "check --address, and that RAY_AUTH_TOKEN or the file RAY_AUTH_TOKEN_PATH holds the "
            "cluster's token"
        )
    else:
        hint = (
            "check --address; a cluster with token authentication wants RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN_PATH=FILE"
        )
    return InputError(
        f"cannot use the Ray cluster at {address!r} ({reason.partition('. ')[0]}): {hint}"
    )
