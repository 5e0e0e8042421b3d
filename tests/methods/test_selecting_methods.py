"""DISC and ProMix: selection, losses and thresholds, against the authors' lines and by hand.

The authors' lines were run outside this repository, on the commits named in the methods, on the
logits WEAK and STRONG of two views; their results stand here.
"""

import numpy as np
import pytest
import torch
from method_setup import enter, setup
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method
from bench.planning.registry import build
from bench.recipe import Recipe
from bench.task import Batch
from methods import disc, promix

WEAK = torch.tensor([[2.0, 0, 0, -1], [0, 1, -1, 0], [1, 1.5, 0, 0.5]])
STRONG = torch.tensor([[1.0, 0, 0, 0], [0, 2, 0, -1], [0.5, 0.5, 1, 0]])
Y = torch.tensor([0, 1, 2])


class Plain(nn.Module):
    """Network whose features and logits are its first four inputs."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Identity()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward_features(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] + 0 * self.unused

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x))


# ----------------------------------------------------------------------------
# disc

#: The three samples, and one that is certain of a class other than its label.
PREDICTIONS = torch.stack(
    [
        torch.cat([WEAK.softmax(1), torch.tensor([[0.02, 0.95, 0.02, 0.01]])]),
        torch.cat([STRONG.softmax(1), torch.tensor([[0.03, 0.9, 0.05, 0.02]])]),
    ]
)
LABELS = torch.tensor([0, 1, 2, 3])


def disc_task(make_task, **changes):
    return make_task(num=4, num_classes=4, epochs=200, **changes)


def ready(task, settings: dict | None = None, tau: tuple[float, float] = (0.25, 0.25)) -> Method:
    """DISC after an epoch that ended with PREDICTIONS, at these thresholds."""
    task.noisy_labels = LABELS
    method = setup("disc", task, settings, epochs=200, networks=[Plain()])
    method.predictions.copy_(PREDICTIONS)
    method.thresholds.copy_(torch.tensor(tau)[:, None])
    enter(method, 20)
    method.epoch_end()
    return method


def batch_of(method: Method, mixed: int = 0) -> disc.Step:
    """A step on the four samples, whose network gives PREDICTIONS."""
    views = tuple(view.log()[:, :, None, None] for view in PREDICTIONS)
    return disc.Step(Batch(views, LABELS, torch.arange(4)), mixed)


@pytest.mark.parametrize(
    ("tau", "clean", "hard", "part"),
    [
        ((0.25, 0.25), [0, 1], [2], 0.939892),
        ((0.3, 0.5), [1], [0], 0.434211),
    ],
)
def test_disc_divides_and_learns_as_the_authors(make_task, tau, clean, hard, part):
    method = ready(disc_task(make_task), {"disc.momentum": 0.95}, tau)
    assert method.clean.nonzero()[:, 0].tolist() == clean
    assert method.hard.nonzero()[:, 0].tolist() == hard
    assert method.labels[3] == 1 and method.mixed[3], "corrected"
    assert method.labels[:3].tolist() == [0, 1, 2]
    assert method.mixed.sum() == len(clean) + len(hard) + 1
    assert torch.equal(method.soft_targets(), F.one_hot(method.labels, 4).float())
    assert method.loss(batch_of(method)).item() == pytest.approx(part, abs=1e-6)


def test_discs_thresholds_follow_the_largest_probabilities(make_task):
    method = ready(disc_task(make_task), {"disc.momentum": 0.95})
    expected = [0.275366, 0.264222, 0.260253, 0.285]
    np.testing.assert_allclose(method.thresholds[0], expected, atol=1e-6)
    torch.testing.assert_close(method.thresholds[1], 0.2375 + 0.05 * PREDICTIONS[1].amax(1))


def test_discs_momentum_scales_with_the_run(make_task):
    """In a tenth of the authors' epochs, each moves thresholds as far as ten of theirs."""
    method = setup("disc", disc_task(make_task), {"disc.momentum": 0.9}, epochs=20)
    enter(method, 19)
    method.epoch_end()
    torch.testing.assert_close(method.thresholds, torch.full((2, 4), 0.25 * 0.9**10))


def test_discs_clean_probability_by_hand(make_task):
    method = ready(disc_task(make_task), {"disc.momentum": 0.95})
    assert PREDICTIONS[0, 3, 3] == pytest.approx(0.01)
    expected = 0.5 + ((0.01 - 0.285) + (0.02 - 0.2825)) / 4
    assert method.clean_probability()[3].item() == pytest.approx(expected)


def test_discs_threshold_of_a_correction_is_at_most_99_percent():
    predictions = torch.tensor([[[0.992, 0.008], [0.985, 0.015]]] * 2)
    division = disc.divide(predictions, torch.full((2, 2), 0.7), torch.tensor([1, 1]), 0.5)
    assert division.corrected.tolist() == [True, False]
    assert division.labels.tolist() == [0, 1]


def test_disc_mixes_each_view_in_a_pass_of_its_own(make_task, monkeypatch):
    """The two mixup losses are added as they are, and take corrected labels."""
    partner, lam = torch.tensor([1, 2, 0]), 0.3
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: lam)
    monkeypatch.setattr(torch, "randperm", lambda n, **_: partner[:n])
    method = ready(disc_task(make_task))
    method.labels = torch.tensor([1, 1, 2, 3])
    without, mixed = (method.loss(batch_of(method, count)).item() for count in (0, 3))
    expected, targets = 0.0, F.one_hot(method.labels[:3], 4).float()
    for view in PREDICTIONS:
        x = view.log()[:3]
        logits, target = ((1 - lam) * part + lam * part[partner] for part in (x, targets))
        expected += ops.soft_cross_entropy(logits, target).item()
    assert mixed - without == pytest.approx(expected, rel=1e-5)


def test_disc_gives_batches_with_the_samples_to_mix_in_front(make_task):
    task = make_task(num=50, batch_size=8)
    method = setup("disc", task, epochs=200)
    enter(method, 5)
    plain = list(method.batches())
    assert [len(batch.views) for batch in plain] == [2] * 7, "warm-up"
    method.mixed = torch.rand(50, generator=torch.Generator().manual_seed(0)) < 0.4
    enter(method, 30)
    seen, places = [], []
    for step in method.batches():
        inside = method.mixed[step.batch.index]
        assert inside[: step.mixed].all() and not inside[step.mixed :].any()
        seen += step.batch.index.tolist()
        places += step.batch.index[inside].tolist()
    assert sorted(seen) == list(range(50)) and places != sorted(places)
    assert sorted(places) == method.mixed.nonzero()[:, 0].tolist()


def test_discs_warm_up_is_cross_entropy_of_both_views_in_one_pass(make_task):
    method = ready(disc_task(make_task))
    step = batch_of(method)
    expected = sum(-view[torch.arange(4), LABELS].log().mean() for view in PREDICTIONS)
    method.predictions.zero_()
    assert method.loss(step.batch).item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(method.predictions, PREDICTIONS)


@pytest.mark.parametrize("epoch", [0, 119, 120, 199])
def test_disc_lowers_adams_first_beta_as_the_rate_falls(make_task, epoch):
    method = setup("disc", disc_task(make_task), epochs=200)
    adam = {"optimizer": "adam", "schedule": "linear", "milestones": (0.6,)}
    method.recipe = Recipe("tiny_cnn", 200, **adam)
    optimizer = method.optimizer(method.param_groups())
    enter(method, epoch)
    assert optimizer.param_groups[0]["betas"][0] == (0.9 if epoch < 120 else 0.1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"momentum": 1.0}, "disc.momentum is 1: give a number from 0 up to 1"),
        ({"q": 0.0}, "disc.q is 0: give a number above 0"),
        ({"magnitude": 1}, "disc.magnitude is 1: give 2 to 11"),
        ({"certainty": -1.0}, "disc.certainty is -1: give a number from 0"),
    ],
)
def test_disc_refuses_settings_that_mean_nothing(setting, message):
    with pytest.raises(InputError, match=message):
        build("disc", {f"disc.{name}": value for name, value in setting.items()})


# ----------------------------------------------------------------------------
# promix

SHARES = torch.tensor([0.4, 0.3, 0.2, 0.1])


def promix_of(task, settings: dict | None = None, epoch: int = 100, gamma: float = 0.0) -> Method:
    """ProMix in that epoch, with class shares SHARES and heads that copy their features."""
    settings = {f"promix.{name}": value for name, value in (settings or {}).items()}
    method = setup("promix", task, settings, 600, [Plain(), Plain()])
    method.pseudo_heads = nn.ModuleList([nn.Identity(), nn.Identity()])
    enter(method, epoch)
    method.shares[:] = SHARES
    method.gamma = gamma
    return method


def four_classes(make_task, num: int = 16, **changes):
    return make_task(num=num, num_classes=4, **changes)


def given(weak: Tensor = WEAK, strong: Tensor = STRONG, y: Tensor = Y) -> Batch:
    views = tuple(view[:, :, None, None] for view in (weak, strong))
    return Batch(views, y, torch.arange(len(y)))


DEBIASED = [0.183709, 0.538646, 2.555571]


def test_promixs_losses_of_the_selected_are_debiased(make_task):
    """Two networks and two heads each: the same loss four times."""
    method = promix_of(four_classes(make_task))
    method.selected[:] = True
    loss = method.loss(given())
    assert loss.item() == pytest.approx(4 * sum(DEBIASED) / 3, abs=1e-5)


def test_promixs_pseudo_labels_are_debiased(make_task):
    method = promix_of(four_classes(make_task))
    p = method.unbiased(WEAK.log_softmax(1), SHARES)
    np.testing.assert_allclose(p[0], [0.642295, 0.109420, 0.151346, 0.096939], atol=1e-6)


def test_promixs_others_train_the_second_head_towards_sharpened_guesses(make_task):
    method = promix_of(four_classes(make_task))
    method.selected[:], method.unlabelled_weight = False, 0.5
    assert method.loss(given()).item() == pytest.approx(2 * 0.5 * 1.128648, abs=1e-5)
    method.gamma = 0.3
    targets = ops.sharpen(method.unbiased(WEAK.log_softmax(1), method.shares[1, 0]), 0.5)
    bias = 0.8 * method.shares[1, 0].log()
    parts = [ops.soft_cross_entropy(view + bias, targets).item() for view in (WEAK, STRONG)]
    assert method.loss(given()).item() == pytest.approx(parts[0] + 0.3 * parts[1], rel=1e-5)


def test_promixs_class_shares_follow_the_predictions_of_their_side(make_task):
    method = promix_of(four_classes(make_task))
    method.momentum = 0.9
    method.selected[0], method.selected[1] = True, False
    method.loss(given())
    moved = [0.400998, 0.306400, 0.189212, 0.103391]
    np.testing.assert_allclose(method.shares[0, 0], moved, atol=1e-6)
    np.testing.assert_allclose(method.shares[1, 1], moved, atol=1e-6)
    torch.testing.assert_close(method.shares[1, 0], SHARES)
    torch.testing.assert_close(method.shares[0, 1], SHARES)


def test_promixs_momentum_is_that_of_the_authors_run(make_task):
    """Two steps an epoch: 600 epochs take 1,200 steps, and the authors' 117,000."""
    task = four_classes(make_task)
    task.batch_size = 8
    method = promix_of(task, {"momentum": 0.9999})
    assert method.momentum**1200 == pytest.approx(0.9999**117_000)


def test_promix_records_the_share_that_it_selects(make_task):
    method = promix_of(four_classes(make_task), {"selected_share": 0.25})
    assert method.figures() == {"selected_share": 0.25}


def test_promix_stays_finite_where_a_side_is_empty(make_task):
    for selected in (True, False):
        method = promix_of(four_classes(make_task), gamma=1.0)
        method.selected[:], method.unlabelled_weight = selected, 0.1
        method.loss(given()).backward()
        assert torch.isfinite(method.shares).all()
        assert torch.isfinite(method.networks[0].unused.grad).all()


def test_promix_selects_small_losses_of_each_class_and_certain_labels(make_task, monkeypatch):
    """ceil(0.6 * 8 / 4) = 2 of each class, if it has as many."""
    task = four_classes(make_task, 8)
    task.noisy_labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    losses = torch.tensor([0.9, 0.2, 0.5, 0.1, 0.7, 0.3, 0.4, 0.6])
    monkeypatch.setattr(ops, "per_sample_loss", lambda method, net: losses)
    method = promix_of(task, {"selected_share": 0.6, "confidence": 0.7})
    for mask in method.selected:
        assert mask.nonzero()[:, 0].tolist() == [1, 3, 5, 6, 7]
    torch.testing.assert_close(method.clean_probability(), (-losses).exp())
    sure = torch.tensor([[2.0, 0, 0, -1], [0, 1, -1, 0], [0, 2.5, 0, 0]])
    log_p = sure.log_softmax(1).expand(2, -1, -1)
    batch = Batch(given(sure).views, torch.tensor([0, 1, 1]), torch.tensor([0, 2, 4]))
    selected, labels = method.select(log_p, batch)
    assert selected.tolist() == [[True, False, True]] * 2, "p = .74, .53 and .80"
    assert torch.equal(labels[0], batch.y)


def test_promix_estimates_the_share_once_at_the_end_of_warm_up(make_task, monkeypatch):
    """60 of 100 small losses: 15 of each of four classes."""
    task = four_classes(make_task, 100)
    task.noisy_labels = torch.arange(100) % 4
    losses = torch.cat([torch.linspace(0, 0.2, 60), torch.linspace(2.8, 3, 40)])
    monkeypatch.setattr(ops, "per_sample_loss", lambda method, net: losses)
    method = promix_of(task, epoch=10)
    assert method.selected_share.item() == pytest.approx(0.6, abs=1e-3)
    assert task.mixtures == ["two modes"]
    losses = torch.linspace(0, 3, 100)
    enter(method, 11)
    assert method.selected_share.item() == pytest.approx(0.6, abs=1e-3)
    assert method.selected.sum(1).tolist() == [60, 60]
    losses = torch.full((100,), torch.nan)
    assert promix_of(task, epoch=10).selected_share == 1


def agreeing() -> Tensor:
    """Predictions of two networks for five samples, which differ in the class of sample 2."""
    tops = [[0.7, 0.65, 0.8, 0.9, 0.3], [0.8, 0.7, 0.7, 0.95, 0.3]]
    p = torch.stack([torch.tensor(top)[:, None] * torch.eye(4)[0] for top in tops])
    p[1, 2] = p[1, 2].roll(1)
    return p


@pytest.mark.parametrize(("limit", "added"), [(int(0.9 * 5), [1, 3]), (int(0.5 * 5), [3])])
def test_promix_adds_labels_that_both_networks_guess(limit, added):
    selected = torch.tensor([[True] + [False] * 4] * 2)
    for mask in promix.agreed(agreeing(), selected, 0.6, limit):
        assert mask.nonzero()[:, 0].tolist() == added
    full = torch.ones_like(selected)
    assert not promix.agreed(agreeing(), full, 0.6, limit).any()


def test_promix_guesses_late_and_each_network_by_its_own_debiased_prediction(make_task):
    task = four_classes(make_task)
    method = promix_of(task, {"confidence": 0.2}, epoch=349)
    assert not method.guesses
    method = promix_of(task, {"confidence": 0.2}, epoch=350)
    assert method.guesses
    method.selected[:] = False
    close = torch.tensor([[1.0, 0.9, 0.0, 0.0]]).repeat(10, 1)
    batch = given(close, close, torch.full((10,), 3))
    method.shares[0, 0], method.shares[0, 1] = SHARES, SHARES.flip(0)
    selected, labels = method.select(close.log_softmax(1).expand(2, -1, -1), batch)
    assert selected.sum(1).tolist() == [9, 9], "nine tenths of the batch"
    assert labels[0].unique().tolist() == [1], "shares of .4 and .3 exchange the first two"
    assert labels[1].unique().tolist() == [0]


def test_promixs_ramps_run_by_the_authors_clock(make_task):
    task = four_classes(make_task)
    method = setup("promix", task, epochs=600)
    ramps = {}
    for epoch in (10, 40, 50, 99, 100, 349, 350):
        enter(method, epoch)
        ramps[epoch] = (round(method.gamma, 4), round(method.unlabelled_weight, 4), method.guesses)
    assert ramps == {
        10: (0.2, 0.01, False),
        40: (0.8, 0.04, False),
        50: (1.0, 0.05, False),
        99: (1.0, 0.099, False),
        100: (1.0, 0.0, False),
        349: (1.0, 0.0, False),
        350: (1.0, 0.0, True),
    }
    short = setup("promix", task, epochs=24)  # an epoch is 25 of theirs; warm-up takes 5
    enter(short, 5)
    assert (short.gamma, short.unlabelled_weight) == pytest.approx((0.2, 0.01))
    enter(short, 8)
    assert (short.gamma, short.unlabelled_weight) == pytest.approx((1.0, 0.085))
    enter(short, 9)
    assert short.unlabelled_weight == 0.0


@pytest.mark.parametrize("shared", [False, True])
def test_promix_mixes_for_each_head_or_once_for_both(make_task, monkeypatch, shared):
    method = promix_of(four_classes(make_task), {"share_mix": shared}, gamma=1.0)
    method.selected[:] = True
    mixes: list[str] = []
    for name in ("draw_mix", "draw_fmix"):
        draw = getattr(ops, name)
        monkeypatch.setattr(
            ops, name, lambda *a, n=name, d=draw, **k: mixes.append(n) or d(*a, **k)
        )
    monkeypatch.setattr(ops.mixing, "beta_sample", lambda alpha, rng: 1.0)
    loss = method.loss(given())
    assert mixes == ["draw_mix", "draw_fmix"] * (2 if shared else 4)
    # With a lambda of 1, mixed images are the weak views themselves.
    bias = 0.8 * SHARES.log()
    weak, strong = (F.cross_entropy(view + bias, Y).item() for view in (WEAK, STRONG))
    assert loss.item() == pytest.approx(4 * (3 * weak + strong), rel=1e-5)


def test_promixs_second_heads_train_but_do_not_predict(make_task):
    method = setup("promix", make_task(), epochs=600)
    heads = {id(parameter) for parameter in method.pseudo_heads.parameters()}
    groups = [parameter for group in method.param_groups() for parameter in group["params"]]
    assert heads <= {id(parameter) for parameter in groups}
    x = next(method.task.loader(train=False)).x
    logits = torch.stack([net(x) for net in method.networks]).mean(0)
    torch.testing.assert_close(method.predict(x), logits.softmax(1))


@pytest.mark.parametrize("penalty", [False, True])
def test_promixs_warm_up_is_cross_entropy_of_the_first_heads(make_task, penalty):
    method = promix_of(four_classes(make_task), {"confidence_penalty": penalty}, epoch=0)
    loss = F.cross_entropy(WEAK, Y)
    if penalty:
        p = WEAK.softmax(1)
        loss = loss + (p * p.log()).sum(1).mean()
    assert method.loss(given()).item() == pytest.approx(2 * loss.item(), rel=1e-5)


def test_promix_refuses_an_estimate_without_warm_up():
    with pytest.raises(InputError, match="reads the losses of warm-up"):
        build("promix", {"promix.warmup_epochs": 0})
    build("promix", {"promix.warmup_epochs": 0, "promix.selected_share": 0.5})


@pytest.mark.parametrize("name", ["selected_share", "confidence", "momentum", "guess_share"])
def test_promix_refuses_shares_above_1(name):
    with pytest.raises(InputError, match=rf"promix.{name} is 1.5: give a number from 0 to 1"):
        build("promix", {f"promix.{name}": 1.5})
