"""Ledger: published numbers beside the rows of several sweeps, and why others stand alone."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.report.beside import name_of
from bench.report.board import read_board
from bench.report.leaderboard import NO_REFERENCE
from bench.report.published import IMPORTED, LACKS, against_published, read_published
from bench.report.tables import Section, Table, entries
from bench.report.wording import NONE, rate_title, signed


def read_ledger(sweeps: Sequence[Path]) -> pd.DataFrame:
    """Return all published numbers with the rows of the sweeps beside them, both in percent.

    Columns are those of ``published.against_published``, and ``board``, the name of the sweep. A
    number has several rows where several of our cells correspond.

    Args:
        sweeps: folders or archives, each a board of its own.

    Raises:
        InputError: where one of them holds no records.
    """
    boards = [
        read_board([sweep], NO_REFERENCE).leaderboard.assign(board=name_of(sweep))
        for sweep in sweeps
    ]
    return against_published(read_published(), pd.concat(boards, ignore_index=True))


def ledger_sections(ledger: pd.DataFrame) -> list[Section]:
    """Return the summary by source, then all comparisons."""
    return [_summary(ledger), _comparisons(ledger)]


def _summary(ledger: pd.DataFrame) -> Section:
    """Return the section that counts the numbers of each source, and says what others lack."""
    lines = []
    papers = ledger["source"].map(paper_of)
    for (paper, dataset), rows in ledger.groupby([papers, "dataset"], sort=False):
        compared = rows[rows["ours"].notna()]
        alone = rows[rows["ours"].isna()]
        lines.append(
            entries(paper, dataset, rows.index.nunique(), *_counts(compared))
            + entries(_boards(compared), _spread(compared["difference"]), _lacking(alone))
        )
    columns = ["Source", "Data set", "Numbers", "Beside ours", "Beside imported runs alone"]
    columns += ["Boards", "Ours less theirs: median (range)", "What ours lack for the others"]
    ours, imported = _counts(ledger[ledger["ours"].notna()])
    caption = (
        f"{ledger.index.nunique()} published numbers, {ours} of them beside ours and {imported} "
        "beside imported runs alone, of the same data set, noise, rate, method and selection rule"
    )
    notes = [
        "Differences are in points. Networks, epochs and recipes differ: ledger.csv lists the "
        "known differences of each comparison."
    ]
    return Section("Published numbers", "", [Table(caption, columns, lines)], notes)


def _counts(compared: pd.DataFrame) -> tuple[int, int]:
    """Return how many numbers stand beside ours, and how many beside imported runs alone."""
    ours = compared[~compared["differences"].astype(str).str.startswith(IMPORTED)].index.nunique()
    return ours, compared.index.nunique() - ours


def paper_of(source: str) -> str:
    """Return the paper or repository of a source, without table and number of runs."""
    paper = re.match(r"[^;,]*?\([^)]*\)|[^;,]*", source)
    return paper[0] if paper else source


def _boards(compared: pd.DataFrame) -> str:
    return ", ".join(sorted(set(compared["board"]))) or NONE


def _spread(differences: pd.Series) -> str:
    if differences.empty:
        return NONE
    low, middle, high = (
        signed(value / 100)
        for value in (differences.min(), differences.median(), differences.max())
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def _lacking(alone: pd.DataFrame) -> str:
    """Return the counts of what our records lack."""
    counts = {
        what: int(alone["not_comparable"].astype(str).str.startswith(beginning).sum())
        for what, beginning in LACKS.items()
    }
    return ", ".join(f"{what} {count}" for what, count in counts.items() if count) or NONE


def _comparisons(ledger: pd.DataFrame) -> Section:
    lines = []
    for _, row in ledger[ledger["ours"].notna()].iterrows():
        rate = "" if pd.isna(row["rate"]) else f"{rate_title(row['rate'])} "
        line = entries(row["board"], row["dataset"], rate + row["noise"], row["method"])
        line += entries(row["rule"], f"{row['accuracy']:.2f}", f"{row['ours']:.2f}")
        line += entries(signed(row["difference"] / 100), row["differences"] or NONE, row["source"])
        lines.append(line)
    columns = ["Board", "Data set", "Noise", "Method", "Rule", "Published", "Ours", "Difference"]
    table = Table("Accuracy (%) by the same rule", [*columns, "Known differences", "Source"], lines)
    reasons = ledger["not_comparable"].value_counts().sort_index()
    notes = ["Numbers that cannot be compared, and why:"] if len(reasons) else []
    notes += [f"{count}: {reason}." for reason, count in reasons.items()]
    return Section("All comparisons", "", [table] if lines else [], notes)
