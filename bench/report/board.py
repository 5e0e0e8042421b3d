"""Board: everything that a report shows, computed once from records.

All renderers (tables, LaTeX, CSV, figures, page) take a board and read it; none ranks, ties or
tests anything itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bench.planning.registry import REFERENCE
from bench.planning.selection import ALL
from bench.report.agreement import agreement, regrets
from bench.report.beside import set_beside
from bench.report.cells import Facts
from bench.report.choice import chosen_rows, configurations
from bench.report.columns import CELL, SETUP
from bench.report.facts import read_facts
from bench.report.leaderboard import NO_REFERENCE, leaderboard, reference_label
from bench.report.learning import learning
from bench.report.metrics import ACCURACY, Metric
from bench.report.published import beside_published
from bench.report.rows import rows_of
from bench.report.searches.budgets import budgets
from bench.report.searches.defaults import tuned_defaults
from bench.report.searches.importance import importance
from bench.report.searches.picks import picks
from bench.report.searches.schedulers import schedulers
from bench.report.searches.trials import search_trials
from bench.report.searches.tunability import tunability
from bench.report.statistics import AverageRanks, average_ranks, cell_statistics, variance_split
from bench.report.tracks import search_summary
from bench.report.verdicts import verdict_notes
from bench.report.wording import rates_of


@dataclass(frozen=True)
class Board:
    """Tables of one report. Statistics are of accuracy and of the rows that compete."""

    rows: pd.DataFrame  # a row per trial, track and rule: ``rows.rows_of``
    configurations: pd.DataFrame  # a row per cell, method, configuration and rule
    leaderboard: pd.DataFrame  # a row per cell, method and rule, ranked by accuracy
    ranked: pd.DataFrame  # the same, ranked by ``metric``
    chosen: pd.DataFrame  # those of ``rows`` that the leaderboard summarises
    reference: str | None  # label of the method that all are compared with
    metric: Metric
    agreement: pd.DataFrame  # agreement of the rules with each other: a row per cell
    flagged: frozenset[str]  # cells where noisy validation and test accuracy disagree
    searched: pd.DataFrame  # configurations that searches tried, likewise; may be empty
    searches: pd.DataFrame  # a row per search: ``tracks.search_summary``; may be empty
    search_trials: pd.DataFrame  # a row per trial of a search; may be empty
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)  # notes on groups

    @cached_property
    def statistics(self) -> pd.DataFrame:
        """Tests and tiers: a row per cell, rule but the oracle, and method."""
        return cell_statistics(_competing(self.chosen), _competing(self.leaderboard))

    @cached_property
    def regrets(self) -> pd.DataFrame:
        """Accuracy lost to the oracle: a row per cell, rule but the oracle, and method."""
        return regrets(_competing(self.leaderboard))

    @cached_property
    def variance(self) -> pd.DataFrame:
        """Spread over noise, split and training: a row per cell, configuration and draw."""
        rows, keys = _competing(self.rows), ["cell", "method", "hparams"]
        setup = rows.drop_duplicates(keys).set_index(keys)[[*CELL, "config", "group", *SETUP]]
        return variance_split(rows).join(setup, on=keys)

    @cached_property
    def learning(self) -> pd.DataFrame:
        """Corrected labels and separated features: a row per cell and method."""
        return learning(_competing(self.chosen))

    @cached_property
    def ranks(self) -> AverageRanks | None:
        """Average ranks over all cells; None where too few methods or cells are complete."""
        return average_ranks(_competing(self.leaderboard))

    @cached_property
    def importance(self) -> pd.DataFrame:
        """Importance of hyper-parameters: a row per search, hyper-parameter and evaluator."""
        return importance(self.search_trials)

    @cached_property
    def budgets(self) -> pd.DataFrame:
        """Accuracy to expect of n configurations: a row per search and n."""
        return budgets(self.search_trials)

    @cached_property
    def picks(self) -> pd.DataFrame:
        """Distance of a search's pick from its best configuration: a row per search."""
        return picks(self.search_trials)

    @cached_property
    def schedulers(self) -> pd.DataFrame:
        """Savings and losses by early stopping: a row per search and scheduler."""
        return schedulers(self.search_trials)

    @cached_property
    def tunability(self) -> pd.DataFrame:
        """Gain of tuned configurations over the first ones: a row per search."""
        return tunability(self.rows, self.search_trials)

    @cached_property
    def tuned_defaults(self) -> pd.DataFrame:
        """Configurations that ran in all cells, by mean rank: a row per method and candidate."""
        return tuned_defaults(self.rows, self.search_trials)

    @cached_property
    def published(self) -> pd.DataFrame:
        """Published numbers on the same data sets, beside ours."""
        return beside_published(self.leaderboard)

    def doubtful_rates(self, group: pd.DataFrame) -> list[float]:
        """Return the noise rates of rows of a leaderboard whose cells are flagged, in order."""
        return rates_of(group[group["cell"].isin(self.flagged)])


def read_board(
    folders: Sequence[Path],
    reference: str = REFERENCE,
    metric: Metric = ACCURACY,
    clean_images: str = ALL,
    beside: Path | None = None,
) -> Board:
    """Read the records below ``folders``, as one sweep, into a board.

    Args:
        folders: of sweeps, or archives of them.
        reference: method to compare with, or "none".
        metric: figure of ``Board.ranked``.
        clean_images: as in ``rows.load_sides``.
        beside: folder or archive of a reference, whose rows stand beside those of ``folders``.

    Raises:
        InputError: where ``folders`` hold no records, none of ``reference``, or none with the
            metric.
    """
    [(compared, searched)] = read_facts([[*folders, *([beside] if beside else [])]], clean_images)
    remarks: Mapping[str, Sequence[str]] = {}
    if beside:
        compared, remarks = set_beside(compared, folders, beside)
        groups = {facts["group"] for facts in compared}
        searched = [facts for facts in searched if facts["group"] in groups]
    if verdicts := [note for folder in folders for note in verdict_notes(folder)]:
        groups = {facts["group"] for facts in compared}
        remarks = {group: [*verdicts, *remarks.get(group, [])] for group in groups}
    rows = rows_of(compared, clean_images)
    board = board_of(rows, reference, metric, searched, clean_images)
    return replace(board, remarks=remarks)


def board_of(
    rows: pd.DataFrame,
    reference: str = REFERENCE,
    metric: Metric = ACCURACY,
    searched: Sequence[Facts] = (),
    clean_images: str = ALL,
) -> Board:
    """Make a board of the rows of trials, as ``rows.rows_of`` returns them.

    Args:
        searched: facts of the trials of searches.
    """
    by_accuracy, tried = leaderboard(rows, reference), configurations(rows)
    cells = agreement(*map(_competing, (rows, by_accuracy, tried)))
    return Board(
        rows=rows,
        configurations=tried,
        leaderboard=by_accuracy,
        ranked=by_accuracy if metric == ACCURACY else leaderboard(rows, reference, metric),
        chosen=chosen_rows(rows, by_accuracy),
        reference=None if reference == NO_REFERENCE else reference_label(reference, rows),
        metric=metric,
        agreement=cells,
        flagged=frozenset(cells.loc[cells["flagged"].astype(bool), "cell"]),
        searched=_searched(searched, clean_images),
        searches=search_summary(searched),
        search_trials=search_trials(searched, clean_images),
    )


def _searched(trials: Sequence[Facts], clean_images: str) -> pd.DataFrame:
    """Summarise the configurations of searches; their picks are ``chosen``, under every rule."""
    if not trials:
        return pd.DataFrame()
    table = configurations(rows_of(trials, clean_images))
    keys = ["cell", "method", "hparams"]
    picks = {tuple(facts[key] for key in keys) for facts in trials if facts["picked"]}
    chosen = [key in picks for key in table[keys].itertuples(index=False, name=None)]
    return table.assign(chosen=np.array(chosen))


def _competing(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["competes"]]
