"""Methods for features of a frozen network, against their authors' code and formulas.

The authors' code was run outside this repository, on the commits named below; none of it is here.
"""

import numpy as np
import pytest
import torch
from method_setup import Flat, enter, setup
from torch import nn
from torch.nn import functional as F
from vector_sets import vector_task

from bench import ops
from bench.errors import InputError
from bench.planning.registry import build
from bench.recipe import Recipe, head_recipe
from methods import simifeat

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


@pytest.mark.parametrize("name", ["knn", "wann"])
def test_by_the_cosine_neighbours_are_in_similar_directions_from_the_mean(name):
    scaled = (TRAIN - TRAIN.mean(0)) / TRAIN.std(0)
    shown = (TEST.numpy() - TRAIN.mean(0)) / TRAIN.std(0)
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    size = "knn.k" if name == "knn" else "wann.k_min"
    method = on_vectors(name, {size: 3, f"{name}.metric": "cosine"})
    nearest = (-shown @ unit.T).argsort(1)
    neighbours = ops.nearest_neighbours(method.standardised(TEST), 3, method.bank)
    np.testing.assert_array_equal(neighbours.numpy(), nearest[:, :3])
    by_length = ((shown[:, None] - scaled) ** 2).sum(2).argsort(1)
    assert (by_length[:, :3] != nearest[:, :3]).any(), "the metrics differ here"


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


def neighbourhoods() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the labels, the weights of the classes, and the shares of triples, all of SimiFeat."""
    y = torch.from_numpy(LABELS)
    features = F.normalize(torch.from_numpy(TRAIN.astype(np.float32)), dim=1)
    nearest = ops.nearest_neighbours(features, 5)
    votes = simifeat.weighted_votes(features, nearest, y, 3)
    return y, votes, simifeat.label_triples(y, nearest, 3)


#: Results of SimiFeat's code, commit 534af48, with k = 6 on the 40 vectors: what the vote takes for
#: clean, and what the rank with HOC's estimate takes for wrong.
# fmt: off
CLEAN = [
    0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 1, 1,
    1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1,
]
WRONG = [0, 2, 4, 5, 7, 8, 12, 13, 14, 16, 19, 22, 24, 26, 28, 36, 38]
# fmt: on


def test_simifeats_vote_agrees_with_the_authors_code():
    """count_knn_distribution, whose rows have length 1."""
    _, votes, _ = neighbourhoods()
    expected = [
        [0.802542, 0.544346, 0.244159],
        [0.180701, 0.962939, 0.200237],
        [0.805299, 0.247556, 0.538711],
        [0.940778, 0.206121, 0.269166],
    ]
    np.testing.assert_allclose(F.normalize(votes, dim=1)[:4].numpy(), expected, atol=1e-5)
    method = on_vectors("simifeat", {"simifeat.k": 6})
    assert method.selected.int().tolist() == CLEAN
    assert (method.clean_probability() > 0.5).int().tolist() == CLEAN
    assert method.transition_matrix() is None
    trained = torch.cat([batch.index for batch in method.batches()])
    assert sorted(trained.tolist()) == np.flatnonzero(CLEAN).tolist()


def test_simifeats_transition_matrix_agrees_with_the_authors_code():
    """calc_func from equal class shares, 400 steps of it, then 20 from there on.

    The last steps still go to and fro by 0.01, and rounding decides on which side they end.
    """
    _, _, triples = neighbourhoods()
    consensus = simifeat.solve_consensus(triples)
    matrix, shares = (logits.softmax(-1).numpy() for logits in consensus)
    expected = [
        [0.50211, 0.25054, 0.24734],
        [0.01178, 0.78518, 0.20305],
        [0.01141, 0.17138, 0.81721],
    ]
    np.testing.assert_allclose(matrix, expected, atol=0.01)
    np.testing.assert_allclose(shares, [0.64072, 0.19828, 0.16100], atol=0.01)
    matrix, shares = (
        logits.softmax(-1).numpy() for logits in simifeat.solve_consensus(triples, consensus)
    )
    expected = [
        [0.50189, 0.25433, 0.24378],
        [0.01096, 0.79049, 0.19854],
        [0.01087, 0.17557, 0.81355],
    ]
    np.testing.assert_allclose(matrix, expected, atol=0.01)
    np.testing.assert_allclose(shares, [0.64054, 0.20049, 0.15896], atol=0.01)


def test_simifeats_rank_agrees_with_the_authors_code():
    """get_knn_acc_all_class without its random part, at the shares that HOC gave."""
    y, votes, _ = neighbourhoods()
    confidence = F.normalize(votes, dim=1).gather(1, y[:, None])[:, 0]
    right = torch.tensor([0.98988, 0.44482, 0.40484])
    wrong = simifeat.worst_share(confidence, y, 1 - right)
    assert wrong.nonzero()[:, 0].tolist() == WRONG
    # Shares of nothing and of everything become 5 % and 95 %.
    assert simifeat.worst_share(confidence, y, torch.tensor([0.0, 0.0, 0.0])).sum() == 3
    assert simifeat.worst_share(confidence, y, torch.tensor([1.0, 1.0, 1.0])).sum() >= 35
    method = on_vectors("simifeat", {"simifeat.k": 6, "simifeat.rule": "rank"})
    disagreeing = (~method.selected).nonzero()[:, 0].tolist()
    assert len(set(disagreeing) ^ set(WRONG)) <= 3, "the random part moves each share by 5 %"
    np.testing.assert_allclose(method.transition_matrix().sum(1).numpy(), 1, atol=1e-5)


def test_simifeat_looks_at_as_many_augmented_views_as_it_has_rounds(monkeypatch):
    views = []
    features = simifeat.SimiFeat.augmented_features
    monkeypatch.setattr(
        simifeat.SimiFeat,
        "augmented_features",
        lambda self: views.append(features(self)) or views[-1],
    )
    for augmentation, rounds in (("none", 1), ("dropout", 5)):
        views.clear()
        method = setup(
            "simifeat",
            vector_task(TRAIN, LABELS, augmentation=augmentation),
            {"simifeat.rounds": 5},
            networks=[Flat(3, 4)],
        )
        method.recipe = Recipe("mlp", 10, augmentation)
        enter(method, 0)
        assert len(views) == rounds
    assert not torch.equal(views[0], views[1])


class Adapter(Flat):
    """Network of one hidden layer."""

    def __init__(self, phase: float) -> None:
        super().__init__(3, 5)
        self.body = nn.Linear(4, 5)
        with torch.no_grad():
            self.body.weight.copy_(waves(5, 4, phase=phase))
            self.body.bias.copy_(waves(5, phase=phase))
            self.head.weight.copy_(waves(3, 5, phase=phase + 1))
            self.head.bias.copy_(waves(3, phase=phase + 2))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x).tanh()


def waves(*shape: int, phase: float) -> torch.Tensor:
    return torch.sin(torch.arange(np.prod(shape)) * 0.7 + phase).view(shape)


def test_cufit_takes_the_authors_steps():
    """The steps of train_cufit.py, commit 5a521cd, with these three classifiers."""
    networks = [Adapter(3.0), Adapter(5.0)]
    method = setup("cufit", vector_task(TRAIN, LABELS), networks=networks)
    with torch.no_grad():
        method.probe.weight.copy_(waves(3, 4, phase=3))
        method.probe.bias.copy_(waves(3, phase=4))
        method.norm.fill_(1)  # theirs reads features as they are
    method.recipe = Recipe("mlp", 10, optimizer="adam", learning_rate=1e-3, weight_decay=1e-5)
    optimizer = method.optimizer(method.param_groups())
    losses, selected = [], []
    for indices in torch.arange(24).split(8):
        losses.append(method.update(method.task.batch(indices), optimizer).item())
        selected.append(method.clean_probability()[indices].tolist())
    np.testing.assert_allclose(losses, [2.453934, 2.114115, 2.186912], atol=1e-5)
    assert selected == [
        [0.5, 0.0, 0.5, 0.0, 1.0, 0.5, 0.0, 0.5],
        [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0],
        [1.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.5, 0.0],
    ]
    probabilities = method.predict(method.task.batch(torch.arange(3)).x)
    expected = [
        [0.277955, 0.437133, 0.284912],
        [0.654663, 0.172223, 0.173113],
        [0.526978, 0.275669, 0.197353],
    ]
    np.testing.assert_allclose(probabilities.detach().numpy(), expected, atol=1e-5)


def test_cufits_probe_follows_the_practical_recipe_for_linear_heads_on_vectors():
    """Vectors of mean length 1, a rate of 2 where the MLP's is 0.02, and no weight decay."""
    method = setup("cufit", vector_task(TRAIN, LABELS), networks=[Adapter(3.0), Adapter(5.0)])
    assert method.norm.item() == pytest.approx(np.linalg.norm(TRAIN, axis=1).mean(), rel=1e-5)
    method.recipe = head_recipe("mlp")
    adapters, probe = method.optimizer(method.param_groups()).param_groups
    assert adapters["lr"] == method.recipe.learning_rate
    linear = head_recipe("linear")
    assert (probe["lr"], probe["weight_decay"]) == (linear.learning_rate, linear.weight_decay)
