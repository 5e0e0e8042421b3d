"""Two ways of computing the same thing, timed in turn."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

Run = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    """How much to measure, and where."""

    images: int | None = None  # in a pass; by default as many as suit the part
    repeats: int = 5  # of each pass
    threads: int = 1  # of either side
    device: str = "cpu"
    methods: tuple[str, ...] = ()  # of these alone; none: of all


@dataclass(frozen=True)
class Row:
    """One comparison: seconds are medians over the repeats."""

    part: str
    name: str
    network: str | None  # null where none takes part
    ratio: float  # theirs / ours: above 1, ours is faster
    spread: tuple[float, float]  # smallest and largest ratio of a repeat
    ours_s: float
    theirs_s: float
    ours_images_per_s: float
    theirs_images_per_s: float
    share: float | None  # of what the machine can do at most, as it was measured between the repeats
    ceiling: str | None  # what that is: "matmul" or "copy"
    threads: int
    device: str


class Work(NamedTuple):
    """What a pass cannot do without: floating-point operations of matrix products, or bytes read and written."""

    ceiling: Literal["matmul", "copy"]
    amount: float
    dtype: torch.dtype = torch.float32


def seconds(run: Run) -> float:
    """What one call takes, with whatever it has left to a GPU."""
    start = time.perf_counter()
    once(run)
    return time.perf_counter() - start


def once(run: Run) -> None:
    """Call it, and wait for whatever it has left to a GPU."""
    run()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def repeated(run: Run, times: int) -> Run:
    """So many calls in one."""

    def call() -> None:
        for _ in range(times):
            run()

    return call


def ceiling(work: Work, device: str) -> tuple[Run, float]:
    """Something of that kind which the machine does as fast as it can, and the operations or bytes that it takes."""
    if work.ceiling == "matmul":
        side = 8192 if device == "cuda" else 1024
        square = torch.rand(side, side, device=device, dtype=work.dtype)
        product = torch.empty_like(square)
        return lambda: torch.mm(square, square, out=product), 2 * side**3
    source = torch.zeros(1 << 28 if device == "cuda" else 1 << 24, device=device)  # more than any cache holds
    target = torch.zeros_like(source)
    return lambda: target.copy_(source), 2 * 4 * len(source)


def rate(work: Work, settings: Settings) -> float:
    """Operations or bytes of that kind that the machine does in a second."""
    top, amount = ceiling(work, settings.device)
    once(top)
    return amount / statistics.median(seconds(top) for _ in range(settings.repeats))


def compare(
    part: str,
    name: str,
    ours: Run,
    theirs: Run,
    settings: Settings,
    images: int,
    network: str | None = None,
    work: Work | None = None,
) -> Row:
    """Time both in turn, so that whatever slows the machine slows both, after a call of each that is not counted.

    ``images`` are those of one call; ``work`` is what ours has to do at least, for its share of the machine's ceiling.
    """
    top, amount = ceiling(work, settings.device) if work else (None, 0.0)
    for run in filter(None, (ours, theirs, top)):
        once(run)
    times = []
    for _ in range(settings.repeats):
        times.append((seconds(ours), seconds(theirs), seconds(top) if top else 0.0))
    row = summary(part, name, [(fast, slow) for fast, slow, _ in times], settings, images, network)
    if work is None:
        return row
    rate = amount / statistics.median(took for _, _, took in times)
    return replace(row, share=work.amount / row.ours_s / rate, ceiling=work.ceiling)


def summary(
    part: str, name: str, times: Sequence[tuple[float, float]], settings: Settings, images: int, network: str | None = None
) -> Row:
    """The row of these pairs of seconds, ours and theirs."""
    ratios = [slow / fast for fast, slow in times]
    ours_s, theirs_s = (statistics.median(side) for side in zip(*times, strict=True))
    return Row(
        part,
        name,
        network,
        theirs_s / ours_s,
        (min(ratios), max(ratios)),
        ours_s,
        theirs_s,
        images / ours_s,
        images / theirs_s,
        None,
        None,
        settings.threads,
        settings.device,
    )


class Different(RuntimeError):
    """The two ways do not compute the same thing, so that their times say nothing."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}, so that their times say nothing")
