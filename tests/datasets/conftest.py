"""Fixtures of the tests of data sets."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep decoded images of each test in a folder of its own."""
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
