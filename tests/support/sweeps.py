"""Sweeps as a user starts them, in a process of their own, and the records that they leave."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from fabricate import timeless

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench.run", *arguments]


def sweep(*arguments: str, status: int = 0, env: dict[str, str] | None = None) -> str:
    """Run the command to its end; return its output."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def contents(out: Path) -> dict[str, tuple]:
    """Return the records of a sweep by trial, without times, and without what resumed ones lack."""
    trials = {}
    for folder in sorted((out / "trials").iterdir()):
        with np.load(folder / "samples.npz") as archive:
            samples = {key: archive[key].tobytes() for key in archive.files}
        epochs = [
            timeless(json.loads(line))
            for line in (folder / "epochs.jsonl").read_text().splitlines()
        ]
        files = [
            timeless(json.loads((folder / name).read_text())) for name in ("spec.json", "done.json")
        ]
        files[1].pop("build", None)  # more than one machine may have computed a resumed trial
        trials[folder.name] = (files, epochs, samples)
    return trials


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ray_session(out: Path) -> Path:
    """Return the folder of the Ray session of a running sweep."""
    return Path(json.loads((out / ".ray-session").read_bytes())["folder"])


def checkpointed(out: Path) -> list[str]:
    # not the ones before
    return [path.stem for path in (out / "checkpoints").glob("*.pt") if "." not in path.stem]
