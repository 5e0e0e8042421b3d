"""Every method on vectors: it trains a head on them, or says why it cannot train a linear one."""

import numpy as np
import pytest
import torch
from method_specs import NAMES
from vector_sets import digits_as_vectors

from bench.errors import InputError
from bench.method import Method
from bench.networks.backbones import build_network
from bench.networks.pretrained import Pretrained, PretrainedNetwork
from bench.planning import registry
from bench.planning.pretraining import pretrain_job
from bench.planning.spec import Plan, expand_hparams
from bench.recipe import Recipe
from bench.training.trial import run_trial
from methods.knn import KNN

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


def test_rmd_takes_the_vectors_for_its_teacher(data):
    """It needs no encoder, whatever teacher its settings name."""
    outcomes = [
        trial("rmd+ce", data, "mlp", {"rmd.teacher": [teacher]})
        for teacher in ("simsiam", "pretrained")
    ]
    first, second = (outcome.samples["test_probabilities"] for outcome in outcomes)
    np.testing.assert_array_equal(first, second)
    assert all(outcome.pretrain_seconds == 0 for outcome in outcomes)


def test_votes_on_vectors_are_counted_once(data, monkeypatch):
    """They stay the same while the head is trained, and take as long as many epochs of it."""
    counts = {"knn": 0, "rmd+knn": 0}
    predict = KNN.predict
    for name in counts:
        monkeypatch.setattr(
            KNN,
            "predict",
            lambda self, x, n=name: counts.update({n: counts[n] + len(x)}) or predict(self, x),
        )
        outcome = trial(name, data, "mlp")
        assert outcome.epochs == EPOCHS
    images = 144 + 16 + len(data.test_labels)  # training samples as probes, validation, test
    checks = 2 * (16 + 8)  # that predictions do not depend on the batch
    assert counts == {"knn": images + checks, "rmd+knn": images + checks}


def test_when_fine_tuning_rmds_teacher_can_be_the_pretrained_network(make_task):
    """It stays as it was while the network that starts from it learns."""
    start = build_network("tiny_cnn", 1, 3)
    state = {name: values.numpy().copy() for name, values in start.body.state_dict().items()}
    identity = PretrainedNetwork(
        "timm:tiny", "0" * 64, "digits", 8, (0.5,) * 3, (0.2,) * 3, "bilinear", frozen=False
    )
    task = make_task(start=Pretrained(identity, state, start.num_features, ""))
    method = registry.build("rmd+ce", {"rmd.teacher": "pretrained"})
    for part in method.parts():
        part.task, part.recipe = task, Recipe("tiny_cnn", EPOCHS)
        part.setup(task)
    assert method.pretraining() is None and method.needs_pretrained
    x = task.batch(torch.arange(16)).x
    before = method.encode(x)
    torch.testing.assert_close(before, start.eval().body(x))
    optimizer = method.optimizer(method.param_groups())
    method.train()
    for batch in zip(method.base.batches(), task.loader(), strict=True):
        method.update(batch, optimizer)
    torch.testing.assert_close(method.encode(x), before)
    method.networks[0].eval()
    assert not torch.allclose(method.networks[0].forward_features(x), before)


def test_rmds_settings_of_an_encoder_that_is_not_trained_are_refused():
    with pytest.raises(InputError, match=r"does nothing with rmd\.teacher=pretrained: leave"):
        registry.build("rmd+ce", {"rmd.teacher": "pretrained", "rmd.pretrain_epochs": 5})
    assert not registry.build("rmd+ce", {}).needs_pretrained
