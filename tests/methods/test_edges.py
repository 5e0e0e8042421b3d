"""Whole trials of every method on data from which little can be learned.

A new method is found and tested without being named here.
"""

import numpy as np
import pytest
import torch
from method_specs import BASES, FITTING, NAMES

from bench.datasets import Dataset
from bench.planning import registry
from bench.planning.spec import Plan, expand_hparams
from bench.records.schema import Epoch
from bench.task import Task
from bench.training.trial import run_trial

BATCH = 16
TRAINING = 2 * BATCH + 1  # a remainder of one sample, which batch normalisation cannot take
COUNT = TRAINING + 4  # with the validation set

#: Settings in which a method does something else with such data; its name is the key's first part.
SETTINGS: list[dict[str, str]] = [
    {"softmix.mixture": "bmm"},
    {"softmix.loss_window": "5"},
    {"softmix.scope": "dataset"},
    {"divide_mix.loss_window": "5"},
    {"co_teaching.forget_rate": "0.9"},
    {"gce.truncated": "true"},
    {"bootstrap.kind": "soft"},
    {"m_correction.bootstrap": "soft"},
    {"elr_plus.refine_labels": "true"},
    {"pes.freeze_renewed": "true"},
    {"pes_semi.freeze_renewed": "true"},
    {"co_learning.kernel": "student"},
    *({"prune.rule": rule} for rule in ("prune_by_class", "both", "confident_learning")),
    # a random teacher
    *({"rmd.relation": relation, "rmd.pretrain_epochs": "0"} for relation in ("kl", "ega", "rkd")),
]
#: Hosts that differ in kind: of one network, with batches of pairs for two in turn, in stages that
#: freeze layers.
HOSTS = [(f"rmd+{host}", {"rmd.pretrain_epochs": "0"}) for host in ("softmix", "divide_mix", "pes")]
EVERYTHING = [
    *((name, {}) for name in BASES),
    *((next(iter(changes)).partition(".")[0], changes) for changes in SETTINGS),
    *HOSTS,
]


def made(labels: np.ndarray, constant: bool = False) -> Dataset:
    """Images of noise with these labels, or all grey; in the test set every one of four classes."""
    rng = np.random.default_rng(0)
    images, test = (rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8) for count in (COUNT, 12))
    if constant:
        images, test = np.full_like(images, 128), np.full_like(test, 128)
    return Dataset("edges", images, labels, test, np.arange(12) % 4, tuple("abcd"), {0: 1, 1: 2})


TURNS = np.arange(COUNT) % 4
#: Data without a fault but the remainder of one sample, which all have; for the other tests.
PLAIN = "remainder of one sample"
DATA = {
    PLAIN: made(TURNS),
    "class that no label names": made(np.arange(COUNT) % 3),
    "equal images": made(TURNS, constant=True),
    "equal images, one label": made(TURNS * 0, constant=True),
    "one label but for two samples": made((np.arange(COUNT) >= COUNT - 2).astype(np.int64)),
}


def survives(
    name: str,
    settings: dict[str, str],
    data: Dataset,
    batch: int = BATCH,
    recipe: tuple[tuple[str, object], ...] = (),
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Run three epochs; returns the trial's per-sample results, and what its mixtures came to."""
    plan = Plan(noise_kind="clean", overrides=(("batch_size", batch), ("epochs", 3), *recipe))
    [spec] = plan.specs(
        data,
        expand_hparams([name], {}, {key: [value] for key, value in settings.items()}),
        [None],
        [0],
    )
    records: list[dict] = []
    outcome = run_trial(
        spec, data, report=lambda epochs, restart: records.extend(map(Epoch.to_json, epochs))
    )
    assert outcome.status == "finished", outcome.error
    assert outcome.train_images == TRAINING
    assert len(records) == 3
    for record in records:
        figures = [value for value in record.values() if isinstance(value, int | float)]
        assert np.isfinite(figures).all()
        assert record["samples_trained"] > 0
    for part in ("validation_probabilities", "test_probabilities"):
        # stored as halves
        np.testing.assert_allclose(outcome.samples[part].astype(np.float32).sum(1), 1, atol=5e-3)
    clean = outcome.samples.get("clean_probability")
    assert clean is None or (np.isfinite(clean).all() and clean.min() >= 0 and clean.max() <= 1)
    targets = outcome.samples.get("soft_targets")
    assert targets is None or np.isfinite(targets).all()
    if targets is not None and "sop" not in name:
        np.testing.assert_allclose(targets.sum(1), 1, atol=1e-4)
    return outcome.samples, [fit for record in records for fit in record.get("mixtures", [])]


@pytest.mark.parametrize("data", [data for data in DATA if data != PLAIN])
@pytest.mark.parametrize(("name", "settings"), EVERYTHING)
def test_a_trial_survives(name, settings, data):
    survives(name, settings, DATA[data])


@pytest.mark.parametrize(("name", "settings"), [*EVERYTHING, ("rmd+ce", {})])
def test_a_trial_survives_networks_that_are_certain(name, settings, monkeypatch):
    """Logits in the thousands: probabilities of exactly 0 and 1, right and wrong."""
    built = Task.build_network

    def certain(self, num_outputs=None):
        net = built(self, num_outputs)
        with torch.no_grad():
            net.head.weight.mul_(1e5)
        return net

    monkeypatch.setattr(Task, "build_network", certain)
    # gradients are as large as the logits
    still = (("learning_rate", 1e-12), ("weight_decay", 0.0))
    samples, _ = survives(name, settings, DATA[PLAIN], recipe=still)
    # These draw the head anew, or vote without it.
    if not name.endswith(("pes", "pes_semi", "knn", "wann")):
        votes = np.arange(6) / 5 if name.endswith("crossfit") else [0, 0.5, 1]
        assert np.isin(samples["test_probabilities"], np.float16(votes)).mean() > 0.9, (
            "the networks were not certain"
        )


@pytest.mark.parametrize("batch", [2, 1000])
@pytest.mark.parametrize("name", BASES)
def test_a_batch_may_be_tiny_or_larger_than_the_set(name, batch):
    survives(name, {}, DATA[PLAIN], batch)


@pytest.mark.parametrize("name", [name for name in NAMES if "k" in registry.load_method(name).axes])
@pytest.mark.parametrize("k", [BATCH, 1000])
def test_k_may_exceed_the_batch_and_the_set(name, k):
    cls = registry.load_method(name)
    key = f"{name}.{cls.axes['k']}"
    for settings in [
        {},
        *(changes for changes in SETTINGS if next(iter(changes)).startswith(f"{name}.")),
    ]:
        survives(name, settings | {key: str(k)}, DATA[PLAIN])


@pytest.mark.parametrize("name", ["divide_mix", "softmix", "softmix bmm"])
def test_a_mixture_treats_equal_samples_alike(name):
    method, _, mixture = name.partition(" ")
    samples, _ = survives(
        method, {"softmix.mixture": mixture} if mixture else {}, DATA["equal images, one label"]
    )
    assert (samples["clean_probability"] == 1).all()


@pytest.mark.parametrize("name", FITTING)
def test_a_mixture_of_equal_losses_is_recorded_as_that(name):
    _, fits = survives(name, {}, DATA["equal images, one label"])
    assert fits and set(fits) == {"equal losses"}
