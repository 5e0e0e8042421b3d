"""Losses, targets, mixing and passes that methods share, by hand."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from bench.ops import (
    FMix,
    Mix,
    beta_sample,
    distributions,
    draw_fmix,
    draw_mix,
    forever,
    per_sample,
    per_sample_loss,
    sharpen,
    smallest_of_each_class,
    soft_cross_entropy,
)


def test_distributions_by_hand():
    result = distributions(
        torch.tensor([[0.1, 0.3], [0.0, 0.0], [0.0, 1e-30]]), torch.tensor([0, 1, 0])
    )
    torch.testing.assert_close(result, torch.tensor([[0.25, 0.75], [0.0, 1.0], [0.0, 1.0]]))


def test_soft_cross_entropy_by_hand():
    # probabilities 1/4, 3/4 and 4/5, 1/5
    logits = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
    targets = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    expected = (-0.5 * math.log(1 / 4) - 0.5 * math.log(3 / 4) - math.log(4 / 5)) / 2
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(expected)


def test_soft_cross_entropy_with_one_hot_targets_is_cross_entropy_and_stays_finite():
    logits = torch.tensor([[1000.0, -1000.0, 0.0], [1.0, 2.0, 3.0]])
    y = torch.tensor([1, 2])
    targets = torch.nn.functional.one_hot(y, 3).float()
    expected = torch.nn.functional.cross_entropy(logits, y)
    torch.testing.assert_close(soft_cross_entropy(logits, targets), expected)
    assert torch.isfinite(expected)


def test_sharpen_by_hand():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0]])
    expected = torch.tensor([[0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46], [0.5, 0.5, 0.0]])
    torch.testing.assert_close(sharpen(p, 0.5), expected)
    torch.testing.assert_close(sharpen(p, 1.0), p)
    torch.testing.assert_close(sharpen(p, 2.0)[0], p[0].sqrt() / p[0].sqrt().sum())


def test_sharpening_at_a_low_temperature_stays_a_distribution():
    """0.4 to the power of 200 is 0 in float32."""
    p = torch.tensor([[0.3, 0.3, 0.4], [0.4, 0.4, 0.2]])
    expected = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
    torch.testing.assert_close(sharpen(p, 0.005), expected)


def test_beta_sample_is_beta_distributed_and_seeded():
    draws = [beta_sample(4.0, np.random.default_rng(0)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert isinstance(draws[0], float)
    rng = np.random.default_rng(0)
    sample = [beta_sample(4.0, rng) for _ in range(2000)]
    assert stats.kstest(sample, stats.beta(4, 4).cdf).pvalue > 0.001
    assert stats.kstest(sample, stats.beta(1, 1).cdf).pvalue < 0.001


def test_forever_starts_a_fresh_iterator_each_time():
    starts = []

    def make():
        starts.append(len(starts))
        return iter([len(starts), -len(starts)])

    items = forever(make)
    assert starts == [], "nothing is drawn before it is asked for"
    assert list(itertools.islice(items, 5)) == [1, -1, 2, -2, 3]
    assert len(starts) == 3


class Recorder(torch.nn.Module):
    """A network whose logits are its input; notes its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return x.flatten(1)[:, :3]


@pytest.mark.parametrize("training", [True, False])
def test_per_sample_scores_are_in_order_without_augmentation_and_leave_the_mode(
    make_task, monkeypatch, training
):
    monkeypatch.setattr("bench.task.pixels.EVALUATION_BATCH", 5)
    task = make_task(augmentation="crop_flip")
    net = Recorder().train(training)
    scores = per_sample(SimpleNamespace(task=task), net, lambda logits, y, index: 100 * index + y)
    assert torch.equal(scores, 100 * torch.arange(16) + task.noisy_labels)
    assert net.modes == [(False, False)] * 4
    assert net.training is training
    losses = per_sample_loss(SimpleNamespace(task=task), net)
    plain = torch.cat([batch.x for batch in task.loader(train=False)]).flatten(1)[:, :3]
    torch.testing.assert_close(losses, -plain.log_softmax(1)[torch.arange(16), task.noisy_labels])


def test_mixup_by_hand():
    mix = Mix(0.75, torch.tensor([1, 2, 0]))
    assert mix(torch.tensor([[4.0], [8.0], [0.0]])).tolist() == [[5.0], [6.0], [1.0]]
    logits, y = torch.tensor([[0.0, math.log(3)]]).repeat(3, 1), torch.tensor([0, 1, 1])
    labels, partners = math.log(4) + 2 * math.log(4 / 3), 2 * math.log(4 / 3) + math.log(4)
    expected = (0.75 * labels + 0.25 * partners) / 3
    assert mix.cross_entropy(logits, y).item() == pytest.approx(expected)


def test_mixup_draws_from_the_tasks_streams(make_task):
    task = make_task()
    task.seed(3)
    first = draw_mix(task, 8, 0.5)
    assert sorted(first.partner.tolist()) == list(range(8))
    task.seed(3)
    again = draw_mix(task, 8, 0.5, larger=True)
    assert torch.equal(again.partner, first.partner)
    assert again.lam == max(first.lam, 1 - first.lam) >= 0.5


def test_fmix_by_hand():
    mask = torch.tensor([[True, False], [False, False]])
    fmix = FMix(Mix(0.25, torch.tensor([1, 0])), mask)
    images = torch.arange(8.0).view(2, 1, 2, 2)
    assert fmix(images).tolist() == [[[[0, 5], [6, 7]]], [[[4, 1], [2, 3]]]]
    logits, y = torch.tensor([[0.0, math.log(3)]]).repeat(2, 1), torch.tensor([0, 1])
    assert fmix.cross_entropy(logits, y) == fmix.mix.cross_entropy(logits, y)


@pytest.mark.parametrize("side", [(16, 16), (9, 12)])
def test_fmix_masks_are_shares_in_few_pieces(make_task, side):
    """Edges of the masks are far fewer than those of random pixels, of which half would differ."""
    task = make_task()
    images = torch.zeros(6, 3, *side)
    shares, edges = [], []
    for _ in range(300):
        fmix = draw_fmix(task, images)
        assert fmix.mask.shape == side and fmix.mask.dtype == torch.bool
        assert fmix.mask.sum() == round(fmix.mix.lam * side[0] * side[1])
        assert sorted(fmix.mix.partner.tolist()) == list(range(6))
        shares.append(fmix.mix.lam)
        if 0.3 < fmix.mix.lam < 0.7:
            edges.append((fmix.mask[:, 1:] != fmix.mask[:, :-1]).float().mean().item())
    assert stats.kstest(shares, "uniform").pvalue > 1e-3
    assert np.mean(edges) < 0.25


def test_fmix_has_the_spectrum_of_its_decay(make_task):
    """With a decay of 0, neighbours in the mask are independent; the more of it, the more alike."""
    task = make_task()
    agreement = []
    for decay in (0.0, 1.5, 3.0):
        masks = [draw_fmix(task, torch.zeros(2, 1, 32, 32), 1e6, decay).mask for _ in range(100)]
        alike = [(mask[:, 1:] == mask[:, :-1]).float().mean().item() for mask in masks]
        agreement.append(np.mean(alike))
    assert agreement[0] == pytest.approx(0.5, abs=0.01)
    assert agreement[0] + 0.1 < agreement[1] < agreement[2] - 0.03


def test_fmix_of_vectors_takes_entries_at_random(make_task):
    task = make_task()
    masks = torch.stack([draw_fmix(task, torch.zeros(4, 50), 1e6).mask for _ in range(2000)])
    assert (masks.sum(1) == 25).all()
    assert (masks.float().mean(0) - 0.5).abs().max() < 5 * (0.25 / 2000) ** 0.5
    alike = (masks[:, 1:] == masks[:, :-1]).float().mean().item()
    assert alike == pytest.approx(24 / 49, abs=0.01), "of 49 others, 24 are on the same side"


def test_the_smallest_of_each_class_by_hand():
    """Of a class with fewer samples than that, all are taken; the first of equal ones is."""
    y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    losses = torch.tensor([0.9, 0.2, 0.5, 0.1, 0.7, 0.3, 0.4, 0.6])
    selected = smallest_of_each_class(losses, y, 2, 4)
    assert selected.nonzero()[:, 0].tolist() == [1, 3, 5, 6, 7]
    equal = smallest_of_each_class(torch.zeros(8), y, 1, 4)
    assert equal.nonzero()[:, 0].tolist() == [0, 5, 7]


def test_batches_come_in_the_order_given_where_they_are_not_shuffled(make_task):
    task = make_task(batch_size=4, augmentation="crop")
    order = torch.tensor([5, 3, 15, 0, 7, 9, 2, 1, 11])
    batches = list(task.loader(order, shuffle=False, views=2))
    assert [batch.index.tolist() for batch in batches] == [[5, 3, 15, 0], [7, 9, 2, 1]]
    assert not torch.equal(*batches[0].views), "augmented all the same"
    shuffled = [batch.index.tolist() for batch in task.loader(order)]
    assert shuffled != [[5, 3, 15, 0], [7, 9, 2, 1]]
