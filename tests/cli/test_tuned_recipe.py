"""Option ``--recipe tuned-defaults:FILE``: the trials that it plans."""

import json
from pathlib import Path

import pytest

from bench.cli.plan import plan_sweep
from bench.cli.request import Request
from bench.cli.run import run

WORDS = ("--methods", "elr", "--noise", "0.5", "--seeds", "1", "--out", "results/none")


@pytest.fixture
def file(tmp_path) -> Path:
    evidence = {"candidates": 2, "cells": [], "seeds": 3, "mean_rank": 1, "mean_rank_of_first": 2}
    evidence |= dict.fromkeys(("gain", "gain_low", "gain_high"))
    proposal = {"hparams": {"elr.weight": 7.5, "elr.momentum": 0.7}, "evidence": evidence}
    path = tmp_path / "tuned-defaults.json"
    path.write_text(json.dumps({"methods": {"elr": proposal}}))
    return path


def planned(*words: str):
    return plan_sweep(Request.of(run.make_context("run", [*WORDS, *words]).params))


def test_trials_have_the_files_settings_and_the_shared_recipe(file):
    sweep = planned("--recipe", f"tuned-defaults:{file}")
    by_method = {spec.method: spec for spec in sweep.specs}
    assert by_method["elr"].hparams["elr.weight"] == 7.5
    assert {spec.protocol for spec in sweep.specs} == {"shared"}
    plain = {spec.method: spec for spec in planned().specs}
    assert by_method["ce"].id == plain["ce"].id and by_method["elr"].id != plain["elr"].id


def test_methods_without_settings_in_the_file_are_named(file):
    words = ["--methods", "elr,gce", *WORDS[2:], "--recipe", f"tuned-defaults:{file}"]
    with pytest.warns(UserWarning, match="no settings of gce, which"):
        plan_sweep(Request.of(run.make_context("run", words).params))


def test_a_search_begins_with_the_files_settings(file):
    sweep = planned("--recipe", f"tuned-defaults:{file}", "--tune", "2")
    [search] = sweep.tuning.searches
    assert search.base.hparams["elr.weight"] == 7.5 and search.fixed == {}


def test_a_sweeps_file_of_options_names_the_recipe(file):
    recipe = f"tuned-defaults:{file}"
    assert planned("--recipe", recipe).request.options()["recipe"] == recipe
