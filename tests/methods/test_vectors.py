"""Every method on vectors: it trains a head on them, or says why it cannot train a linear one."""

import numpy as np
import pytest
from method_specs import BASES, NAMES
from vector_sets import digits_as_vectors

from bench.method import Method
from bench.planning import registry
from bench.planning.pretraining import pretrain_job
from bench.planning.spec import Plan, expand_hparams
from bench.training.trial import run_trial

#: So many that every method reaches its last phase.
EPOCHS = 8

LINEAR = [name for name in NAMES if not registry.load_method(name).linear_head]


@pytest.fixture(scope="module")
def data():
    return digits_as_vectors(160)


def trial(name: str, data, head: str, settings: dict | None = None, augmentation: str = "none"):
    overrides = (("batch_size", 32), ("epochs", EPOCHS), ("augmentation", augmentation))
    plan = Plan(overrides=overrides, subset=160, head=head)
    [spec] = plan.specs(data, expand_hparams([name], {}, settings or {}), [0.4], [0])
    assert pretrain_job(spec) is None
    outcome = run_trial(spec, data)
    assert outcome.status == "finished", outcome.traceback
    return outcome


@pytest.mark.parametrize("name", NAMES)
def test_a_method_trains_an_mlp_on_vectors(name, data):
    trial(name, data, "mlp", augmentation="dropout")


@pytest.mark.parametrize("name", LINEAR)
def test_a_method_trains_a_linear_head_unless_it_says_that_it_cannot(name, data):
    trial(name, data, "linear")


def test_reasons_against_a_linear_head_complete_a_sentence():
    reasons = {name: registry.load_method(name).linear_head for name in NAMES}
    assert {name for name, reason in reasons.items() if reason} >= {
        "pes",
        "co_learning",
        "unicon",
        "rmd",
    }
    assert Method.linear_head == reasons["ce"] == ""
    for reason in filter(None, reasons.values()):
        assert reason[0].islower() and not reason.endswith("."), reason


def test_neighbours_in_the_whole_set_are_mixed_as_vectors(data):
    settings = {"softmix.scope": ["dataset"], "softmix.k": ["3"]}
    trial("softmix", data, "mlp", settings)


def test_votes_on_vectors_are_the_same_with_both_heads(data):
    first, second = (
        trial("knn", data, head).samples["test_probabilities"] for head in ("mlp", "linear")
    )
    # In another scale, rounding may exchange two neighbours.
    assert np.abs(first - second).max(1).astype(bool).mean() < 0.01


@pytest.mark.parametrize("name", BASES[:1])
def test_rmd_takes_the_vectors_for_its_teacher(name, data):
    """It needs no encoder, whatever teacher its settings name."""
    outcomes = [
        trial(f"rmd+{name}", data, "mlp", {"rmd.teacher": [teacher]})
        for teacher in ("simsiam", "pretrained")
    ]
    first, second = (outcome.samples["test_probabilities"] for outcome in outcomes)
    np.testing.assert_array_equal(first, second)
    assert all(outcome.pretrain_seconds == 0 for outcome in outcomes)
