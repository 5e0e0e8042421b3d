"""The leaderboard as one self-contained page: index.html opens from disk and asks no network for
anything.

Tables and plots are DataTables' and uPlot's, embedded with the data (see assets/README.md). Curves
are packed in steps of a ten-thousandth, deflated, and unpacked by the browser when they are first
looked at.
"""

import base64
import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.common.text import printable
from bench.errors import InputError
from bench.planning.registry import REFERENCE
from bench.planning.selection import CLEAN_VAL, DEFAULT_RULE, ORACLE
from bench.report.columns import BUDGETS, SEEDS
from bench.report.metrics import ACCURACY, METRICS, RESOURCES, Metric
from bench.report.statistics import (
    CONFIDENCE,
    SLACK,
    half_width,
    rules_of,
    within_budget,
)
from bench.report.tables import Section
from bench.report.wording import clean_note, rate_title, rule_label

ASSETS = Path(__file__).parent / "assets"

#: Curves of a record that the page shows: name -> label.
CURVES = {
    "test_accuracy": "Test accuracy",
    "worst_class_accuracy": "Accuracy on the worst class",
    "noisy_val_accuracy": "Noisy validation accuracy",
    "memorised_clean": "Correct labels memorised",
    "memorised_wrong": "Wrong labels memorised",
    "recovered_wrong": "Wrong labels seen through",
    "detection_auc": "Wrong labels found (AUC)",
    "label_correction_accuracy": "Labels right after correction",
    "calibration_error": "Calibration error",
}
_STEPS = 10_000
_MISSING = 65_535


def write_page(
    rows: pd.DataFrame,
    chosen: pd.DataFrame,
    board: pd.DataFrame,
    found: Sequence[Section],
    statistics: pd.DataFrame,
    published: Section | None = None,
    metric: Metric = ACCURACY,
    flagged: Collection[str] = (),
) -> bytes:
    """The page.

    Args:
        rows: from ``leaderboard.load_rows``, with curves; ``chosen`` the part that
            ``leaderboard.chosen_rows`` gives.
        board: from ``leaderboard.leaderboard``, by accuracy, and ``found`` its sections.
        statistics: from ``statistics.cell_statistics``.
        published: from ``analysis.published_section``.
        metric: what the page shows first.
        flagged: cells where noisy validation and test accuracy disagree.
    """
    trials = rows[rows["rule"] == DEFAULT_RULE].reset_index(drop=True)
    kept = {
        name: label
        for name, label in CURVES.items()
        if any(np.isfinite(curve).any() for curve in trials[_column(name)])
    }
    groups, rates = _groups(board, found, flagged)
    methods = _Numbers(board["method"])
    configs, sweeps = _Numbers(trials["hparams"].tolist()), _Numbers(trials["sweep"].tolist())
    ranked = _rows(chosen, board, rates, methods, configs, _tests(statistics))
    data: dict[str, Any] = {
        "rules": [_rule(rule) for rule in rules_of(rows)],
        "reference": REFERENCE,
        "groups": groups,
        "methods": methods.values,
        "configs": [_settings(text) for text in configs.values],
        "curves": kept,
        "rows": ranked,
        "budgets": BUDGETS,
        "slack": SLACK,
        "trials": _trials(rows, trials, rates, methods, configs, sweeps),
        "sweeps": [
            {"name": printable(Path(folder).resolve().name)} | _origin(Path(folder))
            for folder in sweeps.values
        ],
    }
    if published:
        tables = [
            {"columns": own.columns, "rows": [[entry.text for entry in row] for row in own.rows]}
            for own in published.tables
        ]
        data["published"] = {"title": published.title, "tables": tables, "notes": published.notes}
    shown = {name for row in ranked for name in row["values"]}
    data["metrics"] = [
        {
            "name": name,
            "label": own.label,
            "more": own.more_is_better,
            "failed": own.at_failure is not None,
            "scale": own.scale,
        }
        for name, own in METRICS.items()
        if name in shown
    ]
    data["metric"] = metric.name
    packed = [
        f'<script type="text/plain" id="curve-{name}">{pack(trials[_column(name)])}</script>'
        for name in kept
    ]
    parts = {
        "uplot.css": _asset("uPlot.min.css"),
        "page.css": _asset("page.css"),
        "datatables.js": _asset("dataTables.min.js"),
        "uplot.js": _asset("uPlot.iife.min.js"),
        "page.js": _asset("page.js"),
        "curves": "\n".join(packed),
        "data": embedded(data),
    }
    pieces = _asset("page.html").split("{{")
    page = pieces[0]
    for piece in pieces[1:]:  # not replaced one after another: data may hold braces too
        name, _, rest = piece.partition("}}")
        page += parts[name] + rest
    return page.encode()


def _rule(rule: str) -> dict[str, Any]:
    """A rule as the page's switch shows it, with what is to be said against it."""
    notes = {
        ORACLE: "The oracle picks by test accuracy, which nobody could have done: a yardstick, not for ranking."
    }
    note = clean_note([rule]) if rule.startswith(CLEAN_VAL) else notes.get(rule, "")
    return {"name": rule, "label": rule_label(rule), "ranks": rule != ORACLE, "note": note}


def embedded(data: Any) -> str:
    """JSON that may stand in a page: nothing in it can end the element it stands in, or begin
    another.
    """
    text = msgspec.json.encode(data, enc_hook=_plain).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    """A NumPy value as one of Python's."""
    return value.tolist()


def pack(curves: Iterable[np.ndarray]) -> str:
    """Fractions, one curve after another, as the page's ``unpack`` reads them."""
    values = np.concatenate([np.asarray(curve, dtype=float) for curve in curves])
    steps = np.where(
        np.isfinite(values), np.round(np.clip(np.nan_to_num(values), 0, 1) * _STEPS), _MISSING
    )
    return base64.b64encode(zlib.compress(steps.astype("<u2").tobytes(), 6)).decode()


class _Numbers:
    """Values by number: what many rows share stands in the page once."""

    def __init__(self, values: Iterable[str]) -> None:
        self.values = list(dict.fromkeys(values))
        self._places = {value: place for place, value in enumerate(self.values)}

    def __getitem__(self, value: str) -> int:
        return self._places[value]


def _column(name: str) -> str:
    """Column of the trials' rows that holds a curve."""
    return {"test_accuracy": "test_curve", "noisy_val_accuracy": "noisy_val_curve"}.get(
        name, f"{name}_curve"
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _groups(
    board: pd.DataFrame, found: Sequence[Section], flagged: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, tuple[int, int]]]:
    """Groups as the page lists them, and for each cell the numbers of its group and of its noise
    rate there.
    """
    groups, cells = [], {}
    for number, ((_, own), section) in enumerate(
        zip(board.groupby("group", sort=False), found, strict=True)
    ):
        rates = sorted(set(own["noise_rate"]))
        doubtful = set(own.loc[own["cell"].isin(flagged), "noise_rate"])
        groups.append(
            {
                "title": section.title,
                "setup": section.setup,
                "notes": section.notes,
                "facets": {
                    name: str(own.iloc[0][name]) for name in ("dataset", "noise_kind", "protocol")
                },
                "rates": [rate_title(rate) for rate in rates],
                "doubtful": [rate in doubtful for rate in rates],
            }
        )
        cells.update(
            {
                cell: (number, rates.index(rate))
                for cell, rate in zip(own["cell"], own["noise_rate"], strict=True)
            }
        )
    return groups, cells


def _rows(
    chosen: pd.DataFrame,
    board: pd.DataFrame,
    cells: Mapping[str, tuple[int, int]],
    methods: _Numbers,
    configs: _Numbers,
    tests: Mapping[Any, tuple[int | None, bool | None]],
) -> list[dict[str, Any]]:
    values, budgets = _values(chosen), _budgets(board)
    rows = []
    for place, row in enumerate(board.to_dict("records")):
        group, rate = cells[row["cell"]]
        key = row["cell"], row["rule"], row["method"]
        tier, below = tests.get(key, (None, None))
        rows.append(
            {
                "group": group,
                "rate": rate,
                "rule": row["rule"],
                "method": methods[row["method"]],
                "config": configs[row["hparams"]],
                # tuned, within a budget and so on, where a sweep has such rows
                "track": row.get("track") or "",
                "competes": row["competes"],
                "seeds": row["seeds"],
                "unequal": row["unequal_seeds"],
                "failures": row["failures"],
                "privileges": row["privileges"].replace(",", ", "),
                "tier": tier,
                "below": below,
                "mark": row["mark"],
                "cost": _short(row[f"cost_vs_{REFERENCE}"], 3),
                "budget": budgets[place],
                "values": {
                    "test_accuracy": [_short(row["mean"]), _short(row["ci95"])],
                    **values.get(key, {}),
                },
            }
        )
    return rows


def _budgets(board: pd.DataFrame) -> list[int | None]:
    """The smallest budget that each row keeps to; None above all of them, and where the cost of the
    reference is unknown.
    """
    fits = [within_budget(board[f"cost_vs_{REFERENCE}"], budget) for budget in BUDGETS]
    return [
        next((budget for budget, fit in zip(BUDGETS, row, strict=True) if fit), None)
        for row in zip(*fits, strict=True)
    ]


def _tests(statistics: pd.DataFrame) -> dict[Any, tuple[int | None, bool | None]]:
    """By cell, rule and method: the tier, where there are several, and whether the seeds tell the
    method from the best.
    """
    several = statistics.groupby(["cell", "rule"])["tier"].transform("max") > 1
    tiers = [int(tier) if tier > 0 else None for tier in statistics["tier"].where(several)]
    below = [
        None if pd.isna(p_value) else p_value < 1 - CONFIDENCE for p_value in statistics["p_holm"]
    ]
    keys = zip(statistics["cell"], statistics["rule"], statistics["method"], strict=True)
    return dict(zip(keys, zip(tiers, below, strict=True), strict=True))


def _values(chosen: pd.DataFrame) -> dict[Any, dict[str, list[float | None]]]:
    """Mean and half-width of each metric but accuracy, over the trials that have it, by cell, rule
    and method.
    """
    others = [name for name in METRICS if name != ACCURACY.name]
    grouped = chosen.groupby(["cell", "rule", "method"])[others]
    mean, spread, count = grouped.mean(), grouped.sem(), grouped.count()
    found: dict[Any, dict[str, list[float | None]]] = {}
    for name in mean.columns:
        half = half_width(spread[name], count[name])
        for key, value, width in zip(mean.index, mean[name], half, strict=True):
            if not math.isnan(value):
                found.setdefault(key, {})[name] = [_short(value), _short(width)]
    return found


def _trials(
    rows: pd.DataFrame,
    trials: pd.DataFrame,
    cells: Mapping[str, tuple[int, int]],
    methods: _Numbers,
    configs: _Numbers,
    sweeps: _Numbers,
) -> dict[str, Any]:
    """Columns over trials; those that depend on the rule are lists by rule."""
    # Lists throughout: going through a pandas column takes twenty times as long.
    slim = rows[["rule", "id", "test_accuracy", "epoch"]]
    own_rows = {rule: slim[slim["rule"] == rule].drop_duplicates("id") for rule in rules_of(rows)}
    by_rule = {rule: own.set_index("id").reindex(trials["id"]) for rule, own in own_rows.items()}
    recipes, labels, commits = (
        _Numbers(trials[name].tolist()) for name in ("recipe", "label_hash", "git_commit")
    )
    return {
        "id": trials["id"].tolist(),
        "group": [cells[cell][0] for cell in trials["cell"].tolist()],
        "rate": [cells[cell][1] for cell in trials["cell"].tolist()],
        "method": [methods[method] for method in trials["method"].tolist()],
        "config": trials["config"].tolist(),
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
        "accuracy": {
            rule: [_short(value) for value in own["test_accuracy"].tolist()]
            for rule, own in by_rule.items()
        },
        "epoch": {
            rule: [_short(value) for value in own["epoch"].tolist()]
            for rule, own in by_rule.items()
        },
    }


def _settings(hparams: str) -> str:
    settings = msgspec.json.decode(hparams)
    return ", ".join(f"{key}={value}" for key, value in settings.items()) or "none"


def _origin(folder: Path) -> dict[str, Any]:
    """What a sweep says of its origin; nothing where it says nothing."""
    try:
        sweep = msgspec.json.decode((folder / "sweep.json").read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{str(folder / 'sweep.json')!r} is damaged ({error}): delete it, or run the sweep "
            "again"
        ) from error
    kept = {key: sweep.get(key) for key in ("git_commit", "machine", "versions")}
    return {key: value for key, value in kept.items() if value}


def _short(value: float, digits: int = 5) -> float | None:
    return None if math.isnan(value) else round(float(value), digits)
