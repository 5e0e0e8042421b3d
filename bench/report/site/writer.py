"""Files of the site."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.common.files import write_atomically
from bench.common.pages import refuse_another
from bench.report.page import write_page
from bench.report.published import published_section
from bench.report.sections import sections
from bench.report.site.html import escaped
from bench.report.site.overview import overview
from bench.report.site.pages import (
    TITLE,
    board_address,
    board_frame,
    dataset_address,
    dataset_page,
    index_page,
    method_address,
    method_page,
)
from bench.report.site.sources import Source


def write_site(sources: Sequence[Source], out: Path) -> list[Path]:
    """Write the site of these boards; return its files, the page of all boards first.

    A page of a board that is there stays as it is: it may have been cited.

    Raises:
        InputError: where the folder has the ``index.html`` of something else.
    """
    refuse_another(out / "index.html", escaped(TITLE))
    cited = {board_address(source) for source in sources}
    pages = dict(_pages(sources))
    for address, content in pages.items():
        path = out / address
        path.parent.mkdir(parents=True, exist_ok=True)
        if address not in cited or not path.exists():
            write_atomically(path, content)
    return [out / address for address in pages]


def _pages(sources: Sequence[Source]) -> Iterator[tuple[str, bytes]]:
    rows = overview(sources)
    yield "index.html", index_page(sources, rows)
    for source in sources:
        board = source.board
        published = published_section(board.published)
        frame = board_frame(source)
        yield board_address(source), write_page(board, sections(board), published, *frame)
    for name in rows["name"].unique():
        yield method_address(name), method_page(name, sources, rows)
    for dataset in rows["dataset"].unique():
        yield dataset_address(dataset), dataset_page(dataset, sources, rows)
