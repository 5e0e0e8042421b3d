"""Configurations that searches tried, as a table: a row per trial of a search."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd

from bench.planning.searches import SearchKind
from bench.planning.selection import DECIMALS, DEFAULT_RULE, ORACLE
from bench.report.cells import Facts
from bench.report.columns import CELL, GROUP
from bench.report.metrics import ACCURACY
from bench.report.rows import rows_of

#: Columns that identify a search.
SEARCH_KEY = ["cell", "method"]

#: Columns that identify a method's searches, one in each cell.
METHOD_KEY = ["group", "method"]

#: Columns that every table of searches takes over from the trials.
ABOUT = [*dict.fromkeys([*CELL, *GROUP, "group", "cell", "method", "name", "goal"])]


def search_trials(searched: Sequence[Facts], clean_images: str) -> pd.DataFrame:
    """Return a row per trial of a search, search by search in the order of the draws.

    Args:
        searched: facts of the trials of searches.
        clean_images: as in ``rows.load_sides``.

    Returns:
        ``value`` that the search compared, of a failed trial accuracy at chance; ``test_accuracy``
        at the epoch of best noisy validation accuracy, ``best_test`` at that of the best test
        accuracy; ``draw``, counted from 0; ``first``, whether it is the search's first
        configuration; ``picked``; ``place`` in the order by which a search picks, 0 for the pick;
        ``settings`` as a dictionary; ``seconds`` of training; ``goal`` of the search. Accuracies
        are fractions. Lost trials are left out. Empty without searches.
    """
    if not searched:
        return pd.DataFrame()
    rows = rows_of(searched, clean_images)
    rows = rows[~rows["lost"].astype(bool)]
    table = rows[rows["rule"] == DEFAULT_RULE]
    best = rows[rows["rule"] == ORACLE].set_index(["id", *SEARCH_KEY])[ACCURACY.name]
    keys = pd.MultiIndex.from_frame(table[["id", *SEARCH_KEY]])
    value = table["value"].where(~table["failed"].astype(bool), table["score"])
    table = table.assign(
        value=value.astype(float).round(DECIMALS),
        best_test=best.reindex(keys).to_numpy(dtype=float),
        seconds=table["search_seconds"].astype(float),
        settings=[msgspec.json.decode(text) for text in table["hparams"]],
        goal=[SearchKind.of(stage).goal for stage in table["stage"]],
    )
    ordered = [_ordered(tried) for tried in parts(table)]
    return pd.concat(ordered).sort_values(["group", "method", "noise_rate", "draw"], kind="stable")


def parts(trials: pd.DataFrame, key: list[str] = SEARCH_KEY) -> list[pd.DataFrame]:
    """Return the trials of each search, or of each method's searches; none without trials."""
    return [part for _, part in trials.groupby(key, sort=False)] if len(trials) else []


def _ordered(tried: pd.DataFrame) -> pd.DataFrame:
    """Add ``draw``, ``first`` and ``place`` to the trials of one search."""
    fewest = (tried["changes"] == tried["changes"].min()).to_numpy()
    # Records of earlier versions do not say when a configuration was drawn.
    drawn = tried["draw"].fillna(np.inf).to_numpy(dtype=float)
    draw = np.empty(len(tried), dtype=int)
    draw[np.lexsort((tried["id"], ~fewest, drawn))] = np.arange(len(tried))
    # The order of ``bench.planning.searches.pick``: value, which a failed trial has none of, fewest
    # changes, id.
    value = tried["value"].where(~tried["failed"].astype(bool)).fillna(-np.inf).to_numpy()
    place = np.empty(len(tried), dtype=int)
    place[np.lexsort((tried["id"], ~fewest, -value))] = np.arange(len(tried))
    is_first = np.zeros(len(tried), dtype=bool)
    is_first[np.lexsort((draw, ~fewest))[0]] = True
    return tried.assign(draw=draw, place=place, first=is_first)


def varied(tried: pd.DataFrame) -> list[str]:
    """Return the hyper-parameters, "part.name", that differ between configurations of a search."""
    settings = list(tried["settings"])
    names = dict.fromkeys(name for values in settings for name in values)
    return [
        name
        for name in names
        if len({msgspec.json.encode(values.get(name)) for values in settings}) > 1
    ]


def is_numeric(values: Sequence[object]) -> bool:
    """Return whether all values of a hyper-parameter are numbers, truth values aside."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return hyper-parameters without their part, where that leaves them apart."""
    bare = [name.partition(".")[2] for name in names]
    return {
        name: text if bare.count(text) == 1 else name
        for name, text in zip(names, bare, strict=True)
    }
