"""Facts of trials as a table of rows: a row per trial, track and rule, at the epoch of the rule."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.planning.selection import ALL, CLEAN_VAL, Curves, rule_names, rule_order, select
from bench.report.cells import Facts
from bench.report.columns import LEARNING, SEEDS
from bench.report.facts import CURVE_OF, CURVES, RULE_CURVES, read_facts
from bench.report.metrics import ACCURACY


def load_sides(sides: Sequence[Sequence[Path]], clean_images: str = ALL) -> list[pd.DataFrame]:
    """Read several sets of folders, a table each; equal data and settings share a name.

    A table holds the trials below a set's folders, without those of searches: see ``rows_of``.

    Args:
        clean_images: number of clean validation labels that the rule clean-val reads, or "all".

    Raises:
        InputError: where a folder is no sweep, or no trial is over.
    """
    return [rows_of(compared, clean_images) for compared, _ in read_facts(sides, clean_images)]


def rows_of(trials: Sequence[Facts], clean_images: str) -> pd.DataFrame:
    """Apply every rule to the facts of trials: a row per trial, track and rule, in their order.

    A trial whose record knows too few clean validation labels has no row by clean-val, and one
    without counts of changed predictions none by label-wave.
    ``test_curve``, ``noisy_val_curve`` and those of ``LEARNING`` are figures over epochs, (E,)
    arrays, the same objects under every rule; without ``_curve`` in its name a figure is that of
    the rule's epoch. Accuracies are fractions.

    Args:
        clean_images: as in ``load_sides``.
    """
    table, stacks, tables = pd.DataFrame(trials), _stacks(trials), []
    for rule in rule_names(clean_images):
        rows = table.assign(rule=rule, **_at_epochs(rule, trials, stacks))
        if rule.startswith(CLEAN_VAL):
            privileges = [f"{text},{rule}" if text else rule for text in rows["privileges"]]
            rows = rows.assign(privileges=privileges)
        if needs := RULE_CURVES.get(rule.partition(":")[0]):
            rows = rows[rows[needs[0]]]
        tables.append(rows)
    return in_order(pd.concat(tables, ignore_index=True), ["method", "config", "hparams", *SEEDS])


#: Positions of the trials of one length, and their curves (N, E) by column.
_Stack = tuple[list[int], dict[str, np.ndarray]]


def _stacks(trials: Sequence[Facts]) -> list[_Stack]:
    """Stack the curves of successful trials, length by length."""
    by_length = defaultdict(list)
    for place, facts in enumerate(trials):
        if facts["succeeded"]:
            by_length[len(facts["test_curve"])].append(place)
    return [
        (
            places,
            {
                name: np.concatenate([trials[place][name] for place in places]).reshape(-1, length)
                for name in CURVES
            },
        )
        for length, places in by_length.items()
    ]


def _at_epochs(
    rule: str, trials: Sequence[Facts], stacks: Sequence[_Stack]
) -> dict[str, np.ndarray]:
    """Return accuracy, score, epoch and other figures of each trial under the rule, (N,) each."""
    names = [ACCURACY.name, "score", "epoch", *LEARNING]
    columns = {name: np.full(len(trials), np.nan) for name in names}
    for place, facts in enumerate(trials):
        for name, value in facts["at_failure"].items():
            columns[name][place] = value
            if name == ACCURACY.name:
                columns["score"][place] = value
    for places, curves in stacks:
        choice = select(
            rule,
            Curves(
                validation=curves["noisy_val_curve"],
                clean=curves["clean_val_curve"],
                changes=curves["changes_curve"],
                test=curves["test_curve"],
            ),
        )
        columns[ACCURACY.name][places] = choice.test_accuracy
        columns["score"][places] = choice.score
        columns["epoch"][places] = choice.epoch
        for name in LEARNING:
            columns[name][places] = choice.of(curves[CURVE_OF[name]])
    return columns


def in_order(table: pd.DataFrame, last_keys: Sequence[str]) -> pd.DataFrame:
    """Sort by data set, noise and rule, the default rule first, then by the given columns."""
    keys = ["dataset", "noise_kind", "noise_rate", "group", "rule_order", *last_keys]
    order = table.assign(rule_order=table["rule"].map(rule_order))
    return table.loc[order.sort_values(keys, kind="stable").index].reset_index(drop=True)
