"""Two ways of computing the same thing, timed in turn."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from bench.errors import InputError

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
    # of what the machine can do at most, as it was measured between the repeats
    share: float | None
    ceiling: str | None  # what that is: "matmul" or "copy"
    threads: int
    device: str


Kind = Literal["matmul", "copy"]


class Work(NamedTuple):
    """What a pass cannot do without: floating-point operations of matrix products, or bytes read
    and written.
    """

    ceiling: Kind
    amount: float
    dtype: torch.dtype = torch.float32
    # on a GPU, as convolutions of float32 are computed unless told otherwise; matrix products are
    # not
    tf32: bool = True


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


def tuned(run: Run) -> Run:
    """With cuDNN's fastest kernels for each size of batch, looked for in the first call, as
    authors' codes have them.
    """

    def call() -> None:
        before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        try:
            run()
        finally:
            torch.backends.cudnn.benchmark = before

    return call


def repeated(run: Run, times: int) -> Run:
    """So many calls in one."""

    def call() -> None:
        for _ in range(times):
            run()

    return call


class Ceiling:
    """Something of this kind which the machine does as fast as it can, timed beside what it is the
    ceiling of.
    """

    def __init__(
        self, kind: Kind, device: str, dtype: torch.dtype = torch.float32, tf32: bool = True
    ) -> None:
        self.kind = kind
        self.run, self.amount = ceiling(kind, device, dtype, tf32)
        self.times: list[float] = []
        once(self.run)

    def measure(self) -> None:
        """What it takes now, the best of three; to be called between the repeats."""
        self.times.append(min(seconds(self.run) for _ in range(3)))

    def over(self, row: Row, amount: float) -> Row:
        """The row with the share of this ceiling that it reaches, if what is ours takes so many
        operations or bytes.
        """
        return replace(
            row,
            share=amount / row.ours_s * statistics.median(self.times) / self.amount,
            ceiling=self.kind,
        )


def ceiling(
    kind: Kind, device: str, dtype: torch.dtype = torch.float32, tf32: bool = True
) -> tuple[Run, float]:
    """What reaches it, and the operations or bytes that this takes."""
    if kind == "matmul":
        side = 8192 if device == "cuda" else 1024
        square = torch.rand(side, side, device=device, dtype=dtype)
        product = torch.empty_like(square)

        def multiply() -> None:
            torch.mm(square, square, out=product)

        return in_tf32(
            multiply
        ) if device == "cuda" and dtype == torch.float32 and tf32 else multiply, 2 * side**3
    # more than any cache holds
    source = torch.zeros(1 << 28 if device == "cuda" else 1 << 24, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source), 2 * 4 * len(source)


def in_tf32(run: Run) -> Run:
    """The same with matrix products of float32 in TF32, on a GPU."""

    def call() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            run()
        finally:
            torch.set_float32_matmul_precision(before)

    return call


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
    """Time both in turn, so that whatever slows the machine slows both, after a call of each that
    is not counted.

    ``images`` are those of one call; ``work`` is what ours has to do at least, for its share of the
    machine's ceiling.
    """
    top = Ceiling(work.ceiling, settings.device, work.dtype, work.tf32) if work else None
    for run in (ours, theirs):
        once(run)
    times = []
    for _ in range(settings.repeats):
        times.append((seconds(ours), seconds(theirs)))
        if top:
            top.measure()
    row = summary(part, name, times, settings, images, network)
    return top.over(row, work.amount) if top and work else row


def summary(
    part: str,
    name: str,
    times: Sequence[tuple[float, float]],
    settings: Settings,
    images: int,
    network: str | None = None,
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


class Nothing(InputError):
    """There is nothing to measure with these settings: a part by itself cannot be asked for it,
    ``all`` goes on without.
    """


class Different(InputError):
    """The two ways do not compute the same thing, so that their times say nothing."""

    def __init__(self, name: str, what: str) -> None:
        hint = "this is a mistake in the package, or --images is too small"
        super().__init__(f"{name}: {what}, so that their times say nothing; {hint}")
