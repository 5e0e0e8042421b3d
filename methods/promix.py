"""ProMix (Xiao et al., IJCAI 2023, arXiv 2207.10276): two networks learn from small losses of each
class, from labels that they are certain of, late in training from labels that they guess alike, and
with a second head from the rest.

[source] Written from the authors' code (GitHub Justherozen/ProMix, commit 40d8378). For CIFAR-100
they set ``warmup_epochs`` to 30, ``confidence`` to 0.95 and ``debiasing`` to 0.5. Privileges of the
authors, each of which "oracle" takes: ``selected_share`` is 0.7 at 20 % of symmetric noise and 0.5
at 50 %, of asymmetric noise and for CIFAR-N (they name none for 80 %; [inferred] the nearest of
these), and ``confidence_penalty`` is on for asymmetric noise (losses do not tell kinds of noise
apart, so that it has no "estimate"). [inferred] By default that share is
estimated: it is the weight of the low-loss component of a two-component mixture on both networks'
mean loss at the end of warm-up. Hardly any label outside the share was certain enough on digits, so
that a share of 0.5 cost 4 points there where all labels are right.

[source] Each network learns from its own selection, as in that code. Not repeated, as slips: its
penalty clamps logits for probabilities; an empty side of a selection makes the class shares NaN.
Not taken over: their loaders leave out a last batch that is not full. [inferred] Ramps go by the
authors' clock from the end of warm-up on, which is longer in short runs. The momentum of a step is
scaled to the steps of the run, so that class shares follow predictions as far as in the authors'
117,000 steps. ``share_mix`` mixes once
for both heads: half the cost of mixing. ``clean_probability`` is the networks' mean probability of
the label where they select. On vectors, strong views are the task's, and FMix takes a random share
of the entries.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_nonnegative, check_positive, check_share
from bench.task import Batch, Network, Task

#: Authors' steps: 600 epochs of 195 whole batches.
STEPS = 117_000


class ProMix(Method):
    """Selection by class, certainty and agreement; debiased losses of two heads a network."""

    num_networks = 2
    reference_epochs = 600
    begins = ["warmup_epochs"]
    oracles = {
        "selected_share": ["noise_rate", "noise_kind"],
        "confidence_penalty": ["noise_kind"],
    }
    # For half the samples selected: each network has two views of all, and mixes those selected by
    # mixup and FMix for either head. It passes over all samples to select.
    passes = (8, 2)
    paper = {
        "backbone": "resnet18",
        "epochs": 600,
        "augmentation": "crop_flip",
        "batch_size": 256,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "restarts",
        "period": 1.0,
        "minimum": 1e-3,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code for CIFAR-10, except the estimate."""

        warmup_epochs: int = 10
        selected_share: Literal["estimate", "oracle"] | float = "estimate"  # rho
        confidence: float = 0.99  # tau: a label above it is selected, too
        debiasing: float = 0.8  # alpha
        momentum: float = 0.9999  # of the class shares pi, a step
        ramp_epochs: int = 50  # until gamma is 1; lambda_u rises for twice as long, then is 0
        unlabelled_weight: float = 0.1  # lambda_u
        temperature: float = 0.5  # T, of the targets of samples that are not selected
        mixup_alpha: float = 4.0
        guess_epochs: int = 250  # last epochs, in which labels are guessed ...
        guess_share: float = 0.9  # ... until this share of a batch is selected
        share_mix: bool = False
        confidence_penalty: Literal["oracle"] | bool = False

        def __post_init__(self) -> None:
            check_positive(self, "temperature", "mixup_alpha", "ramp_epochs", "selected_share")
            check_nonnegative(self, "warmup_epochs", "debiasing")
            check_nonnegative(self, "unlabelled_weight", "guess_epochs")
            if self.selected_share == "estimate" and self.warmup_epochs == 0:
                raise InputError(
                    "promix.selected_share=estimate reads the losses of warm-up: give "
                    "promix.warmup_epochs of at least 1, or a share"
                )
            check_share(self, "selected_share", "confidence", "momentum", "guess_share")

    selected_share: Tensor
    selected: Tensor
    shares: Tensor
    clean: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        share, self.confidence_penalty = self.settings(task)
        steps = self.recipe.epochs * math.ceil(task.num_train / task.batch_size)
        self.momentum = self.hp.momentum ** (STEPS / steps)
        start = torch.tensor(1.0 if share == "estimate" else share)
        self.register_buffer("selected_share", start.to(task.device))
        heads = [nn.Linear(net.num_features, task.num_classes) for net in self.networks]
        self.pseudo_heads = nn.ModuleList(task.place(head) for head in heads)
        selected = torch.ones(2, task.num_train, dtype=torch.bool, device=task.device)
        self.register_buffer("selected", selected)
        shares = torch.full((2, 2, task.num_classes), 1 / task.num_classes, device=task.device)
        self.register_buffer("shares", shares)  # pi of the selected and of the others, by network
        self.register_buffer("clean", torch.ones(task.num_train, device=task.device))

    def settings(self, task: Task) -> tuple[Any, bool]:
        """Return rho and the penalty: as given, or as the authors chose."""
        share, penalty = self.hp.selected_share, self.hp.confidence_penalty
        if share == "oracle":
            share = 0.5
            if str(task.oracle.noise_kind).startswith("symmetric"):
                by_rate = {0.2: 0.7, 0.5: 0.5}
                share = by_rate[ops.nearest(ops.inclusive_rate(task), by_rate)]
        return share, ops.is_asymmetric(task) if penalty == "oracle" else penalty

    def param_groups(self) -> list[dict[str, Any]]:
        return [*super().param_groups(), {"params": list(self.pseudo_heads.parameters())}]

    def epoch_start(self) -> None:
        hp, y, num_classes = self.hp, self.task.noisy_labels, self.task.num_classes
        self.first = self.warmup(hp.warmup_epochs)
        if self.epoch < self.first:
            return
        pace = self.reference_epochs / self.recipe.epochs
        clock = hp.warmup_epochs + (self.epoch - self.first) * pace  # in the authors' epochs
        self.gamma = min(1.0, clock / hp.ramp_epochs)
        rise = clock / (2 * hp.ramp_epochs)
        self.unlabelled_weight = hp.unlabelled_weight * rise if rise < 1 else 0.0
        self.guesses = self.epoch >= self.recipe.epochs - self.phase(hp.guess_epochs)
        losses = torch.stack([ops.per_sample_loss(self, net) for net in self.networks])
        if hp.selected_share == "estimate" and self.epoch == self.first:
            clean = ops.clean_probability(losses.mean(0), shapes=self.task.mixtures)
            self.selected_share.copy_(clean.mean().nan_to_num(1.0))
        # The small number is for rounding: 0.6 of 25 has to be 15.
        count = max(1, math.ceil(self.selected_share.item() * len(y) / num_classes - 1e-4))
        for i in (0, 1):
            self.selected[i] = ops.smallest_of_each_class(losses[i], y, count, num_classes)
        self.clean = (-losses).exp().mean(0)

    def strong(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment by RandAugment, then by the recipe; vectors as the task does."""
        if self.task.on_vectors:
            return self.task.strong_augment(images, generator)
        return self.task.augment(ops.fixmatch_augment(images, generator), generator)

    def batches(self) -> Iterator[Batch]:
        if self.epoch < self.first:
            return self.task.loader()
        return self.task.loader(augmentations=(self.task.augment, self.strong))

    def loss(self, batch: Batch) -> Tensor:
        if self.epoch < self.first:
            outputs = [net(batch.x).float() for net in self.networks]
            losses = [ops.warmup_loss(z, batch.y, self.confidence_penalty) for z in outputs]
            return torch.stack(losses).sum()
        features = [[net.forward_features(x) for x in batch.views] for net in self.networks]
        logits = [net.head(f[0].detach()) for net, f in zip(self.networks, features, strict=True)]
        log_p = torch.stack(logits).detach().float().log_softmax(2)
        selected, labels = self.select(log_p, batch)
        order = (~selected).byte().argsort(dim=1, stable=True)
        loss = batch.x.new_zeros(())
        # The host has to know how many samples are mixed: a step asks for that alone.
        for i, count in enumerate(selected.sum(1).tolist()):
            chosen, rest = order[i, :count], order[i, count:]
            if len(chosen):
                views = [f[chosen] for f in features[i]]
                loss = loss + self.selected_loss(i, batch.x[chosen], views, labels[i, chosen])
            if len(rest) and self.unlabelled_weight:
                views = [f[rest] for f in features[i]]
                loss = loss + self.unselected_loss(i, views, log_p[i, rest])
            for shares, members in zip(self.shares, (chosen, rest), strict=True):
                if len(members):
                    shares[i].lerp_(log_p[i, members].exp().mean(0), 1 - self.momentum)
        return loss

    def select(self, log_p: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each network's selection (2, B) and labels (2, B), from predictions (2, B, C)."""
        labels = batch.y.expand(2, -1)
        given = log_p.gather(2, labels[:, :, None])[:, :, 0].exp()
        selected = self.selected[:, batch.index] | (given > self.hp.confidence)
        if self.guesses:
            guesses = self.unbiased(log_p, self.shares[0, :, None]).argmax(2)
            labels = torch.where(selected, labels, guesses)
            limit = int(self.hp.guess_share * len(batch.y))
            selected = selected | agreed(log_p.exp(), selected, self.hp.confidence, limit)
        return selected, labels

    def unbiased(self, log_p: Tensor, shares: Tensor) -> Tensor:
        """Return predictions (..., C) freed from the bias towards classes with large shares."""
        return (log_p - self.hp.debiasing * shares.log()).softmax(-1)

    def selected_loss(self, i: int, images: Tensor, views: list[Tensor], y: Tensor) -> Tensor:
        """Return both heads' losses on selected images, and on features of their two views."""
        net, bias = self.networks[i], self.hp.debiasing * self.shares[0, i].log()
        heads: list[nn.Module] = [net.head, self.pseudo_heads[i]]
        weak, strong = (
            sum(F.cross_entropy(head(view).float() + bias, y) for head in heads) for view in views
        )
        loss = weak + self.gamma * strong
        if len(y) > 1:  # batch normalisation takes no single one
            for group in [heads] if self.hp.share_mix else [[head] for head in heads]:
                loss = loss + self.gamma * self.mixing_loss(net, group, images, y, bias)
        return loss

    def mixing_loss(
        self, net: Network, heads: list[nn.Module], images: Tensor, y: Tensor, bias: Tensor
    ) -> Tensor:
        """Return the losses of these heads on images (M, C, H, W) mixed by mixup and by FMix."""
        mixup = ops.draw_mix(self.task, len(y), self.hp.mixup_alpha, larger=True)
        loss = images.new_zeros(())
        for mix in (mixup, ops.draw_fmix(self.task, images)):
            features = net.forward_features(mix(images))
            for head in heads:
                loss = loss + mix.cross_entropy(head(features).float() + bias, y)
        return loss

    def unselected_loss(self, i: int, views: list[Tensor], log_p: Tensor) -> Tensor:
        """Return the second head's loss on two views' features, with targets by the first head."""
        bias = self.hp.debiasing * self.shares[1, i].log()
        targets = ops.sharpen(self.unbiased(log_p, self.shares[1, i]), self.hp.temperature)
        weak, strong = (
            ops.soft_cross_entropy(self.pseudo_heads[i](view).float() + bias, targets)
            for view in views
        )
        return self.unlabelled_weight * (weak + self.gamma * strong)

    def predict(self, x: Tensor) -> Tensor:
        return torch.stack([net(x).float() for net in self.networks]).mean(0).softmax(1)

    def clean_probability(self) -> Tensor:
        return self.clean

    def figures(self) -> dict[str, float]:
        return {"selected_share": self.selected_share.item()}


def agreed(p: Tensor, selected: Tensor, threshold: float, limit: int) -> Tensor:
    """Mask (2, B) of samples that both networks give one class, with more than the threshold.

    The most certain ones fill each network's selection (2, B) up to the limit.

    Args:
        p: predictions of both networks, (2, B, C).
        selected: samples that each network has already.
        threshold: a probability.
        limit: number of samples of a batch.
    """
    top, classes = p.max(2)
    sure = (top > threshold).all(0) & (classes[0] == classes[1])
    candidates = sure & ~selected
    certainty = torch.where(candidates, top.mean(0), -1.0)
    rank = certainty.argsort(dim=1, descending=True, stable=True).argsort(1)
    return candidates & (rank < limit - selected.sum(1, keepdim=True))
