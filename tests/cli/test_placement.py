"""What `--dry-run --address` says about a cluster."""

import os
import re

import pytest
from commands import call

from bench.cli import estimate, placement
from bench.sweep.cluster import Node, Survey
from bench.sweep.work import ClusterUse

SMALL = ["--methods", "elr,rmd", "--noise", "0.2,0.5", "--seeds", "1", "--subset", "200"]
SMALL += ["--epochs", "1", "--dry-run", "--address"]
CLUSTER = [*SMALL, "10.0.0.1:6379"]


@pytest.fixture
def cluster(monkeypatch):
    """Function that answers the next dry run with a cluster of these nodes."""

    def of(*nodes: Node) -> None:
        use = ClusterUse(len(nodes), 3, 200, 1, 16)
        survey = Survey("10.0.0.1:6379", nodes, use)
        monkeypatch.setattr(estimate, "look_at", lambda address: survey)

    return of


def gpu_node(host: str) -> Node:
    return Node(host, {"CPU": 64, "GPU": 8, "accelerator_type:H100": 1, "memory": 1e12})


def test_nodes_are_listed_with_the_trials_that_fit(cluster, capsys, tmp_path):
    cluster(Node("head", {"CPU": 0, "memory": 1e9}), gpu_node("a"), gpu_node("b"))
    options = ["--device", "cuda", "--gpus-per-trial", "0.25", "--out", str(tmp_path / "new")]
    status, out, _ = call(capsys, *CLUSTER, *options)
    assert status == 0
    assert "cluster 10.0.0.1:6379: 3 nodes · 3 of 200 CPUs and 1 of 16 GPUs in use\n" in out
    assert "  1 node with 0 CPUs (head): 0 trials at a time\n" in out
    assert (
        "  2 nodes with 64 CPUs and 8 GPUs of type H100 (a, b): 32 trials at a time on each\n"
        in out
    )
    assert (
        "6 trials and 1 pretraining to run, in 1 wave of 7, with 1 CPU and 0.25 GPU each, "
        "wherever they are free\n" in out
    )
    assert "no estimate of the time" in out or "at the speed of this machine, 7 at a time" in out
    assert not (tmp_path / "new").exists()


def test_waves_are_counted(cluster, capsys, tmp_path):
    cluster(Node("a", {"CPU": 2}), Node("b", {"CPU": 1}))
    status, out, _ = call(capsys, *CLUSTER, "--device", "cpu", "--out", str(tmp_path / "new"))
    assert status == 0
    assert "  1 node with 1 CPU (b): 1 trial at a time\n" in out
    assert "in 3 waves of 3, with 1 CPU each" in out  # 7 pieces of work
    assert "at the speed of this machine, 3 at a time" in out


def test_a_search_by_seconds_fills_the_cluster(cluster, capsys, tmp_path):
    cluster(Node("a", {"CPU": 64}), Node("b", {"CPU": 64}))
    arguments = ["--tune-seconds", "600", "--device", "cpu", "--out", str(tmp_path / "new")]
    status, out, _ = call(capsys, "--methods", "elr", *CLUSTER[2:], *arguments)
    assert status == 0
    # The two noise rates of cross-entropy and ELR, and of ELR's search and pick.
    assert "at least 8 trials to run, up to 128 at a time, with 1 CPU each" in out
    assert re.search(r"estimate: at least .* at the speed of this machine, 8 at a time", out)


def test_nothing_runs_where_all_is_on_record(cluster, capsys, tmp_path, monkeypatch):
    cluster(Node("a", {"CPU": 2}))
    monkeypatch.setattr(estimate, "pending", lambda specs, folder, retry_failed: [])
    status, out, _ = call(capsys, *CLUSTER, "--device", "cpu", "--out", str(tmp_path / "new"))
    assert status == 0
    assert out.endswith("nothing to run: every trial is on record\n")


def test_trials_that_fit_nowhere_are_refused(cluster, capsys, tmp_path):
    cluster(Node("a", {"CPU": 2}))
    options = ["--device", "cpu", "--cpus-per-trial", "4", "--out", str(tmp_path / "new")]
    status, _, errors = call(capsys, *CLUSTER, *options)
    assert status == 2 and "no trial fits on any machine: lower --cpus-per-trial" in errors


def test_many_hosts_are_not_all_named(cluster, capsys, tmp_path):
    cluster(*(Node(f"n{number}", {"CPU": 1}) for number in range(125)))
    _, out, _ = call(capsys, *CLUSTER, "--device", "cpu", "--out", str(tmp_path / "new"))
    assert "  125 nodes with 1 CPU (n0, n1, n2, n3, ...): 1 trial at a time on each\n" in out


def test_an_address_without_a_cluster_is_an_error_of_the_user(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(placement, "prepare_environment", lambda address: None)
    out = str(tmp_path / "new")
    status, shown, errors = call(capsys, *SMALL, "127.0.0.1:9", "--out", out)
    assert status == 2 and not shown
    assert "cannot reach a Ray cluster at '127.0.0.1:9'" in errors and "check --address" in errors
