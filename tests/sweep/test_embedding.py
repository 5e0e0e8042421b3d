"""Embedding on the workers of a cluster."""

import os
import subprocess
import sys

import pytest
from image_sets import own_set
from sweeps import ROOT

#: Program that embeds a folder on a cluster of three nodes, one of which it removes meanwhile, and
#: then on this machine. It prints both checksums, and the error for a file that is gone.
PROGRAM = """
import os, sys
from pathlib import Path

from bench.sweep.environment import prepare_environment

prepare_environment("a cluster")
import ray
import torch
from ray.cluster_utils import Cluster

from bench.common import progress
from bench.datasets import load_dataset
from bench.embedding import embed
from bench.errors import InputError
from bench.networks.pretrained import Pretrained, PretrainedNetwork, build_body
from bench.sweep import embedding
from bench.sweep.work import Resources

torch.manual_seed(0)
name = "torchvision:resnet18"
body, width = build_body(name, 3, 32)
network = PretrainedNetwork(name, "0", "none", 32, (0.5,) * 3, (0.5,) * 3, "bilinear", True, 1)
state = {key: value.numpy() for key, value in body.state_dict().items()}
pretrained = Pretrained(network, state, width, "")
dataset = load_dataset(f"folder:{sys.argv[1]}")

size = {"num_cpus": 1, "object_store_memory": 200 << 20}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
nodes = [cluster.add_node(**size), cluster.add_node(**size)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="critical")
# The driver is connected to one of the three, and needs that one.
connected = ray.get_runtime_context().get_node_id()
lost = next(node for node in nodes if node.node_id != connected)
embedding.TASK_IMAGES = 32
batches = 0

def losing_a_node(items, description):
    global batches
    for item in items:
        batches += 1
        if batches == 4:
            cluster.remove_node(lost, allow_graceful=False)
        yield item

def checksum(cache, **settings):
    os.environ["LNL_BENCH_CACHE"] = cache
    return embed(dataset, pretrained, device="cpu", threads=1, **settings).features.checksum

compute = embedding.on_cluster(Resources(), "cpu")
progress.show(losing_a_node, print)
print(checksum(sys.argv[2], compute=compute), batches)
progress.show(lambda items, description: items, print)
print(checksum(sys.argv[3]))
(Path(sys.argv[1]) / str(dataset.train_names[0])).unlink()
try:
    checksum(sys.argv[4], compute=compute)
except InputError as error:
    print(error)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_embeds_what_one_machine_does(tmp_path):
    folder = own_set(tmp_path / "set", each=200)
    caches = [str(tmp_path / name) for name in ("apart", "alone", "gone")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *caches],
        cwd=ROOT,
        env={
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "LNL_BENCH_CACHE": str(tmp_path / "images"),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    apart, alone, error = done.stdout.splitlines()
    assert apart == f"{alone} 23", "320 training images, a view of each, and 80 test images"
    assert "cannot be read on every machine of the cluster (No such file or directory)" in error
