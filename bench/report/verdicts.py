"""Verdicts of ``python -m bench.verify`` in words, for tables, page, site and terminal."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.planning.registry import display
from bench.records.verdict import (
    APART,
    CLOSE,
    DRIFTED,
    EXACT,
    OTHER_CODE,
    REJECTED,
    VERIFIED,
    Rerun,
    Verdict,
    read_verdict,
    records_hash,
)


def verdict_notes(sweep: Path) -> list[str]:
    """Return the note on a sweep's verdict, if it has one.

    Raises:
        InputError: where the file is no verdict.
    """
    verdict = read_verdict(sweep)
    if verdict is None:
        return []
    if verdict.records != records_hash(sweep):
        return [
            "Not verified: verdict.json is of other records; python -m bench.verify writes it anew."
        ]
    return [summary(verdict)]


def summary(verdict: Verdict) -> str:
    """Return a verdict in one or two sentences."""
    by = f"by version {verdict.version} on {verdict.date[:10]}"
    if verdict.outcome == REJECTED:
        count = len(verdict.faults)
        faults = f"{count} fault{'s' * (count > 1)}, which verdict.json lists"
        reruns = f"; {rerun_sentence(verdict)}" if verdict.reruns else ""
        return f"Rejected {by}: {faults}{reruns}."
    checked = ", ".join(verdict.checked)
    if verdict.unchecked:
        checked += " (verdict.json says what could not be checked)"
    if verdict.outcome == VERIFIED:
        return f"Verified {by}: {checked}; {rerun_sentence(verdict)}."
    reruns = f"; {rerun_sentence(verdict)}" if verdict.reruns else "; no trial was run again"
    return f"Consistent, checked {by}: {checked}{reruns}."


def rerun_sentence(verdict: Verdict) -> str:
    """Return what running trials again has shown."""
    seed = f" (seed {verdict.seed})" if verdict.sample.isdecimal() else ""
    trials = f"{len(verdict.reruns)} of {verdict.trials} trials run again{seed}"
    return f"{trials}, {_agreements(verdict)}"


def _agreements(verdict: Verdict) -> str:
    counts = Counter(rerun.agreement for rerun in verdict.reruns)
    texts = {
        EXACT: "equal to the bit",
        CLOSE: "equal within the tolerance",
        APART: "apart",
        DRIFTED: "equal in the first epoch and further apart later than rounding mostly explains",
        OTHER_CODE: "by code that has changed since, which draws other random numbers",
    }
    if len(counts) == 1:
        return "".join(texts[agreement] for agreement in counts)
    return ", ".join(f"{count} {texts[agreement]}" for agreement, count in counts.items())


def rerun_lines(verdict: Verdict) -> Iterator[str]:
    """Yield a line on each trial that was run again."""
    for rerun in verdict.reruns:
        yield f"{rerun.trial} ({display(rerun.method)}): {rerun_text(rerun)}, {rerun.seconds:.0f} s"


def rerun_text(rerun: Rerun) -> str:
    """Return how a new run compares with its record."""
    if rerun.agreement == EXACT:
        return "equal to the bit"
    apart = (
        "of another length"
        if rerun.at_end is None
        else f"{100 * rerun.at_end:.1f} points apart at the end"
    )
    if rerun.agreement == OTHER_CODE:
        return f"the code has changed since the record; {apart}"
    beginnings = {
        CLOSE: "within the tolerance",
        DRIFTED: "equal in the first epoch",
        APART: "differs",
    }
    return f"{beginnings[rerun.agreement]}, {apart}"
