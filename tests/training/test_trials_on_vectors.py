"""Trials on vectors: features of a frozen network, and data sets without images."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.datasets.features import Features, statistics_of
from bench.errors import InputError, Unavailable
from bench.networks.pretrained import Pretrained, PretrainedNetwork
from bench.planning.labels import Labels
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.task import Vectors
from bench.training.data import TrialData
from bench.training.trial import run_trial

NETWORK = PretrainedNetwork(
    network="timm:example",
    weights="0" * 64,
    data="ImageNet-1k",
    size=32,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    interpolation="bicubic",
    frozen=True,
)


def features_of(dataset, width=6, views=0) -> Features:
    """Return features that tell the classes apart, with some noise."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(dataset.num_classes, width))

    def draw(labels, *more):
        noise = rng.normal(size=(len(labels), *more, width))
        centre = centres[labels] if not more else centres[labels][:, None]
        return (centre + 0.3 * noise).astype(np.float16)

    train = draw(dataset.train_labels, 1 + views)
    return Features(
        train=train,
        tests={"test": draw(dataset.test_labels)},
        donors=None,
        seconds=2.5,
        checksum="abc",
        statistics=statistics_of(train[:, 0].astype(np.float32)),
        licence="Apache-2.0",
    )


@pytest.fixture
def frozen(tiny_dataset):
    return replace(tiny_dataset, features=features_of(tiny_dataset))


def spec_of(dataset, method="ce", head="mlp", rate=0.2, epochs=3, **changes) -> TrialSpec:
    plan = Plan(
        overrides=(("batch_size", 16), ("epochs", epochs)),
        pretrained=replace(NETWORK, **changes),
        head=head,
    )
    [spec] = plan.specs(dataset, expand_hparams([method], {}, {}), [rate], [0])
    return spec


def accuracies(spec: TrialSpec, dataset) -> list[float]:
    """Return the test accuracy of each epoch."""
    epochs = []
    outcome = run_trial(spec, dataset, report=lambda new, _: epochs.extend(new))
    assert outcome.status == "finished", outcome.error
    return [epoch.test_accuracy for epoch in epochs]


def vectors(memory, positions=None, scale=1.0) -> Vectors:
    width = memory.shape[-1]
    return Vectors(memory, torch.zeros(width), torch.full((width,), scale), positions)


def test_vectors_are_those_of_the_positions_normalised():
    memory = np.arange(12, dtype=np.float16).reshape(4, 3)
    samples = Vectors(memory, torch.tensor([1.0, 2, 3]), torch.tensor(0.5), np.array([2, 0]))
    batch = samples(torch.tensor([1, 0, 0]))
    assert batch.dtype == torch.float32 and len(samples) == 2
    expected = (memory[[0, 2, 2]].astype(np.float32) - [1, 2, 3]) / 2
    np.testing.assert_array_equal(batch, expected)


def test_memory_of_vectors_is_shared_and_not_written_to():
    memory = np.ones((4, 3), np.float16)
    memory.flags.writeable = False
    samples = vectors(memory)
    samples(torch.arange(4)).add_(1)
    assert (memory == 1).all() and np.shares_memory(samples._memory, memory)


def test_dropout_zeroes_half_and_doubles_the_rest():
    samples = vectors(np.ones((200, 50), np.float32))
    view = samples(torch.arange(200), samples.weak("dropout"), torch.Generator().manual_seed(0))
    assert set(view.unique().tolist()) == {0.0, 2.0}
    assert 0.45 < float((view == 0).float().mean()) < 0.55


def test_strong_views_are_the_cached_ones_and_plain_views_the_first():
    memory = np.arange(3, dtype=np.float32)[None, :, None].repeat(100, 0).repeat(2, 2)
    samples, index = vectors(memory), torch.arange(100)
    strong = samples(index, samples.strong(False), torch.Generator().manual_seed(0))
    assert set(strong[:, 0].tolist()) == {1.0, 2.0}
    assert (samples(index) == 0).all()


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_a_head_learns_from_the_features_and_not_from_the_pixels(frozen, head):
    blind = replace(frozen, train_images=frozen.train_images * 0)
    spec = spec_of(frozen, head=head, epochs=20)
    records = [
        accuracies(spec, frozen),
        accuracies(replace(spec, data_hash=blind.content_hash), blind),
    ]
    assert records[0] == records[1]
    assert records[0][-1] > 0.7, "pixels of this data set are random, its features are not"


def test_features_change_neither_noise_nor_split_nor_data_hash(tiny_dataset, frozen):
    plain = Plan(overrides=(("batch_size", 16), ("epochs", 3)))
    [scratch] = plain.specs(tiny_dataset, expand_hparams(["ce"], {}, {}), [0.2], [0])
    spec = spec_of(frozen)
    assert scratch.data_hash == spec.data_hash
    first, second = run_trial(scratch, tiny_dataset), run_trial(spec, frozen)
    assert first.noise.label_hash == second.noise.label_hash
    assert first.validation_truth == second.validation_truth
    assert scratch.id != spec.id and "pretrained" not in scratch.to_json()


def test_the_record_has_cost_and_checksum_of_the_features(frozen):
    outcome = run_trial(spec_of(frozen), frozen)
    assert outcome.pretrained.embedding_seconds == outcome.pretrain_seconds == 2.5
    assert outcome.pretrained.features_checksum == "abc"
    assert outcome.pretrained.licence == "Apache-2.0"


def test_a_frozen_trial_without_features_is_refused(tiny_dataset):
    with pytest.raises(Unavailable, match="embed the images first"):
        run_trial(spec_of(tiny_dataset), tiny_dataset)


def test_a_specification_with_a_network_survives_its_file(frozen):
    spec = spec_of(frozen)
    again = TrialSpec.from_json(spec.to_json())
    assert again == spec and again.id == spec.id
    assert spec.id != spec_of(frozen, size=64).id
    assert spec.id != spec_of(frozen, weights="1" * 64).id
    with pytest.raises(InputError, match="no trial specification"):
        TrialSpec.from_json(spec.to_json() | {"pretrained": {"network": 3}})


def test_open_set_noise_takes_the_donors_features(tiny_dataset):
    donors = (
        np.full((30, 1, 8, 8), 200, np.uint8) + np.arange(30, dtype=np.uint8)[:, None, None, None]
    )
    data = replace(tiny_dataset, donors=donors)
    features = replace(features_of(data), donors=np.full((30, 6), 9, np.float16))
    data = replace(data, features=features)
    plan = Plan(
        noise_kind="openset:mnist",
        overrides=(("batch_size", 16), ("epochs", 1)),
        pretrained=NETWORK,
    )
    [spec] = plan.specs(data, expand_hparams(["ce"], {}, {}), [0.25], [0])
    trial = TrialData(spec, data, Labels.of(spec, data))
    assert (trial.pixels._memory == 9).all((1, 2)).sum() == 15


def test_fine_tuning_needs_the_network_of_the_specification(tiny_dataset):
    spec = replace(spec_of(tiny_dataset), pretrained=replace(NETWORK, frozen=False))
    with pytest.raises(Unavailable, match="check --weights"):
        run_trial(spec, tiny_dataset)
    other = Pretrained(replace(NETWORK, frozen=False, weights="1" * 64), {}, 6, "")
    with pytest.raises(Unavailable, match="check --weights"):
        run_trial(spec, tiny_dataset, start=other)
