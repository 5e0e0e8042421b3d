"""Golden records: what every method's short trial on digits gave when this file was last written.

python tests/support/golden_records.py

writes ``golden_records.json`` anew. Do that only where a change is meant to move records, and say
so in its commit.
"""

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
import torch

from bench.datasets import Dataset, load_dataset
from bench.planning.pretraining import pretrain_job
from bench.planning.registry import method_names
from bench.planning.spec import Plan, expand_hparams
from bench.records.schema import Epoch
from bench.training.pretrain import run_pretraining
from bench.training.trial import run_trial

FILE = Path(__file__).parent / "golden_records.json"
SUBSET, EPOCHS, NOISE = 200, 3, 0.4

#: Of an epoch's record, what tells one computation from another.
FIGURES = (
    "train_loss",
    "noisy_val_accuracy",
    "test_accuracy",
    "calibration_error",
    "samples_trained",
    "samples_inferred",
)

#: A pretrained encoder that is good enough to tell whether the rest still computes the same.
SHORT = {"rmd.pretrain_epochs": ["2"]}


def machine() -> dict[str, str]:
    """What rounding depends on: the processor and the libraries that compute."""
    try:
        cpu = next(
            line
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        cpu = platform.processor()
    versions = {library.__name__: library.__version__ for library in (torch, np, scipy, sklearn)}
    kernels = torch.backends.cpu.get_cpu_capability()
    return {
        "cpu": cpu.partition(":")[2].strip() or cpu,
        "kernels": kernels,
        "system": platform.system(),
        **versions,
    }


def record(name: str, data: Dataset) -> dict[str, Any]:
    """Figures of every epoch, and a hash of them and of the final predictions."""
    plan = Plan(subset=SUBSET, overrides=(("epochs", EPOCHS), ("batch_size", 32)))
    settings = {
        key: value for key, value in SHORT.items() if key.partition(".")[0] in name.split("+")
    }
    [spec] = plan.specs(data, expand_hparams([name], {}, settings), [NOISE], [0])
    job = pretrain_job(spec)
    encoder = run_pretraining(job, data) if job else None
    epochs: list[dict[str, Any]] = []
    outcome = run_trial(
        spec, data, encoder=encoder, report=lambda new, _: epochs.extend(map(Epoch.to_json, new))
    )
    assert outcome.status == "finished", outcome
    samples = [outcome.samples[key] for key in ("test_probabilities", "validation_probabilities")]
    figures = [{key: epoch.get(key) for key in FIGURES} for epoch in epochs]
    content = json.dumps(figures, sort_keys=True).encode() + b"".join(
        array.tobytes() for array in samples
    )
    return {"epochs": figures, "bits": hashlib.sha256(content).hexdigest()[:16]}


def load() -> Dataset:
    """The data of every golden trial."""
    return load_dataset("digits", subset=SUBSET)


def main() -> None:
    torch.set_num_threads(1)
    data = load()
    names = [name for name in method_names() if not name.startswith("_")]
    records = {name: record(name, data) for name in names}
    FILE.write_text(json.dumps({"machine": machine(), "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
