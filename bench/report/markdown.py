"""Sections of a report as a page of Markdown."""

import re
from collections.abc import Sequence

from bench.common.text import printable
from bench.report.tables import Entry, Section, Table


def to_markdown(
    sections: Sequence[Section],
    figures: Sequence[tuple[str, str]],
    title: str = "Leaderboard",
    about_figures: str = "",
) -> str:
    """Return a page of sections and figures.

    Args:
        figures: (path relative to the page, caption) of each figure.
        about_figures: note on all of them.
    """
    lines = [f"# {_escaped(title)}", ""]
    for section in sections:
        lines += [f"## {_escaped(section.title)}", ""]
        lines += [_escaped(section.setup), ""] if section.setup else []
        for table in section.tables:
            lines += [f"**{_escaped(table.caption)}**", "", *_table(table), ""]
        lines += [*(f"- {_escaped(note)}" for note in section.notes), ""]
    if figures:
        lines += ["## Figures", "", *([_escaped(about_figures), ""] if about_figures else [])]
    for path, caption in figures:
        lines += [f"![{_escaped(caption)}]({path})", "", _escaped(caption), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(table: Table) -> list[str]:
    heads = [_escaped(name) for name in table.columns]
    rule = ["---:" if table.is_numeric(place) else "---" for place in range(len(heads))]
    body = [[_entry(entry) for entry in row] for row in table.rows]
    return [f"| {' | '.join(cells)} |" for cells in [heads, rule, *body]]


def _entry(entry: Entry) -> str:
    text = _escaped(entry.text)
    return {0: text, 1: f"**{text}**", 2: f"<u>{text}</u>"}[entry.place] + _escaped(entry.mark)


def _escaped(text: str) -> str:
    text = re.sub(r"[\\`*_|[\]$~]", r"\\\g<0>", printable(text))
    # Text that would be HTML.
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"&(?=#?\w+;)", "&amp;", text))


def unescaped(text: str) -> str:
    """Return the text that ``to_markdown`` has escaped."""
    plain = re.sub(r"\\([\\`*_|[\]$~])", r"\1", text)
    return re.sub(r"&amp;(?=#?\w+;)", "&", re.sub(r"&lt;(?=[A-Za-z/!?])", "<", plain))
