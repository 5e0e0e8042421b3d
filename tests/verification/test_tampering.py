"""Ten kinds of tampering with a real archive: each is named, and an honest archive is accepted."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from archives import EPOCHS, Tampering, verdict_of, write_archive

from bench.cli.verify import main
from bench.datasets import load_dataset
from bench.planning.labels import Labels
from bench.planning.spec import TrialSpec
from bench.records import publish
from bench.records.packing import unpack_numbers
from bench.records.verdict import CONSISTENT, EXACT, REJECTED, VERIFIED, Verdict


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return write_archive(tmp_path_factory.mktemp("honest") / "sweep")


@pytest.fixture
def tampering(archive, tmp_path) -> Tampering:
    return Tampering(archive, tmp_path / "sweep")


def verify(sweep: Path, *words: str) -> Verdict:
    """Run the command; return the verdict that it has written."""
    with pytest.raises(SystemExit) as end:
        main([str(sweep), *words])
    verdict = verdict_of(sweep)
    assert end.value.code == (0 if verdict.accepted else 1)
    return verdict


def kinds(sweep: Path, sample: str = "0") -> set[str]:
    verdict = verify(sweep, "--sample", sample)
    assert verdict.outcome == (REJECTED if verdict.faults else CONSISTENT)
    return {fault.kind for fault in verdict.faults}


def test_an_honest_archive_is_accepted(tampering, capsys):
    verdict = verify(tampering.pack(), "--sample", "all")
    assert (verdict.outcome, verdict.faults) == (VERIFIED, [])
    assert len(verdict.unchecked) == 1 and verdict.unchecked[0].startswith("cost: ")
    assert verdict.trials == len(verdict.reruns) == 12
    assert {rerun.agreement for rerun in verdict.reruns} == {EXACT}
    assert "Verified" in capsys.readouterr().out


def test_the_seed_chooses_the_trials_and_is_printed(tampering, capsys):
    tampering.remove_tables()
    verdicts = [verify(tampering.sweep, "--sample", "3", "--seed", "7") for _ in range(2)]
    chosen = [[rerun.trial for rerun in verdict.reruns] for verdict in verdicts]
    assert chosen[0] == chosen[1] and len(chosen[0]) == 3 and verdicts[0].seed == 7
    assert "seed 7" in capsys.readouterr().out
    assert len({verify(tampering.sweep, "--sample", "0").seed for _ in range(3)}) > 1


def test_a_large_archive_without_predictions_is_accepted(tampering, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "LARGEST", 0)
    _, complete = publish.write_archive(tampering.sweep, tmp_path / "board")
    assert not complete
    verdict = verify(tmp_path / "board", "--sample", "1")
    assert verdict.accepted and [rerun.agreement for rerun in verdict.reruns] == ["exact"]


def test_trials_are_run_again_by_id(tampering):
    name = tampering.trial("gce").name
    [rerun] = verify(tampering.sweep, "--sample", name).reruns
    assert (rerun.trial, rerun.method) == (name, "gce")


# ----------------------------------------------------------------------------
# tampering that the files show


def test_an_edited_accuracy(tampering):
    folder = tampering.trial("gce")
    tampering.change(folder, "epochs.jsonl", lambda lines: lines[2].update(test_accuracy=0.951))
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"accuracy"}


def test_an_edited_validation_accuracy(tampering):
    def change(lines):
        lines[2]["noisy_val_accuracy"] = 29 / 30

    tampering.change(tampering.trial("gce"), "epochs.jsonl", change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"accuracy"}


def test_an_edited_accuracy_of_the_last_epoch(tampering):
    def change(lines):
        lines[-1]["test_accuracy"] = 350 / 360

    tampering.change(tampering.trial("gce"), "epochs.jsonl", change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"accuracy"}


@pytest.mark.parametrize("place", [0, 2, EPOCHS - 1])
def test_a_dropped_epoch(tampering, place):
    folder = tampering.trial("gce")
    tampering.change(folder, "epochs.jsonl", lambda lines: lines[:place] + lines[place + 1 :])
    assert "epochs" in kinds(tampering.sweep)


def test_labels_of_another_seed(tampering, archive):
    """The record of seed 1 as that of seed 0."""
    other = tampering.trial("gce", seed=1)
    tampering.respecify(other, noise_seed=0, split_seed=0, train_seed=0)
    tampering.remove_tables()
    verdict = verify(tampering.sweep, "--sample", "0")
    [fault] = [fault for fault in verdict.faults if fault.kind == "labels"]
    assert "noise seed 1" in fault.text


def test_labels_of_another_seed_under_the_right_hash(tampering):
    right = json.loads((tampering.trial("gce") / "done.json").read_text())["noise"]
    other = tampering.trial("gce", seed=1)
    tampering.change(other, "done.json", lambda done: done.update(noise=right))
    tampering.respecify(other, noise_seed=0, split_seed=0, train_seed=0)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"labels"}


def test_results_in_the_folder_of_another_method(tampering):
    folder, other = tampering.trial("elr"), tampering.trial("gce")
    for name in ("epochs.jsonl", "done.json"):
        shutil.copy(other / name, folder / name)
    tampering.remove_tables()
    assert "method" in kinds(tampering.sweep)


def test_a_changed_configuration(tampering):
    def change(file):
        file["spec"]["hparams"]["gce.q"] = 0.9

    tampering.change(tampering.trial("gce"), "spec.json", change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"config"}


def test_clean_labels(tampering):
    clean = tampering.trial("gce", rate=0.0)
    tampering.respecify(clean, noise_rate=0.5)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"clean-labels"}


def test_a_trial_under_two_seeds(tampering):
    folder = tampering.trial("gce")
    copy = shutil.copytree(folder, folder.with_name("copy"))
    tampering.respecify(copy, noise_seed=7, split_seed=7, train_seed=7)
    tampering.remove_tables()
    assert "duplicate" in kinds(tampering.sweep)


def test_a_file_twice_in_the_archive(tampering):
    folder = tampering.trial("gce")
    with tarfile.open(tampering.sweep / "records.tar.gz", "w:gz") as packed:
        for name in ("sweep.json", "trials"):
            packed.add(tampering.sweep / name, name)
        packed.add(folder / "epochs.jsonl", f"trials/{folder.name}/epochs.jsonl")
    assert kinds(tampering.sweep / "records.tar.gz") == {"duplicate"}


def test_a_wrong_data_hash(tampering):
    tampering.respecify(tampering.trial("gce"), data_hash="0123456789abcdef")
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"data"}


@pytest.mark.parametrize("file", ["epochs.jsonl", "done.json", "sweep.json"])
def test_a_future_schema(tampering, file):
    def change(content):
        (content[0] if file == "epochs.jsonl" else content)["schema"] = 2

    folder = tampering.sweep if file == "sweep.json" else tampering.trial("gce")
    tampering.change(folder, file, change)
    assert "schema" in kinds(tampering.sweep)


@pytest.mark.parametrize("file", ["epochs.jsonl", "done.json", "spec.json"])
def test_a_truncated_file(tampering, file):
    path = tampering.trial("gce") / file
    path.write_bytes(path.read_bytes()[:-20])
    assert "truncated" in kinds(tampering.sweep)


def test_a_truncated_archive(tampering):
    path = tampering.pack()
    path.write_bytes(path.read_bytes()[:-1000])
    assert kinds(path) == {"truncated"}
    folder = path.parent / "board"
    folder.mkdir()
    shutil.copy(path, folder)
    assert kinds(folder) == {"truncated"}


def test_an_edited_table(tampering):
    path = tampering.sweep / "leaderboard.csv"
    header, first, *rest = path.read_text().splitlines()
    mean = header.split(",").index("mean")
    cells = first.split(",")
    cells[mean] = "0.99"
    path.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
    assert kinds(tampering.sweep) == {"leaderboard"}


# ----------------------------------------------------------------------------
# damage


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipe", None),
        ("recipe", [1]),
        ("noise_seed", None),
        ("noise_seed", "x"),
        ("method", 3),
        ("stage", 3),
    ],
)
def test_a_specification_of_another_structure(tampering, field, value):
    def change(file):
        file["spec"][field] = value
        if value is None:
            del file["spec"][field]

    tampering.change(tampering.trial("gce"), "spec.json", change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"schema"}


@pytest.mark.parametrize(
    ("file", "figures", "kind"),
    [
        ("spec.json", {"spec": {}}, "schema"),
        ("spec.json", {"schema": 9}, "schema"),
        ("epochs.jsonl", {"val_predictions": "!!!"}, "schema"),
        ("epochs.jsonl", {"val_predictions": "AAAA"}, "schema"),
        ("epochs.jsonl", {"epoch": 10**9}, "epochs"),
        ("epochs.jsonl", {"test_accuracy": None}, "accuracy"),
        ("done.json", {"validation_truth": "AAAA"}, "schema"),
        ("done.json", {"reliability": {}}, "accuracy"),
        ("done.json", {"test_images": 10**400}, "schema"),
        ("done.json", {"train_images": 10**400}, "schema"),
        ("done.json", {"reliability": {"count": [1.0], "accuracy": [1.0, 1.0]}}, "accuracy"),
        ("done.json", {"reliability": {"count": [None], "accuracy": [1.0]}}, "accuracy"),
        ("done.json", {"noise": {"transition_matrix": [[1.0], [0.5, 0.5]]}}, "labels"),
    ],
)
def test_values_that_no_version_writes(tampering, capsys, file, figures, kind):
    def change(content):
        (content[1] if file == "epochs.jsonl" else content).update(figures)

    tampering.change(tampering.trial("gce"), file, change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {kind}
    assert len(capsys.readouterr().out) < 2000


def test_a_number_of_400_digits_is_no_setting(tampering):
    def change(file):
        file["spec"]["hparams"]["gce.q"] = 10**400

    tampering.change(tampering.trial("gce"), "spec.json", change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"config"}


def test_brackets_without_end(tampering):
    (tampering.trial("gce") / "done.json").write_text("[" * 100_000)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"truncated"}


def test_what_is_no_trial_is_named_without_its_path(tampering):
    (tampering.sweep / "trials" / ".DS_Store").write_bytes(b"x")  # macOS leaves it: no fault
    (tampering.sweep / "trials" / "notes.txt").write_bytes(b"x")
    (tampering.sweep / "trials" / "empty").mkdir()
    tampering.remove_tables()
    faults = verify(tampering.sweep, "--sample", "0").faults
    assert [(fault.kind, fault.trial) for fault in faults] == [
        ("stray", "empty"),
        ("stray", "notes.txt"),
    ]
    assert not any(str(tampering.sweep) in fault.text for fault in faults)


# ----------------------------------------------------------------------------
# tampering that only a new run shows


def test_an_edited_accuracy_that_is_a_share_of_the_images(tampering):
    folder = tampering.trial("gce")

    def change(lines):
        lines[2]["test_accuracy"] = 351 / 360

    tampering.change(folder, "epochs.jsonl", change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == set()
    assert kinds(tampering.sweep, folder.name) == {"accuracy"}


def test_epochs_dropped_with_their_sums(tampering):
    """The last epochs are taken away, as if fewer had been planned."""
    folder = tampering.trial("gce")
    tampering.change(folder, "epochs.jsonl", lambda lines: lines[:-2])

    def forge(done):
        lines = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
        done["epochs"] = len(lines)
        for name in ("train_seconds", "eval_seconds"):
            done[name] = sum(line[name] for line in lines)
        for kind in ("trained", "inferred"):
            total = sum(line[f"samples_{kind}"] for line in lines)
            done[f"passes_{kind}"] = total / done["train_images"]
        del done["reliability"]

    tampering.change(folder, "done.json", forge)
    recipe = json.loads((folder / "spec.json").read_text())["spec"]["recipe"]
    folder = tampering.respecify(folder, recipe=recipe | {"epochs": EPOCHS - 2})
    tampering.remove_tables()
    assert kinds(tampering.sweep) == set()
    assert kinds(tampering.sweep, folder.name) == {"epochs"}


def test_clean_labels_under_a_forged_record(tampering):
    """Trained on clean labels, with all facts of the noisy ones."""
    folder = tampering.trial("gce", rate=0.0)
    target = tampering.trial("gce", rate=0.5)
    right = json.loads((target / "done.json").read_text())
    data = load_dataset("digits", subset=300)
    values = json.loads((target / "spec.json").read_text())["spec"]
    labels = Labels.of(TrialSpec.from_json(values), data)

    def forge(lines):
        for line in lines:
            guesses = unpack_numbers(line["val_predictions"])
            line["noisy_val_accuracy"] = float((guesses == labels.noisy[labels.validation]).mean())
            line["clean_val_accuracy"] = float((guesses == labels.validation_truth).mean())

    tampering.change(folder, "epochs.jsonl", forge)
    tampering.change(folder, "done.json", lambda done: done.update(noise=right["noise"]))
    folder = tampering.respecify(folder, noise_rate=0.5)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == set()
    assert kinds(tampering.sweep, folder.name) == {"clean-labels"}


def test_a_swapped_method_under_a_forged_record(tampering):
    folder, other = tampering.trial("elr"), tampering.trial("gce")
    own = json.loads((folder / "done.json").read_text())
    for name in ("epochs.jsonl", "done.json"):
        shutil.copy(other / name, folder / name)
    tampering.change(folder, "done.json", lambda done: done.update(code=own["code"]))
    shutil.rmtree(other)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == set()
    assert kinds(tampering.sweep, folder.name) == {"method"}


def test_a_changed_configuration_under_its_own_id(tampering):
    folder = tampering.trial("gce")
    hparams = json.loads((folder / "spec.json").read_text())["spec"]["hparams"]
    folder = tampering.respecify(folder, hparams=hparams | {"gce.q": 0.9})
    tampering.change(folder, "spec.json", lambda file: file.update(config={"gce.q": 0.9}))
    tampering.remove_tables()
    assert kinds(tampering.sweep) == set()
    assert kinds(tampering.sweep, folder.name) == {"config"}


def forge_losses(tampering) -> Path:
    """Change losses and accuracies of a trial as no other specification gives them."""
    folder = tampering.trial("gce")

    def change(lines):
        for line in lines:
            line.update(train_loss=line["train_loss"] / 2, test_accuracy=359 / 360)

    tampering.change(folder, "epochs.jsonl", change)
    tampering.change(folder, "done.json", lambda done: done.pop("reliability") and None)
    tampering.remove_tables()
    return folder


def test_a_suspect_that_cannot_be_run_hides_nothing(tampering):
    """A failed trial of a longer recipe, which fails here as well."""
    folder = forge_losses(tampering)
    copy = shutil.copytree(tampering.trial("ce"), tampering.sweep / "trials" / "copy")
    tampering.change(copy, "done.json", lambda done: done.update(status="failed", error="x"))
    recipe = json.loads((copy / "spec.json").read_text())["spec"]["recipe"]
    tampering.respecify(copy, recipe=recipe | {"backbone": "linear", "epochs": EPOCHS + 2})
    assert "rerun" in kinds(tampering.sweep, folder.name)


def test_a_trial_whose_labels_cannot_be_drawn_hides_no_other(tampering):
    """A failed trial with the hash of a file that its noise does not read, before the others."""
    other = tampering.trial("gce", seed=1)
    tampering.respecify(other, noise_seed=0, split_seed=0, train_seed=0)
    copy = tampering.trial("ce")
    tampering.change(copy, "done.json", lambda done: done.update(status="failed"))
    names = [path.name for path in copy.parent.iterdir() if path != copy]
    for number in range(1000):
        copy = tampering.respecify(copy, noise_hash=f"{number:x}")
        if copy.name < min(names):
            break
    tampering.remove_tables()
    assert "labels" in kinds(tampering.sweep)
    assert "labels" not in verdict_of(tampering.sweep).checked


def test_a_trial_stopped_by_a_search_without_a_scheduler(tampering):
    folder = tampering.trial("gce")
    tampering.change(folder, "done.json", lambda done: done.update(status="stopped"))
    tampering.respecify(folder, stage="search tuned noisy-val none")
    tampering.remove_tables()
    assert kinds(tampering.sweep) == {"epochs"}
    folder = tampering.trial("gce")
    tampering.respecify(folder, stage="search tuned noisy-val asha")
    assert kinds(tampering.sweep) == set()


@pytest.mark.parametrize(
    ("file", "figures", "kind"),
    [
        ("epochs.jsonl", {"calibration_error": 0.0}, "rerun"),
        ("epochs.jsonl", {"worst_class_accuracy": 0.99}, "accuracy"),
        ("done.json", {"feature_knn_accuracy": 0.99}, "rerun"),
        ("done.json", {"privileges": ["noise_rate"]}, "rerun"),
    ],
)
def test_an_edited_figure_that_files_alone_do_not_contradict(tampering, file, figures, kind):
    folder = tampering.trial("gce")

    def change(content):
        (content[-1] if file == "epochs.jsonl" else content).update(figures)

    tampering.change(folder, file, change)
    tampering.remove_tables()
    assert kinds(tampering.sweep) == set()
    assert kinds(tampering.sweep, folder.name) == {kind}
    assert all(name in verdict_of(tampering.sweep).faults[0].text for name in figures)
