"""Networks: a body that turns images into features, and a linear head."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import InputError, unknown
from bench.networks.body import FittedBody
from bench.networks.pretrained import LIBRARIES, build_body, check_network, is_library_name


class Network(nn.Module):
    """A classifier with access to its penultimate features.

    It counts the samples that pass through it, with and without gradients, for a method's cost in
    passes.
    """

    def __init__(self, body: nn.Module, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(num_features, num_classes)
        self.num_features = num_features
        self.samples_trained = 0
        self.samples_inferred = 0

    def forward_features(self, x: Tensor) -> Tensor:
        """Return penultimate features (B, num_features) of normalised images (B, C, H, W)."""
        if torch.is_grad_enabled():
            self.samples_trained += len(x)
        else:
            self.samples_inferred += len(x)
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) of normalised images (B, C, H, W)."""
        return self.head(self.forward_features(x))

    def blocks(self) -> list[list[nn.Module]]:
        """Return the parts that have parameters, from the input to the head.

        They are stages of a ResNet, or convolutions. A normalisation layer belongs to the part
        before it.
        """
        if isinstance(self.body, FittedBody):
            return [*self.body.blocks(), [self.head]]
        parts: list[list[nn.Module]] = []
        for module in self.body.children():
            if parts and isinstance(module, nn.BatchNorm2d):
                parts[-1].append(module)
            elif any(True for _ in module.parameters()):
                parts.append([module])
        return [*parts, [self.head]]


def _conv(inputs: int, outputs: int, *pool: nn.Module) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    # Maxima are taken before the ReLU, which then has fewer values to pass: the result is the same.
    return [conv, nn.BatchNorm2d(outputs), *pool, nn.ReLU(inplace=True)]


def _tiny_cnn(channels: int) -> tuple[nn.Module, int]:
    layers = [
        *_conv(channels, 32, nn.MaxPool2d(2)),
        *_conv(32, 64),
        *_conv(64, 64, nn.AdaptiveMaxPool2d(2)),
    ]
    return nn.Sequential(*layers, nn.Flatten()), 256


def _small_cnn(channels: int) -> tuple[nn.Module, int]:
    layers = [
        *_conv(channels, 32),
        *_conv(32, 32, nn.MaxPool2d(2)),
        *_conv(32, 64),
        *_conv(64, 64, nn.MaxPool2d(2)),
    ]
    return nn.Sequential(*layers, *_conv(64, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 128


def _torchvision_resnet(name: str, cifar_stem: bool) -> Callable[[int], tuple[nn.Module, int]]:
    def build(channels: int) -> tuple[nn.Module, int]:
        from torchvision.models import get_model

        net = get_model(name, weights=None)
        if cifar_stem:
            # 3x3 without stride or pooling, as in every CIFAR ResNet since He et al. (2016)
            net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
            net.maxpool = nn.Identity()
        elif channels != 3:
            net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        num_features = net.fc.in_features
        net.fc = nn.Identity()
        return net, num_features

    return build


class _PreActBlock(nn.Module):
    """Pre-activation residual block (He et al., 2016, "Identity mappings")."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        same_shape = stride == 1 and inputs == outputs
        self.shortcut = None if same_shape else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        return self.conv2(F.relu(self.norm2(self.conv1(out)))) + shortcut


def _preact_resnet18(channels: int) -> tuple[nn.Module, int]:
    layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1, bias=False)]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        first, second = _PreActBlock(inputs, outputs, stride), _PreActBlock(outputs, outputs, 1)
        layers.append(nn.Sequential(first, second))
        inputs = outputs
    layers += [nn.BatchNorm2d(512), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers), 512


def _linear(width: int) -> tuple[nn.Module, int]:
    return nn.Identity(), width


def _mlp(width: int) -> tuple[nn.Module, int]:
    return nn.Sequential(nn.Linear(width, 512), nn.ReLU(inplace=True)), 512


@dataclass(frozen=True)
class Backbone:
    """A kind of network."""

    summary: str
    build: Callable[[int], tuple[nn.Module, int]]  # channels -> body and number of its features


BACKBONES = {
    "tiny_cnn": Backbone("3 convolutions, for 8x8 to 16x16", _tiny_cnn),
    "small_cnn": Backbone("5 convolutions, for 28x28 and 32x32", _small_cnn),
    "resnet18": Backbone("ResNet-18 with the CIFAR stem", _torchvision_resnet("resnet18", True)),
    "resnet34": Backbone("ResNet-34 with the CIFAR stem", _torchvision_resnet("resnet34", True)),
    "preact_resnet18": Backbone("pre-activation ResNet-18, as in DivideMix", _preact_resnet18),
    "resnet50": Backbone(
        "torchvision's ResNet-50, for large images", _torchvision_resnet("resnet50", False)
    ),
    "mlp": Backbone("for vectors: one hidden layer of 512 units", _mlp),
    "linear": Backbone("for vectors: a linear classifier", _linear),
}


def check_backbone(name: str) -> None:
    """Raise InputError unless there is a backbone of that name."""
    if is_library_name(name):
        check_network(name)
    elif name not in BACKBONES:
        libraries = [f"{library}:NAME" for library in LIBRARIES]
        if ":" in name:
            raise InputError(
                f"there is no backbone {name[:200]!r}: names of libraries are "
                f"{' and '.join(libraries)}"
            )
        raise unknown("backbone", name, [*BACKBONES, *libraries])


def build_network(name: str, channels: int, num_classes: int, size: int | None = None) -> Network:
    """Return a freshly initialised network; torch's global generator draws its weights.

    Args:
        channels: of the images, or the width of vectors.
        size: side in pixels of the input of a library's network, by default its own.
    """
    check_backbone(name)
    body: nn.Module
    if is_library_name(name):
        body, num_features = build_body(name, channels, size)
    else:
        body, num_features = BACKBONES[name].build(channels)
    return Network(body, num_features, num_classes)
