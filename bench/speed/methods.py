"""An epoch of every method against the passes through the network that it consists of.

A backward pass costs what a sample costs in an epoch of ``ce``: forward and backward pass, the
optimiser's step and its part of the data path. A forward pass costs what the network takes for
batches of training size in memory; in eval mode, what it takes for evaluation batches. The epoch's
record counts its passes. So "theirs" is the algorithm alone, and 1 / ratio the time of the method
in proportion to it.
"""

from collections.abc import Iterator
from typing import Any

from bench.planning.pretraining import pretrain_job
from bench.planning.registry import REFERENCE, method_names
from bench.speed.measure import Row, Run, Settings, Work, seconds, timed
from bench.speed.networks import CASES, operations
from bench.speed.sessions import Session, dataset_for, specification
from bench.training.isolation import give_back_memory
from bench.training.pretrain import run_pretraining

EPOCHS = 4  # the last is timed, in the main phase of every method
IMAGES, BATCH = {"cpu": 1_024, "cuda": 10_000}, {"cpu": 64, "cuda": 512}

#: Upper bound of a method's time in proportion to its passes.
BOUND = 1.15


def methods(settings: Settings) -> Iterator[Row]:
    """Compare an epoch of every method, on a network that is bound by computing."""
    case = CASES[settings.device][-1]
    data = dataset_for(case, settings.images or IMAGES[settings.device])
    recipe: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH[settings.device]}

    def session(name: str) -> Session:
        spec = specification(case, data, name, settings, **recipe)
        job = pretrain_job(spec)
        return Session(spec, data, EPOCHS - 1, run_pretraining(job, data) if job else None)

    baseline = session(REFERENCE)
    images = baseline.images
    passes: tuple[Run, ...] = (baseline.again, baseline.forward(), baseline.evaluate)
    backward, forward = (operations(run) / images for run in (passes[0], passes[2]))
    for run in passes:
        seconds(run)  # warm-up
    for name in settings.methods or method_names():
        measured = session(name)
        record = measured.again()  # warm-up; each repeat counts the same passes
        trained, inferred, evaluated = (
            record[f"samples_{kind}"] for kind in ("trained", "inferred", "evaluated")
        )
        counts = trained, inferred - evaluated, evaluated

        def pair(counts=counts, again=measured.again) -> tuple[float, float]:
            prices = [seconds(run) / images for run in passes]
            return seconds(again), sum(n * price for n, price in zip(counts, prices, strict=True))

        work = Work("matmul", trained * backward + inferred * forward)
        sides = pair, settings, measured.images, case.name, work
        yield timed("methods", name, *sides, warm=True)
        del measured, pair, sides
        give_back_memory(settings.device)
