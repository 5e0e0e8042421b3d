"""Evaluation of a method after each epoch: predictions, and their figures in the record."""

import time
from collections.abc import Callable, Collection

import numpy as np
import torch
from torch import Tensor, nn

from bench.method import Method
from bench.planning.selection import clean_validation
from bench.planning.spec import TrialSpec
from bench.records.packing import pack_numbers
from bench.records.schema import Epoch
from bench.task import Pixels, Vectors
from bench.training import scoring
from bench.training.checks import (
    BATCH,
    PART,
    check_alike,
    check_probabilities,
    shaped,
    tensor_of,
    untouched,
)
from bench.training.data import PROBE_SEED, TrialData
from bench.training.outcome import Outcome
from bench.training.pixels import on_device
from bench.training.seeds import hidden_seed, shuffled


class Evaluation:
    """Predictions of one trial's method, replaced after each epoch."""

    validation: np.ndarray  # (V, C) probabilities
    tests: dict[str, np.ndarray]  # test set -> (T, C) probabilities
    probes: np.ndarray  # (P,) predicted classes of the training samples that scores judge
    #: Predicted classes (S,) of the training samples that are compared from epoch to epoch; None
    #: before the first epoch.
    compared: np.ndarray | None

    def __init__(self, spec: TrialSpec, data: TrialData, method: Method) -> None:
        self.spec, self.data, self.method = spec, data, method
        self.seed = hidden_seed("evaluation", spec.train_seed, data.dataset)
        self.checked = self.predicted = False
        self.compared = None

    @property
    def test(self) -> np.ndarray:
        """Probabilities (T, C) of the main test set."""
        return self.tests["test"]

    @property
    def finite(self) -> bool:
        """True where all predictions of test images are finite."""
        return bool(np.isfinite(self.test).all())

    def evaluate(self, epoch: Epoch) -> None:
        """Predict all images, and fill in the epoch's figures.

        Raises:
            EvaluationError: where the method breaks a rule of evaluation.
        """
        start = time.perf_counter()
        with untouched(self.method):
            self._measure(epoch)
        # Checked again in the last epoch: a later stage may predict otherwise.
        if not self.checked or epoch.epoch + 1 == self.spec.recipe.epochs:
            self.checked = True
            self._check_independence()
        epoch.eval_seconds = time.perf_counter() - start

    def _predict(self) -> None:
        """Predict all samples, unless the method's predictions stay those of the epoch before."""
        self.method.eval()
        if self.predicted and self.method.settled:
            return
        data, self.predicted = self.data, True
        self.validation = self.predict(data.validation)
        self.tests = {name: self.predict(pixels) for name, (pixels, _) in data.tests.items()}
        if self.finite:
            self._predict_training()

    def _predict_training(self) -> None:
        """Predict the samples that scores judge, and those that are compared, each once."""
        data = self.data
        classes = np.empty(len(data.numbers), dtype=int)
        for positions in (data.probes, np.setdiff1d(data.compared, data.probes)):
            if len(positions):
                classes[positions] = self.predict(data.pixels, data.numbers[positions]).argmax(1)
        self.probes, self.compared = classes[data.probes], classes[data.compared]

    def _measure(self, epoch: Epoch) -> None:
        labels, before = self.data.labels, self.compared
        self._predict()
        accuracies = {
            f"{name}_accuracy": float((values.argmax(1) == self.data.tests[name][1]).mean())
            for name, values in self.tests.items()
        }
        guesses = self.validation.argmax(1)
        epoch.noisy_val_accuracy = float((guesses == labels.noisy[labels.validation]).mean())
        epoch.clean_val_accuracy = clean_validation(guesses, labels.validation_truth)
        epoch.test_accuracy = accuracies.pop("test_accuracy")
        epoch.others = accuracies
        if self.finite:
            self._score(epoch)
            if before is not None:
                epoch.prediction_changes = int(np.count_nonzero(self.compared != before))
        if figures := self.method.figures():
            epoch.method_figures = {name: float(value) for name, value in figures.items()}
        epoch.val_predictions = pack_numbers(guesses)

    def _score(self, epoch: Epoch) -> None:
        """Fill in calibration, and scores against the true training labels that are known."""
        data, test_labels = self.data, self.data.dataset.test_labels
        epoch.calibration_error = scoring.calibration_error(self.test, test_labels)
        epoch.worst_class_accuracy = scoring.worst_class_accuracy(self.test.argmax(1), test_labels)
        if not len(data.known):
            return
        noisy, clean = data.labels.noisy, data.labels.truth
        probes, known = data.labels.train[data.probes], data.labels.train[data.known]
        epoch.memorised_clean, epoch.memorised_wrong, epoch.recovered_wrong = scoring.memorisation(
            self.probes, noisy[probes], clean[probes]
        )
        per_sample = self.per_sample()
        if (probability := per_sample.get("clean_probability")) is not None:
            epoch.detection_auc, epoch.detection_precision, epoch.detection_recall = (
                scoring.detection(probability[data.known], noisy[known] != clean[known])
            )
        if (targets := per_sample.get("soft_targets")) is not None:
            epoch.label_correction_accuracy = scoring.correction(targets[data.known], clean[known])

    @torch.inference_mode()
    def _check_independence(self) -> None:
        """Check on a few images that the prediction of one does not depend on the others."""
        self.method.eval()
        count = min(BATCH, len(self.data.validation))
        images = self.data.validation(on_device(np.arange(count), self.spec.device))
        part = images[: min(PART, (count + 1) // 2)]
        with self.method.task.autocast():
            together, alone = (self.method.predict(batch).float() for batch in (images, part))
        check_alike(together, alone, self.spec.precision)

    def predict(self, pixels: Pixels | Vectors, positions: np.ndarray | None = None) -> np.ndarray:
        """Return class probabilities (len(positions), C), of all images by default."""
        probabilities = self.apply("predict", self.method.predict, pixels, positions)
        check_probabilities(probabilities, self.data.dataset.num_classes)
        return probabilities

    def features(self, pixels: Pixels | Vectors, positions: np.ndarray) -> np.ndarray:
        """Return features (len(positions), D) of the first network that predicts."""
        network = self.method.predictors()[0]
        return self.apply("forward_features", network.forward_features, pixels, positions)

    @torch.inference_mode()
    def apply(
        self,
        name: str,
        function: Callable[[Tensor], Tensor],
        pixels: Pixels | Vectors,
        positions: np.ndarray | None,
    ) -> np.ndarray:
        """Apply a method's function to images, batch by batch in a random order.

        The order of a data set that is sorted by class would reveal the classes.
        """
        self.method.eval()
        positions = np.arange(len(pixels)) if positions is None else positions
        order = shuffled(len(positions), self.seed)
        indices = on_device(positions[order], self.spec.device).split(pixels.evaluation_batch)
        batches = pixels.stream(indices)
        with self.method.task.autocast():
            values = torch.cat([tensor_of(name, function(pixels.view(raw))) for raw in batches])
        return shaped(name, values, (len(order), *values.shape[1:]))[np.argsort(order)]

    def per_sample(self) -> dict[str, np.ndarray]:
        """Return the method's figures of each training sample, by hook, in the data set's order."""
        count, classes = len(self.data.numbers), self.data.dataset.num_classes
        hooks = {
            "clean_probability": (self.method.clean_probability(), (count,)),
            "soft_targets": (self.method.soft_targets(), (count, classes)),
        }
        return {
            # Indexing copies: the arrays share no memory with the method.
            hook: shaped(hook, tensor_of(hook, values), shape)[self.data.numbers]
            for hook, (values, shape) in hooks.items()
            if values is not None
        }

    def keep_results(self, outcome: Outcome, keep: Collection[str]) -> None:
        """Fill in final scores and per-sample results; with ``keep`` also "features", "models"."""
        data, labels, classes = self.data, self.data.labels, self.data.dataset.num_classes
        pixels, test_labels = data.tests["test"]
        rng = np.random.default_rng(PROBE_SEED)
        sample = np.sort(rng.permutation(len(test_labels))[: scoring.PROBES])
        outcome.feature_silhouette, outcome.feature_knn_accuracy = scoring.separation(
            self.features(pixels, sample), test_labels[sample]
        )
        outcome.reliability = scoring.reliability(self.test, test_labels)
        if (transition := self.method.transition_matrix()) is not None:
            matrix = shaped("transition_matrix", transition.double(), (classes, classes))
            outcome.estimated_transition_matrix = matrix.round(6).tolist()
        outcome.samples = {
            "noisy_labels": labels.noisy,
            "train_positions": labels.train,
            "validation_positions": labels.validation,
            "validation_probabilities": self.validation.astype(np.float16),
            "test_probabilities": self.test.astype(np.float16),
            **self.per_sample(),
        }
        if data.dataset.train_names is not None:
            outcome.samples["names"] = data.dataset.train_names
        if "features" in keep:
            features = self.features(data.pixels, data.numbers[data.probes])
            probes = labels.train[data.probes]
            outcome.samples |= {
                "feature_positions": probes,
                "features": features.astype(np.float16),
                "feature_truth": labels.truth[probes],
            }
        if "models" in keep:
            outcome.weights = nn.ModuleList(self.method.networks).state_dict()
