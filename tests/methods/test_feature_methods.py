"""Methods for features of a frozen network, against their authors' code and formulas.

The authors' code was run outside this repository, on the commits named below; none of it is here.
"""

import numpy as np
import pytest
import torch
from method_setup import Flat, enter, setup
from vector_sets import vector_task

from bench.errors import InputError
from bench.planning.registry import build

#: 52 vectors of three classes, of which the first 40 are for training; every fourth of their labels
#: is the next class.
TRUTH = np.arange(52) % 3
CENTRES = np.array([[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, -0.5], [0.0, 0.0, 1.0, 0.0]])
VECTORS = np.sin(np.arange(208) ** 1.5 * 0.37).reshape(52, 4) + 1.2 * CENTRES[TRUTH]
TRAIN, TEST = VECTORS[:40], torch.from_numpy(VECTORS[40:].astype(np.float32))
LABELS = np.where(np.arange(40) % 4 == 0, (TRUTH[:40] + 1) % 3, TRUTH[:40])


def on_vectors(name: str, settings: dict | None = None, **changes):
    """Return a method in its first epoch, on the 40 training vectors."""
    networks = [Flat(3, 4) for _ in range(build(name, {}).num_networks)]
    method = setup(name, vector_task(TRAIN, LABELS, **changes), settings, networks=networks)
    enter(method, 0)
    return method


def test_knn_votes_as_scikit_learn_on_standardised_features():
    """KNeighborsClassifier(5), as the kNN baseline of WANN's code, commit 314f2ae."""
    probabilities = on_vectors("knn", {"knn.k": 5}).predict(TEST)
    expected = [
        [0.0, 0.8, 0.2],
        [0.2, 0.0, 0.8],
        [0.6, 0.2, 0.2],
        [0.2, 0.4, 0.4],
        [0.4, 0.2, 0.4],
        [0.6, 0.2, 0.2],
        [0.0, 0.6, 0.4],
        [0.0, 0.2, 0.8],
        [0.6, 0.0, 0.4],
        [0.2, 0.4, 0.4],
        [0.0, 0.0, 1.0],
        [0.6, 0.0, 0.4],
    ]
    np.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-6)
    assert probabilities.argmax(1).tolist() == [1, 2, 0, 1, 0, 0, 1, 2, 0, 1, 2, 0]


def test_knn_takes_for_clean_the_share_of_neighbours_with_the_same_label():
    scaled = (TRAIN - TRAIN.mean(0)) / TRAIN.std(0)
    distances = ((scaled[:, None] - scaled) ** 2).sum(2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argsort(1)[:, :7]
    method = on_vectors("knn", {"knn.k": 7})
    expected = (LABELS[nearest] == LABELS[:, None]).mean(1)
    np.testing.assert_allclose(method.clean_probability().numpy(), expected, atol=1e-6)


def test_knn_has_at_most_as_many_neighbours_as_there_are_samples():
    shares = np.bincount(LABELS) / 40
    probabilities = on_vectors("knn", {"knn.k": 100}).predict(TEST)
    np.testing.assert_allclose(probabilities.numpy(), np.tile(shares, (12, 1)), atol=1e-6)


def test_wann_agrees_with_the_authors_code():
    """Commit 314f2ae, WANN(kmin=3, kmax=9) on features that its preprocessing standardised."""
    method = on_vectors("wann", {"wann.k_min": 3, "wann.k_max": 9})
    # fmt: off
    sizes = [
        9, 3, 9, 3, 9, 3, 3, 7, 9, 3, 5, 3, 9, 9, 7, 3, 9, 3, 3, 3,
        9, 3, 5, 9, 9, 5, 9, 3, 9, 3, 5, 3, 3, 5, 3, 7, 9, 3, 7, 3,
    ]
    # fmt: on
    assert method.sizes.tolist() == sizes
    assert method.predict(TEST).argmax(1).tolist() == [1, 2, 0, 1, 2, 0, 1, 2, 2, 1, 2, 0]
    np.testing.assert_allclose(method.clean_probability().numpy(), 3 / np.array(sizes), rtol=1e-6)


def test_wann_weighs_losses_in_proportion_to_its_reliabilities():
    method = on_vectors("wann", {"wann.k_min": 3, "wann.k_max": 9})
    batch = method.task.batch(torch.tensor([4, 1, 7]))  # sizes 9, 3 and 7
    [net] = method.networks
    losses = -net(batch.x).log_softmax(1)[torch.arange(3), batch.y]
    weights = torch.tensor([1 / 9, 1 / 3, 1 / 7])
    expected = (losses * weights).sum() / weights.sum()
    torch.testing.assert_close(method.loss(batch), expected)


class Squares(Flat):
    """A network whose features are powers of the pixels."""

    power = 1

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x) ** self.power


@pytest.mark.parametrize("name", ["knn", "wann"])
def test_on_images_neighbours_are_those_by_the_networks_features_after_each_epoch(name, make_task):
    method = setup(name, make_task(), networks=[Squares()])
    x = method.task.batch(torch.arange(16)).x
    for power in (1, 2):
        enter(method, power - 1)
        method.networks[0].power = power  # as if it had learned
        method.epoch_end()
        features = x.flatten(1) ** power
        expected = (features - features.mean(0)) / features.std(0, correction=0)
        torch.testing.assert_close(method.bank, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method.standardised(x), expected, atol=1e-4, rtol=1e-4)
    assert "bank" not in method.state_dict()
    assert method.predict(x).sum(1).tolist() == pytest.approx([1] * 16)


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_votes_of_vectors_need_no_training_and_no_scale(head):
    """A linear head reads vectors of another scale."""
    plain = on_vectors("wann")
    task = vector_task(TRAIN * 0.01 + 3, LABELS, backbone=head)
    scaled = setup("wann", task, networks=[Flat(3, 4)])
    enter(scaled, 0)
    torch.testing.assert_close(scaled.predict(TEST * 0.01 + 3), plain.predict(TEST))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"knn.k": 0}, "give at least 1"),
        ({"wann.k_min": 0}, "give at least 1"),
        ({"wann.k_max": 11}, "give a number above wann.k_min"),
    ],
)
def test_numbers_of_neighbours_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        build(next(iter(settings)).partition(".")[0], settings)
