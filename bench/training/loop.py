"""Training loop of one trial: setup, epochs, and the state that a restart needs."""

import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

import numpy as np
import torch
from msgspec import UNSET, UnsetType
from torch import Tensor

from bench.datasets import Dataset
from bench.networks.backbones import Network
from bench.networks.pretrained import Pretrained
from bench.planning.code_hash import code_of
from bench.planning.labels import Labels
from bench.planning.method_checks import check_privileges
from bench.planning.pretraining import pretrain_job
from bench.planning.spec import TrialSpec, method_for
from bench.records.schema import DIVERGED, FINISHED, SCHEMA, Epoch, PretrainedFacts, amount, present
from bench.task import Task
from bench.training.checkpoint import Checkpoint
from bench.training.checks import untouched
from bench.training.data import TrialData
from bench.training.encoders import Encoder
from bench.training.evaluation import Evaluation
from bench.training.graphs import steps_of
from bench.training.isolation import seed_globals
from bench.training.memory import peak_memory
from bench.training.outcome import Outcome
from bench.training.pixels import on_device
from bench.training.pretrain import train_encoder
from bench.training.seeds import hidden_seed

#: Random stream of the global generators, for code that draws from them (dropout).
GLOBAL = 2000


class Report(Protocol):
    """Receiver of the records of new epochs.

    With ``restart`` it gets all epochs that a checkpoint held, and earlier records are void.
    """

    def __call__(self, epochs: list[Epoch], restart: bool, /) -> None: ...


def no_report(epochs: list[Epoch], restart: bool, /) -> None:
    """Discard the records."""


def _facts_of_network(
    spec: TrialSpec, dataset: Dataset, start: Pretrained | None
) -> PretrainedFacts | UnsetType:
    """Return the facts of the network that a trial starts from, or whose features it reads."""
    if start:
        return PretrainedFacts(licence=start.licence)
    if spec.pretrained and (features := dataset.features):
        return PretrainedFacts(
            licence=features.licence,
            embedding_seconds=features.seconds,
            features_checksum=features.checksum,
        )
    return UNSET


class Run:
    """Training of one trial, epoch by epoch."""

    def __init__(
        self,
        spec: TrialSpec,
        dataset: Dataset,
        outcome: Outcome,
        *,
        encoder: Encoder | None = None,
        start: Pretrained | None = None,
        report: Report = no_report,
        checkpoint: Checkpoint | None = None,
        keep: Collection[str] = (),
    ) -> None:
        """Prepare data and method; ``outcome`` gets each fact as soon as it is known."""
        self.spec, self.outcome, self.start = spec, outcome, start
        self.report, self.checkpoint, self.keep = report, checkpoint, keep
        labels = Labels.of(spec, dataset)
        outcome.describe(spec, dataset, labels)
        outcome.pretrained = _facts_of_network(spec, dataset, start)
        self.data = TrialData(spec, dataset, labels)
        self.seed = hidden_seed("training", spec.train_seed, dataset)
        self.method = method_for(spec)
        self.records: list[Epoch] = []
        self.counted: list[Network] = []  # networks whose passes are counted
        self._setup(encoder)
        self.evaluation = Evaluation(spec, self.data, self.method)

    def _setup(self, encoder: Encoder | None) -> None:
        """Train the encoder where the method needs one, and set up each part of the method."""
        data = self.data
        # Read once, so that the record names the privileges that were granted.
        privileges = [check_privileges(part.privileges) for part in self.method.parts()]
        self.outcome.privileges = sorted(frozenset().union(*privileges))
        features = None
        if job := pretrain_job(self.spec):
            encoder = encoder or train_encoder(job, data.dataset, start=self.start)
            self.outcome.pretraining = encoder.facts(data.labels, data.dataset.num_classes)
            features = encoder.frozen(self._task(None, frozenset()))
            self.counted.append(features.network)
        for stream, (part, granted) in enumerate(zip(self.method.parts(), privileges, strict=True)):
            part.task = self._task(features, granted)
            part.task.seed(self.seed, stream)
            seed_globals(self.seed, stream)
            part.setup(part.task)
            self.counted += part.task.frozen_networks
        self.counted += [module for module in self.method.modules() if isinstance(module, Network)]

    def _task(self, encoder: Callable[[Tensor], Tensor] | None, granted: frozenset[str]) -> Task:
        """Return the view of the training set that one part of the method gets."""
        spec, recipe, labels = self.spec, self.spec.recipe, self.data.labels
        rate = float((labels.noisy != labels.truth).mean())
        facts = {"noise_rate": min(1.0, spec.told * rate), "noise_kind": spec.noise_kind}
        return Task(
            self.data.pixels,
            on_device(self.data.noisy.copy(), spec.device),
            self.data.dataset.num_classes,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            backbone=recipe.backbone,
            start=self.start,
            augmentation=recipe.augmentation,
            device=torch.device(spec.device),
            precision=spec.precision,
            encoder=encoder,
            facts={name: facts[name] for name in granted},
        )

    def complete(self) -> None:
        """Run all epochs that the checkpoint does not hold, and fill in the outcome."""
        optimizer = self.restore()
        stage = self.method.stage if optimizer else None
        for epoch in range(len(self.records), self.spec.recipe.epochs):
            self.enter(epoch)
            if optimizer is None or self.method.stage != stage:
                stage, optimizer = self.method.stage, self.new_optimizer()
            record = self.train(epoch, optimizer)
            self.evaluation.evaluate(record)
            if record.train_loss is None or not self.evaluation.finite:
                self.outcome.status = DIVERGED
                self.outcome.error = f"the loss or the predictions are not finite in epoch {epoch}"
                return self._sum_up([*self.records, record])
            self.records.append(record)
            self.report([record], False)
            if self.checkpoint and self.checkpoint.due() and epoch + 1 < self.spec.recipe.epochs:
                self.checkpoint.save(self.state(optimizer))
        self.outcome.status = FINISHED
        self._sum_up(self.records)
        with untouched(self.method):
            self.evaluation.keep_results(self.outcome, self.keep)

    def enter(self, epoch: int) -> None:
        """Seed every random stream from the epoch, so that a restart needs no generator's state."""
        seed_globals(self.seed, epoch, GLOBAL)
        for stream, part in enumerate(self.method.parts()):
            part.epoch = epoch
            part.task.seed(self.seed, epoch, stream)

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return the method's optimiser, its learning rates noted for the schedule."""
        optimizer = self.method.optimizer(self.method.param_groups())
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def train(self, epoch: int, optimizer: torch.optim.Optimizer) -> Epoch:
        """Train one epoch; return its record, not yet evaluated."""
        start = time.perf_counter()
        for net in self.counted:
            net.samples_trained = net.samples_inferred = 0
        factor = self.method.schedule(epoch / self.spec.recipe.epochs)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        for part in self.method.parts():
            part.task.mixtures.clear()
        self.method.train()
        self.method.epoch_start()
        step = steps_of(self.method, optimizer, self.counted, self.spec.device, self.spec.graphs)
        losses = [step(batch) for batch in self.method.batches()]
        self.method.epoch_end()
        loss = torch.stack(losses).mean().item()  # waits for the device, once an epoch
        self._check_labels()
        record = Epoch(
            epoch=epoch,
            train_loss=loss if np.isfinite(loss) else None,
            learning_rate=optimizer.param_groups[0]["lr"],
            samples_trained=sum(net.samples_trained for net in self.counted),
            samples_inferred=sum(net.samples_inferred for net in self.counted),
        )
        if epoch == 0:
            record.schema, record.privileges = SCHEMA, self.outcome.privileges
        if mixtures := [fit for part in self.method.parts() for fit in part.task.mixtures]:
            record.mixtures = mixtures
        record.train_seconds = time.perf_counter() - start
        return record

    def _check_labels(self) -> None:
        """Raise RuntimeError where the method has written into its labels.

        No checkpoint keeps them, so that a restart would lose the change.
        """
        for part in self.method.parts():
            if not np.array_equal(part.task.noisy_labels.cpu().numpy(), self.data.noisy):
                raise RuntimeError(
                    "training changed task.noisy_labels: write into a buffer of the method's own "
                    "instead"
                )

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return the content of a checkpoint."""
        return {
            "id": self.spec.id,
            "code": code_of(self.spec.method),
            "numbering": self.data.numbering,
            "method": self.method.state_dict(),
            "optimizer": optimizer.state_dict(),
            "records": [record.to_json() for record in self.records],
            "compared": torch.from_numpy(self.evaluation.compared),
        }

    def restore(self) -> torch.optim.Optimizer | None:
        """Take up the checkpoint's state; return its optimiser, or None without a checkpoint."""
        state = self.checkpoint.load(self.spec) if self.checkpoint else None
        if self.checkpoint and state and state.get("numbering") != self.data.numbering:
            self.checkpoint.warn(
                f"cannot use the checkpoint {self.checkpoint.path} (its samples have other numbers "
                "or labels than today's): the trial starts anew"
            )
            state = None
        if state is None:
            self.report([], True)
            return None
        self.records = [Epoch.from_json(record) for record in state["records"]]
        granted = present(self.records[0].privileges, [])  # before the restart
        self.outcome.privileges = sorted({*granted, *present(self.outcome.privileges, [])})
        self.evaluation.compared = state["compared"].numpy()
        self.enter(self.records[-1].epoch)
        self.method.load_state_dict(state["method"])
        optimizer = self.new_optimizer()
        optimizer.load_state_dict(state["optimizer"])
        self.report(self.records, True)
        return optimizer

    def _sum_up(self, records: list[Epoch]) -> None:
        """Fill in totals over these epochs, the diverged one included."""
        outcome, networks = self.outcome, self.method.networks
        outcome.add_totals(records, len(self.data.labels.train))
        outcome.epochs = len(self.records)
        pretraining = present(outcome.pretraining)
        outcome.pretrain_seconds = pretraining.pretrain_seconds if pretraining else 0.0
        if facts := present(outcome.pretrained):
            outcome.pretrain_seconds += amount(facts.embedding_seconds)
        outcome.parameters = sum(p.numel() for net in networks for p in net.parameters())
        outcome.peak_memory_bytes = peak_memory(self.spec.device)
