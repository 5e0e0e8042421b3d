"""Assembly of an audit from its parts: estimates, similar samples, issues of images, notes."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.audit.audit import FEW, Audit
from bench.audit.estimates import SMALL, Estimates, confused_pairs, estimate, is_small
from bench.audit.pool import Pool
from bench.audit.similar import Similar, duplicate_issues
from bench.audit.trials import Judgements
from bench.common.text import printable, shortlist

#: Fewest samples of a class that can be judged.
JUDGED = 3

#: Share of wrong labels from which the labels of a class cannot be trusted.
DISTRUSTED = 0.5


def assemble(
    pool: Pool,
    judgements: Mapping[str, Judgements],
    similar: Similar,
    image_issues: Sequence[Sequence[str]],
) -> Audit:
    """Return the audit of a pool."""
    samples, given = pool.samples, pool.given
    estimates = estimate(judgements, given)
    few = np.bincount(given, minlength=len(pool.classes))[given] < JUDGED
    flagged = (estimates.p_wrong > 0.5) & ~few
    votes = np.mean(_votes(estimates.scores, int(flagged.sum())), axis=0)
    issues = [
        (*images, *copies, *[FEW] * bool(rare))
        for images, copies, rare in zip(
            image_issues,
            duplicate_issues(similar.group, given, samples.split if pool.has_split else None),
            few,
            strict=True,
        )
    ]
    order, rows = estimates.order, np.arange(len(given))
    third = order[:, 2] if order.shape[1] > 2 else np.full(len(given), -1)
    return Audit(
        dataset=pool.dataset,
        data_hash=samples.data_hash,
        classes=pool.classes,
        names=samples.names,
        split=samples.split,
        index=samples.index,
        given=given,
        suggested=order[:, 0],
        second=order[:, 1],
        third=third,
        p_wrong=estimates.p_wrong,
        p_suggested=estimates.probabilities[rows, order[:, 0]],
        rank=estimates.rank,
        flagged=flagged,
        agreement=votes,
        nearest=similar.nearest,
        duplicate_group=similar.group,
        outlier=similar.outlier,
        issues=tuple(issues),
        scores=estimates.scores,
        transition=estimates.transition,
        rate=estimates.rate,
        rate_per_class=estimates.rate_per_class,
        pairs=confused_pairs(given, estimates.probabilities),
        notes=tuple(notes_of(estimates, given, pool.classes)),
        has_split=pool.has_split,
    )


def _votes(scores: Mapping[str, np.ndarray], count: int) -> list[np.ndarray]:
    """Return for each score whether a sample (N,) is among its ``count`` highest."""
    votes = []
    for values in scores.values():
        top = np.zeros(len(values), bool)
        top[np.argsort(-values, kind="stable")[:count]] = True
        votes.append(top)
    return votes


def notes_of(estimates: Estimates, given: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Return sentences on what the audit cannot know, and on classes not to be trusted."""
    sizes = np.bincount(given, minlength=len(classes))
    names = [printable(name) for name in classes]
    low, middle, _ = estimates.rate_per_class.T
    doubted = np.where(sizes < SMALL, low, middle)
    notes = []
    if estimates.rate[0] <= 0:
        notes.append("no evidence of wrong labels: the range of their share reaches 0")
    if is_small(sizes):
        notes.append(
            f"fewer than {SMALL} samples per class: the share of wrong labels is rough, and "
            "probably too high (estimated for 300 photographs whose labels were all right: 7 to "
            "20 %)"
        )
    for text, chosen in (
        (f"too few samples to judge (fewer than {JUDGED}): ", (sizes < JUDGED)),
        (
            f"few samples (fewer than {SMALL}), so that their figures are rough: ",
            (sizes >= JUDGED) & (sizes < SMALL) & (sizes.max() >= SMALL),
        ),
        (
            "labels that cannot be trusted, since half of them or more are estimated to be wrong: ",
            (doubted >= DISTRUSTED) & (sizes >= JUDGED),
        ),
    ):
        if chosen.any():
            notes.append(text + shortlist([names[k] for k in np.flatnonzero(chosen)], 10))
    notes.append(
        "the network cannot tell an unusual sample from a wrong label (estimated for 4,500 "
        "photographs whose labels were all right: 3.7 to 12.6 % wrong), and it cannot see errors "
        "that follow looks, such as one breed that is always labelled as another"
    )
    return notes
