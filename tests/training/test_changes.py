"""Counts of changed predictions in the record of each epoch."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.datasets import Dataset, load_dataset
from bench.datasets.arrays import from_arrays
from bench.method import Method
from bench.planning.labels import Labels
from bench.planning.spec import Plan, expand_hparams
from bench.records.schema import Epoch
from bench.training import scoring
from bench.training.checkpoint import Checkpoint
from bench.training.data import predicted_samples
from bench.training.trial import run_trial

CLASSES = 4


class Turning(Method):
    """Predicts one class for dark images and another for bright ones, by the epoch."""

    schedule_of_classes = ((0, 1), (0, 1), (2, 1), (3, 0), (3, 0))

    def loss(self, batch) -> Tensor:
        return F.cross_entropy(self.networks[0](batch.x), batch.y)

    def predict(self, x: Tensor) -> Tensor:
        dark, bright = self.schedule_of_classes[self.epoch]
        classes = torch.where(x.mean((1, 2, 3)) < 0, dark, bright)
        return F.one_hot(classes, CLASSES).float()


@pytest.fixture
def turning(monkeypatch):
    monkeypatch.setattr("bench.planning.spec.build", lambda name, hparams: Turning())


def spec_of(data: Dataset, kind: str = "symmetric", rate: float | None = 0.4):
    plan = Plan(noise_kind=kind, overrides=(("epochs", 5), ("batch_size", 32)))
    [spec] = plan.specs(data, expand_hparams(["ce"], {}, {}), [rate], [0])
    return spec


def run(data: Dataset, spec, **options):
    epochs: list[Epoch] = []
    outcome = run_trial(spec, data, report=lambda new, _: epochs.extend(new), **options)
    return epochs, outcome


def dark_samples(data: Dataset) -> np.ndarray:
    """Whether each training image is darker than the mean that images are normalised by."""
    return data.train_images.mean((1, 2, 3)) < data.train_images.mean()


def with_truth(data: Dataset, truth: np.ndarray) -> Dataset:
    """Return the data set with these true classes, and its own as noisy labels."""
    test = data.test_images, data.test_labels
    return from_arrays("own", data.train_images, truth, *test, found={"found": data.train_labels})


def test_the_record_counts_samples_that_are_predicted_otherwise(tiny_dataset, turning):
    spec = spec_of(tiny_dataset)
    epochs, outcome = run(tiny_dataset, spec)
    dark = dark_samples(tiny_dataset)[Labels.of(spec, tiny_dataset).train]
    assert 0 < dark.sum() < 54 == outcome.compared_images
    counts = [epoch.to_json().get("prediction_changes") for epoch in epochs]
    assert counts == [None, 0, dark.sum(), 54, 0]


def test_predictions_that_are_settled_do_not_change(tiny_dataset, turning, monkeypatch):
    monkeypatch.setattr(Turning, "settled", True)
    epochs, _ = run(tiny_dataset, spec_of(tiny_dataset))
    assert [epoch.prediction_changes for epoch in epochs[1:]] == [0, 0, 0, 0]


@pytest.mark.parametrize("known", [0, 30, 60])
def test_the_samples_do_not_depend_on_what_is_known_of_them(known, tiny_dataset, monkeypatch):
    monkeypatch.setattr(scoring, "PROBES", 20)
    truth = np.where(np.arange(60) < known, tiny_dataset.train_labels, -1)
    data = with_truth(tiny_dataset, truth)
    labels = Labels.of(spec_of(data, "found", None), data)
    everything = with_truth(tiny_dataset, tiny_dataset.train_labels)
    all_labels = Labels.of(spec_of(everything, "found", None), everything)
    np.testing.assert_array_equal(labels.train, all_labels.train)
    probes, compared = predicted_samples(labels)
    np.testing.assert_array_equal(compared, predicted_samples(all_labels)[1])
    assert len(compared) == 20 and (truth[labels.train[probes]] >= 0).all()
    if known == 60:
        np.testing.assert_array_equal(probes, compared)


@pytest.mark.parametrize("known", [0, 30])
def test_changes_are_counted_where_the_truth_is_unknown(known, tiny_dataset, turning, monkeypatch):
    monkeypatch.setattr(scoring, "PROBES", 20)
    data = with_truth(tiny_dataset, np.where(np.arange(60) < known, tiny_dataset.train_labels, -1))
    spec = spec_of(data, "found", None)
    epochs, outcome = run(data, spec)
    labels = Labels.of(spec, data)
    dark = dark_samples(data)[labels.train[predicted_samples(labels)[1]]]
    assert 0 < dark.sum() < 20 == outcome.compared_images
    assert [epoch.prediction_changes for epoch in epochs[1:]] == [0, dark.sum(), 20, 0]


def test_a_restart_compares_with_the_epoch_before_it(tmp_path):
    data = load_dataset("digits", subset=200)
    spec = spec_of(data)
    whole, _ = run(data, spec)
    checkpoint = Checkpoint(tmp_path / "state.pt", every_seconds=0)

    def killed(epochs, restart):
        if epochs and epochs[-1].epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(spec, data, report=killed, checkpoint=checkpoint)
    resumed, _ = run(data, spec, checkpoint=checkpoint)
    counts = [epoch.prediction_changes for epoch in whole]
    assert [epoch.prediction_changes for epoch in resumed] == counts
    assert all(count > 0 for count in counts[1:4]), "a count of nothing proves nothing"
