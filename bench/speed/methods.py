"""Every method's epoch against the passes through the network that it consists of, at the price of
such a pass in ``ce``.

A pass that learns (forward, backward, the optimiser's step, and its part of the data path) costs
what a sample costs in an epoch of ``ce``. One that does not costs what the network takes for
batches of training size that are there already; in eval mode, what a pass over all samples as they
are takes in batches for evaluation, which is cheaper. How many of each the epoch took has been
counted. So "theirs" is the algorithm itself, and 1 / ratio the time in proportion to it.
"""

from typing import Any

from bench.planning.pretraining import pretrain_job
from bench.planning.registry import REFERENCE, method_names
from bench.speed.measure import Ceiling, Row, Run, Settings, once, seconds, summary
from bench.speed.networks import CASES, operations
from bench.speed.sessions import Session, dataset_for, specification
from bench.training.isolation import give_back_memory
from bench.training.pretrain import run_pretraining

EPOCHS = 4  # the last is timed: by then, methods are in their main phase
IMAGES = 1_024
BATCH = 64

#: What a method may take at most, in proportion to its passes.
BOUND = 1.15


def methods(settings: Settings) -> list[Row]:
    """An epoch of every method on a network that is bound by computing."""
    case = CASES[settings.device][-1]
    number = settings.images or (10_000 if settings.device == "cuda" else IMAGES)
    data = dataset_for(case, number)
    batch = case.batch if settings.device == "cuda" else BATCH

    def session(name: str) -> Session:
        spec = specification(case, data, name, settings, {}, epochs=EPOCHS, batch_size=batch)
        job = pretrain_job(spec)
        return Session(spec, data, EPOCHS - 1, run_pretraining(job, data) if job else None)

    baseline = session(REFERENCE)
    forward = baseline.forward()
    prices: tuple[Run, ...] = (baseline.again, forward, baseline.evaluate)
    learning, seeing = (
        operations(run) / baseline.images for run in (baseline.again, baseline.evaluate)
    )
    for run in prices:
        once(run)
    rows = []
    for name in settings.methods or method_names():
        measured = session(name)
        record: dict[str, Any] = {}
        times = []
        top = Ceiling("matmul", settings.device)
        for _ in range(settings.repeats):
            top.measure()
            learnt_s, seen_s, evaluated_s = (seconds(run) / baseline.images for run in prices)
            took = seconds(lambda measured=measured, record=record: record.update(measured.again()))  # type: ignore[misc]
            trained, inferred, evaluated = (
                record[f"samples_{key}"] for key in ("trained", "inferred", "evaluated")
            )
            times.append(
                (
                    took,
                    trained * learnt_s + (inferred - evaluated) * seen_s + evaluated * evaluated_s,
                )
            )
        row = summary("methods", name, times, settings, measured.images, case.name)
        rows.append(top.over(row, trained * learning + inferred * seeing))
        del measured
        give_back_memory(settings.device)
    return rows
