"""Trials side by side on one machine, each in a process of its own as under Ray, against the same trials in turn."""

import multiprocessing
import os
from dataclasses import replace
from multiprocessing.synchronize import Barrier

import torch

from bench.speed.measure import Row, Settings, Work, once, rate, repeated, seconds, summary
from bench.speed.networks import CASES, Case, operations, own_step

#: How many at a time.
COUNTS = (1, 2, 4)

#: Seconds until a process that waits for the others takes them for dead.
PATIENCE = 300.0

_barrier: Barrier  # in each of the processes


def together(settings: Settings) -> list[Row]:
    """Training steps of 1, 2 and 4 trials at a time; "theirs" is as many trials, one after another."""
    rows = []
    gpu = settings.device == "cuda"
    work = Work("matmul", 0, torch.bfloat16 if gpu else torch.float32)
    peak = rate(work, settings)
    for case in CASES[settings.device]:
        needed = operations(own_step(case, settings.device, bf16=gpu)) * case.steps
        alone: list[float] = []
        for count in COUNTS:
            if not gpu and count > 1 and count * settings.threads > (os.cpu_count() or 1):
                break  # that trials must not share a core is known
            took = side_by_side(count, case, settings)
            alone = alone or took
            times = [(ours, count * one) for ours, one in zip(took, alone, strict=True)]
            name = f"{count} trial{'s' * (count > 1)} at a time{', bf16' * gpu}"
            row = summary("together", name, times, settings, count * case.steps * case.batch, case.name)
            rows.append(replace(row, share=count * needed / row.ours_s / peak, ceiling=work.ceiling))
    return rows


def side_by_side(count: int, case: Case, settings: Settings) -> list[float]:
    """Seconds of each repeat until the last of ``count`` processes has taken its steps; they start together."""
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    # Each waits for all others in its only task, so that none takes two.
    with context.Pool(count, _join, (context.Barrier(count),)) as pool:
        found = pool.starmap(_steps, [(case, settings)] * count, chunksize=1)
    return [max(repeat) for repeat in zip(*found, strict=True)]


def _join(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _steps(case: Case, settings: Settings) -> list[float]:
    torch.set_num_threads(settings.threads)
    run = repeated(own_step(case, settings.device, bf16=settings.device == "cuda"), case.steps)
    once(run)
    times = []
    for _ in range(settings.repeats):
        _barrier.wait(PATIENCE)
        times.append(seconds(run))
    return times
