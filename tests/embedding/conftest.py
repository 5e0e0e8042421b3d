"""Fixtures of the tests of embedding."""

from pathlib import Path

import frozen
import pytest

from bench.embedding import inputs


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Keep caches of each test in a folder of its own, and embed by a tiny network."""
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
    frozen.install(monkeypatch)
    return tmp_path / "cache"


@pytest.fixture
def opened(monkeypatch) -> list[tuple[int, int]]:
    """Return the list of images that are opened for the network: (size of the part, position)."""
    calls, open_image = [], inputs.open_image

    def counting(images, position):
        calls.append((len(images), position))
        return open_image(images, position)

    monkeypatch.setattr(inputs, "open_image", counting)
    return calls
