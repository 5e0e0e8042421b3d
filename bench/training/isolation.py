"""A process runs many trials, one after another: what one of them leaves in global state, the next
must not find.
"""

import gc
import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from bench.task import stream_seed


def _deterministic(on: bool) -> None:
    torch.use_deterministic_algorithms(on)


def _default_device() -> torch.device | None:
    device = torch.get_default_device()
    # set to the CPU, it would slow down every call of torch
    return None if device.type == "cpu" else device


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _set_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:  # other threads may read it
            os.environ[name] = value


#: How a setting of the process is read, how it is set, and what a trial finds: torch's own
#: defaults.
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


#: What a trial finds as it is, and leaves so.
_SURROUNDINGS: Any = ((os.environ.copy, _set_environment), (os.getcwd, os.chdir))


class as_new:
    """Context in which the process's settings are as after its start; what was there before comes
    back at the end.

    Memory on the device is given back then: another trial of the same GPU may be waiting for it.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    def __enter__(self) -> None:
        self.before: list[Any] = [read() for read, _, _ in _SETTINGS]
        self.around: list[Any] = [read() for read, _ in _SURROUNDINGS]
        for _, change, value in _SETTINGS:
            change(value)
        torch.set_flush_denormal(False)  # nobody can ask what it was

    def __exit__(self, *_: object) -> None:
        for (_, restore, _), value in zip(_SETTINGS, self.before, strict=True):
            restore(value)
        for (_, put_back), value in zip(_SURROUNDINGS, self.around, strict=True):
            put_back(value)
        give_back_memory(self.device)


def give_back_memory(device: str) -> None:
    """Return to a GPU what nothing holds any longer, for its other trials."""
    if device == "cuda":
        gc.collect()  # an error's traceback may hold tensors in a cycle
        # of a device that an assertion has failed on, nothing can be had any more
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def seed_globals(*key: int) -> None:
    """Seed the generators that code outside of a Task may draw from: torch's, NumPy's and Python's
    own.
    """
    seed = stream_seed(*key)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Context in which torch, NumPy, SciPy and scikit-learn compute with that many threads: those
    of the trial's CPUs.
    """
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
