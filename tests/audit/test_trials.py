"""Judgements of trials, from their per-sample results."""

from dataclasses import replace

import numpy as np
import pytest
from reviews import write_pets

from bench.audit import trials
from bench.audit.pool import pool_of
from bench.datasets import load_dataset
from bench.datasets.arrays import from_vectors
from bench.errors import InputError
from bench.planning.spec import Plan


@pytest.fixture
def pool():
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(60, 4)).astype("f4"), np.arange(60) % 3
    dataset = from_vectors("npz:x", vectors[:48], labels[:48], vectors[48:], labels[48:])
    return pool_of(dataset, labels[:48], as_vectors=True)


def test_the_pool_has_both_parts_and_hides_the_truth(pool):
    training = pool.training_set()
    assert len(pool) == len(training.train_labels) == 60 and not training.knows_truth
    assert pool.samples.split.tolist() == ["train"] * 48 + ["test"] * 12
    assert np.array_equal(training.delivered_labels, pool.given)


def test_the_parts_of_a_folder_without_parts_are_not_the_users(pool, tmp_path):
    pets = load_dataset(f"folder:{write_pets(tmp_path / 'pets', each=20)}")
    assert pool.has_split and not pool_of(pets, pets.delivered_labels, as_vectors=True).has_split


def test_both_scores_and_further_methods_have_trials_with_several_seeds(pool):
    specs = trials.plan_trials(pool, pool.training_set(), ["elr", "alm"], 2, Plan())
    assert [spec.method for spec in specs] == ["alm"] * 2 + ["crossfit"] * 2 + ["elr"] * 2
    assert {spec.recipe.backbone for spec in specs[:4]} == {"linear"}
    assert len({spec.id for spec in specs}) == 6


def test_heads_of_few_samples_are_trained_for_as_many_steps(pool):
    specs = trials.plan_trials(pool, pool.training_set(), [], 1, Plan())
    assert [spec.recipe.epochs for spec in specs] == [30, 60 * 1000 // 60]


def test_a_method_that_judges_no_labels_is_refused_before_it_trains(pool):
    with pytest.raises(InputError, match="ce does not judge labels"):
        trials.plan_trials(pool, pool.training_set(), ["elr", "ce"], 1, Plan())


def test_samples_that_a_trial_holds_out_are_judged_by_the_others(pool):
    part = replace(pool, inputs=pool.inputs)
    first, second = np.arange(50), np.arange(10, 60)
    samples = [
        {
            "train_positions": train,
            "validation_positions": np.setdiff1d(np.arange(60), train),
            "validation_probabilities": np.full((10, 3), 1 / 3, np.float16),
            "clean_probability": np.full(50, value),
        }
        for train, value in ((first, 0.9), (second, 0.5))
    ]
    clean = trials._averaged(samples, [], part, odds=False).clean
    assert clean == pytest.approx(np.repeat([0.9, 0.7, 0.5], [10, 40, 10]))


def test_a_sample_that_every_trial_holds_out_is_judged_by_its_prediction(pool):
    train = np.arange(50)
    sample = {
        "train_positions": train,
        "validation_positions": np.arange(50, 60),
        "validation_probabilities": np.tile([0.2, 0.3, 0.5], (10, 1)).astype(np.float16),
        "clean_probability": np.full(50, 0.9),
    }
    clean = trials._averaged([sample], [], pool, odds=False).clean
    assert clean[50:] == pytest.approx(np.array([0.2, 0.3, 0.5])[pool.given[50:]], abs=1e-3)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.arange(40) % 2, "at least 50"),
        (np.zeros(60, int), "all labels of npz:x are '0'"),
        (np.where(np.arange(60) < 2, -1, np.arange(60) % 2), "2 samples of npz:x have no label"),
    ],
)
def test_labels_that_cannot_be_audited_are_refused(labels, message):
    vectors, truth = np.zeros((len(labels) - 2, 4), "f4"), np.arange(len(labels) - 2) % 2
    dataset = from_vectors("npz:x", vectors, truth, vectors[:2], labels[-2:])
    with pytest.raises(InputError, match=message):
        pool_of(dataset, labels[:-2], as_vectors=True)
