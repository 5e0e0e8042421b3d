"""All checks of an archive, and the verdict on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.common.progress import track
from bench.common.text import shortlist
from bench.common.version import __version__, git_commit
from bench.datasets import Dataset
from bench.errors import InputError
from bench.networks.machine import machine
from bench.networks.pretrained import Pretrained
from bench.planning.spec import TrialSpec
from bench.records.build import LIBRARIES
from bench.records.trials import sweep_facts
from bench.records.verdict import (
    APART,
    CLOSE,
    CONSISTENT,
    EXACT,
    OTHER_CODE,
    REJECTED,
    VERIFIED,
    Fault,
    Outcome,
    Rerun,
    Verdict,
    records_hash,
)
from bench.verification.again import (
    TOLERANCE,
    choose,
    rerun_of,
    same_build,
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
#: Comparison of the tables beside an archive: their names, a sentence on each that differs, and
#: one on each that cannot be compared.
CompareTables = Callable[[Path], tuple[list[str], list[str], list[str]]]


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
        chosen = choose(trials, self.sample, self.seed)
        self.faults += [*schema_of_sweep(records.folder), *records.faults]
        for record in trials:
            self.faults += figure_faults(record)
        self.faults += copy_faults(trials)
        self.unchecked += equal_pairs(trials)
        if records.unfinished:
            text = f"trials that are not over, and in no table: {records.unfinished}"
            self.unchecked.append(text)
        self._check_obstacles(trials)
        self.unchecked.append("cost: seconds and memory, of which each run has others")
        self._check_tables(archive)
        self._check_labels(trials)
        self._check_again(records, chosen)
        return self._verdict(records_hash(archive), len(trials))

    def _check_obstacles(self, trials: Sequence[Record]) -> None:
        """Note why trials cannot be run by this version."""
        counts: dict[str, int] = defaultdict(int)
        for record in trials:
            if record.obstacle:
                counts[record.obstacle] += 1
        self.unchecked += [f"{reason} (trials: {count})" for reason, count in counts.items()]

    def _check_tables(self, archive: Path) -> None:
        tables, differing, passed_over = self.compare_tables(archive)
        self.faults += [Fault("leaderboard", sentence) for sentence in differing]
        self.unchecked += [f"tables: {sentence}" for sentence in passed_over]
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
        undrawn = Counter[str]()
        for members in groups.values():
            first = members[0][1]
            name = f"{first.dataset}, {first.noise_kind}"
            try:
                redrawn = Redrawn(self.load_data(first), trials)
            except InputError as error:
                undrawn[f"{name}: {error}"] += len(members)
                continue
            for record, spec in track(members, f"labels of {first.dataset}"):
                try:
                    self.faults += label_faults(record, spec, redrawn)
                except InputError as error:
                    undrawn[f"{name}: {error}"] += 1
        self.unchecked += [f"labels of {text} (trials: {count})" for text, count in undrawn.items()]
        if not undrawn and all(record.spec for record in trials):
            self.checked.append("labels")

    def _check_again(self, records: Records, chosen: Sequence[Record]) -> None:
        """Run a sample of the trials again."""
        facts = sweep_facts(records.folder)
        for record in track(chosen, "trials run again"):
            assert record.spec
            try:
                dataset, start = self.load_inputs(record.spec)
                exact = same_build(record, facts)
                rerun, again = rerun_of(record, record.spec, dataset, start, exact)
            except InputError as error:
                self.unchecked.append(f"{record.name} was not run again: {error}")
                continue
            self.reruns.append(rerun)
            if rerun.agreement == APART:
                self.faults.append(cause_of(record, again, records.trials, dataset, start))
        if others := [rerun.trial for rerun in self.reruns if rerun.agreement == OTHER_CODE]:
            self.unchecked.append(
                f"records of other code than this checkout ({shortlist(others, 3)}): check out the "
                "commit that done.json names, if there is one, and check again there"
            )

    def _verdict(self, records: str, trials: int) -> Verdict:
        agreements = {rerun.agreement for rerun in self.reruns}
        outcome: Outcome = CONSISTENT
        if self.faults:
            outcome = REJECTED
        elif agreements and agreements <= {EXACT, CLOSE}:
            outcome = VERIFIED
        return Verdict(
            outcome=outcome,
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
            versions={name: version(name) for name in LIBRARIES},
            machine=machine(),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
