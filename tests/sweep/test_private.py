"""Names of Ray that its documentation does not promise: each has the shape that
bench/sweep/private.py relies on.
"""

import importlib
import inspect
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
import ray
from packaging.requirements import Requirement
from packaging.version import Version
from ray import tune
from ray_names import private_names
from sweeps import wait_for

from bench.errors import InputError
from bench.sweep import address, private

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(ray.__file__).parent


def test_the_installed_ray_is_one_that_is_allowed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [
        Requirement(text)
        for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    ]
    bounds = {requirement.specifier for requirement in named if requirement.name == "ray"}
    assert len(bounds) == 1 and version("ray") in bounds.pop()
    assert all(
        any(part.operator == "<" for part in requirement.specifier)
        for requirement in named
        if requirement.name == "ray"
    )


def test_private_names_are_used_in_one_module_alone():
    users = {}
    for path in sorted((ROOT / "bench").rglob("*.py")):
        if names := list(private_names(path.read_text())):
            users[str(path.relative_to(ROOT / "bench"))] = names
    assert len(users.pop("sweep/private.py")) > 10
    assert users == {}


@pytest.mark.parametrize(
    "code",
    [
        "import ray._private.services",
        "from ray._private import services",
        "from ray.train._internal.storage import get_fs",
        "import ray\nray._private.worker.connect()",
        "import ray.util as util\nutil._hidden",
        "from ray import tune\ntune.Tuner._run",
        "from ray.job_config import JobConfig as Job\nJob()\nJob._py_driver_sys_path = []",
        "import ray\nray.init(_temp_dir='/tmp/x')",
        "import ray\nray.init = None",
        "import ray\ndel ray.util.client.ray.is_connected",
        "import ray\nsetattr(ray, 'init', None)",
        "from ray import tune\ndef stop(trial):\n    trial.temporary_state = None",
        "from ray import tune\ndef stop(trial):\n    return trial.run_metadata.last_result",
        "import os\nos.environ['RAY_worker_niceness'] = '0'",
        "settings = {'TUNE_MAX_LEN_IDENTIFIER': '50'}",
        "patch('ray._private.utils.set_sigterm_handler')",
    ],
)
def test_a_private_name_is_noticed(code):
    assert list(private_names(code))


@pytest.mark.parametrize(
    "code",
    [
        "import ray\nray.init(address='auto')\nray.__version__",
        "from ray import tune\ndef stop(trial):\n    return trial.config['key'], trial.last_result",
        "import optuna\ndef tell(trial):\n    return trial._trial_id",
        "import os\nos.environ['RAY_ADDRESS']",
        "class Hidden:\n    def __init__(self):\n        self._ray = 'ray'",
    ],
)
def test_what_is_public_or_not_of_ray_is_left_alone(code):
    assert not list(private_names(code))


def test_ray_asks_for_its_signal_handler_by_this_name():
    source = inspect.getsource(ray.init)
    assert "ray._private.utils.set_sigterm_handler(" in source
    before = ray._private.utils.set_sigterm_handler
    with private.without_sigterm_handler():
        assert ray._private.utils.set_sigterm_handler is not before
    assert ray._private.utils.set_sigterm_handler is before


def test_ray_takes_the_folder_of_its_files_by_this_name(tmp_path):
    [name] = private.files_in(str(tmp_path))
    assert f'kwargs.pop("{name}"' in inspect.getsource(ray.init)


def test_tune_asks_the_client_and_the_session_folder_by_these_names(tmp_path):
    from ray.train._internal import storage
    from ray.tune import tuner

    assert "client.ray.is_connected()" in inspect.getsource(
        tuner
    ) or "ray.util.client.ray" in inspect.getsource(tuner)
    assert "_get_ray_train_session_dir()" in inspect.getsource(storage)
    before = storage._get_ray_train_session_dir
    with private.driving_here(str(tmp_path)):
        assert storage._get_ray_train_session_dir() == str(tmp_path)
        assert ray.util.client.ray.is_connected() is False
    assert storage._get_ray_train_session_dir is before
    assert "is_connected" not in vars(ray.util.client.ray)


def test_the_workers_path_is_sent_as_it_is():
    from ray.core.generated.common_pb2 import JobConfig

    assert "job_config._py_driver_sys_path.extend(" in inspect.getsource(
        ray._private.worker.connect
    )
    config = private.job_config(["/first", "/second"])
    config._py_driver_sys_path.extend(["/working/directory"])
    sent = JobConfig()
    sent.ParseFromString(config._serialize())
    assert list(sent.py_driver_sys_path) == ["/second", "/first"], (
        "a worker puts each in front of the one before"
    )


def test_processes_and_the_latest_cluster_are_found_by_these_names(tmp_path, monkeypatch):
    services = sys.modules["ray._private.services"]
    assert services._is_raylet_process(["/ray/core/src/ray/raylet/raylet", "--gcs-address=x"])
    assert not services._is_raylet_process(["python"]) and not services._is_raylet_process(None)
    source = inspect.getsource(services.start_raylet)
    assert '"--gcs-address=' in source.replace(
        'f"', '"'
    ) and '"--raylet_socket_name=' in source.replace('f"', '"')
    assert isinstance(private.running().sweeps, frozenset)
    assert ray._private.utils.read_ray_address(str(tmp_path)) is None
    (tmp_path / "ray_current_cluster").write_text("10.0.0.1:6379\n")
    assert ray._private.utils.read_ray_address(str(tmp_path)) == "10.0.0.1:6379"


def test_what_is_left_of_a_killed_drivers_session_is_ended(tmp_path):
    """The processes whose command lines name the session's folder, with their children, and no
    others.
    """
    sleep = (
        "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); "
        "print('ready', flush=True); time.sleep(60)"
    )
    folder = tmp_path / "lnl-ray-x"
    started = [
        subprocess.Popen([sys.executable, "-c", sleep, argument], stdout=subprocess.PIPE)
        for argument in (
            f"--session-dir={folder}/session_1",
            f"{folder}/a-file-to-look-at",
            f"--session-dir={folder}y/session_1",
        )
    ]
    children = [
        p
        for process in started
        if process.stdout.readline()
        for p in psutil.Process(process.pid).children()
    ]
    private.end_session(str(folder))
    assert started[0].wait(timeout=10) == -9
    assert [process.poll() for process in started[1:]] == [None, None]
    wait_for(
        lambda: not children[0].is_running() or children[0].status() == psutil.STATUS_ZOMBIE,
        seconds=10,
    )
    for process in [*started[1:], *children[1:]]:
        process.kill()


def test_a_trial_of_tune_lets_go_of_what_it_holds():
    from ray.tune.experiment import Trial

    trial = Trial("no such trainable", stub=True, config={"key": "a", "work": 1, "encoder": 2})
    trial.evaluated_params = {"work": 1}
    trial.run_metadata.metric_analysis["x"] = {"max": 1}
    shape = tune.PlacementGroupFactory([{"CPU": 1}])
    assert private.forget(trial, shape) is shape
    assert trial.config == {"key": "a"} and not trial.run_metadata.metric_analysis
    assert trial.last_result["done"] is True
    assert (
        trial.placement_group_factory is shape and trial._default_placement_group_factory is shape
    )
    assert trial.temporary_state.ray_actor is None
    private.kill(trial)
    assert trial.max_failures == 0


def test_a_trial_of_tune_says_that_it_waits():
    from ray.tune.experiment import Trial

    trials = {name: Trial("no such trainable", stub=True, trial_id=name) for name in "ab"}
    first, second = trials.values()
    assert private.first_pending(trials) is first
    first.set_status(Trial.RUNNING)
    assert private.first_pending(trials) is second and list(trials) == ["b"]
    second.set_status(Trial.TERMINATED)
    assert private.first_pending(trials) is None and not trials


def test_tune_leaves_out_its_own_display_for_one_derived_from_it():
    from ray.tune.utils import callback

    assert "TrialProgressCallback" in inspect.getsource(callback)
    callback_class = private.progress_callback()
    assert callback_class.__name__ == "TrialProgressCallback"
    assert issubclass(callback_class, tune.Callback)


# ----------------------------------------------------------------------------
# a Ray without these names


@pytest.fixture
def without(monkeypatch):
    """Function that takes a name out of Ray."""

    def remove(path: str) -> None:
        owner, _, name = path.rpartition(".")
        monkeypatch.delattr(importlib.import_module(owner), name)

    return remove


def test_without_the_name_of_the_signal_handler_ray_starts(without):
    without("ray._private.utils.set_sigterm_handler")
    with private.without_sigterm_handler():
        pass


@pytest.mark.parametrize(
    "name", ["ray.util.client.ray", "ray.train._internal.storage._get_ray_train_session_dir"]
)
def test_without_the_names_of_ray_client_its_addresses_are_refused(without, name, tmp_path):
    without(name)
    with (
        pytest.raises(InputError, match=r"ray:// does not work with Ray .*: give host:port"),
        private.driving_here(str(tmp_path)),
    ):
        pass


@pytest.mark.parametrize(
    "name",
    [
        "ray._private.services._is_raylet_process",
        "ray._private.services.psutil",
        "ray._private.utils.read_ray_address",
    ],
)
def test_without_the_names_of_processes_no_cluster_is_found(without, name, monkeypatch, tmp_path):
    services = importlib.import_module("ray._private.services")
    monkeypatch.setattr(services.psutil, "process_iter", lambda attributes: [])
    without(name)
    assert private.running().clusters == frozenset()
    private.end_session(str(tmp_path))
    monkeypatch.setattr(address, "running", private.running)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="finds no Ray cluster on this machine"):
        address.find_cluster()


def test_without_the_display_of_tune_the_callback_is_a_plain_one(without):
    without("ray.tune.progress_reporter.TrialProgressCallback")
    assert private.progress_callback() is tune.Callback


def test_without_the_attributes_of_trials_a_sweep_goes_on():
    class Bare:
        config = {"key": "a"}

    trial = Bare()
    assert private.first_pending({"a": trial}) is None
    assert private.forget(trial, None) is None
    assert private.last_error(trial) is None
    private.kill(trial)


@pytest.fixture(scope="module")
def names_in_ray() -> bytes:
    """All of Ray that may read a variable: its Python files and its binaries."""
    binaries = [
        RAY / "_raylet.so",
        RAY / "core/src/ray/raylet/raylet",
        RAY / "core/src/ray/gcs/gcs_server",
    ]
    sources = [
        path
        for folder in ("_private", "_common", "tune", "train", "air")
        for path in (RAY / folder).rglob("*.py")
    ]
    return b"\n".join(
        path.read_bytes()
        for path in [*binaries, *sources, RAY / "runtime_env/__init__.py"]
        if path.exists()
    )


#: Variables that the lowest Ray does not know yet.
NEWER = {"RAY_ENABLE_GCS_LEADER_ELECTION"}

SET = sorted(private.ALWAYS | private.ON_ONE_MACHINE | private.FOR_A_CLUSTER)


@pytest.mark.parametrize("name", [*SET, *private.OF_A_CLUSTER])
def test_ray_reads_the_variables_that_are_set_for_it(names_in_ray, name):
    if name in NEWER and Version(version("ray")) < Version("2.60"):
        pytest.skip("this Ray does not know it")
    prefix, _, rest = name.partition("_")
    flag = (
        rest.encode() if prefix == "RAY" and rest[0].islower() else name.encode()
    )  # Ray's settings are read by their bare name
    assert flag in names_in_ray
