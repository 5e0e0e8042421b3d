"""Files of an audit: suspects.csv, weights.csv, summary.json, and tasks.json for Label Studio."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.audit.audit import Audit
from bench.audit.decisions import warn_of_formulas
from bench.common.files import to_json, write_atomically
from bench.common.text import encodable

#: File that says what the audit was of, and what it found.
SUMMARY = "summary.json"

#: Columns of suspects.csv; scores follow, as score_NAME.
COLUMNS = (
    "rank",
    "path",
    "split",
    "given_label",
    "suggested_label",
    "second",
    "third",
    "p_wrong",
    "p_suggested",
    "flagged",
    "agreement",
    "nearest_path",
    "nearest_label",
    "duplicate_group",
    "outlier",
    "issues",
)


def write_files(
    audit: Audit, out: Path, facts: Mapping[str, Any], order: Iterable[int] | None = None
) -> None:
    """Write all tables of an audit to a folder.

    Args:
        facts: further entries of summary.json, such as the network.
        order: positions of the samples in the data set's own order, where the audit has another.
    """
    warn_of_formulas([*audit.classes, *audit.names])
    write_atomically(out / "suspects.csv", _csv(_suspect_header(audit), _suspect_rows(audit)))
    write_atomically(
        out / "weights.csv",
        _csv(
            ["path", "split", "given_label", "weight"],
            (
                [
                    audit.names[i],
                    audit.parts[i],
                    audit.classes[audit.given[i]],
                    f"{1 - audit.p_wrong[i]:.4f}",
                ]
                for i in (range(len(audit.names)) if order is None else order)
            ),
        ),
    )
    write_atomically(out / SUMMARY, to_json(summary(audit) | dict(facts), indent=1))
    write_atomically(out / "tasks.json", to_json(label_studio_tasks(audit), indent=1))


def _suspect_header(audit: Audit) -> list[str]:
    return [*COLUMNS, *(f"score_{name}" for name in audit.scores)]


def _suspect_rows(audit: Audit) -> Iterable[list[str]]:
    names = audit.classes
    for i in audit.order.tolist():
        nearest = audit.nearest[i].tolist()
        third = audit.third[i]
        group = audit.duplicate_group[i]
        yield [
            str(audit.rank[i]),
            audit.names[i],
            audit.parts[i],
            names[audit.given[i]],
            names[audit.suggested[i]],
            names[audit.second[i]],
            names[third] if third >= 0 else "",
            f"{audit.p_wrong[i]:.4f}",
            f"{audit.p_suggested[i]:.4f}",
            str(int(audit.flagged[i])),
            f"{audit.agreement[i]:.2f}",
            audit.names[nearest[0]],
            ";".join(names[audit.given[other]] for other in nearest),
            str(group) if group >= 0 else "",
            str(int(audit.outlier[i])),
            " ".join(audit.issues[i]),
            *(f"{values[i]:.6f}" for values in audit.scores.values()),
        ]


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([encodable(str(cell)) for cell in row] for row in rows)
    return stream.getvalue().encode()


def summary(audit: Audit) -> dict[str, Any]:
    """Return the content of summary.json: all that is not of one sample."""
    low, estimate, high = audit.rate
    return {
        "dataset": audit.dataset,
        "data_hash": audit.data_hash,
        "samples": len(audit.names),
        "classes": list(audit.classes),
        "flagged": int(audit.flagged.sum()),
        "rate": {"low": low, "estimate": estimate, "high": high},
        "rate_per_class": {
            name: dict(zip(("low", "estimate", "high"), map(float, row), strict=True))
            for name, row in zip(audit.classes, audit.rate_per_class, strict=True)
        },
        "transition_matrix": audit.transition.round(4).tolist(),
        "confused_pairs": [
            {"given": audit.classes[i], "suggested": audit.classes[j], "expected": round(count, 2)}
            for i, j, count in audit.pairs
        ],
        "duplicate_groups": int(audit.duplicate_group.max() + 1),
        "outliers": int(audit.outlier.sum()),
        "issues": issue_counts(audit),
        "notes": list(audit.notes),
    }


def issue_counts(audit: Audit) -> dict[str, int]:
    """Return the number of samples with each issue, by name."""
    words = [word for issues in audit.issues for word in issues]
    return {word: words.count(word) for word in sorted(set(words))}


def label_studio_tasks(audit: Audit) -> list[dict[str, Any]]:
    """Return flagged samples as tasks of Label Studio, with the suggestion as a prediction.

    The labelling interface needs an Image named "image" with the value "$image", and Choices named
    "label" on it.
    """
    flagged = [i for i in audit.order.tolist() if audit.flagged[i]]
    return [
        {
            "data": {
                "image": audit.names[i],
                "given_label": audit.classes[audit.given[i]],
                "split": audit.parts[i],
                "p_wrong": round(float(audit.p_wrong[i]), 4),
            },
            "predictions": [
                {
                    "model_version": "bench.clean",
                    "score": round(float(audit.p_suggested[i]), 4),
                    "result": [
                        {
                            "from_name": "label",
                            "to_name": "image",
                            "type": "choices",
                            "value": {"choices": [audit.classes[audit.suggested[i]]]},
                        }
                    ],
                }
            ],
        }
        for i in flagged
    ]


def reviewing(audit: Audit) -> list[tuple[int, float, float]]:
    """Return (number of looks, wrong labels among them, share of all wrong labels), expected."""
    expected = np.cumsum(audit.p_wrong[audit.order])
    total, count = max(expected[-1], 1e-9), len(expected)
    looks = sorted({max(1, round(share * count)) for share in (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)})
    return [(n, float(expected[n - 1]), float(expected[n - 1] / total)) for n in looks]
