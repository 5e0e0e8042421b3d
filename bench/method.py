"""The plugin interface: base classes of a method for learning with noisy labels.

A method is one class in one file; the file's name is the method's name. Override the lowest hook
that suffices: most methods need ``loss`` alone. CONTRIBUTING.md walks through an example.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from bench.common.identity import added as added
from bench.errors import InputError
from bench.networks.backbones import Network
from bench.recipe import Recipe
from bench.recipe import SimSiam as SimSiam

if TYPE_CHECKING:
    from bench.task import Task


class Method(nn.Module):
    """A way of training classifiers on noisy labels.

    Everything that must survive a restart is a parameter or a buffer: ``state_dict`` holds all of
    a method's state.
    """

    num_networks: ClassVar[int] = 1
    #: Length of the authors' run, in epochs. Hyper-parameters that count epochs are for a run of
    #: this length; ``phase``, ``interval`` and ``warmup`` scale them.
    reference_epochs: ClassVar[int] = 300
    #: Axes of a sweep: name on the command line -> hyper-parameter. They are "k" (neighbours),
    #: "temperature" (of distillation) and "weight" (of the regulariser that the loss adds).
    axes: ClassVar[Mapping[str, str]] = {}
    #: The authors' recipe, for ``--recipe paper``: all fields, except ``backbone`` and
    #: ``augmentation`` where this project has no equal. An empty recipe stands for the data set's.
    #: A wrapper leaves it empty: its base's counts.
    paper: ClassVar[Mapping[str, Any]] = {}
    #: The authors' recipes for data sets that they train otherwise, by the data set's name. Each is
    #: whole, and its backbone may be a library's, such as "torchvision:resnet50.IMAGENET1K_V1".
    papers: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Hyper-parameters that count epochs of warm-up (see ``grace``).
    begins: ClassVar[Sequence[str]] = ()
    #: Passes of an average sample through the networks in an epoch of the main phase, with
    #: gradients and without. It is the mean where two phases share the run, and for half the labels
    #: clean where it depends on them. The harness counts the real passes; these are for estimates,
    #: and for readers.
    passes: ClassVar[tuple[float, float]] = (1, 0)
    #: True where the steps of an epoch are tensor code alone, so that a GPU can replay one of them
    #: for every batch. Such a step takes batches as ``task.loader()`` gives them, draws no random
    #: numbers, decides nothing in Python that differs between steps, and writes into the method's
    #: tensors instead of replacing them. ``epoch_start`` may set this too.
    static_step: bool = False

    #: Reason why the method cannot train a linear head on vectors; planning refuses with it. It
    #: completes the sentence "NAME cannot train a linear head: REASON". Empty where it can.
    linear_head: ClassVar[str] = ""
    #: Reason why the method needs plain SGD; planning refuses any other optimizer with it. It
    #: completes the sentence "NAME trains by SGD alone: REASON". Empty where it needs none.
    needs_sgd: ClassVar[str] = ""

    #: Privileges that a hyper-parameter reads when it is set to "oracle", such as
    #: {"forget_rate": ["noise_rate"]}.
    oracles: ClassVar[Mapping[str, Sequence[str]]] = {}

    @dataclass(frozen=True)
    class HParams:
        """Types and defaults, with the paper's symbols; ``__post_init__`` checks values."""

    hp: Any
    task: "Task"
    recipe: Recipe
    networks: Sequence[Network]

    def __init__(self, hparams: Any = None) -> None:
        super().__init__()
        self.hp = hparams if hparams is not None else self.HParams()
        self.epoch = 0  # set by the harness, on every part of a composed method

    # ------------------------------------------------------------------------
    # read by the method

    @property
    def privileges(self) -> frozenset[str]:
        """Facts that it reads beyond images and noisy labels, such as {"noise_rate"}.

        By default they follow from ``oracles``. A trial reads this once, before ``setup``: these
        facts are granted, and go on record.
        """
        oracles = self.oracles.items()
        return frozenset(
            fact for name, facts in oracles if getattr(self.hp, name) == "oracle" for fact in facts
        )

    def pretraining(self) -> "SimSiam | None":
        """Return the settings of the self-supervised encoder that it needs, or None.

        The encoder is trained before the method, which has it from ``task.encoder()``.
        """
        return None

    @property
    def needs_pretrained(self) -> bool:
        """True where it calls ``task.pretrained_encoder()``: it fine-tunes a pretrained network.

        Planning refuses such a trial where the network starts from random weights.
        """
        return False

    def phase(self, epochs: float) -> int:
        """Scale an epoch count of the authors' run to the length of this one."""
        return round(epochs * self.recipe.epochs / self.reference_epochs)

    def interval(self, epochs: float) -> int:
        """Scale a distance between two events: at least 1 epoch."""
        return max(1, self.phase(epochs))

    def warmup(self, epochs: float) -> int:
        """Scale a warm-up: at least a fifth of a run shorter than 50 epochs.

        Less would teach nothing there.
        """
        if epochs == 0:
            return 0
        floor = math.ceil(self.recipe.epochs / 5) if self.recipe.epochs < 50 else 1
        return max(self.phase(epochs), floor)

    def grace(self) -> int:
        """Return the number of epochs of warm-up, before which tuning stops no trial.

        Until then a good configuration cannot be told from a bad one.
        """
        counts = [getattr(self.hp, name) for name in self.begins]
        warmups = [self.warmup(count) for count in counts if not isinstance(count, str)]
        return max(warmups, default=0)

    # ------------------------------------------------------------------------
    # overridden by the method

    def setup(self, task: "Task") -> None:
        """Create networks and buffers. The harness has set ``self.task`` and seeded torch."""
        nets = [task.build_network() for _ in range(self.num_networks)]
        self.networks = nn.ModuleList(nets)  # type: ignore[assignment]  # declared as a sequence

    @property
    def stage(self) -> Hashable:
        """Phase of the run: a change means a fresh optimiser over ``param_groups()``."""
        return 0

    def param_groups(self) -> list[dict[str, Any]]:
        """Return the parameters that the optimiser trains, in groups as torch's optimisers take."""
        return [{"params": [parameter for net in self.networks for parameter in net.parameters()]}]

    def epoch_start(self) -> None:
        """Prepare an epoch: fit a mixture, refresh features. Train mode and gradients are on."""

    def batches(self) -> Iterator[Any]:
        """Yield an epoch's batches: anything that ``loss`` understands."""
        return self.task.loader()

    def students(self, batch: Any) -> Iterable[Network]:
        """Return the networks that a step on ``batch`` trains."""
        return self.networks

    def loss(self, batch: Any) -> Tensor:
        """Return a scalar to minimise."""
        raise NotImplementedError

    def update(self, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        """Take one step and return the loss, detached.

        A method that overrides this cannot be wrapped by one that adds a loss.
        """
        optimizer.zero_grad(set_to_none=True)
        with self.task.autocast():
            loss = self.loss(batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def epoch_end(self) -> None:
        """Finish an epoch, after its batches."""

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the recipe's optimiser."""
        recipe = self.recipe
        rate, decay = recipe.learning_rate, recipe.weight_decay
        # One kernel serves all parameters: on a GPU, a launch for each takes a good part of a small
        # network's step.
        fused = self.task.device.type == "cuda" or None
        if recipe.optimizer == "adam":
            return torch.optim.Adam(groups, rate, weight_decay=decay, fused=fused)
        return torch.optim.SGD(groups, rate, recipe.momentum, weight_decay=decay, fused=fused)

    def schedule(self, progress: float) -> float:
        """Return the learning-rate factor at ``progress`` in [0, 1); a pure function."""
        return self.recipe.rate_factor(progress)

    def predictors(self) -> Sequence[Network]:
        """Return the networks that predict at present; the features of the first are scored."""
        return self.networks

    def predict(self, x: Tensor) -> Tensor:
        """Return class probabilities (B, C) of normalised images, the mean over ``predictors``.

        Those of an image do not depend on the rest of the batch, and predicting changes no
        parameter or buffer: otherwise the trial fails.
        """
        return torch.stack([net(x).float().softmax(1) for net in self.predictors()]).mean(0)

    @property
    def settled(self) -> bool:
        """True where all predictions are those of the epoch before, so that none is made anew."""
        return False

    def clean_probability(self) -> Tensor | None:
        """Return the estimated probability (N,) that each training label is right, or None."""
        return None

    def soft_targets(self) -> Tensor | None:
        """Return the corrected targets (N, C) of the training samples, or None."""
        return None

    def transition_matrix(self) -> Tensor | None:
        """Return estimated probabilities (C, C), or None.

        Row i holds the probability of each label for samples of class i.
        """
        return None

    def figures(self) -> dict[str, float]:
        """Return figures of the epoch, such as an estimated noise rate, for its record."""
        return {}

    # ------------------------------------------------------------------------
    # called by the harness

    def parts(self) -> list["Method"]:
        """Return the host first, then the wrappers from the inside out."""
        return [self]


class Wrapper(Method):
    """A method that adds to another one, its ``base``, and delegates every other hook to it.

    It draws a second batch beside the base's, never looks into the base's, and adds its term only
    to ``base.students(batch)``. The harness sets up the base before it.
    """

    passes = (0, 0)  # on top of the base's

    def __init__(self, hparams: Any, base: Method) -> None:
        super().__init__(hparams)
        adds_loss = type(self).loss is not Wrapper.loss
        if adds_loss and any(takes_own_steps(type(part)) for part in base.parts()):
            raise InputError(
                f"{_name(type(self))} adds a loss to every step, but {_name(type(base))} takes its "
                "own steps: choose another base"
            )
        self.base = base

    def parts(self) -> list[Method]:
        return [*self.base.parts(), self]

    def setup(self, task: "Task") -> None:
        """Create the wrapper's networks and buffers; the base has been set up already."""

    @property
    def networks(self) -> Sequence[Network]:  # type: ignore[override]
        return self.base.networks

    @property
    def stage(self) -> Hashable:
        return self.base.stage

    def param_groups(self) -> list[dict[str, Any]]:
        return self.base.param_groups()

    def epoch_start(self) -> None:
        self.base.epoch_start()

    def batches(self) -> Iterator[Any]:
        return self.base.batches()

    def students(self, batch: Any) -> Iterable[Network]:
        return self.base.students(batch)

    def loss(self, batch: Any) -> Tensor:
        return self.base.loss(batch)

    def update(self, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        if type(self).loss is Wrapper.loss:
            return self.base.update(batch, optimizer)
        return super().update(batch, optimizer)

    def epoch_end(self) -> None:
        self.base.epoch_end()

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return self.base.optimizer(groups)

    def schedule(self, progress: float) -> float:
        return self.base.schedule(progress)

    def predictors(self) -> Sequence[Network]:
        return self.base.predictors()

    def predict(self, x: Tensor) -> Tensor:
        return self.base.predict(x)

    @property
    def settled(self) -> bool:
        return self.base.settled

    def clean_probability(self) -> Tensor | None:
        return self.base.clean_probability()

    def soft_targets(self) -> Tensor | None:
        return self.base.soft_targets()

    def transition_matrix(self) -> Tensor | None:
        return self.base.transition_matrix()

    def figures(self) -> dict[str, float]:
        return self.base.figures()


def takes_own_steps(method: type[Method]) -> bool:
    """Tell whether a method steps its optimiser itself, so that no wrapper can add a loss."""
    return method.update not in (Method.update, Wrapper.update)


def check_positive(hparams: object, *names: str) -> None:
    """Raise InputError unless these hyper-parameters are above 0; words such as "oracle" pass."""
    _check(hparams, names, lambda value: value > 0, "give a number above 0")


def check_nonnegative(hparams: object, *names: str) -> None:
    """Raise InputError unless these hyper-parameters are 0 or above; words pass."""
    _check(hparams, names, lambda value: value >= 0, "give a number from 0")


def check_share(hparams: object, *names: str) -> None:
    """Raise InputError unless these hyper-parameters are from 0 to 1; words pass."""
    _check(hparams, names, lambda value: 0 <= value <= 1, "give a number from 0 to 1")


def check_at_least(hparams: object, least: int, *names: str) -> None:
    """Raise InputError unless these hyper-parameters are at least ``least``; words pass."""
    _check(hparams, names, lambda value: value >= least, f"give at least {least}")


def _check(
    hparams: object, names: Iterable[str], valid: Callable[[float], bool], advice: str
) -> None:
    for name in names:
        value = getattr(hparams, name)
        if not isinstance(value, str) and not valid(value):
            raise InputError(f"{_name(type(hparams))}.{name} is {value:g}: {advice}")


def _name(plugin: type) -> str:
    """Name of a method, from a class in its file."""
    return plugin.__module__.rpartition(".")[2]
