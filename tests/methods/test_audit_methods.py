"""Methods whose scores an audit reads."""

import numpy as np
import pytest
import torch
from method_setup import Given, given_batch, setup

from methods.crossfit import confident_transition, duplicate_groups, spread_errors


def test_the_transition_matrix_is_cleanlabs():
    """cleanlab.count: confident joint, and the noise matrix that follows from it."""
    from cleanlab.count import compute_confident_joint

    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 500)
    y = np.array([rng.choice(4, p=0.5 * row + 0.125) for row in p])
    joint = compute_confident_joint(y, p, calibrate=True).astype(float)
    expected = (joint / joint.sum(0)).T
    ours = confident_transition(torch.from_numpy(y), torch.from_numpy(p)).numpy()
    assert ours == pytest.approx(expected, abs=0.03)  # theirs has whole numbers
    assert ours.sum(1) == pytest.approx(np.ones(4))


def test_a_class_that_nothing_counts_for_keeps_its_labels():
    p = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0]], dtype=torch.float64)
    matrix = confident_transition(torch.tensor([0, 0, 1]), p)
    assert matrix[2].tolist() == [0, 0, 1]


def test_errors_are_spread_and_the_diagonal_stays():
    matrix = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]])
    spread = spread_errors(matrix, 0.5)
    assert spread.diagonal().tolist() == pytest.approx([0.7, 1.0, 0.8])
    assert spread[0].tolist() == pytest.approx([0.7, 0.225, 0.075])
    assert spread.sum(1).tolist() == pytest.approx([1, 1, 1])


def test_copies_share_a_group_through_a_chain():
    vectors = torch.eye(5)
    vectors[3] = vectors[1] + 0.01
    vectors[4] = vectors[3] + 0.011
    groups = duplicate_groups(vectors, 0.97)
    assert groups.tolist() == [0, 1, 2, 1, 1]


def test_copies_that_are_pairs_of_nearest_neighbours_are_one_group():
    vectors = torch.eye(6)
    vectors[1:4] = vectors[0]
    vectors[:4, 5] = torch.tensor([0.0, 0.01, 0.05, 0.06])
    assert duplicate_groups(vectors, 0.97).tolist() == [0, 0, 0, 0, 4, 5]


def test_margins_are_averaged_over_the_times_that_a_sample_passed_by(make_task, monkeypatch):
    """Average of z_y - max other z, in the order of the batches (github.com/asappresearch/aum)."""
    first, second = [[2.0, 0, 1], [0, 3, 5]], [[0.0, 4, 0], [0, 9, 5]]
    method = setup("alm", make_task(num=2), networks=[Given(first)])
    method.loss(given_batch([0, 1]))
    method.networks[0].logits.data = torch.tensor(second)
    method.loss(given_batch([0, 1]))
    means = [(1 - 4) / 2, (-2 + 4) / 2]
    assert method.clean_probability().tolist() == pytest.approx(
        torch.tensor(means).sigmoid().tolist()
    )


def test_no_network_learns_from_its_fold_and_copies_share_one(make_task):
    task = make_task(num=60)
    method = setup("crossfit", task, epochs=2)
    assert set(method.fold.tolist()) == set(range(5))
    for fold in method.batches():
        assert (method.fold[fold.batch.index] != fold.student).all()
