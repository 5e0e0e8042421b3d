"""Synthetic samples with soft labels (Lu & He, 2024, arXiv 2406.16966; its first version is MixNN,
IEEE BigData 2021): mixes each sample with its nearest neighbours in feature space, weighted by the
probability that their labels are right.

Targets are soft and follow the predictions. Written from the authors' code (GitHub MacLLL/MixNN,
commit 99e4b12), which counts epochs from 1: a phase that starts in its epoch 60 starts here after
59.

[inferred] Warm-up shuffles and augments (the released loop takes the evaluation loader, surely by a
slip). Any number of neighbours is possible: weights and targets are averaged over the sample and
its k neighbours. At k=1 that is the authors' formula, in which they count the sample itself and
write K=2. ``loss_window`` averages losses over epochs; the authors use 5 at a noise rate of 0.8, as
"oracle" does, a privilege. It has no estimate: at high rates, a mixture shows too low ones (see
``divide_mix``). ``clean_probability`` is the mixture's while the target's class is the
given label, and 0 once it is another. As in the authors' code, the unmixed images pass through the
network in every step after the warm-up, even where no result of that pass is used: batch norm's
statistics, which losses and predictions depend on, are then those of unmixed images too. In a run
so short that the warm-up, a fifth of it at least, reaches the start of correction, there is no
mixup phase.

[source] ``scope``: the authors ran "batch", neighbours within the batch by features of augmented
images in train mode. They intended something else: a to-do above that line asks for neighbours of
the original data, and the paper speaks of the training set. [inferred] "dataset" takes that for
neighbours among all training images, by features without augmentation, taken anew each epoch.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import Method, check_at_least
from bench.task import Batch, Task


class SoftMix(Method):
    """Warm-up, then mixup, then mixing with neighbours under soft targets."""

    reference_epochs = 300
    begins = ["warmup_epochs", "correction_start"]
    oracles = {"loss_window": ["noise_rate"]}
    # Without gradients: losses of all samples for the mixture, features of the batch.
    passes = (1, 2)
    axes = {"k": "k"}
    paper = {
        "backbone": "resnet34",
        "epochs": 300,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "schedule": "restarts",
        "period": 10 / 300,  # T0
        "minimum": 0.05,  # eta_min 1e-3
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code."""

        k: int = 1  # neighbours besides the sample itself; the authors' K is k + 1
        warmup_epochs: int = 10  # 30 for CIFAR-100
        correction_start: int = 60  # es
        update_every: int = 10  # epochs between two target updates
        momentum: float = 0.9  # m
        mixup_alpha: float = 1.0
        early_loss: Literal["mae", "ce"] = "mae"  # the code's, or the one it may have meant
        mixture: Literal["gmm", "bmm"] = "gmm"
        loss_window: Literal["oracle"] | int = 1
        scope: Literal["batch", "dataset"] = "batch"

        def __post_init__(self) -> None:
            check_at_least(self, 1, "k", "update_every", "loss_window", "warmup_epochs")
            if self.mixup_alpha <= 0 or not 0 <= self.momentum <= 1:
                raise InputError(
                    "softmix.mixup_alpha has to be above 0 and softmix.momentum from 0 to 1"
                )

    targets: Tensor
    clean: Tensor
    history: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("targets", F.one_hot(task.noisy_labels, task.num_classes).float())
        self.register_buffer("clean", torch.ones(task.num_train, device=task.device))
        window = self.hp.loss_window
        if window == "oracle":
            window = 5 if ops.nearest(ops.inclusive_rate(task), (0.2, 0.5, 0.8)) == 0.8 else 1
        history = torch.full((window, task.num_train), torch.nan, device=task.device)
        self.register_buffer("history", history)  # losses of the last epochs

    def epoch_start(self) -> None:
        [net] = self.networks
        self.first = self.warmup(self.hp.warmup_epochs - 1)
        start = max(self.first, self.phase(self.hp.correction_start - 1))
        self.since_correction = self.epoch - start
        in_batch = self.hp.scope == "batch"
        self.static_step = self.epoch < self.first or (self.since_correction > 0 and in_batch)
        if self.epoch < self.first:
            return
        classes = self.targets.argmax(1)

        def score(logits: Tensor, y: Tensor, index: Tensor) -> Tensor:
            return F.cross_entropy(logits, classes[index], reduction="none")

        losses = ops.min_max(ops.per_sample(self, net, score))
        self.history = torch.cat([self.history[1:], losses[None]])
        self.clean = ops.clean_probability(
            self.history.nanmean(0), self.hp.mixture, scale=False, shapes=self.task.mixtures
        )
        if self.since_correction > 0 and not in_batch:
            self.neighbours = ops.nearest_neighbours(ops.all_features(self, net), self.hp.k)

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        if self.epoch < self.first:
            return F.cross_entropy(net(batch.x), batch.y)
        since, every = self.since_correction, self.interval(self.hp.update_every)
        with torch.no_grad():
            features = net.forward_features(batch.x)
            if since >= 0 and since % every == 0:
                m, p = self.hp.momentum, net.head(features).float().softmax(1)
                self.targets[batch.index] = m * self.targets[batch.index] + (1 - m) * p
        if since <= 0:
            return self.random_mix_loss(batch)
        images = batch.x
        samples = torch.arange(len(images), device=images.device)[:, None]
        if self.hp.scope == "batch":
            nearest = ops.nearest_neighbours(features.float(), self.hp.k)
            numbers = batch.index[nearest]
        else:
            numbers = self.neighbours[batch.index]
            images = torch.cat([images, self.task.batch(numbers.flatten()).x])
            nearest = torch.arange(len(samples), len(images), device=images.device)
            nearest = nearest.view_as(numbers)
        group = torch.cat([batch.index[:, None], numbers], 1)
        mixed, targets = ops.mix_with_neighbours(
            images, torch.cat([samples, nearest], 1), self.clean[group], self.targets[group]
        )
        return ops.soft_cross_entropy(net(mixed).float(), targets)

    def random_mix_loss(self, batch: Batch) -> Tensor:
        """Return the loss under mixup with random partners.

        It mixes noisy labels at first, and soft targets in the epoch when correction starts.
        """
        [net] = self.networks
        mix = ops.draw_mix(self.task, len(batch.y), self.hp.mixup_alpha)
        logits = net(mix(batch.x)).float()
        if self.since_correction == 0:
            targets = mix(self.targets[batch.index])
        else:
            targets = mix(F.one_hot(batch.y, self.task.num_classes).float())
        if self.since_correction < 0 and self.hp.early_loss == "mae":
            return -(targets * logits.softmax(1)).sum(1).mean()
        return ops.soft_cross_entropy(logits, targets)

    def clean_probability(self) -> Tensor:
        return self.clean * (self.targets.argmax(1) == self.task.noisy_labels)

    def soft_targets(self) -> Tensor:
        return self.targets
