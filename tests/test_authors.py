"""Whole steps of methods, optimiser included, against the authors' own code on the same inputs.

The authors' code was run outside this repository, on the commits named below; none of it is here. Its data loaders, its
random numbers and its networks were replaced by those of this file; the expected numbers are what it gave then.
"""

import numpy as np
import pytest
import torch
from test_methods import Flat, enter, setup
from torch import nn

from bench import ops
from bench.method import Method
from bench.recipe import Recipe
from bench.registry import load_method
from bench.task import Batch
from methods.divide_mix import Division, PlainStep
from methods.pes import class_weights

#: Twelve samples in two views, their labels, and how likely each label is right.
IMAGES = torch.sin(torch.arange(12 * 64) * 0.37).view(12, 1, 8, 8)
LABELS = torch.arange(12) % 3
CLEAN = torch.linspace(0.55, 0.95, 12)


def waves(*shape: int, phase: float = 0.0, size: float = 1.0) -> torch.Tensor:
    return torch.sin(torch.arange(np.prod(shape)) * 0.7 + phase).view(shape) * size


def flat(phase: float) -> Flat:
    """A linear network with these weights."""
    net = Flat()
    with torch.no_grad():
        net.head.weight.copy_(waves(3, 64, phase=phase, size=0.3))
        net.head.bias.copy_(waves(3, phase=phase))
    return net


def samples(*index: int, views: int = 2) -> Batch:
    chosen = torch.tensor(index)
    x = IMAGES[chosen]
    return Batch((x, x.flip(3))[:views], LABELS[chosen], chosen)


def descend(method: Method, batches: list) -> list[float]:
    """The losses of these steps."""
    return [method.update(batch, method.test_optimizer).item() for batch in batches]


@pytest.fixture
def divide_mix(make_task):
    def make(settings: dict | None = None) -> Method:
        method = setup("divide_mix", make_task(12, batch_size=3), settings, networks=[flat(0.0), flat(1.0)])
        method.recipe = Recipe("tiny_cnn", 300, learning_rate=0.02)
        method.test_optimizer = method.optimizer(method.param_groups())
        return method

    return make


# LiJunnan1992/DivideMix, commit d9d3058, Train_cifar.py


def test_divide_mix_trains_as_the_authors_do(divide_mix, monkeypatch):
    """`train` with `SemiLoss`, two epochs of two steps; lambda and the partners are given."""
    method = divide_mix()
    method.clean[1] = CLEAN
    mixing = iter([0.3, 0.8, 0.55, 0.1])
    monkeypatch.setattr(ops, "beta_sample", lambda alpha, rng: next(mixing))
    monkeypatch.setattr(torch, "randperm", lambda count, **_: (torch.arange(count) + 2) % count)
    steps = [
        Division(0, labelled, unlabelled, (epoch + step / 2) / 16)
        for epoch in (2, 3)  # after ten of warm-up
        for step, (labelled, unlabelled) in enumerate([(samples(2, 7, 1), samples(5, 3, 0)), (samples(11, 4), samples(9))])
    ]
    assert descend(method, steps) == pytest.approx([1.0804566, 1.0040653, 1.1327144, 0.7855442], rel=1e-5)
    head = method.networks[0].head
    np.testing.assert_allclose(head.bias.detach(), [-0.0032491, 0.6918033, 0.9409656], atol=1e-6)
    np.testing.assert_allclose(head.weight[0, :3].detach(), [0.0034911, 0.1983133, 0.3015624], atol=1e-6)
    assert torch.equal(method.networks[1].head.weight, flat(1.0).head.weight), "the peer only guesses"


@pytest.mark.parametrize(
    ("penalty", "losses", "bias"),
    [
        (False, [1.0508308, 1.3587681], [0.0076345, 0.6449214, 0.9770643]),
        (True, [0.0442237, 0.3949670], [0.0126293, 0.6470399, 0.9699510]),
    ],
)
def test_divide_mix_warms_up_as_the_authors_do(divide_mix, penalty, losses, bias):
    """`warmup` with symmetric noise, and with asymmetric noise, which brings the penalty."""
    method = divide_mix({"divide_mix.confidence_penalty": penalty})
    halves = samples(*range(6), views=1), samples(*range(6, 12), views=1)
    assert descend(method, [PlainStep(0, half) for half in halves]) == pytest.approx(losses, rel=1e-5)
    np.testing.assert_allclose(method.networks[0].head.bias.detach(), bias, atol=1e-6)


#: What the mixture is fitted to in the seventh epoch, without a window and with the one for 90 % noise.
FITTED = {
    1: [0.80052, 0.0, 0.12996, 1.0, 0.22648, 0.05164, 0.73162, 0.16122, 0.28511, 0.92179, 0.02949, 0.02446],
    5: [0.93021, 0.08662, 0.04426, 0.86519, 0.23261, 0.18738, 0.79577, 0.05235, 0.16036, 0.96158, 0.16807, 0.05647],
}


@pytest.mark.parametrize("window", FITTED)
def test_divide_mix_fits_its_mixture_to_what_the_authors_do(divide_mix, monkeypatch, window):
    """`eval_train` on seven epochs' losses. A mean of scaled losses is not scaled again."""
    method = divide_mix({"divide_mix.loss_window": window})
    fitted = []
    original = ops.fit_gaussians
    monkeypatch.setattr(ops, "fit_gaussians", lambda values: fitted.append(values) or original(values))
    for epoch in range(7):
        losses = (torch.sin(torch.arange(12) * 1.3 + 0.6 * epoch) * 0.3 + 0.4 + 1.5 * (torch.arange(12) % 3 == 0)) * (
            1 + epoch
        )
        monkeypatch.setattr(ops, "per_sample_loss", lambda m, net, losses=losses: losses)
        enter(method, 10 + epoch)
    np.testing.assert_allclose(fitted[-1], FITTED[window], atol=1e-5)
    assert (method.clean[0] > 0.5).tolist() == [i % 3 != 0 for i in range(12)]


# shengliu66/ELR, commit 934af53, ELR/model/loss.py and ELR/config_cifar10.json


def paper_recipe(name: str) -> Recipe:
    return Recipe(**{"backbone": "tiny_cnn", "epochs": 1, **load_method(name).paper})


def test_elr_trains_as_the_authors_do(make_task):
    """`elr_loss` over three steps that share samples, with the optimiser of the same configuration."""
    method = setup("elr", make_task(12), networks=[flat(0.0)])
    method.recipe = paper_recipe("elr")
    method.test_optimizer = method.optimizer(method.param_groups())
    losses = descend(method, [samples(0, 5, 3, 8), samples(7, 1, 5, 0), samples(0, 10, 5, 2)])
    assert losses == pytest.approx([0.8889409, 0.5066109, 0.1864615], rel=1e-5)
    np.testing.assert_allclose(method.networks[0].head.bias.detach(), [0.0131372, 0.6287372, 0.9876102], atol=1e-6)
    expected = [[0.2443616, 0.1969941, 0.2156443], [0.1367507, 0.1863700, 0.3338793], [0.0372420, 0.1097630, 0.1529950]]
    np.testing.assert_allclose(method.targets[[0, 5, 7]], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["elr", "softmix"])
def test_the_rate_restarts_as_the_authors_does(name):
    """torch's CosineAnnealingWarmRestarts(T_0=10, eta_min=0.001) at 0.02, in epochs 0, 1, 5, 9, 10, 11, 25."""
    recipe = paper_recipe(name)
    rates = [recipe.learning_rate * recipe.rate_factor(epoch / recipe.epochs) for epoch in (0, 1, 5, 9, 10, 11, 25)]
    assert rates == pytest.approx([0.02, 0.01953504, 0.0105, 0.00146496, 0.02, 0.01953504, 0.0105], abs=1e-8)
    assert recipe.epochs == {"elr": 150, "softmix": 300}[name]


# bhanML/Co-teaching, commit 7c7fbe2, loss.py and main.py


#: Losses of two steps an epoch, of the first and of the second network, times the number of kept samples, by which the authors
#: divide a mean; Adam's rate and first beta.
CO_TEACHING = {
    78: (1e-3, 0.9, [(1.2224041, 1.2337840), (0.9381275, 0.9840451)]),
    79: (1e-3, 0.9, [(1.1649305, 1.2040353), (0.8811369, 0.9807663)]),
    80: (1e-3, 0.1, [(1.1144358, 1.1836737), (0.8379809, 0.9751681)]),
    140: (5e-4, 0.1, [(1.0713784, 1.1661773), (0.7970824, 0.9616637)]),
    199: (8.333333e-6, 0.1, [(1.0503988, 1.1584244), (0.7811775, 0.9547668)]),
}


def test_co_teaching_trains_as_the_authors_do(make_task):
    """`loss_coteaching` with `adjust_learning_rate`, in five of 200 epochs, at a forget rate of 0.4."""
    method = setup("co_teaching", make_task(12), {"co_teaching.forget_rate": 0.4}, 200, [flat(0.0), flat(1.0)])
    method.recipe = paper_recipe("co_teaching")
    optimizer = method.test_optimizer = method.optimizer(method.param_groups())
    for epoch, (rate, beta, expected) in CO_TEACHING.items():
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * method.schedule(epoch / 200)
        enter(method, epoch)
        losses = descend(method, [samples(0, 5, 3, 8, 1), samples(7, 1, 5, 0, 11)])
        assert losses == pytest.approx([sum(pair) for pair in expected], rel=1e-5)
        [group] = optimizer.param_groups
        assert group["lr"] == pytest.approx(rate, rel=1e-6)
        assert group["betas"] == (beta, 0.999)
    biases = [[0.0059084, 0.6391658, 0.9785227], [0.8350471, 0.9856738, 0.6823931]]
    for net, bias in zip(method.networks, biases, strict=True):
        np.testing.assert_allclose(net.head.bias.detach(), bias, atol=2e-6)


# MacLLL/MixNN, commit 99e4b12, train_cifar_with_MixNN.py and loss.py


class TwoLayers(nn.Module):
    """A network whose features change as it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, 5), nn.Linear(5, 3)
        with torch.no_grad():
            self.body.weight.copy_(waves(5, 64, size=0.2))
            self.body.bias.copy_(waves(5))
            self.head.weight.copy_(waves(3, 5, phase=1))
            self.head.bias.copy_(waves(3, phase=2))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x.flatten(1)).tanh()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.forward_features(x))


#: Losses of the two steps of an epoch, as the authors count them, by loss window: theirs is 1, and 5 at a noise rate of 0.8.
#: Then the soft targets of samples 0, 4 and 11 and the last layer's biases in the end, and the weights in some epochs.
SOFTMIX = {
    1: (
        {
            56: [-0.4299002, -0.2625225],
            57: [-0.4207447, -0.2297436],
            58: [-0.5106226, -0.2752177],
            59: [-0.4562803, -0.2392116],
            60: [1.1757902, 2.186693],
            61: [0.1914004, 1.547078],
            62: [0.3283639, 1.4083639],
            63: [0.4744514, 1.4115688],
            64: [0.4792809, 1.6515437],
            65: [0.4882231, 1.4879709],
            66: [0.4724718, 1.3599936],
            67: [0.4286443, 1.2464184],
            68: [0.4105727, 1.1309513],
            69: [0.4267783, 1.0759251],
            70: [0.4746361, 1.0382172],
            71: [0.4985026, 1.025431],
            72: [0.5116822, 1.088953],
        },
        [[0.922162, 0.051899, 0.025939], [0.120446, 0.849431, 0.030124], [0.116909, 0.022248, 0.860843]],
        [0.5086921, 0.449275, 0.1177174],
        {
            56: [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            63: [0.979, 0.996, 0.202, 0.997, 0.932, 0.001, 0.997, 0.0, 0.762, 0.893, 0.986, 0.344],
            72: [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0],
        },
    ),
    5: (
        {
            56: [-0.4299002, -0.2625225],
            57: [-0.4207447, -0.2297436],
            58: [-0.5106226, -0.2752177],
            59: [-0.4562803, -0.2392116],
            60: [1.1757902, 2.186693],
            61: [0.1914004, 1.5470144],
            62: [0.3282998, 1.3970202],
            63: [0.4652945, 1.1530126],
            64: [0.3938802, 1.0986573],
            65: [0.3337767, 1.0413567],
            66: [0.3574852, 0.945226],
            67: [0.4329304, 1.0557281],
            68: [0.5109795, 1.1355301],
            69: [0.5292982, 1.0277983],
            70: [0.5117143, 0.9474021],
            71: [0.4864617, 0.9081181],
            72: [0.4900054, 0.8718941],
        },
        [[0.93056, 0.036959, 0.032481], [0.130279, 0.814662, 0.055058], [0.131266, 0.020069, 0.848665]],
        [0.6749427, 0.281979, 0.1187629],
        {
            56: [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            63: [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            72: [1.0, 1.0, 0.995, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.992, 1.0, 0.999],
        },
    ),
}


@pytest.mark.parametrize("window", SOFTMIX)
def test_softmix_trains_as_the_authors_do(make_task, monkeypatch, window):
    """`train` and `eval_train_gmm` with `ANNLoss_K_2`, over the mixup phase, two target updates and a dozen epochs among
    neighbours. Lambda and the partners are given; neighbours are exact in place of their approximate index, and scikit-learn's
    mixture, whose random start would make other runs of them, starts from the exact two-means split."""
    losses, targets, bias, weights = SOFTMIX[window]
    mixing = iter([0.3, 0.8, 0.55, 0.1, 0.9, 0.45] * 2)
    monkeypatch.setattr(ops, "beta_sample", lambda alpha, rng: next(mixing))
    monkeypatch.setattr(torch, "randperm", lambda count, **_: (torch.arange(count) + 2) % count)
    scores = lambda m, net, score: score(net(IMAGES), LABELS, torch.arange(12)).detach()  # noqa: E731
    monkeypatch.setattr(ops, "per_sample", scores)
    task = make_task(12)
    task.noisy_labels = LABELS
    method = setup("softmix", task, {"softmix.loss_window": window}, networks=[TwoLayers()])
    method.recipe = paper_recipe("softmix")
    method.test_optimizer = method.optimizer(method.param_groups())
    for epoch, expected in losses.items():
        enter(method, epoch - 1)
        if epoch in weights:
            np.testing.assert_allclose(method.clean, weights[epoch], atol=6e-4)
        found = descend(method, [samples(3, 1, 10, 7, 0, 5, views=1), samples(2, 11, 4, 6, 9, 8, views=1)])
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), epoch
    np.testing.assert_allclose(method.targets[[0, 4, 11]], targets, atol=2e-6)
    np.testing.assert_allclose(method.networks[0].head.bias.detach(), bias, atol=2e-6)


# tmllab/2021_NeurIPS_PES, commit ec5290d, PES_cs.py


def test_pes_weighs_classes_as_the_authors_do():
    """`update_trainloader` on confident labels of which one class has none and another never occurs."""
    labels = torch.tensor([0, 0, 1, 3, 3, 3, 0, 3, 3])
    torch.testing.assert_close(class_weights(labels, 5), torch.tensor([1.0, 3.0, 0.0, 0.6, 0.0]))


# facebookresearch/mixup-cifar10, commit eaff31a, train.py


def test_mixup_mixes_as_the_authors_do(make_task, monkeypatch):
    """`mixup_data` and `mixup_criterion` with their lambda and permutation on a linear network of three inputs."""
    task = make_task(6)
    images = torch.tensor([[[[0.1 * i + 0.01 * j * j for j in range(3)]]] for i in range(6)]).sin()
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False))
    net[1].weight.data = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7], [-0.2, 0.9, 0.4]])
    method = setup("mixup", task, networks=[net])
    monkeypatch.setattr(ops, "beta_sample", lambda alpha, rng: 0.6125638605120026)
    monkeypatch.setattr(torch, "randperm", lambda n, **_: torch.tensor([3, 0, 5, 1, 4, 2]))
    loss = method.loss(Batch((images,), torch.tensor([0, 1, 2, 2, 0, 1]), torch.arange(6)))
    loss.backward()
    assert loss.item() == pytest.approx(1.102412897946357, rel=1e-6)
    expected = [
        [0.011202975819, 0.011556626690, 0.012610504504],
        [-0.003865990952, -0.004119608009, -0.004877886199],
        [-0.007336984867, -0.007437018681, -0.007732618306],
    ]
    np.testing.assert_allclose(net[1].weight.grad, expected, atol=2e-7)
