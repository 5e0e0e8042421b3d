"""Session of Ray: start, or connection to a cluster, and end."""

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from bench.common.files import to_json, write_atomically
from bench.common.importing import worker_path
from bench.errors import InputError, one_line
from bench.networks.cpu import processors
from bench.sweep.address import CLIENT, connect
from bench.sweep.cluster import Survey, nodes, use
from bench.sweep.object_store import machine_memory, shared_memory, store_bytes
from bench.sweep.private import (
    SESSION_PREFIX,
    driving_here,
    end_session,
    files_in,
    job_config,
    without_sigterm_handler,
)
from bench.sweep.work import Resources

#: Arguments of ``ray.init``: nothing but our own lines is shown.
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}


def _parent() -> str:
    """Return a folder with a short path: the path of a socket below it is limited to 107 bytes."""
    return "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()


@contextlib.contextmanager
def ray_session(resources: Resources, out: Path, content: int) -> Iterator[Path]:
    """Start or join Ray, silently, and leave nothing behind.

    On one machine every port is on loopback, and the object store is sized to fit.

    Args:
        content: bytes that the sweep puts into the object store.

    Yields:
        A folder of the session's own.
    """
    _remove_left_session(out)
    folder = tempfile.mkdtemp(prefix=SESSION_PREFIX, dir=_parent())
    write_atomically(
        out / ".ray-session",
        to_json({"folder": folder, "out": str(out.resolve()), "pid": os.getpid()}),
    )
    try:
        with holding_back_sigterm():
            address = _start(resources, content, folder)
        # Without this, Ray prints a traceback for each lost worker.
        for name in ("ray", "ray.tune"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with (
            driving_here(folder) if (address or "").startswith(CLIENT) else contextlib.nullcontext()
        ):
            yield Path(folder)
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        (out / ".ray-session").unlink(missing_ok=True)


def survey(address: str) -> Survey:
    """Return the machines of a cluster, and leave it at once.

    Raises:
        InputError: where no cluster answers, or it refuses this command.
    """
    try:
        with holding_back_sigterm():
            address = connect(address, QUIET)
        return Survey(address, nodes(), use())
    finally:
        ray.shutdown()


def _start(resources: Resources, content: int, folder: str) -> str | None:
    """Start Ray here, or join a cluster; return the cluster's address."""
    if resources.address:
        return connect(resources.address, QUIET)
    cpus = processors()
    if resources.cpus_per_trial > cpus:
        raise InputError(
            f"--cpus-per-trial is {resources.cpus_per_trial:g}, but this machine has {cpus}: ask "
            "for fewer"
        )
    size = store_bytes(content, machine_memory(), shared_memory())
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=size,
            job_config=job_config(worker_path(sys.path, same_machine=True)),
            **files_in(folder),
            **QUIET,
        )
    except Exception as error:
        # Ray raises errors of any type where its processes fail, or do not answer in time.
        reason = one_line(error).partition(". ")[0]
        raise InputError(
            f"Ray did not start ({reason}): this machine may be overloaded or out of memory; "
            f"run the same command again when it is not"
        ) from error
    return None


@contextlib.contextmanager
def holding_back_sigterm() -> Iterator[None]:
    """Delay a SIGTERM while Ray starts, for the handler that was installed before.

    The signal arrives at the end, or at once if another thread takes it. Ray installs handlers of
    its own, which would end the process with their status. Its handler in Python is kept out. For
    its handler in C++ the signal is blocked. Threads of libraries such as BLAS do not share the
    block: for a moment Ray's handler may still win.
    """
    # Other threads cannot install handlers, nor can Ray in them.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    starting = True

    def let_through() -> None:  # the processes that Ray starts have to end at a SIGTERM
        if starting:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    os.register_at_fork(after_in_child=let_through)
    handler = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with without_sigterm_handler():
            yield
    finally:
        starting = False
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _remove_left_session(out: Path) -> None:
    """Remove the session of a killed driver of this folder.

    The caller's lock shows that no driver of this folder is alive, but the folder may be a copy.
    """
    path = out / ".ray-session"
    if not path.exists():
        return
    with contextlib.suppress(ValueError, KeyError, TypeError):  # a torn file names no session
        session = json.loads(path.read_bytes())
        folder = Path(session["folder"])
        temporary = folder.parent == Path(_parent()) and folder.name.startswith(SESSION_PREFIX)
        ours = temporary and session["out"] == str(out.resolve())
        if ours and not _alive(session["pid"]):
            end_session(str(folder))
            shutil.rmtree(folder, ignore_errors=True)
    path.unlink()


def _alive(pid: int) -> bool:
    """Return whether another process has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # In a container the next driver often has the same number.
    return pid != os.getpid()
