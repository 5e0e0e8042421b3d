"""Noise on data sets of vectors: kinds of labels alone work, kinds that read images refuse."""

from pathlib import Path

import numpy as np
import pytest

from bench.cli.noise import main as noise_main
from bench.datasets import Dataset, load_dataset
from bench.errors import InputError
from bench.noise import NoiseSpec, check_noise, corrupt, prepare, realised_rate


@pytest.fixture
def file(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 5
    features = rng.normal(size=(100, 8)).astype(np.float32)
    np.savez(
        tmp_path / "v.npz",
        train_features=features,
        train_labels=labels,
        test_features=features[:20],
        test_labels=labels[:20],
        noisy_labels=(labels + 1) % 5,
        flips=np.array([[0, 1], [2, 3]]),
    )
    return tmp_path / "v.npz"


@pytest.fixture
def vectors(file) -> Dataset:
    return load_dataset(f"npz:{file}")


@pytest.mark.parametrize("kind", ["instance", "instance-raw", "pmd-1", "pmd-3", "openset:digits"])
def test_noise_of_images_refuses_vectors(vectors, kind):
    sentence = rf"^{kind} noise needs images, but npz:.* holds vectors: use .* such as symmetric"
    with pytest.raises(InputError, match=sentence):
        check_noise(kind, 0.4, vectors)
    if not kind.startswith("instance"):
        with pytest.raises(InputError, match=sentence):
            prepare(vectors, kind)


def test_vectors_are_no_donors(digits, file):
    with pytest.raises(InputError, match=r"needs images, but npz:.* holds vectors: name another"):
        prepare(digits, f"openset:npz:{file}")


@pytest.mark.parametrize(
    ("kind", "rate", "realised"),
    [
        ("clean", None, 0),
        ("symmetric", 0.4, 0.4),
        ("symmetric-inclusive", 0.5, 0.4),
        ("asymmetric", 0.4, 0.16),  # in two of five classes
        ("asymmetric-block", 0.4, 0.4),
        ("pairflip", 0.4, 0.4),
        ("found", None, 1),
    ],
)
def test_noise_of_labels_works_on_vectors(vectors, kind, rate, realised):
    check_noise(kind, rate, vectors)
    noisy = corrupt(prepare(vectors, kind), NoiseSpec(kind, rate, 0))
    assert realised_rate(vectors.train_labels, noisy) == pytest.approx(realised, abs=0.02)


def test_labels_of_a_file_fit_vectors(vectors, tmp_path):
    np.save(tmp_path / "l.npy", np.arange(100)[::-1] % 5)
    kind = f"labels:{tmp_path / 'l.npy'}"
    assert (corrupt(vectors, NoiseSpec(kind, None, 0)) == np.arange(100)[::-1] % 5).all()
    np.save(tmp_path / "l.npy", np.arange(99) % 5)
    sentence = "for 100 training vectors of npz:.* or 120, for all vectors with the test vectors"
    with pytest.raises(InputError, match=sentence):
        corrupt(vectors, NoiseSpec(kind, None, 0))


def test_the_command_for_noise_counts_vectors(file, tmp_path, capsys):
    out = str(tmp_path / "m.png")
    with pytest.raises(SystemExit) as end:
        noise_main(["show", "--dataset", f"npz:{file}", "--rate", "0.4", "--out", out])
    text = capsys.readouterr().out
    assert not end.value.code and "100 training vectors, 5 classes" in text
    heading, row = next(
        pair
        for pair in zip(text.splitlines(), text.splitlines()[1:], strict=False)
        if pair[0].startswith("  class  vectors  wrong (%)")
    )
    assert row[: heading.index("s  wrong") + 1] == "  0           20"
