"""Which track of a leaderboard a trial is on, worked out from the records alone.

A plain trial is on the track "default" (the method's own settings) or "given" (those of the command
line). What a search has tried is on none: its trials are shown apart. What it has picked is on
"tuned" or "budget", and, where it was run at all noise rates, on "transfer". A method that is told
a wrong noise rate is on "misspecified". The rows of another track than the plain ones carry it in
their label, as "elr (tuned)", and so do configurations that read the truth, as "co_teaching
(oracle)": a leaderboard takes them for methods of their own. The label of a trial that no search
has picked depends on nothing else in the sweep. Not all rows compete: what is transferred, told a
wrong rate, or tuned on test labels is shown, and ranked nowhere.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.errors import InputError
from bench.planning.registry import REFERENCE
from bench.planning.searches import SEARCH, TUNED, SearchKind, best_value, goal_values, pick
from bench.planning.selection import DEFAULT_RULE, ORACLE
from bench.records.trials import Trial, unpack_truth

Facts = dict[str, Any]

#: What the label of a plain row that reads the truth ends in.
PRIVILEGED = f" ({ORACLE})"


def track_facts(trial: Trial) -> Facts:
    """What a trial's record says of its track."""
    spec = trial.spec["spec"]
    stage, told = spec.get("stage", ""), float(spec.get("told", 1.0))
    plain = "given" if trial.spec["config"] else "default"
    found: Facts = {
        "stage": stage,
        "told": told,
        "track": plain if told == 1 else "misspecified",
        "competes": told == 1,
        "tuned_at": np.nan,
        "tried": 0,
        "search": "",
    }
    if stage.startswith(SEARCH):
        epochs = trial.epochs
        kind = SearchKind.of(stage)
        found |= {"track": SEARCH, "value": np.nan}
        found["search_seconds"] = sum(epoch.get("train_seconds") or 0.0 for epoch in epochs)
        if trial.succeeded:
            try:
                found["value"] = best_value(
                    goal_values(kind.goal, epochs, unpack_truth(trial.done.get("validation_truth")))
                )
            except (KeyError, TypeError, AssertionError) as error:
                raise InputError(
                    f"{str(trial.folder)!r} does not hold what {kind.goal} needs: delete its "
                    "folder and run again"
                ) from error
    return found


def arrange_tracks(trials: Sequence[Facts]) -> tuple[list[Facts], list[Facts]]:
    """Sort trials by track.

    Args:
        trials: facts of each, those of ``track_facts`` among them.

    Returns:
        The rows to compare, in which a trial stands once for each track that it is on; and the
        searches' trials, with whether they are the ``picked`` one.
    """
    compared, searched = [], []
    # the trials of a configuration in a cell
    at: dict[tuple[str, str, str], list[Facts]] = defaultdict(list)
    searches: dict[tuple[str, str], dict[str, list[Facts]]] = defaultdict(lambda: defaultdict(list))
    for facts in trials:
        facts["name"] = facts["method"]
        if facts["track"] == SEARCH:
            searches[facts["method"], facts["stage"]][facts["cell"]].append(facts)
            continue
        if facts["told"] == 1:
            at[facts["cell"], facts["method"], facts["hparams"]].append(facts)
        if facts["stage"] != TUNED:
            compared.append(
                facts | _named(facts, [] if facts["told"] == 1 else [f"told ×{facts['told']:g}"])
            )
    labels = _labels(list(searches))
    for (method, stage), cells in searches.items():
        kind, extra = SearchKind.of(stage), labels[method, stage]
        words = [kind.track, *extra]
        text = ", ".join(words)
        picks = {}
        for cell, tried in cells.items():
            chosen = pick((facts["id"], facts["value"], facts["changes"]) for facts in tried)
            [best] = [facts for facts in tried if facts["id"] == chosen]
            picks[cell] = best
            for facts in tried:
                searched.append(facts | {"picked": facts is best, "method": f"{method} ({text})"})
            row = {
                "track": kind.track,
                "tried": _tried(tried),
                "search": text,
                "competes": kind.goal != ORACLE,
            }
            compared += [
                facts | row | _named(facts, words) | _privileged(facts, kind)
                for facts in _of(at, cell, best)
            ]
        for tuned_at, best in _transfers(picks, at):
            rate = "as found" if best["noise_rate"] < 0 else f"{100 * best['noise_rate']:.3g} %"
            row = {
                "track": "transfer",
                "tuned_at": best["noise_rate"],
                "tried": _tried(cells[tuned_at]),
                "search": text,
            }
            row["competes"] = False
            words = [f"{kind.track} at {rate}", *extra]
            for cell in picks:
                if picks[cell]["group"] == best["group"]:
                    compared += [
                        facts | row | _named(facts, words) | _privileged(facts, kind)
                        for facts in _of(at, cell, best)
                    ]
    return compared, searched


def _tried(trials: Sequence[Facts]) -> int:
    """Count the configurations of a search that have a result, or failed to: not those that their
    machine ended.
    """
    return sum(not facts["lost"] for facts in trials)


def _of(at: Mapping[tuple[str, str, str], list[Facts]], cell: str, best: Facts) -> list[Facts]:
    """The trials of a picked configuration on the leaderboard's seeds; the same one, where it was
    asked for anyway.
    """
    found = at.get((cell, best["name"], best["hparams"]), [])
    return [facts for facts in found if facts["stage"] == TUNED] or found


def _transfers(
    picks: Mapping[str, Facts], at: Mapping[tuple[str, str, str], list[Facts]]
) -> list[tuple[str, Facts]]:
    """Picks of the groups in which what is tuned at any noise rate was used at all of them."""
    found = []
    for cell, best in picks.items():
        together = [other for other in picks if picks[other]["group"] == best["group"]]
        whole = all(_of(at, used, picks[tuned]) for tuned in together for used in together)
        # One configuration for all rates needs no transfer.
        if len({picks[other]["hparams"] for other in together}) > 1 and whole:
            found.append((cell, best))
    return found


def _named(facts: Facts, words: Sequence[str]) -> Facts:
    """A row's label, and that of the host which a wrapper gains over: on the same track, as
    ``words`` say, and privileged where the host's own settings are. The reference has nothing to
    tune, and reads nothing.
    """
    asked = {
        key.partition(".")[0]
        for key, value in msgspec.json.decode(facts["hparams"]).items()
        if value == "oracle"
    }
    reads = bool(facts["privileges"] or asked)  # a trial that failed may not have said so
    found = {"method": _label(facts["name"], words, reads)}
    if facts["wraps"] not in ("", REFERENCE):
        wrapper = facts["name"].partition("+")[0]
        found["wraps"] = _label(facts["wraps"], words, reads and asked != {wrapper})
    return found


def _label(name: str, words: Sequence[str], reads: bool) -> str:
    # which say so
    if reads and not any(word.startswith("told ") or word.endswith("=oracle") for word in words):
        # "tuned, oracle" is what was tuned on test labels
        words = [*words, "privileged" if words else ORACLE]
    return f"{name} ({', '.join(words)})" if words else name


def _privileged(facts: Facts, kind: SearchKind) -> Facts:
    """What the search has read goes to the privileges."""
    if kind.goal == DEFAULT_RULE:
        return {}
    read = "tuned on test labels" if kind.goal == ORACLE else f"tuned on {kind.goal}"
    return {"privileges": ",".join(filter(None, [facts["privileges"], read]))}


def _labels(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """What a label says besides the track: what is unusual, or, where two would be the same,
    everything.
    """
    short = {}
    for method, stage in keys:
        kind = SearchKind.of(stage)
        short[method, stage] = [*([kind.goal] if kind.goal != DEFAULT_RULE else []), *kind.fixed]
    found = {}
    for method, stage in keys:
        kind = SearchKind.of(stage)
        same = [
            s
            for m, s in keys
            if m == method
            and SearchKind.of(s).track == kind.track
            and short[m, s] == short[method, stage]
        ]
        found[method, stage] = short[method, stage] + ([kind.scheduler] if len(same) > 1 else [])
    return found


def search_summary(searched: Sequence[Facts]) -> pd.DataFrame:
    """A row per search.

    Its group, noise_rate, method, goal, configurations (without the lost ones), lost, stopped,
    failed, seconds, first and best value, what was picked, and ``conflicts`` of what it tried.
    """
    rows = []
    table = pd.DataFrame(searched)
    if table.empty:
        return table
    for (group, rate, method), tried in table.groupby(
        ["group", "noise_rate", "method"], sort=False
    ):
        first = tried.loc[tried["changes"].sort_values(kind="stable").index[0]]
        [picked] = tried.loc[tried["picked"], "config"]
        rows.append(
            {
                "group": group,
                "noise_rate": rate,
                "method": method,
                "goal": SearchKind.of(tried["stage"].iloc[0]).goal,
                "configurations": int((~tried["lost"]).sum()),
                "lost": int(tried["lost"].sum()),
                "stopped": int((tried["status"] == "stopped").sum()),
                "failed": int(tried["failed"].sum()),
                "seconds": tried["search_seconds"].sum(),
                "first": first["value"],
                "best": tried["value"].max(),
                "picked": picked,
                "conflicts": [conflict for own in tried["conflicts"] for conflict in own],
            }
        )
    return pd.DataFrame(rows).sort_values(["method", "noise_rate"], kind="stable")
