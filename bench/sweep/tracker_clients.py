"""Clients of TensorBoard, MLflow and Weights & Biases, each imported when it is first used."""

import glob
import importlib
import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any, Protocol

from bench.common.text import printable
from bench.planning.spec import TrialSpec


class Run(Protocol):
    """Trial in one tracker."""

    def epoch(self, step: int, figures: dict[str, float]) -> None:
        """Log an epoch."""

    def end(self, succeeded: bool, status: str, error: str | None) -> None:
        """Close the run."""


class Tracker(Protocol):
    """Store in which trials are runs."""

    def begin(self, spec: TrialSpec) -> Run:
        """Return a new run for the trial; an earlier one of the same trial is deleted."""


class TensorBoard:
    """Writer of one folder a trial below ``tensorboard``, through tensorboardX."""

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

    def end(self, succeeded: bool, status: str, error: str | None) -> None:
        from tensorboardX.summary import hparams

        # Its table of hyper-parameters.
        for part in hparams({**_settings(self.spec), "status": status}, self.last):
            self.writer.file_writer.add_summary(part)
        self.writer.close()


class MLflow:
    """Writer of runs of one experiment in ``mlflow/mlflow.db``, an SQLite file."""

    package = "mlflow"

    def __init__(self, out: Path) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when it is imported
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        folder = out / "mlflow"
        folder.mkdir(exist_ok=True)
        self.client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
        name = printable(out.name)
        experiment = self.client.get_experiment_by_name(name)
        artifacts = (folder / "artifacts").as_uri()
        self.experiment = (
            experiment.experiment_id
            if experiment
            else self.client.create_experiment(name, artifacts)
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

    def end(self, succeeded: bool, status: str, error: str | None) -> None:
        self.client.set_tag(self.id, "status", status)
        if error:
            self.client.set_tag(self.id, "error", error[:500])
        self.client.set_terminated(self.id, "FINISHED" if succeeded else "FAILED")


class WandB:
    """Writer of offline runs in ``wandb``, for ``wandb sync`` to send."""

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

    def end(self, succeeded: bool, status: str, error: str | None) -> None:
        self.run.summary["status"] = status
        self.run.finish(exit_code=0 if succeeded else 1)


CLIENTS: dict[str, Any] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}


def _settings(spec: TrialSpec) -> dict[str, Any]:
    """Return what the result depends on, in one level."""
    values = spec.to_json()
    recipe = {f"recipe.{key}": value for key, value in values.pop("recipe").items()}
    flat = {**values.pop("hparams"), **values, **recipe}
    return {
        key: value if isinstance(value, int | float) else printable(str(value))
        for key, value in flat.items()
    }


def _file_name(label: str, longest: int) -> str:
    """Return the label as the name of a folder or project, cut to ``longest`` bytes."""
    return re.sub(r"[^\w.+=-]+", "_", label).encode()[:longest].decode(errors="ignore")
