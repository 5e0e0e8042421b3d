"""File of tuned defaults: what it sets, and what is refused."""

import json
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.planning.registry import resolve
from bench.planning.spec import expand_hparams
from bench.planning.tuned_defaults import FILE, read_tuned_defaults

EVIDENCE = {
    "candidates": 2,
    "cells": ["digits, symmetric 20 %", "digits, symmetric 50 %"],
    "seeds": 3,
    "mean_rank": 1.0,
    "mean_rank_of_first": 2.0,
    "gain": None,
    "gain_low": None,
    "gain_high": None,
}


ELR = {"elr.weight": 7.5, "elr.momentum": 0.7}


def write(folder: Path, methods: dict[str, dict], **fields) -> Path:
    content: dict = {
        "schema": 1,
        "selected_by": "",
        "methods": {
            name: {"hparams": hparams, "evidence": EVIDENCE} for name, hparams in methods.items()
        },
        **fields,
    }
    (folder / FILE).write_text(json.dumps(content))
    return folder / FILE


def test_settings_replace_the_defaults_of_their_method_alone(tmp_path):
    tuned = read_tuned_defaults(write(tmp_path, {"elr": ELR}))
    found = dict(expand_hparams(["elr", "rmd+elr", "gce"], {}, {}, tuned))
    assert found["elr"] == {"elr.weight": 7.5, "elr.momentum": 0.7}
    assert found["rmd+elr"]["elr.weight"] == 3.0


def test_a_wrapper_alone_is_the_one_on_the_reference(tmp_path):
    tuned = read_tuned_defaults(write(tmp_path, {"rmd": resolve("rmd+ce", {}) | {"rmd.k": 16}}))
    [(name, hparams)] = expand_hparams(["rmd"], {}, {}, tuned)
    assert name == "rmd+ce" and hparams["rmd.k"] == 16


def test_the_command_line_goes_before(tmp_path):
    tuned = read_tuned_defaults(write(tmp_path, {"elr": {"elr.weight": 7.5, "elr.momentum": 0.9}}))
    found = expand_hparams(["elr"], {}, {"elr.weight": ["1", "2"]}, tuned)
    assert [hparams["elr.weight"] for _, hparams in found] == [1, 2]
    assert {hparams["elr.momentum"] for _, hparams in found} == {0.9}


def test_the_folder_of_a_sweep_stands_for_its_file(tmp_path):
    write(tmp_path, {"elr": ELR})
    assert read_tuned_defaults(tmp_path)["elr"]["elr.weight"] == 7.5


@pytest.mark.parametrize(
    ("methods", "fields", "message"),
    [
        ({"elrr": {}}, {}, "there is no method 'elrr'"),
        ({"elr": {"elr.wait": 1.0}}, {}, "elr.wait"),
        ({"elr": {"elr.weight": "heavy"}}, {}, "elr.weight"),
        ({}, {"schema": 2}, "update lnl-bench"),
        ({}, {"schema": 2, "selected_by": 3}, "update lnl-bench"),
        ({}, {"schema": "one"}, "is no file of tuned defaults"),
        ({"elr": {}}, {}, "has no elr.momentum of elr"),
        ({"elr": {"elr.momentum": 0.7}}, {}, "has no elr.weight of elr"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_files_name(tmp_path, methods, fields, message):
    path = write(tmp_path, methods, **fields)
    with pytest.raises(InputError, match=message) as caught:
        read_tuned_defaults(path)
    assert FILE in str(caught.value)


def test_settings_younger_than_the_records_have_their_neutral_values():
    board = Path(__file__).resolve().parents[2] / "results" / "reference" / "digits-tuned"
    [proposal] = [p for name, p in read_tuned_defaults(board).items() if name == "rmd+ce"]
    written = json.loads((board / FILE).read_text())["methods"]["rmd"]["hparams"]
    assert "rmd.teacher" not in written and proposal["rmd.teacher"] == "simsiam"


def test_a_file_of_other_bytes_is_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b'{"schema": 1, "selected_by": "\xff"}')
    with pytest.raises(InputError, match="is no file of tuned defaults"):
        read_tuned_defaults(tmp_path)


def test_a_missing_file_is_an_error_that_says_who_writes_one(tmp_path):
    with pytest.raises(InputError, match="--tune N --transfer"):
        read_tuned_defaults(tmp_path / "nothing.json")
