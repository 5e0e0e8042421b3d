"""Neighbours, duplicates and outliers."""

import numpy as np

from bench.audit.audit import CONFLICT, DUPLICATE, LEAK
from bench.audit.similar import duplicate_issues, find_similar


def test_near_copies_are_one_group_and_a_far_sample_is_an_outlier():
    rng = np.random.default_rng(0)
    centre = np.zeros(20)
    centre[0] = 1
    vectors = (centre + 0.1 * rng.normal(size=(100, 20))).astype(np.float32)
    vectors[7], vectors[50] = vectors[3], 2 * vectors[3] + 1e-5
    vectors[9] = -centre
    similar = find_similar(vectors, embedded=False)
    assert np.flatnonzero(similar.group >= 0).tolist() == [3, 7, 50]
    assert len(set(similar.group[[3, 7, 50]].tolist())) == 1
    assert similar.outlier[9] and similar.outlier.sum() == 1
    assert set(similar.nearest[3, :2].tolist()) == {7, 50}


def test_embeddings_are_near_copies_from_a_cosine_of_097():
    angles = np.array([0, 0.2, 1.0, 1.3, 2.0, 3.0, 4.0])  # cosines .980 and .955
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert find_similar(vectors, embedded=True).group.tolist() == [0, 0, -1, -1, -1, -1, -1]


def test_duplicates_name_other_labels_and_the_other_part():
    group = np.array([0, 0, -1, 1, 1])
    issues = duplicate_issues(
        group, np.array([0, 0, 1, 0, 1]), np.array(["train", "test", "test", "train", "train"])
    )
    assert issues == [[DUPLICATE, LEAK]] * 2 + [[]] + [[DUPLICATE, CONFLICT]] * 2


def test_parts_that_are_not_the_users_have_no_leaks():
    group, given = np.array([0, 0, -1]), np.array([0, 0, 1])
    assert duplicate_issues(group, given, None) == [[DUPLICATE]] * 2 + [[]]
