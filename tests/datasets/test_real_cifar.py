"""Real CIFAR-10 with CIFAR-10N's labels gives the same trial through arrays and folders.

Needs an archive of JPEG images in the canonical order (train_jpeg, train_offsets, train_labels,
cifar10n_worst and so on), named in the environment variable LNL_BENCH_CIFAR10_JPEG.
"""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import FOUND, load_dataset
from bench.planning.labels import Labels
from bench.planning.spec import Plan, expand_hparams
from bench.records.schema import Epoch
from bench.training.trial import run_trial

ARCHIVE = os.environ.get("LNL_BENCH_CIFAR10_JPEG", "")
TRAIN, TEST = 4000, 1000

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        not Path(ARCHIVE).is_file(),
        reason="LNL_BENCH_CIFAR10_JPEG names no archive of CIFAR-10's images",
    ),
]


def jpegs(archive, split: str, positions) -> list[bytes]:
    offsets, blob = archive[f"{split}_offsets"], archive[f"{split}_jpeg"]
    return [blob[offsets[p] : offsets[p + 1]].tobytes() for p in positions]


def pixels(blobs: list[bytes]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(blob))) for blob in blobs])


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """Folder of the same images and ``worst`` labels as arrays and as class folders."""
    root = tmp_path_factory.mktemp("cifar")
    with np.load(ARCHIVE) as archive:
        contents = {key: archive[key] for key in archive.files}
    classes = [str(name) for name in contents["classes"]]
    parts = {
        "train": (range(TRAIN), contents["cifar10n_worst"]),
        "test": (range(0, 10_000, 10_000 // TEST), contents["test_labels"]),
    }
    arrays = {}
    for split, (positions, labels) in parts.items():
        blobs = jpegs(contents, split, positions)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = (
            pixels(blobs),
            labels[list(positions)],
        )
        for position, blob in zip(positions, blobs, strict=True):
            path = root / "folder" / split / classes[labels[position]] / f"{position:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(blob)
    arrays["noisy_labels"] = arrays.pop("train_labels")
    np.savez(root / "worst.npz", **arrays, classes=np.array(classes))
    return root


@pytest.mark.parametrize("method", ["ce", "softmix"])
def test_arrays_and_folders_give_the_same_trial(real, method, monkeypatch):
    monkeypatch.setenv("LNL_BENCH_CACHE", str(real / "cache"))
    outcomes, curves = [], []
    for name in (f"npz:{real / 'worst.npz'}", f"folder:{real / 'folder'}"):
        data = load_dataset(name)
        plan = Plan(
            noise_kind=FOUND,
            overrides=(("epochs", 2), ("backbone", "tiny_cnn"), ("augmentation", "crop_flip")),
        )
        [spec] = plan.specs(data, expand_hparams([method], {}, {}), [None], [0])
        labels = Labels.of(spec, data)
        outcomes.append(
            (
                data.content_hash,
                labels.noisy.tolist(),
                labels.train.tolist(),
                labels.validation.tolist(),
            )
        )
        epochs: list[dict] = []
        outcome = run_trial(
            spec, data, report=lambda new, _, epochs=epochs: epochs.extend(map(Epoch.to_json, new))
        )
        assert outcome.status == "finished", outcome
        assert outcome.noise.realised_rate is None and outcome.noise.transition_matrix is None
        curves.append([(e["train_loss"], e["test_accuracy"], e["val_predictions"]) for e in epochs])
    assert outcomes[0] == outcomes[1]
    assert curves[0] == curves[1]
    losses = [loss for loss, _, _ in curves[0]]
    assert losses[-1] < losses[0], "it learns"
