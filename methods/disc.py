"""DISC (Li et al., CVPR 2023): compares a sample's confidence in two views with its own running
mean, and so tells clean, hard and correctable labels apart.

[source] Written from the authors' code (GitHub JackYFL/DISC, commit a21e910). Privileges of the
authors, each of which "oracle" takes: ``momentum`` is 0.95 for asymmetric noise and from 60 %
noise, ``hard_weight`` 0.2 from 60 %, and warm-up is 15 epochs for instance-dependent noise.
[inferred] A rate between theirs takes the settings of the nearest. Besides, they take ResNet-34 for
instance-dependent noise; above 60 % Adam at a rate of 1e-3, which falls after 120 epochs and then
has a first beta of 0.1 (here with any linear schedule). None has an "estimate": all follow the kind
of noise, which losses do not tell, or rates from 60 %, where estimates fail. [inferred] An epoch's
momentum is scaled to the length of the run, as warm-up is: thresholds that rise to 0.22 in 25
epochs leave almost all labels "clean". ``magnitude`` is 10 for CIFAR-100. Strong views are theirs,
but that the smaller of two squares cut out is left out; on vectors, the task's. A batch without
clean, hard or corrected samples takes a step of weight decay alone (theirs none). [inferred]
``clean_probability`` is 1/2 plus half the mean excess of both views' confidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_nonnegative, check_positive
from bench.task import Batch, Task


class Step(NamedTuple):
    """A batch of two views, whose samples to mix come first."""

    batch: Batch
    mixed: int  # number of samples to mix


class Kinds(NamedTuple):
    """Kinds of samples, each (N,); a sample is of one kind at most."""

    clean: Tensor  # confident in both views
    hard: Tensor  # confident in one
    corrected: Tensor  # in neither, but certain of some class
    labels: Tensor  # class numbers: as given, or corrected


class DISC(Method):
    """Cross-entropy of the clean, GCE of the hard, mixup of these and of the corrected samples."""

    reference_epochs = 200
    begins = ["warmup_epochs"]
    oracles = {
        "warmup_epochs": ["noise_kind"],
        "momentum": ["noise_rate", "noise_kind"],
        "hard_weight": ["noise_rate", "noise_kind"],
    }
    # Two views of each sample, and the mixed views of three quarters.
    passes = (3.5, 0)
    paper = {
        "backbone": "resnet18",
        "epochs": 200,
        "augmentation": "reflect_crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.0,
        "weight_decay": 1e-3,
        "schedule": "step",
        "milestones": (0.4, 0.8),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code for CIFAR-10."""

        warmup_epochs: Literal["oracle"] | int = 20
        momentum: Literal["oracle"] | float = 0.99  # of the thresholds, an epoch
        hard_weight: Literal["oracle"] | float = 1.0  # lambda_h
        certainty: float = 0.5  # sigma: excess over the threshold that corrects a label
        q: float = 0.7  # of GCE
        mixup_alpha: float = 5.0
        magnitude: int = 5  # of strong views: operations take 1 to magnitude - 1 tenths

        def __post_init__(self) -> None:
            check_nonnegative(self, "warmup_epochs", "hard_weight", "certainty")
            check_positive(self, "mixup_alpha")
            if not isinstance(self.momentum, str) and not 0 <= self.momentum < 1:
                raise InputError(
                    f"disc.momentum is {self.momentum:g}: give a number from 0 up to 1"
                )
            if not 0 < self.q <= 1:
                raise InputError(f"disc.q is {self.q:g}: give a number above 0 and at most 1")
            if not 2 <= self.magnitude <= 11:
                raise InputError(f"disc.magnitude is {self.magnitude}: give 2 to 11")

    predictions: Tensor
    thresholds: Tensor
    clean: Tensor
    hard: Tensor
    mixed: Tensor
    labels: Tensor
    adam: torch.optim.Optimizer | None = None  # the current optimiser, if the recipe's is Adam

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.warmup_epochs, self.momentum, self.hard_weight = self.settings(task)
        shape, device = (2, task.num_train), task.device  # of the weak and the strong view
        # p, last time in train mode, and tau
        self.register_buffer("predictions", torch.zeros(*shape, task.num_classes, device=device))
        self.register_buffer("thresholds", torch.full(shape, 1 / task.num_train, device=device))
        for name in ("clean", "hard", "mixed"):
            self.register_buffer(name, torch.zeros(shape[1], dtype=torch.bool, device=device))
        self.register_buffer("labels", task.noisy_labels.clone())

    def settings(self, task: Task) -> tuple[int, float, float]:
        """Return warm-up, momentum and lambda_h: as given, or as the authors chose."""
        warmup, momentum, weight = self.hp.warmup_epochs, self.hp.momentum, self.hp.hard_weight
        if warmup == "oracle":
            warmup = 15 if str(task.oracle.noise_kind).startswith("instance") else 20
        if momentum == "oracle":
            momentum = 0.95 if ops.is_asymmetric(task) or is_heavy(task) else 0.99
        if weight == "oracle":
            weight = 0.2 if is_heavy(task) else 1.0
        return warmup, momentum, weight

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        self.adam = super().optimizer(groups)
        return self.adam

    def epoch_start(self) -> None:
        ops.lower_first_beta(self.adam, self.recipe, self.epoch)

    def strong(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment by the recipe, then by the authors' RandAugment; vectors as the task does."""
        if self.task.on_vectors:
            return self.task.strong_augment(images, generator)
        return ops.disc_augment(self.task.augment(images, generator), generator, self.hp.magnitude)

    def batches(self) -> Iterator[Batch | Step]:
        views = (self.task.augment, self.strong)
        if self.epoch < self.warmup(self.warmup_epochs):
            yield from self.task.loader(augmentations=views)
            return
        size, number, device = self.task.batch_size, self.task.num_train, self.task.device
        order = torch.randperm(number, generator=self.task.generator, device=device)
        mixed = self.mixed[order]
        # The host has to know how many of a batch are mixed: it asks once an epoch.
        counts = torch.stack([part.sum() for part in mixed.split(size)]).tolist()
        position = torch.arange(number, device=device) // size
        order = order[(2 * position + ~mixed).argsort(stable=True)]
        yield from map(Step, self.task.loader(order, shuffle=False, augmentations=views), counts)

    def loss(self, batch: Batch | Step) -> Tensor:
        [net] = self.networks
        samples, count = (batch, None) if isinstance(batch, Batch) else batch
        logits = net(torch.cat(samples.views)).float()
        losses = F.cross_entropy(logits, samples.y.repeat(2), reduction="none").view(2, -1)
        self.predictions[:, samples.index] = logits.detach().softmax(1).unflatten(0, (2, -1))
        if count is None:
            return losses.mean(1).sum()
        hard_losses = ops.generalised_cross_entropy(-losses, self.hp.q)
        hard_weight = self.hard_weight * self.hard[samples.index]
        losses = self.clean[samples.index] * losses + hard_weight * hard_losses
        loss = losses.mean(1).sum()
        labels = self.labels[samples.index[:count]]
        for view in samples.views if count > 1 else ():  # batch normalisation takes no single one
            mix = ops.draw_mix(self.task, count, self.hp.mixup_alpha, larger=True)
            loss = loss + mix.cross_entropy(net(mix(view[:count])).float(), labels)
        return loss

    def epoch_end(self) -> None:
        kinds = divide(self.predictions, self.thresholds, self.task.noisy_labels, self.hp.certainty)
        self.clean, self.hard, self.labels = kinds.clean, kinds.hard, kinds.labels
        self.mixed = kinds.clean | kinds.hard | kinds.corrected
        momentum = self.momentum ** (self.reference_epochs / self.recipe.epochs)
        self.thresholds.lerp_(self.predictions.amax(2), 1 - momentum)

    def clean_probability(self) -> Tensor:
        excess = label_confidence(self.predictions, self.task.noisy_labels) - self.thresholds
        return 0.5 + excess.mean(0) / 2

    def soft_targets(self) -> Tensor:
        return F.one_hot(self.labels, self.task.num_classes).float()


def is_heavy(task: Task) -> bool:
    """Tell whether the nearest of the authors' noise rates is 60 or 80 %."""
    if str(task.oracle.noise_kind).startswith("symmetric"):
        return ops.nearest(ops.inclusive_rate(task), (0.2, 0.5, 0.8)) == 0.8
    return ops.nearest(float(task.oracle.noise_rate), (0.2, 0.4, 0.6)) == 0.6  # type: ignore[arg-type]  # a fact


def label_confidence(predictions: Tensor, y: Tensor) -> Tensor:
    """Probability (2, N) of each label (N,) by predictions (2, N, C)."""
    return predictions.gather(2, y.expand(2, -1)[:, :, None])[:, :, 0]


def divide(predictions: Tensor, thresholds: Tensor, y: Tensor, certainty: float) -> Kinds:
    """Divide samples by their predictions (2, N, C) in two views, and each view's thresholds.

    Thresholds are (2, N), labels (N,).
    """
    confident = label_confidence(predictions, y) > thresholds
    clean, in_any = confident.all(0), confident.any(0)
    top, guess = predictions.mean(0).max(1)
    corrected = ~in_any & (top > (thresholds.mean(0) + certainty).clamp(max=0.99))
    return Kinds(clean, in_any & ~clean, corrected, torch.where(corrected, guess, y))
