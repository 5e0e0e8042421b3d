"""Records of other people's curves on disk."""

import json

import pytest
from curves import COLUMNS, SOURCE, import_runs, run_rows
from fabricate import write_trial

from bench.errors import InputError
from bench.records.merge import merged
from bench.records.trials import check_own, read_trials
from bench.records.writer import lock

HEADER = f"{SOURCE}# code: repo, commit 1\n# licence: MIT\n# backbone: vgg\n"


def test_a_record_says_what_is_known_and_who_ran_it(tmp_path):
    rows = run_rows("FixMatch+ (b)", seed=7, more={"seconds": (2, 3), "passes": (1, 3)})
    sweep = import_runs(tmp_path / "a", rows, header=HEADER, columns=f"{COLUMNS},seconds,passes")
    [trial] = read_trials(sweep)
    spec = trial.spec
    assert trial.succeeded and trial.id == trial.folder.name
    assert (spec.method, spec.dataset, spec.noise_kind) == ("FixMatch+ (b)", "digits", "symmetric")
    assert spec.noise_seed == spec.split_seed == spec.train_seed == 7 and spec.noise_rate == 0.5
    assert spec.imported and spec.imported.source == "A. Nybody, 2024"
    assert (spec.imported.code, spec.imported.licence) == ("repo, commit 1", "MIT")
    assert spec.validation_share is spec.threads is None and spec.data_hash == spec.device == ""
    assert (spec.recipe.backbone, spec.recipe.epochs) == ("vgg", 2)
    assert (trial.done.train_seconds, trial.done.passes_trained) == (5, 4)
    assert list(trial.curve("test_accuracy")) == [0.5, 0.75]
    done = json.loads((trial.folder / "done.json").read_text())
    assert "git_commit" not in done and "code" not in done
    facts = json.loads((sweep / "sweep.json").read_text())
    assert facts["imported"]["licence"] == "MIT" and facts["trials"] == [trial.id]


def test_an_import_is_no_trial_of_ours_and_neither_of_another_source(tmp_path):
    folders = [import_runs(tmp_path / "a", run_rows("ce"))]
    folders += [import_runs(tmp_path / "b", run_rows("ce"), header="# source: B\n")]
    folders += [import_runs(tmp_path / "c", run_rows("ce", test=(0.5, 0.75)))]
    ours = write_trial(tmp_path / "ours", "ce", test=(0.5, 0.75))
    assert "imported" not in json.loads((ours / "spec.json").read_text())["spec"]
    assert len(list(merged([*folders, tmp_path / "ours"]))) == 3  # "a" and "c" are the same


def test_a_folder_with_trials_takes_no_import(tmp_path):
    write_trial(tmp_path / "a")
    with pytest.raises(InputError, match="holds trials: choose another --out"):
        import_runs(tmp_path / "a", run_rows())


@pytest.mark.parametrize("share", ["0", "1", "10 %", "nan"])
def test_a_share_of_validation_is_a_fraction(tmp_path, share):
    with pytest.raises(InputError, match=r"validation_share is .*: give a number between 0 and 1"):
        import_runs(tmp_path / "a", run_rows(), header=f"{SOURCE}# validation_share: {share}\n")


def test_a_sweep_adds_nothing_to_imported_trials(tmp_path):
    write_trial(tmp_path / "ours")
    check_own(tmp_path / "ours")
    check_own(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds imported trials"):
        check_own(import_runs(tmp_path / "a", run_rows()))


def test_a_sweep_needs_a_folder_for_its_trials(tmp_path):
    (tmp_path / "trials").write_text("notes")
    with pytest.raises(InputError, match="holds a file 'trials'"):
        check_own(tmp_path)
    (tmp_path / ".lock").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*\.lock"), lock(tmp_path):
        pass


def test_a_sweep_adds_nothing_to_an_audit(tmp_path):
    write_trial(tmp_path, spec={"dataset": "audit of folder:photos"})
    with pytest.raises(InputError, match=r"trials of an audit of labels: choose another --out"):
        check_own(tmp_path)


@pytest.mark.parametrize("name", ["records.tar.gz", "leaderboard.md", "index.html"])
def test_no_sweep_writes_over_a_board_or_a_page_of_somebody(tmp_path, name):
    (tmp_path / name).write_text("not ours")
    with pytest.raises(InputError, match=f"holds {name}, but no trials .* choose another --out"):
        check_own(tmp_path)
    (tmp_path / "trials").mkdir()
    check_own(tmp_path)
