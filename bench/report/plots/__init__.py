"""Figures of a report: PNG and SVG, at the width of a paper's column or page, readable in grey.

A method has the same colour, marker and line style in all figures of a report. Equal records give
equal SVG files. ``figures`` makes all of them; ``results``, ``training``, ``final`` and
``settings`` hold the figures by topic, ``style`` and ``placement`` (of names in axes) what they
share, and ``noise`` those of ``bench.noise``.
"""

from bench.report.plots.figures import figures, write_plots
from bench.report.plots.style import DPI, FORMATS, render

__all__ = ["DPI", "FORMATS", "figures", "render", "write_plots"]
