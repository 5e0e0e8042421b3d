"""Every method's epoch against the passes through the network that it consists of, at the price of such a pass in ``ce``.

A pass that learns (forward, backward, the optimiser's step, and its part of the data path) costs what a sample costs in an
epoch of ``ce``; a pass that does not, what the same batches cost when the network sees them in training mode and no gradients
are kept. How many of either the epoch took, the harness has counted. So "theirs" is the algorithm itself, and 1 / ratio what
the method takes in proportion to it.
"""

import torch

from bench.registry import REFERENCE, method_names
from bench.speed.measure import Row, Settings, seconds, summary
from bench.speed.networks import CASES
from bench.speed.sessions import Session, dataset_for, specification
from bench.trial import pretrain_job, run_pretraining

EPOCHS = 4  # the last is timed: by then, methods are in their main phase
IMAGES = 256
BATCH = 64


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
    rows = []
    for name in settings.methods or method_names():
        measured = session(name)
        trained = inferred = 0

        def once(measured: Session = measured) -> None:
            nonlocal trained, inferred
            record = measured.again()
            trained, inferred = record["samples_trained"], record["samples_inferred"]

        times = []
        for _ in range(settings.repeats + 1):
            pass_s, forward_s = (seconds(run) / baseline.images for run in (baseline.again, baseline.forward))
            took = seconds(once)
            times.append((took, trained * pass_s + inferred * forward_s))
        rows.append(summary("methods", name, times[1:], settings, measured.images, case.name))
        del measured
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    return rows
