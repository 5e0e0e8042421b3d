"""What a record says about learning with wrong labels. The truth is used here, to score, and never
by a method.

Shares memorised are the curves of early learning (Arpit et al., 2017; Liu et al., 2020): a network
first fits correctly labelled samples and predicts the true class of mislabelled ones, and memorises
wrong labels later.
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata

#: At most so many training samples are predicted again after each epoch, always the same ones; and
#: so many test samples' features are compared at the end.
PROBES = 2000

BINS = 15
NEIGHBOURS = 10


def memorisation(
    predicted: np.ndarray, noisy: np.ndarray, clean: np.ndarray
) -> dict[str, float | None]:
    """Shares of training samples by what the network predicts of them.

    Args:
        predicted, noisy, clean: classes (P,) of samples whose truth is known.

    Returns:
        ``memorised_clean``: of correctly labelled samples, how many are predicted as labelled;
            ``memorised_wrong``: of
        mislabelled ones, as labelled; ``recovered_wrong``: of mislabelled ones, as the true class.
    """
    wrong = noisy != clean
    return {
        "memorised_clean": _share(predicted == noisy, ~wrong),
        "memorised_wrong": _share(predicted == noisy, wrong),
        "recovered_wrong": _share(predicted == clean, wrong),
    }


def detection(clean_probability: np.ndarray, wrong: np.ndarray) -> dict[str, float | None]:
    """How well mislabelled samples are found: area under the ROC curve, and precision and recall at
    probability 1/2.

    Args:
        clean_probability: (N,) how likely each label is right.
        wrong: (N,) bool, whether it is not.
    """
    flagged = clean_probability < 0.5
    found = {"detection_auc": auc(-clean_probability, wrong)}
    return found | {
        "detection_precision": _share(wrong, flagged),
        "detection_recall": _share(flagged, wrong),
    }


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive has a higher score than a negative, ties counted half; None without
    one of either kind.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives or not np.isfinite(scores).all():
        return None
    ranks = rankdata(scores)
    return float(
        (ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    )


def correction(soft_targets: np.ndarray, clean: np.ndarray) -> dict[str, float | None]:
    """Share of samples whose corrected target (N, C) is highest at the true class (N,)."""
    return {
        "label_correction_accuracy": float((soft_targets.argmax(1) == clean).mean())
        if len(clean)
        else None
    }


def worst_class_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the lowest accuracy of a class; classes without a test image, absent from ``labels``
    (N,), are left out.
    """
    size, right = np.bincount(labels), np.bincount(labels, predicted == labels)
    return float((right[size > 0] / size[size > 0]).min())


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al., 2017): |confidence - accuracy| in 15 equal bins,
    weighted by their size.
    """
    places, confidence, right = _binned(probabilities, labels)
    # sums of differences: size times difference of means
    gaps = np.bincount(places, confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[Any]]:
    """What ``calibration_error`` sums up: a bin's ``count``, mean ``confidence`` and ``accuracy``;
    None in empty ones.
    """
    places, confidence, right = _binned(probabilities, labels)
    count = np.bincount(places, minlength=BINS)
    sums = {"confidence": confidence, "accuracy": right}
    means = {
        name: np.bincount(places, values, minlength=BINS) / np.maximum(count, 1)
        for name, values in sums.items()
    }
    rounded = {
        name: [float(m) if n else None for m, n in zip(mean.round(6), count, strict=True)]
        for name, mean in means.items()
    }
    return {"count": count.tolist(), **rounded}


def _binned(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each sample its bin of confidence, its confidence, and whether the guess is right."""
    confidence = probabilities.max(1)
    return (
        np.minimum((confidence * BINS).astype(int), BINS - 1),
        confidence,
        probabilities.argmax(1) == labels,
    )


def separation(features: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """How far apart the classes lie in feature space (N, D): mean silhouette, and accuracy of the
    vote of 10 neighbours.

    None where there are fewer than two classes, or features that are no numbers.
    """
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    if not 1 < len(np.unique(labels)) < len(labels) or not np.isfinite(features).all():
        return {"feature_silhouette": None, "feature_knn_accuracy": None}
    neighbours = min(NEIGHBOURS, len(labels) - 1)
    # Without points of its own, it leaves each sample out of its neighbours.
    nearest = (
        NearestNeighbors(n_neighbors=neighbours).fit(features).kneighbors(return_distance=False)
    )
    votes = np.apply_along_axis(np.bincount, 1, labels[nearest], minlength=labels.max() + 1)
    return {
        "feature_silhouette": float(silhouette_score(features, labels)),
        "feature_knn_accuracy": float((votes.argmax(1) == labels).mean()),
    }


def _share(of: np.ndarray, among: np.ndarray) -> float | None:
    return float(of[among].mean()) if among.any() else None
