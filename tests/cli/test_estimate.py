"""Estimates of a sweep's cost, compared with the work of real trials."""

import time

import numpy as np
import pytest
import torch

from bench.cli import estimate
from bench.cli.estimate import EpochImages, epoch_seconds, step_seconds
from bench.datasets import UNKNOWN, Dataset, load_dataset
from bench.planning.labels import Labels
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.records.schema import Epoch
from bench.training import scoring
from bench.training.evaluation import Evaluation
from bench.training.trial import run_trial as train


def spec_of(data: Dataset, method: str = "ce", **plan) -> TrialSpec:
    overrides = {"epochs": 2} | plan.pop("overrides", {})
    plan = Plan(overrides=tuple(sorted(overrides.items())), **plan)
    return plan.specs(data, expand_hparams([method], {}, {}), [0.5], [0])[0]


def evaluated(spec: TrialSpec, data: Dataset, monkeypatch) -> tuple[int, int]:
    """Images that an epoch of a trial really trains on, and those that it predicts."""
    predicted: list[int] = []
    original = Evaluation.predict

    def predict(evaluation, pixels, positions=None):
        predicted.append(len(pixels if positions is None else positions))
        return original(evaluation, pixels, positions)

    monkeypatch.setattr(Evaluation, "predict", predict)
    records: list[Epoch] = []
    outcome = train(spec, data, report=lambda epochs, restart: records.extend(epochs))
    assert outcome.status == "finished"
    return records[0].samples_trained, sum(predicted) // len(records)


@pytest.mark.parametrize(
    ("subset", "batch_size", "share", "trained"),
    [
        (200, 128, 0.1, 180),
        (60, 128, 0.1, 54),  # one batch, which is not whole
        (143, 128, 0.1, 128),  # 129 less the last one, which is alone
        (143, 64, 0.1, 128),
        (100, 32, 0.25, 75),
        (100, 33, 0.33, 66),  # 67 less the last one
    ],
)
def test_images_are_those_of_a_real_epoch(subset, batch_size, share, trained, monkeypatch):
    data = load_dataset("digits", subset=subset)
    spec = spec_of(
        data, subset=subset, validation_share=share, overrides={"batch_size": batch_size}
    )
    images = EpochImages.of(spec, data, Labels.of(spec, data))
    assert images.trained == trained
    assert (images.trained, images.evaluated) == evaluated(spec, data, monkeypatch)


@pytest.mark.parametrize("unknown", [0, 30, 60])
def test_further_test_sets_and_unknown_labels_count(unknown, tiny_dataset, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(scoring, "PROBES", 20)
    labels = tiny_dataset.train_labels.copy()
    labels[:unknown] = UNKNOWN
    noisy = {"found": tiny_dataset.train_labels}
    more = {"more": (tiny_dataset.test_images[:7], tiny_dataset.test_labels[:7])}
    data = replace(tiny_dataset, train_labels=labels, found=noisy, extra_tests=more)
    plan = Plan(noise_kind="found", overrides=(("epochs", 1),))
    [spec] = plan.specs(data, expand_hparams(["ce"], {}, {}), [None], [0])
    images = EpochImages.of(spec, data, Labels.of(spec, data))
    assert (images.trained, images.evaluated) == evaluated(spec, data, monkeypatch)
    # Twenty training images, and where some truths are unknown up to twenty others.
    more = images.evaluated - (6 + 20 + 7 + 20)
    assert (more == 0) if unknown in (0, 60) else (0 < more < 20)


@pytest.mark.parametrize("subset", [60, 150, 200, 600])
def test_seconds_are_those_of_all_images_that_were_measured(subset, monkeypatch):
    """A clock that goes on by 1 ms an image, and by as much again for the prediction, whatever the
    number of batches.
    """
    data = load_dataset("digits", subset=subset)
    now = [0.0]

    class Slow(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            now[0] += len(x) / 1000
            return self.net(x)

    original = estimate.Task.build_network
    monkeypatch.setattr(estimate.Task, "build_network", lambda task: Slow(original(task)))
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    training, evaluating = step_seconds(spec_of(data, subset=subset), data)
    np.testing.assert_allclose([training, evaluating], 0.001)


def test_a_training_set_of_one_image_has_no_steps():
    data = load_dataset("digits", subset=10)
    assert step_seconds(spec_of(data, subset=10, validation_share=0.9), data) == (0.0, 0.0)


def test_methods_cost_what_they_declare():
    data = load_dataset("digits", subset=200)
    images = EpochImages(100, 10)
    # passes of each: (1, 0), (2, 0) in two networks, (4, 8) in two, and rmd's (1, 1) on top of
    # elr's
    expected = {
        "ce": 100 + 1,
        "co_teaching": 200 + 2,
        "divide_mix": 100 * (4 + 8 / 3) + 2,
        "rmd+elr": 100 * (2 + 1 / 3) + 1,
    }
    for method, seconds in expected.items():
        assert epoch_seconds(spec_of(data, method, subset=200), images, 1.0, 0.1) == pytest.approx(
            seconds
        )
