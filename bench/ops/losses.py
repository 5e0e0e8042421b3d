"""Losses that several methods share, scalars unless said otherwise."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits (B, C) against target distributions (B, C)."""
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def warmup_loss(logits: Tensor, y: Tensor, penalty: bool) -> Tensor:
    """Mean cross-entropy of logits (B, C) with labels (B,), and perhaps ``confidence_penalty``."""
    loss = F.cross_entropy(logits, y)
    return loss + confidence_penalty(logits) if penalty else loss


def generalised_cross_entropy(log_p: Tensor, q: float) -> Tensor:
    """(1 - p^q) / q of each label's probability, from its logarithm (B,); not averaged.

    p^q is taken by expm1 of the logarithm: p^q itself has an infinite gradient at p = 0.
    """
    return -torch.expm1(q * log_p) / q


def corrected_cross_entropy(logits: Tensor, transition: Tensor, y: Tensor) -> Tensor:
    """Mean -log sum_i p_i T[i, y] of logits (B, C) and noisy labels (B,).

    The rows of T (C, C) are the clean classes. The sum is taken of logarithms: where the network
    is certain, p times T underflows and its gradient is 0 / 0.
    """
    log_transition = transition.clamp_min(torch.finfo(transition.dtype).tiny).log()
    return -(logits.float().log_softmax(1) + log_transition.T[y]).logsumexp(1).mean()


def focal_losses(log_p: Tensor, gamma: float) -> Tensor:
    """Focal losses (B, C) of log-probabilities (B, C): column k is the loss if k were the label.

    The factor (1 - p)^gamma is a constant to the gradient; gamma 0 gives cross-entropies.
    """
    return (-torch.expm1(log_p.detach())) ** gamma * -log_p if gamma else -log_p


def normalised_loss(losses: Tensor, y: Tensor) -> Tensor:
    """Loss (B,) with labels (B,), divided by the sum of the losses (B, C) with all classes."""
    return losses.gather(1, y[:, None])[:, 0] / losses.sum(1)


def l1_norm(networks: Iterable[nn.Module]) -> Tensor:
    """Sum of the absolute values of all parameters of the networks."""
    parameters = [parameter for net in networks for parameter in net.parameters()]
    return torch.stack([parameter.abs().sum() for parameter in parameters]).sum()


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's contrastive loss of two views' representations (B, D), mean over 2B anchors.

    Rows with the same number belong together.
    """
    views = F.normalize(torch.cat([first, second]).float(), dim=1)
    with torch.autocast(views.device.type, enabled=False):
        similarities = views @ views.T / temperature
    similarities.fill_diagonal_(-torch.inf)
    partners = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(similarities, partners)


def confidence_penalty(logits: Tensor) -> Tensor:
    """Mean negative entropy of the predictions of logits (B, C): small where they are unsure."""
    return (logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


def uniform_divergence(probabilities: Tensor) -> Tensor:
    """KL divergence of the uniform distribution from the mean of predictions (B, C).

    It keeps a network from giving all samples to few classes.
    """
    mean = probabilities.mean(0).clamp_min(1e-8)
    return -(mean * probabilities.shape[1]).log().mean()
