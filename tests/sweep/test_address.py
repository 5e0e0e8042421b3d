"""Which Ray a sweep joins."""

import contextlib
import importlib
import os
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from bench.errors import InputError
from bench.sweep import address, private
from bench.sweep.environment import prepare_environment
from bench.sweep.private import Running

NONE: frozenset[str] = frozenset()


@pytest.fixture
def surroundings(monkeypatch) -> None:
    """Variables that are set in a test are not there after it."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture
def running(monkeypatch):
    """Have this machine run these Rays alone."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def these(clusters=NONE, sweeps=NONE, latest=None) -> None:
        monkeypatch.setattr(
            address, "running", lambda: Running(frozenset(clusters), frozenset(sweeps), latest)
        )

    these()
    return these


def test_auto_is_the_cluster_of_this_machine(running):
    running({"10.0.0.1:6379"})
    assert address.find_cluster() == "10.0.0.1:6379"


def test_auto_is_the_latest_of_several(running):
    running({"10.0.0.1:6379", "10.0.0.2:6379"}, latest="10.0.0.2:6379")
    assert address.find_cluster() == "10.0.0.2:6379"
    running({"10.0.0.1:6379", "10.0.0.2:6379"}, latest="10.0.0.9:6379")
    with pytest.raises(InputError, match=r"give one of 10\.0\.0\.1:6379, 10\.0\.0\.2:6379"):
        address.find_cluster()


@pytest.mark.parametrize("latest", [None, "127.0.0.1:1", "127.0.0.1:2"])
def test_auto_never_joins_another_sweep(running, latest):
    running(sweeps={"127.0.0.1:1"}, latest=latest)
    with pytest.raises(
        InputError, match="no Ray cluster on this machine but the private Ray of another sweep"
    ) as error:
        address.find_cluster()
    assert "\n" not in str(error.value)
    running({"10.0.0.1:6379"}, {"127.0.0.1:1"}, latest)
    assert address.find_cluster() == "10.0.0.1:6379"


@pytest.mark.parametrize("given", ["10.0.0.3:6379", "ray://head:10001"])
def test_auto_takes_the_address_in_the_environment(running, monkeypatch, given):
    monkeypatch.setenv("RAY_ADDRESS", given)
    running({"10.0.0.1:6379"})
    assert address.find_cluster() == given


def test_the_private_ray_of_another_sweep_is_refused_by_its_address(running):
    running(sweeps={"127.0.0.1:1"})
    with pytest.raises(InputError, match=r"'127\.0\.0\.1:1' is the private Ray of another sweep"):
        address.connect("127.0.0.1:1", {})


def test_processes_are_told_apart_by_their_command_lines(monkeypatch):
    def raylet(gcs: str, folder: str) -> SimpleNamespace:
        name = f"{folder}/session_2026-01-01/sockets/raylet"
        return SimpleNamespace(
            info={
                "cmdline": [
                    "/ray/raylet/raylet",
                    f"--raylet_socket_name={name}",
                    f"--gcs-address={gcs}",
                    "--head",
                ]
            }
        )

    processes = [
        raylet("10.0.0.1:6379", "/tmp/ray"),
        raylet("127.0.0.1:5", "/tmp/lnl-ray-abc"),
        raylet("127.0.0.1:6", "/var/tmp/lnl-ray-x_1"),
        SimpleNamespace(info={"cmdline": ["python", "--gcs-address=127.0.0.1:7"]}),
        SimpleNamespace(info={"cmdline": None}),
        SimpleNamespace(info={"cmdline": []}),
    ]
    services = importlib.import_module("ray._private.services")
    monkeypatch.setattr(services.psutil, "process_iter", lambda attributes: processes)
    found = private.running()
    assert found.clusters == {"10.0.0.1:6379"} and found.sweeps == {"127.0.0.1:5", "127.0.0.1:6"}


@contextlib.contextmanager
def server(answer: bytes | None):
    """A port at which something says ``answer``, or nothing at all, for longer than is waited."""
    released, outlasted = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                if answer is not None:
                    connection.recv(100)
                    connection.sendall(answer)
                    connection.close()
                else:
                    outlasted.append(not released.wait(60))
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        released.set()
        thread.join(5)
    assert not any(outlasted), "it was waited for"


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize(
    "answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"\x00"]
)
def test_what_is_no_ray_is_one_clear_sentence_and_not_waited_for(
    running, monkeypatch, scheme, answer
):
    monkeypatch.setattr(address, "CONNECT_SECONDS", 0.3)
    monkeypatch.setitem(__import__("sys").modules, "grpc", SimpleNamespace())
    with (
        server(answer) as place,
        pytest.raises(InputError, match="cannot reach a Ray cluster at") as error,
    ):
        address.connect(f"{scheme}{place}", {})
    assert "\n" not in str(error.value)


def test_a_server_that_speaks_its_protocol_is_let_through(running):
    with server(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as place:
        address._check_address(place)


def test_a_client_server_has_to_answer_a_call(monkeypatch):
    grpc = pytest.importorskip("grpc", reason='needs pip install "ray[client]"')
    monkeypatch.setattr(address, "CONNECT_SECONDS", 0.3)
    with (
        server(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as place,
        pytest.raises(InputError, match=r"\(no answer\): check --addr"),
    ):
        address._call(f"ray://{place}")
    monkeypatch.setattr(address, "CONNECT_SECONDS", 10)
    answering = grpc.server(ThreadPoolExecutor(1))
    port = answering.add_insecure_port("127.0.0.1:0")
    answering.start()
    address._call(f"ray://127.0.0.1:{port}")  # a refusal is an answer
    answering.stop(0)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "local",
        "host",
        "host:",
        ":6379",
        "http://host:8265",
        "host:x",
        "host:²",
        "ray://",
        "host:99999",
    ],
)
def test_what_is_no_address_is_one_clear_sentence(running, given):
    with pytest.raises(InputError, match=r"address|reach a Ray cluster") as error:
        address._check_address(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RAY_ADDRESS": "127.0.0.1:6379"}, "RAY_ADDRESS in the environment is ignored"),
        (
            {"RAY_ADDRESS": "auto", "RAY_NAMESPACE": "x"},
            "RAY_ADDRESS and RAY_NAMESPACE in the environment are ignored",
        ),
        (
            {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{"},
            "RAY_JOB_CONFIG_JSON_ENV_VAR in the environment is ignored",
        ),
    ],
)
def test_a_local_sweep_leaves_clusters_of_the_environment_alone(
    surroundings, monkeypatch, given, said
):
    for name in private.OF_A_CLUSTER:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.warns(UserWarning, match=said):
        prepare_environment()
    assert not given.keys() & os.environ.keys()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare_environment()  # said once


def test_a_sweep_on_a_cluster_keeps_them(surroundings, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    prepare_environment("auto")
    assert os.environ["RAY_ADDRESS"] == "127.0.0.1:6379"


@pytest.mark.slow
def test_a_server_of_something_else_ends_the_command_soon(tmp_path):
    """It speaks HTTP/2, as Ray does, and then says nothing more."""
    command = [
        sys.executable,
        "-m",
        "bench.run",
        "--methods",
        "ce",
        "--subset",
        "200",
        "--out",
        str(tmp_path / "out"),
    ]
    with server(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as place:
        done = subprocess.run(  # without a limit of ours it takes 800 seconds
            [*command, "--address", place], capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 2
    assert (
        f"Error: cannot use the Ray cluster at '{place}'" in done.stderr
        and "Traceback" not in done.stderr
    )
