"""Mixing of samples: mixup and FMix with random partners, and means over neighbours."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.task import Task


def beta_sample(alpha: float, rng: np.random.Generator) -> float:
    """Draw lambda ~ Beta(alpha, alpha), on the host: no device has to be waited for."""
    return float(rng.beta(alpha, alpha))


class Mix(NamedTuple):
    """mixup of a batch: the weight of each sample, and its partner, which has the rest."""

    lam: float
    partner: Tensor  # (B,) positions in the batch

    def __call__(self, values: Tensor) -> Tensor:
        """Mix images, labels or targets (B, ...) with their partners'."""
        return self.lam * values + (1 - self.lam) * values[self.partner]

    def cross_entropy(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy of mixed images' logits (B, C) with the labels (B,) of both."""
        labels, partners = F.cross_entropy(logits, y), F.cross_entropy(logits, y[self.partner])
        return self.lam * labels + (1 - self.lam) * partners


def draw_mix(task: Task, size: int, alpha: float, larger: bool = False) -> Mix:
    """Draw one lambda ~ Beta(alpha, alpha) for a batch, and partners by a random permutation.

    With ``larger``, each sample keeps the larger part: lambda is at least 1/2.
    """
    lam = beta_sample(alpha, task.rng)
    partner = torch.randperm(size, generator=task.generator, device=task.device)
    return Mix(max(lam, 1 - lam) if larger else lam, partner)


class FMix(NamedTuple):
    """FMix of a batch: each image keeps its pixels under a mask, and has its partner's elsewhere.

    The mask is the same for all. ``mix`` has the share of its area as the weight of the labels.
    """

    mix: Mix
    mask: Tensor  # (H, W), or (D,) for vectors; bool

    def __call__(self, images: Tensor) -> Tensor:
        """Mix images (B, C, H, W) or vectors (B, D) with their partners."""
        return torch.where(self.mask, images, images[self.mix.partner])

    def cross_entropy(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy of mixed images' logits (B, C) with the labels (B,) of both."""
        return self.mix.cross_entropy(logits, y)


def draw_fmix(task: Task, images: Tensor, alpha: float = 1.0, decay: float = 3.0) -> FMix:
    """Draw FMix (Harris et al., 2020, arXiv 2002.12047) for images (B, C, H, W) or vectors (B, D).

    The mask is the share lambda ~ Beta(alpha, alpha) of the pixels where a random grey image is
    brightest. That image has the spectrum 1 / frequency^decay, so that the mask has few pieces.
    The entries of vectors have no order, so that theirs is a random share.
    """
    mix = draw_mix(task, len(images), alpha)
    generator, device = task.generator, task.device
    if images.ndim == 2:
        noise = torch.rand(images.shape[1], generator=generator, device=device)
    else:
        height, width = images.shape[2:]
        vertical = torch.fft.fftfreq(height, device=device)[:, None]
        frequency = (vertical**2 + torch.fft.rfftfreq(width, device=device) ** 2).sqrt()
        waves = torch.randn(2, *frequency.shape, generator=generator, device=device)
        waves = waves / frequency.clamp_min(1 / max(height, width)) ** decay
        noise = torch.fft.irfft2(torch.complex(*waves), s=(height, width))
    rank = noise.flatten().argsort(descending=True).argsort().view(noise.shape)
    return FMix(mix, rank < round(mix.lam * noise.numel()))


def mix_with_neighbours(
    images: Tensor, group: Tensor, weights: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted means over a sample and its k neighbours: inputs, and targets (B, classes).

    Args:
        images: (M, C, H, W), or vectors (M, D), of which the groups are made.
        group: positions (B, 1 + k) in the images, the sample itself first.
        weights: (B, 1 + k). 1e-10 is added to the sample's weight, for rows of zeros.
        targets: (B, 1 + k, classes).
    """
    weights = weights.clone()
    weights[:, 0] += 1e-10
    shares = weights / weights.sum(1, keepdim=True)
    rows = images.movedim(1, -1)  # as channels-last has them in memory
    starts = torch.arange(0, group.numel(), group.shape[1], device=group.device)
    # An embedding bag in mode 0 looks up and sums in one sweep: step by step, it takes three times
    # as long.
    mixed = torch.embedding_bag(
        rows.flatten(1),
        group.flatten(),
        starts,
        mode=0,
        per_sample_weights=shares.to(rows.dtype).flatten(),
    )[0]
    mixed = mixed.view(-1, *rows.shape[1:]).movedim(-1, 1)
    return mixed, (shares[..., None] * targets).sum(1)
