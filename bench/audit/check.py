"""Check of an audit against true labels, beside cleanlab's scores on the same vectors."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from bench.audit.audit import TEST, Audit
from bench.audit.pool import Pool
from bench.datasets import UNKNOWN

#: Strengths of the probe for cleanlab; the one that predicts the given labels best is taken.
STRENGTHS = (0.1, 0.3, 1.0)

#: Folds of the probe for cleanlab.
FOLDS = 5

#: Scores of cleanlab.
CLEANLAB = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")

#: Bins of the calibration.
BINS = 10


@dataclass(frozen=True)
class Detection:
    """Quality of a score: how well it tells wrong labels from right ones."""

    auc: float
    average_precision: float
    precision: float  # at the number of true errors; 1 less it is the share of errors missed there


@dataclass(frozen=True)
class Check:
    """Audit compared with the truth."""

    scores: dict[str, Detection]
    true_rate: float
    rate: tuple[float, float, float]
    calibration_error: float
    confidence: np.ndarray  # (BINS,), mean probability; NaN in an empty bin
    share_wrong: np.ndarray  # (BINS,), true share of wrong labels
    counts: np.ndarray  # (BINS,)
    cleanlab_rate: float  # share that cleanlab's filter flags
    reviewed: dict[str, Detection] | None = None  # of test labels that people found wrong
    reviewed_wrong: int = 0  # number of these

    def to_json(self) -> dict[str, Any]:
        """Return the check as summary.json holds it."""
        return {
            "true_rate": self.true_rate,
            "rate": list(self.rate),
            "calibration_error": self.calibration_error,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "cleanlab_flagged": self.cleanlab_rate,
        } | (
            {
                "reviewed_wrong": self.reviewed_wrong,
                "reviewed_scores": {name: asdict(score) for name, score in self.reviewed.items()},
            }
            if self.reviewed is not None
            else {}
        )


def check_audit(audit: Audit, pool: Pool, verdicts: np.ndarray | None = None) -> Check:
    """Compare an audit with the truth; samples whose truth is unknown are left out.

    Args:
        verdicts: for each test sample (M,) whether people found its label wrong.
    """
    known = pool.truth != UNKNOWN
    wrong = (audit.given != pool.truth)[known]
    scores = {"audit": -audit.rank.astype(float), "p_wrong": audit.p_wrong} | dict(audit.scores)
    probabilities = probe(pool.vectors, audit.given)
    scores |= cleanlab_scores(probabilities, audit.given)
    error, confidence, share, counts = calibration(audit.p_wrong[known], wrong)
    reviewed, reviewed_wrong = None, 0
    if verdicts is not None:
        tested = audit.split == TEST
        judged = verdicts[audit.index[tested]]
        reviewed = {name: detection(values[tested], judged) for name, values in scores.items()}
        reviewed_wrong = int(judged.sum())
    return Check(
        scores={name: detection(values[known], wrong) for name, values in scores.items()},
        true_rate=float(wrong.mean()),
        rate=audit.rate,
        calibration_error=error,
        confidence=confidence,
        share_wrong=share,
        counts=counts,
        cleanlab_rate=cleanlab_flagged(probabilities, audit.given),
        reviewed=reviewed,
        reviewed_wrong=reviewed_wrong,
    )


def detection(score: np.ndarray, wrong: np.ndarray) -> Detection:
    """Return how well a score (N,), high where suspicious, finds wrong labels (N,) bool.

    Figures are NaN where all labels are right, or all wrong.
    """
    if wrong.all() or not wrong.any():
        return Detection(np.nan, np.nan, np.nan)
    first = np.argsort(-score, kind="stable")[: int(wrong.sum())]
    return Detection(
        float(roc_auc_score(wrong, score)),
        float(average_precision_score(wrong, score)),
        float(wrong[first].mean()),
    )


def calibration(
    probability: np.ndarray, wrong: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return the calibration error, and mean probability, true share and size of each bin."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bins, probability, minlength=BINS) / counts
        share = np.bincount(bins, wrong, minlength=BINS) / counts
    error = float(np.nansum(counts * np.abs(confidence - share)) / max(counts.sum(), 1))
    return error, confidence, share, counts


def probe(vectors: np.ndarray, given: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return out-of-fold probabilities (N, C) by logistic regression on standardised vectors.

    Its strength is the one whose predictions fit the given labels of the first fold best. This is
    the input that cleanlab's scores get.
    """
    scaled = StandardScaler().fit_transform(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer samples than folds
        folds = [*StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(scaled, given)]
    strength = min(STRENGTHS, key=lambda value: _loss(value, scaled, given, *folds[0]))
    probabilities = np.zeros((len(given), int(given.max()) + 1))
    for train, held in folds:
        model = _fitted(strength, scaled[train], given[train])
        probabilities[np.ix_(held, model.classes_)] = model.predict_proba(scaled[held])
    probabilities = probabilities.clip(1e-12)
    return probabilities / probabilities.sum(1, keepdims=True)


def _fitted(strength: float, vectors: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    model = LogisticRegression(C=1 / (strength * len(labels)), max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations that end
        return model.fit(vectors, labels)


def _loss(
    strength: float, vectors: np.ndarray, given: np.ndarray, train: np.ndarray, held: np.ndarray
) -> float:
    """Return the cross-entropy of held-out labels; one of an unseen class counts as certain not."""
    model = _fitted(strength, vectors[train], given[train])
    probabilities = np.full((len(held), int(given.max()) + 1), 1e-12)
    probabilities[:, model.classes_] = model.predict_proba(vectors[held]).clip(1e-12)
    return float(-np.log(probabilities[np.arange(len(held)), given[held]]).mean())


def cleanlab_scores(probabilities: np.ndarray, given: np.ndarray) -> dict[str, np.ndarray]:
    """Return cleanlab's scores (N,), high where a label is suspicious, by name."""
    from cleanlab.rank import get_label_quality_scores

    return {
        f"cleanlab {name}": 1 - get_label_quality_scores(given, probabilities, method=name)
        for name in CLEANLAB
    }


def cleanlab_flagged(probabilities: np.ndarray, given: np.ndarray) -> float:
    """Return the share of labels that cleanlab's filter flags."""
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(find_label_issues(given, probabilities, n_jobs=1).mean())


def check_lines(check: Check) -> list[str]:
    """Return the check as a Markdown table, which a terminal shows well, too."""
    low, _, high = check.rate
    lines = _detections(check.scores)
    reviewed = []
    if check.reviewed is not None:
        reviewed = [
            f"Test labels alone, of which people found {check.reviewed_wrong:,} wrong:",
            "",
            *_detections(check.reviewed),
            "",
        ]
    return [
        *lines,
        "",
        *reviewed,
        "Precision and missed share of the errors are those of as many labels as are wrong. True "
        "share of wrong labels: "
        f"{100 * check.true_rate:.1f} %; estimated: {100 * low:.1f} to {100 * high:.1f} %; flagged "
        f"by cleanlab: {100 * check.cleanlab_rate:.1f} %. Calibration error of the probability: "
        f"{check.calibration_error:.3f}.",
    ]


def _detections(scores: Mapping[str, Detection]) -> list[str]:
    """Return the lines of a Markdown table with a row for each score."""
    lines = [
        "| Score | AUC | AP | Precision | Missed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, score in scores.items():
        figures = (score.auc, score.average_precision, score.precision, 1 - score.precision)
        cells = ["–" if np.isnan(figure) else f"{figure:.3f}" for figure in figures]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def vote_scores(nearest: Mapping[int, np.ndarray], given: np.ndarray) -> dict[str, np.ndarray]:
    """Return the share (N,) of neighbours with another label, by a name for each number of them.

    Args:
        nearest: positions (N, k) of neighbours, by k.
    """
    return {
        f"kNN votes, k={k}": (given[positions] != given[:, None]).mean(1)
        for k, positions in nearest.items()
    }


def head_accuracies(
    audit: Audit, pool: Pool, tests: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """Return test accuracies of linear heads trained on labels as given, or mended by the audit.

    A review of the first 20 % finds the true labels of these samples.

    Args:
        tests: vectors (M, D) and true labels (M,).
    """
    first = audit.rank <= 0.2 * len(pool)
    everything = np.ones(len(pool), bool)
    choices = {
        "given": (everything, audit.given),
        "flagged dropped": (~audit.flagged, audit.given),
        "flagged relabelled": (everything, np.where(audit.flagged, audit.suggested, audit.given)),
        "first 20 % reviewed": (everything, np.where(first, pool.truth, audit.given)),
        "true": (everything, pool.truth),
    }
    scaler = StandardScaler().fit(pool.vectors)
    vectors, test_vectors = scaler.transform(pool.vectors), scaler.transform(tests[0])
    accuracies = {}
    for name, (rows, labels) in choices.items():
        model = _fitted(0.3, vectors[rows], labels[rows])
        accuracies[name] = float(model.score(test_vectors, tests[1]))
    return accuracies
