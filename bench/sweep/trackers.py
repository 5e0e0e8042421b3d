"""Copies of the records for TensorBoard, MLflow and Weights & Biases (``--track``).

The driver writes them after the records, through the libraries' own clients, into the sweep's
folder; nothing goes over the network. The records stay the truth. A trial that a tracker fails on
is left out of it with one warning; the next command copies it from the records.
"""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from bench.errors import InputError, one_line, unknown
from bench.planning.spec import TrialSpec
from bench.records.epochs import read_epochs
from bench.records.schema import SUCCEEDED, Done, Epoch, SpecFile
from bench.records.trials import read_done, results
from bench.sweep.tracker_clients import CLIENTS, Run, Tracker

#: Number of trials in a row on which a tracker may fail before it is switched off: each failure
#: may take its client's whole patience.
PATIENCE = 3

_INTERRUPTED = "interrupted"


def check_trackers(names: Sequence[str]) -> None:
    """Raise InputError where a tracker is not known or its package is not installed."""
    for name in names:
        if name not in CLIENTS:
            raise unknown("tracker", name, CLIENTS)
        if find_spec(CLIENTS[name].package) is None:
            raise InputError(
                f"--track {name} needs a package that is not installed: pip install "
                f"'lnl-bench[{name}]'"
            )


class Trackers:
    """Trackers of a sweep, which get each change of its records."""

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
                self.open[name] = CLIENTS[name](self.out)
            except Exception as error:
                # Clients raise errors of any type, and the sweep goes on without them.
                self._warn(name, f"{name} is switched off", error)

    def catch_up(self) -> None:
        """Copy the trials that are over and missing in a tracker."""
        if not self.open:
            return
        known = {name: self._logged(name) for name in self.open}
        for trial_id, result in sorted(results(self.out).items()):
            for name in [n for n in self.open if known[n].get(trial_id) != result.status]:
                with self._may_fail(name, trial_id):
                    self._copy(name, result.folder)

    def restart(self, spec: TrialSpec, epochs: Sequence[Epoch]) -> None:
        """Begin the trial's run anew, with these epochs."""
        for name in list(self.open):
            self.left_out.discard((name, spec.id))  # it begins anew
            with self._may_fail(name, spec.id):
                self._restart(name, spec, epochs)

    def append(self, spec: TrialSpec, epochs: Sequence[Epoch]) -> None:
        """Add epochs to the trial's run."""
        for name in list(self.open):
            with self._may_fail(name, spec.id):
                self._append(name, spec, epochs)

    def finish(self, spec: TrialSpec, done: Done) -> None:
        """End the trial's run."""
        for name in list(self.open):
            with self._may_fail(name, spec.id):
                self._finish(name, spec, done)

    def close(self) -> None:
        """End the runs that were interrupted; the trial's next start makes a new one."""
        for (name, trial_id), run in list(self.runs.items()):
            with self._may_fail(name, trial_id):
                run.end(False, _INTERRUPTED, None)
        self.runs.clear()
        self.open.clear()

    def _copy(self, name: str, folder: Path) -> None:
        """Copy the record of a trial that is over."""
        file = msgspec.json.decode((folder / "spec.json").read_bytes(), type=SpecFile)
        spec = TrialSpec.from_json(file.spec)
        self._restart(name, spec, read_epochs(folder / "epochs.jsonl"))
        self._finish(name, spec, read_done(folder))

    def _restart(self, name: str, spec: TrialSpec, epochs: Iterable[Epoch]) -> None:
        if earlier := self.runs.pop((name, spec.id), None):
            earlier.end(False, _INTERRUPTED, None)
        self.runs[name, spec.id] = self.open[name].begin(spec)
        self._append(name, spec, epochs)

    def _append(self, name: str, spec: TrialSpec, epochs: Iterable[Epoch]) -> None:
        if (name, spec.id) in self.left_out:
            return
        for epoch in epochs:
            self.runs[name, spec.id].epoch(epoch.epoch, _figures(epoch))

    def _finish(self, name: str, spec: TrialSpec, done: Done) -> None:
        if (name, spec.id) in self.left_out:
            return
        run = self.runs.pop((name, spec.id), None) or self.open[name].begin(spec)
        run.end(done.status in SUCCEEDED, done.status, done.error)
        with (self.out / name / "logged.txt").open("a") as file:
            file.write(f"{spec.id} {done.status}\n")
        self._failures[name] = 0

    def _logged(self, name: str) -> dict[str, str]:
        """Return the status of every trial that a tracker holds to its end."""
        try:
            lines = (self.out / name / "logged.txt").read_text(errors="replace").splitlines()
        except OSError:  # none yet, or none that can be read: they are copied again
            lines = []
        return dict(line.split() for line in lines if len(line.split()) == 2)

    @contextlib.contextmanager
    def _may_fail(self, name: str, trial_id: str) -> Iterator[None]:
        """Let a tracker that fails lose this trial and keep the others."""
        try:
            yield
        except Exception as error:  # of any type, by a client or by a record that cannot be read
            self.left_out.add((name, trial_id))
            if run := self.runs.pop((name, trial_id), None):
                with contextlib.suppress(Exception):  # the same fault again
                    run.end(False, _INTERRUPTED, None)
            # a record that cannot be read is not its fault
            self._failures[name] += not isinstance(error, InputError)
            if self._failures[name] >= PATIENCE:
                self.open.pop(name, None)
            self._warn(
                name,
                f"{name} is switched off for the trial {trial_id}, and for others that it fails on",
                error,
            )

    def _warn(self, name: str, problem: str, error: Exception) -> None:
        """Warn of a tracker's first problem."""
        if name in self._warned:
            return
        self._warned.add(name)
        reason = str(error) if isinstance(error, InputError) else one_line(error)
        warnings.warn(
            f"{problem} ({reason}); the records are whole, and the same command again copies what "
            "is missing",
            stacklevel=4,
        )


def _figures(epoch: Epoch) -> dict[str, float]:
    """Return the numbers of an epoch's record, without its place."""
    return {
        key: float(value)
        for key, value in epoch.to_json().items()
        if isinstance(value, int | float) and key not in ("epoch", "schema")
    }
