"""Tracks of a leaderboard: which settings a trial ran with, worked out from the records alone.

A plain trial is on the track "default" (the method's own settings) or "given" (those of the command
line), and a trial of other people on "imported". Trials of searches are on no track and shown
apart. A search's pick is on "tuned" or "budget", and, where it was run at all noise rates, on
"transfer". A method that is told a wrong noise rate is on "misspecified". Rows of other tracks than
these plain three carry the track in their label, as "elr (tuned)", and so do configurations that
read the truth, as "co_teaching (oracle)": a leaderboard takes them for methods of their own. The
label of a trial that no search has picked depends on nothing else in the sweep. Not all rows
compete: transferred, misspecified and tuned on test labels are shown, and ranked nowhere.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pandas as pd

from bench.common.identity import IMPORTED
from bench.errors import InputError
from bench.planning.registry import REFERENCE
from bench.planning.searches import SEARCH, TUNED, SearchKind, pick, recorded_value
from bench.planning.selection import DEFAULT_RULE, ORACLE
from bench.records.schema import STOPPED, amount, present
from bench.records.trials import Trial
from bench.report.cells import Facts
from bench.report.wording import rate_title

#: End of the label of a plain row that reads the truth.
PRIVILEGED = f" ({ORACLE})"
#: Trials of a configuration in a cell, by cell, method and settings.
_Configurations = Mapping[tuple[str, str, str], list[Facts]]


def track_facts(trial: Trial) -> Facts:
    """Return a trial's facts of its track; of a search's trial also its value and seconds."""
    stage, told = trial.spec.stage, trial.spec.told
    plain = "given" if trial.file.config else "default"
    if trial.spec.imported:
        plain = IMPORTED
    facts: Facts = {
        "stage": stage,
        "told": told,
        "track": plain if told == 1 else "misspecified",
        "competes": told == 1,
        "tuned_at": np.nan,
        "tried": 0,
        "search": "",
    }
    if stage.startswith(SEARCH):
        seconds = sum(amount(epoch.train_seconds) for epoch in trial.epochs)
        facts |= {"track": SEARCH, "value": _value(trial, stage), "search_seconds": seconds}
        facts["draw"] = present(trial.file.draw, np.nan)  # records of earlier versions lack it
        facts["grace"] = _grace(trial)
    return facts


def _grace(trial: Trial) -> float:
    """Return the epochs of a trial's warm-up; NaN where its method is not here, or has changed."""
    from bench.planning.spec import TrialSpec, grace_of  # imports torch

    try:
        return grace_of(TrialSpec.from_json(trial.file.spec))
    except InputError:
        return np.nan


def _value(trial: Trial, stage: str) -> float:
    """Return the value that the search compared; NaN of a trial without a result."""
    goal = SearchKind.of(stage).goal
    if not trial.succeeded:
        return np.nan
    try:
        return recorded_value(goal, trial.epochs, trial.done)
    except (KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"{str(trial.folder)!r} does not hold what {goal} needs: delete its folder and run "
            "again"
        ) from error


def arrange_tracks(trials: Sequence[Facts]) -> tuple[list[Facts], list[Facts]]:
    """Sort trials by track.

    Args:
        trials: facts of each, those of ``track_facts`` among them.

    Returns:
        The rows to compare, in which a trial stands once for each track that it is on; and the
        searches' trials, with whether they are the ``picked`` one.
    """
    compared, searched = [], []
    configurations: dict[tuple[str, str, str], list[Facts]] = defaultdict(list)
    searches: dict[tuple[str, str], dict[str, list[Facts]]] = defaultdict(lambda: defaultdict(list))
    for facts in trials:
        facts["name"] = facts["method"]
        if facts["track"] == SEARCH:
            searches[facts["method"], facts["stage"]][facts["cell"]].append(facts)
            continue
        if facts["told"] == 1:
            configurations[facts["cell"], facts["method"], facts["hparams"]].append(facts)
        if facts["stage"] != TUNED:
            words = [] if facts["told"] == 1 else [f"told ×{facts['told']:g}"]
            compared.append(facts | _labels(facts, words))
    words_of = _search_words(list(searches))
    for (method, stage), cells in searches.items():
        words = words_of[method, stage]
        picks = {}
        for cell, tried in cells.items():
            best = pick((facts["id"], facts["value"], facts["changes"]) for facts in tried)
            picks[cell] = next(facts for facts in tried if facts["id"] == best)
            label = {"method": f"{method} ({', '.join(words)})"}
            searched += [facts | label | {"picked": facts["id"] == best} for facts in tried]
        compared += _picked_rows(SearchKind.of(stage), words, cells, picks, configurations)
    return compared, searched


def _picked_rows(
    kind: SearchKind,
    words: Sequence[str],
    cells: Mapping[str, list[Facts]],
    picks: Mapping[str, Facts],
    configurations: _Configurations,
) -> list[Facts]:
    """Return the rows of a search's picks where they were tuned, and where they are transferred.

    Args:
        words: words of the label, the track first.
        cells: the search's trials, by cell.
        picks: the picked trial of each cell.
    """
    rows = []

    def add(best: Facts, cell: str, words: Sequence[str], row: Facts) -> None:
        for facts in _trials_of(best, cell, configurations):
            rows.append(facts | row | _labels(facts, words) | _privileges(facts, kind))

    search = ", ".join(words)
    for cell, best in picks.items():
        row = {"track": kind.track, "competes": kind.goal != ORACLE}
        add(best, cell, words, row | {"tried": _tried(cells[cell]), "search": search})
    for tuned, best in _transfers(picks, configurations):
        at_rate = [f"{kind.track} at {rate_title(best['noise_rate'])}", *words[1:]]
        row = {"track": "transfer", "tuned_at": best["noise_rate"], "competes": False}
        for cell, other in picks.items():
            if other["group"] == best["group"]:
                add(best, cell, at_rate, row | {"tried": _tried(cells[tuned]), "search": search})
    return rows


def _tried(trials: Sequence[Facts]) -> int:
    """Count the configurations of a search, without those that their machine ended."""
    return sum(not facts["lost"] for facts in trials)


def _trials_of(best: Facts, cell: str, configurations: _Configurations) -> list[Facts]:
    """Return the trials of a picked configuration on the leaderboard's seeds.

    Trials that the command line gave count where the search has run none of them again.
    """
    trials = configurations.get((cell, best["name"], best["hparams"]), [])
    return [facts for facts in trials if facts["stage"] == TUNED] or trials


def _transfers(
    picks: Mapping[str, Facts], configurations: _Configurations
) -> list[tuple[str, Facts]]:
    """Return the picks of groups in which every pick was used at all noise rates, by cell."""
    transfers = []
    for cell, best in picks.items():
        group = {key: facts for key, facts in picks.items() if facts["group"] == best["group"]}
        complete = all(
            _trials_of(facts, key, configurations) for facts in group.values() for key in group
        )
        # One configuration for all rates needs no transfer.
        if complete and len({facts["hparams"] for facts in group.values()}) > 1:
            transfers.append((cell, best))
    return transfers


def _labels(facts: Facts, words: Sequence[str]) -> Facts:
    """Return the label of a row, and that of the host over which a wrapper gains.

    The host is on the same track, and privileged where its own settings are. The reference has
    nothing to tune, and reads nothing.
    """
    settings = msgspec.json.decode(facts["hparams"])
    reading = {key.partition(".")[0] for key, value in settings.items() if value == "oracle"}
    reads = bool(facts["privileges"] or reading)  # a failed trial may have recorded no privileges
    labels = {"method": _label(facts["name"], words, reads)}
    if facts["wraps"] not in ("", REFERENCE):
        wrapper = facts["name"].partition("+")[0]
        labels["wraps"] = _label(facts["wraps"], words, reads and reading != {wrapper})
    return labels


def _label(name: str, words: Sequence[str], reads: bool) -> str:
    # Words such as "told ×2" and "m.rate=oracle" show already that the row reads the truth.
    if reads and not any(word.startswith("told ") or word.endswith("=oracle") for word in words):
        # "tuned, oracle" is a search that was tuned on test labels.
        words = [*words, "privileged" if words else ORACLE]
    return f"{name} ({', '.join(words)})" if words else name


def _privileges(facts: Facts, kind: SearchKind) -> Facts:
    """Return the privileges of a row with those of its search."""
    if kind.goal == DEFAULT_RULE:
        return {}
    read = "tuned on test labels" if kind.goal == ORACLE else f"tuned on {kind.goal}"
    return {"privileges": ",".join(filter(None, [facts["privileges"], read]))}


def _search_words(searches: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Return the words of each search's label: its track, and what differs from an ordinary search.

    Args:
        searches: method and stage of each.
    """
    words, schedulers = {}, {}
    for key in searches:
        kind = SearchKind.of(key[1])
        goal = [] if kind.goal == DEFAULT_RULE else [kind.goal]
        sampler = [] if kind.sampler == "tpe" else [kind.sampler]
        start = [f"start {kind.start}"] if kind.start else []
        words[key] = [kind.track, *sampler, *start, *goal, *kind.fixed]
        schedulers[key] = kind.scheduler
    keys = [(method, words[method, stage]) for method, stage in searches]
    return {
        key: words[key] + [schedulers[key]] * (keys.count((key[0], words[key])) > 1)
        for key in searches
    }


def search_summary(searched: Sequence[Facts]) -> pd.DataFrame:
    """Return a row per search.

    Its group, noise_rate, method, goal, configurations (without the lost ones), lost, stopped,
    failed, seconds, first and best value, picked configuration, and ``conflicts`` of its trials.
    """
    table = pd.DataFrame(searched)
    if table.empty:
        return table
    rows = []
    keys = ["group", "noise_rate", "method"]
    for key, tried in table.groupby(keys, sort=False):
        first = tried.loc[tried["changes"].sort_values(kind="stable").index[0]]
        [picked] = tried.loc[tried["picked"], "config"]
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "goal": SearchKind.of(tried["stage"].iloc[0]).goal,
                "configurations": int((~tried["lost"]).sum()),
                "lost": int(tried["lost"].sum()),
                "stopped": int((tried["status"] == STOPPED).sum()),
                "failed": int(tried["failed"].sum()),
                "seconds": tried["search_seconds"].sum(),
                "first": first["value"],
                "best": tried["value"].max(),
                "picked": picked,
                "conflicts": [text for texts in tried["conflicts"] for text in texts],
            }
        )
    return pd.DataFrame(rows).sort_values(["method", "noise_rate"], kind="stable")
