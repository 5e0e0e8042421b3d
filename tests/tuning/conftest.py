"""Data and search spaces of tests of searches."""

import importlib

import pytest

import bench.tuning.grid


@pytest.fixture(scope="module")
def data(digits):
    return digits.subset(200)


@pytest.fixture(autouse=True)
def fresh_grids():
    """Forgets grids of other tests' search spaces."""
    bench.tuning.grid.grid.cache_clear()


@pytest.fixture
def space(monkeypatch):
    """Puts a search space in place of a method's own."""

    def put(method: str, domains) -> None:
        monkeypatch.setattr(importlib.import_module(f"search_spaces.{method}"), "SPACE", domains)

    return put
