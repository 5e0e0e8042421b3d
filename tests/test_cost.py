"""Cost: passes through the network as the harness counts them, against each method's algorithm on paper."""

import pytest

from bench import registry
from bench.datasets import load_dataset
from bench.spec import Plan, expand_hparams
from bench.trial import pretrain_job, run_pretraining, run_trial

#: Methods whose passes depend on the data: on how many labels they trust.
DEPEND = {"divide_mix", "unicon", "pes", "prune"}
FIXED = [name for name in registry.method_names() if name not in DEPEND]


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits", subset=320)


def passes(name: str, data) -> list[tuple[float, float]]:
    plan = Plan(subset=320, overrides=(("epochs", 8), ("batch_size", 32)))
    [spec] = plan.specs(data, expand_hparams([name], {}, {}), [0.5], [0])
    epochs: list[dict] = []
    job = pretrain_job(spec)
    encoder = run_pretraining(job, data) if job else None
    outcome = run_trial(spec, data, encoder=encoder, report=lambda new, _: epochs.extend(new))
    assert outcome.facts["status"] == "finished", outcome.facts
    count = outcome.facts["train_images"]
    return [(epoch["samples_trained"] / count, epoch["samples_inferred"] / count) for epoch in epochs]


def declared(name: str) -> tuple[float, ...]:
    parts = [registry.load_method(part).passes for part in registry.split_name(name)]
    return tuple(map(sum, zip(*parts, strict=True)))


@pytest.mark.parametrize("name", FIXED)
def test_passes_are_those_of_the_algorithm(name, data):
    assert passes(name, data)[-1] == pytest.approx(declared(name), abs=0.01)


@pytest.mark.parametrize(("name", "before"), [("divide_mix", 2), ("unicon", 4)])
def test_passes_of_methods_that_divide_the_samples(name, before, data):
    """Of the two networks, each takes a step for every batch of the w samples it was given as clean.

    Such a step trains on two views of the clean batch and of as many others (and for UNICON on two more views for its
    contrastive loss), and needs predictions of the others' two views by both networks and of the clean ones' by itself.
    Before that both networks pass over all samples: once an epoch, and for UNICON before either network's turn.
    """
    trained, inferred = passes(name, data)[-1]
    a_clean_sample_trains = 2 + 2 + (2 if name == "unicon" else 0)
    share = trained / (2 * a_clean_sample_trains)
    assert 0.2 < share < 0.8
    assert inferred == pytest.approx(before + 2 * share * (2 * 2 + 2), rel=0.06)
    assert declared(name) == (a_clean_sample_trains, before + 2 * 2 + 2), "where half of the samples are clean"


def test_pes_ends_with_passes_over_what_it_is_confident_of(data):
    found = passes("pes", data)
    assert found[0] == pytest.approx((1, 0), abs=0.01)
    assert found[-1][0] < 1 and found[-1][1] == pytest.approx(2, abs=0.01)


def test_prune_trains_on_parts_and_then_on_what_is_left(data):
    found = passes("prune", data)
    assert found[0][1] <= 1 and found[0][0] > 1, "several networks, each on the others' parts"
    assert found[-1][0] < 1 and found[-1][1] == 0
