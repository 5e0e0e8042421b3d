"""A sweep on two nodes that share neither cache nor environment: all its parts run on both."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from image_sets import own_set
from sweeps import ROOT, contents

#: Program that runs a sweep of trials on features, and one with pretraining, on this machine or on
#: a cluster of two nodes. There, each piece of work notes its node, and waits at first until the
#: other node has one of its kind.
PROGRAM = """
import os, sys, time
from pathlib import Path

import torch

from bench.datasets import load_dataset
from bench.embedding import embed
from bench.networks.pretrained import Pretrained, PretrainedNetwork, build_body
from bench.planning.spec import Plan, expand_hparams
from bench.sweep.environment import prepare_environment
from bench.sweep.run import run_sweep
from bench.sweep.work import Resources, Settings

NAMES = "one", "two"
folder, out, nodes = map(Path, sys.argv[1:])
torch.manual_seed(0)
name = "torchvision:resnet18"
body, width = build_body(name, 3, 32)
network = PretrainedNetwork(name, "0", "none", 32, (0.5,) * 3, (0.5,) * 3, "bilinear", True, 1)
state = {key: value.numpy() for key, value in body.state_dict().items()}
pretrained = Pretrained(network, state, width, "")
dataset = load_dataset(f"folder:{folder}")



def sweeps(features, settings):
    plan = Plan(pretrained=network, head="linear", noise_kind="found", overrides=(("epochs", 3),))
    specs = plan.specs(dataset, expand_hparams(["ce", "elr"], {}, {}), [None], [0, 1])
    run_sweep(specs, features, out / "features", settings=settings, network=pretrained)
    plan = Plan(noise_kind="found", overrides=(("backbone", "tiny_cnn"), ("epochs", 3)))
    hparams = expand_hparams(["rmd"], {}, {"rmd.pretrain_epochs": ["2"]})
    specs = plan.specs(dataset, hparams, [None], [0, 1])
    run_sweep(specs, dataset, out / "images", settings=settings)


for name in ("features", "images"):
    (out / name).mkdir(parents=True)
if not nodes.name:
    sweeps(embed(dataset, pretrained, device="cpu", threads=1), Settings())
    sys.exit()

prepare_environment("a cluster")
from ray.cluster_utils import Cluster

from bench.sweep import embedding, tuner


def node(name):
    (nodes / name).mkdir()
    env = {"LNL_BENCH_CACHE": str(nodes / name), "HOME": str(nodes / name), "NODE": name}
    return {"num_cpus": 1, "object_store_memory": 200 << 20, "env_vars": env}


def note(kind):
    (nodes / f"{os.environ['NODE']} {kind} {time.monotonic_ns()}").touch()
    end = time.monotonic() + 120
    while not all(any(nodes.glob(f"{name} {kind} *")) for name in NAMES):
        assert time.monotonic() < end
        time.sleep(0.05)


def noted_embed(*arguments):
    from bench.sweep.embedding import _embed

    note("embedding")
    return _embed(*arguments)


def noted_train(config, dataset, duties, start=None):
    import ray

    from bench.sweep.worker import train

    note("pretraining" if ray.get(config["work"])[1] else "trial")
    train(config, dataset, duties, start)


nodes.mkdir()
embedding._embed, tuner.train, embedding.TASK_IMAGES = noted_embed, noted_train, 32
head = {**node(NAMES[0]), "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
cluster.add_node(**node(NAMES[1]))
sweeps(dataset, Settings(Resources(address=cluster.address)))
cluster.shutdown()
"""


def run(images: Path, out: Path, nodes: Path | str, cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(images), str(out), str(nodes)],
        cwd=ROOT,
        env={
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "LNL_BENCH_CACHE": str(cache),
        },
        capture_output=True,
        text=True,
        timeout=600,  # on a busy machine
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_embedding_pretraining_and_trials_run_on_both_nodes_and_give_the_records_of_one(tmp_path):
    images = own_set(tmp_path / "images", each=100)
    alone, apart, nodes = tmp_path / "alone", tmp_path / "apart", tmp_path / "nodes"
    run(images, alone, "", tmp_path / "cache alone")
    run(images, apart, nodes, tmp_path / "cache apart")
    work = Counter(path.name.rpartition(" ")[0] for path in nodes.iterdir() if path.is_file())
    # 160 training images in two views, and 40 test images, 32 a task
    kinds = {"embedding": 12, "pretraining": 2, "trial": 6}
    assert set(work) == {f"{node} {kind}" for node in ("one", "two") for kind in kinds}
    assert {kind: work[f"one {kind}"] + work[f"two {kind}"] for kind in kinds} == kinds
    for name in ("features", "images"):
        assert contents(apart / name) == contents(alone / name)
    # Vectors and images are in the cache of the driver alone.
    assert list((tmp_path / "cache apart").glob("embeddings-*/vectors"))
    assert not [path for node in ("one", "two") for path in (nodes / node).glob("*embeddings*")]
