"""Passes over the training set: scores, features, the noise rate; endless batches."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.networks.backbones import Network
from bench.ops.mixtures import clean_probability


def forever(make_iterator: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield the items of one fresh iterator after another."""
    while True:
        yield from make_iterator()


@torch.no_grad()
def per_sample(
    method: Any, net: nn.Module, score: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Return ``score(logits, noisy labels, index)`` of every training sample, in order.

    The network is in eval mode, and images are not augmented.
    """
    was_training = net.training
    net.eval()
    scores = []
    for batch in method.task.loader(train=False):
        with method.task.autocast():
            logits = net(batch.x)
        scores.append(score(logits.float(), batch.y, batch.index))
    net.train(was_training)
    return torch.cat(scores)


def per_sample_loss(method: Any, net: nn.Module) -> Tensor:
    """Cross-entropy (N,) of every training sample with its noisy label."""
    return per_sample(
        method, net, lambda logits, y, index: F.cross_entropy(logits, y, reduction="none")
    )


def estimated_rate(method: Any) -> Tensor:
    """Share of wrong labels, from the noisy data alone.

    It is the weight of the high-loss component of a two-component mixture on the mean loss of the
    method's networks, whose shape goes on record.
    """
    losses = torch.stack([per_sample_loss(method, net) for net in method.networks]).mean(0)
    return 1 - clean_probability(losses, shapes=method.task.mixtures).mean()


@torch.no_grad()
def all_features(method: Any, net: Network) -> Tensor:
    """Penultimate features (N, D) of every training sample, in order, as float32.

    The network is in eval mode, and images are not augmented.
    """
    was_training = net.training
    net.eval()
    with method.task.autocast():
        batches = method.task.loader(train=False)
        features = [net.forward_features(batch.x).float() for batch in batches]
    net.train(was_training)
    return torch.cat(features)
