"""A trial that stands before one of its epochs, so that this epoch can be run again and again."""

import copy
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
    """``number`` training images after the split, of classes that can be learned: a pattern each,
    under noise.
    """
    rng = np.random.default_rng(0)
    shape = (case.channels, case.side, case.side)
    patterns = rng.normal(0, 60, (CLASSES, *shape))

    def images(labels: np.ndarray) -> np.ndarray:
        return (
            (128 + patterns[labels] + rng.normal(0, 20, (len(labels), *shape)))
            .clip(0, 255)
            .astype(np.uint8)
        )

    train, test = np.arange(round(number / 0.9)) % CLASSES, np.arange(100) % CLASSES
    return Dataset("patterns", images(train), train, images(test), test, tuple("abcdefghij"))


def specification(
    case: Case,
    data: Dataset,
    name: str,
    settings: Settings,
    changes: dict[str, Scalar],
    precision: str = "fp32",
    **recipe: Any,
) -> TrialSpec:
    """The trial of a method with these hyper-parameters, on a recipe that differs from the data
    set's by ``recipe``.
    """
    augmentation = "none" if case.side < 16 else "crop_flip"
    recipe = {
        "backbone": case.backbone,
        "augmentation": augmentation,
        "learning_rate": 0.02,
    } | recipe
    plan = Plan(
        overrides=tuple(recipe.items()),
        threads=settings.threads,
        device=settings.device,
        precision=precision,
    )
    configurations = expand_hparams(
        [name], {}, {key: [str(value)] for key, value in changes.items()}
    )
    [spec] = plan.specs(data, configurations, [NOISE], [0])
    return spec


class Session:
    """All earlier epochs are trained once; ``again`` goes back to where they ended."""

    def __init__(
        self, spec: TrialSpec, data: Dataset, epoch: int, encoder: Encoder | None = None
    ) -> None:
        self.epoch = epoch
        self.run = loop.Run(spec, data, Outcome.of(spec), encoder=encoder)
        self.method = self.run.method
        optimizer, stage = None, None
        for earlier in range(epoch + 1):
            self.run.enter(earlier)
            if optimizer is None or self.method.stage != stage:
                stage, optimizer = self.method.stage, self.run.new_optimizer()
            if earlier < epoch:
                self.run.train(earlier, optimizer)
        assert optimizer is not None
        self.optimizer = optimizer
        self._state = copy.deepcopy((self.method.state_dict(), optimizer.state_dict()))

    @property
    def images(self) -> int:
        """Training images."""
        return len(self.run.data.labels.train)

    def start_from(self, other: "Session") -> None:
        """The epoch of another session of the same method."""
        self._state = other._state

    def rewind(self) -> None:
        """Back to the start of the epoch."""
        method, optimizer = copy.deepcopy(self._state)
        self.method.load_state_dict(method)
        self.optimizer.load_state_dict(optimizer)
        self.run.enter(self.epoch)
        self.method.train()

    def again(self) -> dict[str, Any]:
        """Train the epoch; its record, and of the samples inferred those that networks in eval mode
        saw.
        """
        self.rewind()
        evaluated = 0

        def note(body: nn.Module, inputs: tuple[Tensor]) -> None:
            nonlocal evaluated
            if not (body.training or torch.is_grad_enabled()):
                evaluated += len(inputs[0])

        hooks = [net.body.register_forward_pre_hook(note) for net in self.run.counted]
        record = self.run.train(self.epoch, self.optimizer)
        for hook in hooks:
            hook.remove()
        return record.to_json() | {"samples_evaluated": evaluated}

    def forward(self) -> Run:
        """A pass of the first network in training mode over the epoch's batches, once they are
        there, that learns nothing.
        """
        self.rewind()
        batches = list(self.method.task.loader())

        def pass_over() -> None:
            self.method.train()
            with torch.no_grad(), self.method.task.autocast():
                for batch in batches:
                    self.method.networks[0](batch.x)

        return pass_over

    def evaluate(self) -> None:
        """A pass of the first network in eval mode over all training samples as they are."""
        self.method.eval()
        with torch.no_grad(), self.method.task.autocast():
            for batch in self.method.task.loader(train=False):
                self.method.networks[0](batch.x)
