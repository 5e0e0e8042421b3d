"""Two sweeps side by side: before and after a change, ours and theirs.

Trials are paired where data, noise, recipe, pretrained network, method, settings and seeds agree.
Device, precision, threads and code may differ: they are often what is compared. Trials that their
machine ended are left out: a comparison stands on the pairs that it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.common.identity import PAPER
from bench.errors import InputError
from bench.planning.selection import ALL, DEFAULT_RULE, ORACLE, check_clean_images, rule_order
from bench.records.merge import conflict_notes
from bench.report.columns import SEEDS
from bench.report.metrics import ACCURACY
from bench.report.rows import load_sides
from bench.report.statistics import CONFIDENCE, holm, paired_differences
from bench.report.tables import Entry, Section, Table, entries
from bench.report.wording import (
    BETTER,
    NONE,
    decimal,
    half_interval,
    percent,
    rate_title,
    signed,
)

_CELL = (
    "dataset subset image_size data_hash noise_kind noise_hash noise_sampling noise_rate protocol "
    "validation_share recipe network"
).split()
_CONFIGURATION = [*_CELL, "pretrained", "method", "hparams", "config"]
_TRIAL = [*_CONFIGURATION, *SEEDS]
#: Types of columns that hold None in all trials of a side: None merges neither with numbers nor
#: with text.
_TYPES = {"subset": float, "image_size": float, "noise_hash": "string"}

#: Columns of compare.csv.
COLUMNS = (
    "dataset noise_kind noise_rate method config rule first second difference diff_low diff_high "
    "p_value p_holm pairs other_labels seconds_first seconds_second only_first only_second "
    "pretrained protocol recipe subset image_size noise_sampling validation_share data_hash "
    "noise_hash"
).split()


@dataclass(frozen=True)
class Comparison:
    """Two sweeps, configuration by configuration."""

    table: pd.DataFrame  # a row per configuration and rule, with COLUMNS
    names: tuple[str, str]
    conflicts: list[str]  # between the folders of a side
    lost: tuple[int, ...]  # trials of each side that their machine ended, and which are left out

    def sections(self) -> list[Section]:
        """Return the sections of the comparison: pairs, and trials without a partner."""
        notes = conflict_notes(self.conflicts)
        if any(self.lost):
            pairs = zip(self.lost, self.names, strict=True)
            counts = ", ".join(f"{count} of {name}" for count, name in pairs if count)
            notes.insert(
                0,
                f"Trials that their machine ended are left out ({counts}): run that sweep's "
                "command again to fill them in.",
            )
        return [_paired(self.table, self.names, notes), *_alone(self.table, self.names)]


def compare(first: Sequence[Path], second: Sequence[Path], clean_images: str = ALL) -> Comparison:
    """Pair the trials of two sweeps, or of two sets of sweeps.

    ``difference`` is second minus first, over the seeds that both have; ``p_holm`` is corrected for
    the number of configurations compared by the same rule. ``only_first`` and ``only_second`` count
    trials without a partner, and ``other_labels`` pairs whose noisy labels are not the same, though
    all that sets them is. Of trials that a side has on several devices the first counts.

    Args:
        clean_images: as in ``rows.load_sides``.

    Raises:
        InputError: where a folder is no sweep, or no trial is over.
    """
    loaded = load_sides((first, second), check_clean_images(clean_images))
    if any((rows["imported"] != "").any() for rows in loaded):
        raise InputError(
            "imported trials have no partners, as their seeds are of other code: set them beside "
            "others with python -m bench.report DIR DIR"
        )
    conflicts = {text for rows in loaded for texts in rows["conflicts"] for text in texts}
    # Under "paper" the recipe says what the command line changed: the protocol need not.
    papers = [rows["protocol"].str.startswith(PAPER) for rows in loaded]
    loaded = [
        rows.assign(protocol=rows["protocol"].mask(paper, PAPER))
        for rows, paper in zip(loaded, papers, strict=True)
    ]
    lost = tuple(len(rows.loc[rows["lost"], _TRIAL].drop_duplicates()) for rows in loaded)
    key = [*_TRIAL, "rule"]
    columns = [*key, ACCURACY.name, "label_hash", "cost_seconds"]
    sides = [
        rows.loc[~rows["lost"], columns].astype(_TYPES).drop_duplicates(key) for rows in loaded
    ]
    if all(side.empty for side in sides):
        raise InputError(
            f"there is nothing to compare: all {sum(lost)} trials were ended by their machine; run "
            "their commands again"
        )
    both = sides[0].merge(
        sides[1], how="outer", on=key, suffixes=("_first", "_second"), indicator="side"
    )
    names = [", ".join(map(str, folders)) for folders in (first, second)]
    return Comparison(_compared(both), (names[0], names[1]), sorted(conflicts), lost)


def _compared(both: pd.DataFrame) -> pd.DataFrame:
    """Return a row per configuration and rule from the trials of both sides, paired by seeds."""
    keys = [*_CONFIGURATION, "rule"]
    rows, differences = [], []
    for key, trials in both.groupby(keys, dropna=False, sort=True):
        pairs = trials[trials["side"] == "both"]
        first, second = pairs["test_accuracy_first"], pairs["test_accuracy_second"]
        differences.append((second - first).to_numpy(dtype=float))
        # A failed trial may have no hash.
        hashes = pairs[["label_hash_first", "label_hash_second"]].replace("", None)
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        row |= {"first": first.mean(), "second": second.mean()}
        row["other_labels"] = int((hashes.nunique(axis=1) > 1).sum())
        for side, only in (("first", "left_only"), ("second", "right_only")):
            row[f"seconds_{side}"] = pairs[f"cost_seconds_{side}"].mean()
            row[f"only_{side}"] = int((trials["side"] == only).sum())
        rows.append(row)
    table, tests = pd.DataFrame(rows), paired_differences(differences)
    table[["difference", "diff_low", "diff_high", "p_value"]] = tests[:, :4]
    table["pairs"] = tests[:, 4].astype(int)
    by_rule = table.groupby("rule")["p_value"]
    table["p_holm"] = by_rule.transform(lambda p_values: holm(p_values.to_numpy()))
    table["rule_order"] = table["rule"].map(rule_order)
    order = ["dataset", "noise_kind", "noise_rate", "rule_order", "method", "hparams"]
    return table.sort_values(order, kind="stable").reset_index(drop=True)


def _paired(table: pd.DataFrame, names: tuple[str, str], more_notes: list[str]) -> Section:
    first, second = names
    paired = table[(table["pairs"] > 0) & (table["rule"] != ORACLE)]
    if paired.empty:
        differing = [name for name in [*_CELL, "method"] if _disjoint(table, name)]
        why = f": they differ in {', '.join(differing)}" if differing else ""
        text = f"No trial of {first} has a partner in {second}{why}."
        return Section("What both have", text, [], more_notes)
    lines, networks = [], _has_networks(table)
    for _, row in paired.iterrows():
        difference = "0.0" if row["difference"] == 0 else signed(row["difference"])
        difference += half_interval(row["diff_low"], row["diff_high"])
        certain = bool(row["p_holm"] < 1 - CONFIDENCE)
        times = row["seconds_second"] / row["seconds_first"] if row["seconds_first"] else np.nan
        line = [*_configuration(row, networks), *entries(row["rule"])]
        line += entries(percent(row["first"]), percent(row["second"]))
        line += [Entry(difference, mark=BETTER * certain), *entries(decimal(times, 2))]
        lines.append(line + entries(row["pairs"]))
    columns = [*_heads(networks), "Rule", "First", "Second", "Difference", "Time (×first)", "Pairs"]
    by_default = paired[paired["rule"] == DEFAULT_RULE]
    notes = [
        f"First: {first}. Second: {second}. Differences in points over the seeds that both have, ± "
        f"half of the 95 % interval; {BETTER} where the paired t test, with Holm's correction for "
        f"the configurations, has p < {1 - CONFIDENCE:.2g}.",
        f"{(by_default['difference'] == 0).sum()} of {len(by_default)} configurations have the "
        f"same mean by {DEFAULT_RULE}.",
    ]
    if others := table.loc[table["rule"] == DEFAULT_RULE, "other_labels"].sum():
        notes.append(
            f"Pairs with other noisy labels, though seed and noise are the same: {others}. One "
            "side made them differently."
        )
    pairs = Table("Paired differences", columns, lines)
    return Section("What both have", "", [pairs], notes + more_notes)


def _alone(table: pd.DataFrame, names: tuple[str, str]) -> list[Section]:
    sections, networks = [], _has_networks(table)
    for side, name in zip(("only_first", "only_second"), names, strict=True):
        alone = table[(table[side] > 0) & (table["rule"] == DEFAULT_RULE)]
        if len(alone):
            lines = [
                [*_configuration(row, networks), *entries(row[side])] for _, row in alone.iterrows()
            ]
            columns = [*_heads(networks), "Trials"]
            tables = [Table("Trials without a partner", columns, lines)]
            sections.append(Section(f"Only in {name}", "", tables, []))
    return sections


def _has_networks(table: pd.DataFrame) -> bool:
    """Return whether any trial has a pretrained network."""
    return bool((table["pretrained"] != "").any())


def _heads(networks: bool) -> list[str]:
    """Return the heads of the columns of ``_configuration``."""
    return ["Data set", "Noise", *["Pretrained"] * networks, "Method", "Configuration"]


def _configuration(row: pd.Series, networks: bool) -> list[Entry]:
    """Return entries of a configuration; with ``networks`` also its pretrained network."""
    noise = f"{rate_title(row['noise_rate'])} {row['noise_kind']}"
    network = [row["pretrained"] or NONE] * networks
    return entries(row["dataset"], noise, *network, row["method"], row["config"] or "defaults")


def _disjoint(table: pd.DataFrame, name: str) -> bool:
    """Return whether the two sides have no value of this column in common."""
    first, second = (
        set(table.loc[table[side] > 0, name].astype(str)) for side in ("only_first", "only_second")
    )
    return bool(first and second) and first.isdisjoint(second)
