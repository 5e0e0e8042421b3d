"""Copies of the records in the formats of TensorBoard, MLflow and Weights & Biases, for
``--track``.

They are written by the driver, beside the records and after them, through the libraries' own
clients, into the sweep's folder and nowhere else; nothing goes over the network. The records stay
the truth: a trial that a tracker fails on is left out of it with a warning, once a tracker, and
what it lacks is made up from the records by the next command. A tracker that fails on several
trials in a row is switched off.
"""

import contextlib
import glob
import importlib
import json
import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from bench.common.text import printable
from bench.errors import InputError, one_line, unknown
from bench.planning.spec import TrialSpec
from bench.records.trials import finished_statuses, read_epochs


class Run(Protocol):
    """One trial in one tracker."""

    def epoch(self, step: int, figures: dict[str, float]) -> None: ...

    def end(self, succeeded: bool, facts: dict[str, Any]) -> None: ...


class Tracker(Protocol):
    """A place where trials are shown as runs."""

    def begin(self, spec: TrialSpec) -> Run:
        """A new run for the trial; an earlier one of the same trial is forgotten."""


class TensorBoard:
    """A folder a trial below ``tensorboard``, through tensorboardX, as Ray Tune writes them."""

    package = "tensorboardX"

    def __init__(self, out: Path) -> None:
        self.folder = out / "tensorboard"

    def begin(self, spec: TrialSpec) -> "_TensorBoardRun":
        folder = self.folder / f"{_file_name(spec.label, 100)}-{spec.id}"
        shutil.rmtree(folder, ignore_errors=True)
        return _TensorBoardRun(folder, spec)


class _TensorBoardRun:
    def __init__(self, folder: Path, spec: TrialSpec) -> None:
        from tensorboardX import SummaryWriter

        self.spec, self.last = spec, {}  # type: ignore[var-annotated]
        self.writer = SummaryWriter(str(folder), flush_secs=10)

    def epoch(self, step: int, figures: dict[str, float]) -> None:
        self.last = figures
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def end(self, succeeded: bool, facts: dict[str, Any]) -> None:
        from tensorboardX.summary import hparams

        # Its table of hyper-parameters.
        for part in hparams({**_settings(self.spec), "status": facts["status"]}, self.last):
            self.writer.file_writer.add_summary(part)
        self.writer.close()


class MLflow:
    """Runs of one experiment in ``mlflow/mlflow.db``, an SQLite file."""

    package = "mlflow"

    def __init__(self, out: Path) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when it is imported
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        folder = out / "mlflow"
        folder.mkdir(exist_ok=True)
        self.client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
        name = printable(out.name)
        found = self.client.get_experiment_by_name(name)
        artifacts = (folder / "artifacts").as_uri()
        self.experiment = (
            found.experiment_id if found else self.client.create_experiment(name, artifacts)
        )

    def begin(self, spec: TrialSpec) -> "_MLflowRun":
        for run in self.client.search_runs([self.experiment], f"tags.trial = '{spec.id}'"):
            self.client.delete_run(run.info.run_id)
        return _MLflowRun(self.client, self.experiment, spec)


class _MLflowRun:
    def __init__(self, client: Any, experiment: str, spec: TrialSpec) -> None:
        from mlflow.entities import Param

        self.client = client
        self.id = client.create_run(
            experiment, run_name=printable(spec.label), tags={"trial": spec.id}
        ).info.run_id
        client.log_batch(
            self.id, params=[Param(key, str(value)) for key, value in _settings(spec).items()]
        )

    def epoch(self, step: int, figures: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self.client.log_batch(
            self.id, [Metric(key, value, now, step) for key, value in figures.items()]
        )

    def end(self, succeeded: bool, facts: dict[str, Any]) -> None:
        self.client.set_tag(self.id, "status", facts["status"])
        if facts.get("error"):
            self.client.set_tag(self.id, "error", facts["error"][:500])
        self.client.set_terminated(self.id, "FINISHED" if succeeded else "FAILED")


class WandB:
    """Offline runs in ``wandb``; ``wandb sync`` sends them where the user wants them."""

    package = "wandb"

    def __init__(self, out: Path) -> None:
        self.out = out
        folder = out / "wandb"
        folder.mkdir(exist_ok=True)
        os.environ |= {
            "WANDB_MODE": "offline",
            "WANDB_ERROR_REPORTING": "false",  # it would send its own errors home
            "WANDB_CACHE_DIR": str(folder / "cache"),
            "WANDB_CONFIG_DIR": str(folder / "config"),
            "WANDB_DATA_DIR": str(folder / "data"),
        }
        importlib.import_module("wandb")

    def begin(self, spec: TrialSpec) -> "_WandBRun":
        for folder in (self.out / "wandb").glob(f"offline-run-*-{glob.escape(spec.id)}"):
            shutil.rmtree(folder)
        return _WandBRun(self.out, spec)


class _WandBRun:
    def __init__(self, out: Path, spec: TrialSpec) -> None:
        import wandb

        self.run = wandb.init(
            project=_file_name(out.name, 128),
            id=spec.id,
            name=printable(spec.label),
            group=printable(spec.noise),
            config=_settings(spec),
            dir=str(out),
            mode="offline",
            reinit="create_new",  # trials run side by side
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,  # of the driver, which does not train
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )

    def epoch(self, step: int, figures: dict[str, float]) -> None:
        self.run.log(figures, step=step)

    def end(self, succeeded: bool, facts: dict[str, Any]) -> None:
        self.run.summary["status"] = facts["status"]
        self.run.finish(exit_code=0 if succeeded else 1)


TRACKERS: dict[str, Any] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}


def check_trackers(names: Sequence[str]) -> None:
    """Raise InputError where a tracker is not known or its package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
        if find_spec(TRACKERS[name].package) is None:
            raise InputError(
                f"--track {name} needs a package that is not installed: pip install "
                f"'lnl-bench[{name}]'"
            )


#: A tracker that fails on so many trials in a row is switched off: each failure may take its
#: client's whole patience.
PATIENCE = 3


class Trackers:
    """The trackers of a sweep, told what has been written to its records."""

    def __init__(self, names: Sequence[str], out: Path) -> None:
        check_trackers(names)
        self.out = out.resolve()
        self.open: dict[str, Tracker] = {}
        self.runs: dict[tuple[str, str], Run] = {}
        self.left_out: set[tuple[str, str]] = set()  # trials that a tracker has failed on
        self._failures = dict.fromkeys(names, 0)  # in a row
        self._warned: set[str] = set()
        for name in names:
            try:
                self.open[name] = TRACKERS[name](self.out)
            except Exception as error:
                # whatever its client may raise: the sweep goes on without it
                self._warn(name, f"{name} is switched off", error)

    def catch_up(self) -> None:
        """Copy the trials that are over but not in a tracker: run before it was asked for, or while
        it failed.
        """
        if not self.open:
            return
        known = {name: self._logged(name) for name in self.open}
        for trial_id, status in sorted(finished_statuses(self.out).items()):
            for name in [name for name in self.open if known[name].get(trial_id) != status]:
                with self._may_fail(name, trial_id):
                    self._copy(name, self.out / "trials" / trial_id)

    def restart(self, spec: TrialSpec, epochs: Sequence[dict[str, Any]]) -> None:
        """The trial's record has been cut back to these epochs."""
        for name in list(self.open):
            self.left_out.discard((name, spec.id))  # it begins anew
            with self._may_fail(name, spec.id):
                self._restart(name, spec, epochs)

    def append(self, spec: TrialSpec, epochs: Sequence[dict[str, Any]]) -> None:
        """These epochs have been added to it."""
        for name in list(self.open):
            with self._may_fail(name, spec.id):
                self._append(name, spec, epochs)

    def finish(self, spec: TrialSpec, facts: dict[str, Any]) -> None:
        """It is over."""
        for name in list(self.open):
            with self._may_fail(name, spec.id):
                self._finish(name, spec, facts)

    def close(self) -> None:
        """End what was interrupted; the trial's next start makes a new run of it."""
        for (name, trial_id), run in list(self.runs.items()):
            with self._may_fail(name, trial_id):
                run.end(False, {"status": "interrupted"})
        self.runs.clear()
        self.open.clear()

    def _copy(self, name: str, folder: Path) -> None:
        """Copy the record of a trial that is over."""
        spec = TrialSpec.from_json(json.loads((folder / "spec.json").read_bytes())["spec"])
        self._restart(name, spec, read_epochs(folder / "epochs.jsonl"))
        self._finish(name, spec, json.loads((folder / "done.json").read_bytes()))

    def _restart(self, name: str, spec: TrialSpec, epochs: Iterable[dict[str, Any]]) -> None:
        if earlier := self.runs.pop((name, spec.id), None):
            earlier.end(False, {"status": "interrupted"})
        self.runs[name, spec.id] = self.open[name].begin(spec)
        self._append(name, spec, epochs)

    def _append(self, name: str, spec: TrialSpec, epochs: Iterable[dict[str, Any]]) -> None:
        if (name, spec.id) in self.left_out:
            return
        for epoch in epochs:
            self.runs[name, spec.id].epoch(epoch["epoch"], _figures(epoch))

    def _finish(self, name: str, spec: TrialSpec, facts: dict[str, Any]) -> None:
        if (name, spec.id) in self.left_out:
            return
        run = self.runs.pop((name, spec.id), None) or self.open[name].begin(spec)
        run.end(facts["status"] in ("finished", "stopped"), facts)
        with (self.out / name / "logged.txt").open("a") as file:
            file.write(f"{spec.id} {facts['status']}\n")
        self._failures[name] = 0

    def _logged(self, name: str) -> dict[str, str]:
        """Status of every trial that a tracker holds to its end."""
        try:
            lines = (self.out / name / "logged.txt").read_text(errors="replace").splitlines()
        except OSError:  # none yet, or none that can be read: they are copied again
            lines = []
        return dict(line.split() for line in lines if len(line.split()) == 2)

    @contextlib.contextmanager
    def _may_fail(self, name: str, trial_id: str) -> Iterator[None]:
        """Context in which a tracker that fails loses this trial, and keeps the others."""
        try:
            yield
        except Exception as error:  # whatever its client may raise, or a record that cannot be read
            self.left_out.add((name, trial_id))
            if run := self.runs.pop((name, trial_id), None):
                with contextlib.suppress(Exception):  # the same fault again
                    run.end(False, {"status": "interrupted"})
            # a record that cannot be read is not its fault
            self._failures[name] += not isinstance(error, InputError)
            if self._failures[name] >= PATIENCE:
                self.open.pop(name, None)
            self._warn(
                name,
                f"{name} is switched off for the trial {trial_id}, and for others that it fails on",
                error,
            )

    def _warn(self, name: str, what: str, error: Exception) -> None:
        """Say so, once a tracker."""
        if name in self._warned:
            return
        self._warned.add(name)
        reason = str(error) if isinstance(error, InputError) else one_line(error)
        warnings.warn(
            f"{what} ({reason}); the records are whole, and the same command again copies what is "
            "missing",
            stacklevel=4,
        )


def _figures(epoch: dict[str, Any]) -> dict[str, float]:
    """What of an epoch's record is a number and not its place."""
    return {
        key: float(value)
        for key, value in epoch.items()
        if isinstance(value, int | float) and key not in ("epoch", "schema")
    }


def _settings(spec: TrialSpec) -> dict[str, Any]:
    """What the result depends on, in one level."""
    values = spec.to_json()
    recipe = {f"recipe.{key}": value for key, value in values.pop("recipe").items()}
    flat = {**values.pop("hparams"), **values, **recipe}
    return {
        key: value if isinstance(value, int | float) else printable(str(value))
        for key, value in flat.items()
    }


def _file_name(label: str, longest: int) -> str:
    """The label as the name of a folder or project, of so many bytes at most."""
    return re.sub(r"[^\w.+=-]+", "_", label).encode()[:longest].decode(errors="ignore")
