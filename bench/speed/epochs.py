"""Whole epochs of training, against the same algorithms as their authors' codes run them
(``bench/speed/authors``).

That is: a DataLoader that makes and augments PIL images one at a time, a second one for the part of
    the samples that is
trained on without labels, losses kept in loops over the samples, neighbours from an index that is
built for every batch, mixing sample by sample, scikit-learn's mixtures, the usual memory layout,
and the loss and accuracy of every batch read for the log. Nobody evaluates in these epochs.

On a GPU, and where the CPU has units for bfloat16, each of our epochs in it is also compared with
ours in float32.
"""

import importlib
import pkgutil
from typing import Any

import torch

from bench.speed import authors
from bench.speed.measure import Different, Nothing, Row, Run, Settings, Work, compare, tuned
from bench.speed.networks import (
    assert_close,
    assert_same,
    cases,
    full_float32,
    gradients,
    in_bfloat16,
    operations,
)
from bench.speed.pieces import MOVED, moved
from bench.speed.reference import Reference
from bench.speed.sessions import Session, dataset_for, specification

EPOCHS = 10
TIMED = 3  # warm-ups are over by then

#: Training images of an epoch.
IMAGES = {"tiny": 3_000, "small": 512}


def references() -> dict[str, type[Reference]]:
    """Authors' epochs by the method's name: the files of ``bench/speed/authors``."""
    names = sorted(module.name for module in pkgutil.iter_modules(authors.__path__))
    return {name: importlib.import_module(f"{authors.__name__}.{name}").Authors for name in names}


def check(name: str, session: Session, reference: Reference) -> None:
    """Raise Different unless the epoch starts with the same division and its first batch gives the
    same loss and gradients.

    The latter in float64 and in float32.
    """
    session.rewind()
    reference.rewind()
    both = (*session.method.networks, *reference.networks)
    with full_float32():
        session.method.epoch_start()
        for ours, theirs in reference.divide():
            if (share := moved(ours, theirs)) > MOVED:
                raise Different(name, f"the mixtures disagree on {share:.1%} of the samples")
        for dtype, same in ((torch.float64, assert_same), (torch.float32, assert_close)):
            for net in both:
                net.to(dtype)
            ours_loss, theirs_loss, mine, other = reference.compare_with(dtype)
            ours_pair = ours_loss.detach(), gradients(ours_loss, mine)
            same(name, ours_pair, (theirs_loss.detach(), gradients(theirs_loss, other)))


def epoch(settings: Settings) -> list[Row]:
    """An epoch of each method that has a counterpart in authors' style, on each network."""
    found = {
        name: kind for name, kind in references().items() if name in (settings.methods or [name])
    }
    if not found:
        raise Nothing(
            f"no epochs in authors' style: choose --methods from {', '.join(references())}"
        )
    rows = []
    for case in cases(settings.device):
        number = settings.images or IMAGES.get(case.name, 10_000)
        data = dataset_for(case, number)
        for name, kind in found.items():
            changes = dict(kind.changes)
            recipe: dict[str, Any] = {"epochs": EPOCHS, "batch_size": kind.batch_size}
            session = Session(
                specification(case, data, name, settings, changes, **recipe), data, TIMED
            )
            reference = kind(session, case, settings)
            check(f"epoch, {name}, {case.name}", session, reference)
            work = Work("matmul", operations(session.again))
            sides: tuple[Run, Run] = session.again, tuned(reference.epoch)
            rows.append(compare("epoch", name, *sides, settings, session.images, case.name, work))
            if settings.device == "cuda" or in_bfloat16(settings):
                spec = specification(
                    case, data, name, settings, changes, precision="bf16", **recipe
                )
                half = Session(spec, data, TIMED)
                # other weights might divide the samples otherwise, which decides on the steps
                half.start_from(session)
                work = Work("matmul", work.amount, torch.bfloat16)
                sides = half.again, session.again
                rows.append(
                    compare(
                        "epoch", f"{name}, bf16", *sides, settings, session.images, case.name, work
                    )
                )
    return rows
