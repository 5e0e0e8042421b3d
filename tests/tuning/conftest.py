"""Data and search spaces of tests of searches."""

import importlib

import pytest


@pytest.fixture(scope="module")
def data(digits):
    return digits.subset(200)


@pytest.fixture
def space(monkeypatch):
    """Puts a search space in place of a method's own."""

    def put(method: str, domains) -> None:
        monkeypatch.setattr(importlib.import_module(f"search_spaces.{method}"), "SPACE", domains)

    return put
