"""Isolation of trials that share a process: each starts with the same global state."""

import gc
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from bench.task import stream_seed


def _deterministic(on: bool) -> None:
    torch.use_deterministic_algorithms(on)


def _default_device() -> torch.device | None:
    device = torch.get_default_device()
    # A default device of CPU would slow down every call of torch.
    return None if device.type == "cpu" else device


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _set_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:  # other threads may read it
            os.environ[name] = value


#: Settings of a process: reader, writer, and the value at the start of a trial, torch's default.
_SETTINGS: Any = (
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (_default_device, torch.set_default_device, None),
    (torch.is_grad_enabled, torch.set_grad_enabled, True),
    (torch.is_anomaly_enabled, torch.set_anomaly_enabled, False),
    (torch.are_deterministic_algorithms_enabled, _deterministic, False),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (*_attribute(torch.backends.cudnn, "enabled"), True),
    (*_attribute(torch.backends.mkldnn, "enabled"), True),
    (*_attribute(torch.backends.cudnn, "benchmark"), False),
    (*_attribute(torch.backends.cudnn, "deterministic"), False),
    (*_attribute(torch.backends.cudnn, "allow_tf32"), True),
    (
        np.geterr,
        lambda to: np.seterr(**to),
        {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    ),
    (random.getstate, random.setstate, random.Random(0).getstate()),
    (np.random.get_state, np.random.set_state, np.random.RandomState(0).get_state()),
)

#: Settings that a trial starts with unchanged, and that are restored after it.
_SURROUNDINGS: Any = ((os.environ.copy, _set_environment), (os.getcwd, os.chdir))


@contextmanager
def as_new(device: str) -> Iterator[None]:
    """Context with the settings of a fresh process; the earlier ones are restored at the end.

    Memory of the GPU is returned then: another trial may be waiting for it.
    """
    before = [(restore, read()) for read, restore, _ in _SETTINGS]
    before += [(restore, read()) for read, restore in _SURROUNDINGS]
    for _, change, value in _SETTINGS:
        change(value)
    torch.set_flush_denormal(False)  # torch has no way to read the setting
    try:
        yield
    finally:
        for restore, value in before:
            restore(value)
        give_back_memory(device)


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Context in which torch, NumPy, SciPy and scikit-learn compute with this many threads."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


def give_back_memory(device: str) -> None:
    """Return cached memory of a GPU to its other trials."""
    if device == "cuda":
        gc.collect()  # an error's traceback may hold tensors in a cycle
        # A device on which an assertion has failed raises an error at every call.
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def seed_globals(*key: int) -> None:
    """Seed the generators of torch, NumPy and Python that code outside of a Task may draw from."""
    seed = stream_seed(*key)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
