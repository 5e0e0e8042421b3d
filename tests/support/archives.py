"""A small archive of trials that were really run, and ways to tamper with a copy of it."""

import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.cli.recorded import run_recorded
from bench.common.files import to_json
from bench.common.identity import trial_id
from bench.datasets import load_dataset
from bench.planning.spec import Plan, expand_hparams
from bench.records.verdict import Verdict, read_verdict
from bench.report.writer import write_report
from bench.sweep.provenance import describe

METHODS = ["ce", "gce", "elr"]
RATES = [0.0, 0.5]
SEEDS = [0, 1]
EPOCHS = 4


def write_archive(
    sweep: Path,
    methods: Sequence[str] = METHODS,
    rates: Sequence[float] = RATES,
    seeds: Sequence[int] = SEEDS,
) -> Path:
    """Run methods on 300 digits; write records and tables."""
    data = load_dataset("digits", subset=300)
    plan = Plan(subset=300, overrides=(("epochs", EPOCHS),))
    specs = plan.specs(data, expand_hparams(methods, {}, {}), rates, seeds)
    for spec in specs:
        run_recorded(spec, data, sweep)
    (sweep / "sweep.json").write_bytes(to_json(describe(specs, ["bench.run"], sweep, {})))
    write_report([sweep], sweep, plots=False)
    return sweep


class Tampering:
    """Copy of an archive, one of whose trials is changed."""

    def __init__(self, sweep: Path, folder: Path) -> None:
        self.sweep = folder
        shutil.copytree(sweep, folder)

    def trial(self, method: str, rate: float = 0.5, seed: int = 0) -> Path:
        """Return the folder of a trial."""
        for folder in sorted((self.sweep / "trials").iterdir()):
            spec = json.loads((folder / "spec.json").read_text())["spec"]
            if (spec["method"], spec["noise_rate"], spec["train_seed"]) == (method, rate, seed):
                return folder
        raise LookupError(method)

    def change(self, folder: Path, file: str, change: Callable[[Any], Any]) -> None:
        """Change the value of a JSON file, or the lines of epochs.jsonl, in place."""
        path = folder / file
        if file == "epochs.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            lines = change(lines) or lines
            path.write_bytes(b"".join(map(to_json, lines)))
            return
        value = json.loads(path.read_text())
        path.write_bytes(to_json(change(value) or value, indent=1))

    def respecify(self, folder: Path, **fields: Any) -> Path:
        """Change fields of a specification, and give the folder the new trial's id."""

        def change(file: dict[str, Any]) -> None:
            file["spec"].update(fields)

        self.change(folder, "spec.json", change)
        spec = json.loads((folder / "spec.json").read_text())["spec"]
        renamed = folder.with_name(trial_id(spec))
        if renamed.exists():
            shutil.rmtree(renamed)
        return folder.rename(renamed)

    def remove_tables(self) -> None:
        """Remove the tables, which would show the change as well."""
        for path in [*self.sweep.glob("*.csv"), self.sweep / "leaderboard.md"]:
            path.unlink(missing_ok=True)

    def pack(self) -> Path:
        """Return an archive of the sweep."""
        path = self.sweep / "records.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in ("sweep.json", "trials"):
                archive.add(self.sweep / name, name)
        return path


def verdict_of(sweep: Path) -> Verdict:
    """Return the verdict that a command has written."""
    verdict = read_verdict(sweep)
    assert verdict is not None
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    return verdict
