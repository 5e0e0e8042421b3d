"""The leaderboard as one page, ``index.html``, that opens from disk and loads nothing else.

Tables and plots are DataTables' and uPlot's, embedded with the data (see assets/README.md). All
figures of the page come from ``page_data``; the page sorts, filters and shows them.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.common.pages import embedded, filled
from bench.report.board import Board
from bench.report.page_data import page_data, recorded_curves
from bench.report.searches.page import searches_data
from bench.report.tables import Section

ASSETS = Path(__file__).parent / "assets"

TITLE = "Learning with noisy labels: leaderboard"


def write_page(
    board: Board,
    tables: Sequence[Section],
    published: Section | None = None,
    navigation: str = "",
    verdict: str = "",
) -> bytes:
    """Return the page of a board.

    Args:
        tables: sections of the board's groups, from ``sections.sections``.
        published: section of published numbers, from ``published.published_section``.
        navigation: links to other pages of a site, as HTML.
        verdict: section on the board's verdict and version, as HTML.
    """
    curves = recorded_curves(board)
    scripts = [
        f'<script type="text/plain" id="curve-{name}">{packed}</script>'
        for name, packed in curves.items()
    ]
    parts = {
        "title": TITLE,
        "uplot.css": _asset("uPlot.min.css"),
        "page.css": _asset("page.css"),
        "datatables.js": _asset("dataTables.min.js"),
        "uplot.js": _asset("uPlot.iife.min.js"),
        "page.js": _asset("page.js"),
        "navigation": navigation,
        "verdict": verdict,
        **_searches(board),
        "curves": "\n".join(scripts),
        "data": embedded(page_data(board, tables, published, list(curves))),
    }
    return filled(_asset("page.html"), parts).encode()


def _searches(board: Board) -> dict[str, str]:
    """Return the parts of the page about searches, empty where there are none."""
    if not (searches := searches_data(board)):
        return {"searches.html": "", "searches.js": ""}
    data = f'<script type="application/json" id="search-data">{embedded(searches)}</script>'
    script = f"<script>\n{_asset('searches.js')}</script>\n"
    return {"searches.html": _asset("searches.html"), "searches.js": f"{data}\n{script}"}


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
