"""Timing of two sides in turn, beside a ceiling of the hardware."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import torch

from bench.errors import InputError

Run = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    """Extent and place of the measurements."""

    images: int | None = None  # of a pass; None: the default of the part
    repeats: int = 5  # of each pass
    threads: int = 1  # of either side
    device: str = "cpu"
    methods: tuple[str, ...] = ()  # empty: all


@dataclass(frozen=True)
class Row:
    """Result of one comparison. Seconds are medians over the repeats."""

    part: str
    name: str
    network: str | None
    ratio: float  # theirs / ours: above 1, this package is faster
    spread: tuple[float, float]  # smallest and largest ratio of a repeat
    ours_s: float
    theirs_s: float
    ours_images_per_s: float
    theirs_images_per_s: float
    share: float | None  # of the ceiling, which is measured between the repeats
    ceiling: str | None
    threads: int
    device: str


class Work(NamedTuple):
    """Lower bound of a pass: operations of matrix products, or bytes read and written."""

    ceiling: Literal["matmul", "copy"]
    amount: float
    dtype: torch.dtype = torch.float32
    tf32: bool = True  # a GPU rounds float32 to TF32 in convolutions, not in matrix products


class Nothing(InputError):
    """Error of a part without anything to measure; ``all`` leaves such a part out."""


class Different(InputError):
    """Error of two sides that do not compute the same thing."""

    def __init__(self, name: str, problem: str) -> None:
        hint = "this is a mistake in the package, or --images is too small"
        super().__init__(f"{name}: {problem}, so that their times say nothing; {hint}")


def require_same(name: str, quantity: str, error: float, bound: float) -> None:
    """Raise Different unless ``error`` is within ``bound``."""
    if not error <= bound:  # refuses NaN, too
        raise Different(name, f"{quantity} differ by {error:.3g}")


def seconds(run: Run) -> float:
    """Return the seconds of one call, including the kernels that it leaves to a GPU."""
    start = time.perf_counter()
    run()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def repeated(run: Run, times: int) -> Run:
    """Return a function that calls ``run`` several times."""

    def call() -> None:
        for _ in range(times):
            run()

    return call


@contextmanager
def flag(owner: Any, name: str, value: bool) -> Iterator[None]:
    """Set a flag of a backend in this context, or in each call of the decorated function."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def tuned(run: Run) -> Run:
    """Let cuDNN choose its fastest kernels by trial in the first call, as authors' codes do."""
    return flag(torch.backends.cudnn, "benchmark", True)(run)


def full_float32() -> Any:
    """Return a context without TF32, whose rounding depends on the memory layout."""
    return flag(torch.backends.cudnn, "allow_tf32", False)


def ceiling(work: Work, device: str) -> tuple[Run, float]:
    """Return a large matrix product or memory copy, and its operations or bytes."""
    if work.ceiling == "matmul":
        side = 8192 if device == "cuda" else 1024
        square = torch.rand(side, side, device=device, dtype=work.dtype)
        multiply: Run = partial(torch.mm, square, square, out=torch.empty_like(square))
        if device == "cuda" and work.dtype == torch.float32 and work.tf32:
            multiply = flag(torch.backends.cuda.matmul, "allow_tf32", True)(multiply)
        return multiply, 2 * side**3
    size = 1 << 28 if device == "cuda" else 1 << 24  # more than any cache holds
    source, target = torch.zeros(size, device=device), torch.zeros(size, device=device)
    return partial(target.copy_, source), 2 * 4 * size


def peak(work: Work, device: str) -> Callable[[], float]:
    """Return a function that measures the ceiling in operations or bytes a second."""
    run, amount = ceiling(work, device)
    seconds(run)  # warm-up
    return lambda: amount / min(seconds(run) for _ in range(3))


def compare(
    part: str,
    name: str,
    ours: Run,
    theirs: Run,
    settings: Settings,
    images: int,
    work: Work,
    network: str | None = None,
) -> Row:
    """Time two sides, of which one call takes ``images`` and ours at least ``work``."""

    def pair() -> tuple[float, float]:
        return seconds(ours), seconds(theirs)

    return timed(part, name, pair, settings, images, network, work)


def timed(
    part: str,
    name: str,
    pair: Callable[[], tuple[float, float]],
    settings: Settings,
    images: int,
    network: str | None = None,
    work: Work | None = None,
    warm: bool = False,
) -> Row:
    """Time both sides in turn, so that whatever slows the machine slows both.

    Args:
        pair: calls both sides and returns the seconds of ours and theirs.
        warm: whether the sides were called before; else the first call is not counted.
    """
    rate = peak(work, settings.device) if work else None
    if not warm:
        pair()
    times, rates = [], []
    for _ in range(settings.repeats):
        times.append(pair())
        rates += [rate()] if rate else []
    row = summary(part, name, times, settings, images, network)
    if not work:
        return row
    share = work.amount / row.ours_s / statistics.median(rates)
    return replace(row, share=share, ceiling=work.ceiling)


def summary(
    part: str,
    name: str,
    times: Sequence[tuple[float, float]],
    settings: Settings,
    images: int,
    network: str | None = None,
) -> Row:
    """Return the row of these pairs of seconds, ours and theirs."""
    ratios = [theirs / ours for ours, theirs in times]
    ours_s, theirs_s = (statistics.median(side) for side in zip(*times, strict=True))
    sides = ours_s, theirs_s, images / ours_s, images / theirs_s
    spread, place = (min(ratios), max(ratios)), (settings.threads, settings.device)
    return Row(part, name, network, theirs_s / ours_s, spread, *sides, None, None, *place)
