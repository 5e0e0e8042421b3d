"""Images that show nothing."""

import numpy as np
from PIL import Image

from bench.audit.audit import BLANK, DARK, TINY
from bench.audit.images import image_issues
from bench.datasets import load_dataset
from bench.datasets.arrays import from_arrays


def test_blank_and_dark_images_are_named():
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8), dtype=np.uint8)
    images[1], images[2] = 200, 0
    images[2, 0, 0] = 255
    dataset = from_arrays("npz:x", images, [0, 1, 0, 1], images[:2], [0, 1])
    assert image_issues(dataset) == [[], [BLANK], [DARK], [], [], [BLANK]]


def test_an_image_file_that_is_much_smaller_than_the_others_is_tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for number in range(4):
                side = 8 if (part, name, number) == ("train", "dog", 2) else 40
                pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
                path = tmp_path / "pets" / part / name / f"{number}.png"
                Image.fromarray(pixels).save(path)
    dataset = load_dataset(f"folder:{tmp_path / 'pets'}")
    issues = image_issues(dataset)
    assert [str(dataset.train_names[i]) for i, words in enumerate(issues) if TINY in words] == [
        "train/dog/2.png"
    ]
