"""The index of a large sweep's records: it may save time, and never change what is read."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fabricate import write_trial

from bench.common.files import to_json
from bench.errors import InputError
from bench.records import index
from bench.records import trials as records
from bench.records.index import NAME
from bench.records.trials import Trial, read_trials
from bench.report.writer import write_report

FIGURES = ["test_accuracy", "label_correction_accuracy"]


@pytest.fixture(autouse=True)
def every_sweep_is_large(monkeypatch):
    monkeypatch.setattr(index, "WORTHWHILE", 1)


@pytest.fixture
def sweep(tmp_path) -> Path:
    for seed in range(3):
        figures = {"label_correction_accuracy": [0.5, None, 1]}
        write_trial(
            tmp_path, test=[0.1, 0.2, 0.3 + seed / 10], seed=seed, epochs=figures if seed else {}
        )
    return tmp_path


def read(sweep: Path) -> list[Trial]:
    return list(read_trials(sweep, FIGURES))


def assert_read_as_if_there_were_no_index(sweep: Path) -> list[Trial]:
    found = read(sweep)
    plain = list(read_trials(sweep))
    assert [(trial.folder, trial.file, trial.done) for trial in found] == [
        (t.folder, t.file, t.done) for t in plain
    ]
    for one, other in zip(found, plain, strict=True):
        for name in FIGURES:
            np.testing.assert_array_equal(one.curve(name), other.curve(name))
    return found


@pytest.fixture
def records_read(monkeypatch) -> list[str]:
    """Names of the records that were read from their files."""
    names: list[str] = []

    def spy(path: str | Path) -> bytes:
        names.append(Path(path).parent.name)
        return lines(path)

    lines = records.lines
    monkeypatch.setattr(records, "lines", spy)
    return names


def test_the_second_reading_is_of_the_index_and_says_the_same(sweep, records_read):
    first = read(sweep)
    assert len(set(records_read)) == 3
    records_read.clear()
    second = read(sweep)
    assert records_read == []
    for one, other in zip(first, second, strict=True):
        assert (one.folder, one.file, one.done) == (other.folder, other.file, other.done)
        for name in FIGURES:
            np.testing.assert_array_equal(one.curve(name), other.curve(name))
    by_seed = {trial.spec.noise_seed: trial for trial in second}
    np.testing.assert_array_equal(by_seed[1].curve("test_accuracy"), [0.1, 0.2, 0.4])
    np.testing.assert_array_equal(by_seed[1].curve("label_correction_accuracy"), [0.5, np.nan, 1])
    np.testing.assert_array_equal(by_seed[0].curve("label_correction_accuracy"), [np.nan] * 3)


def test_reports_are_equal_to_the_byte(sweep, tmp_path):
    folders = [tmp_path / "cold", tmp_path / "warm"]
    for folder in folders:
        write_report([sweep], folder, plots=False)
        assert (sweep / NAME).exists()
    cold, warm = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert cold == warm
    assert "leaderboard.csv" in cold


def test_what_has_changed_is_read_again(sweep, records_read):
    trial, _, other = read(sweep)
    with (trial.folder / "epochs.jsonl").open("ab") as file:
        file.write(to_json({"epoch": 3, "test_accuracy": 0.9}))
    (trial.folder / "done.json").write_bytes(
        to_json(msgspec.to_builtins(trial.done) | {"epochs": 4})
    )
    shutil.rmtree(other.folder)
    new = write_trial(sweep, test=[0.6, 0.7], seed=7)
    records_read.clear()
    found = {trial.folder: trial for trial in assert_read_as_if_there_were_no_index(sweep)}
    assert len(found) == 3
    assert found[trial.folder].curve("test_accuracy")[3] == 0.9
    assert found[new].curve("test_accuracy").tolist() == [0.6, 0.7]
    records_read.clear()
    read(sweep)
    assert records_read == []  # the index is of now


@pytest.mark.parametrize("time_set_back", [False, True])
def test_another_figure_of_equal_length_is_seen_by_the_times_of_its_file(sweep, time_set_back):
    trial = read(sweep)[0]
    path = trial.folder / "epochs.jsonl"
    then = path.stat()
    size = then.st_size
    path.write_bytes(path.read_bytes().replace(b'"test_accuracy": 0.1', b'"test_accuracy": 0.8'))
    assert path.stat().st_size == size
    if time_set_back:  # as unpacking an archive over another one does
        os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    [changed] = [own for own in assert_read_as_if_there_were_no_index(sweep) if own.id == trial.id]
    assert changed.curve("test_accuracy")[0] == 0.8


def test_a_record_torn_since_is_none(sweep):
    trial = read(sweep)[0]
    path = trial.folder / "epochs.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(UserWarning, match="damaged; the trial is run again"):
        assert len(read(sweep)) == 2


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def damages() -> Iterator[Callable[[bytes], bytes]]:
    for text in (b"", b"no index"):
        yield lambda content, text=text: text
    yield lambda content: content[:-100]
    # which no sum of the file's own sees
    yield lambda content: content.replace(b"(2, 9)", b"(2, 6)")
    for part in range(40):  # all over it: headers, columns, names, directory
        yield lambda content, part=part: flip(content, part * len(content) // 40)


def test_a_damaged_index_is_none_or_the_same(sweep):
    read(sweep)
    path = sweep / NAME
    whole = path.read_bytes()
    assert b"(2, 9)" in whole
    for damage in damages():
        path.write_bytes(damage(whole))
        assert_read_as_if_there_were_no_index(sweep)


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-100]])
def test_what_a_damaged_index_had_is_read_from_the_records(sweep, damage, records_read):
    read(sweep)
    path = sweep / NAME
    path.write_bytes(damage(path.read_bytes()))
    records_read.clear()
    assert_read_as_if_there_were_no_index(sweep)
    assert len(set(records_read)) == 3


def test_an_index_of_another_kind_is_none(sweep, monkeypatch, records_read):
    read(sweep)
    monkeypatch.setattr(index, "SCHEMA", 2)
    records_read.clear()
    assert_read_as_if_there_were_no_index(sweep)
    assert len(set(records_read)) == 3


def test_an_index_of_other_figures_is_none(sweep, records_read):
    list(read_trials(sweep, ["train_loss"]))
    records_read.clear()
    assert_read_as_if_there_were_no_index(sweep)
    assert len(set(records_read)) == 3


def test_a_folder_that_takes_no_file_is_read_all_the_same(sweep, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    assert_read_as_if_there_were_no_index(sweep)
    assert {path.name for path in sweep.iterdir()} == {"trials"}


def test_a_small_sweep_has_none(sweep, monkeypatch):
    monkeypatch.setattr(index, "WORTHWHILE", 1 << 25)
    read(sweep)
    assert not (sweep / NAME).exists()


@pytest.mark.parametrize("line", ['{"test_accuracy": "high"}', "[]", "5"])
def test_a_figure_that_is_no_number_is_one_sentence(sweep, line):
    trial = read(sweep)[0]
    path = trial.folder / "epochs.jsonl"
    path.write_text("\n".join([*path.read_text().splitlines()[:2], line]) + "\n")
    with pytest.raises(
        InputError, match=r"is no trial's record .*: delete its folder and run again"
    ):
        read(sweep)


def test_an_empty_line_is_no_epoch(sweep):
    trial = read(sweep)[0]
    path = trial.folder / "epochs.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "", lines[1], lines[2]]) + "\n")
    done = json.loads((trial.folder / "done.json").read_text())
    (trial.folder / "done.json").write_bytes(to_json(done | {"epochs": 4}))
    with pytest.raises(InputError, match="line 2"):
        read(sweep)
