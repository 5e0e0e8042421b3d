"""Two sweeps side by side: before and after a change, ours and theirs.

Trials are paired where data, noise, recipe, method, settings and seeds agree. Device, precision,
threads and code may differ: they are often what is compared. Trials that their machine ended are
left out: a comparison stands on the pairs that it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.common.identity import PAPER
from bench.errors import InputError
from bench.planning.selection import ALL, DEFAULT_RULE, ORACLE, check_clean_images, rule_order
from bench.records.merge import conflict_notes
from bench.report.columns import SEEDS
from bench.report.rows import load_sides
from bench.report.statistics import CONFIDENCE, holm, paired_differences
from bench.report.tables import Entry, Section, Table
from bench.report.wording import NONE, rate_title

_CELL = [
    "dataset",
    "subset",
    "image_size",
    "data_hash",
    "noise_kind",
    "noise_hash",
    "noise_sampling",
    "noise_rate",
]
_CELL += ["protocol", "validation_share", "recipe"]
_CONFIGURATION = [*_CELL, "method", "hparams", "config"]
_TRIAL = [*_CONFIGURATION, *SEEDS]
#: Where no trial has them these columns hold None, which merges neither with numbers nor with text.
_TYPES = {"subset": float, "image_size": float, "noise_hash": "string"}

COLUMNS = [
    *(
        "dataset",
        "noise_kind",
        "noise_rate",
        "method",
        "config",
        "rule",
        "first",
        "second",
        "difference",
        "diff_low",
    ),
    *(
        "diff_high",
        "p_value",
        "p_holm",
        "pairs",
        "other_labels",
        "seconds_first",
        "seconds_second",
        "only_first",
        "only_second",
    ),
    *(
        "protocol",
        "recipe",
        "subset",
        "image_size",
        "noise_sampling",
        "validation_share",
        "data_hash",
        "noise_hash",
    ),
]


@dataclass(frozen=True)
class Comparison:
    """Two sweeps, configuration by configuration."""

    table: pd.DataFrame  # a row per configuration and rule, with COLUMNS
    names: tuple[str, str]
    conflicts: list[str]  # between the folders of a side
    lost: tuple[int, ...]  # trials of each side that their machine ended, and which are left out

    def sections(self) -> list[Section]:
        """For people."""
        notes = [*_lost_notes(self.names, self.lost), *conflict_notes(self.conflicts)]
        return [_paired(self.table, self.names, notes), *_alone(self.table, self.names)]


def compare(first: Sequence[Path], second: Sequence[Path], clean_images: str = ALL) -> Comparison:
    """Pair the trials of two sweeps, or of two sets of sweeps.

    ``difference`` is second minus first, over the seeds that both have; ``p_holm`` is corrected for
    the number of configurations compared by the same rule. ``only_first`` and ``only_second`` count
    trials without a partner, and ``other_labels`` pairs whose noisy labels are not the same, though
    all that sets them is. Of trials that a side has on several devices the first counts.

    Args:
        clean_images: as in ``leaderboard.load_rows``.

    Raises:
        InputError: where a folder is no sweep, or no trial is over.
    """
    loaded = [
        _own_protocols(rows)
        for rows in load_sides((first, second), check_clean_images(clean_images))
    ]
    conflicts = {conflict for rows in loaded for conflict in rows["conflicts"].explode().dropna()}
    columns = [*_TRIAL, "rule", "test_accuracy", "label_hash", "cost_seconds"]
    sides = [
        rows.loc[~rows["lost"], columns].astype(_TYPES).drop_duplicates([*_TRIAL, "rule"])
        for rows in loaded
    ]
    lost = tuple(_lost_trials(rows) for rows in loaded)
    if all(side.empty for side in sides):
        raise InputError(
            f"there is nothing to compare: all {sum(lost)} trials were ended by their machine; run "
            "their commands again"
        )
    both = sides[0].merge(
        sides[1],
        how="outer",
        on=[*_TRIAL, "rule"],
        suffixes=("_first", "_second"),
        indicator="side",
    )
    rows = []
    for key, own in both.groupby([*_CONFIGURATION, "rule"], dropna=False, sort=True):
        pairs = own[own["side"] == "both"]
        hashes = pairs[["label_hash_first", "label_hash_second"]]
        rows.append(
            {
                **dict(zip([*_CONFIGURATION, "rule"], key, strict=True)),
                "first": pairs["test_accuracy_first"].mean(),
                "second": pairs["test_accuracy_second"].mean(),
                "values": (pairs["test_accuracy_second"] - pairs["test_accuracy_first"]).to_numpy(
                    dtype=float
                ),
                "other_labels": int((hashes.nunique(axis=1) > 1).sum()),
                "seconds_first": pairs["cost_seconds_first"].mean(),
                "seconds_second": pairs["cost_seconds_second"].mean(),
                "only_first": int((own["side"] == "left_only").sum()),
                "only_second": int((own["side"] == "right_only").sum()),
            }
        )
    table = pd.DataFrame(rows)
    values = paired_differences(list(table["values"]))
    table[["difference", "diff_low", "diff_high", "p_value"]] = values[:, :4]
    table["pairs"] = values[:, 4].astype(int)
    table["p_holm"] = np.nan
    for _, own in table.groupby("rule"):
        table.loc[own.index, "p_holm"] = holm(own["p_value"].to_numpy())
    table["rule_order"] = table["rule"].map(rule_order)
    table = table.sort_values(
        ["dataset", "noise_kind", "noise_rate", "rule_order", "method", "hparams"], kind="stable"
    )
    return Comparison(
        table.reset_index(drop=True), (_name(first), _name(second)), sorted(conflicts), lost
    )


def _lost_trials(rows: pd.DataFrame) -> int:
    """Count the trials of a side that their machine ended."""
    return len(rows.loc[rows["lost"], _TRIAL].drop_duplicates())


def _own_protocols(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, where each method has its own recipe without what the command line changed in it:
    the recipe says that.
    """
    own = rows["protocol"].str.startswith(PAPER)
    return rows.assign(protocol=rows["protocol"].mask(own, PAPER))


def _name(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)


def _lost_notes(names: tuple[str, str], lost: Sequence[int]) -> list[str]:
    """Footnote for trials that are no part of any pair, because their machine ended them."""
    if not any(lost):
        return []
    counts = ", ".join(
        f"{count} of {name}" for count, name in zip(lost, names, strict=True) if count
    )
    return [
        f"Trials that their machine ended are left out ({counts}): run that sweep's command again "
        "to fill them in."
    ]


def _paired(table: pd.DataFrame, names: tuple[str, str], more_notes: Sequence[str]) -> Section:
    first, second = names
    paired = table[(table["pairs"] > 0) & (table["rule"] != ORACLE)]
    if paired.empty:
        differing = [name for name in [*_CELL, "method"] if _disjoint(table, name)]
        why = f": they differ in {', '.join(differing)}" if differing else ""
        return Section(
            "What both have",
            f"No trial of {first} has a partner in {second}{why}.",
            [],
            list(more_notes),
        )
    lines = []
    for _, row in paired.iterrows():
        interval = (
            ""
            if pd.isna(row["diff_low"])
            else f" ± {50 * (row['diff_high'] - row['diff_low']):.1f}"
        )
        times = row["seconds_second"] / row["seconds_first"] if row["seconds_first"] else np.nan
        texts = [
            *(
                row["dataset"],
                f"{rate_title(row['noise_rate'])} {row['noise_kind']}",
                row["method"],
                row["config"] or "defaults",
            ),
            *(
                row["rule"],
                _percent(row["first"]),
                _percent(row["second"]),
                f"{_change(row['difference'])}{interval}",
            ),
            *(NONE if pd.isna(times) else f"{times:.2f}", str(row["pairs"])),
        ]
        certain = bool(row["p_holm"] < 1 - CONFIDENCE)
        lines.append(
            [
                Entry(text, mark="*" if certain and place == 7 else "")
                for place, text in enumerate(texts)
            ]
        )
    columns = [
        "Data set",
        "Noise",
        "Method",
        "Configuration",
        "Rule",
        "First",
        "Second",
        "Difference",
        "Time (×first)",
        "Pairs",
    ]
    same = int((paired.loc[paired["rule"] == DEFAULT_RULE, "difference"] == 0).sum())
    notes = [
        f"First: {first}. Second: {second}. Differences in points over the seeds that both have, ± "
        "half of the 95 % interval; * where the paired t test, with Holm's correction for the "
        f"configurations, has p < {1 - CONFIDENCE:.2g}.",
        f"{same} of {(paired['rule'] == DEFAULT_RULE).sum()} configurations have the same mean by "
        f"{DEFAULT_RULE}.",
    ]
    if others := int(table.loc[table["rule"] == DEFAULT_RULE, "other_labels"].sum()):
        notes.append(
            f"Pairs with other noisy labels, though seed and noise are the same: {others}. One "
            "side made them differently."
        )
    notes += more_notes
    return Section("What both have", "", [Table("Paired differences", columns, lines)], notes)


def _alone(table: pd.DataFrame, names: tuple[str, str]) -> list[Section]:
    sections = []
    for side, name in zip(("only_first", "only_second"), names, strict=True):
        own = table[(table[side] > 0) & (table["rule"] == DEFAULT_RULE)]
        if own.empty:
            continue
        lines = [
            [
                *(
                    Entry(text)
                    for text in (
                        row["dataset"],
                        f"{rate_title(row['noise_rate'])} {row['noise_kind']}",
                        row["method"],
                    )
                ),
                *(Entry(text) for text in (row["config"] or "defaults", str(row[side]))),
            ]
            for _, row in own.iterrows()
        ]
        columns = ["Data set", "Noise", "Method", "Configuration", "Trials"]
        sections.append(
            Section(f"Only in {name}", "", [Table("Trials without a partner", columns, lines)], [])
        )
    return sections


def _disjoint(table: pd.DataFrame, name: str) -> bool:
    """Whether the two sides have no value of this column in common."""
    one, other = (
        set(table.loc[table[side] > 0, name].astype(str)) for side in ("only_first", "only_second")
    )
    return bool(one) and bool(other) and not one & other


def _change(value: float) -> str:
    if pd.isna(value):
        return NONE
    return "0.0" if value == 0 else f"{100 * value:+.1f}".replace("-", "−")


def _percent(value: float) -> str:
    return NONE if pd.isna(value) else f"{100 * value:.1f}"
