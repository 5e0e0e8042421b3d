"""Accuracy of every method in every cell, in one table."""

import pandas as pd

from bench.planning.selection import DEFAULT_RULE
from bench.report.statistics import AverageRanks
from bench.report.tables import Entry, Table, mean_entry, rows_by
from bench.report.wording import rate_title

#: Number of cells above which the table has no room for them.
MOST = 8

_RANK = "Average rank"


def all_cells_table(leaderboard: pd.DataFrame, ranks: AverageRanks) -> Table:
    """Return the methods of all cells, the best on average first.

    It has a column for each cell, unless there are many, or cells differ in more than data set and
    noise.

    Args:
        leaderboard: rows of the competing methods, under any rules.
        ranks: their average ranks.
    """
    rows = leaderboard[leaderboard["rule"] == DEFAULT_RULE]
    names = cell_names(rows)
    by_place = rows_by(rows, "method", "cell")
    lines = []
    for method, rank in ranks.ranks.items():
        means = [mean_entry(by_place[method, cell], placed=True) for cell in names]
        lines.append([Entry(str(method)), *means, Entry(f"{rank:.2f}")])
    caption = "Test accuracy (%), epoch and configuration selected by noisy validation accuracy"
    return Table(caption if names else _RANK, ["Method", *names.values(), _RANK], lines)


def cell_names(rows: pd.DataFrame) -> dict[str, str]:
    """Return names of all cells by what differs among them: data set, and noise with its rate.

    Empty where there are more than MOST, or where other things differ as well.
    """
    cells = rows.drop_duplicates("cell")
    datasets = cells["dataset"].nunique() > 1
    names = [
        f"{f'{row.dataset}, ' * datasets}{row.noise_kind} {rate_title(row.noise_rate)}"
        for row in cells.itertuples()
    ]
    told_apart = len(names) <= MOST and len({*names}) == len(names)
    return dict(zip(cells["cell"], names, strict=True)) if told_apart else {}
