"""MixMatch (Berthelot et al., NeurIPS 2019, arXiv 1905.02249) on samples that a method has divided
into a labelled and an unlabelled side."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.ops.losses import soft_cross_entropy, uniform_divergence
from bench.ops.mixing import draw_mix
from bench.ops.passes import forever
from bench.ops.targets import mean_prediction, sharpen
from bench.task import Batch, Task

#: Views of the samples of one side, and their targets (B, C).
Side = tuple[Sequence[Tensor], Tensor]


class Division(NamedTuple):
    """A labelled and an unlabelled batch for one of a method's networks."""

    student: int  # number of the network
    labelled: Batch
    unlabelled: Batch
    ramp: float  # share of the unlabelled loss's weight, from 0 to 1


class PlainStep(NamedTuple):
    """A batch for one of a method's networks, in warm-up and where nothing is divided."""

    student: int  # number of the network
    batch: Batch


class MixMatchLosses(NamedTuple):
    """Losses of a mixed batch, each a scalar."""

    labelled: Tensor  # cross-entropy with the mixed targets of the labelled side
    unlabelled: Tensor  # squared error of the unlabelled side, mean over samples and classes
    divergence: Tensor  # see ``uniform_divergence``, of both sides' predictions


def divisions(
    student: int,
    labelled: Iterable[Batch],
    unlabelled: Callable[[], Iterator[Batch]],
    *,
    epoch: float,
    steps: int,
    ramp: int,
) -> Iterator[Division]:
    """Yield each labelled batch with an unlabelled one.

    Args:
        student: number of the network that learns.
        labelled: the labelled batches of an epoch.
        unlabelled: function that starts a pass over the unlabelled samples.
        epoch: epochs since the first with divisions.
        steps: steps of an epoch, as the ramp counts them.
        ramp: epochs until the unlabelled loss has its whole weight.
    """
    others = forever(unlabelled)
    for step, batch in enumerate(labelled):
        progress = epoch + step / steps
        yield Division(student, batch, next(others), min(1.0, progress / ramp))


@torch.no_grad()
def refine_and_guess(
    net: nn.Module, peer: nn.Module, division: Division, trust: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return DivideMix's targets (B, C) of the labelled and of the unlabelled samples, sharpened.

    Refined targets are labels, with a weight of ``trust`` (B,), and the network's predictions.
    Guessed ones are predictions of the network and its peer. Both predict the first two views.
    """
    # The order is the authors': the network is in train mode, and its batch norm follows the last
    # images most.
    guessed = mean_prediction([net, peer], division.unlabelled.views[:2])
    predicted = mean_prediction([net], division.labelled.views[:2])
    w = trust[:, None]
    refined = w * F.one_hot(division.labelled.y, predicted.shape[1]) + (1 - w) * predicted
    return sharpen(refined, temperature), sharpen(guessed, temperature)


def mix_match(
    task: Task,
    net: nn.Module,
    labelled: Side,
    unlabelled: Side,
    alpha: float,
    class_weights: Tensor | None = None,
) -> MixMatchLosses:
    """Pass all views of both sides through a network in one batch, mixed at random.

    Each view keeps the larger part, lambda ~ Beta(alpha, alpha). ``class_weights`` (C,) weigh the
    labelled side's cross-entropy.
    """
    x = torch.cat([*labelled[0], *unlabelled[0]])
    targets = torch.cat([target for views, target in (labelled, unlabelled) for _ in views])
    mix = draw_mix(task, len(x), alpha, larger=True)
    logits, targets = net(mix(x)).float(), mix(targets)
    boundary, probabilities = sum(map(len, labelled[0])), logits.softmax(1)
    labels = targets[:boundary] if class_weights is None else targets[:boundary] * class_weights
    return MixMatchLosses(
        soft_cross_entropy(logits[:boundary], labels),
        F.mse_loss(probabilities[boundary:], targets[boundary:]),
        uniform_divergence(probabilities),
    )
