"""One epoch of a trial, repeated from the same state."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.datasets import Dataset
from bench.planning.spec import Plan, Scalar, TrialSpec, expand_hparams
from bench.speed.measure import Run, Settings
from bench.speed.networks import CLASSES, Case
from bench.training import loop
from bench.training.encoders import Encoder
from bench.training.outcome import Outcome

NOISE = 0.4


def dataset_for(case: Case, number: int) -> Dataset:
    """Return a data set of learnable classes with ``number`` training images after the split."""
    rng = np.random.default_rng(0)
    shape = (case.channels, case.side, case.side)
    patterns = rng.normal(0, 60, (CLASSES, *shape))

    def images(labels: np.ndarray) -> np.ndarray:
        values = 128 + patterns[labels] + rng.normal(0, 20, (len(labels), *shape))
        return values.clip(0, 255).astype(np.uint8)

    train, test = np.arange(round(number / 0.9)) % CLASSES, np.arange(100) % CLASSES
    return Dataset("patterns", images(train), train, images(test), test, tuple("abcdefghij"))


def specification(
    case: Case,
    data: Dataset,
    name: str,
    settings: Settings,
    hparams: Mapping[str, Scalar] | None = None,
    precision: str = "fp32",
    **recipe: Any,
) -> TrialSpec:
    """Return the trial of a method; ``recipe`` overrides fields of the data set's recipe."""
    overrides = {
        "backbone": case.backbone,
        "augmentation": "none" if case.side < 16 else "crop_flip",
        "learning_rate": 0.02,
        **recipe,
    }
    plan = Plan(
        overrides=tuple(overrides.items()),
        threads=settings.threads,
        device=settings.device,
        precision=precision,
    )
    changes = {key: [str(value)] for key, value in (hparams or {}).items()}
    [spec] = plan.specs(data, expand_hparams([name], {}, changes), [NOISE], [0])
    return spec


class Session:
    """A trial that stands before one of its epochs, with all earlier epochs trained."""

    def __init__(
        self, spec: TrialSpec, data: Dataset, epoch: int, encoder: Encoder | None = None
    ) -> None:
        self.run = loop.Run(spec, data, Outcome.of(spec), encoder=encoder)
        self.method, self.epoch = self.run.method, epoch
        self.images = len(self.run.data.labels.train)
        optimizer, stage = None, None
        for earlier in range(epoch + 1):
            self.run.enter(earlier)
            if optimizer is None or self.method.stage != stage:
                stage, optimizer = self.method.stage, self.run.new_optimizer()
            if earlier < epoch:
                self.run.train(earlier, optimizer)
        assert optimizer is not None
        self.optimizer = optimizer
        self.state = copy.deepcopy((self.method.state_dict(), optimizer.state_dict()))

    def rewind(self) -> None:
        """Return to the start of the epoch."""
        method, optimizer = copy.deepcopy(self.state)
        self.method.load_state_dict(method)
        self.optimizer.load_state_dict(optimizer)
        self.run.enter(self.epoch)
        self.method.train()

    def again(self) -> dict[str, Any]:
        """Train the epoch and return its record.

        ``samples_evaluated`` is added: the part of ``samples_inferred`` that networks in eval mode
        saw.
        """
        self.rewind()
        evaluated = 0

        def count(body: nn.Module, inputs: tuple[Tensor]) -> None:
            nonlocal evaluated
            if not (body.training or torch.is_grad_enabled()):
                evaluated += len(inputs[0])

        hooks = [net.body.register_forward_pre_hook(count) for net in self.run.counted]
        record = self.run.train(self.epoch, self.optimizer)
        for hook in hooks:
            hook.remove()
        return record.to_json() | {"samples_evaluated": evaluated}

    def forward(self) -> Run:
        """Return a forward pass of the first network in training mode over batches in memory."""
        self.rewind()
        batches = list(self.method.task.loader())

        def forward() -> None:
            self.method.train()
            with torch.no_grad(), self.method.task.autocast():
                for batch in batches:
                    self.method.networks[0](batch.x)

        return forward

    def evaluate(self) -> None:
        """Predict all training samples, not augmented, with the first network in eval mode."""
        self.method.eval()
        with torch.no_grad(), self.method.task.autocast():
            for batch in self.method.task.loader(train=False):
                self.method.networks[0](batch.x)
