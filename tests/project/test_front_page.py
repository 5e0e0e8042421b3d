"""Figure and table of README.md: `make docs` makes them from the records of a committed board."""

import io
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.report.board import Board, read_board

ROOT = Path(__file__).resolve().parents[2]
TABLES = runpy.run_path(str(ROOT / ".ci" / "tables"))
README = (ROOT / "README.md").read_text("utf-8")

#: Largest share of pixels that another version of the drawing library may change.
REDRAWN = 0.001


@pytest.fixture(scope="module")
def board() -> Board:
    return read_board([ROOT / "results" / "reference" / TABLES["BOARD"]])


def test_the_block_is_the_one_that_make_docs_writes(board):
    """The leaderboard that it is taken from is tested against the records elsewhere."""
    [block] = re.findall(
        r"<!-- table: front -->\n(.*?)<!-- end of table -->", README, flags=re.DOTALL
    )
    assert block == TABLES["front"](board), "make docs writes it anew"
    assert block.count("\n| ") == 2 + TABLES["METHODS"] + 1


def test_the_figure_is_drawn_from_the_records(board):
    [path] = re.findall(r"!\[[^\]]*\]\((results/reference/\S+\.png)\)", README)
    committed, made = (
        np.asarray(Image.open(source).convert("L"), dtype=int)
        for source in (ROOT / path, io.BytesIO(TABLES["front_figure"](board)))
    )
    assert committed.shape == made.shape, "make docs draws it anew"
    changed = (committed != made).mean()
    assert changed <= REDRAWN, f"{100 * changed:.2g} % of the pixels differ: make docs"
