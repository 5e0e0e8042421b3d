"""Audit of a small data set, without any training."""

from dataclasses import replace
from typing import Any

import numpy as np

from bench.audit.audit import CONFLICT, DUPLICATE, TEST, TRAIN, Audit

CLASSES = ("cat", "dog", "fox")


def fabricated(samples: int = 12, tested: int = 3, seed: int = 0, **changes: Any) -> Audit:
    """Return an audit of ``samples`` samples in three classes, the last ``tested`` for testing.

    Every fourth label is flagged, and the first two samples are duplicates with other labels.
    """
    rng = np.random.default_rng(seed)
    trained = samples - tested
    index = np.concatenate([np.arange(trained), np.arange(tested)])
    split = np.array([TRAIN] * trained + [TEST] * tested)
    given = np.arange(samples) % 3
    flagged = np.arange(samples) % 4 == 1
    p_wrong = np.where(flagged, 0.6 + 0.4 * rng.random(samples), 0.4 * rng.random(samples))
    rank = np.empty(samples, int)
    rank[np.argsort(-p_wrong)] = np.arange(1, samples + 1)
    suggested = np.where(flagged, (given + 1) % 3, given)
    groups = np.full(samples, -1)
    groups[:2] = 0
    issues = [(DUPLICATE, CONFLICT) if i < 2 else () for i in range(samples)]
    transition = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.0, 0.8]])
    audit = Audit(
        dataset="folder:pets",
        data_hash="0123456789abcdef",
        classes=CLASSES,
        names=tuple(f"{CLASSES[given[i]]}/{i:03}.png" for i in range(samples)),
        split=split,
        index=index,
        given=given,
        suggested=suggested,
        second=(suggested + 1) % 3,
        third=(suggested + 2) % 3,
        p_wrong=p_wrong,
        p_suggested=np.where(flagged, 0.7, 0.9),
        rank=rank,
        flagged=flagged,
        agreement=flagged.astype(float),
        nearest=(np.arange(samples)[:, None] + np.arange(1, 6)) % samples,
        duplicate_group=groups,
        outlier=np.arange(samples) == 5,
        issues=tuple(issues),
        scores={"margin": p_wrong - 0.1, "forward": p_wrong},
        transition=transition,
        rate=(0.15, 0.25, 0.27),
        rate_per_class=np.tile([0.1, 0.2, 0.3], (3, 1)),
        pairs=((0, 1, 1.5), (1, 2, 1.0)),
        notes=("fox: its labels cannot be trusted",),
    )
    return replace(audit, **changes)
