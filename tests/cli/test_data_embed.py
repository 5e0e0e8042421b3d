"""Command `python -m bench.data embed`: features of images as a data set of vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import call, own_set
from torchvision.models import shufflenet_v2_x0_5

from bench.datasets import load_dataset
from bench.embedding import embed
from bench.networks.pretrained import load_pretrained

NETWORK = "torchvision:shufflenet_v2_x0_5"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Return a file of random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(shufflenet_v2_x0_5().state_dict(), path)
    return path


def options(weights: Path, out: Path, network: str = NETWORK) -> list[str]:
    return f"--backbone {network} --weights {weights} --network-size 32 --out {out}".split()


def test_a_folder_becomes_vectors_with_its_labels(tmp_path, weights, capsys):
    own_set(tmp_path / "photos", each=15, classes="xyz")
    name, out = f"folder:{tmp_path / 'photos'}", tmp_path / "new" / "v.npz"
    status, text = call(capsys, "embed", name, *options(weights, out))
    assert status == 0 and f"36 training and 9 test vectors are in {out}: use them with" in text
    pretrained = load_pretrained(NETWORK, str(weights), size=32, frozen=True)
    source = embed(load_dataset(name), pretrained, device="cpu", threads=1)
    dataset = load_dataset(f"npz:{out}")
    assert source.features is not None and dataset.train_images.shape == (36, 1024)
    assert (dataset.train_images == source.features.train[:, 0]).all()
    assert (dataset.test_images == source.features.tests["test"]).all()
    assert (dataset.train_labels == -1).all() and dataset.classes == ("x", "y", "z")
    assert (dataset.found["found"] == source.found["found"]).all()
    assert (dataset.test_labels == source.test_labels).all() and dataset.noisy_test
    about = np.load(out)["about"].tolist()
    assert about[0] == f"images: folder, content {source.content_hash}"
    assert about[1].startswith(f"network: {NETWORK}") and pretrained.network.weights in about[2]
    assert about[3:] == ["trained on: unknown", "licence of the weights: unknown"]
    assert text.startswith("\n".join(about))


def test_a_part_of_the_digits(tmp_path, weights, capsys):
    out = tmp_path / "v.npz"
    status, text = call(capsys, "embed", "digits", "--subset", "20", *options(weights, out))
    dataset = load_dataset(f"npz:{out}")
    assert status == 0 and "20 training and 360 test vectors" in text
    assert (dataset.train_labels == load_dataset("digits", subset=20).train_labels).all()
    assert dataset.knows_truth and not dataset.found and not dataset.noisy_test
    status, text = call(capsys, "embed", f"npz:{out}", *options(weights, tmp_path / "w.npz"))
    assert status == 2 and "holds vectors already: name a data set of images" in text
    before = out.read_bytes()
    status, text = call(capsys, "embed", "digits", *options(weights, out))
    assert status == 2 and "is there already: remove it, or choose another --out" in text
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--backbone": "resnet18"}, "embeddings need a network with pretrained weights: give"),
        ({"--weights": "none"}, "embeddings need a network with pretrained weights: give"),
        ({"--network-size": "0"}, "--network-size"),
        ({"--backbone": "torchvision:resnet"}, "resnet"),
        ({"--weights": "no.pth"}, "no.pth"),
        ({"--subset": "1"}, "--subset is 1, but digits has 1437 training images"),
        ({"name": "digit"}, "digits"),
    ],
)
def test_what_cannot_be_embedded_is_one_sentence(tmp_path, weights, capsys, changes, message):
    words = options(weights, tmp_path / "v.npz")
    settings = dict(zip(words[::2], words[1::2], strict=True)) | {"name": "digits"} | changes
    name = settings.pop("name")
    status, text = call(
        capsys, "embed", name, *(word for pair in settings.items() for word in pair)
    )
    assert status == 2 and text.startswith("Error: ") and text.count("\n") == 1, text
    assert message in text and not (tmp_path / "v.npz").exists()
