"""Trials side by side on one machine, each in a process of its own as under Ray, against the same
trials in turn.
"""

import multiprocessing
import os
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError

import torch

from bench.speed.measure import Ceiling, Nothing, Row, Settings, once, repeated, seconds, summary
from bench.speed.networks import CASES, Case, operations, own_step
from bench.training.isolation import give_back_memory
from bench.training.memory import keep_freed_memory

#: How many at a time.
COUNTS = (1, 2, 4)

#: Seconds until a process that waits for the others takes them for dead.
PATIENCE = 300.0

_barrier: Barrier  # in each of the processes


def together(settings: Settings) -> list[Row]:
    """Training steps of 1, 2 and 4 trials at a time; "theirs" is as many trials, one after another."""
    rows = []
    gpu = settings.device == "cuda"
    counts = [
        count
        for count in COUNTS
        if gpu or count == 1 or count * settings.threads <= (os.cpu_count() or 1)
    ]
    if len(counts) == 1:  # that trials must not share a core is known
        cores = f"{2 * settings.threads} cores, and here are {os.cpu_count()}"
        raise Nothing(f"two trials of --threads {settings.threads} need {cores}")
    for case in CASES[settings.device]:
        needed = operations(own_step(case, settings.device, bf16=gpu)) * case.steps
        give_back_memory(settings.device)
        found = side_by_side(counts, case, settings)
        for count in counts:
            times = [
                (ours, count * alone)
                for (ours, _), (alone, _) in zip(found[count], found[1], strict=True)
            ]
            name = f"{count} trial{'s' * (count > 1)} at a time{', bf16' * gpu}"
            row = summary(
                "together", name, times, settings, count * case.steps * case.batch, case.name
            )
            # Processes share a CPU's cores at once, a GPU in turn: there each one's products have
            # it to themselves.
            peak = statistics.median(rate for _, rate in found[1 if gpu else count])
            rows.append(replace(row, share=count * needed / row.ours_s / peak, ceiling="matmul"))
    return rows


def side_by_side(
    counts: Sequence[int], case: Case, settings: Settings
) -> dict[int, list[tuple[float, float]]]:
    """For so many processes at a time, of each repeat: seconds until the last of them has taken its
    steps; and how many operations of matrix products they do in a second, side by side as well.

    All counts come in turn, among the same processes: those that are not needed wait.
    """
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    most = max(counts)
    # Each waits for all others in its only task, so that none takes two. One that dies ends them
    # all.
    with ProcessPoolExecutor(most, context, _join, (context.Barrier(most),)) as pool:
        tasks = [pool.submit(_steps, position, counts, case, settings) for position in range(most)]
        # the pool watches those processes that it had when it was given a task: now the last one as
        # well
        pool.submit(int)
        if errors := [error for error in (task.exception() for task in tasks) if error]:
            # what one met, not that others noticed
            raise min(errors, key=lambda error: isinstance(error, BrokenBarrierError))
        found = [task.result() for task in tasks]
    return {
        count: [
            (max(took for took, _ in repeat), sum(rate for _, rate in repeat))
            for repeat in zip(*(process[count] for process in found[:count]), strict=True)
        ]
        for count in counts
    }


def _join(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _steps(
    position: int, counts: Sequence[int], case: Case, settings: Settings
) -> dict[int, list[tuple[float, float]]]:
    try:
        return _timed(position, counts, case, settings)
    except BaseException:
        _barrier.abort()  # nobody has to wait for this one
        raise


def _timed(
    position: int, counts: Sequence[int], case: Case, settings: Settings
) -> dict[int, list[tuple[float, float]]]:
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    gpu = settings.device == "cuda"
    run = repeated(own_step(case, settings.device, bf16=gpu), case.steps)
    top = Ceiling("matmul", settings.device, torch.bfloat16 if gpu else torch.float32)
    once(run)
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for _ in range(settings.repeats):
        for count in counts:
            _barrier.wait(PATIENCE)
            took = seconds(run) if position < count else 0.0
            _barrier.wait(PATIENCE)
            if position < count:
                top.measure()
                found[count].append((took, top.amount / top.times[-1]))
    return found
