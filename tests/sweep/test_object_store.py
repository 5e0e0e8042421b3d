"""Size of Ray's object store."""

from dataclasses import replace

import numpy as np
import pytest

from bench.planning.pretraining import PretrainJob, pretrain_job
from bench.planning.spec import Plan, expand_hparams
from bench.recipe import SimSiam
from bench.sweep.object_store import (
    LARGEST_ON_DISK,
    LARGEST_ON_MACOS,
    MINIMUM,
    SLACK,
    content_bytes,
    machine_memory,
    shared_memory,
    store_bytes,
)
from bench.training.encoders import load_encoder, save_encoder
from bench.training.pretrain import run_pretraining

GB = 1 << 30


def test_all_arrays_of_a_data_set_count(tiny_dataset):
    images = (60 + 20) * 64
    labels = (60 + 20) * 8
    assert content_bytes(tiny_dataset) == images + labels
    names = np.array([f"{number}.png" for number in range(60)])
    full = replace(
        tiny_dataset,
        donors=tiny_dataset.train_images[:50],
        extra_tests={"more": (tiny_dataset.test_images[:10], tiny_dataset.test_labels[:10])},
        found={"found": tiny_dataset.train_labels},
        train_names=names,
    )
    assert (
        content_bytes(full) == images + labels + 50 * 64 + 10 * 64 + 10 * 8 + 60 * 8 + names.nbytes
    )


def test_encoders_count_as_much_as_they_are(tiny_dataset):
    plan = Plan(overrides=(("epochs", 1),))
    [spec] = plan.specs(
        tiny_dataset, expand_hparams(["rmd"], {}, {"rmd.pretrain_epochs": ["0"]}), [0.5], [0]
    )
    job = pretrain_job(spec)
    assert isinstance(job, PretrainJob) and isinstance(job.settings, SimSiam)
    blob = save_encoder(run_pretraining(job, tiny_dataset))
    weights = sum(array.nbytes for array in load_encoder(blob).weights.values())
    assert content_bytes(tiny_dataset, [job, job]) - content_bytes(tiny_dataset) == 2 * weights
    large = replace(job, backbone="resnet18")
    assert content_bytes(tiny_dataset, [large]) > 40_000_000


@pytest.mark.parametrize(
    ("content", "memory", "shared", "platform", "expected"),
    [
        (0, 16 * GB, 8 * GB, "linux", SLACK),
        (GB, 16 * GB, 8 * GB, "linux", 2 * GB + SLACK),
        (6 * GB, 16 * GB, 8 * GB, "linux", 8 * GB),  # once, in memory
        (12 * GB, 16 * GB, 15 * GB, "linux", int(0.8 * 16 * GB)),  # within the machine
        (GB, 16 * GB, 64 << 20, "linux", 2 * GB + SLACK),  # a container's default: on the disk
        (20 * GB, 64 * GB, 64 << 20, "linux", LARGEST_ON_DISK),
        (20 * GB, 32 * GB, 16 * GB, "linux", 16 * GB),
        (3 * GB, 16 * GB, None, "darwin", LARGEST_ON_MACOS),
        (GB, 80 << 20, None, "linux", MINIMUM),
    ],
)
def test_the_store_has_room_and_stays_within_the_machine(
    content, memory, shared, platform, expected
):
    assert store_bytes(content, memory, shared, platform) == expected


def test_the_machine_is_known():
    assert 100 << 20 < machine_memory() < 1 << 50
    assert shared_memory() is None or shared_memory() >= 0
