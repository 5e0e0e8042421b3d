"""Data of the page: groups, leaderboards, trials and curves, as page.js reads them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.common.text import printable
from bench.errors import InputError
from bench.planning.registry import REFERENCE
from bench.planning.selection import CLEAN_VAL, DEFAULT_RULE, LABEL_WAVE, ORACLE
from bench.records.packing import pack_numbers
from bench.records.schema import NOISY_VAL_ACCURACY, TEST_ACCURACY
from bench.report.agreement import rules_of
from bench.report.board import Board
from bench.report.columns import BUDGETS, SEEDS
from bench.report.facts import CURVE_OF
from bench.report.metrics import ACCURACY, METRICS, RESOURCES
from bench.report.standings import (
    Figures,
    Standings,
    figures_of,
    priced,
    printed_value,
    standings,
    tests_of,
)
from bench.report.statistics import SLACK
from bench.report.tables import Section
from bench.report.wording import LABEL_WAVE_EPOCH, clean_note, rate_title, rates_of, rule_label

#: Labels of the curves that the page shows, by their names in the records.
CURVES = {
    TEST_ACCURACY: "Test accuracy",
    "worst_class_accuracy": "Accuracy on the worst class",
    NOISY_VAL_ACCURACY: "Noisy validation accuracy",
    "memorised_clean": "Correct labels memorised",
    "memorised_wrong": "Wrong labels memorised",
    "recovered_wrong": "Wrong labels seen through",
    "detection_auc": "Wrong labels found (AUC)",
    "label_correction_accuracy": "Labels right after correction",
    "calibration_error": "Calibration error",
}
#: Steps of a packed fraction, and the step that stands for a missing one.
_STEPS, _MISSING = 10_000, 65_535

#: Group and noise rate of each cell, by their positions on the page.
Cells = Mapping[str, tuple[int, int]]


class Numbers:
    """Positions of distinct values, so that a value that many rows share is stored once."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values = list(dict.fromkeys(values))
        self._positions = {value: position for position, value in enumerate(self.values)}

    def __getitem__(self, value: str) -> int:
        return self._positions[value]


def page_data(
    board: Board, tables: Sequence[Section], published: Section | None, curves: Sequence[str]
) -> dict[str, Any]:
    """Return all data of the page but the curves themselves.

    Args:
        tables: sections of the board's groups.
        curves: names of the curves that the page holds.
    """
    trials = _trials(board)
    methods, configs, sweeps = (
        Numbers(values.tolist())
        for values in (board.leaderboard["method"], trials["hparams"], trials["sweep"])
    )
    groups, cells = _groups(board, tables)
    figures, tests = figures_of(board), tests_of(board)
    rows = _rows(board, figures, tests, cells, methods, configs)
    data: dict[str, Any] = {
        "rules": [_rule(rule) for rule in rules_of(board.rows)],
        "reference": REFERENCE,
        "groups": groups,
        "methods": methods.values,
        "configs": [_settings(text) for text in configs.values],
        "curves": {name: CURVES[name] for name in curves},
        "metric": board.metric.name,
        "metrics": _metrics(rows),
        "tracks": list(board.leaderboard["track"].unique()),
        "budgets": [str(budget) for budget in BUDGETS],
        "slack": SLACK,
        "rows": rows,
        "boards": _boards(board, standings(board, figures, tests), methods),
        "trials": _trial_columns(board, trials, cells, methods, configs, sweeps),
        "sweeps": [
            {"name": printable(Path(folder).resolve().name)} | _origin(Path(folder))
            for folder in sweeps.values
        ],
    }
    if published:
        data["published"] = {
            "title": published.title,
            "tables": [
                {"columns": table.columns, "rows": [[e.text for e in row] for row in table.rows]}
                for table in published.tables
            ],
            "notes": published.notes,
        }
    return data


def recorded_curves(board: Board) -> dict[str, str]:
    """Return the curves that any trial has, packed, by name: one trial after another."""
    trials = _trials(board)
    columns = {name: trials[CURVE_OF[name]] for name in CURVES}
    return {
        name: pack(column)
        for name, column in columns.items()
        if any(np.isfinite(curve).any() for curve in column)
    }


def pack(curves: Iterable[np.ndarray]) -> str:
    """Return fractions in steps of a ten-thousandth, deflated, as page.js unpacks them."""
    values = np.concatenate([np.asarray(curve, dtype=float) for curve in curves])
    rounded = np.round(np.clip(np.nan_to_num(values), 0, 1) * _STEPS)
    steps = np.where(np.isfinite(values), rounded, _MISSING)
    return pack_numbers(steps)


def _trials(board: Board) -> pd.DataFrame:
    """Return one row per trial, in the order of the page."""
    return board.rows[board.rows["rule"] == DEFAULT_RULE].reset_index(drop=True)


def _rule(rule: str) -> dict[str, Any]:
    """Return a rule with the objection to it."""
    note = clean_note([rule]) if rule.startswith(CLEAN_VAL) else ""
    if rule == LABEL_WAVE:
        note = f"{rule} picks an epoch without any label: {LABEL_WAVE_EPOCH}."
    if rule == ORACLE:
        note = (
            "The oracle picks by test accuracy, which nobody could have done: a yardstick, not for "
            "ranking."
        )
    return {"name": rule, "label": rule_label(rule), "ranks": rule != ORACLE, "note": note}


def _metrics(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return accuracy, and the other metrics that any row has."""
    recorded = {ACCURACY.name}.union(*(row["values"] for row in rows))
    return [
        {
            "name": name,
            "label": metric.label,
            "more": metric.more_is_better,
            "failed": metric.at_failure is not None,
        }
        for name, metric in METRICS.items()
        if name in recorded
    ]


def _groups(board: Board, tables: Sequence[Section]) -> tuple[list[dict[str, Any]], Cells]:
    """Return the groups in the order of the leaderboard, and the positions of their cells."""
    groups: list[dict[str, Any]] = []
    cells: dict[str, tuple[int, int]] = {}
    by_group = board.leaderboard.groupby("group", sort=False)
    for position, ((_, rows), section) in enumerate(zip(by_group, tables, strict=True)):
        rates, doubtful = rates_of(rows), board.doubtful_rates(rows)
        first, names = rows.iloc[0], ("dataset", "noise_kind", "protocol", "pretrained")
        groups.append(
            {
                "title": section.title,
                "setup": section.setup,
                "notes": section.notes,
                "facets": {name: str(first[name]) for name in names if first[name]},
                "rates": [rate_title(rate) for rate in rates],
                "doubtful": [rate in doubtful for rate in rates],
                "priced": priced(rows),
            }
        )
        for cell, rate in zip(rows["cell"], rows["noise_rate"], strict=True):
            cells[cell] = position, rates.index(rate)
    return groups, cells


def _rows(
    board: Board,
    figures: Figures,
    tests: pd.DataFrame,
    cells: Cells,
    methods: Numbers,
    configs: Numbers,
) -> list[dict[str, Any]]:
    """Return the rows of the leaderboard, each with its values by metric."""
    values = _values(figures)
    rows = []
    for position, row in enumerate(board.leaderboard.to_dict("records")):
        group, rate = cells[row["cell"]]
        tier = tests["tier"].iloc[position]
        rows.append(
            {
                "group": group,
                "rate": rate,
                "rule": row["rule"],
                "method": methods[row["method"]],
                "config": configs[row["hparams"]],
                "seeds": row["seeds"],
                "unequal": row["unequal_seeds"],
                "failures": row["failures"],
                "tier": None if pd.isna(tier) else int(tier),
                "mark": row["mark"],
                "values": values[position],
            }
        )
    return rows


def _values(figures: Figures) -> list[dict[str, list[Any]]]:
    """Return each row's mean, printed mean and printed half-width by metric."""
    values: list[dict[str, list[Any]]] = [{} for _ in range(len(figures.means))]
    for name in figures.means.columns:
        pairs = zip(figures.means[name], figures.half_widths[name], strict=True)
        for row, (mean, width) in zip(values, pairs, strict=True):
            if not math.isnan(mean):
                texts = [
                    None if math.isnan(v) else f"{printed_value(name, v):.1f}"
                    for v in (mean, width)
                ]
                row[name] = [_short(mean), *texts]
    return values


def _boards(
    board: Board, leaderboards: Sequence[Standings], methods: Numbers
) -> dict[str, dict[str, Any]]:
    """Return leaderboards by group, rule, track and budget, joined by spaces."""
    positions = Numbers(board.leaderboard["group"])
    return {
        f"{positions[entry.group]} {entry.rule} {entry.track} {entry.budget}": {
            "tiers": entry.tiers,
            "lines": [
                msgspec.structs.asdict(line) | {"method": methods[line.method]}
                for line in entry.lines
            ],
        }
        for entry in leaderboards
    }


def _trial_columns(
    board: Board,
    trials: pd.DataFrame,
    cells: Cells,
    methods: Numbers,
    configs: Numbers,
    sweeps: Numbers,
) -> dict[str, Any]:
    """Return columns over trials; those that depend on the rule are lists by rule."""
    # Lists throughout: going through a pandas column takes twenty times as long.
    columns = board.rows[["rule", "id", TEST_ACCURACY, "epoch"]]
    by_rule = {
        rule: rows.drop_duplicates("id").set_index("id").reindex(trials["id"])
        for rule, rows in columns.groupby("rule")
    }
    recipes, labels, commits = (
        Numbers(trials[name].tolist()) for name in ("recipe", "label_hash", "git_commit")
    )
    return {
        "id": trials["id"].tolist(),
        "group": [cells[cell][0] for cell in trials["cell"].tolist()],
        "rate": [cells[cell][1] for cell in trials["cell"].tolist()],
        "method": [methods[method] for method in trials["method"].tolist()],
        "config": [
            "not on record" if origin else config
            for origin, config in zip(trials["imported"], trials["config"], strict=True)
        ],
        "hparams": [configs[text] for text in trials["hparams"].tolist()],
        "recipe": [recipes[text] for text in trials["recipe"].tolist()],
        "recipes": recipes.values,
        "labels": [labels[text] for text in trials["label_hash"].tolist()],
        "label_hashes": labels.values,
        "code": [commits[text] for text in trials["git_commit"].tolist()],
        "commits": commits.values,
        "seeds": trials[SEEDS].to_numpy().tolist(),
        "sweep": [sweeps[folder] for folder in trials["sweep"].tolist()],
        "status": trials["status"].tolist(),
        "seconds": [_short(value, 2) for value in trials["cost_seconds"].tolist()],
        **{name: [_short(value, 2) for value in trials[name].tolist()] for name in RESOURCES},
        "epochs": [len(curve) for curve in trials["test_curve"].tolist()],
        **{
            key: {
                rule: [_short(value) for value in by_rule[rule][column].tolist()]
                for rule in rules_of(board.rows)
            }
            for key, column in (("accuracy", TEST_ACCURACY), ("epoch", "epoch"))
        },
    }


def _settings(hparams: str) -> str:
    settings = msgspec.json.decode(hparams)
    return ", ".join(f"{key}={value}" for key, value in settings.items()) or "none"


def _origin(folder: Path) -> dict[str, Any]:
    """Return what a sweep's file says about its origin."""
    try:
        sweep = msgspec.json.decode((folder / "sweep.json").read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{str(folder / 'sweep.json')!r} is damaged ({error}): delete it, or run the sweep "
            "again"
        ) from error
    facts = {key: sweep.get(key) for key in ("git_commit", "machine", "versions")}
    return {key: value for key, value in facts.items() if value}


def _short(value: float, digits: int = 5) -> float | None:
    return None if math.isnan(value) else round(float(value), digits)
