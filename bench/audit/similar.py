"""Similar samples: nearest neighbours, groups of duplicates, and outliers."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench import ops
from bench.audit.audit import CONFLICT, DUPLICATE, LEAK

#: Neighbours of each sample.
NEIGHBOURS = 5

#: Cosine of embeddings from which two images are near duplicates. Of CIFAR-10's, embedded by
#: EfficientNet-Lite0, 99.9 % have no other image above .87; mirror images have .95.
COSINE = 0.97

#: The same for other vectors: a distance, as a share of the median distance to the nearest sample
#: (cleanlab's Datalab has this number).
SHARE = 0.13

#: Interquartile ranges by which an outlier lies above the third quartile.
FENCE = 3.0


@dataclass(frozen=True)
class Similar:
    """Neighbours of all samples, and what they reveal."""

    nearest: np.ndarray  # (N, K), nearest first
    group: np.ndarray  # (N,), number of the group of duplicates, or -1
    outlier: np.ndarray  # (N,) bool


def find_similar(vectors: np.ndarray, embedded: bool) -> Similar:
    """Return nearest samples, duplicates and outliers of vectors (N, D).

    Args:
        embedded: True where the vectors are features of images by a pretrained network.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    nearest = ops.nearest_neighbours(torch.from_numpy(unit), NEIGHBOURS).numpy()
    distances = np.stack(
        [np.sqrt(((unit - unit[column]) ** 2).sum(1)) for column in nearest.T], axis=1
    )
    limit = np.sqrt(2 - 2 * COSINE) if embedded else SHARE * np.median(distances[:, 0])
    rows, columns = np.nonzero(distances <= limit + 1e-6)
    return Similar(nearest, _groups(rows, nearest[rows, columns], len(unit)), _outliers(distances))


def _groups(rows: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Return numbers (N,) of the groups that pairs connect; -1 for a sample without a pair."""
    graph = coo_array((np.ones(len(rows)), (rows, others)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    sizes = np.bincount(component)
    group = np.full(count, -1)
    members = sizes[component] > 1
    _, group[members] = np.unique(component[members], return_inverse=True)
    return group


def _outliers(distances: np.ndarray) -> np.ndarray:
    mean = distances.mean(1)
    first, third = np.quantile(mean, [0.25, 0.75])
    return mean > third + FENCE * max(third - first, 1e-9)


def duplicate_issues(
    group: np.ndarray, given: np.ndarray, split: np.ndarray | None
) -> list[list[str]]:
    """Return the issues (N,) of duplicates: also of other labels, and of both parts.

    Args:
        group: number (N,) of the group of duplicates, or -1.
        given: labels (N,).
        split: part (N,) of the data set; None where the parts are not the user's.
    """
    issues: list[list[str]] = [[] for _ in group]
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        words = [DUPLICATE]
        words += [CONFLICT] * (len(set(given[members].tolist())) > 1)
        words += [LEAK] * (split is not None and len(set(split[members].tolist())) > 1)
        for member in members.tolist():
            issues[member] += words
    return issues
