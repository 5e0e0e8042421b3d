"""Archives that are written: all of a record, or all but the predictions on held-out images."""

import json
import tarfile

import numpy as np
import pytest
from fabricate import write_trial

from bench.common.identity import trial_id
from bench.errors import InputError
from bench.records import publish
from bench.records.archive import opened
from bench.records.packing import pack_numbers
from bench.records.trials import read_trials


@pytest.fixture
def sweep(tmp_path):
    for seed in (0, 1):
        folder = write_trial(tmp_path / "sweep", test=[0.1, 0.2], seed=seed)
        np.savez(folder / "samples.npz", clean_probability=np.zeros(3))
        epochs = (folder / "epochs.jsonl").read_text().splitlines()
        packed = pack_numbers(np.arange(5))
        lines = [json.dumps(json.loads(line) | {"val_predictions": packed}) for line in epochs]
        (folder / "epochs.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "sweep" / "trials" / "begun").mkdir()
    (tmp_path / "sweep" / "trials" / "begun" / "spec.json").write_text("{}")
    (tmp_path / "sweep" / "sweep.json").write_text('{"command": []}')
    return tmp_path / "sweep"


def test_an_archive_holds_the_records_of_trials_that_are_over(sweep, tmp_path):
    path, complete = publish.write_archive(sweep, tmp_path / "board")
    assert complete and path.parent == tmp_path / "board"
    with tarfile.open(path) as archive:
        names = archive.getnames()
    ids = [trial.id for trial in read_trials(sweep)]
    files = ("spec.json", "done.json", "epochs.jsonl")
    assert names == ["sweep.json", *(f"trials/{name}/{file}" for file in files for name in ids)]
    for name in names:
        assert (opened(path) / name).read_bytes() == (sweep / name).read_bytes()
    assert (path.parent / "sweep.json").read_bytes() == (sweep / "sweep.json").read_bytes()


def test_of_absolute_paths_only_the_last_name_is_published(sweep, tmp_path):
    words = [
        "--out",
        "/home/ann/runs/first/",
        "--weights=/mnt/w.pth",
        "--dataset",
        "npz:/data/a b.npz",
        "openset:npz:/data/c.npz",
        "tuned-defaults:/home/ann/tuned",
    ]
    kept = ["a/relative/path", "npz:own.npz", "/", "timm:resnet18", "--noise", "0.2,0.5"]
    facts = {
        "command": words + kept,
        "runs": [{"options": {"out": "/home/ann/runs/first", "k": 1}}],
    }
    (sweep / "sweep.json").write_text(json.dumps(facts))
    write_trial(sweep, seed=2, spec={"dataset": "npz:/home/ann/mine.npz"})
    path, _ = publish.write_archive(sweep, tmp_path / "board")
    names = ["--out", "first", "--weights=w.pth", "--dataset", "npz:a b.npz"]
    names += ["openset:npz:c.npz", "tuned-defaults:tuned"]
    shortened = {"command": names + kept, "runs": [{"options": {"out": "first", "k": 1}}]}
    assert json.loads((path.parent / "sweep.json").read_text()) == shortened
    assert {trial.spec.dataset for trial in read_trials(path)} == {"digits", "npz:mine.npz"}
    assert [t.id for t in read_trials(path)] == [t.id for t in read_trials(sweep)]
    assert (opened(path) / "sweep.json").read_bytes() == (path.parent / "sweep.json").read_bytes()


def test_a_folder_that_an_earlier_version_named_after_a_path_is_archived_by_its_id(sweep, tmp_path):
    dataset = {"dataset": "npz:/home/ann/mine.npz"}
    folder = write_trial(sweep, seed=2, spec=dataset, earlier=True)
    spec = json.loads((folder / "spec.json").read_text())["spec"]
    assert folder.name != trial_id(spec)
    path, _ = publish.write_archive(sweep, tmp_path / "board")
    assert trial_id(spec) in {trial.folder.name for trial in read_trials(path)}


def test_the_same_records_make_the_same_bytes(sweep, tmp_path):
    first, _ = publish.write_archive(sweep, tmp_path / "a")
    second, _ = publish.write_archive(first, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_an_archive_keeps_the_predictions_that_a_search_has_compared(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "LARGEST", 100)
    spec = {"stage": "search tuned clean-val:5 none"}
    write_trial(sweep, test=[0.1, 0.2], seed=2, spec=spec)
    _, complete = publish.write_archive(sweep, tmp_path / "board")
    assert complete


def test_a_damaged_record_is_one_sentence(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "LARGEST", 100)
    damaged = next((sweep / "trials").glob("*/epochs.jsonl"))
    damaged.write_bytes(b"{\n" + damaged.read_bytes().partition(b"\n")[2])
    with pytest.raises(InputError, match=r"epochs\.jsonl"):
        publish.write_archive(sweep, tmp_path / "board")


def test_a_large_archive_leaves_out_predictions_alone(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "LARGEST", 100)
    path, complete = publish.write_archive(sweep, tmp_path / "board")
    assert not complete
    pairs = list(zip(read_trials(path), read_trials(sweep), strict=True))
    assert len(pairs) == 2
    for ours, theirs in pairs:
        assert ours.file == theirs.file and ours.done == theirs.done
        for epoch, complete_epoch in zip(ours.epochs, theirs.epochs, strict=True):
            assert complete_epoch.val_predictions
            complete_epoch.val_predictions = epoch.val_predictions
            assert epoch == complete_epoch
