"""UNICON (Karim et al., CVPR 2022, arXiv 2203.14542): takes equally many samples of each class
as clean, by the divergence of predictions from labels, and learns from the rest without labels:
semi-supervised and by contrast.

From the authors' code (GitHub nazmul-karim170/UNICON-Noisy-Label, commit 616dc49). Warm-up is 30
epochs for CIFAR-100. The authors turn ``confidence_penalty`` on for asymmetric noise: "oracle", a
privilege. It has no estimate, since losses do not tell kinds of noise apart. Divergences use
natural logarithms, as in that code, and so stay below ln 2: with the default ``high_divergence``
their rule for very noisy sets, whose line would fail, never acts. Not repeated, as slips: sample 0
fills the places of classes that have too few samples; the divergences for the second network come
from the first in train mode. Not taken over: their loaders leave out a last batch that is not full,
which on a small data set is a good part of an epoch. [inferred] Warm-up batches are the recipe's,
not double. Where fewer than two samples are clean, or all but one, that network takes a plain
epoch. The networks' probabilities are averaged for predictions, not their logits. On vectors,
strong views are the task's in place of AutoAugment's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.method import Method, check_positive
from bench.task import Batch, Network, Task


class Unicon(Method):
    """Uniform selection, MixMatch on strong views, contrast of the unlabelled strong views."""

    num_networks = 2
    reference_epochs = 350
    begins = ["warmup_epochs"]
    oracles = {"confidence_penalty": ["noise_kind"]}
    # For half the samples clean: as divide_mix, with two more views to train on and two more passes
    # over all samples.
    passes = (6, 10)
    linear_head = "it contrasts two strong views, which there would train its projections alone"
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 350,
        "augmentation": "crop_flip",
        "batch_size": 64,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        # A single cycle over the run: theirs ends after 280 epochs and rises again.
        "schedule": "restarts",
        "period": 1.0,
        "minimum": 0.01,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code for CIFAR-10."""

        warmup_epochs: int = 10
        unlabelled_weight: float = 30.0  # lambda_u
        contrast_weight: float = 0.025  # lambda_c
        temperature: float = 0.5  # T, of the guesses
        contrast_temperature: float = 0.05
        mixup_alpha: float = 4.0  # alpha
        ramp_epochs: int = 16
        high_divergence: float = 0.7  # d_mu: a mean divergence above it lowers the cutoff ...
        filtering: float = 5.0  # tau: ... by this part of its distance from the smallest
        confidence_penalty: Literal["oracle"] | bool = False

        def __post_init__(self) -> None:
            check_positive(self, "temperature", "contrast_temperature", "mixup_alpha")
            check_positive(self, "ramp_epochs", "filtering")

    clean: Tensor
    targets: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        width = self.networks[0].num_features
        heads = [nn.Sequential(nn.Linear(width, 128), nn.BatchNorm1d(128)) for _ in self.networks]
        self.projections = nn.ModuleList(task.place(head) for head in heads)
        penalty = self.hp.confidence_penalty
        self.confidence_penalty = ops.is_asymmetric(task) if penalty == "oracle" else penalty
        self.register_buffer("clean", torch.ones(task.num_train, device=task.device))
        self.register_buffer("targets", F.one_hot(task.noisy_labels, task.num_classes).float())

    def param_groups(self) -> list[dict[str, Any]]:
        return [*super().param_groups(), {"params": list(self.projections.parameters())}]

    def batches(self) -> Iterator[Batch | ops.PlainStep | ops.Division]:
        warmup = self.warmup(self.hp.warmup_epochs)
        if self.epoch < warmup:
            yield from self.task.loader()
            return
        ramp, size = self.interval(self.hp.ramp_epochs), self.task.batch_size
        strong = ops.auto_augmentation(self.task)
        views = (self.task.augment, self.task.augment, strong, strong)
        loader = partial(self.task.loader, augmentations=views)
        trusted: list[Tensor] = []
        for student in (0, 1):
            distance = self.divergences()
            share = self.clean_share(distance)
            y, num_classes = self.task.noisy_labels, self.task.num_classes
            clean = uniform_selection(distance, y, share, num_classes)
            self.weight = torch.where(distance < 0.5, 1, 1 - distance)  # w, of the given labels
            self.networks[student].train()
            self.networks[1 - student].eval()
            sides = [side.nonzero()[:, 0] for side in (clean, ~clean)]
            divides = min(map(len, sides)) > 1
            trusted.append(trust(distance, clean if divides else torch.ones_like(clean)))
            self.clean = torch.stack(trusted).mean(0)
            if not divides:
                yield from (ops.PlainStep(student, batch) for batch in self.task.loader())
                continue
            yield from ops.divisions(
                student,
                loader(sides[0]),
                partial(loader, sides[1], batch_size=max(2, int(size / (2 * share)))),
                epoch=self.epoch - warmup,
                steps=len(sides[0]) // size + 1,
                ramp=ramp,
            )

    def clean_share(self, distance: Tensor) -> float:
        """Return the share of samples whose divergence (N,) is below the cutoff."""
        cutoff = distance.mean()
        if cutoff > self.hp.high_divergence:
            cutoff = cutoff - (cutoff - distance.min()) / self.hp.filtering
        return float((distance < cutoff).float().mean())

    @torch.no_grad()
    def divergences(self) -> Tensor:
        """Return the divergence (N,) of the networks' mean prediction from each label."""
        probabilities = [
            ops.per_sample(self, net, lambda logits, y, index: logits.softmax(1))
            for net in self.networks
        ]
        return jensen_shannon(torch.stack(probabilities).mean(0), self.task.noisy_labels)

    def students(self, batch: Batch | ops.PlainStep | ops.Division) -> Iterable[Network]:
        return self.networks if isinstance(batch, Batch) else [self.networks[batch.student]]

    def loss(self, batch: Batch | ops.PlainStep | ops.Division) -> Tensor:
        if isinstance(batch, Batch):
            penalty = self.confidence_penalty
            plain = (ops.warmup_loss(net(batch.x), batch.y, penalty) for net in self.networks)
            return sum(plain, torch.zeros(()))
        net = self.networks[batch.student]
        if isinstance(batch, ops.PlainStep):
            x, y = batch.batch.x, batch.batch.y
            return ops.warmup_loss(net(x), y, self.confidence_penalty)
        labelled, unlabelled = self.guess(batch)
        self.targets[batch.labelled.index] = labelled
        self.targets[batch.unlabelled.index] = unlabelled
        strong = batch.unlabelled.views[2:]
        first, second = (self.projections[batch.student](net.forward_features(x)) for x in strong)
        contrast = ops.nt_xent(first, second, self.hp.contrast_temperature)
        losses = ops.mix_match(
            self.task,
            net,
            (batch.labelled.views[2:], labelled),
            (strong, unlabelled),
            self.hp.mixup_alpha,
        )
        return (
            losses.labelled
            + batch.ramp * self.hp.unlabelled_weight * losses.unlabelled
            + self.hp.contrast_weight * contrast
            + losses.divergence
        )

    def guess(self, batch: ops.Division) -> tuple[Tensor, Tensor]:
        """Return refined targets of the labelled samples, co-guessed ones of the unlabelled.

        Both come from the weak views, the first two.
        """
        net, peer = self.networks[batch.student], self.networks[1 - batch.student]
        trust = self.weight[batch.labelled.index]
        return ops.refine_and_guess(net, peer, batch, trust, self.hp.temperature)

    def clean_probability(self) -> Tensor:
        """Return the mean of ``trust`` for both networks.

        [inferred] It is above 3/4 where both learned from the label, below 1/4 where neither did.
        """
        return self.clean

    def soft_targets(self) -> Tensor:
        """Return each sample's most recent target, refined or guessed, for either network."""
        return self.targets


def jensen_shannon(probabilities: Tensor, y: Tensor) -> Tensor:
    """Divergence (N,), from 0 to ln 2, between predictions (N, C) and one-hot labels (N,)."""
    given = F.one_hot(y, probabilities.shape[1]).to(probabilities.dtype)
    middle = (probabilities + given) / 2
    parts = [(p * ((p + 1e-10) / (middle + 1e-10)).log()).sum(1) for p in (probabilities, given)]
    return ((parts[0] + parts[1]) / 2).clamp(0, 1)


def trust(distance: Tensor, clean: Tensor) -> Tensor:
    """Probability (N,) that each label is right, the higher the smaller its divergence (N,).

    It lies between 3/4 and 1 for samples taken as clean (N,) and between 0 and 1/4 for the others.
    """
    return (3 * clean + 1 - distance) / 4


def uniform_selection(distance: Tensor, y: Tensor, share: float, num_classes: int) -> Tensor:
    """Mask (N,) of the samples with the smallest divergences (N,), equally many of each class.

    Together they make up a share of all samples, if every class has enough.
    """
    count = int(share * len(y) / num_classes)
    return ops.smallest_of_each_class(distance, y, count, num_classes)
