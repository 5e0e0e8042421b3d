"""Assembly of an audit: flagged labels, agreement of scores, issues and notes."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench.audit import assemble
from bench.audit.audit import CONFLICT, DUPLICATE, FEW, LEAK, TEST, TRAIN, Audit
from bench.audit.estimates import SMALL, Estimates
from bench.audit.similar import Similar

CLASSES = ("cat", "dog", "owl")
#: The last class has two samples, too few to judge.
GIVEN = np.array([0, 0, 0, 1, 1, 1, 2, 2])


def estimates(**changes) -> Estimates:
    """Return estimates by which the first, the fourth and the seventh label are wrong."""
    count, classes = len(GIVEN), len(CLASSES)
    p_wrong = np.array([0.9, 0.2, 0.5, 0.8, 0.1, 0.1, 0.7, 0.1])
    values = {
        "scores": {"margin": p_wrong, "forward": p_wrong[::-1].copy()},
        "rank": 1 + np.argsort(np.argsort(-p_wrong)),
        "p_wrong": p_wrong,
        "order": np.argsort(-np.eye(classes)[(GIVEN + (p_wrong > 0.5)) % classes], kind="stable"),
        "probabilities": np.full((count, classes), 1 / classes),
        "transition": np.eye(classes),
        "rate": (0.1, 0.3, 0.5),
        "rate_per_class": np.tile([0.1, 0.3, 0.5], (classes, 1)),
    }
    return Estimates(**values | changes)


@pytest.fixture
def audited(monkeypatch) -> Audit:
    monkeypatch.setattr(assemble, "estimate", lambda judgements, given: estimates())
    samples = SimpleNamespace(
        data_hash="h",
        names=tuple(map(str, range(len(GIVEN)))),
        split=np.array([TRAIN] * 6 + [TEST] * 2),
        index=np.arange(len(GIVEN)),
    )
    pool = SimpleNamespace(
        samples=samples, given=GIVEN, classes=CLASSES, dataset="folder:x", has_split=True
    )
    group = np.array([0, -1, 1, 0, -1, 1, -1, 1])
    nobody = np.zeros(len(GIVEN), bool)
    similar = Similar(np.zeros((len(GIVEN), 0), int), group, nobody)
    return assemble.assemble(pool, {}, similar, [("dark",), *[()] * 7])


def test_labels_that_are_more_probably_wrong_are_flagged_where_the_class_can_be_judged(audited):
    assert np.flatnonzero(audited.flagged).tolist() == [0, 3]
    assert audited.suggested[[0, 3]].tolist() == [1, 2]


def test_agreement_is_the_share_of_scores_with_the_sample_among_as_many_suspects(audited):
    """Of two: by one score these are the samples 0 and 3, by the other 7 and 4."""
    assert audited.agreement.tolist() == [0.5, 0, 0, 0.5, 0.5, 0, 0, 0.5]


def test_issues_are_those_of_images_duplicates_and_small_classes(audited):
    assert audited.issues == (
        ("dark", DUPLICATE, CONFLICT),
        (),
        (DUPLICATE, CONFLICT, LEAK),
        (DUPLICATE, CONFLICT),
        (),
        (DUPLICATE, CONFLICT, LEAK),
        (FEW,),
        (DUPLICATE, CONFLICT, LEAK, FEW),
    )


def notes(sizes: list[int], **changes) -> str:
    given = np.repeat(np.arange(len(sizes)), sizes)
    return "\n".join(assemble.notes_of(estimates(**changes), given, CLASSES))


def test_notes_name_classes_that_are_too_small():
    text = notes([10 * SMALL, SMALL - 1, 2])
    assert "too few samples to judge (fewer than 3): owl" in text
    assert f"few samples (fewer than {SMALL}), so that their figures are rough: dog" in text
    assert "cat" not in text and "no evidence" not in text


def test_notes_name_classes_whose_labels_cannot_be_trusted():
    """By the estimate, and in small classes by the low end of its range."""
    half = np.array([[0.3, 0.5, 0.7], [0.3, 0.5, 0.7], [0.5, 0.7, 0.9]])
    text = notes([SMALL, SMALL - 1, SMALL - 1], rate_per_class=half)
    assert "half of them or more are estimated to be wrong: cat, owl" in text


def test_a_range_that_reaches_zero_is_no_evidence():
    assert "no evidence of wrong labels" in notes([SMALL] * 3, rate=(0.0, 0.02, 0.05))
