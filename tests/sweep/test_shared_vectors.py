"""Memory of trials that train at the same time: they share one copy of the vectors."""

import json
import os
import subprocess
import sys

import pytest
from sweeps import ROOT

#: Program that runs two trials at once, on features of as many images as its argument says. It
#: prints the bytes of the training features, and for each worker, at the moment when both had read
#: most of them: resident and proportional bytes (RSS, PSS) of Ray's object store, and the bytes
#: that no other process has (USS).
PROGRAM = """
import json, sys, threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from bench.datasets import Dataset
from bench.datasets.features import Features, statistics_of
from bench.networks.pretrained import Pretrained, PretrainedNetwork
from bench.planning.spec import Plan, expand_hparams
from bench.sweep.run import run_sweep

images, out = int(sys.argv[1]), Path(sys.argv[2])
rng = np.random.default_rng(0)
labels = np.arange(images) % 10
pixels = rng.integers(0, 256, (images, 3, 4, 4), dtype=np.uint8)
train = rng.random((images, 1, 2048), dtype=np.float32).astype(np.float16)
identity = ("timm:none", "0" * 64, "none", 32, (0.5,) * 3, (0.5,) * 3, "bilinear", True)
network = Pretrained(PretrainedNetwork(*identity), {}, 2048, "MIT")
dataset = Dataset("noise", pixels, labels, pixels[:100], labels[:100], tuple("abcdefghij"))
statistics = statistics_of(train[:100, 0])
tests = {"test": train[:100, 0]}
features = Features(train, tests, None, 0.0, "", statistics, "MIT")
dataset = replace(dataset, features=features)
plan = Plan(
    pretrained=network.network,
    head="linear",
    overrides=(("epochs", 400_000 // images),),  # as many steps, whatever the number of images
)
specs = plan.specs(dataset, expand_hparams(["ce"], {}, {}), [0.2], [0, 1])

over = threading.Event()
moments = []

def memory(worker):
    store = [part for part in worker.memory_maps() if "plasma" in part.path]
    alone = worker.memory_full_info().uss
    return sum(part.rss for part in store), sum(part.pss for part in store), alone

def watch():
    while not over.wait(0.2):
        workers = [
            process
            for process in psutil.Process().children(recursive=True)
            if "ImplicitFunc" in process.name()
        ]
        try:
            moments.append([memory(worker) for worker in workers])
        except psutil.Error:  # one has ended meanwhile
            continue

out.mkdir()
threading.Thread(target=watch, daemon=True).start()
result = run_sweep(specs, dataset, out, command=[], network=network)
over.set()
assert set(result.statuses.values()) == {"finished"}, result
both = max((pair for pair in moments if len(pair) == 2), key=lambda pair: min(pair)[0])
print(json.dumps([train.nbytes, both]))
"""


def measured(out, images: int) -> tuple[int, list[list[int]]]:
    """Return the bytes of the training features, and the program's three numbers by worker."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(images), str(out)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,  # on a busy machine
    )
    assert done.returncode == 0, done.stderr
    size, workers = json.loads(done.stdout.splitlines()[-1])
    return size, workers


@pytest.mark.slow
def test_two_trials_share_one_copy_of_the_vectors(tmp_path):
    """With 164 MB of features, each trial sees them all, and has none of them for itself."""
    _, few = measured(tmp_path / "few", 4_000)
    size, many = measured(tmp_path / "many", 40_000)
    assert all(resident >= size for resident, _, _ in many)
    assert sum(proportional for _, proportional, _ in many) < 1.1 * size
    grown = sum(alone for _, _, alone in many) - sum(alone for _, _, alone in few)
    assert grown < size / 2, "a copy for each trial would be twice the size"
