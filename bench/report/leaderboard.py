"""Statistics over records: which method does how well, by which rule, with what certainty and at
what cost.

Three tables, each made from the one before: ``load_rows`` (a row per trial and rule),
``configurations`` (a row per configuration, over its seeds) and ``leaderboard`` (a row per method,
with the configuration that the rule picks). Accuracies are fractions. A *cell* holds all that makes
trials comparable; a *group* is a cell without its noise rate: one printed table.

A failed trial (diverged, failed, timeout) stays in the denominator under every rule, at chance
accuracy: one over the number of classes. Its cost, which covers part of a run at best, is left out
of the mean cost. A trial that its machine ended (lost) says nothing of the method: it is a missing
seed, counted in ``lost``.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from msgspec import UNSET

from bench.common.files import write_atomically
from bench.common.identity import PAPER
from bench.errors import InputError, unknown
from bench.planning.registry import REFERENCE, display
from bench.planning.searches import SEARCH, goal_values
from bench.planning.selection import (
    ALL,
    CLEAN_VAL,
    DECIMALS,
    ORACLE,
    best_configuration,
    check_clean_images,
    rule_names,
    rule_order,
    select,
)
from bench.records.code import to_text
from bench.records.merge import merged
from bench.records.packing import unpack_truth
from bench.records.trials import Trial
from bench.report.analysis import analyse, analysis_sections, published_section
from bench.report.cells import GROUP, arrange_cells, cell_facts, key_of, name_sources
from bench.report.labels import RECIPE, label_configurations, listed
from bench.report.latex import to_latex
from bench.report.metrics import ACCURACY, RANKED, RESOURCES, Metric, ranked_by
from bench.report.page import write_page
from bench.report.plots import FORMATS, write_plots
from bench.report.statistics import (
    BUDGETS,
    PAIRED,
    SEEDS,
    half_width,
    paired_differences,
    within_budget,
)
from bench.report.tables import Section, sections, to_csv, to_markdown, unescaped
from bench.report.tracks import PRIVILEGED, about, arrange, search_summary

#: In place of a reference: compare with no method.
NO_REFERENCE = "none"

#: Of figures that a report without plots leaves where they are.
EARLIER_FIGURES = "Figures in plots/ are older than the tables: python -m bench.report draws them from all records."

#: In place of a noise rate that nobody knows, since groups of a missing value would be dropped.
UNKNOWN_RATE = -1.0

_ABOUT_CELL = [
    *GROUP,
    "further",
    "noise_rate",
    "group",
    "cell",
    "classes",
    "tested_classes",
    "noisy_test",
]
_ABOUT_CONFIGURATION = [
    "wraps",
    "config",
    "is_default",
    "hparams",
    "privileges",
    "epochs",
    "backbone",
    "recipe",
]
_ABOUT_CONFIGURATION += ["name", "track", "told", "tuned_at", "tried", "search", "competes"]
#: What each epoch's record says of learning with wrong labels (bench/training/scoring.py); missing
#: where the truth is, or where a method has no such thing.
LEARNING = [
    "memorised_wrong",
    "recovered_wrong",
    "label_correction_accuracy",
    "detection_auc",
    "calibration_error",
]
LEARNING += ["worst_class_accuracy"]
_FEATURES = ["feature_silhouette", "feature_knn_accuracy"]
_FIGURES = [ACCURACY.name, *LEARNING, *_FEATURES, *RESOURCES]
_FIGURES += [
    "train_seconds",
    "pretrain_seconds",
    "cost_seconds",
    "realised_noise_rate",
    "validation_images",
]

#: Of a wrapper to what it wraps: mean and ends of the 95 % interval.
GAIN = ["gain", "gain_ci_low", "gain_ci_high"]

_COST = f"cost_vs_{REFERENCE}"
#: Ranks among what costs no more than a multiple of the reference, by that multiple.
BUDGET_RANKS = {budget: f"rank_{budget}x" for budget in BUDGETS}

#: Columns of leaderboard.csv.
LEADERBOARD_COLUMNS = [
    *(
        "dataset",
        "noise_kind",
        "noise_rate",
        "method",
        "config",
        "rule",
        "mean",
        "ci95",
        "seeds",
        "rank",
        _COST,
    ),
    *(
        "privileges",
        "failures",
        "reference",
        "diff_vs_reference",
        "diff_ci_low",
        "diff_ci_high",
        "p_value",
        "paired_seeds",
    ),
    *(
        "significantly_better",
        "significantly_worse",
        "train_seconds",
        "pretrain_seconds",
        "cost_seconds",
    ),
    *RESOURCES,
    *BUDGET_RANKS.values(),
    *(
        "realised_noise_rate",
        "validation_images",
        "configurations",
        "score",
        "epochs",
        "backbone",
        "protocol",
        "recipe",
    ),
    *(
        "subset",
        "image_size",
        "noise_sampling",
        "validation_share",
        "device",
        "precision",
        "threads",
        "data_hash",
    ),
    *("noise_hash", "wraps"),
    *GAIN,
    *LEARNING,
    *_FEATURES,
    *("track", "told", "tuned_at", "search", "metric", ACCURACY.name, "lost"),
]
#: Columns of configs.csv.
CONFIGURATION_COLUMNS = [
    *(
        "dataset",
        "noise_kind",
        "noise_rate",
        "method",
        "config",
        "rule",
        "chosen",
        "score",
        "mean",
        "ci95",
        "seeds",
    ),
    *("failures", "privileges", "train_seconds", "pretrain_seconds", "cost_seconds"),
    *RESOURCES,
    "realised_noise_rate",
    *(
        "validation_images",
        "epochs",
        "backbone",
        "protocol",
        "recipe",
        "subset",
        "image_size",
        "noise_sampling",
        "validation_share",
    ),
    *("device", "precision", "threads", "data_hash", "noise_hash"),
    *LEARNING,
    *_FEATURES,
    *("track", "told", "tuned_at", "search", "lost"),
]


def load_rows(folders: Sequence[Path], clean_images: str = ALL) -> pd.DataFrame:
    """Everything that the statistics need from the records below ``folders``: a row per trial,
    track and rule.

    What searches have tried is left out: see ``read_trials``. A trial that several folders hold
    counts once, as ``bench.records.merge`` says. A trial whose record does not know so many right
    labels of validation images has no row by clean-val. ``test_curve``, ``noisy_val_curve`` and
    those of ``LEARNING`` are figures over epochs, (E,) arrays, the same objects under every rule;
    without ``_curve`` in its name a figure is that of the rule's epoch. Separation of features is
    the final network's.

    Args:
        clean_images: how many right labels of validation images the rule clean-val reads: a number,
            or "all".

    Raises:
        InputError: where a folder is no sweep, or no trial is over.
    """
    [rows] = load_sides([folders], clean_images)
    return rows


def load_sides(sides: Sequence[Sequence[Path]], clean_images: str = ALL) -> list[pd.DataFrame]:
    """The same of several sets of folders, with the same names for the same data and
    configurations.
    """
    read = [_read(folders, clean_images) for folders in sides]
    _name([facts for trials in read for facts in trials])
    return [_rows(_arranged(trials)[0], clean_images) for trials in read]


def read_trials(
    folders: Sequence[Path], clean_images: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Facts of the trials to compare, and of each trial of a search."""
    trials = _read(folders, clean_images)
    _name(trials)
    return _arranged(trials)


def _name(trials: Sequence[dict[str, Any]]) -> None:
    """Give data sets and configurations their names, which depend on what they have to be told
    from.
    """
    name_sources(trials)
    label_configurations(trials)


def _arranged(
    trials: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    trials = arrange_cells(trials)
    _complete(trials)
    return arrange(sorted(trials, key=lambda facts: facts["id"]))


def _read(folders: Sequence[Path], clean_images: str) -> list[dict[str, Any]]:
    """Facts of all trials of these folders, each by itself."""
    trials: list[dict[str, Any]] = []
    for trial in merged(folders, list(_CURVES.values())):
        try:
            trials.append(_facts(trial, clean_images))
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, zlib.error) as error:
            raise InputError(
                f"{str(trial.folder)!r} is no trial's record ({error!r}): delete it and run again"
            ) from error
    if not any(facts["track"] != SEARCH for facts in trials):
        where = ", ".join(repr(str(folder)) for folder in folders) or "no folder"
        raise InputError(
            f"no trial is over in {where}: wait for the first, or give a folder with finished "
            "trials"
        )
    return trials


def _rows(trials: Sequence[dict[str, Any]], clean_images: str) -> pd.DataFrame:
    table, by_rule = pd.DataFrame(trials), []
    for rule, selected in _selected(trials, rule_names(clean_images)).items():
        own = table.assign(rule=rule, **selected)
        if rule.startswith(CLEAN_VAL):
            own["privileges"] = [
                ",".join(filter(None, [privileges, rule]))
                for privileges in own["privileges"].tolist()
            ]
            own = own[own["clean_labels"]]
        by_rule.append(own)
    return _sort(pd.concat(by_rule, ignore_index=True), ["method", "config", "hparams", *SEEDS])


def _selected(
    trials: Sequence[dict[str, Any]], rules: Sequence[str]
) -> dict[str, dict[str, np.ndarray]]:
    """What each rule makes of each trial: columns, by rule."""
    names = [ACCURACY.name, "score", "epoch", *LEARNING]
    columns = {rule: {name: np.full(len(trials), np.nan) for name in names} for rule in rules}
    by_length = defaultdict(list)
    for place, facts in enumerate(trials):
        if facts["succeeded"]:
            by_length[len(facts["test_curve"])].append(place)
            continue
        for (name, value), own in product(facts["at_failure"].items(), columns.values()):
            own[name][place] = value
            if name == ACCURACY.name:
                own["score"][place] = value
    for places in by_length.values():
        curves = {
            name: np.concatenate([trials[place][name] for place in places]).reshape(len(places), -1)
            for name in _CURVES
        }
        for rule, own in columns.items():
            choice = select(
                rule,
                *(curves[name] for name in ("noisy_val_curve", "clean_val_curve", "test_curve")),
            )
            own[ACCURACY.name][places], own["score"][places] = choice.test_accuracy, choice.score
            if choice.epoch is not None:
                own["epoch"][places] = choice.epoch
            for name in LEARNING:
                own[name][places] = choice.of(curves[_curve_of(name)])
    return columns


def _facts(trial: Trial, clean_images: str) -> dict[str, Any]:
    """One trial's part of a row, whatever the rule. What a failed trial could not say is missing."""
    spec, done = trial.spec["spec"], trial.done
    shared = not spec["protocol"].startswith(PAPER)
    recorded = {**trial.spec["config"]}
    seconds = done.get("train_seconds") if trial.succeeded else None
    pretraining = done.get("pretrain_seconds") or 0.0
    noise = done.get("noise") or {}
    # Labels that came with the data have no nominal rate: theirs is what it is, and the same in all
    # replicas.
    rate = next(
        (r for r in (spec["noise_rate"], noise.get("realised_rate")) if r is not None), UNKNOWN_RATE
    )
    return {
        **{key: spec[key] for key in SEEDS},
        **cell_facts(spec, rate),
        "method": display(spec["method"]),
        "wraps": display(spec["method"].partition("+")[2]) if "+" in spec["method"] else "",
        "_method": spec["method"],
        "_recorded": key_of(recorded),
        "changes": len(recorded),  # as many as the search knew that picked by them
        # The recipe too: under "paper" it is the method's own, and not part of the cell.
        "hparams": key_of(
            spec["hparams"] | ({} if shared else {RECIPE + k: v for k, v in spec["recipe"].items()})
        ),
        "recipe": _listed(key_of(spec["recipe"])),
        "epochs": spec["recipe"]["epochs"],
        "backbone": spec["recipe"]["backbone"],
        "id": trial.id,
        "folder": trial.folder,  # as a path: pandas refuses text that is no UTF-8
        "code": to_text(done.get("code")),
        "status": done["status"],
        "succeeded": trial.succeeded,
        "failed": not (trial.succeeded or trial.lost),
        "lost": trial.lost,
        "at_failure": {},
        "privileges": ",".join(done.get("privileges") or ()),
        "pretrained": bool(done.get("pretraining")),
        "train_seconds": _number(seconds),
        "pretrain_seconds": _number(None if seconds is None else pretraining),
        "cost_seconds": _number(None if seconds is None else seconds + pretraining),
        **_resources(trial),
        "realised_noise_rate": _number(noise.get("realised_rate")),
        "validation_images": _number(done.get("validation_images")),
        "classes": _number(done.get("classes")),
        "tested_classes": _number(done.get("tested_classes", done.get("classes"))),
        "noisy_test": bool(done.get("noisy_test")),
        "label_hash": _string(noise.get("label_hash")),
        "git_commit": _string(done.get("git_commit")),
        "reliability": done.get("reliability"),
        "transition": noise.get("transition_matrix"),
        "estimated_transition": done.get("estimated_transition_matrix"),
        "sweep": trial.folder.parents[1],
        "conflicts": trial.conflicts,
        **about(trial),
        **{name: _number(done.get(name)) for name in _FEATURES},
        **_curves(trial, clean_images),
    }


def _resources(trial: Trial) -> dict[str, float]:
    """What a run took besides seconds, on average over its epochs; missing of a failed one."""
    done = trial.done if trial.succeeded else {}
    epochs = done.get("epochs") or np.nan
    passes = {
        name: _number(done.get(name)) / epochs for name in ("passes_trained", "passes_inferred")
    }
    return {**passes, "peak_memory_mb": _number(done.get("peak_memory_bytes")) / 1e6}


@cache
def _listed(key: str) -> str:
    """Settings for people, from their ``key_of``: thousands of trials have the same."""
    return listed(msgspec.json.decode(key))


#: Columns of curves, and what the records call them.
_CURVES = {
    "noisy_val_curve": "noisy_val_accuracy",
    "test_curve": "test_accuracy",
    "memorised_clean_curve": "memorised_clean",
}
_CURVES |= {"clean_val_curve": "clean_val_accuracy"}
_CURVES |= {f"{key}_curve": key for key in LEARNING}


def _curves(trial: Trial, clean_images: str) -> dict[str, np.ndarray]:
    curves = {name: trial.curve(key) for name, key in _CURVES.items()}
    if trial.succeeded and not all(
        np.isfinite(curves[name]).any() for name in ("noisy_val_curve", "test_curve")
    ):
        raise InputError(
            f"{str(trial.folder / 'epochs.jsonl')!r} holds no accuracies: delete its folder and "
            "run again"
        )
    if clean_images != ALL:
        curves["clean_val_curve"] = _clean_curve(trial, clean_images)
    return curves


def _clean_curve(trial: Trial, images: str) -> np.ndarray:
    """Accuracy on that many right labels of validation images, (E,); NaN where fewer are known."""
    truth = unpack_truth(trial.done.get("validation_truth"))
    if truth is None or any(epoch.val_predictions is UNSET for epoch in trial.epochs):
        return np.full(len(trial.epochs), np.nan)
    return goal_values(f"{CLEAN_VAL}:{images}", trial.epochs, truth)


def _complete(trials: Sequence[dict[str, Any]]) -> None:
    """Give failed trials what other trials know: the number of classes, what the method is
    privileged to read, which figures it would have, and which labels it was given.
    """
    drawn = defaultdict(set)
    for facts in trials:
        drawn[facts["cell"], facts["noise_seed"]].add(facts["label_hash"])
    for facts in trials:
        hashes = drawn[facts["cell"], facts["noise_seed"]] - {""}
        facts["labels"] = facts["label_hash"] or (min(hashes) if len(hashes) == 1 else "")
    classes = {
        facts["data_hash"]: facts["classes"] for facts in trials if np.isfinite(facts["classes"])
    }
    # By configuration: another one of the same method may have no privilege.
    privileges = {
        (facts["method"], facts["hparams"]): facts["privileges"]
        for facts in trials
        if facts["privileges"]
    }
    for facts in trials:
        facts["classes"] = classes.get(facts["data_hash"], np.nan)
        facts["privileges"] = privileges.get((facts["method"], facts["hparams"]), "")
        facts["clean_labels"] = bool(np.isfinite(facts["clean_val_curve"]).any())
    told = {facts["cell"] for facts in trials if facts["clean_labels"]}
    if all(facts["succeeded"] for facts in trials):
        return
    for facts in trials:
        if not facts["succeeded"]:
            facts["clean_labels"] = facts["cell"] in told
    for name, at_failure in RANKED.items():
        # What no method of the cell has is not defined there, and what no trial of the method has
        # it never says.
        known = [
            facts
            for facts in trials
            if facts["succeeded"] and np.isfinite(facts[_curve_of(name)]).any()
        ]
        cells, methods = ({facts[key] for facts in known} for key in ("cell", "method"))
        for facts in trials:
            if facts["failed"] and (
                name == ACCURACY.name or (facts["cell"] in cells and facts["method"] in methods)
            ):
                wrong = facts["realised_noise_rate"]
                facts["at_failure"][name] = at_failure(facts["classes"], wrong)


def _curve_of(name: str) -> str:
    return "test_curve" if name == ACCURACY.name else f"{name}_curve"


def configurations(rows: pd.DataFrame, metric: Metric = ACCURACY) -> pd.DataFrame:
    """A row per cell, method, configuration and rule.

    Args:
        rows: from ``load_rows``, whose order makes "the first" of equal configurations the same
            every time.

    Returns:
        ``mean`` of the metric over seeds with ``ci95``, the half-width of its t interval (missing
        for one seed), mean ``score``, number of ``seeds``, of ``failures`` among them and of
        ``lost`` seeds, mean costs, and whether the rule has ``chosen`` the configuration.
    """
    keys = ["cell", "method", "hparams", "rule"]
    about = [name for name in [*_ABOUT_CELL, *_ABOUT_CONFIGURATION] if name not in keys]
    grouped = rows.groupby(keys, sort=False)
    table = grouped[about].first(skipna=False)
    values = grouped[metric.name]
    table["metric"] = metric.name
    table["mean"] = values.mean().round(DECIMALS)
    table["lost"] = grouped["lost"].sum()
    table["seeds"] = grouped.size() - table["lost"]
    table["ci95"] = half_width(values.sem(), values.count())
    table["score"] = grouped["score"].mean().round(DECIMALS)
    table["failures"] = grouped["failed"].sum()
    table["pretrained"] = grouped["pretrained"].any()
    table[_FIGURES] = grouped[_FIGURES].mean()
    table["epoch"] = grouped["epoch"].median()
    table["codes"] = (
        rows[[*keys, "code"]].drop_duplicates().groupby(keys, sort=False)["code"].agg(tuple)
    )
    drawn = pd.util.hash_pandas_object(rows[PAIRED], index=False).where(~rows["lost"], np.uint64(0))
    table["drawn"] = drawn.groupby([rows[key] for key in keys], sort=False).sum()
    table = table.reset_index()
    table["configurations"] = table.groupby(["cell", "method", "rule"])["mean"].transform("size")
    # of what a search has picked: all that it tried
    table["configurations"] = table[["configurations", "tried"]].max(axis=1)
    chosen = np.zeros(len(table), dtype=bool)
    scores, seeds, is_default = (
        table[name].to_numpy() for name in ("score", "seeds", "is_default")
    )
    for rivals in table.groupby(["cell", "method", "rule"], sort=False).indices.values():
        chosen[rivals[best_configuration(scores[rivals], seeds[rivals], is_default[rivals])]] = True
    return table.assign(chosen=chosen)


def leaderboard(
    rows: pd.DataFrame, reference: str = REFERENCE, metric: Metric = ACCURACY
) -> pd.DataFrame:
    """A row per cell, method and rule: the configuration that the rule picks, its rank, cost and
    difference to ``reference``.

    Ranks are competition ranks within a cell and rule: ties share the better one; the oracle ranks
    nobody, and rows that do not compete (``bench.report.tracks``) have neither rank nor
    significance. ``rank_3x`` ranks what costs up to 3 times as much as ``ce`` by itself; it is
    missing above that, and where ``ce`` is. Differences are paired over seeds with equal labels
    that method and reference share; ``significantly_better`` means that their 95 % interval lies
    above 0, or below where less of the metric is better. These columns are missing where the
    reference is, and where fewer than two seeds are common. A wrapper's ``gain`` is its paired
    difference to the method that it wraps.

    Args:
        rows: from ``load_rows``.
        reference: the method to compare with, its privileged row where it has no other; "none" for
            no comparison.
        metric: what to rank by, and to compare. Epochs and configurations are selected by accuracy
            in any case.

    Raises:
        InputError: where no record is of ``reference``, unless it is the default one, or none has
            the metric.
    """
    reference = _label_of(reference, rows)
    methods = set(rows["method"].unique())
    if reference not in {*methods, REFERENCE, NO_REFERENCE}:
        raise unknown("method in these records", reference, methods)
    if metric != ACCURACY and rows[metric.name].isna().all():
        have = [name for name in RANKED if rows[name].notna().any()]
        raise InputError(f"no record says {metric.name}: rank by {' or '.join(have)}")
    table = configurations(rows, metric)
    table = table[table["chosen"]].reset_index(drop=True)
    competes = table["competes"].astype(bool)
    table["rank"] = _ranks(table, competes, metric)
    # Whether means of one column are over different seeds, or labels.
    table["unequal_seeds"] = table.groupby(["cell", "rule"])["drawn"].transform("nunique") > 1
    table[_COST] = table["cost_seconds"] / _of_method(table, REFERENCE, "cost_seconds")
    for budget, name in BUDGET_RANKS.items():
        table[name] = _ranks(table, competes & within_budget(table[_COST], budget), metric)
    table["reference"] = _of_method(table, reference, "method")
    chosen = chosen_rows(rows, table)
    table = table.join(
        _differences(chosen.assign(baseline=reference), metric), on=["cell", "rule", "method"]
    )
    gains = _differences(chosen.assign(baseline=chosen["wraps"]), metric)[
        ["diff_vs_reference", "diff_ci_low", "diff_ci_high"]
    ]
    table = table.join(gains.set_axis(GAIN, axis=1), on=["cell", "rule", "method"])
    table["paired_seeds"] = table["paired_seeds"].astype("Int64")
    known = table["diff_ci_low"].notna() & table["competes"]
    higher, lower = table["diff_ci_low"] > 0, table["diff_ci_high"] < 0
    better, worse = (higher, lower) if metric.more_is_better else (lower, higher)
    table["significantly_better"] = better.astype("boolean").where(known)
    table["significantly_worse"] = worse.astype("boolean").where(known)
    return _sort(table, ["rank", "method"])


def _ranks(table: pd.DataFrame, among: pd.Series, metric: Metric) -> pd.Series:
    """Competition ranks of the rows ``among``, within a cell and rule; the oracle is never ranked
    on.
    """
    contenders = table["mean"].where(among).groupby([table["cell"], table["rule"]])
    place = contenders.rank(method="min", ascending=not metric.more_is_better)
    return place.astype("Int64").where(table["rule"] != ORACLE)


def _label_of(reference: str, rows: pd.DataFrame) -> str:
    label, methods = display(reference), set(rows["method"].unique())
    return label + PRIVILEGED if label not in methods and label + PRIVILEGED in methods else label


def chosen_rows(rows: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """Those of the trials' rows that the rows of a leaderboard summarise."""
    return rows.merge(
        board[["cell", "rule", "method", "hparams"]], on=["cell", "rule", "method", "hparams"]
    )


def _of_method(table: pd.DataFrame, method: str, column: str) -> pd.Series:
    """A figure of that method's row in the same cell and under the same rule, for every row."""
    values = table[table["method"] == method].set_index(["cell", "rule"])[column]
    values = values.reindex(pd.MultiIndex.from_frame(table[["cell", "rule"]]))
    return pd.Series(values.to_numpy(), table.index)


def _differences(rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Paired differences of methods to the one that ``baseline`` names, indexed by cell, rule and
    method.
    """
    seeds = ["cell", "rule", *PAIRED]
    rows = rows[rows[metric.name].notna()]
    others = rows[[*seeds, "method", metric.name]].rename(columns={"method": "baseline"})
    pairs = rows[rows["method"] != rows["baseline"]].merge(
        others, on=[*seeds, "baseline"], suffixes=("", "_of_baseline")
    )
    pairs["difference"] = pairs[metric.name] - pairs[f"{metric.name}_of_baseline"]
    found = {
        key: group.to_numpy()
        for key, group in pairs.groupby(["cell", "rule", "method"])["difference"]
    }
    index = (
        pd.MultiIndex.from_tuples(found, names=["cell", "rule", "method"]) if found else _no_keys()
    )
    return pd.DataFrame(
        paired_differences(list(found.values())), index, list(_DIFFERENCE), dtype=float
    )


_DIFFERENCE = ("diff_vs_reference", "diff_ci_low", "diff_ci_high", "p_value", "paired_seeds")


def _no_keys() -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([[], [], []], names=["cell", "rule", "method"])


@dataclass(frozen=True)
class Report:
    """A report that is on disk, and what to print of it."""

    leaderboard: pd.DataFrame
    sections: list[Section]
    files: list[Path]
    about_figures: str = ""  # where they are not of this report


def write_report(
    folders: Sequence[Path],
    out_dir: Path,
    reference: str = REFERENCE,
    plots: bool = True,
    rank_by: str = ACCURACY.name,
    clean_images: str = ALL,
) -> Report:
    """Write ``leaderboard.csv``, ``configs.csv``, ``leaderboard.md``, ``index.html`` and the rest
    from the records alone.

    Args:
        rank_by: the metric of the leaderboard, and the one that the page shows first. Plots and
            analysis are of accuracy.
        clean_images: as in ``load_rows``.

    Raises:
        InputError: where ``folders`` hold no records, none of ``reference``, or none with the
            metric.
    """
    metric = ranked_by(rank_by)
    compared, searched = read_trials(folders, check_clean_images(clean_images))
    rows = _rows(compared, clean_images)
    board = leaderboard(rows, reference)
    ranked = board if metric == ACCURACY else leaderboard(rows, reference, metric)
    tried = configurations(rows)
    chosen = chosen_rows(rows, board)
    analysis = analyse(rows, chosen, board, tried)
    against = None if reference == NO_REFERENCE else _label_of(reference, rows)
    found = sections(rows, ranked, against, search_summary(searched), metric, analysis.flagged())
    out_dir.mkdir(parents=True, exist_ok=True)
    earlier = _figures_of(out_dir)
    kept = {
        name: caption
        for name, caption in earlier.items()
        if (out_dir / "plots" / f"{name}.png").exists()
    }
    figures = write_plots(chosen, board, tried, out_dir / "plots") if plots else kept
    about_figures = EARLIER_FIGURES if figures and not plots else ""
    captions = [(f"plots/{name}.png", caption) for name, caption in figures.items()]
    page = to_markdown(found, captions, about_figures=about_figures)
    contents = {
        "leaderboard.csv": to_csv(ranked, LEADERBOARD_COLUMNS),
        "configs.csv": to_csv(_with_searches(tried, searched, clean_images), CONFIGURATION_COLUMNS),
        "leaderboard.md": page.encode(),
        "leaderboard.tex": to_latex(ranked, metric, analysis.flagged()).encode(),
        "analysis.md": to_markdown(analysis_sections(analysis, board), [], "Analysis").encode(),
        **{name: to_csv(table, columns) for name, (table, columns) in analysis.tables().items()},
        "index.html": write_page(
            rows,
            chosen,
            board,
            found,
            analysis.statistics,
            published_section(analysis.published),
            metric,
            analysis.flagged(),
        ),
    }
    for name, content in contents.items():
        write_atomically(out_dir / name, content)
    for name, kind in product(earlier.keys() - figures.keys(), FORMATS):  # of other records
        (out_dir / "plots" / f"{name}.{kind}").unlink(missing_ok=True)
    drawn = (
        [out_dir / "plots" / f"{name}.{kind}" for name in figures for kind in FORMATS]
        if plots
        else []
    )
    return Report(ranked, found, [*(out_dir / name for name in contents), *drawn], about_figures)


def _with_searches(
    tried: pd.DataFrame, searched: Sequence[dict[str, Any]], clean_images: str
) -> pd.DataFrame:
    """All configurations, those that a search tried below the others; of these the pick is
    ``chosen``, under every rule.
    """
    if not searched:
        return tried
    found = configurations(_rows(searched, clean_images))
    picks = {
        (facts["cell"], facts["method"], facts["hparams"]) for facts in searched if facts["picked"]
    }
    keys = zip(found["cell"], found["method"], found["hparams"], strict=True)
    return pd.concat(
        [tried, found.assign(chosen=[key in picks for key in keys])], ignore_index=True
    )


def _figures_of(out_dir: Path) -> dict[str, str]:
    """Figures that an earlier report shows: name -> caption."""
    page = out_dir / "leaderboard.md"
    text = page.read_text(errors="replace") if page.exists() else ""
    shown = re.findall(r"^!\[(.*)\]\(plots/([\w-]+)\.png\)$", text, flags=re.MULTILINE)
    return {name: unescaped(caption) for caption, name in shown}


def _sort(table: pd.DataFrame, last_keys: Sequence[str]) -> pd.DataFrame:
    """By data set, noise and rule, the default rule first, then by the given columns."""
    order = table.assign(rule_order=table["rule"].map(rule_order))
    order = order.sort_values(
        ["dataset", "noise_kind", "noise_rate", "group", "rule_order", *last_keys], kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _string(value: Any) -> str:
    """A record's text; empty where it has none."""
    if not isinstance(value, str | None):
        raise TypeError(f"{value!r} is no text")
    return value or ""
