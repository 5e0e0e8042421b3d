"""The files of bench/cluster, held to what reads them; and a sweep on two nodes."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import click
import pytest
import yaml
from sweeps import ROOT, command, contents, sweep

from bench.cli.plan import resolve_device
from bench.cli.run import run
from bench.errors import InputError
from bench.sweep.address import connect, unreachable
from bench.sweep.cluster import parallel_trials
from bench.sweep.work import Resources

FILES = ROOT / "bench" / "cluster"
RAY = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]


def load(name: str) -> list[dict]:
    return list(yaml.safe_load_all((FILES / name).read_text()))


@pytest.mark.parametrize("name", ["aws.yaml", "on-prem.yaml"])
def test_ray_up_accepts_the_file(name):
    import jsonschema
    import ray
    from ray.autoscaler._private.util import prepare_config, validate_config

    [config] = load(name)
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    validate_config(prepare_config(config))  # what ray up itself does before it touches a machine
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "max_worker": 2}, schema)
    assert "RAY_AUTH_MODE=token" in (FILES / name).read_text()
    assert any(path.endswith(".ray/auth_token") for path in config["file_mounts"])


# Fields of RayJob v1 that the file uses, as in ray-operator/config/crd/bases/ray.io_rayjobs.yaml of
# ray-project/kuberay, tag v1.7.0; those of a pod are Kubernetes' own. Only fields that v1.6.0 has
# too. Values: the type, or the fields below.
CONTAINER = {
    "name": str,
    "image": str,
    "envFrom": list,
    "ports": list,
    "resources": dict,
    "volumeMounts": list,
}
POD = {"spec": {"securityContext": dict, "containers": [CONTAINER], "volumes": list}}
RAYJOB = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str},
    "spec": {
        "entrypoint": str,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "backoffLimit": int,
        "rayClusterSpec": {
            "rayVersion": str,
            "authOptions": {"mode": str},
            "headGroupSpec": {"rayStartParams": dict, "template": POD},
            "workerGroupSpecs": [
                {
                    "groupName": str,
                    "replicas": int,
                    "minReplicas": int,
                    "maxReplicas": int,
                    "rayStartParams": dict,
                    "template": POD,
                }
            ],
        },
    },
}


def check(value, shape, where="") -> None:
    if isinstance(shape, type):
        assert type(value) is shape, f"{where} is no {shape.__name__}"
    elif isinstance(shape, list):
        for position, item in enumerate(value):
            check(item, shape[0], f"{where}[{position}]")
    else:
        for key, item in value.items():
            assert key in shape, f"{where}.{key} is no field"
            check(item, shape[key], f"{where}.{key}")


def test_the_rayjob_has_the_fields_of_kuberay_and_asks_for_a_token():
    claim, job = load("rayjob.yaml")
    check(job, RAYJOB)
    with pytest.raises(AssertionError, match="authOption is no field"):
        check({"spec": {"rayClusterSpec": {"authOption": {}}}}, RAYJOB)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"} and cluster["rayVersion"] == RAY
    assert all(
        type(value) is str for value in cluster["headGroupSpec"]["rayStartParams"].values()
    ), "KubeRay takes strings"
    assert job["spec"]["backoffLimit"] == 0, (
        "a trial without a result is no reason to run all of it on another cluster"
    )
    head = cluster["headGroupSpec"]["template"]["spec"]
    [worker] = cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    assert head["containers"][0]["image"] == worker["image"]
    assert head["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    [mount] = head["containers"][0]["volumeMounts"]
    assert f"--out {mount['mountPath']}/" in job["spec"]["entrypoint"], (
        "the records outlive the pod"
    )
    assert "volumeMounts" not in worker and "--storage s3://" in job["spec"]["entrypoint"], (
        "nor do checkpoints die with it"
    )
    assert head["containers"][0]["envFrom"] == worker["envFrom"], "both write to the bucket"


def commands() -> list[str]:
    text = "\n".join((FILES / name).read_text() for name in ("slurm.sh", "README.md"))
    text = re.sub(r"\\?\n {4,}|\n   (?=methods|--methods|rmd)", " ", text)
    found = re.findall(r"python -m bench\.run (--address auto [^'&\n]*)", text)
    return [
        *found,
        load("rayjob.yaml")[1]["spec"]["entrypoint"].removeprefix("python -m bench.run "),
    ]


def test_the_commands_in_the_files_are_understood():
    assert len(commands()) == 4
    for text in commands():
        parsed = run.make_context("run", shlex.split(text)).params
        assert (
            parsed["address"] == "auto"
            and parsed["methods"] == ["rmd", "softmix"]
            and parsed["out"]
        ), text
    assert resolve_device("cuda", "auto", "auto") == ("cuda", "bf16"), "the head may have no GPU"
    with pytest.raises(click.NoSuchOption):
        run.make_context("run", ["--adress", "auto"])


def test_a_trial_takes_its_part_of_a_gpu_from_one():
    node = {"CPU": 64, "GPU": 2}
    slots = {
        share: parallel_trials(Resources(1, share), [node], 99)
        for share in (0.1, 0.25, 0.4, 0.6, 1, 2)
    }
    assert slots == {0.1: 20, 0.25: 8, 0.4: 4, 0.6: 2, 1: 2, 2: 1}


def test_a_trial_is_on_one_machine():
    small, head, unlike = {"CPU": 3}, {"CPU": 0}, [{"CPU": 8}, {"CPU": 2, "GPU": 4}]
    assert parallel_trials(Resources(1), [head, small, small], 99) == 6
    assert parallel_trials(Resources(2), [head, small, small], 99) == 2, "a CPU of each stays idle"
    limits = {limit: Resources(1, max_concurrent=limit) for limit in (1, 4, 99)}
    slots = {limit: parallel_trials(given, [small, small], 99) for limit, given in limits.items()}
    assert slots == {1: 1, 4: 4, 99: 6}
    with pytest.raises(InputError, match="no trial fits on any machine"):
        parallel_trials(Resources(4), [head, small, small], 99)
    assert parallel_trials(Resources(1, 1), unlike, 99) == 2, "the CPUs are beside the GPUs"
    with pytest.raises(InputError, match="a trial asks for a GPU, but Ray sees none"):
        parallel_trials(Resources(1, 0.5), [small], 99)


SLURM_TOOLS = {
    "srun": 'echo "srun $*" >> calls; stat -c %a "$RAY_AUTH_TOKEN_PATH" >> calls; '
    'wc -c < "$RAY_AUTH_TOKEN_PATH" >> calls\n'
    "touch running; while [ ! -e stop ]; do sleep 0.05; done",
    "scontrol": 'echo "scontrol $*" >> calls; if [ "$1" = show ]; then '
    'printf "node1\\nnode2\\n"; else touch stop; fi',
}


@pytest.mark.parametrize("late", [False, True])
def test_the_slurm_script_makes_a_private_token_and_goes_back_into_the_queue(tmp_path, late):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    for name, body in SLURM_TOOLS.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    env = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_ON_NODE": "16",
    }
    job = subprocess.Popen(["bash", FILES / "slurm.sh"], env=env, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not (tmp_path / "running").exists() and job.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if late:
        job.send_signal(signal.SIGUSR1)
    else:
        (tmp_path / "stop").touch()
    error = job.communicate(timeout=60)[1]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert error == ""
    assert (
        "--cpus-per-task=16 ray symmetric-run --address node1:6379 --min-nodes 2 --num-cpus=16 -- "
        "python -m bench.run" in calls[1]
    )
    assert calls[2:4] == ["600", "64"]
    assert ("scontrol requeue 7" in calls) == late
    assert not (tmp_path / ".lnl-bench-token-7").exists()
    assert late or job.returncode == 0


def test_the_files_are_part_of_the_package():
    from setuptools.dist import Distribution

    distribution = Distribution({"src_root": str(ROOT)})
    where = os.getcwd()
    os.chdir(ROOT)
    try:
        distribution.parse_config_files()
        builder = distribution.get_command_obj("build_py")
        builder.ensure_finalized()
        builder.manifest_files = {}
        packed = {Path(name).name for name in builder.find_data_files("bench", "bench")}
    finally:
        os.chdir(where)
    assert {path.name for path in FILES.iterdir()} - packed == set()


def test_a_cluster_of_another_version_is_named_in_one_sentence():
    from ray._private.utils import check_version_info

    with pytest.raises(RuntimeError) as caught:
        check_version_info({"ray_version": "2.51.0", "python_version": "3.10.1"}, "node 10.0.0.2")
    error = unreachable("10.0.0.1:6379", caught.value)
    assert isinstance(error, InputError) and "\n" not in str(error)
    for word in ("10.0.0.1:6379", "2.51.0", "3.10.1", version("ray"), "install the same"):
        assert word in str(error)


def test_an_address_of_ray_client_without_grpc_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(InputError, match=r'needs gRPC: pip install "ray\[client\]"'):
        connect("ray://127.0.0.1:10001", {})


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
    "2",
    "--device",
    "cpu",
]


@pytest.mark.slow
def test_two_nodes_with_a_token_give_the_records_of_one(tmp_path):
    """The cluster has a process of its own, since Ray reads RAY_AUTH_MODE once a process."""
    token = tmp_path / "token"
    token.write_text("a1" * 32)
    token.chmod(0o600)
    env = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    cluster = subprocess.Popen(
        [sys.executable, "-c", TWO_NODES],
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = cluster.stdout.readline().strip()
        assert re.fullmatch(r"[\d.]+:\d+", address), address
        alone, apart = tmp_path / "alone", tmp_path / "apart"
        plan = sweep(*SMALL, "--address", address, "--out", str(apart), "--dry-run", env=env)
        assert f"cluster {address}: 2 nodes · 0 of 2 CPUs in use\n" in plan
        assert re.search(r"2 nodes with 1 CPU \(\S+\): 1 trial at a time on each\n", plan), plan
        assert "6 trials and 1 pretraining to run, in 4 waves of 2, with 1 CPU each" in plan
        assert not apart.exists()
        sweep(*SMALL, "--out", str(alone))
        text = sweep(*SMALL, "--address", address, "--out", str(apart), env=env)
        assert "6 trials and 1 pretraining to run, 2 at a time" in text
        assert re.search(
            r"cluster: 2 nodes · [012] of 2 CPUs in use · \d trials? waiting\n", text
        ), text
        assert contents(apart) == contents(alone)
        assert json.loads((apart / "sweep.json").read_text())["parallel_trials"] == 2
        assert not (apart / "checkpoints").exists() and not (apart / ".ray-session").exists()
        refused = subprocess.run(
            command(*SMALL, "--address", address, "--out", str(tmp_path / "refused")),
            cwd=ROOT,
            env={**os.environ, **env, "RAY_AUTH_TOKEN": "b2" * 32},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
        assert "RAY_AUTH_TOKEN_PATH holds the cluster's token" in refused.stderr
    finally:
        cluster.communicate("\n", timeout=60)


TWO_NODES = """
from ray.cluster_utils import Cluster

size = {"num_cpus": 1, "object_store_memory": 200 << 20}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
cluster.add_node(**size)
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""
