"""Report of an audit: report.md, and the lines for a terminal."""

import re

import numpy as np

from bench.audit.audit import BLANK, CONFLICT, DARK, DUPLICATE, FEW, LEAK, TINY, Audit
from bench.audit.files import issue_counts, reviewing
from bench.common.text import printable

#: Meaning of each issue, as a report words it.
_MEANINGS = {
    BLANK: "blank images",
    DARK: "nearly black images",
    TINY: "tiny images",
    DUPLICATE: "samples with a duplicate",
    CONFLICT: "duplicates with different labels",
    LEAK: "duplicates in both training and test part",
    FEW: "samples of classes that are too small to judge",
}

#: Classes and pairs that are listed.
LISTED = 20


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def headline(audit: Audit) -> list[str]:
    """Return the sentences that answer how many labels are wrong, and where to begin."""
    low, _, high = audit.rate
    count = len(audit.names)
    lines = [
        f"estimated share of wrong labels: {100 * low:.1f} to {100 * high:.1f} % "
        f"({round(low * count):,} to {round(high * count):,} of {count:,} labels)",
        f"{int(audit.flagged.sum()):,} labels are more probably wrong than right",
    ]
    for looks, wrong, share in reviewing(audit):
        if looks >= 0.1 * count:
            lines.append(
                f"the first {looks:,} hold about {round(wrong):,} wrong labels, {percent(share)} "
                "of all"
            )
            break
    counts = issue_counts(audit)
    if counts:
        lines.append("; ".join(f"{_MEANINGS[word]}: {n:,}" for word, n in counts.items()))
    return [*lines, *audit.notes[:-1]]


def report(audit: Audit, figures: dict[str, str]) -> str:
    """Return the text of report.md.

    Args:
        figures: caption of each figure, by its path below the report.
    """
    parts = [f"# Audit of {_cell(audit.dataset)}", ""]
    parts += [f"- {_cell(line)}" for line in headline(audit)]
    parts += ["", *(f"![{text}]({path})" for path, text in figures.items())]
    parts += ["", "## What a review brings", ""]
    parts += _table(
        ("First suspects", "Wrong labels among them", "Share of all wrong labels"),
        [(f"{n:,}", f"{wrong:,.0f}", percent(share)) for n, wrong, share in reviewing(audit)],
    )
    parts += [
        "",
        "Figures are sums of probabilities. Review the suspects yourself: accepting all "
        "suggestions unseen can do harm. On CIFAR-10N it changed the share of right labels from "
        "58.6 to 74.1 %, and from 90.6 to 90.4 %. Dropping all flagged samples changed it to 80.8 "
        "and 92.2 %.",
        "",
        "## Classes",
        "",
    ]
    sizes = np.bincount(audit.given, minlength=len(audit.classes))
    worst = np.argsort(-audit.rate_per_class[:, 1], kind="stable")[:LISTED]
    parts += _table(
        ("Class", "Labels", "Wrong, low to high", "Flagged"),
        [
            (
                _cell(audit.classes[k]),
                f"{sizes[k]:,}",
                f"{100 * audit.rate_per_class[k, 0]:.0f} to "
                f"{100 * audit.rate_per_class[k, 2]:.0f} %",
                f"{int((audit.flagged & (audit.given == k)).sum()):,}",
            )
            for k in worst
        ],
    )
    parts += ["", "## Most confused pairs", ""]
    parts += _table(
        ("Given label", "Suggested", "Expected number"),
        [
            (_cell(audit.classes[i]), _cell(audit.classes[j]), f"{count:.0f}")
            for i, j, count in audit.pairs[:LISTED]
        ],
    )
    parts += ["", "## Other faults", ""]
    parts += _faults(audit)
    parts += [
        "",
        "## What the audit cannot know",
        "",
        *(f"- {_cell(note)}" for note in audit.notes),
        "",
    ]
    return "\n".join(parts)


def _faults(audit: Audit) -> list[str]:
    counts = issue_counts(audit)
    lines = [f"- {_MEANINGS[word]} (`{word}`): {number:,}" for word, number in counts.items()]
    lines.append(f"- outliers, far from all other samples: {int(audit.outlier.sum()):,}")
    for word, text in ((CONFLICT, "with different labels"), (LEAK, "in both parts")):
        rows = [i for i, issues in enumerate(audit.issues) if word in issues][:5]
        names = ", ".join(_code(audit.names[i]) for i in rows)
        lines += [f"- duplicates {text}, as: {names}"] * bool(rows)
    return lines


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [header, tuple("---" for _ in header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _code(text: str) -> str:
    """Return a name as a code span, in which nothing is escaped: its fence is in no name."""
    text = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " * (text.startswith(("`", " ")) or text.endswith(("`", " ")))
    return f"{fence}{pad}{text}{pad}{fence}"


def _cell(text: str) -> str:
    """Return a text as Markdown shows it literally."""
    text = printable(text)
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text
