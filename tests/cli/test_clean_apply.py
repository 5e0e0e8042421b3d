"""Command ``python -m bench.clean apply``."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reviews import audit_of, write_decisions, write_pets

from bench.audit.files import write_files
from bench.audit.samples import Samples, samples_of
from bench.cli.audit import _drop
from bench.cli.clean_apply import apply
from bench.cli.commands import execute
from bench.datasets import load_dataset


def call(capsys, *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        execute(apply, [str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


@pytest.fixture
def pets(tmp_path) -> Path:
    return write_pets(tmp_path / "pets")


def samples(pets: Path) -> Samples:
    return samples_of(load_dataset(f"folder:{pets}"))


LINES = "cat/00.png,cat,relabel,dog", "dog/01.png,dog,keep,dog", "fox/02.png,fox,drop,"


def test_decisions_beside_the_images_become_labels(pets, capsys):
    path = write_decisions(pets / "decisions.csv", samples(pets), *LINES)
    status, output, errors = call(capsys, path)
    assert (status, errors) == (0, "")
    assert output.startswith("labels: 1 kept, 1 changed; samples: 1 dropped, 27 undecided\n")
    reviewed = load_dataset(f"folder:{pets / 'reviewed' / 'reviewed.csv'}")
    assert (reviewed.train_labels >= 0).any()
    status, _, errors = call(capsys, path)
    assert status == 2 and "there already" in errors


def test_decisions_beside_an_audit_belong_to_its_data(pets, tmp_path, capsys):
    audit = tmp_path / "audit"
    audit.mkdir()
    path = write_decisions(audit / "decisions.csv", samples(pets), *LINES)
    (audit / "summary.json").write_text(json.dumps({"dataset": f"folder:{pets}"}))
    status, output, _ = call(capsys, path)
    assert status == 0 and f"folder:{audit / 'reviewed' / 'labels.csv'}" in output
    for damaged in ("{", json.dumps({"dataset": "digits", "options": {"subset": "ten"}})):
        (audit / "summary.json").write_text(damaged)
        status, _, errors = call(capsys, path)
        assert status == 2 and "--dataset" in errors


def test_flagged_samples_are_dropped_on_request(pets, tmp_path, capsys):
    path = write_decisions(tmp_path / "decisions.csv", samples(pets), *LINES)
    suspects = tmp_path / "suspects.csv"
    flags = "dog/01.png,dog,True\ndog/04.png,dog,True\nfox/05.png,fox,False\n"
    suspects.write_text("path,given_label,flagged\n" + flags)
    options = ["--dataset", f"folder:{pets}", "--out", tmp_path / "out"]
    status, output, _ = call(capsys, path, "--drop-flagged", suspects, *options)
    assert status == 0 and "1 flagged samples" in output
    listed = (tmp_path / "out" / "labels.csv").read_text()
    assert "04.png" not in listed and "01.png" in listed and "05.png" in listed


def test_labels_that_the_audit_named_are_the_given_ones(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "pets.npz",
        train_features=rng.random((9, 4), dtype=np.float32),
        noisy_labels=np.arange(9) % 3,
        noisy_labels_worst=np.arange(9)[::-1] % 3,
        test_features=rng.random((3, 4), dtype=np.float32),
        test_labels=np.arange(3),
        classes=np.array(["cat", "dog", "fox"]),
    )
    data = load_dataset(f"npz:{tmp_path / 'pets.npz'}")
    given = np.concatenate([data.found["human-worst"], data.test_labels])
    worst = replace(samples_of(data), given=given)
    path = write_decisions(tmp_path / "decisions.csv", worst, "train:0,fox,relabel,cat")
    options = {"noise_kind": "human-worst", "noise": None, "noise_seed": 0}
    summary = {"dataset": data.name, "options": options}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    status, _, errors = call(capsys, path)
    assert status == 0, errors
    labels = load_dataset(f"npz:{tmp_path / 'reviewed' / 'labels.npz'}").delivered_labels
    assert labels.tolist() == [0, *given[1:9]]


@pytest.mark.parametrize("parts", [("",), ("train", "test")])
def test_both_commands_drop_all_that_is_flagged_but_the_test_part_of_the_user(
    tmp_path, capsys, parts
):
    for part in parts:
        write_pets(tmp_path / "pets" / part)
    data = load_dataset(f"folder:{tmp_path / 'pets'}")
    has_split = len(parts) > 1
    audit = audit_of(data, has_split=has_split)
    write_files(audit, tmp_path, {})
    _drop(audit, data, tmp_path)
    decisions = write_decisions(
        tmp_path / "decisions.csv", samples_of(data), f"{audit.names[0]},cat,skip,"
    )
    status, _, _ = call(capsys, decisions, "--drop-flagged", tmp_path / "suspects.csv")
    assert status == 0
    listed = (tmp_path / "dropped" / "labels.csv").read_text()
    assert listed == (tmp_path / "reviewed" / "labels.csv").read_text()
    for name, split, flagged in zip(audit.names, audit.split, audit.flagged, strict=True):
        assert (name in listed) == (not flagged or (has_split and split == "test"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("cat/00.png", "../00.png"), "leads out"),
        (lambda text: text.replace("dog/01.png,dog", "dog/01.png,fox"), "given label"),
        (lambda text: "".join(text.splitlines(keepends=True)[:3]), "2 of its 3"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(pets, capsys, change, message):
    path = write_decisions(pets / "decisions.csv", samples(pets), *LINES)
    path.write_text(change(path.read_text()))
    before = sorted(pets.rglob("*"))
    status, output, errors = call(capsys, path)
    assert status == 2 and output == "" and errors.count("\n") == 1 and message in errors
    assert sorted(pets.rglob("*")) == before


def test_other_data_are_refused(pets, tmp_path, capsys):
    path = write_decisions(tmp_path / "decisions.csv", samples(pets), *LINES)
    status, _, errors = call(capsys, path, "--dataset", "digits")
    assert status == 2 and "--dataset" in errors
    status, _, errors = call(capsys, tmp_path / "no.csv")
    assert status == 2 and "no file" in errors


def test_a_summary_that_names_no_data_set_is_one_sentence(pets, capsys):
    path = write_decisions(pets / "decisions.csv", samples(pets), *LINES)
    (pets / "summary.json").write_text("[" * 100_000)
    status, _, errors = call(capsys, path)
    assert status == 2 and "does not say which data set was audited" in errors


def test_decisions_without_an_audit_beside_them_have_to_be_moved(pets, tmp_path, capsys):
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    path = write_decisions(downloads / "decisions.csv", samples(pets), *LINES)
    status, _, errors = call(capsys, path)
    assert status == 2 and "no audit beside" in errors and "--dataset" in errors
