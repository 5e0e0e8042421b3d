"""Networks by name: shapes, features, blocks and counts of samples."""

import pytest
import torch
from torch import nn

from bench.errors import InputError
from bench.networks.backbones import BACKBONES, Network, build_network, check_backbone
from bench.recipe import HEADS

SIDES = {
    "tiny_cnn": (8, 16),
    "small_cnn": (28, 32),
    "resnet18": (32,),
    "resnet34": (32,),
    "preact_resnet18": (32,),
    "resnet50": (64,),
}
CASES = [
    (name, side, channels) for name, sides in SIDES.items() for side in sides for channels in (1, 3)
]


def test_every_backbone_is_tested_here():
    assert set(SIDES) | set(HEADS) == set(BACKBONES)


@pytest.mark.parametrize(("name", "width"), [("mlp", 512), ("linear", 20)])
def test_heads_take_vectors(name, width):
    net = build_network(name, 20, 5)
    assert net(torch.zeros(2, 20)).shape == (2, 5)
    assert net.forward_features(torch.zeros(2, 20)).shape == (2, width)


@pytest.mark.parametrize(("name", "side", "channels"), CASES)
def test_features_and_head_make_the_logits(name, side, channels):
    torch.manual_seed(0)
    net = build_network(name, channels, 7).eval()
    x = torch.randn(2, channels, side, side)
    with torch.no_grad():
        features, logits = net.forward_features(x), net(x)
        again = net.head(features)
    assert features.shape == (2, net.num_features)
    assert logits.shape == (2, 7)
    torch.testing.assert_close(again, logits)
    assert torch.isfinite(logits).all()
    assert (features[0] != features[1]).any()


@pytest.mark.parametrize("name", ["tiny_cnn", "small_cnn", "preact_resnet18", "resnet18"])
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    net = build_network(name, 1, 4).train()
    nn.functional.cross_entropy(
        net(torch.randn(4, 1, 16, 16)), torch.tensor([0, 1, 2, 3])
    ).backward()
    without = [
        key
        for key, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize(
    ("name", "count"),
    [("tiny_cnn", 4), ("small_cnn", 6), ("resnet18", 6), ("preact_resnet18", 6), ("resnet50", 6)],
)
def test_blocks_hold_every_parameter_once_and_end_with_the_head(name, count):
    """Convolutions, or the stem and four stages of a ResNet; then the head."""
    net = build_network(name, 3, 4)
    blocks = net.blocks()
    assert len(blocks) == count
    assert blocks[-1] == [net.head]
    inside = [
        parameter for block in blocks for module in block for parameter in module.parameters()
    ]
    assert [id(parameter) for parameter in inside] == [
        id(parameter) for parameter in net.parameters()
    ]


def test_passes_are_counted_with_and_without_gradients():
    net = build_network("tiny_cnn", 1, 3)
    assert (net.samples_trained, net.samples_inferred) == (0, 0)
    net(torch.zeros(5, 1, 8, 8))
    net.forward_features(torch.zeros(2, 1, 8, 8))
    assert (net.samples_trained, net.samples_inferred) == (7, 0)
    with torch.no_grad():
        net(torch.zeros(3, 1, 8, 8))
    with torch.inference_mode():
        net.forward_features(torch.zeros(4, 1, 8, 8))
    assert (net.samples_trained, net.samples_inferred) == (7, 7)
    assert not any("samples" in key for key in net.state_dict())


def test_tiny_cnn_has_about_65_thousand_parameters():
    count = sum(p.numel() for p in build_network("tiny_cnn", 1, 10).parameters())
    # By hand: 3x3 convolutions 1-32-64-64, batch norms, and a head of 256 x 10.
    assert count == 9 * (32 + 32 * 64 + 64 * 64) + 2 * (32 + 64 + 64) + 256 * 10 + 10
    assert 50_000 < count < 80_000


@pytest.mark.parametrize(
    ("name", "millions"), [("resnet18", 11.17), ("resnet34", 21.28), ("preact_resnet18", 11.17)]
)
def test_resnets_have_the_size_of_the_literature(name, millions):
    count = sum(p.numel() for p in build_network(name, 3, 10).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.02)


def test_cifar_stem_does_not_shrink_the_image():
    """Four stages, three of them with stride 2: 32 pixels become 4 before the pooling."""
    for name in ("resnet18", "preact_resnet18"):
        body, _ = BACKBONES[name].build(3)
        shapes = []
        pool = next(module for module in body.modules() if isinstance(module, nn.AdaptiveAvgPool2d))
        pool.register_forward_hook(
            lambda module, inputs, output, sizes=shapes: sizes.append(inputs[0].shape[-2:])
        )
        with torch.no_grad():
            body.eval()(torch.zeros(1, 3, 32, 32))
        assert shapes == [(4, 4)]


def test_initialisation_is_torchs_global_generators():
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in build_network("tiny_cnn", 1, 3).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_a_network_takes_any_body():
    net = Network(nn.Flatten(), 12, 3)
    assert net(torch.zeros(2, 3, 2, 2)).shape == (2, 3)


def test_unknown_backbone_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="there is no backbone 'resnet81': did you mean resnet18"):
        check_backbone("resnet81")
    with pytest.raises(InputError, match="there is no backbone 'tiny-cnn': did you mean tiny_cnn"):
        build_network("tiny-cnn", 1, 2)
