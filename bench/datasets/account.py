"""Account of a folder's files: how many there are, how many are used, and why the others are not."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Account:
    """Every file below a folder, either used or passed over for a reason."""

    files: int
    passed_over: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # reason -> names, sorted

    @property
    def used(self) -> int:
        """Number of files that are images of the data set."""
        return self.files - sum(map(len, self.passed_over.values()))

    def without(self, reasons: Mapping[str, str]) -> "Account":
        """Return the account after these files, name -> reason, turned out to be unusable."""
        passed_over = {reason: list(names) for reason, names in self.passed_over.items()}
        for name, reason in reasons.items():
            passed_over.setdefault(reason, []).append(name)
        return replace(self, passed_over={reason: tuple(sorted(names)) for reason, names in passed_over.items()})

    @property
    def summary(self) -> str:
        """One line: the number of files, of those used, and of those passed over by reason."""
        line = f"{self.files:,} files: {self.used:,} used"
        if self.passed_over:
            reasons = (f"{len(names):,} {reason}" for reason, names in sorted(self.passed_over.items()))
            line += f", {self.files - self.used:,} passed over ({'; '.join(reasons)})"
        return line

    def examples(self, limit: int = 3) -> list[str]:
        """One line a reason, with at most ``limit`` names each."""
        lines = []
        for reason, names in sorted(self.passed_over.items()):
            more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
            lines.append(f"{reason}: {', '.join(names[:limit])}{more}")
        return lines
