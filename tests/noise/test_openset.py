"""Noise in a trial beyond changed labels: replaced images, and labels from a file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench.datasets import OUTSIDE, Dataset, ImageFiles, with_donors
from bench.errors import InputError
from bench.noise import NoiseSpec, fingerprint, prepare
from bench.planning.labels import Labels
from bench.planning.pretraining import pretrain_job
from bench.planning.registry import load_method
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.records.schema import Epoch
from bench.training.outcome import Outcome
from bench.training.pixels import Inputs, replaced
from bench.training.trial import run_trial

KIND = "openset:mnist"


@pytest.fixture
def data(tiny_dataset) -> Dataset:
    donors = (
        np.full((30, 1, 8, 8), 200, np.uint8) + np.arange(30, dtype=np.uint8)[:, None, None, None]
    )
    return replace(tiny_dataset, donors=donors)


def spec_of(data: Dataset, kind: str, rate: float | None, method: str = "elr") -> TrialSpec:
    plan = Plan(noise_kind=kind, overrides=(("epochs", 2), ("batch_size", 16)))
    [spec] = plan.specs(data, expand_hparams([method], {}, {}), [rate], [0])
    return spec


def test_a_trial_offers_its_noise_as_one_value(data):
    spec = spec_of(data, "symmetric", 0.25)
    assert spec.noise_spec == NoiseSpec("symmetric", 0.25, 0, "exact", None)
    assert not spec.noise_spec.replaces_images
    assert spec_of(data, KIND, 0.25).noise_spec.replaces_images
    assert not spec_of(data, KIND, 0.0).noise_spec.replaces_images


def test_open_set_noise_replaces_images_and_keeps_labels(data):
    spec = spec_of(data, KIND, 0.25)
    labels = Labels.of(spec, data)
    assert (labels.noisy == data.train_labels).all()
    outside = np.flatnonzero(labels.truth == OUTSIDE)
    assert len(outside) == 15
    images = replaced(Inputs.of(data, spec), labels.replacements)
    changed = np.flatnonzero((images != data.train_images).any((1, 2, 3)))
    assert changed.tolist() == outside.tolist()
    assert len({int(images[position, 0, 0, 0]) for position in outside}) == 15, "a donor each"
    assert (images[outside] == images[outside][:, :, :1, :1]).all(), "they are the donors' images"
    outcome = Outcome.of(spec)
    outcome.describe(spec, data, labels)
    assert outcome.noise.openset_images == 15 and outcome.noise.realised_rate == 0.25
    assert outcome.noise.training_rate == np.isin(labels.train, outside).mean() != 0.25
    np.testing.assert_array_equal(
        outcome.noise.transition_matrix, np.eye(4), "of images that are of the classes"
    )


def test_a_trial_with_open_set_noise(data):
    epochs: list[dict] = []
    outcome = run_trial(
        spec_of(data, KIND, 0.25),
        data,
        report=lambda new, _: epochs.extend(map(Epoch.to_json, new)),
    )
    assert outcome.status == "finished", outcome
    assert outcome.noise.openset_images == 15
    assert 0 <= epochs[-1]["memorised_wrong"] <= 1
    plain = run_trial(spec_of(data, "symmetric", 0.0), data)
    assert (plain.samples["test_probabilities"] != outcome.samples["test_probabilities"]).any()


def test_an_encoder_sees_the_replaced_images(data):
    jobs = [
        pretrain_job(spec_of(data, kind, rate, "rmd"))
        for kind, rate in ((KIND, 0.25), (KIND, 0.5), ("symmetric", 0.5))
    ]
    assert len({job.key for job in jobs}) == 3
    assert pretrain_job(spec_of(data, "pairflip", 0.25, "rmd")).key == jobs[2].key, (
        "noise of labels changes no encoder"
    )


def test_donors_are_brought_to_size_and_colour(tiny_dataset, digits):
    rng = np.random.default_rng(0)
    colour = replace(
        tiny_dataset, train_images=rng.integers(0, 256, (60, 3, 12, 12), dtype=np.uint8)
    )
    donors = with_donors(tiny_dataset, colour).donors
    assert donors.shape == (60, 1, 8, 8) and donors.dtype == np.uint8
    donors = with_donors(colour, digits).donors
    assert donors.shape == (1437, 3, 12, 12) and (donors[:, 0] == donors[:, 2]).all()
    assert with_donors(tiny_dataset, digits).donors.tolist() == digits.train_images.tolist()
    assert with_donors(tiny_dataset, digits).content_hash != tiny_dataset.content_hash
    with pytest.raises(InputError, match="open-set noise needs images in memory"):
        with_donors(tiny_dataset, replace(digits, train_images=ImageFiles("", np.array(["a"]), 8)))


def test_donors_that_are_the_images_themselves_are_refused(digits):
    with pytest.raises(
        InputError,
        match="the images of other are those of digits: put the files of other into a folder",
    ):
        with_donors(digits, replace(digits, name="other"))


def test_preparing_loads_the_donors_once(tiny_dataset):
    assert prepare(tiny_dataset, "symmetric") is tiny_dataset
    prepared = prepare(tiny_dataset, "openset:digits")
    assert len(prepared.donors) == 1437
    with pytest.raises(InputError, match="there is no data set 'digit'"):
        prepare(tiny_dataset, "openset:digit")


def test_the_classifier_of_pmd_noise_travels_with_the_data(digits):
    import pickle

    part = digits.subset(200)
    assert "posterior" in pickle.loads(pickle.dumps(prepare(part, "pmd-1"))).derived, (
        "fitted once, not once a trial"
    )


def test_labels_from_a_file_are_those_of_the_plan(tmp_path, tiny_dataset):
    path = tmp_path / "noise.json"
    wrong = ((tiny_dataset.train_labels + (np.arange(60) < 20)) % 4).tolist()
    path.write_text(json.dumps(wrong))
    kind = f"labels:{path}"
    spec = spec_of(tiny_dataset, kind, None)
    assert spec.noise_hash == fingerprint(kind) and spec.noise_rate is None
    outcome = run_trial(spec, tiny_dataset)
    assert outcome.noise.realised_rate == pytest.approx(1 / 3)
    path.write_text(json.dumps(tiny_dataset.train_labels.tolist()))
    assert spec_of(tiny_dataset, kind, None).id != spec.id
    with pytest.raises(
        InputError, match="is not the one the trial was planned with: put that one back"
    ):
        run_trial(spec, tiny_dataset)


def test_methods_that_read_the_noise_rate_are_told_the_realised_one(data):
    assert load_method("co_teaching")  # the one that can ask
    plan = Plan(noise_kind=KIND, overrides=(("epochs", 2), ("batch_size", 16)))
    configurations = expand_hparams(["co_teaching"], {}, {"co_teaching.forget_rate": ["oracle"]})
    [spec] = plan.specs(data, configurations, [0.25], [0])
    assert run_trial(spec, data).privileges == ["noise_rate"]
