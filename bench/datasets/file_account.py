"""Account of a folder's files: their number, those used, and the reasons for the others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.common.text import printable, shortlist


@dataclass(frozen=True)
class Account:
    """Every file below a folder, either used as an image or passed over for a reason.

    A file is a folder's entry that is no folder. A link counts as one file, unless it leads to a
    folder that is read through it: then that folder's files count. A folder that cannot be opened
    counts as one file. Images outside the folder count if labels.csv lists them.
    """

    files: int
    # reason -> names, sorted
    passed_over: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # sentences about how the folder was read

    @property
    def used(self) -> int:
        """Number of files that are images of the data set."""
        return self.files - sum(map(len, self.passed_over.values()))

    def without(self, reasons: Mapping[str, str]) -> "Account":
        """Return the account without these files, name -> reason, which are unusable."""
        passed_over = {reason: set(names) for reason, names in self.passed_over.items()}
        known = set().union(*passed_over.values())
        for name, reason in reasons.items():
            if name not in known:
                passed_over.setdefault(reason, set()).add(str(name))
        ordered = {reason: tuple(sorted(names)) for reason, names in passed_over.items()}
        return replace(self, passed_over=ordered)

    @property
    def summary(self) -> str:
        """One line: the number of files, of those used, and of those passed over by reason."""
        line = f"{self.files:,} file{'s' * (self.files != 1)}: {self.used:,} used"
        if self.passed_over:
            counts = (f"{reason}: {len(names):,}" for reason, names in self._by_reason())
            line += f", {self.files - self.used:,} passed over ({'; '.join(counts)})"
        return line

    def examples(self, limit: int = 3) -> list[str]:
        """Return one line a reason, with at most ``limit`` names each."""
        return [
            f"{reason}: {shortlist(map(printable, names), limit)}"
            for reason, names in self._by_reason()
        ]

    def _by_reason(self) -> list[tuple[str, tuple[str, ...]]]:
        return sorted(self.passed_over.items())
