"""Scores of learning with wrong labels: they read the truth, which no method sees.

The memorisation shares are the curves of early learning (Arpit et al., 2017; Liu et al., 2020): a
network first fits correctly labelled samples and predicts the true class of mislabelled ones, and
memorises wrong labels later.
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata

#: Upper bound of training samples that are predicted after each epoch, always the same ones, and of
#: test samples whose features are compared at the end.
PROBES = 2000

BINS = 15
NEIGHBOURS = 10


def memorisation(
    predicted: np.ndarray, noisy: np.ndarray, clean: np.ndarray
) -> tuple[float | None, float | None, float | None]:
    """Return shares of training samples by the network's predictions, None among no samples.

    Args:
        predicted, noisy, clean: classes (P,) of samples whose truth is known.

    Returns:
        The share of correctly labelled samples predicted as labelled, of mislabelled ones predicted
        as labelled, and of mislabelled ones predicted as their true class.
    """
    wrong = noisy != clean
    as_labelled = predicted == noisy
    return (
        _share(as_labelled, ~wrong),
        _share(as_labelled, wrong),
        _share(predicted == clean, wrong),
    )


def detection(
    clean_probability: np.ndarray, wrong: np.ndarray
) -> tuple[float | None, float | None, float | None]:
    """Return area under the ROC curve, precision and recall of finding mislabelled samples.

    Args:
        clean_probability: (N,) estimates that each label is right; those below 1/2 are flagged.
        wrong: (N,) bool, true for mislabelled samples.
    """
    flagged = clean_probability < 0.5
    return auc(-clean_probability, wrong), _share(wrong, flagged), _share(flagged, wrong)


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the chance that a positive scores above a negative, ties counted half.

    It is None without positives, without negatives, or where a score is not finite.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives or not np.isfinite(scores).all():
        return None
    rank_sum = rankdata(scores)[positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def correction(soft_targets: np.ndarray, clean: np.ndarray) -> float | None:
    """Return the share of corrected targets (N, C) that are highest at the true class (N,)."""
    return float((soft_targets.argmax(1) == clean).mean()) if len(clean) else None


def worst_class_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the lowest accuracy of a class, among the classes of ``labels`` (N,)."""
    size, right = np.bincount(labels), np.bincount(labels, predicted == labels)
    return float((right[size > 0] / size[size > 0]).min())


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al., 2017).

    It is the mean of |confidence - accuracy| over 15 equal bins, weighted by their size.
    """
    bins, confidence, right = _binned(probabilities, labels)
    # A sum of differences is the size of a bin times its difference of means.
    gaps = np.bincount(bins, confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[Any]]:
    """Return each bin's ``count``, mean ``confidence`` and ``accuracy``; means None if empty."""
    bins, confidence, right = _binned(probabilities, labels)
    count = np.bincount(bins, minlength=BINS)

    def means(values: np.ndarray) -> list[float | None]:
        mean = (np.bincount(bins, values, minlength=BINS) / np.maximum(count, 1)).round(6)
        return [float(m) if n else None for m, n in zip(mean, count, strict=True)]

    return {"count": count.tolist(), "confidence": means(confidence), "accuracy": means(right)}


def _binned(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each sample's bin of confidence, confidence, and correctness."""
    confidence = probabilities.max(1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return bins, confidence, probabilities.argmax(1) == labels


def separation(features: np.ndarray, labels: np.ndarray) -> tuple[float | None, float | None]:
    """Return mean silhouette of the classes, and accuracy of the vote of 10 nearest neighbours.

    Both are None for fewer than two classes, or features (N, D) that are not finite.
    """
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    if not 1 < len(np.unique(labels)) < len(labels) or not np.isfinite(features).all():
        return None, None
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(labels) - 1)).fit(features)
    nearest = search.kneighbors(return_distance=False)  # without points, it leaves out each itself
    votes = np.apply_along_axis(np.bincount, 1, labels[nearest], minlength=labels.max() + 1)
    accuracy = float((votes.argmax(1) == labels).mean())
    return float(silhouette_score(features, labels)), accuracy


def _share(part: np.ndarray, whole: np.ndarray) -> float | None:
    """Return the share of ``part`` within ``whole``, both masks; None where that is empty."""
    return float(part[whole].mean()) if whole.any() else None
