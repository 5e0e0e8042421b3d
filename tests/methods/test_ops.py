"""Losses, targets, mixing and passes that methods share, by hand."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from bench.ops import (
    Mix,
    beta_sample,
    distributions,
    draw_mix,
    forever,
    per_sample,
    per_sample_loss,
    sharpen,
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
