"""Command `python -m bench.clean`: an audit from end to end, and what is refused."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest
from fabricate import write_trial
from image_sets import save

from bench.audit.decisions import COLUMNS
from bench.cli.clean import main
from bench.datasets import load_dataset

FILES = {"suspects.csv", "weights.csv", "summary.json", "tasks.json", "report.md", "clean.html"}


def clean(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_wrong_labels_of_digits_come_first_and_a_second_run_trains_nothing(tmp_path, capsys):
    out = tmp_path / "audit"
    options = ["digits", "--subset", "400", "--noise", "0.3", "--seeds", "1", "--check"]
    options += ["--drop-flagged", "--out", str(out)]
    status, text, err = clean(capsys, *options)
    assert status == 0, err
    assert {path.name for path in out.iterdir()} >= FILES
    assert (out / "plots" / "transition.png").exists()
    check = json.loads((out / "summary.json").read_text())["check"]
    assert check["scores"]["audit"]["auc"] > 0.95
    low, _, high = check["rate"]
    assert low - 0.05 < check["true_rate"] < high + 0.05
    rows = list(csv.DictReader((out / "suspects.csv").open()))
    assert len(rows) == 400 + 360 and rows[0]["path"].startswith("train:")
    digits, trained = load_dataset("digits"), [row for row in rows if row["split"] == "train"]
    places = [int(row["path"].partition(":")[2]) for row in trained]  # of the whole set
    given = [digits.classes.index(row["given_label"]) for row in trained]
    assert np.mean(digits.train_labels[places] == given) == pytest.approx(0.7)
    assert (out / "dropped" / "labels.npz").exists()
    trials = sorted(path.stat().st_mtime_ns for path in out.glob("trials/*/done.json"))
    summary = (out / "summary.json").read_text()
    (out / "summary.json").unlink()  # as where the first run was interrupted
    verdicts = tmp_path / "mturk.json"
    labels = load_dataset("digits").test_labels[:3].tolist()
    verdicts.write_text(
        json.dumps(
            [
                {"id": number, "given_original_label": label, "mturk": {"given": number}}
                for number, label in enumerate(labels)
            ]
        )
    )
    status, text, _ = clean(capsys, *options, "--no-plots", "--reviewed-test", str(verdicts))
    assert status == 0 and "trials in" not in text and "people found 3 wrong" in text
    check = json.loads((out / "summary.json").read_text())["check"]
    assert check["reviewed_wrong"] == 3 and 0 <= check["reviewed_scores"]["audit"]["auc"] <= 1
    assert trials == sorted(path.stat().st_mtime_ns for path in out.glob("trials/*/done.json"))
    line = [rows[0][column] for column in ("path", "given_label")]
    decision = ",".join([*line, "drop", "", json.loads(summary)["data_hash"], "1"])
    (out / "decisions.csv").write_text(f"{','.join(COLUMNS)}\n{decision}\n")
    status, text, err = clean(capsys, "apply", str(out / "decisions.csv"))
    assert status == 0 and "1 dropped, 759 undecided" in text, err
    (out / "dropped" / "my_only_copy.jpg").write_text("")
    status, _, err = clean(capsys, *options)
    assert status == 2 and "move it away" in err
    assert (out / "dropped" / "my_only_copy.jpg").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["digits", "--noise", "1.5"], "--noise"),
        (["digits", "--noise-kind", "symmetric"], "add --noise R"),
        (["digits", "--backbone", "pixels", "--weights", "x.pth"], "--weights is for"),
        (["digits", "--methods", "nothing"], "nothing"),
        (["digits", "--reviewed-test", "verdicts.json"], "add --check"),
        (["folder:/nowhere"], "nowhere"),
        ([], "DATASET"),
        (["apply"], "DECISIONS.csv"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(tmp_path, capsys, arguments, message):
    status, _, err = clean(capsys, *arguments, *["--out", str(tmp_path / "x")])
    assert status == 2 and message in err and "Traceback" not in err


@pytest.mark.parametrize("name", ["report.md", "summary.json", "dropped", "leaderboard.md"])
def test_a_folder_of_something_else_is_left_as_it_is(tmp_path, capsys, name):
    (tmp_path / name).write_text('{"data_hash": "of other labels"}')
    status, _, err = clean(capsys, "digits", "--subset", "100", "--out", str(tmp_path))
    assert status == 2 and "choose another --out" in err
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["digits", "audit of mnist"])
def test_trials_of_other_data_are_left_alone(tmp_path, capsys, name):
    write_trial(tmp_path, spec={"dataset": name})
    (tmp_path / "sweep.json").write_text("theirs")
    status, _, err = clean(capsys, "digits", "--subset", "100", "--out", str(tmp_path))
    assert status == 2 and "choose another --out" in err
    assert (tmp_path / "sweep.json").read_text() == "theirs"
    assert len(list((tmp_path / "trials").iterdir())) == 1


@pytest.mark.parametrize("content", ["[" * 100_000, ""])
def test_a_summary_that_cannot_be_read_is_another_audit_s(tmp_path, capsys, content):
    (tmp_path / "summary.json").write_text(content)
    status, _, err = clean(capsys, "digits", "--subset", "100", "--out", str(tmp_path))
    assert status == 2 and "holds another audit's files" in err


def test_a_folder_in_place_of_a_file_is_named_before_training(tmp_path, capsys):
    (tmp_path / "trials").mkdir()
    (tmp_path / "clean.html").mkdir()
    status, _, err = clean(capsys, "digits", "--subset", "100", "--out", str(tmp_path))
    assert status == 2 and "clean.html' is a folder" in err


def test_names_that_no_list_can_hold_are_said_before_the_audit(tmp_path, capsys):
    for name in ("None", "cat", os.fsdecode(b"caf\xe9")):
        for number in range(12):
            save(tmp_path / "pets" / name / f"{number}.png", np.zeros((8, 8, 3), np.uint8))
    command = [f"folder:{tmp_path / 'pets'}", "--out", str(tmp_path / "out")]
    status, _, err = clean(capsys, *command, "--drop-flagged")
    assert status == 2 and "no UTF-8" in err
    shutil.rmtree(tmp_path / "pets" / os.fsdecode(b"caf\xe9"))
    status, _, err = clean(capsys, *command, "--drop-flagged")
    assert status == 2 and "the class 'None'" in err
    status, _, err = clean(capsys, *command)
    assert status == 2 and "decisions on this audit cannot be applied: the class 'None'" in err


def test_true_labels_that_are_unknown_cannot_be_checked(tmp_path, capsys):
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(100, 4)).astype("f4"), np.arange(100) % 2
    np.savez(
        tmp_path / "x.npz",
        train_features=vectors,
        noisy_labels=labels,
        test_features=vectors[:10],
        test_labels=labels[:10],
    )
    status, _, err = clean(capsys, f"npz:{tmp_path / 'x.npz'}", "--check")
    assert status == 2 and "not known" in err


@pytest.mark.slow
def test_tiny_grey_images_of_a_folder_without_parts(tmp_path, capsys):
    """Images as small as the network's own input are vectors of pixels, and have thumbnails."""
    digits = load_dataset("digits")
    for number, (image, label) in enumerate(
        zip(digits.train_images[:200], digits.train_labels, strict=False)
    ):
        save(tmp_path / "grey" / str(label) / f"{number:03}.png", image[0])
    out = tmp_path / "audit"
    options = ["--image-size", "8", "--seeds", "1", "--no-plots", "--out", str(out)]
    status, _, err = clean(capsys, f"folder:{tmp_path / 'grey'}", *options)
    assert status == 0, err
    rows = list(csv.DictReader((out / "suspects.csv").open()))
    assert {row["split"] for row in rows} == {""}
    weights = list(csv.DictReader((out / "weights.csv").open()))
    own = load_dataset(f"folder:{tmp_path / 'grey'}").all_names.tolist()
    assert [row["path"] for row in weights] == own
    assert not [row for row in rows if {"blank", "dark", "tiny"} & set(row["issues"].split())]
    page = (out / "clean.html").read_text()
    pictures = re.search(r'id="pictures">(.*?)</script>', page, re.S).group(1)
    assert len(json.loads(pictures)) == len(rows) == 200
