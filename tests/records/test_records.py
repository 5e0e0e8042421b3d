import contextlib
import errno
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from fabricate import RECIPE, RecordWriter, write_trial
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.common.files import to_json, write_atomically, write_output
from bench.common.version import git_commit
from bench.errors import InputError
from bench.records import schema, writer
from bench.records.epochs import read_epochs
from bench.records.packing import pack_numbers, unpack_numbers
from bench.records.schema import Done, SpecFile
from bench.records.trials import (
    Trial,
    finished_statuses,
    read_begun,
    read_done,
    read_samples,
    read_trials,
    trial_id,
)

SPEC = {"spec": {"method": "ce", "noise_rate": 0.5, "recipe": {"milestones": [0.5]}}, "config": {}}
OTHER = {"spec": {"method": "gce"}, "config": {}}
ID, OTHER_ID = trial_id(SPEC["spec"]), trial_id(OTHER["spec"])


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ----------------------------------------------------------------------------
# writing


def test_write_atomically_replaces_the_whole_file(tmp_path):
    path = tmp_path / "x"
    write_atomically(path, b"a long first version")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"
    assert files(tmp_path) == {"x"}


def test_an_output_that_is_a_link_stays_one(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    for content in (b"first", b"second"):
        write_output(link, content)
        assert link.is_symlink() and (tmp_path / "file").read_bytes() == content


def test_an_output_that_is_a_pipe_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_output(pipe, b"content")
        assert pipe.is_fifo() and os.read(reader, 100) == b"content"
    finally:
        os.close(reader)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_the_old_file_stays_when_writing_fails(tmp_path, monkeypatch, step):
    path = tmp_path / "x"
    write_atomically(path, b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == {"x"}, "nothing half-written is left behind"


def test_the_new_file_is_whole_before_it_takes_the_name(tmp_path, monkeypatch):
    seen = []
    replace = os.replace

    def look(source, target):
        seen.append(Path(source).read_bytes())
        assert Path(source).parent == Path(target).parent, "renaming is atomic only within a folder"
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    write_atomically(tmp_path / "x", b"new")
    assert seen == [b"new"]


def test_undefined_numbers_become_null():
    value = {
        "a": float("nan"),
        "b": [1.5, float("inf"), (-np.inf, np.float64("nan"))],
        "c": {"d": np.float64(2.5)},
        "e": None,
    }
    raw = to_json(value)
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1, "one line"
    assert json.loads(raw, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None, [None, None]],
        "c": {"d": 2.5},
        "e": None,
    }


@given(st.lists(st.integers(0, 999), max_size=300))
@settings(max_examples=50, deadline=None)
def test_packed_classes_come_back(classes):
    packed = pack_numbers(np.array(classes, dtype=np.int64))
    assert isinstance(packed, str)
    assert json.loads(json.dumps(packed)) == packed
    unpacked = unpack_numbers(packed)
    assert unpacked.dtype == np.int64
    assert unpacked.tolist() == classes


def as_json(epochs):
    return [epoch.to_json() for epoch in epochs]


def test_packed_classes_are_compact():
    classes = np.random.default_rng(0).integers(0, 10, 5000)
    assert len(pack_numbers(classes)) < 5000


# ----------------------------------------------------------------------------
# writer


def test_a_trials_folder(tmp_path):
    record = RecordWriter(tmp_path, ID, SPEC)
    assert record.folder == tmp_path / "trials" / ID
    assert json.loads((record.folder / "spec.json").read_bytes()) == SPEC
    record.restart()
    record.append([{"epoch": 0, "loss": 2.0}])
    record.append([{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": 1.0}])
    assert finished_statuses(tmp_path) == {}
    assert list(read_trials(tmp_path)) == []
    record.finish({"status": "finished", "train_seconds": float("inf")}, samples=b"s", weights=b"w")
    [trial] = list(read_trials(tmp_path))
    # a folder may grow over many commits
    done = {"git_commit": git_commit(), "status": "finished", "train_seconds": None}
    assert json.loads((record.folder / "done.json").read_bytes()) == done
    assert (trial.id, trial.file, trial.done) == (ID, SpecFile(**SPEC), Done(**done))
    assert as_json(trial.epochs) == [
        {"epoch": 0, "loss": 2.0},
        {"epoch": 1, "loss": None},
        {"epoch": 2, "loss": 1.0},
    ]
    assert trial.succeeded
    np.testing.assert_array_equal(trial.curve("loss"), [2.0, np.nan, 1.0])
    np.testing.assert_array_equal(trial.curve("absent"), [np.nan] * 3)
    assert files(record.folder) == {
        "spec.json",
        "epochs.jsonl",
        "done.json",
        "samples.npz",
        "model.safetensors",
    }


@pytest.mark.parametrize(
    ("status", "succeeded"),
    [
        ("finished", True),
        ("stopped", True),
        ("diverged", False),
        ("failed", False),
        ("timeout", False),
        ("lost", False),
    ],
)
def test_every_status_is_a_row(tmp_path, status, succeeded):
    RecordWriter(tmp_path, ID, SPEC).finish({"status": status})
    assert finished_statuses(tmp_path) == {ID: status}
    [trial] = list(read_trials(tmp_path))
    assert trial.succeeded == succeeded
    assert as_json(trial.epochs) == []
    assert status in (*schema.COMPLETED, *schema.RETRIED, schema.LOST)


def test_done_is_written_last(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(writer, "write_atomically", lambda path, content: order.append(path.name))
    RecordWriter(tmp_path, ID, SPEC).finish({"status": "finished"}, samples=b"s", weights=b"w")
    assert order[0] == "spec.json"
    assert order[-1] == "done.json"
    assert set(order) == {"spec.json", "samples.npz", "model.safetensors", "done.json"}


def test_samples_come_back(tmp_path):
    import io

    buffer = io.BytesIO()
    np.savez_compressed(buffer, clean_probability=np.array([0.25, 1.0]))
    RecordWriter(tmp_path, ID, SPEC).finish({"status": "finished"}, samples=buffer.getvalue())
    [trial] = list(read_trials(tmp_path))
    assert read_samples(trial.folder)["clean_probability"].tolist() == [0.25, 1.0]


@pytest.mark.parametrize(("content", "reason"), [(None, "missing"), (b"PK", "damaged")])
def test_samples_that_cannot_be_read_name_the_folder_to_delete(tmp_path, content, reason):
    RecordWriter(tmp_path, ID, SPEC).finish({"status": "finished"})
    [trial] = list(read_trials(tmp_path))
    if content:
        (trial.folder / "samples.npz").write_bytes(content)
    with pytest.raises(InputError, match=f"is {reason} .* delete the trial's folder .*{ID}"):
        read_samples(trial.folder)
    assert content or read_samples(trial.folder, ["features"]) == {}


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), MemoryError()])
def test_what_the_machine_lacks_is_no_damage(tmp_path, monkeypatch, error):
    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(np, "load", load)
    with pytest.raises(type(error)):
        read_samples(tmp_path)


def test_the_same_specification_is_taken_up_again(tmp_path):
    RecordWriter(tmp_path, ID, SPEC)
    written = (tmp_path / f"trials/{ID}/spec.json").stat().st_mtime_ns
    RecordWriter(
        tmp_path,
        ID,
        {
            "config": {},
            "spec": {"recipe": {"milestones": (0.5,)}, "noise_rate": 0.5, "method": "ce"},
        },
    )
    assert (tmp_path / f"trials/{ID}/spec.json").stat().st_mtime_ns == written


def test_another_specification_is_refused_and_left_alone(tmp_path):
    RecordWriter(tmp_path, ID, SPEC)
    with pytest.raises(
        InputError, match="is not the specification its folder is named after: move the folder away"
    ):
        RecordWriter(tmp_path, ID, SPEC | {"spec": SPEC["spec"] | {"noise_rate": 0.45}})
    assert json.loads((tmp_path / f"trials/{ID}/spec.json").read_bytes()) == SPEC


def test_a_damaged_specification_of_a_finished_trial_is_an_error_that_names_the_file(tmp_path):
    RecordWriter(tmp_path, ID, SPEC).finish({"status": "finished"})
    path = tmp_path / f"trials/{ID}/spec.json"
    path.write_bytes(path.read_bytes()[:-10])
    for use in (read_trials, read_begun):
        with pytest.raises(InputError) as error:
            list(use(tmp_path))
        assert str(path) in str(error.value)
        assert "is damaged" in str(error.value)


@pytest.mark.parametrize(
    "values", [{"parameters": "many"}, {"noise": {"known_labels": [1]}}, {"reliability": 0.5}]
)
def test_a_value_of_another_type_matters_where_it_is_read(tmp_path, values):
    """A sweep goes on beside records of other versions; a report names the record."""
    folder = RecordWriter(tmp_path, ID, SPEC).folder
    RecordWriter(tmp_path, ID, SPEC).finish({"status": "finished"} | values)
    assert finished_statuses(tmp_path) == {ID: "finished"}
    assert [status for _, _, status in read_begun(tmp_path)] == ["finished"]
    for read in (lambda: list(read_trials(tmp_path)), lambda: read_done(folder)):
        with pytest.raises(InputError, match=f"'{folder}' is no trial's record .* run again"):
            read()


def test_a_matrix_that_is_not_finite_is_read_back(tmp_path):
    writer.TrialWriter(tmp_path, ID, SpecFile(**SPEC)).finish(
        Done(status="finished", estimated_transition_matrix=[[1.0, float("nan")]])
    )
    [trial] = read_trials(tmp_path)
    assert trial.done.estimated_transition_matrix == [[1.0, None]]


@pytest.mark.parametrize("line", ["[]", "5", "null"])
def test_a_line_that_is_no_object_is_an_error_that_names_the_file(tmp_path, line):
    path = tmp_path / "epochs.jsonl"
    path.write_text(f'{{"epoch": 0}}\n{line}\n')
    with pytest.raises(InputError, match=f"'{path}' is no trial's record .*Expected `object`"):
        read_epochs(path)


@pytest.mark.parametrize("content", [b"", b'{"spec": {"meth', b'{"sp\xff": 0}'])
def test_a_damaged_specification_of_an_unfinished_trial_is_written_again(tmp_path, content):
    path = RecordWriter(tmp_path, ID, SPEC).folder / "spec.json"
    path.write_bytes(content)
    assert list(read_begun(tmp_path)) == []
    with pytest.warns(UserWarning, match=r"spec\.json is damaged; it is written again"):
        RecordWriter(tmp_path, ID, SPEC, draw=2)
    assert json.loads(path.read_bytes()) == SPEC | {"draw": 2}
    RecordWriter(tmp_path, ID, SPEC)  # which draw it was is no part of what it is


@pytest.mark.parametrize(
    ("status", "over"), [("finished", False), ("diverged", False), ("failed", True)]
)
@pytest.mark.parametrize(
    "content", [b"", b'{"epoch": 0}\n{"epoch": 1}\n', b'{"epoch": 0}\n{"epoch": 1}\n{"epoch"', None]
)
def test_a_result_whose_epochs_are_not_all_there_counts_as_not_over(
    tmp_path, status, over, content
):
    record = RecordWriter(tmp_path, ID, SPEC)
    record.append({"epoch": epoch} for epoch in range(3))
    record.finish({"status": status, "epochs": 3})
    assert finished_statuses(tmp_path) == {ID: status}
    path = record.folder / "epochs.jsonl"
    path.write_bytes(content) if content is not None else path.unlink()
    with (
        contextlib.nullcontext()
        if over
        else pytest.warns(UserWarning, match=r"epochs\.jsonl is damaged; the trial is run")
    ):
        assert finished_statuses(tmp_path) == ({ID: status} if over else {})


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_clear_sentence(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(InputError, match=r"has no locks .*: choose an --out on another one"),
        writer.lock(tmp_path),
    ):
        pass


def test_restart_cuts_the_record_and_takes_back_that_it_was_over(tmp_path):
    record = RecordWriter(tmp_path, ID, SPEC)
    record.append({"epoch": epoch} for epoch in range(5))
    record.finish({"status": "failed"})
    record.restart([{"epoch": 0}, {"epoch": 1}])
    assert finished_statuses(tmp_path) == {}
    assert not (record.folder / "done.json").exists()
    assert as_json(read_epochs(record.folder / "epochs.jsonl")) == [{"epoch": 0}, {"epoch": 1}]
    record.append([{"epoch": 2}])
    assert [line.epoch for line in read_epochs(record.folder / "epochs.jsonl")] == [0, 1, 2]
    record.restart()
    assert (record.folder / "epochs.jsonl").read_bytes() == b""


# ----------------------------------------------------------------------------
# reading

LINES = [{"epoch": epoch, "val_predictions": "abc", "test_accuracy": 0.5} for epoch in range(3)]


@pytest.mark.parametrize("keep", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_with_a_warning(tmp_path, keep):
    path = tmp_path / "epochs.jsonl"
    whole = b"".join(map(to_json, LINES[:2]))
    path.write_bytes(whole + to_json(LINES[2])[:keep])
    with pytest.warns(UserWarning, match=r"dropped a torn last line of .*epochs\.jsonl"):
        assert as_json(read_epochs(path)) == LINES[:2]


@pytest.mark.parametrize("tail", [b"\0\0\0\0", b"\xff\xfe\n", b'{"epoch": "\xc3'])
def test_a_last_line_of_bytes_that_are_no_text_is_torn_too(tmp_path, tail):
    path = tmp_path / "epochs.jsonl"
    path.write_bytes(b"".join(map(to_json, LINES)) + tail)
    with pytest.warns(UserWarning, match="torn last line"):
        assert as_json(read_epochs(path)) == LINES


def test_a_last_line_without_its_line_break_is_whole(tmp_path):
    path = tmp_path / "epochs.jsonl"
    path.write_bytes(b"".join(map(to_json, LINES)).rstrip())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_json(read_epochs(path)) == LINES


@pytest.mark.parametrize("damage", [b'{"epoch": 1, "va', b"", b"\0\0\0", b'{"ep\xff": 1}'])
def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path, damage):
    path = tmp_path / "epochs.jsonl"
    path.write_bytes(to_json(LINES[0]) + damage + b"\n" + to_json(LINES[2]))
    with pytest.raises(InputError) as error:
        as_json(read_epochs(path))
    assert (
        str(error.value) == f"line 2 of {str(path)!r} is damaged: delete its folder and run again"
    )


def test_no_epochs_are_no_error(tmp_path):
    assert as_json(read_epochs(tmp_path / "epochs.jsonl")) == []
    (tmp_path / "epochs.jsonl").touch()
    assert as_json(read_epochs(tmp_path / "epochs.jsonl")) == []


@pytest.mark.parametrize(
    "content", [b"", b'{"status": "fini', b"[1]", b"{}", b"\xff\xff", b"null", b'{"status": "odd"}']
)
def test_a_torn_done_file_counts_as_not_over(tmp_path, content):
    RecordWriter(tmp_path, ID, SPEC).finish({"status": "finished"})
    RecordWriter(tmp_path, OTHER_ID, OTHER).finish({"status": "diverged"})
    (tmp_path / f"trials/{ID}/done.json").write_bytes(content)
    with pytest.warns(
        UserWarning,
        match=rf"{ID}.done\.json is damaged; the trial is run again .*left out until then",
    ):
        assert finished_statuses(tmp_path) == {OTHER_ID: "diverged"}
    with pytest.warns(UserWarning, match="is damaged"):
        assert [trial.id for trial in read_trials(tmp_path)] == [OTHER_ID]


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("done.json", "folder"),
        ("epochs.jsonl", "folder"),
        ("done.json", "loop"),
        ("epochs.jsonl", "loop"),
        ("", "loop"),
        ("..", "loop"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, harm):
    record = RecordWriter(tmp_path, ID, SPEC)
    record.restart()
    record.finish({"status": "finished"})
    path = (record.folder / name).resolve()
    path.rename(tmp_path / "away")
    path.mkdir() if harm == "folder" else path.symlink_to(path.name)
    for use in (
        finished_statuses,
        lambda sweep: list(read_trials(sweep)),
        lambda sweep: list(read_trials(sweep, ["loss"])),
    ):
        with pytest.raises(
            InputError,
            match=rf"cannot read '{path}.* \(.*\): make it readable, or move its folder away",
        ):
            use(tmp_path)


def test_a_record_without_the_right_to_read_it_is_named(tmp_path, monkeypatch):
    RecordWriter(tmp_path, ID, SPEC).finish({"status": "finished"})

    def refuse(path: str) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    for module in ("trials", "epochs"):
        monkeypatch.setattr(f"bench.records.{module}.content_of", refuse)
    for use in (
        finished_statuses,
        lambda sweep: read_epochs(sweep / "trials" / ID / "epochs.jsonl"),
    ):
        with pytest.raises(
            InputError, match=r"cannot read .*json.*Permission denied\): make it readable"
        ):
            use(tmp_path)


def test_trials_come_in_a_stable_order(tmp_path):
    specs = [{"method": name} for name in ("elr", "ce", "gce")]
    for spec in specs:
        RecordWriter(tmp_path, trial_id(spec), {"spec": spec, "config": {}}).finish(
            {"status": "finished"}
        )
    assert [trial.id for trial in read_trials(tmp_path)] == sorted(map(trial_id, specs))


@pytest.mark.parametrize("change", ["rename", "edit", "empty", "list"])
def test_a_folder_that_is_not_named_after_its_specification_is_refused(tmp_path, change):
    folder = RecordWriter(tmp_path, ID, SPEC).folder
    (folder / "done.json").write_bytes(b'{"status": "finished"}')
    if change == "rename":
        folder.rename(folder.with_name("copy"))
    else:
        contents = {
            "edit": b'{"spec": {"method": "elr"}, "config": {}}',
            "empty": b"{}",
            "list": b"[]",
        }
        (folder / "spec.json").write_bytes(contents[change])
    with pytest.raises(InputError, match="is not the specification that its folder is named after"):
        list(read_trials(tmp_path))


def test_a_folder_without_trials_is_an_error(tmp_path):
    with pytest.raises(
        InputError, match=r"holds no sweep: give a folder that python -m bench\.run wrote"
    ):
        list(read_trials(tmp_path))
    with pytest.raises(
        InputError, match=r"there is no folder '.*none': give one that python -m bench\.run wrote"
    ):
        list(read_trials(tmp_path / "none"))
    assert finished_statuses(tmp_path) == {}


def test_epochs_of_a_trial_are_read_when_asked_for(tmp_path):
    trial = Trial(tmp_path, SpecFile(**SPEC), Done(status="finished"))
    (tmp_path / "epochs.jsonl").write_bytes(b"".join(map(to_json, LINES)))
    assert as_json(trial.epochs) == LINES
    assert trial.curve("test_accuracy").tolist() == [0.5] * 3


# ----------------------------------------------------------------------------
# specifications


def test_a_specification_of_an_earlier_version_has_todays_defaults(tmp_path):
    write_trial(tmp_path)
    [trial] = read_trials(tmp_path)
    assert (trial.spec.stage, trial.spec.told, trial.spec.graphs) == ("", 1.0, False)
    assert (trial.spec.method, trial.spec.recipe.backbone) == ("ce", RECIPE["backbone"])


def test_a_field_of_a_later_version_is_kept_with_the_raw_specification(tmp_path):
    write_trial(tmp_path, spec={"invented": 1})
    [trial] = read_trials(tmp_path)
    assert trial.file.spec["invented"] == 1 and trial.id == trial_id(trial.file.spec)
    assert not hasattr(trial.spec, "invented")


@pytest.mark.parametrize("damage", [{"noise_seed": "one"}, {"recipe": 5}, {"protocol": None}])
def test_a_specification_with_a_value_of_another_type_names_the_record(tmp_path, damage):
    write_trial(tmp_path)
    [trial] = read_trials(tmp_path)
    damaged = Trial(trial.folder, SpecFile(spec=trial.file.spec | damage, config={}), trial.done)
    with pytest.raises(InputError, match=f"'{trial.folder}' is no trial's record .* run again"):
        _ = damaged.spec
