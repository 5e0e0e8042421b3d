"""Sweeps over real Ray, as a user starts them: in a process of their own, killed, resumed."""

import contextlib
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from sweeps import ROOT, checkpointed, command, contents, ray_session, sweep, wait_for

SMALL = [
    "--methods",
    "elr,rmd",
    "--noise",
    "0.2,0.5",
    "--seeds",
    "1",
    "--subset",
    "300",
    "--epochs",
    "10",
    "--device",
    "cpu",
]
BARE = [*SMALL, "--no-plots"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "sweep"
    text = sweep(*SMALL, "--out", str(out), "--save-models")
    assert "harness overhead" in text and str(out) in text
    return out


def test_a_sweep_leaves_whole_records_and_a_leaderboard(undisturbed):
    facts = json.loads((undisturbed / "sweep.json").read_text())
    assert len(facts["trials"]) == 6  # ce as reference, elr and rmd, at two rates
    assert facts["overhead"] > 0 and facts["parallel_trials"] >= 1
    assert facts["options"]["methods"] == ["elr", "rmd"] and facts["options"]["save-models"]
    assert sorted(facts["trials"]) == sorted(
        path.name for path in (undisturbed / "trials").iterdir()
    )
    for folder in (undisturbed / "trials").iterdir():
        done = json.loads((folder / "done.json").read_text())
        assert done["status"] == "finished"
        assert abs(done["noise"]["realised_rate"] - done["noise"]["nominal_rate"]) < 0.005
        assert len(done["noise"]["transition_matrix"]) == 10 and done["noise"]["label_hash"]
        assert len((folder / "epochs.jsonl").read_text().splitlines()) == 10
        assert (folder / "model.safetensors").stat().st_size > 10_000
    for name in ("leaderboard.csv", "leaderboard.md", "plots"):
        assert (undisturbed / name).exists()
    assert not (undisturbed / "checkpoints").exists()


def test_cells_are_paired_and_the_pretraining_is_shared_and_attributed(undisturbed):
    hashes: dict[float, set[str]] = {}
    costs = []
    for folder in (undisturbed / "trials").iterdir():
        spec = json.loads((folder / "spec.json").read_text())["spec"]
        done = json.loads((folder / "done.json").read_text())
        hashes.setdefault(spec["noise_rate"], set()).add(done["noise"]["label_hash"])
        if spec["method"] == "rmd+ce":
            costs.append(done["pretrain_seconds"])
    assert all(len(found) == 1 for found in hashes.values()) and len(hashes) == 2
    assert len(list((undisturbed / "encoders").iterdir())) == 1
    assert len(costs) == 2 and costs[0] == costs[1] > 0


def test_saved_models_load_without_pickle_and_predict_as_recorded(undisturbed):
    import torch
    from safetensors.torch import load_file

    from bench.datasets import load_dataset
    from bench.networks.backbones import build_network
    from bench.planning.spec import TrialSpec, method_for
    from bench.training.pixels import pixels_for

    folder = next(
        f
        for f in sorted((undisturbed / "trials").iterdir())
        if '"elr"' in (f / "spec.json").read_text()
    )
    spec = TrialSpec.from_json(json.loads((folder / "spec.json").read_text())["spec"])
    data = load_dataset(spec.dataset, subset=spec.subset)
    net = build_network(spec.recipe.backbone, data.channels, data.num_classes)
    weights = load_file(folder / "model.safetensors")
    net.load_state_dict({name.removeprefix("0."): value for name, value in weights.items()})
    net.eval()
    method = method_for(spec)
    method.networks = torch.nn.ModuleList([net])
    with torch.inference_mode():
        predicted = method.predict(
            pixels_for(data, spec, data.test_images)(torch.arange(len(data.test_labels)))
        )
    with np.load(folder / "samples.npz") as archive:
        np.testing.assert_allclose(predicted.numpy(), archive["test_probabilities"], atol=2e-3)


@pytest.mark.slow
def test_the_same_command_again_runs_nothing(undisturbed):
    before = contents(undisturbed)
    text = sweep(*BARE, "--out", str(undisturbed), "--save-models")
    assert "nothing was missing" in text
    assert contents(undisturbed) == before
    assert "without --save-models" not in text
    for path in undisturbed.glob("trials/*/model.safetensors"):
        path.unlink()
    text = sweep(*BARE, "--out", str(undisturbed), "--save-models")
    assert "6 trials were run without --save-models" in text


def test_a_longer_command_runs_only_what_is_missing(undisturbed):
    longer = [item if item != "elr,rmd" else "elr,rmd,gce" for item in BARE]
    text = sweep(*longer, "--out", str(undisturbed), "--dry-run")
    assert "8 trials, 6 of them on record" in text


def test_killed_driver_resumes_to_the_bit(undisturbed, tmp_path):
    out = tmp_path / "sweep"
    arguments = command(*BARE, "--out", str(out), "--checkpoint-seconds", "0")
    driver = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    finished = lambda: len(list(out.glob("trials/*/done.json")))  # noqa: E731
    wait_for(lambda: finished() >= 2 and checkpointed(out))
    driver.kill()
    driver.wait()
    session = str(ray_session(out))
    wait_for(
        lambda: (
            not any(
                session in " ".join(p.info["cmdline"] or [])
                for p in psutil.process_iter(["cmdline"])
            )
        )
    )
    # Only now: a worker may end its trial after the driver's death.
    over = {path: path.stat().st_mtime_ns for path in out.glob("trials/*/done.json")}
    assert len(over) < 6, "the sweep was over before it was killed"
    begun = {
        trial: len((out / "trials" / trial / "epochs.jsonl").read_text().splitlines())
        for trial in checkpointed(out)
    }
    assert begun, "no trial was in the middle"
    text = sweep(*BARE, "--out", str(out))
    assert f"{6 - len(over)} trials" in text
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in over.items()), (
        "a finished trial ran again"
    )
    assert contents(out) == contents(undisturbed)
    assert not (out / ".ray-session").exists() and not (out / "checkpoints").exists()
    assert not (out / "plots").exists(), "--no-plots"


@pytest.mark.slow
def test_a_worker_that_dies_again_and_again_is_a_row(tmp_path):
    out = tmp_path / "sweep"
    arguments = command(
        "--methods",
        "divide_mix",
        "--reference",
        "none",
        "--seeds",
        "1",
        "--epochs",
        "50",
        "--out",
        str(out),
    )
    driver = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    killed: set[int] = set()
    while driver.poll() is None:
        for process in psutil.Process(driver.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "ImplicitFunc" in process.name() and process.pid not in killed:
                    process.kill()
                    killed.add(process.pid)
        time.sleep(0.05)
    text, _ = driver.communicate(timeout=60)
    assert driver.returncode == 1, text
    assert (
        text.count("its worker died") == 2
        and "the worker process died 3 times" in text
        and "(1 lost with a worker or machine)" in text
    )
    assert "raylet" not in text and "Traceback" not in text and "\x1b" not in text, "Ray speaks"
    [done] = out.glob("trials/*/done.json")
    assert json.loads(done.read_text())["status"] == "lost"
    text = subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    ).stdout
    assert "1 trial to run" in text and "lost" not in text, "the same command tries it again"


def test_an_edited_specification_of_a_finished_trial_is_refused(tmp_path):
    from fabricate import RecordWriter

    from bench.datasets import load_dataset
    from bench.errors import InputError
    from bench.planning.spec import Plan, expand_hparams, record_of
    from bench.sweep.run import pending

    data = load_dataset("digits", subset=200)
    [spec] = Plan(subset=200).specs(data, expand_hparams(["ce"], {}, {}), [0.5], [0])
    writer = RecordWriter(tmp_path, spec.id, record_of(spec))
    writer.finish({"status": "finished"})
    assert pending([spec], tmp_path) == []
    path = writer.folder / "spec.json"
    path.write_text(path.read_text().replace('"noise_rate": 0.5', '"noise_rate": 0.4'))
    with pytest.raises(InputError, match="is not the specification its folder is named after"):
        pending([spec], tmp_path)


BROKEN = '''
"""Raises, or gives NaN, in its second epoch."""
import torch
from bench.method import Method

class Broken(Method):
    def loss(self, batch):
        if self.epoch == 1:
            if FAIL:
                raise RuntimeError("the method's own fault")
            return self.networks[0](batch.x).sum() * float("nan")
        return self.networks[0](batch.x).square().mean()
'''


def test_failures_are_rows_and_the_sweep_goes_on(tmp_path):
    """Two plugins, one that raises and one that diverges, beside one that works."""
    package = tmp_path / "site"
    (package / "broken_methods-1.0.dist-info").mkdir(parents=True)
    (package / "broken_methods-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: broken-methods\nVersion: 1.0\n"
    )
    (package / "broken_methods-1.0.dist-info" / "entry_points.txt").write_text(
        "[bench.methods]\nraising = broken_raising\ndiverging = broken_diverging\n"
    )
    (package / "broken_raising.py").write_text(BROKEN.replace("FAIL", "True"))
    (package / "broken_diverging.py").write_text(BROKEN.replace("FAIL", "False"))
    out = tmp_path / "sweep"
    arguments = [
        "--methods",
        "raising,diverging",
        "--noise",
        "0.5",
        "--seeds",
        "1",
        "--subset",
        "200",
        "--epochs",
        "2",
        "--no-plots",
    ]
    env = {"PYTHONPATH": str(package)}
    text = sweep(*arguments, "--out", str(out), status=1, env=env)
    assert "1 of 3 trials failed" in text and "1 of 3 trials diverged" in text
    assert "failed: raising · symmetric 0.5 · seed 0: RuntimeError: the method's own fault" in text
    status = {}
    for path in out.glob("trials/*/done.json"):
        method = json.loads((path.parent / "spec.json").read_text())["spec"]["method"]
        status[method] = json.loads(path.read_text())["status"]
    assert status == {"ce": "finished", "raising": "failed", "diverging": "diverged"}
    table = (out / "leaderboard.csv").read_text()
    assert "raising" in table and "diverging" in table
    again = [*arguments, "--out", str(out), "--retry-failed", "--dry-run"]
    assert "3 trials, 2 of them on record" in sweep(*again, env=env)


def test_a_second_driver_is_kept_out(tmp_path):
    from bench.errors import InputError
    from bench.records.writer import lock

    with (
        lock(tmp_path),
        pytest.raises(InputError, match="another command is writing"),
        lock(tmp_path),
    ):
        pass
    with lock(tmp_path):
        pass


@pytest.mark.parametrize("threads", [0, 1])
def test_a_sigterm_while_ray_starts_reaches_our_own_handler(threads):
    """With a start that does to signals and processes what Ray's does, and with a thread that may
    take the signal.
    """
    import ray

    from bench.sweep.session import holding_back_sigterm

    came: list[str] = []
    done = threading.Event()
    others = [threading.Thread(target=done.wait) for _ in range(threads)]
    for other in others:
        other.start()
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("ours"))
    try:
        with holding_back_sigterm():
            ray._private.utils.set_sigterm_handler(lambda *_: came.append("Ray's"))
            # as Ray starts its own
            child = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: None)
            child.terminate()
            assert child.wait(timeout=30) == -signal.SIGTERM, (
                "a process of Ray's ends when it is told to"
            )
            os.kill(os.getpid(), signal.SIGTERM)
            assert "Ray's" not in came
        assert came == ["ours"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert came == ["ours", "ours"], "and from then on at once"
        assert "lambda" not in ray._private.utils.set_sigterm_handler.__name__
    finally:
        signal.signal(signal.SIGTERM, before)
        done.set()


@pytest.mark.slow
def test_every_port_is_on_loopback(tmp_path):
    out = tmp_path / "sweep"
    driver = subprocess.Popen(
        command(*BARE, "--out", str(out)),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: list(out.glob("trials/*/epochs.jsonl")))
        family = [driver.pid, *(p.pid for p in psutil.Process(driver.pid).children(recursive=True))]
        listening = [
            c.laddr.ip
            for c in psutil.net_connections("inet")
            if c.pid in family and c.status == psutil.CONN_LISTEN and c.type == socket.SOCK_STREAM
        ]
    finally:
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=60) == 143
    assert len(listening) >= 3, "Ray listens somewhere"
    assert all(ipaddress.ip_address(ip.removeprefix("::ffff:")).is_loopback for ip in listening), (
        listening
    )


LOOKING = '''
"""Says where in memory the images lie."""
import os
import time
import torch
from pathlib import Path
from bench.method import Method

class Looking(Method):
    def loss(self, batch):
        if self.epoch == 0:
            address = self.task._pixels._memory.ctypes.data
            for line in Path("/proc/self/maps").read_text().splitlines():
                span, rights, _, device, inode, *path = line.split()
                low, high = (int(end, 16) for end in span.split("-"))
                if low <= address < high:
                    place = Path(os.environ["LOOKING_OUT"]) / str(os.getpid())
                    place.write_text(f"{device} {inode} {rights} {path}")
            time.sleep(0.1)  # so that the trials are there at the same time
        return torch.nn.functional.cross_entropy(self.networks[0](batch.x), batch.y)
'''


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_concurrent_trials_share_one_copy_of_the_images(tmp_path):
    package = tmp_path / "site"
    info = package / "looking_method-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: looking-method\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.methods]\nlooking = looking_method\n")
    (package / "looking_method.py").write_text(LOOKING)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8), np.arange(2000) % 4
    np.savez(
        tmp_path / "data.npz",
        train_images=images,
        train_labels=labels,
        test_images=images[:50],
        test_labels=labels[:50],
    )
    (tmp_path / "maps").mkdir()
    arguments = [
        "--methods",
        "looking",
        "--reference",
        "none",
        "--dataset",
        f"npz:{tmp_path / 'data.npz'}",
        "--seeds",
        "2",
    ]
    arguments += ["--epochs", "1", "--backbone", "tiny_cnn", "--out", str(tmp_path / "sweep")]
    sweep(*arguments, env={"PYTHONPATH": str(package), "LOOKING_OUT": str(tmp_path / "maps")})
    found = [path.read_text() for path in (tmp_path / "maps").iterdir()]
    if len(os.sched_getaffinity(0)) > 1:
        assert len(found) == 2, "two workers"
    assert len(set(found)) == 1 and "/dev/shm" in found[0], (
        "one mapping of the object store, in both of them"
    )
