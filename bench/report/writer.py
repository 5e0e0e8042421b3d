"""Files of a report: tables, figures and the page, written from records alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from bench.common.files import write_output
from bench.common.pages import refuse_another
from bench.planning.registry import REFERENCE
from bench.planning.selection import ALL, check_clean_images
from bench.report import columns
from bench.report.agreement import CORRELATIONS
from bench.report.analysis import analysis_sections
from bench.report.board import Board, read_board
from bench.report.columns import CELL, OPTIONAL, ROW, SETUP
from bench.report.compare import COLUMNS as COMPARE
from bench.report.compare import compare
from bench.report.latex import to_latex
from bench.report.learning import COLUMNS as LEARNING
from bench.report.ledger import ledger_sections, read_ledger
from bench.report.markdown import to_markdown, unescaped
from bench.report.metrics import ACCURACY, ranked_by
from bench.report.page import TITLE, write_page
from bench.report.plots import FORMATS, write_plots
from bench.report.published import published_section
from bench.report.searches.files import search_files
from bench.report.sections import sections
from bench.report.statistics import STATISTICS
from bench.report.tables import Section

#: Note on the figures that a report without plots leaves in place.
EARLIER_FIGURES = (
    "Figures in plots/ are older than the tables: python -m bench.report draws them from all "
    "records."
)


@dataclass(frozen=True)
class Report:
    """A report that is on disk, and the part of it that a terminal shows."""

    leaderboard: pd.DataFrame
    sections: list[Section]
    files: list[Path]
    about_figures: str = ""  # set where they are not of this report


def write_report(
    folders: Sequence[Path],
    out_dir: Path,
    reference: str = REFERENCE,
    plots: bool = True,
    rank_by: str = ACCURACY.name,
    clean_images: str = ALL,
    beside: Path | None = None,
) -> Report:
    """Write all tables, figures and the page of the records below ``folders``.

    Args:
        reference: method that all are compared with, or "none".
        rank_by: metric of the leaderboard, which the page shows first. Plots and analysis are of
            accuracy.
        clean_images: as in ``rows.load_sides``.
        beside: as in ``board.read_board``.

    Raises:
        InputError: where ``folders`` hold no records, none of ``reference``, or none with the
            metric, or ``out_dir`` has the ``index.html`` of something else.
    """
    refuse_another(out_dir / "index.html", TITLE)
    metric = ranked_by(rank_by)
    board = read_board(folders, reference, metric, check_clean_images(clean_images), beside)
    tables = sections(board)
    out_dir.mkdir(parents=True, exist_ok=True)
    plots_dir = out_dir / "plots"
    earlier = _figures_of(out_dir / "leaderboard.md")
    if plots:
        captions = write_plots(board, plots_dir)
    else:
        captions = {
            name: caption
            for name, caption in earlier.items()
            if (plots_dir / f"{name}.png").exists()
        }
    about_figures = EARLIER_FIGURES if captions and not plots else ""
    figures = [(f"plots/{name}.png", caption) for name, caption in captions.items()]
    page = write_page(board, tables, published_section(board.published))
    contents = {
        **csv_files(board),
        **search_files(board, to_csv),
        "leaderboard.md": to_markdown(tables, figures, about_figures=about_figures).encode(),
        "leaderboard.tex": to_latex(board).encode(),
        "analysis.md": to_markdown(analysis_sections(board), [], "Analysis").encode(),
        "index.html": page,
    }
    files = _write(out_dir, contents)
    for name, kind in product(earlier.keys() - captions.keys(), FORMATS):  # of other records
        (plots_dir / f"{name}.{kind}").unlink(missing_ok=True)
    if plots:
        files += [plots_dir / f"{name}.{kind}" for name in captions for kind in FORMATS]
    return Report(board.ranked, tables, files, about_figures)


def csv_files(board: Board) -> dict[str, bytes]:
    """Return the CSV files of a report by name."""
    tried = board.configurations
    if len(board.searched):
        tried = pd.concat([tried, board.searched], ignore_index=True)
    by_rule = [name for name in board.agreement.columns if name.startswith(("tau_", "best_"))]
    setup_of_row = [*ROW, *SETUP]
    tables = {
        "leaderboard.csv": (board.ranked, columns.LEADERBOARD),
        "statistics.csv": (board.statistics, [*CELL, *STATISTICS, *setup_of_row]),
        "rules.csv": (board.regrets, [*CELL, *columns.REGRETS, *setup_of_row]),
        "agreement.csv": (board.agreement, [*CELL, "methods", *by_rule, *CORRELATIONS, *SETUP]),
        "variance.csv": (board.variance, [*CELL, *columns.VARIANCE, *SETUP]),
        "learning.csv": (board.learning, [*CELL, "method", *LEARNING, *setup_of_row]),
        "published.csv": (board.published, list(board.published.columns)),
    }
    if not tried["chosen"].all():  # leaderboard.csv has all rows otherwise
        tables["configs.csv"] = (tried, columns.CONFIGURATIONS)
    return {name: to_csv(table, selected) for name, (table, selected) in tables.items()}


def to_csv(table: pd.DataFrame, selected: Sequence[str]) -> bytes:
    """Return columns of a table as CSV; equal records give equal bytes.

    A column of ``OPTIONAL`` is there where a row has a value. An unknown noise rate is missing.
    Text is quoted where it has to be, so that a program
    reads it back. No column of text begins with other people's text, which a spreadsheet might take
    for a formula (``=``, ``+``, ``-``, ``@``): names of methods and rules are Python's, those of
    imported trials begin with a letter or digit, and those of files stand behind ``folder:`` or
    ``labels:``.
    """
    if "name" in table:  # the method's name, without the track that its label holds
        table = table.assign(method=table["name"])
    table = table[[name for name in selected if name not in OPTIONAL or (table[name] != "").any()]]
    if "noise_rate" in selected:
        table = table.assign(noise_rate=table["noise_rate"].where(table["noise_rate"] >= 0))
    return table.to_csv(index=False, float_format="%.8g", lineterminator="\n").encode()


def write_comparison(
    first: Sequence[Path], second: Sequence[Path], out_dir: Path, clean_images: str = ALL
) -> tuple[list[Section], list[Path]]:
    """Write ``compare.csv`` and ``compare.md``; return the sections and the files."""
    comparison = compare(first, second, clean_images)
    sections_of_both = comparison.sections()
    out_dir.mkdir(parents=True, exist_ok=True)
    title = f"{comparison.names[1]} against {comparison.names[0]}"
    contents = {
        "compare.csv": to_csv(comparison.table, COMPARE),
        "compare.md": to_markdown(sections_of_both, [], title).encode(),
    }
    return sections_of_both, _write(out_dir, contents)


def write_ledger(sweeps: Sequence[Path], out_dir: Path) -> tuple[list[Section], list[Path]]:
    """Write ``ledger.csv`` and ``ledger.md``; return the sections and the files."""
    ledger = read_ledger(sweeps)
    sections_of_ledger = ledger_sections(ledger)
    out_dir.mkdir(parents=True, exist_ok=True)
    contents = {
        "ledger.csv": to_csv(ledger, list(ledger.columns)),
        "ledger.md": to_markdown(sections_of_ledger, [], "Ledger").encode(),
    }
    return sections_of_ledger, _write(out_dir, contents)


def _write(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    for name, content in contents.items():
        write_output(folder / name, content)
    return [folder / name for name in contents]


def _figures_of(page: Path) -> dict[str, str]:
    """Return the figures that an earlier report shows: name -> caption."""
    text = page.read_text(errors="replace") if page.is_file() else ""
    shown = re.findall(r"^!\[(.*)\]\(plots/([\w-]+)\.png\)$", text, flags=re.MULTILINE)
    return {name: unescaped(caption) for caption, name in shown}
