"""Lessons of searches as sections of the analysis: tables, and notes on how to read them."""

from collections.abc import Iterable, Iterator

import pandas as pd

from bench.common.identity import TUNED_DEFAULTS
from bench.planning.tuned_defaults import FILE
from bench.report.board import Board
from bench.report.searches.budgets import overtakings, shown_numbers
from bench.report.searches.defaults import why_none
from bench.report.searches.importance import (
    ALONE,
    EVALUATORS,
    FEWEST,
    RESAMPLES,
    TREES,
    TREES_OF_RESAMPLE,
    UNKNOWN,
)
from bench.report.searches.trials import SEARCH_KEY, short_names
from bench.report.statistics import RESAMPLES as BOOTSTRAPS
from bench.report.tables import Section, Table, entries, rows_by
from bench.report.wording import (
    NONE,
    decimal,
    group_title,
    half_interval,
    percent,
    rate_title,
    signed,
)

_TITLE = "What the searches have learned"
_SETUP = (
    "From the records of all configurations. Noisy validation accuracy, or another goal of a "
    "search, judges configurations; test accuracy is the outcome, and decides nothing."
)


def search_sections(board: Board) -> list[Section]:
    """Return a section for each group with searches, and one on defaults for all of them."""
    trials = board.search_trials
    if not len(trials):
        return []
    sections = [
        _section(board, str(name), group) for name, group in trials.groupby("group", sort=False)
    ]
    return [*sections, _defaults_section(board.tuned_defaults, trials)]


def _section(board: Board, name: str, trials: pd.DataFrame) -> Section:
    importance, budgets, picks, tunability, schedulers = (
        table[table["group"] == name]
        for table in (
            board.importance,
            board.budgets,
            board.picks,
            board.tunability,
            board.schedulers,
        )
    )
    tables: list[Table] = []
    notes: list[str] = []
    if len(importance):
        tables += [_importance_table(importance, evaluator) for evaluator in EVALUATORS]
        notes += _importance_notes(importance)
    tables.append(_budget_table(budgets))
    notes += _budget_notes(budgets)
    if len(tunability):
        tables.append(_tunability_table(tunability))
        notes.append(_TUNABILITY)
    tables.append(_pick_table(picks))
    notes.append(_PICKS)
    if len(schedulers):
        tables.append(_scheduler_table(schedulers))
        notes.append(_SCHEDULERS)
    return Section(f"{_TITLE}: {group_title(trials)}", _SETUP, tables, notes)


def _importance_table(importance: pd.DataFrame, evaluator: str) -> Table:
    table = importance[importance["evaluator"] == evaluator]
    rates = sorted(table["noise_rate"].dropna().unique())
    several = bool((table["cells"] > 1).any())
    rows = rows_by(
        table.assign(noise_rate=table["noise_rate"].astype(object).fillna("all")),
        "method",
        "hyper_parameter",
        "noise_rate",
    )
    places = [*rates, *(["all"] if several else [])]
    lines = []
    for method, search in table.groupby("method", sort=True):
        names = short_names(list(search["hyper_parameter"].unique()))
        for name in _by_importance(search):
            cells = [rows.get((method, name, place)) for place in places]
            lines.append(entries(method, names[name], *map(_share, cells)))
    columns = ["Search", "Hyper-parameter", *map(rate_title, rates)]
    caption = f"Importance by {evaluator}, in percent of a search's importance: 95 % interval"
    return Table(caption, columns + ["Mean over noise rates"] * several, lines)


def _by_importance(search: pd.DataFrame) -> list[str]:
    """Return a method's hyper-parameters, the most important by the mean over cells first."""
    means = search.groupby("hyper_parameter", sort=False)["importance"].mean()
    return list(means.sort_values(ascending=False, kind="stable").index)


def _share(row: pd.Series | None) -> str:
    if row is None or pd.isna(row["importance"]):
        return NONE
    if row["verdict"] == ALONE:
        return ALONE
    interval = f"{100 * row['low']:.0f} to {100 * row['high']:.0f}"
    if row["verdict"] == UNKNOWN:
        return f"{UNKNOWN} ({interval})"
    return f"{100 * row['importance']:.0f} ({interval}): {row['verdict']}"


def _importance_notes(importance: pd.DataFrame) -> Iterator[str]:
    yield (
        "Importance: fANOVA divides the variance of the search's accuracy among hyper-parameters; "
        "PED-ANOVA asks which ones distinguish the best quarter of the configurations from all. "
        "Both are Optuna's, over what the search has tried and not over its whole space, and "
        "numbers count by their ranks."
    )
    yield (
        f"Intervals of importance: percentile bootstrap over configurations ({RESAMPLES} "
        "resamples). A hyper-parameter matters where its whole interval lies above an equal share "
        "for all, and matters little where it lies below. Otherwise its importance cannot be told: "
        "more configurations would tell. Validation images are the same in all resamples: where "
        "accuracies differ by one or two images, importance is of those."
    )
    yield (
        f"A resample repeats configurations, and its forest has {TREES_OF_RESAMPLE} trees, that of "
        f"the estimate {TREES}: an estimate may lie just outside its interval."
    )
    yield f"Searches of fewer than {FEWEST} configurations have no importances."


def _budget_table(budgets: pd.DataFrame) -> Table:
    numbers = shown_numbers(int(budgets["configurations"].max()))
    rows = rows_by(budgets, "noise_rate", "method", "configurations")
    lines = []
    searches = budgets.drop_duplicates(SEARCH_KEY).sort_values(["noise_rate", "method"])
    for rate, method in searches[["noise_rate", "method"]].itertuples(index=False):
        cells = [rows.get((rate, method, number)) for number in numbers]
        one = rows[rate, method, 1]
        line = [NONE if row is None else _expected(row) for row in cells]
        lines.append(entries(rate_title(rate), method, *line, f"{one['seconds']:.3g}"))
    columns = ["Noise rate", "Search", *(f"n = {number}" for number in numbers)]
    caption = (
        "Expected test accuracy (%) of the pick after n configurations: the first one, and n − 1 "
        "of the others in random order; 95 % interval"
    )
    return Table(caption, [*columns, "Seconds of one"], lines)


def _expected(row: pd.Series) -> str:
    low, high = row["test_low"], row["test_high"]
    interval = "" if pd.isna(low) or low == high else f" ({percent(low)} to {percent(high)})"
    return percent(row["test"]) + interval


def _budget_notes(budgets: pd.DataFrame) -> Iterator[str]:
    yield (
        "Expected best of n (Dodge et al., 2019): exact mean over all orders of the configurations "
        "drawn, without replacement, since a search tries no configuration twice. Intervals: "
        f"percentile bootstrap over configurations ({BOOTSTRAPS} resamples), of one seed of noise, "
        "split and training. Towards the last n they are too narrow, because no resample holds "
        "anything better than what was tried."
    )
    yield (
        "Optuna learns from what it has tried, so that later draws tend to be better: a "
        "search in its own order (thin lines of the figure) may lag behind the mean over orders."
    )
    for rate, at_rate in budgets.groupby("noise_rate"):
        if texts := [
            f"{winner} overtakes {loser} at n = {number}"
            for winner, loser, number in overtakings(at_rate)
        ]:
            yield (
                f"At {rate_title(rate)}, by expected test accuracy: {'; '.join(texts)}. Where the "
                "intervals overlap, that is a guess."
            )


def _tunability_table(tunability: pd.DataFrame) -> Table:
    rates = sorted(tunability["noise_rate"].dropna().unique())
    several = bool((tunability["cells"] > 1).any())
    rows = rows_by(
        tunability.assign(noise_rate=tunability["noise_rate"].astype(object).fillna("all")),
        "method",
        "noise_rate",
    )
    lines = []
    for method in tunability["method"].drop_duplicates():
        cells = [rows.get((method, place)) for place in [*rates, *(["all"] if several else [])]]
        seconds = tunability.loc[
            (tunability["method"] == method) & (tunability["cells"] == 1), "search_seconds"
        ]
        lines.append(entries(method, *map(_gain, cells), f"{seconds.sum():.3g}"))
    columns = ["Search", *map(rate_title, rates), *["Mean over noise rates"] * several]
    caption = (
        "Tunability: points of test accuracy that the tuned configuration gains over the first "
        "one, on the leaderboard's seeds"
    )
    return Table(caption, [*columns, "Seconds of search"], lines)


def _gain(row: pd.Series | None) -> str:
    if row is None:
        return NONE
    if row["cells"] == 1 and not row["config"]:
        return "0 (picked the defaults)"
    return signed(row["gain"]) + half_interval(row["gain_low"], row["gain_high"])


_TUNABILITY = (
    "Tunability (Probst et al., 2019): paired over seeds, with the 95 % t interval; the mean over "
    "noise rates is taken seed by seed."
)


def _pick_table(picks: pd.DataFrame) -> Table:
    lines = []
    for _, row in picks.sort_values(["noise_rate", "method"], kind="stable").iterrows():
        line = entries(rate_title(row["noise_rate"]), row["method"])
        line += entries(*(percent(row[name]) for name in ("first", "picked", "best", "oracle")))
        line += entries(percent(row["lost_by_configuration"]), percent(row["lost_by_epoch"]))
        line += entries(f"{row['place']} of {row['configurations']}")
        lines.append(line + entries(decimal(row["correlation"], 2)))
    columns = ["Noise rate", "Search", "First %", "Picked %", "Best %", "Best at its best epoch %"]
    columns += ["Lost by configuration", "Lost by epoch", "Place of the pick", "Correlation"]
    caption = "How far the picks of searches lie from the best configurations, by test accuracy"
    return Table(caption, columns, lines)


_PICKS = (
    "Picks: all on the search's own seed. First, picked and best are at the epoch that noisy "
    "validation selects; the last column is Spearman's correlation, over configurations, of what "
    "the search compared with test accuracy. The best of many test accuracies is partly luck, so "
    "the losses are upper bounds."
)


def _scheduler_table(schedulers: pd.DataFrame) -> Table:
    lines = []
    order = ["noise_rate", "method", "evidence", "scheduler"]
    for _, row in schedulers.sort_values(order, kind="stable").iterrows():
        line = entries(rate_title(row["noise_rate"]), row["method"], row["scheduler"])
        line += entries(row["evidence"], f"{row['stopped']} of {row['configurations']}")
        line += entries(percent(row["epochs_saved"]), f"{row['seconds_saved']:.3g}")
        lines.append(line + entries(signed(row["value_lost"]), signed(row["test_lost"])))
    columns = ["Noise rate", "Search", "Scheduler", "Evidence", "Stopped", "Epochs saved (%)"]
    columns += ["Seconds saved", "Lost by what is compared", "Lost test accuracy"]
    return Table("What schedulers save, and points that their picks lose", columns, lines)


_SCHEDULERS = (
    "Schedulers: seconds of training on the device, at a trial's mean seconds an epoch; points "
    "less than the pick of the search without scheduler, on the search's own seed (below 0: the "
    "pick is better). A scheduler that ran is compared where the sweep also holds that search. "
    "Replayed are its decisions over the whole curves of a search without one, trial by trial in "
    "the order of the draws: a search that learns would have drawn other configurations."
)


def _defaults_section(table: pd.DataFrame, trials: pd.DataFrame) -> Section:
    notes = list(_defaults_notes(table, trials))
    tables = [_defaults_table(table)] if len(table) else []
    return Section("Defaults that do well in all cells", "", tables, notes)


def _defaults_table(table: pd.DataFrame) -> Table:
    lines = []
    for _, row in table.iterrows():
        ranks = " / ".join(f"{rank:g}" for rank in row["ranks"])
        line = entries(
            row["method"], row["config"] or "defaults", decimal(row["mean_rank"], 2), ranks
        )
        gain = (
            NONE
            if row["is_first"]
            else signed(row["gain"]) + half_interval(row["gain_low"], row["gain_high"])
        )
        lines.append(line + entries(gain, row["seeds"], "proposed" if row["chosen"] else ""))
    columns = [
        "Method",
        "Configuration",
        "Mean rank",
        "Ranks in the cells",
        "Gain in test accuracy",
    ]
    caption = (
        "Configurations that ran in all cells of their method, ranked by noisy validation accuracy"
    )
    return Table(caption, [*columns, "Seeds", ""], lines)


def _defaults_notes(table: pd.DataFrame, trials: pd.DataFrame) -> Iterable[str]:
    if (table.groupby("method").size() > 1).any() if len(table) else False:
        yield (
            f"{FILE} holds the proposed settings with this evidence: --recipe "
            f"{TUNED_DEFAULTS}:DIR trains other sweeps with them, where DIR is this folder. "
            "They were chosen on these cells, and other cells have to confirm them."
        )
        yield (
            "Gain: over the first configuration, mean over cells, with the 95 % interval over "
            "paired seeds. Ranks are in this order of cells: "
            f"{'; '.join(table['cells'].iloc[table['cells'].map(len).argmax()])}."
        )
    else:
        yield (
            f"None: {why_none(trials)}. --tune N with --transfer runs each pick at every noise "
            "rate."
        )
