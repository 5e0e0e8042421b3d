"""DivideMix (Li et al., ICLR 2020, arXiv 2002.07394): two networks divide the samples for each
other into clean and noisy by a mixture on the losses, and train with MixMatch, the noisy part
without labels.

[source] Written from the authors' code (GitHub LiJunnan1992/DivideMix, commit d9d3058). In warm-up
each network passes over the data by itself, with twice the batch size. Privileges of the authors,
each of which "oracle" takes: they choose ``unlabelled_weight`` by noise rate and kind (the paper's
table of settings), set ``loss_window`` to 5 at 90 % noise, and turn ``confidence_penalty`` on for
asymmetric noise. [inferred] A rate between theirs takes the settings of the nearest.
``unlabelled_weight="estimate"`` takes symmetric noise and the rate that the mixtures show: 1 - the
mean clean probability of both networks, the median of the first three divided epochs. Epochs in
which a mixture has one mode do not count; without any other, the weight is the default. On digits
the estimate is within 0.06 of rates up to 50 %, and below 0.6 at 72 and 81 %: it cannot tell 80
from 90 %, so that ``loss_window`` has none. Nor has ``confidence_penalty``: losses do not tell the
kinds of noise apart. There (3 seeds, last epochs) the default, the estimate and "oracle" end at
87.1, 95.3 and 98.2 % with 40 % asymmetric noise, and are the same at 50 % symmetric. Warm-up is 30
epochs for CIFAR-100. [inferred] Where the mixture leaves either side fewer than two samples, that
network takes an epoch of warm-up. The networks' probabilities are averaged for predictions, not
their logits.

[source] For Clothing1M they start from torchvision's ImageNet weights of ResNet-50 (their
Train_clothing1M.py). An epoch of theirs is 1,000 batches of a draw with as many images of each
class; they train for 80 such epochs, and the rate falls after 40. They also set ``mixup_alpha`` to
0.5, ``unlabelled_weight`` to 0 and ``confidence_penalty``. [inferred] Here an epoch is all of the
million images, so that 3 are as many steps; the mixtures are fitted once in each. Crops pad by an
eighth of the side; theirs are of 224 pixels from 256.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.method import Method, check_nonnegative, check_positive, check_share
from bench.task import Network, Task


class DivideMix(Method):
    """Co-divide, co-refine, co-guess, MixMatch."""

    num_networks = 2
    reference_epochs = 300
    begins = ["warmup_epochs"]
    oracles = {
        "unlabelled_weight": ["noise_rate", "noise_kind"],
        "loss_window": ["noise_rate"],
        "confidence_penalty": ["noise_kind"],
    }
    # For half the samples clean: each network learns from two views of these and of as many others.
    # It predicts two views of the former, both predict two views of the latter, and both pass over
    # all samples for the mixtures.
    passes = (4, 8)
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 300,
        "augmentation": "crop_flip",
        "batch_size": 64,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "step",
        "milestones": (0.5,),
        "gamma": 0.1,
    }
    papers = {
        "clothing1m": {
            **paper,
            "backbone": "torchvision:resnet50.IMAGENET1K_V1",
            "epochs": 3,  # 80 of 1,000 batches
            "batch_size": 32,
            "learning_rate": 0.002,
            "weight_decay": 1e-3,
        }
    }

    @dataclass(frozen=True)
    class HParams:
        """Defaults of the authors' code."""

        warmup_epochs: int = 10
        clean_threshold: float = 0.5  # tau
        temperature: float = 0.5  # T
        mixup_alpha: float = 4.0  # alpha
        unlabelled_weight: Literal["estimate", "oracle"] | float = 25.0  # lambda_u
        ramp_epochs: int = 16
        loss_window: Literal["oracle"] | int = 1
        confidence_penalty: Literal["oracle"] | bool = False

        def __post_init__(self) -> None:
            check_positive(self, "temperature", "mixup_alpha", "loss_window", "ramp_epochs")
            check_nonnegative(self, "warmup_epochs", "unlabelled_weight")
            check_share(self, "clean_threshold")

    clean: Tensor
    history: Tensor
    targets: Tensor
    rates: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        if self.hp.unlabelled_weight == "estimate":
            self.register_buffer("rates", torch.full((3,), torch.nan, device=task.device))
        self.unlabelled_weight, window, self.confidence_penalty = self.settings(task)
        self.register_buffer("clean", torch.ones(2, task.num_train, device=task.device))
        history = torch.full((2, window, task.num_train), torch.nan, device=task.device)
        self.register_buffer("history", history)  # losses of the last epochs, of both networks
        self.register_buffer("targets", F.one_hot(task.noisy_labels, task.num_classes).float())

    def settings(self, task: Task) -> tuple[float, int, bool]:
        """Return lambda_u, the loss window and the penalty: as given, or as the authors chose."""
        hp = self.hp
        weight, window, penalty = hp.unlabelled_weight, hp.loss_window, hp.confidence_penalty
        if weight == "estimate":
            weight = type(hp)().unlabelled_weight  # until there is one
        elif weight == "oracle" and ops.is_asymmetric(task):
            weight = 0.0
        elif weight == "oracle":
            weight = authors_weight(task.oracle.noise_rate, task.num_classes)  # type: ignore[arg-type]  # a fact
        if window == "oracle":
            window = 5 if ops.nearest(ops.inclusive_rate(task), (0.2, 0.5, 0.8, 0.9)) == 0.9 else 1
        if penalty == "oracle":
            penalty = ops.is_asymmetric(task)
        return weight, window, penalty

    def epoch_start(self) -> None:
        self.first = self.warmup(self.hp.warmup_epochs)
        if self.epoch < self.first:
            return
        for i, net in enumerate(self.networks):
            losses = ops.min_max(ops.per_sample_loss(self, net))
            self.history[i] = torch.cat([self.history[i, 1:], losses[None]])
            mean_loss = self.history[i].nanmean(0)
            self.clean[i] = ops.clean_probability(mean_loss, scale=False, shapes=self.task.mixtures)
        if self.hp.unlabelled_weight == "estimate":
            self.estimate_weight()

    def estimate_weight(self) -> None:
        """Set lambda_u by the median estimate of the noise rate in the first divided epochs."""
        number = self.epoch - self.first
        if number < len(self.rates) and self.task.mixtures[-2:] == ["two modes"] * 2:
            self.rates[number] = 1 - self.clean.mean()
        rate = self.rates.nanmedian().item()
        if not math.isnan(rate):
            self.unlabelled_weight = authors_weight(rate, self.task.num_classes)

    def batches(self) -> Iterator[ops.Division | ops.PlainStep]:
        ramp = self.interval(self.hp.ramp_epochs)
        for student in (0, 1):
            if self.epoch < self.first:
                yield from self.plain_epoch(student)
                continue
            self.networks[student].train()
            self.networks[1 - student].eval()  # as in the authors' code, the peer guesses so
            clean = self.clean[1 - student] > self.hp.clean_threshold
            sides = [side.nonzero()[:, 0] for side in (clean, ~clean)]
            if min(map(len, sides)) < 2:
                yield from self.plain_epoch(student)
                continue
            yield from ops.divisions(
                student,
                self.task.loader(sides[0], views=2),
                partial(self.task.loader, sides[1], views=2),
                epoch=self.epoch - self.first,
                steps=len(sides[0]) // self.task.batch_size + 1,
                ramp=ramp,
            )

    def plain_epoch(self, student: int) -> Iterator[ops.PlainStep]:
        batches = self.task.loader(batch_size=2 * self.task.batch_size)
        return (ops.PlainStep(student, batch) for batch in batches)

    def students(self, batch: ops.Division | ops.PlainStep) -> Iterable[Network]:
        return [self.networks[batch.student]]

    def loss(self, batch: ops.Division | ops.PlainStep) -> Tensor:
        net = self.networks[batch.student]
        if isinstance(batch, ops.PlainStep):
            x, y = batch.batch.x, batch.batch.y
            return ops.warmup_loss(net(x), y, self.confidence_penalty)
        labelled, unlabelled = self.guess(batch)
        self.targets[batch.labelled.index] = labelled
        self.targets[batch.unlabelled.index] = unlabelled
        losses = ops.mix_match(
            self.task,
            net,
            (batch.labelled.views, labelled),
            (batch.unlabelled.views, unlabelled),
            self.hp.mixup_alpha,
        )
        weight = batch.ramp * self.unlabelled_weight
        return losses.labelled + weight * losses.unlabelled + losses.divergence

    def guess(self, batch: ops.Division) -> tuple[Tensor, Tensor]:
        """Return refined targets of the labelled samples, co-guessed ones of the unlabelled."""
        net, peer = self.networks[batch.student], self.networks[1 - batch.student]
        trust = self.clean[1 - batch.student, batch.labelled.index]
        return ops.refine_and_guess(net, peer, batch, trust, self.hp.temperature)

    def clean_probability(self) -> Tensor:
        return self.clean.mean(0)

    def soft_targets(self) -> Tensor:
        """Return each sample's most recent target, refined or guessed, for either network."""
        return self.targets

    def figures(self) -> dict[str, float]:
        if self.hp.unlabelled_weight != "estimate":
            return {}
        rate = self.rates.nanmedian().item()
        return {"noise_rate": rate, "unlabelled_weight": self.unlabelled_weight}


def authors_weight(rate: float, num_classes: int) -> float:
    """Return the authors' lambda_u for symmetric noise with this share of wrong labels."""
    by_rate = {0.2: 0.0, 0.5: 25.0, 0.8: 25.0, 0.9: 50.0}
    if num_classes >= 100:
        by_rate = {0.2: 25.0, 0.5: 150.0}
    return by_rate[ops.nearest(ops.inclusive(rate, num_classes), by_rate)]
