"""Provenance of a sweep's records: its commands, versions and machine, in sweep.json."""

import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.common.version import __version__, git_commit
from bench.networks.machine import machine
from bench.planning.spec import TrialSpec
from bench.records.schema import SCHEMA

PACKAGES = ("ray", "torch", "torchvision", "numpy", "scikit-learn", "pandas", "scipy")


def describe(
    specs: Sequence[TrialSpec], command: Sequence[str], out: Path, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of sweep.json as a run begins, with the history of earlier runs.

    Args:
        options: of this run, by name, as ``--config`` reads them back.
    """
    path = out / "sweep.json"
    try:
        earlier = json.loads(path.read_bytes()) if path.exists() else {}
        lists = [earlier.get(name, []) for name in ("trials", "runs")]
        if not all(isinstance(values, list) for values in lists):
            raise ValueError
    except (ValueError, AttributeError):
        warnings.warn(f"{path} is damaged; its history of runs is lost", stacklevel=2)
        earlier = {}
    return {
        **earlier,
        "schema": SCHEMA,
        "command": list(command),
        "options": {**options},
        "versions": {"lnl-bench": __version__, "python": platform.python_version()}
        | {name: number for name in PACKAGES if (number := _version(name))},
        "git_commit": git_commit(),
        "machine": machine(),
        "trials": sorted({*earlier.get("trials", []), *(spec.id for spec in specs)}),
        "runs": [
            *earlier.get("runs", []),
            {
                "command": list(command),
                "options": {**options},
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        ],
    }


def _version(package: str) -> str | None:
    """Return the version of a package; None where a machine lacks it, as it may Ray."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
