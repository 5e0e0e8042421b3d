"""Whole steps of methods, optimiser included, against the authors' code on the same inputs.

The authors' code was run outside this repository, on the commits named below; none of it is here.
Its data loaders, its random numbers and its networks were replaced by those of this file. The
expected numbers are its results.
"""

import itertools

import numpy as np
import pytest
import torch
from method_setup import Flat, enter, setup
from torch import nn

from bench import ops
from bench.method import Method
from bench.ops import Division, PlainStep
from bench.recipe import Recipe
from bench.task import Batch
from methods import unicon
from methods.pes import class_weights
from methods.rmd import distance_loss

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


class TwoLayers(nn.Module):
    """A network whose features change as it learns."""

    num_features = 5

    def __init__(self, phase: float = 0.0) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, 5), nn.Linear(5, 3)
        with torch.no_grad():
            self.body.weight.copy_(waves(5, 64, phase=phase, size=0.2))
            self.body.bias.copy_(waves(5, phase=phase))
            self.head.weight.copy_(waves(3, 5, phase=phase + 1))
            self.head.bias.copy_(waves(3, phase=phase + 2))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x.flatten(1)).tanh()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.forward_features(x))


class Normed(TwoLayers):
    """The same with batch norm, which every pass in train mode moves.

    It has seen all samples once.
    """

    def __init__(self, phase: float = 0.0) -> None:
        super().__init__(phase)
        self.norm = nn.BatchNorm1d(5)
        with torch.no_grad():
            self(IMAGES)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.body(x.flatten(1))).tanh()


def give_draws(monkeypatch) -> None:
    """Put the lambdas and partners of the authors' runs in place of random ones."""
    mixing = itertools.cycle([0.3, 0.8, 0.55, 0.1])
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: next(mixing))
    monkeypatch.setattr(torch, "randperm", lambda count, **_: (torch.arange(count) + 2) % count)


def give_scores(monkeypatch) -> None:
    """Take per-sample scores of IMAGES and LABELS, in eval mode."""

    def scores(method: Method, net: nn.Module, score) -> torch.Tensor:
        net.eval()
        result = score(net(IMAGES), LABELS, torch.arange(12)).detach()
        net.train()
        return result

    for module in (ops, ops.passes):  # as methods call it, and as per_sample_loss does
        monkeypatch.setattr(module, "per_sample", scores)


@pytest.fixture
def divide_mix(make_task):
    def make(settings: dict | None = None) -> Method:
        method = setup(
            "divide_mix", make_task(12, batch_size=3), settings, networks=[flat(0.0), flat(1.0)]
        )
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
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: next(mixing))
    monkeypatch.setattr(torch, "randperm", lambda count, **_: (torch.arange(count) + 2) % count)
    steps = [
        Division(0, labelled, unlabelled, (epoch + step / 2) / 16)
        for epoch in (2, 3)  # after ten of warm-up
        for step, (labelled, unlabelled) in enumerate(
            [(samples(2, 7, 1), samples(5, 3, 0)), (samples(11, 4), samples(9))]
        )
    ]
    assert descend(method, steps) == pytest.approx(
        [1.0804566, 1.0040653, 1.1327144, 0.7855442], rel=1e-5
    )
    head = method.networks[0].head
    np.testing.assert_allclose(head.bias.detach(), [-0.0032491, 0.6918033, 0.9409656], atol=1e-6)
    np.testing.assert_allclose(
        head.weight[0, :3].detach(), [0.0034911, 0.1983133, 0.3015624], atol=1e-6
    )
    assert torch.equal(method.networks[1].head.weight, flat(1.0).head.weight), (
        "the peer only guesses"
    )


def test_divide_mix_moves_batch_norm_as_the_authors_do(make_task, monkeypatch):
    """`train` as above.

    The student guesses in train mode, for the unlabelled samples first, the peer in eval mode.
    """
    method = setup("divide_mix", make_task(12, batch_size=3), networks=[Normed(), Normed(1.0)])
    method.recipe = Recipe("tiny_cnn", 300, learning_rate=0.02)
    method.test_optimizer = method.optimizer(method.param_groups())
    method.clean[1] = CLEAN
    method.networks[1].eval()
    give_draws(monkeypatch)
    steps = [
        Division(0, labelled, unlabelled, (epoch + step / 2) / 16)
        for epoch in (2, 3)
        for step, (labelled, unlabelled) in enumerate(
            [(samples(2, 7, 1), samples(5, 3, 0)), (samples(11, 4), samples(9, 10))]
        )
    ]
    assert descend(method, steps) == pytest.approx(
        [3.0154076, 3.2105539, 2.2579862, 2.5671165], rel=3e-5
    )
    net = method.networks[0]
    np.testing.assert_allclose(
        net.norm.running_mean, [-0.0186411, 0.5553663, 0.8613399, 0.7617657, 0.3161090], atol=1e-5
    )
    np.testing.assert_allclose(
        net.norm.running_var, [0.7187109, 0.6883500, 0.3739842, 0.3606052, 0.2511559], atol=3e-5
    )
    np.testing.assert_allclose(
        net.head.bias.detach(), [0.8737806, 0.4385880, -0.2313303], atol=1e-5
    )


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
    assert descend(method, [PlainStep(0, half) for half in halves]) == pytest.approx(
        losses, rel=1e-5
    )
    np.testing.assert_allclose(method.networks[0].head.bias.detach(), bias, atol=1e-6)


#: What the mixture is fitted to in the seventh epoch, without a window and with the one for 90 %
#: noise.
FITTED = {
    1: [
        0.80052,
        0.0,
        0.12996,
        1.0,
        0.22648,
        0.05164,
        0.73162,
        0.16122,
        0.28511,
        0.92179,
        0.02949,
        0.02446,
    ],
    5: [
        0.93021,
        0.08662,
        0.04426,
        0.86519,
        0.23261,
        0.18738,
        0.79577,
        0.05235,
        0.16036,
        0.96158,
        0.16807,
        0.05647,
    ],
}


@pytest.mark.parametrize("window", FITTED)
def test_divide_mix_fits_its_mixture_to_what_the_authors_do(divide_mix, monkeypatch, window):
    """`eval_train` on seven epochs' losses. A mean of scaled losses is not scaled again."""
    method = divide_mix({"divide_mix.loss_window": window})
    fitted = []
    original = ops.fit_gaussians
    monkeypatch.setattr(
        ops.mixtures, "fit_gaussians", lambda values: fitted.append(values) or original(values)
    )
    for epoch in range(7):
        losses = (
            torch.sin(torch.arange(12) * 1.3 + 0.6 * epoch) * 0.3
            + 0.4
            + 1.5 * (torch.arange(12) % 3 == 0)
        ) * (1 + epoch)
        monkeypatch.setattr(ops, "per_sample_loss", lambda m, net, losses=losses: losses)
        enter(method, 10 + epoch)
    np.testing.assert_allclose(fitted[-1], FITTED[window], atol=1e-5)
    assert (method.clean[0] > 0.5).tolist() == [i % 3 != 0 for i in range(12)]


# shengliu66/ELR, commit 934af53, ELR/model/loss.py and ELR/config_cifar10.json


def test_elr_trains_as_the_authors_do(make_task, paper_recipe):
    """`elr_loss` over three steps that share samples, with that configuration's optimiser."""
    method = setup("elr", make_task(12), networks=[flat(0.0)])
    method.recipe = paper_recipe("elr")
    method.test_optimizer = method.optimizer(method.param_groups())
    losses = descend(method, [samples(0, 5, 3, 8), samples(7, 1, 5, 0), samples(0, 10, 5, 2)])
    assert losses == pytest.approx([0.8889409, 0.5066109, 0.1864615], rel=1e-5)
    np.testing.assert_allclose(
        method.networks[0].head.bias.detach(), [0.0131372, 0.6287372, 0.9876102], atol=1e-6
    )
    expected = [
        [0.2443616, 0.1969941, 0.2156443],
        [0.1367507, 0.1863700, 0.3338793],
        [0.0372420, 0.1097630, 0.1529950],
    ]
    np.testing.assert_allclose(method.targets[[0, 5, 7]], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["elr", "softmix"])
def test_the_rate_restarts_as_the_authors_does(name, paper_recipe):
    """torch's CosineAnnealingWarmRestarts(T_0=10, eta_min=0.001) at 0.02, in seven epochs."""
    recipe = paper_recipe(name)
    rates = [
        recipe.learning_rate * recipe.rate_factor(epoch / recipe.epochs)
        for epoch in (0, 1, 5, 9, 10, 11, 25)
    ]
    assert rates == pytest.approx(
        [0.02, 0.01953504, 0.0105, 0.00146496, 0.02, 0.01953504, 0.0105], abs=1e-8
    )
    assert recipe.epochs == {"elr": 150, "softmix": 300}[name]


# bhanML/Co-teaching, commit 7c7fbe2, loss.py and main.py


#: Losses of two steps an epoch, of the first and of the second network, times the number of kept
#: samples, by which the authors divide a mean; Adam's rate and first beta.
CO_TEACHING = {
    78: (1e-3, 0.9, [(1.2224041, 1.2337840), (0.9381275, 0.9840451)]),
    79: (1e-3, 0.9, [(1.1649305, 1.2040353), (0.8811369, 0.9807663)]),
    80: (1e-3, 0.1, [(1.1144358, 1.1836737), (0.8379809, 0.9751681)]),
    140: (5e-4, 0.1, [(1.0713784, 1.1661773), (0.7970824, 0.9616637)]),
    199: (8.333333e-6, 0.1, [(1.0503988, 1.1584244), (0.7811775, 0.9547668)]),
}


def test_co_teaching_trains_as_the_authors_do(make_task, paper_recipe):
    """`loss_coteaching` with `adjust_learning_rate`, in five of 200 epochs, forget rate 0.4."""
    method = setup(
        "co_teaching", make_task(12), {"co_teaching.forget_rate": 0.4}, 200, [flat(0.0), flat(1.0)]
    )
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


#: Losses of the two steps of an epoch, as the authors count them, by loss window: theirs is 1, and
#: 5 at a noise rate of 0.8. Then the soft targets of samples 0, 4 and 11 and the last layer's
#: biases in the end, and the weights in some epochs.
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
        [
            [0.922162, 0.051899, 0.025939],
            [0.120446, 0.849431, 0.030124],
            [0.116909, 0.022248, 0.860843],
        ],
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
        [
            [0.93056, 0.036959, 0.032481],
            [0.130279, 0.814662, 0.055058],
            [0.131266, 0.020069, 0.848665],
        ],
        [0.6749427, 0.281979, 0.1187629],
        {
            56: [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            63: [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
            72: [1.0, 1.0, 0.995, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.992, 1.0, 0.999],
        },
    ),
}


@pytest.mark.parametrize("window", SOFTMIX)
def test_softmix_trains_as_the_authors_do(make_task, monkeypatch, paper_recipe, window):
    """`train` and `eval_train_gmm` with `ANNLoss_K_2`, from mixup to mixing with neighbours.

    Two target updates and a dozen epochs among neighbours. Lambda and the partners are given.
    Neighbours are exact in place of their approximate index. scikit-learn's mixture, whose random
    start would make each run another, starts from the exact two-means split.
    """
    losses, targets, bias, weights = SOFTMIX[window]
    mixing = iter([0.3, 0.8, 0.55, 0.1, 0.9, 0.45] * 2)
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: next(mixing))
    monkeypatch.setattr(torch, "randperm", lambda count, **_: (torch.arange(count) + 2) % count)
    scores = lambda m, net, score: score(net(IMAGES), LABELS, torch.arange(12)).detach()  # noqa: E731
    for module in (ops, ops.passes):  # as methods call it, and as per_sample_loss does
        monkeypatch.setattr(module, "per_sample", scores)
    task = make_task(12)
    task.noisy_labels = LABELS
    method = setup("softmix", task, {"softmix.loss_window": window}, networks=[TwoLayers()])
    method.recipe = paper_recipe("softmix")
    method.test_optimizer = method.optimizer(method.param_groups())
    for epoch, expected in losses.items():
        enter(method, epoch - 1)
        if epoch in weights:
            np.testing.assert_allclose(method.clean, weights[epoch], atol=6e-4)
        values = descend(
            method, [samples(3, 1, 10, 7, 0, 5, views=1), samples(2, 11, 4, 6, 9, 8, views=1)]
        )
        assert values == pytest.approx(expected, rel=1e-5, abs=1e-6), epoch
    np.testing.assert_allclose(method.targets[[0, 4, 11]], targets, atol=2e-6)
    np.testing.assert_allclose(method.networks[0].head.bias.detach(), bias, atol=2e-6)


def test_softmix_moves_batch_norm_as_the_authors_do(make_task, monkeypatch):
    """`train` in epochs 57, 58 and 60.

    The unmixed images pass even where no target and no neighbour needs them.
    """
    task = make_task(12)
    task.noisy_labels = LABELS
    method = setup("softmix", task, networks=[Normed()])
    method.recipe = Recipe("tiny_cnn", 300, learning_rate=0.02, weight_decay=1e-3)
    method.test_optimizer = method.optimizer(method.param_groups())
    give_draws(monkeypatch)
    give_scores(monkeypatch)
    losses = []
    for epoch in (57, 58, 60):
        enter(method, epoch - 1)
        losses += descend(
            method, [samples(3, 1, 10, 7, 0, 5, views=1), samples(2, 11, 4, 6, 9, 8, views=1)]
        )
    assert losses == pytest.approx(
        [-0.4482515, -0.1349927, -0.4852108, -0.1351132, 1.1754092, 2.8730558], rel=1e-5
    )
    norm = method.networks[0].norm
    np.testing.assert_allclose(
        norm.running_mean, [-0.0327599, 0.4494693, 0.7249414, 0.6615168, 0.2837172], atol=3e-6
    )
    np.testing.assert_allclose(
        norm.running_var, [0.4195492, 0.3502107, 0.3379437, 0.3814924, 0.4027251], atol=3e-6
    )


# PaulAlbert31/LabelNoiseCorrection, commit 5e9a73e, utils.py


#: Six steps in three epochs: losses; places 0, 1 and 50 of the second epoch's table, cut at 1 -
#: 1e-4 as they do on reading it; batch norm's means and variances; the last layer's biases; the
#: targets of samples 0 and 4.
M_CORRECTION = {
    "hard": (
        [0.7940523, 1.3096610, 1.1479135, 0.9627922, 1.0779363, 0.9781668],
        [0.9997975, 0.1298013, 0.2189375],
        [-0.0077506, 0.6098358, 0.8152504, 0.6570928, 0.2717379],
        [1.9149351, 18.5234998, 2.2026950, 0.4157855, 1.1958364],
        [0.9376128, 0.3146768, -0.1713461],
        [[0.8818326, 0.0, 0.1181674], [0.0, 0.6018523, 0.3981477]],
    ),
    "soft": (
        [0.8708221, 1.4116921, 1.1770659, 1.0955655, 1.1760014, 1.0632372],
        [0.9999, 0.1524483, 0.4415134],
        [-0.0059598, 0.5797394, 0.8252245, 0.6553986, 0.2716901],
        [2.3216257, 14.0803454, 2.6811098, 0.4303274, 1.4038927],
        [0.9400995, 0.3023980, -0.1615540],
        [[0.9270126, 0.0123903, 0.0605971], [0.1624258, 0.5961184, 0.2414459]],
    ),
}


@pytest.mark.parametrize("bootstrap", M_CORRECTION)
def test_m_correction_trains_as_the_authors_do(make_task, monkeypatch, bootstrap):
    """`train_mixUp_HardBootBeta` and `train_mixUp_SoftBootBeta`, and `BetaMixture1D`'s table.

    `track_training_loss` runs before each epoch. The table's lowest place in the second epoch
    differs from its neighbour, since a density is infinite there.
    """
    losses, table, mean, variance, bias, targets = M_CORRECTION[bootstrap]
    task = make_task(12, batch_size=6)
    task.noisy_labels = LABELS
    method = setup("m_correction", task, {"m_correction.bootstrap": bootstrap}, networks=[Normed()])
    method.recipe = Recipe("tiny_cnn", 300, learning_rate=0.1, weight_decay=1e-4)
    method.test_optimizer = method.optimizer(method.param_groups())
    give_draws(monkeypatch)
    give_scores(monkeypatch)
    values = []
    for epoch in (109, 110, 111):
        enter(method, epoch)
        if epoch == 110:
            np.testing.assert_allclose(method.model.table[[0, 1, 50]], table, atol=3e-5)
        values += descend(
            method, [samples(3, 1, 10, 7, 0, 5, views=1), samples(2, 11, 4, 6, 9, 8, views=1)]
        )
    assert values == pytest.approx(losses, rel=1e-5)
    [net] = method.networks
    np.testing.assert_allclose(net.norm.running_mean, mean, atol=1e-5)
    np.testing.assert_allclose(net.norm.running_var, variance, rtol=3e-5)
    np.testing.assert_allclose(net.head.bias.detach(), bias, atol=1e-5)
    np.testing.assert_allclose(method.targets[[0, 4]], targets, atol=2e-5)


# tmllab/2021_NeurIPS_PES, commit ec5290d, PES_cs.py


def test_pes_weighs_classes_as_the_authors_do():
    """`update_trainloader` on confident labels; a class has none, another never occurs."""
    labels = torch.tensor([0, 0, 1, 3, 3, 3, 0, 3, 3])
    torch.testing.assert_close(class_weights(labels, 5), torch.tensor([1.0, 3.0, 0.0, 0.6, 0.0]))


class Conv(nn.Conv2d):
    """Whose new weights are always the same."""

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(waves(*parameter.shape, phase=1))


class Linear(nn.Linear):
    reset_parameters = Conv.reset_parameters


class Convolutions(nn.Module):
    """Two blocks and a head; it has learned something: no weight or statistic is as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = Conv(1, 3, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(3)
        self.second, self.norm2 = Conv(3, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4)
        self.head = Linear(16, 3)
        self(IMAGES)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.neg_()

    def blocks(self) -> list[list[nn.Module]]:
        return [[self.first, self.norm1], [self.second, self.norm2], [self.head]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(self.first(x)).relu()
        return self.head(self.norm2(self.second(x)).relu().flatten(1))


#: T2 epochs of a new last block and head, T3 of a new head, two steps each: the losses of the first
#: and of the last two steps; the last layer's biases; the mean that the frozen first normalisation
#: keeps, the variance of the second one.
PES = {
    (25, 32): (
        [1.2273178, 1.0900112, 1.2106284, 1.0887322],
        [0.8428694, 0.9902654, 0.6740687],
        [-0.0848496, -0.0873270, -0.0897798],
        [2.4713638, 2.2384336, 2.0209861, 1.8219486],
    ),
    (32, 37): (
        [1.2122320, 1.0905814, 1.2098559, 1.0893334],
        [0.8424710, 0.9906650, 0.6744626],
        [-0.1031725, -0.1061890, -0.1091755],
        [2.7565618, 2.4770694, 2.2185264, 1.9816873],
    ),
}


def test_pes_refines_and_selects_as_the_authors_do(make_task, monkeypatch, paper_recipe):
    """`noisy_refine`, twice, and three epochs of `update_trainloader` to `train`.

    The optimiser of `train` has not stepped before; their slip is repeated. Their loader drops the
    last batch, here the last two of five confident samples.
    """
    task = make_task(12)
    task.noisy_labels = LABELS

    def both(index, augmentations) -> Batch:
        return Batch((IMAGES[index], IMAGES[index].flip(3)), LABELS[index], index)

    monkeypatch.setattr(task, "batch", both)
    method = setup("pes", task, {"pes.freeze_renewed": True}, 200, [Convolutions()])
    method.recipe = paper_recipe("pes")
    [net] = method.networks
    halves = [samples(*range(6), views=1), samples(*range(6, 12), views=1)]
    first = net.first.weight.clone()
    for (start, end), (expected, bias, mean, variance) in PES.items():
        losses = []
        for epoch in range(start, end):
            enter(method, epoch)
            if epoch == start:
                method.test_optimizer = method.optimizer(method.param_groups())
                assert [group["lr"] for group in method.test_optimizer.param_groups] == [1e-4]
            losses += descend(method, halves)
        assert losses[:2] + losses[-2:] == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(net.head.bias.detach(), bias, atol=1e-6)
        np.testing.assert_allclose(net.norm1.running_mean, mean, atol=1e-6)
        np.testing.assert_allclose(net.norm2.running_var, variance, atol=1e-5)
        assert torch.equal(net.first.weight, first)
    losses = []
    for epoch in range(37, 40):
        enter(method, epoch)
        if epoch == 37:
            method.test_optimizer = method.optimizer(method.param_groups())
        assert method.confident.nonzero()[:, 0].tolist() == [1, 2, 4, 10, 11]
        np.testing.assert_allclose(method.weights, [0, 5 / 6, 5 / 4], rtol=1e-6)
        losses += descend(method, [samples(1, 2, 4, views=1)])
    assert losses == pytest.approx([0.7275922, 0.7202362, 0.7091556], rel=1e-6)
    np.testing.assert_allclose(net.head.bias.detach(), bias, atol=1e-6)
    np.testing.assert_allclose(
        net.norm1.running_mean, [-0.1458222, -0.1504278, -0.1549920], atol=1e-6
    )
    np.testing.assert_allclose(
        net.norm2.running_var, [2.8561618, 2.5725739, 2.3083508, 2.0682819], atol=1e-5
    )


# nazmul-karim170/UNICON-Noisy-Label, commit 616dc49, Train_cifar.py, dataloader_cifar.py and
# Contrastive_loss.py


@pytest.mark.parametrize(
    ("high", "labels", "chosen"),
    [
        (
            0.7,
            [0] * 12 + [1] * 9 + [2] * 6 + [0, 0, 2],
            [3, 6, 7, 10, 13, 14, 15, 17, 18, 21, 22, 24, 25, 28, 29],
        ),
        (
            0.3,
            [0] * 12 + [1] * 9 + [2] * 6 + [0, 0, 2],
            [3, 6, 7, 10, 13, 14, 17, 18, 21, 22, 25, 29],
        ),
        (0.7, [0] * 16 + [1] * 12 + [2] * 2, [3, 6, 7, 10, 14, 17, 18, 21, 22, 25, 28, 29]),
        (0.7, [0] * 16 + [1] * 13 + [2], [3, 6, 7, 10, 14, 17, 18, 21, 25, 28, 29]),
    ],
)
def test_unicon_selects_as_the_authors_do(make_task, monkeypatch, high, labels, chosen):
    """The cutoff, the share of samples below it, and the ranking within each class.

    `arg.tau` is no name there: it ran as `args.tau`. Not repeated: sample 0 in the places that
    remain in the last three cases, and 29 in five places in the last.
    """
    task = make_task(30, batch_size=3)
    task.noisy_labels = torch.tensor(labels)
    method = setup("unicon", task, {"unicon.high_divergence": high}, 350)
    distances = torch.sin(torch.arange(30) * 1.7) * 0.3 + 0.35
    monkeypatch.setattr(type(method), "divergences", lambda self: distances)
    selections = []
    original = unicon.uniform_selection
    monkeypatch.setattr(
        unicon,
        "uniform_selection",
        lambda *args: selections.append(original(*args)) or selections[-1],
    )
    enter(method, 12)
    next(method.batches())
    assert selections[0].nonzero()[:, 0].tolist() == chosen


def test_unicon_trains_as_the_authors_do(make_task, monkeypatch):
    """`Calculate_JSD`; `train` with `SemiLoss` and `SupConLoss`, two epochs of two steps.

    Lambda and partners are given.
    """
    task = make_task(12, batch_size=3)
    task.noisy_labels = LABELS
    method = setup("unicon", task, epochs=350, networks=[TwoLayers(), TwoLayers(0.5)])
    with torch.no_grad():
        for linear, _ in method.projections:
            linear.weight.copy_(waves(128, 5))
            linear.bias.copy_(waves(128))
    method.recipe = Recipe("tiny_cnn", 350, learning_rate=0.02)
    method.test_optimizer = method.optimizer(method.param_groups())
    with monkeypatch.context() as patch:
        patch.setattr(
            ops,
            "per_sample",
            lambda m, net, score: score(net(IMAGES), LABELS, torch.arange(12)).detach(),
        )
        distances = [0.0664857, 0.1630788, 0.6071043, 0.0341281, 0.6398230, 0.5872998]
        distances += [0.2199157, 0.5976118, 0.5140963, 0.1179867, 0.1643379, 0.5912538]
        np.testing.assert_allclose(method.divergences(), distances, atol=1e-6)
    monkeypatch.setattr(type(method), "divergences", lambda self: torch.linspace(0.05, 0.69, 12))
    enter(method, 12)
    next(method.batches())  # which says how far each label is trusted
    mixing = iter([0.3, 0.8, 0.55, 0.1])
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: next(mixing))
    monkeypatch.setattr(torch, "randperm", lambda count, **_: (torch.arange(count) + 2) % count)

    def four(*index: int) -> Batch:
        x = IMAGES[[*index]]
        return Batch((x, x.flip(3), x.flip(2), x.roll(1, 3)), LABELS[[*index]], torch.tensor(index))

    steps = [
        Division(0, labelled, unlabelled, (epoch + step / 3) / 16)
        for epoch in (2, 3)  # after ten of warm-up
        for step, (labelled, unlabelled) in enumerate(
            [(four(2, 7, 10), four(5, 3, 0)), (four(11, 4, 9), four(8, 1, 6))]
        )
    ]
    assert descend(method, steps) == pytest.approx(
        [2.5181353, 1.7479346, 2.2184367, 2.0507183], rel=1e-5
    )
    net = method.networks[0]
    np.testing.assert_allclose(
        net.head.bias.detach(), [0.7988449, 0.4684379, -0.1862446], atol=2e-6
    )
    np.testing.assert_allclose(
        net.head.weight[0, :3].detach(), [0.8382764, 0.9217467, 0.5885241], atol=2e-6
    )
    np.testing.assert_allclose(
        net.body.weight[0, :3].detach(), [0.0137633, 0.1070199, 0.1891252], atol=2e-6
    )
    projected = method.projections[0][0].weight[0, :3].detach()
    np.testing.assert_allclose(projected, [1.8231662e-04, 6.4432484e-01, 9.8541027e-01], atol=2e-6)
    assert torch.equal(method.networks[1].body.weight, TwoLayers(0.5).body.weight), (
        "the peer only guesses"
    )


def test_unicon_moves_batch_norm_as_the_authors_do(make_task, monkeypatch):
    """`train` as above; `Calculate_JSD`'s weights are given."""
    task = make_task(12, batch_size=3)
    task.noisy_labels = LABELS
    method = setup("unicon", task, epochs=350, networks=[Normed(), Normed(0.5)])
    with torch.no_grad():
        for linear, _ in method.projections:
            linear.weight.copy_(waves(128, 5))
            linear.bias.copy_(waves(128))
    method.recipe = Recipe("tiny_cnn", 350, learning_rate=0.02)
    method.test_optimizer = method.optimizer(method.param_groups())
    distance = torch.linspace(0.05, 0.69, 12)
    method.weight = torch.where(distance < 0.5, 1, 1 - distance)
    method.networks[1].eval()
    give_draws(monkeypatch)

    def four(*index: int) -> Batch:
        x = IMAGES[[*index]]
        return Batch((x, x.flip(3), x.flip(2), x.roll(1, 3)), LABELS[[*index]], torch.tensor(index))

    steps = [
        Division(0, labelled, unlabelled, (epoch + step / 3) / 16)
        for epoch in (2, 3)
        for step, (labelled, unlabelled) in enumerate(
            [(four(2, 7, 10), four(5, 3, 0)), (four(11, 4, 9), four(8, 1, 6))]
        )
    ]
    assert descend(method, steps) == pytest.approx(
        [3.0116271, 3.3964007, 2.7072607, 3.1586055], rel=5e-5
    )
    net = method.networks[0]
    np.testing.assert_allclose(
        net.norm.running_mean, [0.0148409, 0.5678803, 0.8874262, 0.8423406, 0.3270923], atol=3e-5
    )
    np.testing.assert_allclose(
        net.norm.running_var, [0.7917013, 0.5496537, 1.3514050, 0.3916155, 0.2180820], atol=1e-4
    )


# chengtan9907/Co-learning, commit 9d709ed, algorithms/Colearning.py


@pytest.fixture
def co_learning(make_task, monkeypatch):
    def make(settings: dict, recipe: Recipe) -> Method:
        method = setup("co_learning", make_task(12), settings, 200, [TwoLayers()])
        with torch.no_grad():
            for number, parameter in enumerate(method.projection.parameters()):
                parameter.copy_(waves(*parameter.shape, phase=number))
        method.recipe = recipe
        method.test_optimizer = method.optimizer(method.param_groups())
        mixing = iter([0.3, 0.8, 0.55, 0.1])
        monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: next(mixing))
        monkeypatch.setattr(torch, "randperm", lambda count, **_: (torch.arange(count) + 2) % count)
        return method

    return make


def three(*index: int) -> Batch:
    x = IMAGES[[*index]]
    return Batch((x, x.flip(3), x.flip(2)), LABELS[[*index]], torch.tensor(index))


PAIR = three(0, 5, 3, 8, 1, 10), three(7, 1, 5, 0, 11, 2)


def test_co_learning_trains_as_the_authors_do(co_learning, paper_recipe):
    """`train` in epochs 0 and 140, its structure loss made 0.

    That leaves mixup, NT-Xent, and Adam with their rates and first betas.
    """
    method = co_learning({"co_learning.structure_weight": 0.0}, paper_recipe("co_learning"))
    losses = []
    for epoch in (0, 140):
        for group in method.test_optimizer.param_groups:
            group["lr"] = 1e-3 * method.schedule(epoch / 200)
        enter(method, epoch)
        losses += descend(method, PAIR)
    assert losses == pytest.approx([3.8543296, 4.4873061, 3.8734663, 4.5052462], rel=1e-5)
    [net] = method.networks
    np.testing.assert_allclose(
        net.head.bias.detach(), [0.9063513, 0.4300663, -0.2526185], atol=2e-6
    )
    np.testing.assert_allclose(
        net.body.weight[0, :3].detach(), [-0.0030028, 0.1260240, 0.1979228], atol=2e-6
    )
    np.testing.assert_allclose(
        method.projection[2].weight[0, :3].detach(), [0.8439584, 0.9916648, 0.6778360], atol=2e-6
    )


def test_co_learnings_structure_step_is_the_authors_to_first_order(co_learning):
    """Whole steps by SGD at a rate of 0.01 in place of both Adams.

    The authors' classifier steps on the structure loss first: the sum of their losses is ours
    before any step, while that step is held back; later both differ to second order. Without the
    structure loss the first weight would end at 0.8425397.
    """
    method = co_learning(
        {}, Recipe("tiny_cnn", 200, learning_rate=0.01, momentum=0, weight_decay=0)
    )
    enter(method, 0)
    first, second = descend(method, PAIR)
    assert first == pytest.approx(3.9845222, rel=1e-6)
    assert second == pytest.approx(4.6429739, rel=1e-4)
    [net] = method.networks
    np.testing.assert_allclose(
        net.head.bias.detach(), [0.9009693, 0.4286684, -0.2485016], atol=1e-5
    )
    np.testing.assert_allclose(
        net.head.weight[0, :3].detach(), [0.8418439, 0.9870252, 0.6691732], atol=1e-5
    )
    np.testing.assert_allclose(
        net.body.weight[0, :3].detach(), [-0.0024923, 0.1276788, 0.1974104], atol=1e-5
    )


# lenscloth/RKD, commit 0a6c3c0, metric/loss.py and metric/utils.py


def test_rmds_distances_are_those_of_relational_knowledge_distillation():
    """`RkdDistance`, whose mean is over the diagonal too, where nothing differs.

    Its companion `RKdAngle` is not used here.
    """
    teacher, student = waves(6, 5), waves(6, 4, phase=1, size=2).requires_grad_()
    loss = distance_loss(teacher, student, ~torch.eye(6, dtype=torch.bool)) * 30 / 36
    loss.backward()
    assert loss.item() == pytest.approx(0.0031548592, rel=1e-4)
    np.testing.assert_allclose(
        student.grad[0], [-0.0008616, 0.0013776, 0.0029689, 0.0031638], atol=1e-6
    )
    np.testing.assert_allclose(
        student.grad[5], [-0.0018403, -0.0007563, 0.0006834, 0.0018017], atol=1e-6
    )


# facebookresearch/mixup-cifar10, commit eaff31a, train.py


def test_mixup_mixes_as_the_authors_do(make_task, monkeypatch):
    """`mixup_data` and `mixup_criterion` on a linear network of three inputs.

    Their lambda and permutation are given.
    """
    task = make_task(6)
    images = torch.tensor([[[[0.1 * i + 0.01 * j * j for j in range(3)]]] for i in range(6)]).sin()
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False))
    net[1].weight.data = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7], [-0.2, 0.9, 0.4]])
    method = setup("mixup", task, networks=[net])
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: 0.6125638605120026)
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
