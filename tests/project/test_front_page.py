"""Figure and table of README.md: `make docs` makes them from the records of a committed board."""

import io
import re
import runpy
from pathlib import Path

import numpy as np
from PIL import Image

from bench.planning.selection import DEFAULT_RULE
from bench.report.board import read_board
from bench.report.leaderboard import methods_in_order
from bench.report.plots import render
from bench.report.plots.results import accuracy_figure
from bench.report.plots.style import looks, style

ROOT = Path(__file__).resolve().parents[2]
TABLES = runpy.run_path(str(ROOT / ".ci" / "tables"))
README = (ROOT / "README.md").read_text("utf-8")
BOARD = ROOT / "results" / "reference" / TABLES["BOARD"]

#: Largest share of pixels that another version of the drawing library may change.
REDRAWN = 0.001


def test_the_block_is_the_one_that_make_docs_writes():
    """The leaderboard that it is taken from is tested against the records elsewhere."""
    [block] = re.findall(
        r"<!-- table: front -->\n(.*?)<!-- end of table -->", README, flags=re.DOTALL
    )
    assert block == TABLES["front"](), "make docs writes it anew"
    assert block.count("\n| ") == 2 + TABLES["METHODS"] + 1


def test_the_figure_is_drawn_from_the_records():
    [path] = re.findall(r"!\[[^\]]*\]\((results/reference/\S+\.png)\)", README)
    table = read_board([BOARD]).leaderboard
    ranked = table[(table["rule"] == DEFAULT_RULE) & table["competes"]]
    drawn = looks(ranked["method"], methods_in_order(ranked))
    with style():
        figure = accuracy_figure(ranked[ranked["noise_kind"] == "symmetric"], drawn)
    committed, made = (
        np.asarray(Image.open(source).convert("L"), dtype=int)
        for source in (ROOT / path, io.BytesIO(render(figure, "png")))
    )
    assert committed.shape == made.shape, "make docs draws it anew"
    changed = (committed != made).mean()
    assert changed <= REDRAWN, f"{100 * changed:.2g} % of the pixels differ: make docs"
