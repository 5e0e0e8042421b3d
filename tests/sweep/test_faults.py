"""What can go wrong with a sweep, made to go wrong. After each fault the same command ends with the
same records.

python -m pytest -m slow tests/sweep/test_faults.py prints a table: for each fault, trials lost and
epochs repeated.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import torch
from fabricate import timeless
from sweeps import ROOT, checkpointed, command, contents, ray_session, wait_for

from bench.datasets import Dataset
from bench.errors import InputError
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.training.checkpoint import Checkpoint
from bench.training.failures import describe
from bench.training.outcome import Outcome
from bench.training.storage import Store, StoredFile, sweep_place
from bench.training.trial import run_trial

# ----------------------------------------------------------------------------
# inside one process

VANDAL = '''
"""Leaves every setting of its process that it can reach other than it was."""
import os
import random
import numpy as np
import torch
from bench.method import Method

class Vandal(Method):
    def loss(self, batch):
        return torch.nn.functional.cross_entropy(self.networks[0](batch.x), batch.y)

    def epoch_end(self):
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(3)
        torch.set_flush_denormal(True)
        torch.set_float32_matmul_precision("medium")
        torch.autograd.set_detect_anomaly(True)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.enabled = False
        torch.backends.mkldnn.enabled = False
        np.seterr(all="raise")
        os.environ["VANDAL"] = "was here"
        os.environ.pop("STEADY_SECONDS")
        os.chdir("/")
        random.seed(99)
        np.random.seed(99)
        torch.manual_seed(99)
        raise RuntimeError("and now this")
'''

DRAWING = '''
"""Draws from every global generator."""
import random
import numpy as np
import torch
from bench.method import Method

class Drawing(Method):
    def loss(self, batch):
        noise = random.random() + np.random.rand() + torch.rand(())
        return torch.nn.functional.cross_entropy(self.networks[0](batch.x), batch.y) * noise
'''

STEADY = '''
"""Cross-entropy in no hurry; says which epochs it trained, and breaks on request."""
import os
import time
from pathlib import Path
import torch
from bench.method import Method

class Steady(Method):
    def epoch_end(self):
        with open(os.environ["STEADY_LOG"], "a") as log:
            log.write(f"{os.getpid()} {self.epoch}\\n")
        time.sleep(float(os.environ.get("STEADY_SECONDS", "0.1")))

    def loss(self, batch):
        trouble = Path(os.environ["STEADY_LOG"] + ".trouble")
        if self.epoch == 2 and trouble.exists():
            what, rate = trouble.read_text().split()
            mine = abs((self.task.noisy_labels == 0).float().mean().item() - float(rate)) < 1e-6
            if mine or rate == "-1":
                if what == "hang":
                    time.sleep(10_000)
                if what == "memory":
                    torch.empty(1 << 58)
                if what == "hunger":
                    import resource
                    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
                    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, hard))
                    try:
                        bytearray(1 << 32)
                    finally:
                        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        return torch.nn.functional.cross_entropy(self.networks[0](batch.x), batch.y)
'''


def install(folder: Path, **sources: str) -> Path:
    """A package of methods, as another project would have it; returns the folder to put on the
    path.
    """
    info = folder / "faulty_methods-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-methods\nVersion: 1.0\n")
    points = "".join(f"{name} = faulty_{name}\n" for name in sources)
    (info / "entry_points.txt").write_text(f"[bench.methods]\n{points}")
    for name, source in sources.items():
        (folder / f"faulty_{name}.py").write_text(source)
    return folder


@pytest.fixture
def methods(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(
        install(tmp_path / "site", vandal=VANDAL, drawing=DRAWING, steady=STEADY)
    )
    monkeypatch.setenv("STEADY_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("STEADY_SECONDS", "0")


def spec_of(dataset: Dataset, method: str, **changes) -> TrialSpec:
    plan = Plan(subset=None, overrides=(("epochs", 4),), **changes)
    [spec] = plan.specs(dataset, expand_hparams([method], {}, {}), [0.4], [0])
    return spec


def result(outcome: Outcome) -> tuple:
    return timeless(msgspec.to_builtins(outcome.done())), {
        name: array.tobytes() for name, array in outcome.samples.items()
    }


@pytest.mark.parametrize("method", ["drawing", pytest.param("divide_mix", marks=pytest.mark.slow)])
def test_a_trial_does_not_depend_on_what_ran_before_it_in_its_process(digits, methods, method):
    data = digits.subset(200)
    spec = spec_of(data, method)
    alone = run_in_a_fresh_process(spec)
    others = [
        spec_of(data, name)
        for name in ("ce", "vandal", "elr", "drawing", "gce", "vandal", "co_teaching", "ce", "sce")
    ]
    for other in [*others, spec_of(data, "vandal")]:
        outcome = run_trial(other, data)
        assert outcome.error == ("RuntimeError: and now this" if other.method == "vandal" else None)
    after = run_trial(spec, data)
    assert after.status == "finished", after.error
    assert result(after) == alone


def run_in_a_fresh_process(spec: TrialSpec) -> tuple:
    """Facts and samples of a trial that has a process of its own."""
    code = (
        "import json, pickle, sys; from test_faults import *; from bench.datasets import "
        "load_dataset;spec = "
        "TrialSpec.from_json(json.loads(sys.stdin.read()));"
        "data = load_dataset('digits').subset(200);"
        "sys.stdout.buffer.write(pickle.dumps(result(run_trial(spec, data))))"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(spec.to_json()).encode(),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    import pickle

    return pickle.loads(done.stdout)


def test_the_settings_of_the_process_come_back(digits, methods):
    def settings():
        """Return all but torch's generator, which every trial seeds."""
        return {
            "dtype": torch.get_default_dtype(),
            "device": torch.empty(1).device.type,
            "gradients": torch.is_grad_enabled(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "threads": torch.get_num_threads(),
            "denormal": bool((torch.tensor([1e-40]) * 1).item()),
            "matmul": torch.get_float32_matmul_precision(),
            "anomaly": torch.is_anomaly_enabled(),
            "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.enabled),
            "mkldnn": torch.backends.mkldnn.enabled,
            "numpy": np.geterr(),
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "draws": (random.getstate(), np.random.get_state()[1].tolist()),
        }

    torch.set_default_dtype(torch.float64)
    try:
        before = settings()
        data = digits.subset(200)
        assert run_trial(spec_of(data, "vandal"), data).error == "RuntimeError: and now this"
        assert settings() == before
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_lack_of_memory_is_a_row_that_says_so(digits, methods, tmp_path):
    Path(f"{tmp_path}/log.trouble").write_text("memory -1")
    data = digits.subset(200)
    outcome = run_trial(spec_of(data, "steady"), data)
    assert outcome.status == "failed"
    assert outcome.error.startswith("out of memory (RuntimeError: ")
    assert "--max-concurrent" in outcome.error and "\n" not in outcome.error
    assert describe(MemoryError()).startswith("out of memory (MemoryError)")
    assert describe(torch.OutOfMemoryError("CUDA out of memory")).startswith(
        "out of memory (OutOfMemoryError: CUDA"
    )
    assert describe(ValueError("a\nb")) == "ValueError: a b"


@pytest.mark.gpu
def test_memory_of_the_device_is_free_after_a_trial(digits, methods):
    data = digits.subset(200)
    for name, status in (("ce", "finished"), ("vandal", "failed"), ("divide_mix", "finished")):
        outcome = run_trial(spec_of(data, name, device="cuda"), data)
        assert outcome.status == status, outcome.error
        # What remains belongs to the libraries: cuBLAS keeps a workspace.
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        assert torch.cuda.memory_allocated() == 0 and torch.cuda.memory_reserved() == 0


# ----------------------------------------------------------------------------
# checkpoints


class Stop(BaseException):
    """Ends a trial as a kill would: nothing in it may catch this."""


def run_until(epoch: int, spec: TrialSpec, data: Dataset, checkpoint: Checkpoint) -> None:
    """Run the trial, and have it die once this epoch is on record and the checkpoint of the one
    before is written.
    """

    def report(epochs, restart):
        if epochs and epochs[-1].epoch == epoch and not restart:
            raise Stop

    with pytest.raises(Stop):
        run_trial(spec, data, checkpoint=checkpoint, report=report)


def trained(spec: TrialSpec, data: Dataset, checkpoint: Checkpoint) -> tuple[Outcome, list[int]]:
    """The outcome, and which epochs it took to get there."""
    epochs: list[int] = []

    def report(records, restart):
        epochs.extend(record.epoch for record in records if not restart)

    return run_trial(spec, data, checkpoint=checkpoint, report=report), epochs


@pytest.fixture(params=["folder", "file", "local", "memory"])
def store(request, tmp_path) -> Iterator[Store]:
    """A place for checkpoints of every kind that needs no network."""
    place = {
        "folder": str(tmp_path / "a store"),
        "file": f"file://{tmp_path}/a%20store",
        "local": f"local://{tmp_path}/store",
        "memory": f"memory://{tmp_path.name}/store",
    }[request.param]
    store = Store(place)
    store.check()
    yield store


def halve(file: Path | StoredFile) -> None:
    """Half of the file is lost."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def damage(file: Path | StoredFile) -> None:
    """A bit in the middle of the file, in some weight, is another."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(("harm", "broken"), [(damage, 0), (damage, 1), (damage, 2), (halve, 1)])
def test_a_broken_checkpoint_costs_the_epochs_since_the_one_before(digits, store, harm, broken):
    data = digits.subset(200)
    spec = spec_of(data, "elr")
    undisturbed = result(run_trial(spec, data))
    checkpoint = Checkpoint(store.file(spec.id), every_seconds=0)
    run_until(2, spec, data, checkpoint)  # there are checkpoints of epochs 0 and 1
    for file in (checkpoint.path, checkpoint.previous)[:broken]:
        harm(file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome, epochs = trained(spec, data, Checkpoint(store.file(spec.id), every_seconds=0))
    told = [str(warning.message) for warning in caught if "checkpoint" in str(warning.message)]
    assert len(told) == broken, told
    assert epochs == [[2, 3], [1, 2, 3], [0, 1, 2, 3]][broken]
    assert result(outcome) == undisturbed
    if broken == 2:
        assert "the one before is used" in told[0] and "the trial starts anew" in told[1]
    checkpoint.remove()
    store.close()
    assert store.folder is None or not store.folder.exists(), "nothing is left"


def test_a_kill_between_the_two_checkpoints_loses_neither(digits, store, monkeypatch):
    data = digits.subset(200)
    spec = spec_of(data, "ce")
    checkpoint = Checkpoint(store.file(spec.id), every_seconds=0)
    run_until(1, spec, data, checkpoint)
    checkpoint.path.replace(checkpoint.previous)  # as if it had died here, in the next write
    _, epochs = trained(spec, data, Checkpoint(store.file(spec.id), every_seconds=0))
    assert epochs == [1, 2, 3]


@pytest.mark.parametrize(
    ("storage", "place"),
    [
        ("s3://b/p?region=eu-west-1", r"s3://b/p/run-\w{6}\?region=eu-west-1"),
        ("/scratch/", r"/scratch/run-\w{6}"),
    ],
)
def test_every_sweep_has_a_folder_of_its_own_on_a_store(storage, place):
    assert re.fullmatch(place, sweep_place(storage, Path("/results/run")))
    assert sweep_place(storage, Path("/results/run")) != sweep_place(
        storage, Path("/elsewhere/run")
    )


def test_a_store_is_tidied(store):
    for name in ("aaa", "bbb", "ccc"):
        store.file(name).write_bytes(b"x") if store.folder is None else _write(
            store.file(name), b"x"
        )
    torn = store.file("ccc").with_name(".ccc.pt.17.new")
    torn.write_bytes(b"x")
    before = store.file("aaa").with_name("aaa.before.pt")
    before.write_bytes(b"x")
    store.tidy({"aaa": "finished", "bbb": "timeout"})
    assert [file.exists() for file in (store.file("aaa"), before, torn)] == [False] * 3
    assert store.file("bbb").exists() and store.file("ccc").exists(), "these trials may go on"
    store.close()
    assert store.file("ccc").exists(), "only an empty folder is removed"


def _write(path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_only_workers_of_the_latest_run_write_checkpoints(digits, store):
    """Those of a killed driver may live on, beside the same command that is run again."""
    data = digits.subset(200)
    spec = spec_of(data, "ce")
    store.claim("first")
    place, told = store.file(spec.id), []
    old = Checkpoint(
        place, every_seconds=0, warn=told.append, allowed=lambda: store.owner() in ("first", None)
    )
    run_until(2, spec, data, old)
    kept = place.read_bytes()
    assert store.owner() == "first"
    store.claim("second")
    old.save({"id": spec.id, "records": []})
    assert place.read_bytes() == kept and not told
    new = Checkpoint(place, every_seconds=0, allowed=lambda: store.owner() == "second")
    _, epochs = trained(spec, data, new)
    assert epochs == [2, 3] and place.read_bytes() != kept
    store.tidy({spec.id: "running"})
    assert store.owner() == "second"
    store.tidy({spec.id: "finished"})
    store.close()
    assert store.owner() is None and (store.folder is None or not store.folder.exists())


def test_a_folder_with_state_is_left_with_its_owner(store):
    store.claim("first")
    file = store.file("ccc")
    file.write_bytes(b"x")
    store.close()
    assert file.exists() and store.owner() == "first"


def test_a_trial_survives_a_store_that_fails(digits, tmp_path, monkeypatch):
    data = digits.subset(200)
    spec = spec_of(data, "ce")
    undisturbed = result(run_trial(spec, data))
    store = Store(f"local://{tmp_path}/store")
    store.check()

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StoredFile, "write_bytes", full)
    told: list[str] = []
    outcome, epochs = trained(
        spec, data, Checkpoint(store.file(spec.id), every_seconds=0, warn=told.append)
    )
    assert epochs == [0, 1, 2, 3] and result(outcome) == undisturbed
    assert len(told) == 3 and all(
        "No space left" in text and "the trial goes on" in text for text in told
    )


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nosuch://bucket/x", "use a folder, s3:// or gs://"),
        ("s3:// x", "write for example s3://bucket/path"),
        ("s3:/bucket", "neither a folder nor an address"),
        ("/proc/nowhere", "cannot write to --storage"),
        ("local:///proc/nowhere", "cannot write to --storage"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_clear_sentence(place, message):
    with pytest.raises(InputError, match=message) as error:
        Store(place).check()
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_one_clear_sentence():
    with pytest.raises(
        InputError, match=r"cannot write to --storage .*check its address and your credentials"
    ):
        Store("s3://bucket/x?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1").check()


# ----------------------------------------------------------------------------
# whole sweeps


class Sweep:
    """A sweep of four short trials of the method above, in a process of its own."""

    EPOCHS = 8
    TRIALS = 4

    def __init__(self, folder: Path, out: Path | None = None) -> None:
        self.out = out or folder / "sweep"
        self.log = folder / "log"
        site = folder / "site"
        if not site.exists():
            install(site, steady=STEADY)
        self.env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
            "STEADY_LOG": str(self.log),
        }
        self.arguments = [
            "--methods",
            "steady",
            "--reference",
            "none",
            "--noise",
            "0.2,0.5",
            "--seeds",
            "2",
        ]
        self.arguments += [
            "--subset",
            "200",
            "--epochs",
            str(self.EPOCHS),
            "--device",
            "cpu",
            "--checkpoint-seconds",
            "0",
        ]
        self.arguments += ["--out", str(self.out)]

    def start(self, *more: str) -> subprocess.Popen:
        return subprocess.Popen(
            command(*self.arguments, *more),
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *more: str, status: int = 0) -> str:
        return finish(self.start(*more), status)

    @property
    def over(self) -> int:
        return len(list(self.out.glob("trials/*/done.json")))

    @property
    def in_the_middle(self) -> bool:
        """A trial is over, and another one on its way."""
        return bool(self.over and checkpointed(self.out))

    @property
    def at_work(self) -> tuple[int, int]:
        """Process and number of the epoch that was trained last."""
        process, epoch = self.log.read_text().splitlines()[-1].split()
        return int(process), int(epoch)

    @property
    def statuses(self) -> list[str]:
        return sorted(
            json.loads(path.read_text())["status"] for path in self.out.glob("trials/*/done.json")
        )

    @property
    def trained(self) -> int:
        """Epochs that were trained, those that had to be repeated too."""
        return len(self.log.read_text().splitlines())


def finish(process: subprocess.Popen, status: int = 0) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == status, text
    assert "Traceback" not in text, text
    return text


def family(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Sweep:
    sweep = Sweep(tmp_path_factory.mktemp("undisturbed"))
    sweep.run()
    assert (
        sweep.statuses == ["finished"] * Sweep.TRIALS
        and sweep.trained == Sweep.TRIALS * Sweep.EPOCHS
    )
    return sweep


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return Sweep(tmp_path)


@pytest.fixture(scope="module")
def table(request) -> Iterator[Callable[[str, Sweep], None]]:
    """Takes down what each fault cost; prints it at the end."""
    rows: list[str] = []

    def row(fault: str, sweep: Sweep) -> None:
        lost = Sweep.TRIALS - sweep.statuses.count("finished")
        rows.append(f"{fault:<44}{lost:>12}{sweep.trained - Sweep.TRIALS * Sweep.EPOCHS:>17}")

    yield row
    report = request.config.pluginmanager.get_plugin("terminalreporter")
    report.write_line("")
    report.write_line(
        f"{f'fault, in a sweep of {Sweep.TRIALS} trials of {Sweep.EPOCHS} epochs':<44} trials lost "
        " epochs repeated"
    )
    for text in rows:
        report.write_line(text)


def check_end(sweep: Sweep, undisturbed: Sweep) -> None:
    """Exactly the expected trials are on record, all as they would have been, and nothing else is
    left.
    """
    assert contents(sweep.out) == contents(undisturbed.out)
    assert not (sweep.out / ".ray-session").exists() and not (sweep.out / "checkpoints").exists()


@pytest.mark.slow
def test_a_trial_that_hangs_is_ended_and_can_go_on_later(undisturbed, sweep, tmp_path, table):
    """With its checkpoints in a store, which another machine could reach too."""
    storage = f"local://{tmp_path}/store"
    Path(f"{sweep.log}.trouble").write_text(f"hang {hanging_share(undisturbed)}")
    text = sweep.run("--storage", storage, "--trial-timeout", "25", status=1)
    assert sweep.statuses == ["finished"] * 3 + ["timeout"]
    assert (
        text.count("timeout: steady") == 1
        and "25 seconds of --trial-timeout" in text
        and "--retry-failed" in text
    )
    assert "its worker died" not in text
    assert not (sweep.out / "checkpoints").exists()
    assert {path.name.count(".before") for path in (tmp_path / "store").glob("sweep-*/*")} == {0, 1}
    before = sweep.trained
    Path(f"{sweep.log}.trouble").unlink()
    assert "nothing was missing" in sweep.run("--storage", storage, status=1), (
        "a timeout is a result"
    )
    text = sweep.run("--storage", storage, "--retry-failed")
    assert sweep.trained - before == Sweep.EPOCHS - 2, "it went on from its checkpoint"
    assert not list((tmp_path / "store").iterdir())
    table("a trial that hangs, ended by --trial-timeout", sweep)
    check_end(sweep, undisturbed)


def hanging_share(undisturbed: Sweep) -> float:
    """Share of a noisy class in the training set by which the method tells one of the trials from
    the others.
    """
    shares = {}
    for folder in (undisturbed.out / "trials").iterdir():
        with np.load(folder / "samples.npz") as archive:
            shares[folder.name] = float(
                (archive["noisy_labels"][archive["train_positions"]] == 0).mean()
            )
    share = min(shares.values())
    assert sum(abs(other - share) < 1e-6 for other in shares.values()) == 1, (
        "it means one trial alone"
    )
    return share


@pytest.mark.slow
def test_a_worker_that_runs_out_of_memory(undisturbed, sweep, table):
    """Of its own: rows that say so, and the sweep goes on. The kernel's kill looks like the one of
    the next test.
    """
    Path(f"{sweep.log}.trouble").write_text(f"hunger {hanging_share(undisturbed)}")
    text = sweep.run(status=1)
    assert sweep.statuses == ["failed"] + ["finished"] * 3
    assert text.count("out of memory (MemoryError)") == 1 and "--retry-failed" in text
    Path(f"{sweep.log}.trouble").unlink()
    before = sweep.trained
    sweep.run("--retry-failed")
    assert sweep.trained - before <= Sweep.EPOCHS
    table("a trial out of memory, then --retry-failed", sweep)
    check_end(sweep, undisturbed)


@pytest.mark.slow
def test_a_killed_worker(undisturbed, sweep, table):
    sweep.env["STEADY_SECONDS"] = "0.5"  # between two trials a worker has nothing to lose
    driver = sweep.start()
    wait_for(lambda: sweep.in_the_middle and sweep.at_work[1] < Sweep.EPOCHS - 3)
    psutil.Process(sweep.at_work[0]).kill()
    text = finish(driver)
    assert text.count("its worker died") == 1
    assert "raylet" not in text and "Traceback" not in text and "\x1b" not in text, "Ray speaks"
    table("kill -9 of a worker", sweep)
    check_end(sweep, undisturbed)


@pytest.mark.slow
def test_a_killed_driver(undisturbed, sweep, table):
    driver = sweep.start()
    wait_for(lambda: sweep.in_the_middle)
    relatives = family(driver)
    driver.kill()
    driver.wait()
    wait_for(lambda: not any(map(alive, relatives)))
    assert 0 < sweep.over < Sweep.TRIALS
    sweep.run()
    table("kill -9 of the driver", sweep)
    check_end(sweep, undisturbed)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_sweep_goes_at_once_and_leaves_nothing_behind(
    undisturbed, sweep, table, sent, status
):
    driver = sweep.start()
    wait_for(lambda: sweep.in_the_middle)
    relatives, session = family(driver), ray_session(sweep.out)
    assert session.is_dir() and len(relatives) > 3
    driver.send_signal(sent)
    text = finish(driver, status)
    assert text.splitlines()[-1].startswith(
        "Interrupted. Nothing finished is lost; to go on: python -m bench.run --methods"
    )
    wait_for(lambda: not any(map(alive, relatives)), seconds=10)
    assert not session.exists() and not (sweep.out / ".ray-session").exists()
    assert 0 < sweep.over < Sweep.TRIALS
    sweep.run()
    table(sent.name, sweep)
    check_end(sweep, undisturbed)


@pytest.mark.slow
def test_a_second_driver_is_refused(undisturbed, sweep, table):
    first = sweep.start()
    wait_for(lambda: sweep.in_the_middle)
    first.send_signal(signal.SIGSTOP)  # else it may be over before the second has started
    try:
        text = sweep.run(status=2)
    finally:
        first.send_signal(signal.SIGCONT)
    assert text.startswith("Error: another command is writing to") and text.count("\n") == 1
    finish(first)
    table("two drivers on one folder: the second refuses", sweep)
    check_end(sweep, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["begins", "starts Ray", "has Ray"])
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_while_the_sweep_starts(sweep, moment, sent, status):
    driver = sweep.start()
    wait_for((sweep.out / ".lock").exists)
    if moment != "begins":
        wait_for((sweep.out / ".ray-session").exists)
        session = ray_session(sweep.out)
    if moment == "starts Ray":
        wait_for(lambda: family(driver))
    if moment == "has Ray":
        wait_for(
            lambda: any("ImplicitFunc" in p.name() or "IDLE" in p.name() for p in family(driver))
        )
    relatives = family(driver)
    driver.send_signal(sent)
    text = finish(driver, status)
    assert text.splitlines()[-1].startswith("Interrupted. Nothing finished is lost")
    wait_for(lambda: not any(map(alive, relatives)), seconds=15)
    assert moment == "begins" or not session.exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["record", "checkpoint"])
def test_a_torn_or_corrupt_file(undisturbed, sweep, table, what):
    driver = sweep.start()
    wait_for(lambda: sweep.in_the_middle and any((sweep.out / "checkpoints").glob("*.before.pt")))
    workers = [process for process in family(driver) if "ImplicitFunc" in process.name()]
    driver.kill()
    driver.wait()
    # one may live on for a while and put a whole checkpoint there
    wait_for(lambda: not any(map(alive, workers)))
    if what == "record":
        for path in sweep.out.glob("trials/*/*"):
            if path.name in ("epochs.jsonl", "done.json") and path.stat().st_size:
                path.write_bytes(path.read_bytes()[:-7])
    else:
        for path in sweep.out.glob("checkpoints/[!.]*.pt"):
            if ".before" not in path.name:
                damage(path)
    text = sweep.run()
    assert ("is damaged; the trial is run again" if what == "record" else "warning: steady") in text
    assert what == "record" or "the one before is used" in text
    table(
        {
            "record": "torn records, of running and finished trials",
            "checkpoint": "a corrupt checkpoint",
        }[what],
        sweep,
    )
    check_end(sweep, undisturbed)


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_for_records(undisturbed, tmp_path, table):
    with small_disk(tmp_path / "disk", 8192) as disk:
        sweep = Sweep(tmp_path, disk / "sweep")
        driver = sweep.start()
        wait_for(lambda: sweep.over)
        with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
            while True:
                filler.write(b"x" * 4096)
                filler.flush()
        text = finish(driver, 1)
        errors = [line for line in text.splitlines() if line.startswith("Error")]
        assert len(errors) == 1 and errors[0].startswith("Error: the disk is full"), text
        assert "free some room, then run the same command again" in errors[0]
        assert sweep.over < Sweep.TRIALS
        (disk / "filler").unlink()
        sweep.run()
        table("disk full while writing a record", sweep)
        check_end(sweep, undisturbed)


@pytest.mark.slow
def test_a_disk_that_is_full_for_checkpoints(undisturbed, sweep, tmp_path, table):
    with small_disk(tmp_path / "disk", 700) as disk:
        text = sweep.run("--storage", str(disk / "store"))
        assert "cannot write the checkpoint" in text and "No space left on device" in text
        table("disk full while checkpointing", sweep)
        check_end(sweep, undisturbed)


# ----------------------------------------------------------------------------
# several machines

NODES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False,
    "object_store_memory": 200 << 20,
    **({"ray_client_server_port": int(sys.argv[1])} if sys.argv[1:] else {})})
other = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "remove":
        cluster.remove_node(other, allow_graceful=False)
        print("removed", flush=True)
cluster.shutdown()
"""

TOKEN = "0123456789abcdef0123456789abcdef"


class Nodes:
    """A cluster of two nodes on this machine, with token authentication."""

    def __init__(self, *arguments: str, mode: str = "token") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODES, *arguments],
            env={
                **os.environ,
                "RAY_AUTH_MODE": mode,
                "RAY_AUTH_TOKEN": TOKEN,
                "RAY_USAGE_STATS_ENABLED": "0",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address

    def remove_one(self) -> None:
        self.process.stdin.write("remove\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "removed"


@pytest.fixture
def nodes(sweep, monkeypatch) -> Iterator[Callable[..., Nodes]]:
    started: list[Nodes] = []

    def start(*arguments: str, **options: str) -> Nodes:
        started.append(Nodes(*arguments, **options))
        return started[-1]

    # of the workers on these nodes
    for key in ("PYTHONPATH", "STEADY_LOG"):
        monkeypatch.setenv(key, sweep.env[key])
    yield start
    for cluster in started:
        cluster.process.stdin.close()
        cluster.process.wait(timeout=60)


@pytest.mark.slow
def test_a_node_that_is_lost(undisturbed, sweep, nodes, tmp_path, table):
    cluster = nodes()
    sweep.env |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "STEADY_SECONDS": "0.5"}
    driver = sweep.start("--address", cluster.address, "--storage", str(tmp_path / "shared"))
    wait_for(lambda: sweep.over and len(list((tmp_path / "shared").glob("sweep-*/*.pt"))) >= 2)
    cluster.remove_one()
    text = finish(driver)
    assert "2 at a time" in text
    assert not list((tmp_path / "shared").iterdir())
    table("a node of a two-node cluster removed", sweep)
    check_end(sweep, undisturbed)


@pytest.mark.slow
def test_a_sweep_over_a_ray_client_address_keeps_its_records_here(
    undisturbed, sweep, nodes, tmp_path
):
    pytest.importorskip("grpc", reason='needs pip install "ray[client]"')
    nodes("24867")
    sweep.env["RAY_AUTH_TOKEN"] = TOKEN
    text = sweep.run("--address", "ray://127.0.0.1:24867", "--storage", str(tmp_path / "shared"))
    assert "4 trials to run, 2 at a time" in text
    check_end(sweep, undisturbed)


@pytest.mark.slow
def test_nothing_is_written_but_where_it_belongs(sweep, tmp_path):
    for name in ("home", "temporary", "cache"):
        (tmp_path / name).mkdir()
    sweep.env |= {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "LNL_BENCH_CACHE": str(tmp_path / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    here = set(ROOT.rglob("*"))
    driver = sweep.start()
    wait_for((sweep.out / ".ray-session").exists)
    session = ray_session(sweep.out)
    finish(driver)
    assert not any((tmp_path / "home").iterdir()) and not any((tmp_path / "temporary").iterdir())
    assert not session.exists()
    assert {path.name for path in tmp_path.iterdir()} == {
        "home",
        "temporary",
        "cache",
        "site",
        "log",
        "sweep",
    }
    # of tools that may run meanwhile
    others = {".git", ".venv", ".hypothesis", "__pycache__"}
    others |= {f".{tool}_cache" for tool in ("mypy", "pytest", "ruff", "import_linter")}
    assert not [path for path in set(ROOT.rglob("*")) - here if not others & set(path.parts)]
