"""Trials side by side, each in a process as under Ray, against the same trials in turn."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack

import torch

from bench.speed.measure import (
    Nothing,
    Row,
    Run,
    Settings,
    Work,
    peak,
    repeated,
    seconds,
    summary,
    with_share,
)
from bench.speed.networks import CASES, Case, operations, our_step
from bench.training.isolation import give_back_memory
from bench.training.memory import keep_freed_memory

#: Numbers of trials side by side.
COUNTS = (1, 2, 4)

#: Seconds of all steps and operations a second of the ceiling, for each repeat.
Times = list[tuple[float, float]]

_steps: Run  # in each process
_rate: Callable[[], float]


def together(settings: Settings) -> Iterator[Row]:
    """Compare training steps of 1, 2 and 4 trials at a time with as many trials in turn."""
    gpu, cores = settings.device == "cuda", os.cpu_count() or 1
    counts = [n for n in COUNTS if gpu or n == 1 or n * settings.threads <= cores]
    if len(counts) == 1:  # trials that share a core are known to be slower
        needed = f"{2 * settings.threads} cores, and here are {cores}"
        raise Nothing(f"two trials of --threads {settings.threads} need {needed}")
    for case in CASES[settings.device]:
        amount = operations(our_step(case, settings.device, bf16=gpu)) * case.steps
        give_back_memory(settings.device)
        measured = side_by_side(counts, case, settings)
        for count in counts:
            pairs = zip(measured[count], measured[1], strict=True)
            times = [(ours, count * alone) for (ours, _), (alone, _) in pairs]
            name = f"{count} trial{'s' * (count > 1)} at a time{', bf16' * gpu}"
            images = count * case.steps * case.batch
            row = summary("together", name, times, settings, images, case.name)
            # Processes share the cores of a CPU at once, but a GPU in turn: each of its products
            # has all of it.
            rates = [rate for _, rate in measured[1 if gpu else count]]
            yield with_share(row, Work("matmul", count * amount), rates)


def side_by_side(counts: Sequence[int], case: Case, settings: Settings) -> dict[int, Times]:
    """Return the times of each count of processes: the slowest steps, the sum of the rates.

    All counts come in turn among the same processes, so that a change of the machine's speed
    concerns all.
    """
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    times: dict[int, Times] = {count: [] for count in counts}
    with ExitStack() as stack:
        workers = [stack.enter_context(ProcessPoolExecutor(1, context)) for _ in range(max(counts))]
        _all(workers, _prepare, case, settings)
        for _ in range(settings.repeats):
            for count in counts:
                slowest = max(_all(workers[:count], _time_steps))
                times[count].append((slowest, sum(_all(workers[:count], _measure_rate))))
    return times


def _all(workers: Sequence[ProcessPoolExecutor], task: Callable, *arguments: object) -> list:
    """Run a task in every worker at once and return all results."""
    futures = [worker.submit(task, *arguments) for worker in workers]
    return [future.result() for future in futures]


def _prepare(case: Case, settings: Settings) -> None:
    global _steps, _rate
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    gpu = settings.device == "cuda"
    _steps = repeated(our_step(case, settings.device, bf16=gpu), case.steps)
    _rate = peak(Work("matmul", 0, torch.bfloat16 if gpu else torch.float32), settings.device)
    seconds(_steps)  # warm-up


def _time_steps() -> float:
    return seconds(_steps)


def _measure_rate() -> float:
    return _rate()
