"""Distance of a search's pick from the best configuration that it has tried.

The pick is made by noisy validation accuracy, or another goal of the search. Two steps lose test
accuracy: the choice of a configuration, and the choice of its epoch. The best of many test
accuracies is partly luck, so that the distance is an upper bound of what a better choice would win.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.report.agreement import ENOUGH
from bench.report.metrics import ACCURACY
from bench.report.searches.trials import ABOUT, parts

COLUMNS = (
    "configurations config best_config first picked best oracle lost_by_configuration "
    "lost_by_epoch place correlation"
).split()


def picks(trials: pd.DataFrame) -> pd.DataFrame:
    """Return a row per search.

    Args:
        trials: from ``trials.search_trials``.

    Returns:
        Test accuracy of the ``first`` configuration, the ``picked`` one and the ``best`` one, each
        at the epoch of best noisy validation accuracy, and of the ``oracle``, the best one at its
        best epoch; the losses ``best - picked`` and ``oracle - best``; the pick's ``place`` by test
        accuracy, 1 for the best; Spearman's ``correlation`` of the search's values with test
        accuracy. Accuracies are fractions. A search without any is left out.
    """
    known = [tried for tried in parts(trials) if tried[ACCURACY.name].notna().any()]
    rows = [_of_search(tried) for tried in known]
    return pd.DataFrame(rows, columns=[*ABOUT, *COLUMNS])


def _of_search(tried: pd.DataFrame) -> dict[str, Any]:
    [picked] = tried.index[tried["place"] == 0]
    [first] = tried.index[tried["first"]]
    test = tried[ACCURACY.name].astype(float)
    best, oracle = test.max(), tried["best_test"].astype(float).max()
    return {
        **{name: tried[name].iloc[0] for name in ABOUT},
        "configurations": len(tried),
        "config": tried["config"][picked],
        "best_config": tried["config"][test.idxmax()],
        "first": test[first],
        "picked": test[picked],
        "best": best,
        "oracle": oracle,
        "lost_by_configuration": best - test[picked],
        "lost_by_epoch": oracle - best,
        "place": int((test > test[picked]).sum()) + 1,
        "correlation": _correlation(tried["value"].to_numpy(dtype=float), test.to_numpy()),
    }


def _correlation(value: np.ndarray, test: np.ndarray) -> float:
    known = np.isfinite(value) & np.isfinite(test)
    spread = known.sum() >= ENOUGH and np.ptp(value[known]) > 0 and np.ptp(test[known]) > 0
    return float(stats.spearmanr(value[known], test[known]).statistic) if spread else np.nan
