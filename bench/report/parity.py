"""Parity ledger: our trials beside those of the authors' code, and what was checked by method."""

from pathlib import Path

import pandas as pd

from bench.report.markdown import to_markdown
from bench.report.statistics import half_width, paired_differences
from bench.report.tables import Entry, Section, Table, entries, rows_by
from bench.report.wording import NONE, percent, signed

#: Columns of parity.csv: a row for each method, noise and seed; accuracies are shares.
TRIALS = "method noise rate seed ours_final ours_best theirs_final theirs_best".split()
#: Columns of ledger.csv: a row for each method.
LEDGER = "method repository commit check adapter difference".split()
#: Values of ``check``: formula or test numbers compared, or both trained on the same labels.
CHECKS = ("formula", "numbers", "side by side")


def read_parity(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return parity.csv (``TRIALS``) and ledger.csv (``LEDGER``) of a folder, sorted by method."""
    ledger = pd.read_csv(folder / "ledger.csv", dtype=str, keep_default_na=False)[LEDGER]
    trials = pd.read_csv(folder / "parity.csv")[TRIALS]
    return trials.sort_values(["method", "noise", "seed"]), ledger.sort_values("method")


def parity_tables(trials: pd.DataFrame, ledger: pd.DataFrame) -> str:
    """Return the tables of accuracies and of how each method was checked, as Markdown."""
    sections = [
        Section("Accuracy", "", [_accuracies(trials)], []),
        Section("How each method was checked", "", [_ways(ledger)], []),
    ]
    return to_markdown(sections, []).partition("\n\n")[2]


def _accuracies(trials: pd.DataFrame) -> Table:
    lines = []
    for (method, noise, rate), seeds in trials.groupby(["method", "noise", "rate"]):
        line = entries(method, f"{noise} {rate:g}")
        for epoch in ("final", "best"):
            ours, theirs = seeds[f"ours_{epoch}"], seeds[f"theirs_{epoch}"]
            line += [_mean(ours), _mean(theirs), *entries(_difference(ours - theirs))]
        lines.append([*line, *entries(len(seeds))])
    columns = ["Method", "Noise", "Ours, last", "Theirs, last", "Difference (95 %)"]
    columns += ["Ours, best", "Theirs, best", "Difference (95 %)", "Seeds"]
    return Table("Test accuracy (%) after the last epoch and in the best one", columns, lines)


def _mean(values: pd.Series) -> Entry:
    error = half_width(pd.Series([values.sem()]), pd.Series([len(values)]))[0]
    return Entry(percent(values.mean()), interval="" if pd.isna(error) else percent(error))


def _difference(differences: pd.Series) -> str:
    """Return the mean of paired differences with its 95 % interval, in points."""
    [[mean, low, high, *_]] = paired_differences([differences.to_numpy()])
    interval = "" if pd.isna(low) else f" ({signed(low)} to {signed(high)})"
    return signed(mean) + interval


def _ways(ledger: pd.DataFrame) -> Table:
    lines = [entries(*(text or NONE for text in row)) for row in ledger.itertuples(index=False)]
    columns = ["Method", "Repository", "Commit", "Checked", "How it was run", "Differences"]
    return Table("Authors' code, and how it was fed", columns, lines)


def with_checks(table: str, ledger: pd.DataFrame) -> str:
    """Add a column to the table of methods: how each was compared with its authors' code."""
    checks = rows_by(ledger, "method")
    header, rule, *rows = table.splitlines()
    lines = [f"{header} Checked |", f"{rule} --- |"]
    for row in rows:
        method = (row.split("`")[1],)
        check = checks[method]["check"] if method in checks else ""
        lines.append(f"{row} {check or NONE} |")
    return "\n".join(lines) + "\n"
