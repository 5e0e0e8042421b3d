"""Whole epochs of training against the loops of authors' codes (``bench.speed.authors``).

Authors' loops make and augment PIL images one at a time in a DataLoader (a second one for samples
without labels), keep losses in loops over the samples, build an index of neighbours for every
batch, mix sample by sample, fit scikit-learn's mixtures, use the usual memory layout, and read
loss and accuracy of every batch. Neither side evaluates.

Where bfloat16 can be faster, this package's epochs in it are compared with its own in float32.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from bench.speed import authors
from bench.speed.measure import Nothing, Row, Settings, Work, compare, full_float32, tuned
from bench.speed.networks import cases, computes_bfloat16, operations, require_same_step
from bench.speed.pieces import require_same_division
from bench.speed.reference import Reference
from bench.speed.sessions import Session, dataset_for, specification

EPOCHS = 10
TIMED = 3  # after all warm-ups

#: Training images of an epoch; a GPU takes 10,000.
IMAGES = {"tiny": 3_000, "small": 512}


def references() -> dict[str, type[Reference]]:
    """Return the epochs in authors' style by method: the files of ``bench/speed/authors``."""
    names = sorted(module.name for module in pkgutil.iter_modules(authors.__path__))
    return {name: importlib.import_module(f"{authors.__name__}.{name}").Authors for name in names}


def check(name: str, session: Session, reference: Reference) -> None:
    """Raise Different unless both epochs start with the same division, loss and gradients."""
    session.rewind()
    reference.rewind()
    with full_float32():
        session.method.epoch_start()
        for ours, theirs in reference.divide():
            require_same_division(name, ours, theirs)
        for dtype in (torch.float64, torch.float32):
            for net in (*session.method.networks, *reference.networks):
                net.to(dtype)
            require_same_step(name, *reference.first_losses(dtype), dtype)


def epoch(settings: Settings) -> Iterator[Row]:
    """Compare an epoch of each method with a counterpart in authors' style, on each network."""
    kinds = references()
    names = [name for name in kinds if name in (settings.methods or kinds)]
    if not names:
        choices = ", ".join(kinds)
        raise Nothing(f"no epochs in authors' style: choose --methods from {choices}")
    for case in cases(settings.device):
        data = dataset_for(case, settings.images or IMAGES.get(case.name, 10_000))
        for name in names:
            kind = kinds[name]
            plan = partial(specification, case, data, name, settings, kind.hparams)
            recipe: dict[str, Any] = {"epochs": EPOCHS, "batch_size": kind.batch_size}
            session = Session(plan(**recipe), data, TIMED)
            reference = kind(session, case, settings)
            check(f"epoch, {name}, {case.name}", session, reference)
            work = Work("matmul", operations(session.again))
            sides = session.again, tuned(reference.epoch)
            yield compare("epoch", name, *sides, settings, session.images, work, case.name)
            if computes_bfloat16(settings.device):
                half = Session(plan(precision="bf16", **recipe), data, TIMED)
                half.state = session.state  # other weights could divide into other numbers of steps
                work = work._replace(dtype=torch.bfloat16)
                sides = half.again, session.again
                label = f"{name}, bf16"
                yield compare("epoch", label, *sides, settings, session.images, work, case.name)
