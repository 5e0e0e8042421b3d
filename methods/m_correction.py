"""M-correction (Arazo et al., ICML 2019, arXiv 1904.11238): a mixture of two Beta distributions on
the losses gives the probability that a label is wrong, and with it the weight of the network's
prediction in the target, under mixup (their M-DYR-H and M-DYR-S).

From the authors' code (GitHub PaulAlbert31/LabelNoiseCorrection, commit 5e9a73e): before the fit,
losses outside the 5th to 95th percentile are left out and the rest scaled to [0, 1]. The posterior
is read from a table of 100 losses, in which it does not fall again behind its peak. A batch's
predictions are taken in train mode before the mixed images pass. Its losses are taken anew in eval
mode, after that pass with ``hard`` and before it with ``soft``: each pass in train mode moves the
statistics that eval mode uses. [inferred] The fitted losses are those of images without
augmentation. ``clean_probability`` is read from the table at the start of the last epoch. Left out:
dynamic mixup (MD-DYR-SH), the authors' choice at 90 % noise.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.method import Method, check_nonnegative, check_positive
from bench.task import Batch, Task

#: Number of losses in the table of posteriors.
RESOLUTION = 100

#: Distance of the table's ends from 0 and 1, where a density may be infinite; it is also added to
#: the sum of both densities.
EDGE = 1e-12


class MCorrection(Method):
    """Mixup, then mixup with dynamic bootstrapping."""

    begins = ["correction_start"]
    # Without gradients: losses of all samples for the mixture, a batch's predictions and losses.
    passes = (1, 3)
    paper = {
        "backbone": "preact_resnet18",
        "epochs": 300,
        "augmentation": "crop_flip",
        "batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "schedule": "step",
        "milestones": (1 / 3, 5 / 6),
        "gamma": 0.1,
    }

    @dataclass(frozen=True)
    class HParams:
        """[source] Defaults of the authors' code and its run scripts."""

        correction_start: int = 105  # epochs of plain mixup
        mixup_alpha: float = 32.0  # alpha
        bootstrap: Literal["hard", "soft"] = "hard"  # the predicted class, or the distribution
        uniform_weight: float = 1.0  # eta: keeps the mean prediction near uniform

        def __post_init__(self) -> None:
            check_nonnegative(self, "correction_start", "uniform_weight")
            check_positive(self, "mixup_alpha")

    clean: Tensor
    targets: Tensor

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("clean", torch.ones(task.num_train, device=task.device))
        self.register_buffer("targets", F.one_hot(task.noisy_labels, task.num_classes).float())

    def epoch_start(self) -> None:
        [net] = self.networks
        self.correcting = self.epoch >= self.warmup(self.hp.correction_start)
        if self.correcting:
            losses = ops.per_sample_loss(self, net)
            self.model = LossModel(losses, self.task.mixtures)
            self.clean = 1 - self.model.noisy(losses)

    def loss(self, batch: Batch) -> Tensor:
        [net] = self.networks
        labels = F.one_hot(batch.y, self.task.num_classes).float()
        if self.correcting:
            with torch.no_grad():
                predicted = net(batch.x).float()
            if self.hp.bootstrap == "soft":
                noisy = self.noisy(batch)
        mix = ops.draw_mix(self.task, len(batch.y), self.hp.mixup_alpha)
        logits = net(mix(batch.x)).float()
        if self.correcting:
            if self.hp.bootstrap == "hard":
                noisy = self.noisy(batch)
            labels = (1 - noisy) * labels + noisy * self.guess(predicted)
            self.targets[batch.index] = labels
        loss = ops.soft_cross_entropy(logits, mix(labels))
        if self.correcting:
            loss = loss + self.hp.uniform_weight * ops.uniform_divergence(logits.softmax(1))
        return loss

    def guess(self, logits: Tensor) -> Tensor:
        """Return the predicted class or distribution (B, C)."""
        if self.hp.bootstrap == "soft":
            return logits.softmax(1)
        return F.one_hot(logits.argmax(1), self.task.num_classes).float()

    @torch.no_grad()
    def noisy(self, batch: Batch) -> Tensor:
        """Return the probability (B, 1) that each label is wrong, by the loss in eval mode."""
        [net] = self.networks
        net.eval()
        losses = F.cross_entropy(net(batch.x).float(), batch.y, reduction="none")
        net.train()
        return self.model.noisy(losses)[:, None]

    def clean_probability(self) -> Tensor:
        return self.clean

    def soft_targets(self) -> Tensor:
        """Return each sample's most recent training target."""
        return self.targets


class LossModel:
    """Probability that a sample with a given loss has a wrong label."""

    def __init__(self, losses: Tensor, shapes: list[str] | None = None) -> None:
        """Fit to the losses (N,) of the training set; ``shapes`` is ``ops.fit_mixture``'s."""
        self.low, self.high = torch.quantile(losses, losses.new_tensor([0.05, 0.95]))
        # The double negation keeps NaN, so that the fit can tell.
        scaled = self.scale(losses[~((losses < self.low) | (losses > self.high))]).double()
        grid = torch.linspace(0, 1, RESOLUTION, device=losses.device, dtype=scaled.dtype)
        pair = ops.fit_mixture(scaled, "bmm", shapes, start=torch.stack([1 - scaled, scaled]))
        posterior = torch.zeros_like(grid)  # without a fit, no label counts as noisy
        if isinstance(pair, ops.BetaPair):
            joint = pair.log_joint(grid, edge=EDGE).exp()
            posterior = joint[1] / (joint.sum(0) + EDGE)
        peak = posterior.argmax()
        behind = torch.arange(RESOLUTION, device=losses.device) >= peak
        table = torch.where(behind, posterior[peak], posterior).to(losses.dtype)
        self.table = table.clamp(1e-4, 1 - 1e-4)

    def scale(self, losses: Tensor) -> Tensor:
        """Scale losses from the 5th to the 95th percentile to [0, 1].

        Losses beyond that come to a thousandth inside.
        """
        scaled = (losses - self.low - 1e-5) / (self.high - self.low - 9e-6).clamp_min(1e-6)
        return scaled.masked_fill(scaled >= 1, 1 - 1e-3).masked_fill(scaled <= 0, 1e-3)

    def noisy(self, losses: Tensor) -> Tensor:
        """Return the posterior (B,) of the high-loss component."""
        return self.table[(RESOLUTION * self.scale(losses).nan_to_num(1 - 1e-3)).long()]
