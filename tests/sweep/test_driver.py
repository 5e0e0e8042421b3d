"""The two ends of a sweep, the driver and a worker, without Ray between them."""

import errno
import json
import os
import pickle
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray
from msgspec.structs import replace
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from bench import noise
from bench.common.files import to_json
from bench.datasets import Dataset
from bench.planning.code_hash import code_of
from bench.planning.pretraining import PretrainJob, pretrain_job
from bench.planning.registry import load_method
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.sweep import session, worker
from bench.sweep.driver import Driver
from bench.sweep.messages import EncoderTrained, Epochs, Failed, Message
from bench.sweep.private import last_error
from bench.sweep.run import pending
from bench.sweep.tuner import Scheduler, _out_of_memory, _reason
from bench.sweep.work import Resources, Settings, Work
from bench.training.encoders import Encoder, save_encoder
from bench.training.storage import Store


@pytest.fixture(scope="module")
def data(digits) -> Dataset:
    return digits.subset(200)


def spec_of(data: Dataset, method: str = "ce", **plan) -> TrialSpec:
    rate = None if plan else 0.4
    plan = Plan(subset=200, overrides=(("epochs", 2),), **plan)
    [spec] = plan.specs(data, expand_hparams([method], {}, {}), [rate], [0])
    return spec


def driver_for(spec: TrialSpec, data: Dataset, out: Path, **resources) -> tuple[Driver, Work]:
    driver = Driver([spec], data, out, Settings(Resources(**resources)))
    driver.store = Store(out / "checkpoints")
    return driver, driver.work[spec.id]


def record(out: Path, spec: TrialSpec) -> dict:
    return json.loads((out / "trials" / spec.id / "done.json").read_bytes())


@pytest.fixture
def work_on(monkeypatch, tmp_path):
    """Takes what a worker is given, and returns what it reports."""
    monkeypatch.setattr(worker.ray, "get", lambda reference: reference)

    def run(
        values: dict | None,
        data: Dataset,
        encoder: bytes | None = None,
        job: PretrainJob | None = None,
    ) -> list[Message]:
        messages: list[Message] = []
        monkeypatch.setattr(
            worker.tune, "report", lambda result: messages.append(result["message"][0])
        )
        worker.train(
            {"work": (values, job), "encoder": encoder},
            data,
            worker.Duties(str(tmp_path / "store"), "run", 30.0, (), timed=False),
        )
        return messages

    return run


def absent_method(spec: TrialSpec) -> tuple[dict, None]:
    return spec.to_json() | {"method": "elsewhere"}, None


def damaged_encoder(spec: TrialSpec) -> tuple[dict, bytes]:
    return spec.to_json(), b"\x08" + bytes(20)


def changed_data(spec: TrialSpec) -> tuple[dict, None]:
    return spec.to_json() | {"data_hash": "another"}, None


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (absent_method, "there is no method 'elsewhere'"),
        (damaged_encoder, "SafetensorError"),
        (changed_data, "the data is not what"),
    ],
)
def test_whatever_a_machine_cannot_do_is_a_lost_row_that_says_so(
    data, tmp_path, work_on, cause, message
):
    spec = spec_of(data)
    [told] = work_on(*(cause(spec)[0], data, cause(spec)[1]))
    assert isinstance(told, Failed) and message in told.error and "\n" not in told.error
    driver, work = driver_for(spec, data, tmp_path / "sweep")
    driver.received(work, told)
    done = record(driver.out, spec)
    assert (done["status"], done["error"]) == ("lost", told.error)
    assert done["noise"]["nominal_rate"] == 0.4 and work.over
    assert pending([spec], driver.out) == [spec], "the next run of the command tries it again"


def test_a_noise_file_that_only_the_head_has_is_a_row(data, tmp_path, work_on):
    path = tmp_path / "labels.npy"
    noisy = noise.corrupt(data, noise.NoiseSpec("symmetric", 0.4))
    np.save(path, noisy)
    spec = spec_of(data, noise_kind=f"labels:{path}")
    driver, work = driver_for(spec, data, tmp_path / "sweep")
    aside = path.rename(tmp_path / "aside.npy")
    [told] = work_on(spec.to_json(), data)
    assert isinstance(told, Failed) and str(path) in told.error
    aside.rename(path)
    driver.received(work, told)
    assert (record(driver.out, spec)["status"], record(driver.out, spec)["error"]) == (
        "lost",
        told.error,
    )


def _raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "lost"),
        (OSError(errno.EIO, "Input/output error"), "lost"),
        (OSError(errno.EMFILE, "Too many open files"), "lost"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "failed"),  # the method's own
        (MemoryError(), "failed"),
        (RuntimeError("unable to write to file </torch_7>: No space left on device (28)"), "lost"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "lost"),
        (RuntimeError("CUDA error: device-side assert triggered"), "failed"),
        (
            _raised_from(
                ValueError("cannot read the image"), OSError(errno.ESTALE, "Stale file handle")
            ),
            "lost",
        ),
        (
            _raised_from(
                ValueError("no such file"), FileNotFoundError(errno.ENOENT, "No such file")
            ),
            "failed",
        ),
        (RuntimeError("the method's own fault"), "failed"),
    ],
)
def test_what_the_method_did_is_told_from_what_its_machine_did(
    data, tmp_path, work_on, monkeypatch, error, status
):
    def loss(self, batch):
        raise error

    monkeypatch.setattr(load_method("ce"), "loss", loss)
    spec = spec_of(data)
    driver, work = driver_for(spec, data, tmp_path / "sweep")
    driver.started(work, lambda: None)
    for message in work_on(spec.to_json(), data):
        driver.received(work, message)
    assert record(driver.out, spec)["status"] == status
    assert bool(pending([spec], driver.out)) == (status == "lost")


def test_a_process_whose_gpu_an_earlier_trial_has_broken_takes_no_more(data, work_on, monkeypatch):
    """A failed assertion on the device stays: other methods' trials would fail of it."""

    def broken():
        raise RuntimeError("CUDA error: device-side assert triggered")

    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(worker.torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(worker.torch.cuda, "synchronize", broken)
    monkeypatch.setattr(worker.os, "_exit", leave)
    with pytest.raises(SystemExit, match="1"):
        work_on(spec_of(data).to_json(), data)


def test_a_lost_trial_goes_on_from_its_checkpoint(data, tmp_path):
    spec = spec_of(data)
    driver, work = driver_for(spec, data, tmp_path)
    kept = driver._checkpoint(work)
    for status, there in (("lost", True), ("failed", False)):
        kept.save({"id": spec.id})
        work.over = False
        message = Failed(number=len(status), status=status, error="gone", seconds=1.0)
        driver.received(work, message)
        assert kept.path.exists() == there


def test_a_worker_that_did_not_die_is_not_said_to_have_died(data, tmp_path):
    raised = SimpleNamespace(
        get_pickled_error=lambda: RayTaskError(
            "train", "Traceback\nImportError: no bench\n", ImportError()
        )
    )
    killed = SimpleNamespace(get_pickled_error=lambda: RayActorError())
    empty = SimpleNamespace(get_pickled_error=lambda: ValueError())
    full = SimpleNamespace(get_pickled_error=lambda: OutOfMemoryError("Task was killed"))
    unknown = SimpleNamespace(get_pickled_error=lambda: pickle.loads(b"no pickle"))
    reasons = [_reason(last_error(trial)) for trial in (raised, killed, empty, unknown)]
    assert reasons == ["ImportError: no bench", None, "ValueError", None]
    spec = spec_of(data)
    for trial, error, status in (
        (raised, "ImportError: no bench", "lost"),
        (
            killed,
            "the worker process died 3 times (killed, out of memory, or its machine was lost)",
            "lost",
        ),
        (full, _reason(last_error(full)), "failed"),
    ):
        driver, work = driver_for(spec, data, tmp_path / error[:3])
        driver.lost(work)
        driver.lost(work)
        driver.died(work, _reason(last_error(trial)), _out_of_memory(last_error(trial)))
        assert (record(driver.out, spec)["error"], record(driver.out, spec)["status"]) == (
            error,
            status,
        )


def test_the_peak_memory_of_what_has_no_result_is_on_record(data, tmp_path, work_on):
    """As a worker last said: of a trial that takes too long, and of one that a scheduler stops."""
    spec = spec_of(data)
    told = [message for message in work_on(spec.to_json(), data) if isinstance(message, Epochs)]
    assert told[-1].peak_memory_bytes > 1e8, "PyTorch alone takes that"
    driver, work = driver_for(spec, data, tmp_path / "slow", trial_timeout=50)
    driver.started(work, lambda: None)
    for message in told:
        driver.received(work, message)
    work.began = time.monotonic() - 60
    driver.tick()
    most = max(message.peak_memory_bytes for message in told)
    assert (record(driver.out, spec)["status"], record(driver.out, spec)["peak_memory_bytes"]) == (
        "timeout",
        most,
    )
    assert record(driver.out, spec)["code"] == code_of(spec.method)
    driver, work = driver_for(spec, data, tmp_path / "stopped")
    driver.started(work, lambda: None)
    work.stopping = True
    driver.received(work, replace(told[-1], peak_memory_bytes=7))
    assert (record(driver.out, spec)["status"], record(driver.out, spec)["peak_memory_bytes"]) == (
        "stopped",
        7,
    )


def test_a_second_try_does_not_make_little_of_what_the_first_died_of(data, tmp_path):
    spec = spec_of(data)
    driver, work = driver_for(spec, data, tmp_path)
    for number, peak in enumerate((900, 100)):
        driver.started(work, lambda: None)
        driver.received(
            work,
            Epochs(number=number, epochs=[], restart=True, peak_memory_bytes=peak),
        )
        driver.lost(work)
    driver.died(work)
    assert record(driver.out, spec)["peak_memory_bytes"] == 900


def test_nor_does_one_that_ends_well(data, tmp_path, work_on):
    spec = spec_of(data)
    driver, work = driver_for(spec, data, tmp_path)
    driver.started(work, lambda: None)
    driver.received(
        work,
        Epochs(epochs=[], restart=True, peak_memory_bytes=10**15),
    )
    driver.lost(work)
    driver.started(work, lambda: None)
    for message in work_on(spec.to_json(), data):
        driver.received(work, message)
    assert (record(driver.out, spec)["status"], record(driver.out, spec)["peak_memory_bytes"]) == (
        "finished",
        10**15,
    )


def test_the_seconds_of_what_has_no_result_are_on_record(data, tmp_path):
    spec = spec_of(data)
    driver, work = driver_for(spec, data, tmp_path / "slow", trial_timeout=50)
    driver.started(work, lambda: None)
    work.began = time.monotonic() - 60
    driver.tick()
    assert (
        record(driver.out, spec)["status"] == "timeout"
        and 60 <= record(driver.out, spec)["work_seconds"] < 70
    )
    driver, work = driver_for(spec, data, tmp_path / "dying")
    for end in (driver.lost, driver.lost, driver.died):
        driver.started(work, lambda: None)
        work.held -= 20
        end(work)
    assert 60 <= record(driver.out, spec)["work_seconds"] < 70


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "lost"),  # its worker was killed
        (RuntimeError("collapsed"), "failed"),
        (OSError(errno.EIO, "Input/output error"), "lost"),
    ],
)
def test_trials_end_as_the_pretraining_that_they_waited_for(
    data, tmp_path, work_on, monkeypatch, error, status
):
    def fail(*_):
        raise error

    monkeypatch.setattr(worker, "run_pretraining", fail)
    spec = spec_of(data, "rmd")
    driver, work = driver_for(spec, data, tmp_path)
    job = driver.work[pretrain_job(spec).key]
    assert driver.next() is job
    if error is None:
        driver.lost(job)
        driver.lost(job)
        driver.died(job)
    else:
        [message] = work_on(None, data, job=job.job)
        driver.received(job, message)
    assert work.over and record(driver.out, spec)["status"] == status
    assert "pretraining" in record(driver.out, spec)["error"]


def test_a_damaged_encoder_is_trained_again_and_a_whole_one_is_not(data, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "put", lambda blob: blob)
    spec = spec_of(data, "rmd")
    job = pretrain_job(spec)
    path = tmp_path / "encoders" / f"{job.key}.safetensors"
    path.parent.mkdir()
    none = np.zeros((1, 1), np.float32)
    whole = save_encoder(Encoder({}, none, none, none, spread=0.5, train_seconds=7.0, loss=0.1))
    path.write_bytes(whole)
    driver, _ = driver_for(spec, data, tmp_path)
    assert job.key not in driver.work
    path.write_bytes(whole[:-1])
    with pytest.warns(UserWarning, match=r"safetensors is damaged \(.*; it is trained again"):
        driver, work = driver_for(spec, data, tmp_path)
    assert not path.exists() and job.key in driver.untaken and driver.next().key == job.key
    driver.received(driver.work[job.key], EncoderTrained(number=1, encoder=whole, seconds=7.0))
    assert path.read_bytes() == whole
    path.write_bytes(b"")  # damaged later
    driver._stop(work)
    assert (
        record(driver.out, spec)["status"] == "stopped"
        and record(driver.out, spec)["pretrain_seconds"] == 7.0
    )


@pytest.mark.parametrize(
    ("of", "driver", "removed"),
    [("here", "gone", True), ("here", "alive", False), ("elsewhere", "gone", False)],
)
def test_only_what_a_dead_driver_of_this_folder_left_is_removed(tmp_path, of, driver, removed):
    """A copy of a running sweep's folder names the Ray that is running."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        if driver == "gone":
            process.kill()
            process.wait()
        (tmp_path / "here").mkdir()
        with tempfile.TemporaryDirectory(
            prefix=session.SESSION_PREFIX, dir=session._parent(), ignore_cleanup_errors=True
        ) as left:
            note = {"folder": left, "out": str(tmp_path / of), "pid": process.pid}
            (tmp_path / "here" / ".ray-session").write_bytes(to_json(note))
            session._remove_left_session(tmp_path / "here")
            assert os.path.isdir(left) == (not removed)
        assert not (tmp_path / "here" / ".ray-session").exists()
    finally:
        process.kill()
        process.wait()


def test_a_torn_note_of_a_session_stops_nobody(tmp_path):
    (tmp_path / ".ray-session").write_bytes(b'{"folder": "/tm')
    session._remove_left_session(tmp_path)
    assert not (tmp_path / ".ray-session").exists()


def test_a_driver_looks_at_no_trial_twice_that_has_started(data, tmp_path):
    """With 10,000 trials, a look at all of them at each message takes longer than the message."""
    plan = Plan(overrides=(("epochs", 1),))
    specs = plan.specs(data, expand_hparams(["ce"], {}, {}), [0.2], [0, 1, 2])
    driver = Driver(specs, data, tmp_path, Settings())
    first, second = driver.next(), driver.next()
    assert [first.key, second.key] == [spec.id for spec in specs[:2]]
    assert list(driver.untaken) == [specs[2].id]
    driver.started(first, lambda: None)
    driver.died(first)
    assert list(driver.untaken) == [first.key, specs[2].id], "tried again before new ones"
    assert [driver.next().key, driver.next().key] == [first.key, specs[2].id]
    assert driver.next() is None and not driver.untaken
    for number, work in enumerate(driver.work.values()):
        assert not driver.all_over and driver.unfinished == 3 - number
        driver.received(work, Failed(number=9, status="failed", error="gone", seconds=1.0))
    assert driver.all_over


def test_the_scheduler_starts_a_trial_that_lost_its_worker_again():
    scheduler = Scheduler(SimpleNamespace())
    first, second = (SimpleNamespace(trial_id=name, status="PENDING") for name in "ab")
    for trial in (first, second):
        scheduler.on_trial_add(None, trial)
    assert scheduler.choose_trial_to_run(None) is first
    first.status = "RUNNING"
    assert scheduler.choose_trial_to_run(None) is second
    second.status = "TERMINATED"
    assert scheduler.choose_trial_to_run(None) is None
    first.status = "PENDING"
    scheduler.on_trial_add(None, first)
    assert scheduler.choose_trial_to_run(None) is first


@pytest.mark.parametrize(
    ("parallel", "messages"), [(2, [[0], [1], [2], [3]]), (300, [[0], [1, 2, 3]])]
)
def test_many_trials_at_a_time_report_more_epochs_together(monkeypatch, parallel, messages):
    """Epochs of a second each; the driver gets at most 100 messages a second."""
    sent: list[Epochs] = []
    reporter = worker._Reporter(sent.append, "cpu", worker.report_seconds(parallel))
    for epoch in range(4):
        monkeypatch.setattr(worker.time, "perf_counter", lambda now=100.0 + epoch: now)
        reporter([SimpleNamespace(epoch=epoch)], False)
    reporter.flush()
    assert [[epoch.epoch for epoch in message.epochs] for message in sent] == messages
