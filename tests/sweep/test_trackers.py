"""What --track leaves, read back through the trackers' own stores."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from fabricate import RecordWriter
from sweeps import ROOT, command, sweep, wait_for

import bench.sweep.trackers
from bench.common.identity import plain_id, trial_id
from bench.datasets import load_dataset
from bench.errors import InputError
from bench.planning.spec import Plan, TrialSpec, expand_hparams, record_of
from bench.records.schema import Done, Epoch
from bench.sweep.trackers import Trackers, check_trackers

EPOCHS = [
    {"schema": 1, "epoch": 0, "train_loss": None, "test_accuracy": 0.25, "val_predictions": "x"}
]
EPOCHS += [
    {"epoch": number, "train_loss": 1.0 / number, "test_accuracy": 0.25 + number / 10}
    for number in (1, 2, 3)
]
DONE = {"schema": 1, "status": "finished", "error": None}


@pytest.fixture(scope="module")
def spec() -> TrialSpec:
    data = load_dataset("digits", subset=100)
    return Plan(subset=100).specs(data, expand_hparams(["elr"], {}, {}), [0.5], [0])[0]


def epochs(records: list[dict]) -> list[Epoch]:
    return [Epoch.from_json(record) for record in records]


def record(out: Path, spec: TrialSpec) -> None:
    writer = RecordWriter(out, spec.id, record_of(spec))
    writer.restart(EPOCHS)
    writer.finish(DONE)


def read_tensorboard(out: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Scalars of every run, in the order they were written."""
    from tensorboardX.proto.event_pb2 import Event

    runs: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for file in (out / "tensorboard").glob("*/events*"):
        content = file.read_bytes()
        scalars = runs.setdefault(file.parent.name, {})
        while content:  # length, checksum, event, checksum
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars.setdefault(value.tag, []).append(
                        (event.step, round(value.simple_value, 6))
                    )
    return runs


def read_mlflow(out: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    client, runs = mlflow_runs(out)
    return {
        run.data.tags["trial"]: {
            key: [
                (point.step, round(point.value, 6))
                for point in client.get_metric_history(run.info.run_id, key)
            ]
            for key in run.data.metrics
        }
        for run in runs
    }


def mlflow_runs(out: Path):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{out}/mlflow/mlflow.db")
    [experiment] = [found for found in client.search_experiments() if found.name == out.name]
    return client, client.search_runs([experiment.experiment_id])


def read_wandb(out: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    from wandb.proto.wandb_internal_pb2 import Record

    runs: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for file in (out / "wandb").glob("offline-run-*/run-*.wandb"):
        scalars = runs.setdefault(file.stem.removeprefix("run-"), {})
        for content in log_records(file.read_bytes()):
            parsed = Record.FromString(content)
            items = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in parsed.history.item
            }
            for key in [key for key in items if not key.startswith("_")]:
                scalars.setdefault(key, []).append((items["_step"], round(items[key], 6)))
    return runs


def log_records(content: bytes) -> Iterator[bytes]:
    """Records of a file in LevelDB's log format, which has here a header of 7 bytes; parts of a
    record are joined.
    """
    position, whole = 7, b""
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:  # no room for a part's head
            position += 32768 - position % 32768
            continue
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        whole += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # the whole of it, or its last part
            yield whole
            whole = b""


READERS = {"tensorboard": read_tensorboard, "mlflow": read_mlflow, "wandb": read_wandb}
PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}


@pytest.fixture(params=READERS)
def tracker(request) -> str:
    pytest.importorskip(PACKAGES[request.param], reason=f"{request.param} is not installed")
    return request.param


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    """MLflow's store, empty: making its tables takes seconds."""
    out = tmp_path_factory.mktemp("made") / "sweep"
    out.mkdir()
    if find_spec("mlflow"):
        Trackers(["mlflow"], out)
    return out


@pytest.fixture
def out(tmp_path, made_once, monkeypatch) -> Path:
    # the trackers tell their libraries things in it
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return shutil.copytree(made_once, tmp_path / "sweep")


def only_run(name: str, out: Path, spec: TrialSpec) -> dict[str, list[tuple[int, float]]]:
    [(run, scalars)] = READERS[name](out).items()
    assert run.endswith(spec.id)
    return scalars


def test_every_epoch_is_there_once_also_after_a_restart_from_a_checkpoint(tracker, spec, out):
    trackers = Trackers([tracker], out)
    trackers.restart(spec, [])
    trackers.append(spec, epochs(EPOCHS[:2]))
    trackers.append(spec, epochs(EPOCHS[2:3]))
    trackers.close()  # interrupted: another command goes on from a checkpoint after the first epoch
    trackers = Trackers([tracker], out)
    trackers.restart(spec, epochs(EPOCHS[:1]))
    trackers.append(spec, epochs(EPOCHS[1:3]))
    trackers.restart(spec, epochs(EPOCHS[:2]))  # a worker was lost
    trackers.append(spec, epochs(EPOCHS[2:]))
    trackers.finish(spec, Done(**DONE))
    trackers.close()
    scalars = only_run(tracker, out, spec)
    assert scalars["train_loss"] == [(1, 1.0), (2, 0.5), (3, 0.333333)], "undefined is left out"
    assert scalars["test_accuracy"] == [(0, 0.25), (1, 0.35), (2, 0.45), (3, 0.55)]
    assert not {"epoch", "schema", "val_predictions"} & scalars.keys()


def test_what_was_over_before_is_copied_from_the_records_once(tracker, spec, out):
    record(out, spec)
    for _ in range(2):
        trackers = Trackers([tracker], out)
        trackers.catch_up()
        trackers.close()
        assert only_run(tracker, out, spec)["test_accuracy"] == [
            (0, 0.25),
            (1, 0.35),
            (2, 0.45),
            (3, 0.55),
        ]
    assert (out / tracker / "logged.txt").read_text() == f"{spec.id} finished\n"


def test_mlflow_knows_settings_and_status(spec, out):
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    trackers = Trackers(["mlflow"], out)
    trackers.restart(spec, epochs(EPOCHS))
    trackers.finish(spec, Done(status="failed", error="RuntimeError: the method's own fault"))
    [run] = mlflow_runs(out)[1]
    assert run.info.status == "FAILED" and run.info.run_name == spec.label
    assert run.data.tags["status"] == "failed" and "own fault" in run.data.tags["error"]
    assert run.data.params["noise_rate"] == "0.5" and run.data.params["elr.weight"] == str(
        spec.hparams["elr.weight"]
    )
    assert run.data.params["recipe.epochs"] == str(spec.recipe.epochs)


def test_a_tracker_that_fails_is_switched_off_and_made_up_for_later(spec, out):
    record(out, spec)
    (out / "tensorboard").write_text("a file is in the way")
    trackers = Trackers(["tensorboard"], out)
    with pytest.warns(UserWarning, match="tensorboard is switched off") as caught:
        trackers.catch_up()
        trackers.restart(spec, epochs(EPOCHS))
        trackers.finish(spec, Done(**DONE))
        trackers.close()
    assert len(caught) == 1, "said once"
    (out / "tensorboard").unlink()
    trackers = Trackers(["tensorboard"], out)
    trackers.catch_up()
    assert len(only_run("tensorboard", out, spec)["test_accuracy"]) == 4


class Recorder:
    """A tracker in memory, which fails on some trials."""

    def __init__(self, out: Path) -> None:
        (out / "fake").mkdir(exist_ok=True)
        self.tried: list[str] = []
        self.ended: list[str] = []

    def begin(self, spec: TrialSpec):
        self.tried.append(spec.id)
        return Recorder.Run(self, spec.id)

    class Run:
        def __init__(self, tracker: "Recorder", trial_id: str) -> None:
            self.tracker, self.id = tracker, trial_id

        def epoch(self, step, figures) -> None:
            if self.id in FAILING and step:
                raise FAILING[self.id]

        def end(self, succeeded, status, error) -> None:
            if self.id not in FAILING:
                self.tracker.ended.append(self.id)


FAILING: dict[str, Exception] = {}


@pytest.fixture
def fake(monkeypatch) -> Iterator[str]:
    monkeypatch.setitem(bench.sweep.trackers.CLIENTS, "fake", Recorder)
    Recorder.package = "json"  # type: ignore[attr-defined]  # an installed one
    yield "fake"
    FAILING.clear()


def several(number: int) -> list[TrialSpec]:
    data = load_dataset("digits", subset=100)
    return Plan(subset=100).specs(data, expand_hparams(["elr"], {}, {}), [0.5], range(number))


@pytest.mark.parametrize("error", [KeyError("x"), OSError(36, "File name too long"), ValueError()])
def test_a_tracker_that_fails_on_one_trial_keeps_the_others(fake, error, tmp_path):
    first, second, third = several(3)
    FAILING[second.id] = error
    trackers = Trackers([fake], tmp_path)
    with pytest.warns(
        UserWarning, match=f"fake is switched off for the trial {second.id}, and for others"
    ) as caught:
        for spec in (first, second, third):
            trackers.restart(spec, [])
        for part in (epochs(EPOCHS[:2]), epochs(EPOCHS[2:])):
            for spec in (first, second, third):
                trackers.append(spec, part)
        for spec in (first, second, third):
            trackers.finish(spec, Done(**DONE))
    assert len(caught) == 1 and type(error).__name__ in str(caught[0].message)
    assert trackers.open["fake"].ended == [first.id, third.id]
    logged = (tmp_path / "fake" / "logged.txt").read_text()
    assert logged == f"{first.id} finished\n{third.id} finished\n", (
        "the next command copies the other"
    )
    FAILING.clear()
    trackers.restart(second, epochs(EPOCHS))
    trackers.finish(second, Done(**DONE))
    assert second.id in trackers.open["fake"].ended, "one that begins anew is tried anew"


def test_a_tracker_that_always_fails_is_not_tried_for_ever(fake, tmp_path):
    specs = several(6)
    FAILING.update({spec.id: OSError("no room") for spec in specs})
    trackers = Trackers([fake], tmp_path)
    tracker = trackers.open["fake"]
    with pytest.warns(UserWarning) as caught:
        for spec in specs:
            trackers.restart(spec, epochs(EPOCHS))
            trackers.finish(spec, Done(**DONE))
    assert len(caught) == 1 and len(tracker.tried) == 3 and not trackers.open


def harm_method(folder: Path) -> None:
    """As of a plugin that is not installed here."""
    content = json.loads((folder / "spec.json").read_text())
    content["spec"] |= {"method": "mine", "hparams": {}}
    (folder / "spec.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "harm",
    [
        harm_method,
        lambda folder: (folder / "spec.json").write_text("{"),
        lambda folder: (folder / "epochs.jsonl").write_text(
            '{"epoch": 0}\nx\n{"epoch": 2}\n{"epoch": 3}\n'
        ),
        lambda folder: (folder / "spec.json").unlink(),
    ],
)
def test_a_record_that_cannot_be_copied_does_not_keep_others_from_it(fake, harm, tmp_path):
    specs = several(3)
    for spec in specs:
        record(tmp_path, spec)
    harm(tmp_path / "trials" / specs[1].id)
    trackers = Trackers([fake], tmp_path)
    with pytest.warns(
        UserWarning, match=f"fake is switched off for the trial {specs[1].id}"
    ) as caught:
        trackers.catch_up()
    assert len(caught) == 1
    assert sorted(trackers.open["fake"].ended) == sorted([specs[0].id, specs[2].id])


def test_a_folder_that_an_earlier_version_named_after_a_path_is_copied(fake, tmp_path):
    [spec] = several(1)
    record(tmp_path, spec)
    folder = tmp_path / "trials" / spec.id
    content = json.loads((folder / "spec.json").read_text())
    content["spec"]["dataset"] = "npz:/home/ann/mine.npz"
    (folder / "spec.json").write_text(json.dumps(content))
    folder.rename(folder.with_name(plain_id(content["spec"])))
    trackers = Trackers([fake], tmp_path)
    trackers.catch_up()
    assert trackers.open["fake"].ended == [trial_id(content["spec"])]


def test_names_of_files_are_short_enough(fake):
    name = bench.sweep.tracker_clients._file_name("ä" * 300, 200)
    assert len(name.encode()) <= 200 and set(name) == {"ä"}


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(InputError, match="did you mean mlflow"):
        check_trackers(["mlflo"])
    monkeypatch.setattr("bench.sweep.trackers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'lnl-bench\[wandb\]'"):
        check_trackers(["wandb"])


def test_trackers_are_not_imported_before_they_are_asked_for():
    code = (
        "import sys, bench.sweep.trackers; "
        "sys.exit(bool({'mlflow', 'wandb', 'tensorboardX', 'tensorboard'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


SMALL = [
    "--methods",
    "ce",
    "--reference",
    "none",
    "--subset",
    "200",
    "--epochs",
    "40",
    "--seeds",
    "2",
    "--device",
    "cpu",
]


@pytest.mark.slow
def test_a_sweep_that_is_killed_and_resumed_tracks_each_epoch_once(tmp_path):
    out, home = tmp_path / "sweep", tmp_path / "home"
    home.mkdir()
    names = [name for name, package in PACKAGES.items() if find_spec(package)]
    arguments = [*SMALL, "--out", str(out), "--track", ",".join(names), "--checkpoint-seconds", "0"]
    env = {**os.environ, "HOME": str(home)}
    driver = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: list(out.glob("checkpoints/*.pt")))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    sweep(*arguments, env={"HOME": str(home)})
    expected = {
        path.parent.name: [
            (epoch["epoch"], round(epoch["test_accuracy"], 6))
            for epoch in map(json.loads, path.read_text().splitlines())
        ]
        for path in out.glob("trials/*/epochs.jsonl")
    }
    assert len(expected) == 2 and all(len(epochs) == 40 for epochs in expected.values())
    for name in names:
        found = {run[-12:]: scalars["test_accuracy"] for run, scalars in READERS[name](out).items()}
        assert found == expected, name
    assert not [
        path
        for path in home.rglob("*")
        if any(name in str(path) for name in ("mlflow", "wandb", "tensorboard"))
    ]
