"""All checks of an archive, and the verdict on it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.common.progress import track
from bench.common.version import __version__, git_commit
from bench.datasets import Dataset
from bench.errors import InputError
from bench.networks.machine import machine
from bench.networks.pretrained import Pretrained
from bench.planning.spec import TrialSpec
from bench.records.verdict import (
    APART,
    CLOSE,
    CONSISTENT,
    EXACT,
    REJECTED,
    VERIFIED,
    Fault,
    Rerun,
    Verdict,
    records_hash,
)
from bench.verification.again import (
    TOLERANCE,
    choose,
    rerun_of,
    same_build,
    sweep_facts,
    versions,
)
from bench.verification.causes import cause_of
from bench.verification.copies import copy_faults, equal_pairs
from bench.verification.figures import figure_faults
from bench.verification.labels import Redrawn, label_faults
from bench.verification.records import Record, Records, read_records, schema_of_sweep

#: Loader of the data set of a specification, with what its noise needs.
LoadData = Callable[[TrialSpec], Dataset]
#: Loader of what a trial trains on: its data set, embedded where a network is frozen, and the
#: network that it fine-tunes.
LoadInputs = Callable[[TrialSpec], tuple[Dataset, Pretrained | None]]
#: Comparison of the tables beside an archive: their names, and a sentence on each that differs.
CompareTables = Callable[[Path], tuple[list[str], list[str]]]


@dataclass
class Check:
    """Checks of one archive, and what they have observed."""

    load_data: LoadData
    load_inputs: LoadInputs
    compare_tables: CompareTables
    sample: str
    seed: int
    checked: list[str] = field(default_factory=lambda: ["files", "ids"])
    faults: list[Fault] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    reruns: list[Rerun] = field(default_factory=list)

    def run(self, archive: Path) -> Verdict:
        """Check an archive, or the folder of a sweep.

        Raises:
            InputError: where there is none, or the sample is of other trials.
        """
        records = read_records(archive)
        if isinstance(records, Fault):
            self.faults.append(records)
            return self._verdict("", 0)
        trials = records.trials
        self.faults += [*schema_of_sweep(records.folder), *records.faults]
        for record in trials:
            self.faults += figure_faults(record)
        self.faults += copy_faults(trials)
        self.unchecked += equal_pairs(trials)
        if records.unfinished:
            text = f"trials that are not over, and in no table: {records.unfinished}"
            self.unchecked.append(text)
        self._check_obstacles(trials)
        self._check_tables(archive)
        self._check_labels(trials)
        self._check_again(records)
        return self._verdict(records_hash(archive), len(trials))

    def _check_obstacles(self, trials: Sequence[Record]) -> None:
        """Note why trials cannot be run by this version."""
        counts: dict[str, int] = defaultdict(int)
        for record in trials:
            if record.obstacle:
                counts[record.obstacle] += 1
        self.unchecked += [f"{count} trials: {reason}" for reason, count in counts.items()]

    def _check_tables(self, archive: Path) -> None:
        try:
            tables, differing = self.compare_tables(archive)
        except InputError as error:
            self.unchecked.append(f"tables: {error}")
            return
        self.faults += [Fault("leaderboard", sentence) for sentence in differing]
        if tables:
            self.checked.append("tables")
        else:
            self.unchecked.append("tables: none are beside the archive")

    def _check_labels(self, trials: Sequence[Record]) -> None:
        """Draw the labels of all trials again, data set by data set."""
        groups: dict[tuple[object, ...], list[tuple[Record, TrialSpec]]] = defaultdict(list)
        for record in trials:
            if spec := record.spec:
                key = (spec.dataset, spec.subset, spec.image_size, spec.noise_kind)
                groups[key].append((record, spec))
        drawn = 0
        for members in groups.values():
            first = members[0][1]
            try:
                redrawn = Redrawn(self.load_data(first), trials)
                for record, spec in track(members, f"labels of {first.dataset}"):
                    self.faults += label_faults(record, spec, redrawn)
                drawn += len(members)
            except InputError as error:
                self.unchecked.append(f"labels of {first.dataset}, {first.noise_kind}: {error}")
        if drawn == len(trials):
            self.checked.append("labels")

    def _check_again(self, records: Records) -> None:
        """Run a sample of the trials again."""
        exact = same_build(sweep_facts(records.folder))
        chosen = choose(records.trials, self.sample, self.seed)
        for record in track(chosen, "trials run again"):
            assert record.spec
            try:
                dataset, start = self.load_inputs(record.spec)
                rerun, again = rerun_of(record, record.spec, dataset, start, exact)
                self.reruns.append(rerun)
                if rerun.agreement == APART:
                    self.faults.append(cause_of(record, again, records.trials, dataset, start))
            except InputError as error:
                self.unchecked.append(f"{record.name} was not run again: {error}")

    def _verdict(self, records: str, trials: int) -> Verdict:
        agreements = {rerun.agreement for rerun in self.reruns}
        outcome = VERIFIED if agreements and agreements <= {EXACT, CLOSE} else CONSISTENT
        return Verdict(
            outcome=REJECTED if self.faults else outcome,
            records=records,
            trials=trials,
            checked=self.checked,
            faults=self.faults,
            unchecked=self.unchecked,
            seed=self.seed,
            sample=self.sample,
            reruns=self.reruns,
            tolerance=TOLERANCE,
            version=__version__,
            git_commit=git_commit(),
            versions=versions(),
            machine=machine(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
