"""The plugin interface: what a method for learning with noisy labels is.

A method is one class in one file; the file's name is the method's name. Override the lowest hook
that suffices: most methods need ``loss`` alone. CONTRIBUTING.md walks through an example.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
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

    Everything that must survive a restart is a parameter or a buffer: ``state_dict`` is the whole
    of a method's state.
    """

    num_networks: ClassVar[int] = 1
    #: Length of the authors' run. Hyper-parameters that count epochs are in its units (see
    #: ``phase`` and ``warmup``).
    reference_epochs: ClassVar[int] = 300
    #: The sweep's axes: name on the command line -> hyper-parameter.
    axes: ClassVar[Mapping[str, str]] = {}
    #: The authors' recipe, for ``--recipe paper``: all fields, but for ``backbone`` and
    #: ``augmentation`` where theirs are none of ours. Without any, the data set's recipe is taken.
    #: A wrapper states none: its base's counts.
    paper: ClassVar[Mapping[str, Any]] = {}
    #: Hyper-parameters that count the epochs before the method does more than warm up (see
    #: ``grace``).
    begins: ClassVar[Sequence[str]] = ()
    #: Passes of an average sample through the networks in an epoch of the main phase, with
    #: gradients and without: the algorithm on paper, the mean where two phases share the run, and
    #: at half the labels clean where it depends on them. The harness counts the real ones; these
    #: are for estimates, and for readers.
    passes: ClassVar[tuple[float, float]] = (1, 0)
    #: Whether the steps of an epoch are tensor code alone, so that a GPU can replay one of them for
    #: every batch: on batches as ``task.loader()`` gives them, without random numbers, decisions by
    #: Python on what differs between steps, or tensors of the method's that are replaced instead of
    #: written into. It may be set in ``epoch_start``.
    static_step: bool = False

    #: What a hyper-parameter reads of the truth when it is set to "oracle": {"forget_rate":
    #: ["noise_rate"]}.
    oracles: ClassVar[Mapping[str, Sequence[str]]] = {}

    @dataclass(frozen=True)
    class HParams:
        """Types and defaults, with the paper's symbol beside each. ``__post_init__`` checks values."""

    hp: Any
    task: "Task"
    recipe: Recipe
    networks: Sequence[Network]

    def __init__(self, hparams: Any = None) -> None:
        super().__init__()
        self.hp = hparams if hparams is not None else self.HParams()
        self.epoch = 0  # set by the harness, on every part of a composed method

    # ------------------------------------------------------------------------------------------
    # what a method reads

    @property
    def privileges(self) -> frozenset[str]:
        """Facts that it reads beyond images and noisy labels, such as {"noise_rate"}; by default
        what ``oracles`` says.

        A trial asks once, before ``setup``: the answer is granted and goes on record.
        """
        asked = [
            facts for name, facts in self.oracles.items() if getattr(self.hp, name) == "oracle"
        ]
        return frozenset(fact for facts in asked for fact in facts)

    def pretraining(self) -> "SimSiam | None":
        """The self-supervised encoder it needs before training, if any; given by
        ``task.encoder()``.
        """
        return None

    def phase(self, epochs: float) -> int:
        """An epoch count of the authors' run, scaled to the length of this one."""
        return round(epochs * self.recipe.epochs / self.reference_epochs)

    def interval(self, epochs: float) -> int:
        """A scaled distance between two events: at least 1."""
        return max(1, self.phase(epochs))

    def warmup(self, epochs: float) -> int:
        """A scaled warm-up: at least a fifth of a run shorter than 50 epochs, where a tenth would
        teach nothing.
        """
        if epochs == 0:
            return 0
        floor = math.ceil(self.recipe.epochs / 5) if self.recipe.epochs < 50 else 1
        return max(self.phase(epochs), floor)

    def grace(self) -> int:
        """Epochs of warm-up, in which nobody can tell a good configuration: tuning stops no trial
        before they are over.
        """
        counts = [getattr(self.hp, name) for name in self.begins]
        return max(
            (self.warmup(count) for count in counts if not isinstance(count, str)), default=0
        )

    # --------------------------------------------------------------------------------------------
    # what it overrides

    def setup(self, task: "Task") -> None:
        """Create networks and buffers. The harness has set ``self.task`` and seeded torch."""
        nets = [task.build_network() for _ in range(self.num_networks)]
        self.networks = nn.ModuleList(nets)  # type: ignore[assignment]  # what it is to a reader of the interface

    @property
    def stage(self) -> Hashable:
        """A change from one epoch to the next means a fresh optimiser over ``param_groups()``."""
        return 0

    def param_groups(self) -> list[dict[str, Any]]:
        """What the optimiser trains."""
        return [{"params": [parameter for net in self.networks for parameter in net.parameters()]}]

    def epoch_start(self) -> None:
        """Once before an epoch's batches: fit a mixture, refresh features. Runs in train mode, with
        gradients on.
        """

    def batches(self) -> Iterator[Any]:
        """An epoch's batches; may yield anything its own ``loss`` understands."""
        return self.task.loader()

    def students(self, batch: Any) -> Iterable[Network]:
        """The networks that a step on ``batch`` trains."""
        return self.networks

    def loss(self, batch: Any) -> Tensor:
        """A scalar to minimise."""
        raise NotImplementedError

    def update(self, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        """One step. Returns the loss, detached. A method that overrides this cannot be wrapped by
        one that adds a loss.
        """
        optimizer.zero_grad(set_to_none=True)
        with self.task.autocast():
            loss = self.loss(batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def epoch_end(self) -> None:
        """Once after an epoch's batches."""

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The recipe's optimiser."""
        recipe = self.recipe
        # One kernel for all parameters: on a GPU a launch each is a good part of a small network's
        # step.
        fused = self.task.device.type == "cuda" or None
        rate, decay = recipe.learning_rate, recipe.weight_decay
        if recipe.optimizer == "adam":
            return torch.optim.Adam(groups, rate, weight_decay=decay, fused=fused)
        return torch.optim.SGD(
            groups, rate, momentum=recipe.momentum, weight_decay=decay, fused=fused
        )

    def schedule(self, progress: float) -> float:
        """Learning-rate factor at ``progress`` in [0, 1); a pure function."""
        return self.recipe.rate_factor(progress)

    def predictors(self) -> Sequence[Network]:
        """The networks that predict at present; the features of the first are those that are
        scored.
        """
        return self.networks

    def predict(self, x: Tensor) -> Tensor:
        """Class probabilities (B, C) of normalised images: the mean over the networks that predict.

        An image's do not depend on the others, and predicting changes no parameter or buffer: else
        the trial fails.
        """
        return torch.stack([net(x).float().softmax(1) for net in self.predictors()]).mean(0)

    def clean_probability(self) -> Tensor | None:
        """Estimated probability (N,) that each training label is right, or None."""
        return None

    def soft_targets(self) -> Tensor | None:
        """Corrected targets (N, C) of the training samples, or None."""
        return None

    def transition_matrix(self) -> Tensor | None:
        """Estimated probability (C, C) that a sample of the row's class is labelled as the
        column's, or None.
        """
        return None

    # ---------------------------------------------------------------------------------------------
    # for the harness

    def parts(self) -> list["Method"]:
        """Host first, then the wrappers from the inside out."""
        return [self]


class Wrapper(Method):
    """A method that adds to another one, its ``base``; delegates what it does not override.

    It draws its own batch beside the base's, never looks into the base's, and adds its term only to
    ``base.students(batch)``. The harness sets up the base before it.
    """

    passes = (0, 0)  # on top of the base's

    def __init__(self, hparams: Any, base: Method) -> None:
        super().__init__(hparams)
        if type(self).loss is not Wrapper.loss and any(
            takes_own_steps(type(part)) for part in base.parts()
        ):
            raise InputError(
                f"{_name(self)} adds a loss to every step, but {_name(base)} takes its own steps: "
                "choose another base"
            )
        self.base = base

    def parts(self) -> list[Method]:
        return [*self.base.parts(), self]

    def setup(self, task: "Task") -> None:
        """Create what is the wrapper's own; the base has been set up already."""

    @property
    def networks(self) -> Sequence[Network]:  # type: ignore[override]  # the base's, not a module of its own
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

    def clean_probability(self) -> Tensor | None:
        return self.base.clean_probability()

    def soft_targets(self) -> Tensor | None:
        return self.base.soft_targets()

    def transition_matrix(self) -> Tensor | None:
        return self.base.transition_matrix()


def takes_own_steps(method: type[Method]) -> bool:
    """Whether the method steps its optimiser itself, so that no wrapper can add a loss."""
    return method.update not in (Method.update, Wrapper.update)


def _name(method: Method) -> str:
    return type(method).__module__.rpartition(".")[2]
