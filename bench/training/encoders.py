"""Pretrained encoders: their facts, their use by a method, and their file."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.networks.body import load_arrays
from bench.planning.code_hash import harness_hash
from bench.planning.labels import Labels
from bench.records.schema import Pretraining
from bench.task import FrozenEncoder, Task

_ARRAYS = ("probes", "neighbours_before", "neighbours_after")
_NUMBERS = ("spread", "train_seconds", "loss")


@dataclass
class Encoder:
    """Weights and facts of a pretrained encoder, as plain arrays that need no pickle."""

    weights: dict[str, np.ndarray]
    probes: np.ndarray  # (Q,) int64: training images whose neighbours were looked up
    neighbours_before: np.ndarray  # (Q, K) int64: by the features of the random start
    neighbours_after: np.ndarray  # (Q, K) int64: by the trained features
    spread: float  # of the projections: 1 is healthy, 0 collapsed
    train_seconds: float
    loss: float

    def knn_accuracy(self, labels: np.ndarray, num_classes: int) -> tuple[float, float]:
        """Return accuracies of the neighbours' votes, before and after pretraining.

        Args:
            labels: of all training images, (N,); clean or noisy.
        """
        before, after = (
            [np.bincount(labels[row], minlength=num_classes).argmax() for row in neighbours]
            for neighbours in (self.neighbours_before, self.neighbours_after)
        )
        truth = labels[self.probes]
        return float((np.stack(before) == truth).mean()), float((np.stack(after) == truth).mean())

    def facts(self, labels: Labels, num_classes: int) -> Pretraining:
        """Return quality and cost; accuracies on clean labels only where all are known."""
        noisy = self.knn_accuracy(labels.noisy, num_classes)
        clean: tuple[float | None, float | None] = (None, None)
        if (labels.truth >= 0).all():
            clean = self.knn_accuracy(labels.truth, num_classes)
        return Pretraining(
            knn_accuracy_noisy_before=noisy[0],
            knn_accuracy_noisy=noisy[1],
            knn_accuracy_clean_before=clean[0],
            knn_accuracy_clean=clean[1],
            spread=self.spread,
            loss=self.loss,
            pretrain_seconds=self.train_seconds,
        )

    def frozen(self, task: Task) -> FrozenEncoder:
        """Return the encoder as a function, on the device and in the precision of the task."""
        net = task.build_network()
        load_arrays(net.body, self.weights)
        return FrozenEncoder(net, task)


def save_encoder(encoder: Encoder) -> bytes:
    """Return the encoder as safetensors, with the hash of today's code."""
    from safetensors.numpy import save

    arrays = {f"weights.{name}": array for name, array in encoder.weights.items()}
    arrays |= {name: getattr(encoder, name) for name in _ARRAYS}
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    numbers = {name: repr(getattr(encoder, name)) for name in _NUMBERS}
    return save(arrays, metadata=numbers | {"code": harness_hash()})


def load_encoder(blob: bytes) -> Encoder:
    """Return the encoder that ``save_encoder`` wrote."""
    from safetensors.numpy import load

    arrays, facts = load(blob), _metadata(blob)
    weights = {
        name.removeprefix("weights."): array
        for name, array in arrays.items()
        if name.startswith("weights.")
    }
    fields: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
    fields |= {name: float(facts[name]) for name in _NUMBERS}
    return Encoder(weights, **fields)


def by_this_code(blob: bytes) -> bool:
    """Return whether today's code trained the encoder that ``save_encoder`` wrote."""
    return _metadata(blob).get("code") == harness_hash()


def _metadata(blob: bytes) -> dict[str, str]:
    length = int.from_bytes(blob[:8], "little")
    return json.loads(blob[8 : 8 + length])["__metadata__"]
